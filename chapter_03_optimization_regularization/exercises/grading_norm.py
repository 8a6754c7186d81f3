"""The checks of exercise `BatchNorm`: forward, running statistics, backward and evaluation."""

import torch

from chapter_03_optimization_regularization.exercises.grading import normal, same
from utils.grading import check_order


def check_norm_forward(ours, torchs, x, where):
    before = [torchs.running_mean.clone(), torchs.running_var.clone()]
    torchs(x)  # moves the running statistics; the output is computed again in the backward check
    y = ours.forward(x.detach(), True)
    mean, var, unbiased = x.mean(0), x.var(0, correction=0), x.var(0)
    weight, bias, eps, share = ours.weight, ours.bias, ours.eps, ours.momentum
    centred = (x - mean).detach()
    with_b_minus_1 = weight * centred / (unbiased + eps).sqrt() + bias
    mistakes = [
        ("1/(B - 1) in the variance: for y it is 1/B", with_b_minus_1),
        ("eps stands outside the root", weight * centred / (var.sqrt() + eps) + bias),
        ("weight and bias are missing", centred / (var + eps).sqrt()),
        ("the running statistics were used: in training those of the batch are",
         weight * (x - before[0]) / (before[1] + eps).sqrt() + bias),
    ]  # fmt: skip
    expected = (weight * centred / (var + eps).sqrt() + bias).detach()
    same(y, expected, f"{where}: y in training", [(r, v.detach()) for r, v in mistakes])
    for name, old, batch in (
        ("running_mean", before[0], mean),
        ("running_var", before[1], unbiased),
    ):
        mistakes = [
            (
                "momentum is the share of the batch, not of the past",
                share * old + (1 - share) * batch,
            ),
            ("it did not move in training", old),
            ("it was replaced by that of the batch", batch),
            (
                "the variance has 1/B; the running one needs 1/(B - 1)",
                (1 - share) * old + share * var,
            ),
        ]
        mistakes = [(reason, value.detach()) for reason, value in mistakes]
        same(getattr(ours, name), getattr(torchs, name), f"{where}: {name}", mistakes)


def check_norm_backward(ours, torchs, x, where):
    grad_y = normal(*x.shape, seed=7)
    statistics = torchs.running_mean.clone(), torchs.running_var.clone()
    expected = torch.autograd.grad(torchs(x), (x, torchs.weight, torchs.bias), grad_y)
    torchs.running_mean, torchs.running_var = statistics
    result = ours.backward(grad_y)
    assert isinstance(result, tuple) and len(result) == 3, "backward: return (dx, dweight, dbias)"
    check_order(result, expected, "(dx, dweight, dbias)", f"{where}: backward")
    reasons = {
        "both": "mean and variance depend on x too: two terms are missing",
        "mean": "the term through the mean is missing",
        "var": "the term through the variance is missing",
        "unbiased": "this is the gradient for a variance with 1/(B - 1)",
    }
    mistakes = [
        (words, norm_gradients(x.detach(), grad_y, ours.weight, ours.eps, name))
        for name, words in reasons.items()
    ]
    without = norm_gradients(x.detach(), grad_y, torch.ones_like(ours.weight), ours.eps)
    mistakes.append(("the factor `weight` is missing", without))
    same(result[0], expected[0], f"{where}: dL/dx", mistakes)
    for name, one, right in zip(("dL/dweight", "dL/dbias"), result[1:], expected[1:], strict=True):
        mean = [("this is a mean over the batch; it is a sum", right / len(x))]
        same(one, right, f"{where}: {name}", mean)


def check_norm_evaluation(ours, torchs, x, where):
    before = [ours.running_mean.clone(), ours.running_var.clone()]
    y = ours.forward(x, False)
    batch = ours.weight * (x - x.mean(0)) / (x.var(0, correction=0) + ours.eps).sqrt() + ours.bias
    words = "the batch's own statistics were used: an answer must not depend on its neighbours"
    same(y, torchs(x).detach(), f"{where}: y in evaluation", [(words, batch)])
    for name, old in zip(("running_mean", "running_var"), before, strict=True):
        moved = not torch.equal(old, getattr(ours, name))
        assert not moved, f"{where}: {name} moved in evaluation; only training moves it"
    assert torch.equal(ours.forward(x[:1], False), y[:1]), f"{where}: a single row in evaluation"


def norm_gradients(x, grad_y, weight, eps, mistake=""):
    """dL/dx of batch normalisation by autograd, with mean or variance held constant if asked."""
    x = x.clone().requires_grad_()
    mean, var = x.mean(0), x.var(0, correction=1 if mistake == "unbiased" else 0)
    mean = mean.detach() if mistake in ("mean", "both") else mean
    var = var.detach() if mistake in ("var", "both") else var
    y = weight * (x - mean) / (var + eps).sqrt()
    return torch.autograd.grad(y, x, grad_y)[0]
