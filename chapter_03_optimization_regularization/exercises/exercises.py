"""Exercises of chapter 3: one step of an optimiser, a schedule, a normalisation, a training loop.

Replace each `raise NotImplementedError` by your own code, in any order; they grow harder. Then

    python -m course check 3

says which ones are solved and, in words, what is wrong with the others (add a name for a single
one, --lang zh for Chinese). The hints get stronger from the first to the third: read one, try
again. `solutions.py` is there for afterwards.

Write with tensor operations (@, sum, sqrt, clamp, where ...). `torch.optim`, `torch.nn.utils` and
`.backward()` know most of the answers, so leave them out (but `train_epoch` needs `.backward()`).
Shapes: B samples, D features; w stands for a parameter of any shape.
"""

import math

import torch


def momentum_step(w, grad, velocity, lr, momentum, nesterov=False):
    """One step of gradient descent with momentum, in the form that PyTorch uses.

    w, grad and velocity have one shape; lr and momentum are floats. Return (w, velocity) after the
    step as new tensors; leave the arguments as they are.

        velocity <- momentum * velocity + grad
        w        <- w - lr * velocity                        heavy ball
        w        <- w - lr * (grad + momentum * velocity)    with nesterov=True

        w = [1], grad = [2], velocity = [10], lr = 0.1, momentum = 0.5  ->  ([0.3], [7])

    Difficulty: 1/5. Minutes: 10.

    Hint 1: Two lines. The second uses the velocity that the first has just made.
    Hint 2: The gradient enters in full: there is no factor (1 - momentum), and lr is not part of
            the velocity, so that a schedule may change lr without rescaling the past.
    Hint 3: velocity = momentum * velocity + grad; then the direction is velocity, or for Nesterov
            grad + momentum * velocity; w - lr * direction.
    """
    raise NotImplementedError


def soft_threshold(w, threshold):
    """The proximal step of the L1 penalty: where exact zeros come from.

    For each element of w (any shape) on its own, with threshold >= 0, return

        argmin over u of   (u - w)^2 / 2  +  threshold * |u|

    After a gradient step of size lr on the data's loss, soft_threshold(w, lr * strength) does the
    part of the penalty strength * |w|. Return a new tensor.

        w = [3, -0.5, -2], threshold = 1  ->  [2, 0, -1]

    Difficulty: 1/5. Minutes: 10.

    Hint 1: For u > 0 the derivative is u - w + threshold. Where is it 0, and when is that u > 0?
    Hint 2: Every element moves towards 0 by `threshold`, and stops at 0 instead of crossing it.
    Hint 3: The sign of w times max(|w| - threshold, 0).
    """
    raise NotImplementedError


def warmup_cosine(step, total, warmup, peak, floor=0.0):
    """The learning rate of a linear warm-up and a half cosine.

    step = 0, 1, 2, ... counts the updates made so far; all arguments are plain numbers and
    0 <= warmup < total. Return a float:

        step < warmup              peak * (step + 1) / (warmup + 1): no update is wasted on 0
        warmup <= step < total     half a cosine from peak (at step = warmup) to floor (at total)
        step >= total              floor

        total = 10, warmup = 2, peak = 1:  0.3333, 0.6667, 1, 0.9619, 0.8536, 0.6913, 0.5, ...

    Difficulty: 2/5. Minutes: 15.

    Hint 1: Write three cases. In the second, how much of the way from warmup to total is done? That
            progress runs from 0 to 1.
    Hint 2: (1 + cos(pi * progress)) / 2 runs from 1 to 0, flat at both ends.
    Hint 3: floor + (peak - floor) * that. With warmup = 0 the first case never happens, so it
            cannot divide by 0.
    """
    raise NotImplementedError


def clip_gradients(parameters, max_norm):
    """Clip by the global norm, in place.

    parameters: tensors whose .grad is a tensor, or None (those are left out); like
    `model.parameters()` it may be an iterator that can be read only once. The norm is that of all
    gradients written one after the other as a single vector. If it is above max_norm, scale every
    gradient by one common factor, such that the norm becomes max_norm; otherwise change nothing.
    Return the norm before clipping, as a float.

        gradients [3] and [4], max_norm = 1  ->  returns 5, gradients now [0.6] and [0.8]

    Difficulty: 2/5. Minutes: 15.

    Hint 1: The square of the global norm is the sum of the squares of all elements of all of them.
    Hint 2: Clipping each parameter by itself would change the direction of the step.
    Hint 3: First a list of the gradients that are not None. Then, if norm > max_norm, for each of
            them g.mul_(max_norm / norm). When the norm is 0 there is nothing to divide by.
    """
    raise NotImplementedError


def early_stopping(losses, patience, min_delta=0.0):
    """When does training stop, and which epoch's weights are kept?

    losses[i] is the validation loss after epoch i = 0, 1, ... Epoch 0 is the best so far. A later
    one is an improvement, and then the best, if its loss is below best loss - min_delta; nan never
    is. Training stops at the first epoch that ends a row of `patience` epochs without improvement,
    or with the last of `losses`. Return (best_epoch, stop_epoch), two ints. What would have come
    after stop_epoch is never seen. patience >= 1, and losses[0] is finite.

        losses = [3, 2, 2.5, 2.2, 1], patience = 2  ->  (1, 3): the 1 comes too late

    Difficulty: 2/5. Minutes: 15.

    Hint 1: One loop, and two things to remember: the best loss and the epoch that it comes from.
    Hint 2: "Best so far" is the loss of the last improvement. A loss that is lower by less than
            min_delta changes nothing; otherwise many tiny steps would count as progress.
    Hint 3: After each epoch i: if i - best_epoch >= patience, stop. A comparison with nan is always
            False, so write the test such that False means "no improvement".
    """
    raise NotImplementedError


def adamw_step(w, grad, m, v, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """One step of Adam with decoupled weight decay (AdamW).

    w, grad, m, v have one shape; t = 1, 2, ... is the number of this step; m and v are 0 before the
    first. Return (w, m, v) after the step as new tensors; leave the arguments as they are.

        m <- beta1 m + (1 - beta1) grad              running mean of the gradient
        v <- beta2 v + (1 - beta2) grad^2            and of its square
        m_hat = m / (1 - beta1^t),  v_hat = v / (1 - beta2^t)
        w <- w - lr m_hat / (sqrt(v_hat) + eps) - lr weight_decay w

    All four lines use the w of before the step. What is returned are m and v, not m_hat and v_hat.

        w = [1], grad = [5], m = v = [0], t = 1, lr = 0.1  ->  w = [0.9], m = [0.5], v = [0.025]

    Difficulty: 2/5. Minutes: 15.

    Hint 1: Translate line by line, with new names for the corrected averages.
    Hint 2: In the first step m_hat = grad and v_hat = grad^2, so each weight moves by almost
            exactly lr, whatever the size of its gradient. If yours moves by 3 lr, a correction is
            missing.
    Hint 3: eps is added after the root. The decay multiplies w by 1 - lr weight_decay and never
            enters grad, m or v.
    """
    raise NotImplementedError


def train_epoch(model, loss_fn, optimizer, scheduler, batches, accumulate=1):
    """Find the bugs: write this function without its four mistakes.

        def train_epoch(model, loss_fn, optimizer, scheduler, batches, accumulate=1):
            total = 0.0
            for i, (x, y) in enumerate(batches):
                loss = loss_fn(model(x), y)
                loss.backward()
                total += loss.item()
                if (i + 1) % accumulate == 0:
                    scheduler.step()
                    optimizer.step()
            return total / len(batches)

    It is called after a validation, which has left the model in evaluation mode and gradients of
    its own in .grad. `batches` is a list of pairs (x, y) of equal size, their number a multiple of
    `accumulate`; loss_fn is a mean over the samples. Each update shall be the one of a single big
    batch made of `accumulate` batches, and use the learning rate that the optimiser holds; the
    schedule moves once an update. Return the mean loss over the batches, a float.

    Difficulty: 3/5. Minutes: 25.

    Hint 1: Which mode do dropout and batch normalisation need here? What is in .grad when the
            second update begins, and when the first one does?
    Hint 2: .backward() adds to .grad: the sum of `accumulate` mean gradients is `accumulate` times
            the gradient of the big batch. And the first learning rate is already set.
    Hint 3: model.train() and optimizer.zero_grad() before the loop; (loss / accumulate).backward();
            then optimizer.step(), scheduler.step(), optimizer.zero_grad() in this order.
    """
    raise NotImplementedError


def stable_learning_rate(hessian, momentum=0.0):
    """The largest learning rate with which heavy-ball descent still converges on a quadratic.

    f(w) = w^T H w / 2 with a symmetric H (D, D), and momentum in [0, 1):

        velocity <- momentum * velocity + H w,      w <- w - lr * velocity

    Return the lr (a float) below which w stays bounded from every start, and above which it grows
    without limit from almost every one. If some direction curves downward (a saddle), no lr is
    stable: return 0.0. If H = 0, every lr is: return math.inf.

        H = [[4, 0], [0, 1]]  ->  0.5 without momentum, 0.95 with momentum 0.9

    Difficulty: 4/5. Minutes: 30.

    Hint 1: In the directions of H's eigenvectors the problem falls apart into D problems with one
            number each, w <- (1 - lr * eigenvalue) w without momentum. The worst one decides.
    Hint 2: With momentum, w_next = (1 + momentum - lr * eigenvalue) w - momentum * w_before. Put
            w = r^k: r^2 - (1 + momentum - lr * eigenvalue) r + momentum = 0. Both |r| must be < 1.
    Hint 3: The limit is reached when one root is -1. Set r = -1 and solve for lr. For eigenvalues:
            torch.linalg.eigvalsh (rounding may turn a 0 into -1e-17: compare with the largest one).
    """
    raise NotImplementedError


class BatchNorm:
    """Batch normalisation of (B, D), B >= 2, with its backward pass derived by hand.

    Write `forward` and `backward`; the constructor is done. In training, with the mean and the
    variance over the batch, each (D,):

        x_hat = (x - mean) / sqrt(var + eps),    y = weight * x_hat + bias,    var with 1/B

    and the running statistics move by the share `momentum` towards those of the batch, where
    PyTorch takes the variance with 1/(B - 1):

        running <- (1 - momentum) * running + momentum * batch

    In evaluation y comes from the running statistics, which stay as they are. `backward` gets
    dL/dy (B, D) for the last forward, one in training, and returns (dL/dx, dL/dweight, dL/dbias).

    Difficulty: 4/5. Minutes: 40.

    Hint 1: mean and var depend on every row of x, so dL/dx is not just grad_y * weight / std: it
            has two more terms, one through the mean and one through the variance.
    Hint 2: With g = dL/dx_hat = grad_y * weight and std = sqrt(var + eps): dL/dmean = -sum(g) / std
            (var adds 0, as x - mean sums to 0), dL/dvar = -sum(g * (x - mean)) / (2 std^3).
    Hint 3: Together: dx = (g - mean(g) - x_hat * mean(g * x_hat)) / std, means over the batch;
            dweight = sum(grad_y * x_hat), dbias = sum(grad_y). Keep x_hat and std in forward.
    """

    def __init__(self, features, momentum=0.1, eps=1e-5):
        self.momentum, self.eps = momentum, eps
        self.weight = torch.ones(features, dtype=torch.float64)
        self.bias = torch.zeros(features, dtype=torch.float64)
        self.running_mean = torch.zeros(features, dtype=torch.float64)
        self.running_var = torch.ones(features, dtype=torch.float64)

    def forward(self, x, training):
        raise NotImplementedError

    def backward(self, grad_y):
        raise NotImplementedError


def newton_schulz(matrix, steps):
    """The heart of Muon: make all singular values 1, with matrix products alone.

    If matrix = U S V^T, then X <- a X + b (X X^T) X + c (X X^T)^2 X keeps U and V, and turns each
    singular value s into p(s) = a s + b s^3 + c s^5. Find the a, b, c with

        p(1) = 1,    p'(1) = 0,    p''(1) = 0

    so that 1 is a fixed point, and the distance to it is about cubed in each step. Start from
    X = matrix / (its Frobenius norm), which puts all singular values into [0, 1], apply `steps`
    steps, and return X, of the shape of matrix (M, N) and its dtype. A matrix of zeros stays one.

        matrix = [[3, 0], [0, -4]], many steps  ->  [[1, 0], [0, -1]]

    Difficulty: 5/5. Minutes: 30.

    Hint 1: Three linear equations: a + b + c = 1, a + 3b + 5c = 0, and one more for p''(1).
    Hint 2: The third is 6b + 20c = 0. (Muon itself uses a = 3.4445, b = -4.7750, c = 2.0315: faster
            for small s, but it ends up swinging around 1 instead of converging to it.)
    Hint 3: a, b, c = 15/8, -10/8, 3/8. With A = X X^T (M, M): X = a X + (b A + c A A) X. To save
            work for M > N, orthogonalise the transpose and turn it back.
    """
    raise NotImplementedError
