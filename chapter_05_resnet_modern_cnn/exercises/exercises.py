"""Exercises of chapter 5: the blocks of modern networks, and what a network looks at.

Replace each `raise NotImplementedError` by your own code, in any order; they grow harder. Then

    python -m course check 5

says which ones are solved and, in words, what is wrong with the others (add a name for a single
one, --lang zh for Chinese). The hints get stronger from the first to the third: read one, try
again. `solutions.py` is there for afterwards.

Layers of `torch.nn` are allowed, and so is autograd. What the chapter has in `src/` and what
torchvision has ready-made is what you are asked to write, so leave those aside.
Shapes: B pictures, C channels, H x W pixels, K classes, (h, w) the size of a map inside.
"""

import torch
from torch import nn
from torch.nn import functional as F


def channel_shuffle(x, groups):
    """Deal the channels out, so that the next grouped convolution sees some of every group.

    x (B, C, H, W), C = groups * n, where each group is n channels in a row. Return (B, C, H, W)
    with the first channel of every group, then the second of every group, and so on:

        channel i * n + j goes to channel j * groups + i           for i < groups, j < n

    No Python loop over channels: their number must not change how many operations you call.

        channels a b c d e f, groups 2 (a b c | d e f)  ->  a d b e c f

    Difficulty: 1/5. Minutes: 10.

    Hint 1: Write the channels of the example as a table, one row for each group. In which order do
            you read the table to get the answer?
    Hint 2: reshape (or unflatten) gives the table, (B, groups, n, H, W).
    Hint 3: Exchange the axes 1 and 2, then make one axis of them again: flatten(1, 2).
    """
    raise NotImplementedError


def drop_path(branch, p, training, generator):
    """Stochastic depth: leave the whole residual branch out, for some of the pictures.

    branch (B, ...) is F(x), with any number of axes after the first. In training, with b = 0 at
    probability p and 1 otherwise, drawn anew for each picture,

        b / (1 - p) * branch                       p = 1: zeros, not nan

    and otherwise branch as it is. Draw from `generator` (a torch.Generator on the CPU) and from
    nothing else; p lies in 0 ... 1. Return a tensor with the shape and dtype of branch.
    The mean over many draws is branch itself, so that nothing has to change at test time.

        branch [[1, 2], [3, 4], [5, 6]], p = 0.5, the second picture drawn out
            ->  [[2, 4], [0, 0], [10, 12]]

    Difficulty: 2/5. Minutes: 15.

    Hint 1: How does this differ from dropout? In the shape of what is drawn.
    Hint 2: One number for each picture: B of them, in the shape (B, 1, 1, 1) for four axes.
    Hint 3: torch.rand(B, generator=generator) >= p is true with probability 1 - p, and never at
            p = 1. Reshape to (B,) + (1,) * (branch.ndim - 1); divide only if p < 1.
    """
    raise NotImplementedError


def block_cost(kind, in_channels, width, stride, size):
    """Parameters and multiply-accumulates (MACs) of a residual block, for one picture.

    The input is (in_channels, size, size), size a multiple of `stride`. The branch is

        "basic"         3x3 to width (with the stride), 3x3 to width
        "bottleneck"    1x1 to width, 3x3 to width (with the stride), 1x1 to 4 * width

    and each convolution, without bias, is followed by BatchNorm. The shortcut is option B: the
    identity where the shapes agree, else a 1x1 convolution with the stride, and BatchNorm.
    Return (parameters, macs), two ints: the scales and shifts of BatchNorm are parameters; its
    arithmetic, ReLU and the sum are not counted as MACs.

        "basic", 64, 64, 1, 56        ->  (73984, 231211008)
        "bottleneck", 256, 64, 1, 56  ->  (70400, 218365952)

    Difficulty: 2/5. Minutes: 20.

    Hint 1: Write the block down as a list of convolutions (channels in, channels out, kernel,
            size of the output), then sum up over the list.
    Hint 2: A convolution has in * out * kernel^2 weights, each used once at every place of its
            *output*. BatchNorm has 2 numbers for each channel. The first 1x1 of a bottleneck
            still works on the large map.
    Hint 3: out = width for "basic", 4 * width for "bottleneck". There is a projection, one more
            entry (in_channels, out, 1, size // stride), if stride > 1 or in_channels != out.
    """
    raise NotImplementedError


class SqueezeExcitation(nn.Module):
    """A gate for each channel, computed from the whole map (Hu et al. 2018).

    Two layers, nn.Linear with bias: `fc1` from `channels` to channels // reduction, `fc2` back.
    forward: (B, C, H, W) -> (B, C, H, W),

        s = sigmoid(fc2(relu(fc1(mean of x over H and W))))           s is (B, C)
        y[b, c, i, j] = s[b, c] * x[b, c, i, j]

    so that the weight of a channel depends on the picture.

        channels 64, reduction 16  ->  64 * 4 + 4 + 4 * 64 + 64 = 580 parameters

    Difficulty: 2/5. Minutes: 15.

    Hint 1: Three steps: squeeze (a mean over two axes), excite (two layers), scale.
    Hint 2: nn.Linear works on the last axis, so feed it (B, C), not (B, C, 1, 1).
    Hint 3: s[:, :, None, None] is (B, C, 1, 1) and broadcasts over the places.
    """

    def __init__(self, channels, reduction):
        super().__init__()
        raise NotImplementedError

    def forward(self, x):
        raise NotImplementedError


def fold_batchnorm(conv, norm):
    """One convolution instead of two layers: BatchNorm is free at test time.

    conv is an nn.Conv2d with zero padding, of any stride, padding, dilation and groups, with or
    without bias; norm an nn.BatchNorm2d that follows it, with weight, bias and running statistics.
    Return a new nn.Conv2d with the same settings and a bias, which computes norm(conv(x)) as it is
    in *evaluation* mode, in conv's dtype. Leave conv and norm as they are.

        conv.weight 3, no bias; norm: running_mean 2, running_var 4, weight 10, bias 1, eps 0
            ->  weight 15, bias -9                  since 10 * (3 x - 2) / 2 + 1 = 15 x - 9

    Difficulty: 2/5. Minutes: 20.

    Hint 1: For one channel BatchNorm is scale * z + shift. What are the two numbers, from
            running_mean, running_var, eps, weight and bias?
    Hint 2: z = W x + c, so scale * z + shift = (scale * W) x + (scale * c + shift). The scale
            belongs to an *output* channel; which axis of W is that?
    Hint 3: scale = norm.weight / (norm.running_var + norm.eps).sqrt(), (O,);
            weight = conv.weight * scale[:, None, None, None];
            bias = norm.bias + (c - norm.running_mean) * scale, c = 0 without bias.
            Copy into the new layer under torch.no_grad().
    """
    raise NotImplementedError


class ResidualBlock(nn.Module):
    """The basic block of He et al. (2015) with shortcut A: not one weight more than without it.

    Layers, in torch's defaults unless said otherwise: conv1 (3x3, padding 1, with the stride, no
    bias), bn1, conv2 (3x3, padding 1, no bias), bn2. forward: (B, in_channels, H, W) ->
    (B, channels, ceil(H / stride), ceil(W / stride)),

        y = relu(S(x) + F(x)),          F = bn2(conv2(relu(bn1(conv1(x)))))

    S(x) takes every stride-th row and column of x, from the first one on, and fills the missing
    m = channels - in_channels >= 0 channels with zeros: m // 2 of them before those of x, the
    others behind. It has no parameters; where nothing changes it is x itself. Do not change x.

        one row 1 2 3 4 of one channel, channels 3, stride 2  ->  S: channels 0 0 | 1 3 | 0 0

    Difficulty: 3/5. Minutes: 25.

    Hint 1: With bn2's weight and bias at 0 the block must return relu(S(x)). Test that first.
    Hint 2: x[:, :, ::stride, ::stride] has the same size as conv1's output: both are ceil(H / s).
    Hint 3: F.pad counts its pairs from the last axis: (left, right, top, bottom, before, behind).
            `x += ...` and inplace=True on x write into the caller's tensor; F(x) + S(x) does not.
    """

    def __init__(self, in_channels, channels, stride=1):
        super().__init__()
        raise NotImplementedError

    def forward(self, x):
        raise NotImplementedError


def integrated_gradients(model, x, baseline, labels, steps):
    """Which pixels made the logit? Slopes along a straight line (Sundararajan et al. 2017).

    model maps pictures to logits (B, K), in evaluation mode. x and baseline are (B, C, H, W),
    labels (B,) has one class number c for each picture. Return IG (B, C, H, W), where for pixel i

        IG_i = (x_i - baseline_i) * mean over t of  dz_c / dx_i  at baseline + t * (x - baseline)

    with t at the middles of `steps` equal parts of 0 ... 1. The pixels of a picture add up to
    z_c(x) - z_c(baseline), the closer the more steps: check your own result with that.
    The result has no graph; x, the parameters and their .grad stay as they were, and the
    parameters may be frozen (requires_grad False).

        z = x1 * x2, x = (2, 3), baseline (0, 0), any steps  ->  IG = (3, 3)      z(x) - z(0) = 6

    Difficulty: 3/5. Minutes: 25.

    Hint 1: The middles are t = 0.5 / steps, 1.5 / steps, ... Start with a loop over them.
    Hint 2: A point on the line is a new tensor: point.detach().requires_grad_(). In evaluation
            mode no picture influences another, so the gradient of the *sum* of the chosen logits
            holds each picture's own gradient.
    Hint 3: logits[torch.arange(B), labels].sum(), then torch.autograd.grad(that, point): it
            returns a tuple and leaves every .grad alone, which .backward() would not.
    """
    raise NotImplementedError


def grad_cam(model, layer, x, labels):
    """Where does the network look? Grad-CAM for any layer, with a hook (Selvaraju et al. 2017).

    model maps x (B, C, H, W) to logits (B, K), in evaluation mode; `layer` is some module in it,
    whose output is A, (B, M, h, w); labels (B,) has one class number c for each picture. Return
    heat (B, h, w), not enlarged and not scaled, without a graph:

        a_m  = mean over the h w places of  dz_c / dA_m            one number a picture and map
        heat = relu(sum over m of a_m * A_m)

    Afterwards nothing may be left behind: no hook in the model (not even when its forward raises),
    nothing new in any .grad. The parameters may be frozen (requires_grad False), x may not need a
    gradient, and yet there has to be a graph.

        A = [[[[1, 0], [3, 0]], [[0, 2], [1, 1]]]], dz/dA_1 = 0.5, dz/dA_2 = -0.25 everywhere
            ->  heat [[[0.5, 0], [1.25, 0]]]

    For the last maps before a global average and a linear layer this is relu(CAM) / (h w).

    Difficulty: 4/5. Minutes: 30.

    Hint 1: layer.register_forward_hook(f) calls f(module, inputs, output) in each forward pass and
            returns a handle. Let f put `output` where you can find it.
    Hint 2: Give the model x.detach().requires_grad_(): then a graph exists, whatever is frozen.
            Call model(x) in `try:` and handle.remove() in `finally:`.
    Hint 3: z = logits[torch.arange(B), labels].sum(); (slope,) = torch.autograd.grad(z, A);
            a = slope.mean(dim=(2, 3), keepdim=True); the sum over m comes before the relu.
    """
    raise NotImplementedError


def paths_by_length(jacobians, grad):
    """Unravel a residual network: how much gradient do paths of each length carry?

    Block l of n computes x_{l+1} = x_l + F_l(x_l). jacobians (n, D, D) has J_l = dF_l / dx_l as
    jacobians[l], row i for output i; grad (D,) is the loss's gradient with respect to x_n. On its
    way back to x_0 the gradient may at every block go through the branch (J_l^T) or past it: 2^n
    paths. Return (counts, parts):

        counts    list of n + 1 ints: the number of paths through exactly k branches, k = 0 ... n
        parts     (n + 1, D): parts[k] is the sum of the gradients that these paths bring to x_0

    parts.sum(0) is the gradient at x_0, parts[n] all that a plain network would have. n is up to
    100, so no loop over paths: the work may grow like n or n^2, not like 2^n.

        jacobians [[0.5]], [[0.4]], [[0.3]], grad [1]
            ->  counts [1, 3, 3, 1], parts [[1], [1.2], [0.47], [0.06]]

    With them, parts[k].norm() / counts[k] is what *one* path of this length is worth.

    Difficulty: 4/5. Minutes: 35.

    Hint 1: Which way does the gradient go, and what does J^T do to it? A path through branches
            l < m brings J_l^T J_m^T grad.
    Hint 2: Put the blocks before the gradient one by one, the last block first. A path of length k
            that now also has block l either went past it, with k branches behind it, or through
            it, with k - 1.
    Hint 3: Start with parts = zeros (n + 1, D), parts[0] = grad. For each block, last first:
            new[k] = parts[k] + J^T parts[k - 1], where J^T v is v @ J, for all k at once. The
            counts obey the same recursion with 1 in the place of J^T.
    """
    raise NotImplementedError
