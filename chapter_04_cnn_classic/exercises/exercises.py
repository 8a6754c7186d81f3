"""Exercises of chapter 4: sizes, convolution forward and backward, pooling, and a broken CNN.

Replace each `raise NotImplementedError` by your own code, in any order; they grow harder. Then

    python -m course check 4

says which ones are solved and, in words, what is wrong with the others (add a name for a single
one, --lang zh for Chinese). The hints get stronger from the first to the third: read one, try
again. `solutions.py` is there for afterwards.

Write with slices and products of tensors. `F.conv2d`, `F.unfold`, `F.max_pool2d` and `.backward()`
know most of the answers, so leave them out where the task is to write them yourself.
Shapes: B pictures, C channels, H x W pixels, O filters, K kernel size, (Ho, Wo) the output's size.
"""

import torch
from torch import nn
from torch.nn import functional as F


def output_size(size, kernel, stride=1, padding=0, dilation=1, transposed=False, output_padding=0):
    """How many rows a convolution, a pool or a transposed convolution returns.

    All arguments are whole numbers, for one axis; `padding` pixels are added on both sides, and the
    window fits at least once. Pools are counted like convolutions (with PyTorch's default, floor).
    With transposed=True: the size that a transposed convolution makes of `size`, where
    output_padding < stride; otherwise output_padding is 0. Return an int.

        size 224, kernel 7, stride 2, padding 3                          ->  112
        size 112, kernel 4, stride 2, padding 1, transposed=True         ->  224

    Difficulty: 1/5. Minutes: 10.

    Hint 1: From its first to its last weight a dilated kernel covers dilation * (kernel - 1) + 1
            pixels. How far can its first weight move on the padded input?
    Hint 2: Window i starts at i * stride. The last i is the largest with
            i * stride + covered <= size + 2 * padding; there are i + 1 windows.
    Hint 3: (size + 2 * padding - covered) // stride + 1. The transposed one is this formula solved
            for size, without the floor, plus output_padding.
    """
    raise NotImplementedError


def class_activation_map(features, weight, bias, labels):
    """Global average pooling, and which places spoke for a class.

    features (B, C, H, W) are the last maps of a network that ends in the average over each map and
    a linear layer, weight (K, C) and bias (K,). labels (B,) has one class number for each picture.
    Return (logits (B, K), maps (B, H, W)), where maps[n] belongs to the class labels[n]:

        maps[n, i, j] = sum over c of weight[labels[n], c] * features[n, c, i, j]

    so that the mean of maps[n], plus bias[labels[n]], is logits[n, labels[n]].

        features [[[[1, 3]]]], weight [[2], [5]], bias [0, 1], labels [1]
            ->  logits [[4, 11]], maps [[[5, 15]]]

    Difficulty: 1/5. Minutes: 10.

    Hint 1: The logits take two lines: features.mean over two axes (B, C), then the linear layer.
    Hint 2: weight[labels] is (B, C): one row of weights for each picture.
    Hint 3: torch.einsum("bc,bchw->bhw", ...), or (B, C, 1, 1) * (B, C, H, W) and a sum over C.
    """
    raise NotImplementedError


def receptive_field(layers):
    """Which pixels can a unit see? The recursion, along one axis.

    layers: (kernel, stride, padding, dilation) of convolutions and pools, first layer first.
    Return three ints (size, jump, start) for the last layer's output:

        size    pixels from the first to the last one that a unit can see (holes included)
        jump    distance of two neighbouring units, in pixels
        start   the first pixel that unit 0 sees; below 0 if it lies in the padding

    so that unit i sees pixels from start + i * jump on. No layer at all: (1, 1, 0).

        [(3, 1, 1, 1), (2, 2, 0, 1)]  ->  (4, 2, -1)

    Difficulty: 2/5. Minutes: 15.

    Hint 1: One loop with three variables. A step of one unit in the layer below is `jump` pixels.
    Hint 2: The kernel's last weight is dilation * (kernel - 1) units behind its first; padding
            moves unit 0 to the left by `padding` units of the layer below.
    Hint 3: size += dilation * (kernel - 1) * jump; start -= padding * jump; and only then
            jump *= stride, because all three are counted in units of the layer below.
    """
    raise NotImplementedError


def count_cost(layers, shape):
    """Parameters and multiply-accumulates of a network, for one picture.

    shape is (C, H, W) of the picture. layers, in order, are tuples of these kinds:

        ("conv", filters, kernel, stride, padding, groups)    square kernels, with bias
        ("pool", kernel, stride)                              no padding
        ("linear", features)                                  flattens what comes in; with bias

    Return (parameters, macs), two ints. A MAC is one multiplication and one addition; the
    additions of biases and the comparisons of pools are not counted.

        [("conv", 64, 3, 1, 1, 1)], (3, 224, 224)  ->  (1792, 86704128)

    Difficulty: 2/5. Minutes: 20.

    Hint 1: Carry (channels, height, width) through the layers; `output_size` does the arithmetic.
    Hint 2: A filter of a grouped convolution has channels // groups * kernel^2 weights. Each of
            them is used once at every *output* position.
    Hint 3: conv: weights = filters * channels // groups * kernel^2; parameters = weights + filters;
            MACs = weights * Ho * Wo. linear: inputs = channels * height * width, and after it
            the map is (features, 1, 1).
    """
    raise NotImplementedError


def conv2d(x, weight, bias=None, stride=1, padding=0):
    """Convolution as deep learning means it (cross-correlation), by loops over the output.

    x (B, C, H, W), weight (O, C, kh, kw), bias (O,) or None; padding adds zeros on all four sides.
    Return (B, O, Ho, Wo), equal to F.conv2d, in the dtype of x:

        y[b, o, i, j] = bias[o] + sum over c, u, v of weight[o, c, u, v] * x[b, c, i s + u, j s + v]

    Two loops, over i and j, are enough; the sum over c, u, v is one product for all b and o.

        x [[1, 2, 0], [0, 1, 3], [2, 1, 1]], weight [[1, -1], [2, 1]]  ->  [[0, 7], [4, 1]]

    Difficulty: 2/5. Minutes: 20.

    Hint 1: F.pad(x, (p, p, p, p)) adds the zeros. How large is the output (`output_size`)?
    Hint 2: The window of output (i, j) is x[:, :, i * s : i * s + kh, j * s : j * s + kw], which is
            (B, C, kh, kw).
    Hint 3: With windows (B, C kh kw) and filters (O, C kh kw), flattened alike, the outputs (B, O)
            are windows @ filters.T. Put them into y[:, :, i, j].
    """
    raise NotImplementedError


def im2col(x, kernel, stride=1, padding=0):
    """Every window as a column: what makes a convolution one matrix product.

    x (B, C, H, W), kernel a pair (kh, kw). Return (B, C kh kw, Ho Wo), equal to F.unfold: row
    (c, u, v), with v changing fastest, holds pixel (u, v) of channel c of each window; the columns
    are the windows row by row. No Python loop over positions: their number must not change how
    many operations you call. (A loop over the kh kw places of the kernel is fine.)

        x [[1, 2, 0], [0, 1, 3], [2, 1, 1]], kernel (2, 2)
            ->  [[1, 2, 0, 1], [2, 0, 1, 3], [0, 1, 2, 1], [1, 3, 1, 1]]

    Then `weight.flatten(1) @ im2col(x, ...)` is the convolution, (B, O, Ho Wo).

    Difficulty: 3/5. Minutes: 20.

    Hint 1: Look at one row of the result: it is the padded picture without some border rows and
            columns, in steps of `stride`.
    Hint 2: Row (c, u, v) is padded[:, c, rows, columns], where rows is
            slice(u, u + s * (Ho - 1) + 1, s), and columns likewise from v.
    Hint 3: Collect these (B, C, Ho, Wo) for all (u, v), torch.stack them at dim 2: (B, C, kh kw,
            Ho, Wo); then reshape. Or: padded.unfold(2, kh, s).unfold(3, kw, s) is a view
            (B, C, Ho, Wo, kh, kw), to be permuted.
    """
    raise NotImplementedError


def blur_pool(x):
    """Max pooling that hardly notices a shift by one pixel (Zhang 2019).

    Ordinary 2x2 max pooling keeps one in two values, and which ones depends on where the picture
    lies. So split it into three steps. x (B, C, H, W) with even H, W; opposite edges are joined
    (circular), in all steps. Return (B, C, H/2, W/2):

        1. the maximum of x at (i, j), (i, j + 1), (i + 1, j), (i + 1, j + 1), at every (i, j);
        2. a blur of each channel by itself: weights (1, 2, 1)/4 down times (1, 2, 1)/4 across,
           centred;
        3. the values at even i and j.

        every row 0 0 1 1 0 0 1 1   ->  every row 0.5 1 0.5 1          (max pooling: 0 1 0 1)
        the same, shifted by one    ->  every row 0.75 0.75 0.75 0.75  (max pooling: 1 1 1 1)

    The mean of the output is 0.75 in both cases: it does not depend on the shift at all (why?), and
    for a network that ends in global average pooling that is what counts.

    Difficulty: 3/5. Minutes: 20.

    Hint 1: x.roll(-1, dims=3) has at place j what x has at j + 1, with joined edges.
    Hint 2: The maximum over 2x2 is a maximum over two columns, then over two rows. The blur is
            separable too: a blur along H, then one along W.
    Hint 3: blur along d: (y.roll(1, d) + 2 * y + y.roll(-1, d)) / 4. Last: y[:, :, ::2, ::2].
    """
    raise NotImplementedError


def max_pool_backward(x, grad, kernel, stride):
    """Whom does max pooling pay? Its gradient with respect to the input.

    x (B, C, H, W) was pooled with windows of kernel x kernel at steps of `stride`, no padding, to
    (B, C, Ho, Wo); grad = dL/dy has that shape. Return dL/dx (B, C, H, W). Each window passes its
    gradient to its largest pixel; of several equal ones to the first, reading row by row. Windows
    may overlap (kernel > stride), leave gaps, or leave rows at the end unseen.

        1-D analogue: x (1, 5, 2, 4), windows of 2, stride 1, grad (1, 2, 3)  ->  (0, 3, 0, 3)

    Difficulty: 3/5. Minutes: 25.

    Hint 1: A loop over output positions (i, j) is fine. In it: which of the kernel^2 pixels of the
            window is the largest? argmax of the flattened window gives its number.
    Hint 2: Number m of the window is row m // kernel and column m % kernel of it. Where is that in
            the picture?
    Hint 3: With `place` (B, C) = the pixel's number in the flattened (H W) picture:
            dx.flatten(2).scatter_add_(2, place[..., None], grad[:, :, i, j, None]). Adding, not
            setting: a pixel can win in several windows.
    """
    raise NotImplementedError


class PhotoClassifier(nn.Module):
    """Find the bugs: write this class without its five mistakes.

        class PhotoClassifier(nn.Module):
            def __init__(self, train_images, num_classes):
                super().__init__()
                height, width = train_images.shape[1:3]
                self.conv = nn.Conv2d(3, 8, kernel_size=5, padding=1)
                self.norm = nn.BatchNorm2d(8)
                self.dropout = nn.Dropout(0.5)
                self.head = nn.Linear(8 * (height // 2) * (width // 2), num_classes)

            def prepare(self, images):
                x = images.reshape(len(images), 3, *images.shape[1:3]).float() / 255
                mean, std = (f(x, dim=(0, 2, 3), keepdim=True) for f in (torch.mean, torch.std))
                return (x - mean) / std

            def forward(self, images):
                x = F.relu(self.norm(self.conv(self.prepare(images))))
                x = F.max_pool2d(x, 2).flatten(1)
                return self.head(self.dropout(x)).softmax(dim=1)

            def loss(self, images, labels):
                return F.cross_entropy(self(images), labels)

            def predict(self, images):
                return self(images).argmax(dim=1)

    Images are (N, H, W, 3) uint8 with even H and W, as image files give them; train_images is the
    training split. The convolution shall keep the picture's size. `prepare` returns (N, 3, H, W)
    with the training split's mean 0 and standard deviation 1 in each channel, whatever pictures it
    gets. `predict` returns class numbers (N,); the answer for a picture must not depend on the
    others, nor on chance, and the call must leave the module as it found it. Keep the names of the
    layers and their other settings.

    Difficulty: 3/5. Minutes: 30.

    Hint 1: Two of the five are in `prepare`. Show a prepared picture; prepare a single white one.
    Hint 2: Which padding does a 5 x 5 kernel need? What does cross_entropy expect? In which mode is
            the module when `predict` is called in the middle of training?
    Hint 3: permute(0, 3, 1, 2) exchanges axes, reshape does not. Compute mean and std of the
            training images in __init__ and keep them (register_buffer). In `predict`: remember
            self.training, self.eval(), torch.no_grad(), then self.train(what it was).
    """

    def __init__(self, train_images, num_classes):
        super().__init__()
        raise NotImplementedError

    def prepare(self, images):
        raise NotImplementedError

    def forward(self, images):
        raise NotImplementedError

    def loss(self, images, labels):
        raise NotImplementedError

    def predict(self, images):
        raise NotImplementedError


def random_shift(x, padding, generator):
    """Data augmentation for a whole batch at once: each picture gets a shift of its own.

    x (B, C, H, W). For each picture draw a vertical and a horizontal shift, both uniform on
    -padding, ..., padding and independent, from `generator` (a torch.Generator on the CPU) and from
    nothing else. Move the picture by them and fill with zeros what comes in at the border; all
    channels move together. Return a new (B, C, H, W) tensor. No Python loop over the batch: its
    size must not change how many operations you call.

        one row 1 2 3 moved by +1  ->  0 1 2,   by -1  ->  2 3 0

    Difficulty: 4/5. Minutes: 30.

    Hint 1: Think backwards: which source pixel comes to place (i, j) of picture n? Row i - dy[n].
    Hint 2: Pad by `padding` on all sides. Then every source pixel exists, and picture n is the
            window of the padded one whose first row is some start[n] in 0 ... 2 * padding.
    Hint 3: rows = start_y[:, None] + torch.arange(H), (B, H), columns likewise (B, W). Fancy
            indexing with broadcasting: padded[n, :, rows, columns] with n (B, 1, 1), rows
            (B, H, 1), columns (B, 1, W) gives (B, H, W, C): permute it.
    """
    raise NotImplementedError


def conv1d_backward(x, weight, grad, stride=1, padding=0):
    """The backward of a convolution, in one dimension, by hand.

    x (B, C, L), weight (O, C, K), y = F.conv1d(x, weight, bias, stride, padding), and
    grad = dL/dy (B, O, Lo). Return (dL/dx, dL/dweight, dL/dbias) in the shapes of x, weight and
    (O,). There may be pixels at the end that no window has seen. No autograd.

        y[b, o, i] = bias[o] + sum over c, k of weight[o, c, k] * padded[b, c, i * stride + k]

        x [1, 2, 3], weight [4, 5], grad [1, 10]  ->  ([4, 45, 50], [21, 32], [11])

    Difficulty: 4/5. Minutes: 35.

    Hint 1: dL/dweight[o, c, k]: which products has this weight been in? One for each b and i, with
            the pixel padded[b, c, i * stride + k]. Fix k: these pixels are a slice in steps.
    Hint 2: Pixel padded[b, c, m] has been in a product with weight k for each i with
            i * stride + k = m. Rather than searching those i, go over k and *add* into slices.
    Hint 3: for k: part = slice(k, k + stride * (Lo - 1) + 1, stride);
            dweight[:, :, k] = einsum("bol,bcl->oc", grad, padded[:, :, part]);
            dpadded[:, :, part] += einsum("bol,oc->bcl", grad, weight[:, :, k]).
            In the end cut the padding off.
    """
    raise NotImplementedError


def separable(conv):
    """Replace a convolution by the nearest depthwise separable one.

    conv is an nn.Conv2d with groups=1 and zero padding, of any stride, padding, dilation, with or
    without bias. Return nn.Sequential(depthwise, pointwise): an nn.Conv2d with groups=in_channels,
    one K x K kernel d for each input channel, then a 1x1 nn.Conv2d with weights p, so that

        input (B, C, H, W)  ->  (B, C, Ho, Wo)  ->  (B, O, Ho, Wo)      the size that conv makes

    Together they act like a convolution with the weight V[o, c, u, v] = p[o, c] * d[c, u, v].
    Choose p and d such that the sum of (V - conv.weight)^2 is as small as it can be; conv's bias
    stays as it is. Parameters without bias: C K^2 + C O instead of C O K^2.

        weight (O = 2, C = 1, 1, 2) = [[[[1, 2]]], [[[3, 6]]]]  ->  say d = [1, 2], p = [1, 3]

    Difficulty: 5/5. Minutes: 35.

    Hint 1: Fix the input channel c. conv.weight[:, c] as a matrix (O, K K) shall be replaced by
            an outer product of p[:, c] and d[c]. Which matrix of rank 1 is the nearest?
    Hint 2: That of the largest singular value (Eckart & Young 1936): torch.linalg.svd on a batch of
            C matrices (C, O, K K). Input channels do not disturb each other.
    Hint 3: u[:, :, 0] * s[:, :1] (C, O) and vh[:, 0] (C, K K). Which of the two layers needs
            stride, padding and dilation, and which one the bias? Copy under torch.no_grad().
    """
    raise NotImplementedError
