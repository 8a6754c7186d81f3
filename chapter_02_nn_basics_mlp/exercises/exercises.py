"""Exercises of chapter 2: the pieces of a multi-layer perceptron, with PyTorch tensors.

Replace each `raise NotImplementedError` by your own code, in any order; they grow harder. Then

    python -m course check 2

says which ones are solved and, in words, what is wrong with the others (add a name for a single
one, --lang zh for Chinese). The hints get stronger from the first to the third: read one, try
again. `solutions.py` is there for afterwards.

Write with tensor operations (@, sum, exp, where, slicing ...). `torch.nn.functional` and
`.backward()` know most of the answers, so leave them out: the grader uses them.
Shapes: B samples, D features, C classes.
"""

import math

import torch


def linear_backward(x, weight, grad_output):
    """The backward pass of y = x W^T + b.

    x (*, D_in), weight (D_out, D_in), grad_output = dL/dy (*, D_out); * stands for any number of
    leading axes (also none). Return (dL/dx, dL/dW, dL/db), of the shapes of x, W and b (D_out,).

        x = [[1, 2]], weight = [[3, 4]], grad_output = [[10]]  ->  ([[30, 40]], [[10, 20]], [10])

    Difficulty: 1/5. Minutes: 10.

    Hint 1: y_i = sum_j W_ij x_j + b_i for one sample. What is dy_i/dx_j, what is dy_i/dW_ij?
    Hint 2: All samples share W and b, so their gradients are sums over the samples (no mean: a
            1/B, if there is one, is already inside grad_output).
    Hint 3: dx = grad_output @ W. Flatten the leading axes of x and grad_output to one, (B, ...);
            then dW = grad_output^T @ x, and db = grad_output summed over the batch.
    """
    raise NotImplementedError


def dropout_forward(x, p, training, generator=None):
    """Inverted dropout.

    In training each element of x (any shape) becomes 0 with probability p, independently of the
    others, and the survivors are scaled such that the expectation stays x. In evaluation
    (training=False) the output is x. p may be 0 and 1. Draw random numbers with
    `torch.rand(..., generator=generator)`, so that a run can be repeated; leave x as it was, and
    let gradients flow to it.

        x = [1, 1, 1, 1], p = 0.5, training  ->  for example [2, 0, 0, 2]

    Difficulty: 1/5. Minutes: 10.

    Hint 1: A uniform number u from [0, 1) is below p with probability p. Keep where u >= p.
    Hint 2: An element that survives with probability 1 - p must grow by 1 / (1 - p).
    Hint 3: For p = 1 nothing survives, and the factor would be 1 / 0: return zeros before that.
    """
    raise NotImplementedError


def standardise(train, *others):
    """Give each column mean 0 and standard deviation 1, without leaking.

    train (N, D) and any number of further arrays (M, D), such as the validation and the test split.
    Return a tuple: all of them standardised, in the same order. The statistics come from `train`
    alone: the test split has to stay unseen, also by its mean. Use the standard deviation with 1/N
    (correction=0). A column that is constant in train has none: only subtract its mean.

        train = [[0, 5], [2, 5]], test = [[4, 7]]  ->  ([[-1, 0], [1, 0]], [[3, 2]])

    Difficulty: 2/5. Minutes: 10.

    Hint 1: mean and std of train along dim 0, shape (D,); use the same two for every array.
    Hint 2: Dividing by a standard deviation of 0 gives nan or inf. What should it be divided by?
    Hint 3: torch.where(std > 0, std, 1.0). A column of 0.1, 0.1, ... can have a std of 1e-17 by
            rounding: it is safer to ask whether its largest and its smallest value are equal.
    """
    raise NotImplementedError


def kfold_indices(n, folds, generator=None):
    """Cross-validation: cut n samples into folds; each one is the validation set once.

    Return a list of `folds` pairs (train, val) of int64 index tensors. In each pair the two are
    disjoint and together are 0 .. n-1; each sample is in exactly one val; the sizes of the val sets
    differ by at most 1. Shuffle with `torch.randperm(n, generator=generator)`: files are often
    sorted. If folds is below 2 or above n, raise a ValueError.

        n = 5, folds = 2  ->  for example [([2, 4], [0, 3, 1]), ([0, 3, 1], [2, 4])]

    Difficulty: 2/5. Minutes: 15.

    Hint 1: Shuffle once, before cutting; a new shuffle for each fold would put some samples into
            two validation sets.
    Hint 2: Fold i can take every folds-th number of the shuffled order, starting with the i-th.
    Hint 3: val = order[i::folds]; train is the concatenation of order[j::folds] for all j != i.
    """
    raise NotImplementedError


def activation_gain(activation):
    """The gain that Kaiming initialisation needs for an activation, found numerically.

    With Var(w) = gain^2 / fan_in the pre-activations z keep the variance 1 from layer to layer, if

        gain = 1 / sqrt(E[activation(z)^2]),     z standard normal

    `activation` maps a tensor to a tensor of its shape, element by element. Return a float, exact
    to 1e-3. Square means, not variances: the mean of ReLU's output is not 0, and it counts.

        activation_gain(torch.relu)   ->  1.4142 (sqrt(2), as half of E[z^2] is lost)
        activation_gain(torch.tanh)   ->  1.5925 (torch.nn.init uses 5/3)

    Difficulty: 2/5. Minutes: 15.

    Hint 1: E[g(z)] is the integral of g(z) exp(-z^2 / 2) / sqrt(2 pi) over all z.
    Hint 2: A sum over an even grid from -10 to 10 is enough; outside the density is below 1e-22.
    Hint 3: z = torch.linspace(-10, 10, 20001, dtype=torch.float64); weights exp(-z^2 / 2), divided
            by their sum. (Averaging random z needs some ten million of them for 1e-3.)
    """
    raise NotImplementedError


def cross_entropy(logits, targets, smoothing=0.0):
    """Softmax cross-entropy with label smoothing, and its gradient, by hand.

    logits (B, C), targets (B,) int64 class numbers. The target distribution of a sample is
    q = (1 - smoothing) one_hot(target) + smoothing / C. Return the pair (loss, gradient):

        loss = mean over the samples of  -sum_c q_c log softmax(logits)_c       a 0-d tensor
        gradient = d loss / d logits                                            (B, C)

    It has to be right for logits of any size, such as 10,000 or -10,000. No autograd.

        logits = [[0, 0]], targets = [1]  ->  (0.6931, [[0.5, -0.5]])

    Difficulty: 3/5. Minutes: 25.

    Hint 1: log softmax(x)_c = x_c - log sum_k exp(x_k). Adding a constant to all x changes nothing;
            which constant keeps exp() from overflowing?
    Hint 2: Subtract the row's maximum first, then log_p = x - log(sum(exp(x))). Never take the log
            of a softmax that was computed before: it may have become 0.
    Hint 3: The gradient is (softmax(logits) - q) / B; the 1 / B comes from the mean.
    """
    raise NotImplementedError


def hinge_network(x, y, left_slope=0.0, right_slope=0.0):
    """The weights of a ReLU network that equals a piecewise linear function exactly, everywhere.

    f runs straight from point to point of (x_0, y_0), ..., (x_K-1, y_K-1), x increasing, K >= 1;
    left of x_0 it goes on with the slope left_slope, right of the last point with right_slope.
    x and y are float64 tensors (K,). Return (w1, b1, w2, b2), shapes (H,), (H,), (H,) and (), with

        f(t) = sum_h w2_h relu(w1_h t + b1_h) + b2        for every real t

    and at most K + 1 hidden units.

        x = [0, 1, 2], y = [0, 1, 0]  ->  one solution: relu(t) - 2 relu(t - 1) + relu(t - 2)

    Difficulty: 4/5. Minutes: 30.

    Hint 1: relu(t - x_k) is 0 to the left of x_k and has the slope 1 to the right: a hinge. Each
            hinge changes the slope of the sum at one point. By how much has it to change?
    Hint 2: slopes = [s_0, ..., s_K-2, right_slope] with s_k = (y_k+1 - y_k) / (x_k+1 - x_k). The
            hinge at x_k (k > 0) gets w2 = slopes[k] - slopes[k-1].
    Hint 3: To the left of x_0 all these are 0, so turn one hinge around: relu(x_0 - t) is not 0
            there, and gets w2 = -left_slope. The hinge at x_0 then carries slopes[0]; b2 = y_0.
    """
    raise NotImplementedError


def tent_network(depth):
    """Why depth: 2 `depth` hidden units that make 2^depth linear pieces.

    The tent map goes up from (0, 0) to (1/2, 1) and down to (1, 0): T(t) = 1 - |2 t - 1|. Applied
    `depth` times it is a saw with 2^(depth-1) teeth. Return the layers of a ReLU network that is
    equal to it for t in [0, 1]: a list of depth + 1 pairs (weight (out, in), bias (out,)) of
    float64 tensors, each hidden layer 2 wide, applied to h = t (B, 1) as

        h = relu(h @ weight.T + bias)       for every pair but the last
        output = h @ weight.T + bias        for the last one

    With a single hidden layer it would take at least 2^depth - 1 units: one for each kink.

        depth = 2: f(0) = 0, f(1/4) = 1, f(1/2) = 0, f(3/4) = 1, f(1) = 0

    Difficulty: 5/5. Minutes: 30.

    Hint 1: First depth = 1: T(t) = 2 relu(t) - 4 relu(t - 1/2) on [0, 1]. Write it as two layers.
    Hint 2: For depth = 2 the second tent reads the output of the first, a sum without a relu. Two
            linear maps in a row are one: put the sum into the next layer's weight.
    Hint 3: The first layer has the weight [[1], [1]] and the bias [0, -1/2]; each further hidden
            layer has [[2, -4], [2, -4]] and the same bias; the last is [[2, -4]] with bias [0].
    """
    raise NotImplementedError
