"""The grader of chapter 2: `python -m course check 2`.

Each function takes the learner's module `ex` and compares with autograd, `torch.nn.functional` or
the definition. Messages say in words what is likely to be wrong.
"""

import math

import torch
import torch.nn.functional as F

from chapter_02_nn_basics_mlp.exercises.grading import (
    check_hinge_order,
    check_pieces,
    normal,
    same,
    short,
)
from utils.grading import check_order


def test_linear_backward(ex):
    for leading in [(5,), (1,), (2, 3), (), (0,), (4, 1, 2)]:
        for d_in, d_out in [(3, 4), (3, 3), (1, 2)]:
            x = normal(*leading, d_in, seed=1).requires_grad_()
            weight = normal(d_out, d_in, seed=2).requires_grad_()
            bias = normal(d_out, seed=3).requires_grad_()
            grad_output = normal(*leading, d_out, seed=4)
            where = f"x {tuple(x.shape)}, weight {(d_out, d_in)}"
            result = ex.linear_backward(x.detach(), weight.detach(), grad_output)
            assert isinstance(result, tuple) and len(result) == 3, "return (dx, dW, db)"
            expected = torch.autograd.grad(
                F.linear(x, weight, bias), (x, weight, bias), grad_output
            )
            check_order(result, expected, "(dx, dW, db)", where)
            check_batch_sum(result[1], expected[1], leading, where)
            samples = max(math.prod(leading), 1)
            for name, ours, right in zip(("dx", "dW", "db"), result, expected, strict=True):
                mean = [("this is the mean over the samples; it is the sum", right / samples)]
                same(ours, right, f"{where}: {name}", mistakes=mean if name == "db" else ())


def check_batch_sum(dw, expected, leading, where):
    assert dw is not None and dw.shape == expected.shape, (
        f"{where}: dW has to have the weight's shape {tuple(expected.shape)}, got "
        f"{None if dw is None else tuple(dw.shape)}: is a transpose missing, or are the leading "
        "axes of x not flattened?"
    )
    if expected.shape[0] == expected.shape[1]:
        assert not torch.allclose(dw, expected.T) or torch.allclose(dw, expected), (
            f"{where}: dW is transposed; the weight is (D_out, D_in), so dW = grad_output^T @ x"
        )
    samples = math.prod(leading)
    if samples > 1:
        assert not torch.allclose(dw * samples, expected), (
            f"{where}: dW is the mean over the samples; it is the sum (the loss brings its own 1/B)"
        )


def test_dropout_forward(ex):
    x = torch.ones(200, 300)
    y = ex.dropout_forward(x, 0.3, True, torch.Generator().manual_seed(0))
    assert y is not None, "dropout_forward returned None: is the `return` missing?"
    assert bool((x == 1).all()), "x was changed in place: make a new tensor"
    assert y.shape == x.shape, f"x has the shape {tuple(x.shape)}, the output {tuple(y.shape)}"
    for dim, name in ((0, "columns"), (1, "rows")):
        share = (y == 0).double().mean(dim)
        assert not bool(((share == 0) | (share == 1)).any()), (
            f"whole {name} are dropped together: draw a random number for each element"
        )
    zeros = (y == 0).double().mean().item()
    assert abs(zeros - 0.3) < 0.01, f"p = 0.3, but {zeros:.0%} of the elements are 0" + (
        " (p is the probability to drop, not to keep)" if abs(zeros - 0.7) < 0.01 else ""
    )
    scale = y.max().item()
    assert abs(scale - 1 / 0.7) < 1e-5, (
        f"p = 0.3: a surviving 1 became {scale:.4f}; it has to become 1 / (1 - p) = 1.4286, so "
        "that the expectation stays 1 and evaluation needs no correction"
    )
    again = ex.dropout_forward(x, 0.3, True, torch.Generator().manual_seed(0))
    assert torch.equal(y, again), "equal generators give different masks: pass `generator` to rand"
    other = ex.dropout_forward(x, 0.3, True, torch.Generator().manual_seed(1))
    assert not torch.equal(y, other), "different generators give the same mask: is a seed fixed?"
    check_dropout_edges(ex)


def check_dropout_edges(ex):
    x = normal(4, 5)
    single = ex.dropout_forward(x.float(), 0.4, True)
    assert single.dtype == torch.float32, f"float32 in, {single.dtype} out: keep the dtype"
    for p in (0.0, 0.4, 1.0):
        same(ex.dropout_forward(x, p, False), x, f"evaluation with p = {p}: the output is x itself")
    same(ex.dropout_forward(x, 0.0, True), x, "p = 0 drops nothing")
    same(
        ex.dropout_forward(x, 1.0, True), torch.zeros_like(x), "p = 1 drops all (and 1 / 0 is inf)"
    )
    x.requires_grad_()
    y = ex.dropout_forward(x, 0.5, True, torch.Generator().manual_seed(2))
    assert y.requires_grad, "no gradient flows to x: compute the output from x by a product"
    y.sum().backward()
    same(x.grad, (y.detach() != 0) * 2.0, "the gradient is 1 / (1 - p) where x survived, else 0")


def test_standardise(ex):
    train, test = 5 + 3 * normal(50, 4, seed=1), 9 + normal(7, 4, seed=2)
    kept = train.clone()
    result = ex.standardise(train, test)
    assert isinstance(result, tuple) and len(result) == 2, "return a tuple, one tensor per argument"
    assert torch.equal(train, kept), "train was changed in place: make a new tensor"
    mean, std = train.mean(0), train.std(0, correction=0)
    right = [(part - mean) / std for part in (train, test)]
    check_order(result, right, "all of them in the order of the arguments, train first")
    ours, seen = result
    assert not torch.allclose(ours, (train - mean) / train.std(0)), (
        "the deviation was taken with 1/(N-1), torch's default: pass correction=0"
    )
    both = torch.cat([train, test])
    pooled = (train - both.mean(0)) / both.std(0, correction=0)
    assert not torch.allclose(ours, pooled), (
        "the statistics were taken over train and test together: this leaks the test split"
    )
    assert not torch.allclose(seen.mean(0), torch.zeros(4).double()), (
        "the test split was given its own mean and deviation: use those of train, or the same "
        "house gets another number in each split"
    )
    mistakes = [
        ("the mean is not subtracted", train / std),
        ("nothing is divided by the standard deviation", train - mean),
        ("divide by the standard deviation, not by the variance", (train - mean) / std**2),
        ("one mean for all columns; each has its own", (train - train.mean()) / std),
    ]
    same(ours, right[0], "train", mistakes=mistakes)
    same(seen, right[1], "test")
    (alone,) = ex.standardise(train)
    same(alone, ours, "train alone")
    constant = torch.tensor([[0.1, 5.0, 1.0]], dtype=torch.float64).repeat(1001, 1)
    constant[0, 2] = 2.0
    ours, seen = ex.standardise(constant, constant + 1)
    assert bool(torch.isfinite(ours).all()), (
        "a constant column became nan or inf: 0 was divided by 0"
    )
    words = "a constant column: subtract its mean, divide by nothing"
    same(ours[:, :2], torch.zeros(1001, 2).double(), words + " (mind the rounding: hint 3)")
    same(seen[:, :2], torch.ones(1001, 2).double(), words + " (value 1 above it: 1)")


def test_kfold_indices(ex):
    for n, folds in [(10, 5), (11, 3), (7, 7), (2, 2), (100, 8)]:
        pairs = ex.kfold_indices(n, folds, torch.Generator().manual_seed(0))
        assert pairs is not None, "kfold_indices returned None: is the `return` missing?"
        assert len(pairs) == folds, f"{folds} pairs (train, val) are expected, not {len(pairs)}"
        longer = sum(len(val) - len(train) for train, val in pairs)
        assert folds == 2 or longer < 0, (
            f"n = {n}, folds = {folds}: train and val are exchanged: val is the small part"
        )
        for i, (train, val) in enumerate(pairs):
            where = f"n = {n}, folds = {folds}, fold {i}"
            assert train.dtype == val.dtype == torch.int64, f"{where}: indices are int64 tensors"
            both = set(train.tolist()) & set(val.tolist())
            assert not both, f"{where}: {sorted(both)[:5]} are in train and in val: this leaks"
            everything = sorted(train.tolist() + val.tolist())
            assert everything == list(range(n)), (
                f"{where}: train and val together are not 0 .. {n - 1}: {everything[:12]}"
            )
        sizes = [len(val) for _, val in pairs]
        assert max(sizes) - min(sizes) <= 1, (
            f"n = {n}, folds = {folds}: the val sets have the sizes {sizes}; they may differ "
            "by 1 at most"
        )
        used = sorted(index for _, val in pairs for index in val.tolist())
        assert used == list(range(n)), (
            f"n = {n}, folds = {folds}: each sample has to be in exactly one val set (was it "
            "shuffled anew for each fold?)"
        )
    check_shuffled(ex)


def check_shuffled(ex):
    first, again, other = (
        [val.tolist() for _, val in ex.kfold_indices(60, 3, torch.Generator().manual_seed(seed))]
        for seed in (1, 1, 2)
    )
    assert first == again, "equal generators give different folds: pass `generator` to randperm"
    assert first != other, (
        "different generators give the same folds: shuffle with them. In a file sorted by class, "
        "unshuffled folds would each miss classes"
    )
    for n, folds in [(5, 1), (5, 0), (3, 4)]:
        try:
            ex.kfold_indices(n, folds)
        except ValueError:
            continue
        raise AssertionError(f"n = {n}, folds = {folds} is not possible: raise a ValueError")


def test_activation_gain(ex):
    root = math.sqrt
    cases = [
        ("the identity", lambda z: z, 1.0),
        ("2 z", lambda z: 2 * z, 0.5),
        ("ReLU", torch.relu, root(2)),
        ("leaky ReLU of slope 0.2", lambda z: F.leaky_relu(z, 0.2), root(2 / 1.04)),
        ("|z|", torch.abs, 1.0),
        ("a constant 3", lambda z: torch.full_like(z, 3.0), 1 / 3),
        ("sin", torch.sin, 1 / root((1 - math.exp(-2)) / 2)),  # E[cos 2z] = exp(-2)
        ("z^3", lambda z: z**3, 1 / root(15)),  # E[z^6] = 15
        ("tanh", torch.tanh, 1.592537),
        ("GELU", F.gelu, 1.533559),
    ]
    for name, activation, expected in cases:
        result = ex.activation_gain(activation)
        assert result is not None, "activation_gain returned None: is the `return` missing?"
        result, reason = float(result), ""
        if abs(result - 1 / expected) < 2e-3:
            reason = ": this is the inverse; the gain repairs what the activation takes away"
        elif abs(result - expected**2) < 2e-3:
            reason = ": this is gain^2; take the root"
        elif name == "ReLU" and abs(result - 1 / root(0.5 - 0.5 / math.pi)) < 2e-3:
            reason = ": this comes from the variance of the output; take the mean of its square"
        assert abs(result - expected) < 1e-3, (
            f"{name}: the gain is {expected:.4f}, got {result:.4f}{reason}"
        )


def test_cross_entropy(ex):
    for samples, classes, scale in [
        (1, 2, 0.0),
        (4, 3, 1.0),
        (6, 10, 5.0),
        (5, 4, 1e4),
        (3, 1, 1.0),
    ]:
        for smoothing in (0.0, 0.1, 1.0):
            logits = scale * normal(samples, classes, seed=1)
            targets = torch.arange(samples) % classes
            where = f"{samples} samples, {classes} classes, logits of size {scale:g}, {smoothing=}"
            check_cross_entropy(ex, logits, targets, smoothing, where)
    for shift in (1e4, -1e4):
        check_cross_entropy(
            ex, normal(4, 3) + shift, torch.tensor([0, 2, 2, 1]), 0.1, f"all logits near {shift:g}"
        )


def check_cross_entropy(ex, logits, targets, smoothing, where):
    given = logits.clone()
    result = ex.cross_entropy(given, targets, smoothing)
    assert torch.equal(given, logits), "the logits were changed in place: make a new tensor"
    assert isinstance(result, tuple) and len(result) == 2, "return the pair (loss, gradient)"
    leaf = logits.clone().requires_grad_()
    expected = F.cross_entropy(leaf, targets, label_smoothing=smoothing)
    (gradient,) = torch.autograd.grad(expected, leaf)
    check_order(result, (expected, gradient), "(loss, gradient)", where)
    loss, ours = result
    assert isinstance(loss, torch.Tensor) and loss.shape == (), f"{where}: the loss is a 0-d tensor"
    finite = bool(torch.isfinite(loss)) and bool(torch.isfinite(ours).all())
    assert finite, (
        f"{where}: nan or inf. exp() overflows above 709 and log(0) is -inf: subtract the largest "
        "logit of each row, and take x - log(sum(exp(x))), not log(softmax)"
    )
    total = expected.item() * len(logits)
    assert len(logits) == 1 or not math.isclose(loss.item(), total) or total == 0, (
        f"{where}: this is the sum over the samples; take the mean"
    )
    log_p = logits.log_softmax(1)
    hit = log_p.gather(1, targets[:, None]).mean()
    others = log_p.sum(1).mean() - hit
    share = smoothing / max(logits.shape[1] - 1, 1)
    mistakes = [
        ("smoothing was left out", -hit),
        (
            "the target class gets 1 - smoothing + smoothing / C, not 1 + smoothing / C",
            expected.detach() - smoothing * hit,
        ),
        (
            "smoothing / C goes to every class, the target too",
            -(1 - smoothing) * hit - share * others,
        ),
    ]
    same(loss, expected.detach(), f"{where}: loss", 1e-7, mistakes)
    if len(logits) > 1 and bool(gradient.any()):
        assert not torch.allclose(ours, gradient * len(logits)), (
            f"{where}: the gradient is too large by B: the loss is a mean, its gradient has a 1/B"
        )
    p = logits.softmax(1) / len(logits)
    hot = F.one_hot(targets, logits.shape[1]) / len(logits)
    rest = (1 - hot * len(logits)) / len(logits)
    mistakes = [
        ("subtract q: this is the softmax alone", p),
        ("smoothing was left out", p - hot),
        (
            "smoothing / C goes to every class, the target too",
            p - (1 - smoothing) * hot - share * rest,
        ),
    ]
    same(ours, gradient, f"{where}: gradient", 1e-7, mistakes)


def test_hinge_network(ex):
    cases = [
        ([0.0, 1.0, 2.0], [0.0, 1.0, 0.0], 0.0, 0.0),
        ([0.0, 1.0, 2.0], [3.0, 4.0, 2.0], 0.0, 0.0),  # b2 is needed
        ([-1.0, 0.5, 0.75, 4.0], [2.0, -1.0, 0.0, 0.5], 0.0, 0.0),  # uneven steps
        ([-2.0, 3.0], [1.0, -1.0], 0.0, 1.5),
        ([-2.0, 3.0], [1.0, -1.0], -0.7, 0.0),
        ([1.0, 2.0, 2.5], [0.0, 0.0, 1.0], 2.0, -3.0),
        ([0.5], [2.0], 1.0, -1.0),  # one point: a roof
    ]
    for xs, ys, left, right in cases:
        x, y = torch.tensor(xs, dtype=torch.float64), torch.tensor(ys, dtype=torch.float64)
        result = ex.hinge_network(x, y, left, right)
        assert isinstance(result, tuple) and len(result) == 4, "return (w1, b1, w2, b2)"
        w1, b1, w2, b2 = (torch.as_tensor(part, dtype=torch.float64) for part in result)
        where = f"x = {xs}, y = {ys}, slopes {left} and {right}"
        assert w1.ndim == 1 and w1.shape == b1.shape == w2.shape and b2.ndim == 0, (
            f"{where}: w1, b1, w2 have the shape (H,) and b2 the shape (), got "
            f"{[tuple(part.shape) for part in (w1, b1, w2, b2)]}"
        )
        assert len(w1) <= len(xs) + 1, (
            f"{where}: {len(w1)} hidden units; one for each point and one for the left side do"
        )
        check_hinge_order((w1, b1, w2, b2), x, y, left, right, where)
        check_pieces((w1, b1, w2, b2), x, y, left, right, where)


def test_tent_network(ex):
    for depth in (1, 2, 3, 8):
        layers = ex.tent_network(depth)
        assert layers is not None, "tent_network returned None: is the `return` missing?"
        assert len(layers) == depth + 1, (
            f"depth {depth}: {depth} hidden layers and one output layer are {depth + 1} pairs, got "
            f"{len(layers)}"
        )
        t = torch.linspace(0, 1, 2 ** (depth + 3) + 1, dtype=torch.float64)[:, None]  # (B, 1)
        h, expected = t, t
        for i, (weight, bias) in enumerate(layers):
            shape = (1 if i == depth else 2, 1 if i == 0 else 2)
            assert tuple(weight.shape) == shape and tuple(bias.shape) == shape[:1], (
                f"depth {depth}, layer {i}: expected a weight {shape} and a bias {shape[:1]}, got "
                f"{tuple(weight.shape)} and {tuple(bias.shape)}"
            )
            h = h @ weight.double().T + bias.double()  # (B, in) -> (B, out)
            h = torch.relu(h) if i < depth else h
        for _ in range(depth):
            expected = 1 - (2 * expected - 1).abs()
        pieces = 1 + int((torch.diff(h[:, 0], n=2).abs() > 1e-9).sum())
        every = 2 ** (8 if depth == 8 else 2)
        assert torch.allclose(h, expected, atol=1e-9), (
            f"depth {depth}: the output is not the tent map applied {depth} times. It has {pieces} "
            f"linear pieces instead of {2**depth}; at even steps from 0 to 1 it is "
            f"{short(h[::every])} instead of {short(expected[::every])}"
        )
