"""What the grader of chapter 3 compares with: right results, and those of the usual mistakes.

A wrong result is looked up among the values that a mistake would give, so that the message can name
it. The formulas here are written in another way than those of the hints.
"""

import itertools
import math
import warnings

import torch
from torch import nn

from chapter_02_nn_basics_mlp.exercises.grading import normal, short
from utils.grading import because


def same(result, expected, words, mistakes=(), tolerance=1e-9):
    """`result` has the shape and the numbers of `expected`; `mistakes`: pairs (reason, value)."""
    assert result is not None, f"{words}: got None; is the `return` missing?"
    assert isinstance(result, torch.Tensor), f"{words}: a tensor is expected, not {result!r}"

    def equal(value):
        close = {"rtol": tolerance, "atol": tolerance}
        return result.shape == value.shape and torch.allclose(
            result.to(value.dtype), value, **close
        )

    why = because(result, expected, [reason for reason, value in mistakes if equal(value)])
    assert result.shape == expected.shape, (
        f"{words}: expected the shape {tuple(expected.shape)}, got {tuple(result.shape)}{why}"
    )
    assert equal(expected), f"{words}: expected {short(expected)}, got {short(result)}{why}"


def close(result, expected, words, mistakes=(), tolerance=1e-9):
    """The same for a plain number."""
    assert result is not None, f"{words}: got None; is the `return` missing?"
    if math.isclose(float(result), expected, rel_tol=tolerance, abs_tol=tolerance):
        return
    reasons = [
        reason
        for reason, value in mistakes
        if math.isclose(float(result), value, rel_tol=tolerance, abs_tol=tolerance)
    ]
    why = because(result, expected, reasons)
    raise AssertionError(f"{words}: expected {expected:.6g}, got {float(result):.6g}{why}")


def unchanged(before, after, names):
    for name, old, new in zip(names, before, after, strict=True):
        assert torch.equal(old, new), f"the argument {name} was changed in place: make a new tensor"


def schedule(step, total, warmup, peak, floor):
    """Half a cosine as sin^2 of the way that is left; independent of the hints' formula."""
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    left = max(total - step, 0) / (total - warmup)
    return floor + (peak - floor) * math.sin(math.pi / 2 * left) ** 2


def schedule_mistakes(step, total, warmup, peak, floor):
    if step < warmup:
        from_floor = floor + (peak - floor) * (step + 1) / (warmup + 1)
        yield "the first update would do nothing: count it, step + 1", peak * step / warmup
        yield "update number `warmup` is the first at the peak", peak * (step + 1) / warmup
        yield "the warm-up starts from 0, not from floor", from_floor
    elif step >= total:
        wave = (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
        yield "past the end the cosine rises again: return floor", floor + (peak - floor) * wave
        yield "past the end it is floor, not 0", 0.0
    else:
        whole = (1 + math.cos(math.pi * step / total)) / 2
        wave = (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
        yield "the cosine runs from warmup to total, not from 0", floor + (peak - floor) * whole
        yield "floor is added on top: the factor is peak - floor", floor + peak * wave
        yield "floor is missing", peak * wave
        rising = floor + (peak - floor) * (1 - wave)
        yield "the cosine runs the wrong way round, from floor to peak: 1 + cos", rising
        yield "this is a maximum with floor, not a cosine towards it", max(floor, peak * wave)


def stopped(losses, patience, min_delta):
    """(best_epoch, stop_epoch) by asking each epoch anew what has happened up to it."""
    best = 0
    for epoch in range(1, len(losses)):
        if losses[epoch] < losses[best] - min_delta:
            best = epoch
        if epoch - best >= max(patience, 1):
            return best, epoch
    return best, len(losses) - 1


def adam_variant(w, grad, m, v, t, lr, beta1, beta2, eps, decay, mistake=""):
    """AdamW in another notation than the exercise's, or with one of the usual mistakes."""
    if mistake == "coupled":
        grad = grad + decay * w
    m = m.lerp(grad, 1 - beta1)
    v = v.lerp(grad.abs() if mistake == "square" else grad.square(), 1 - beta2)
    none = mistake == "uncorrected"
    first = 1.0 if none or mistake == "only v" else 1 - beta1**t
    second = 1.0 if none or mistake == "only m" else 1 - beta2**t
    root = (v / second + eps).sqrt() if mistake == "eps" else (v / second).sqrt() + eps
    shrink = {"coupled": 0.0, "ignored": 0.0, "unscaled": decay, "grown": -lr * decay}.get(
        mistake, lr * decay
    )
    return w * (1 - shrink) - lr * (m / first) / root, m, v


ADAM_MISTAKES = {
    "uncorrected": "the bias correction is missing: in step 1 it would move by lr",
    "only m": "the bias correction of v is missing",
    "only v": "the bias correction of m is missing",
    "eps": "eps stands inside the root; add it after",
    "coupled": "the decay went into the gradient: that is Adam with L2, not AdamW",
    "ignored": "weight_decay is not used",
    "unscaled": "the decay has to be multiplied by lr",
    "grown": "the decay has the wrong sign",
}


def gradients(scale):
    """Parameters (2, 3), (4,) without a gradient, (5,) and ()."""
    parameters = [nn.Parameter(normal(*shape)) for shape in [(2, 3), (4,), (5,), ()]]
    for seed, p in enumerate(parameters, start=1):
        p.grad = None if p.shape == (4,) else scale * normal(*p.shape, seed=seed)
    return parameters


# The ways to write train_epoch: the first of each is right.
EPOCH_CHOICES = {
    "mode": ("train", "model.train() is missing: it still runs in evaluation mode"),
    "zero": (
        "clean",
        "zero_grad() is missing: gradients of earlier updates are still in .grad",
        "the gradients that were there before the call go into the first update: zero_grad() first",
        "zero_grad() after every batch throws the accumulated gradients away: once an update",
        "zero_grad() runs once an epoch: gradients of earlier updates are still in .grad",
    ),
    "schedule": (
        "after",
        "scheduler.step() comes before optimizer.step(): the first learning rate is skipped",
        "scheduler.step() runs after every batch: once an update",
        "scheduler.step() is missing, or runs once an epoch: once an update",
    ),
    "scale": (
        "mean",
        "the gradients of the batches are added, not averaged: divide the loss by `accumulate`",
    ),
}


def epoch_variant(setting, mode=0, zero=0, schedule=0, scale=0):
    """One epoch with the chosen mistake of each kind (0: none); the model after it."""
    model, optimizer, scheduler, batches, accumulate = setting()
    if mode == 0:
        model.train()
    if zero in (0, 3, 4):
        optimizer.zero_grad()
    for i, (x, y) in enumerate(batches, start=1):
        loss = nn.functional.mse_loss(model(x), y)
        (loss / accumulate if scale == 0 else loss).backward()
        update = i % accumulate == 0
        if schedule == 2 or (schedule == 1 and update):
            scheduler.step()
        if update:
            optimizer.step()
        if (schedule == 0 and update) or (schedule == 3 and i == len(batches)):
            scheduler.step()
        if (zero in (0, 2) and update) or zero == 3:
            optimizer.zero_grad()
    return model


def epoch_mistakes(setting, model):
    """The smallest set of mistakes that gives these weights, in words; [] if none is known."""
    counts = [range(len(choices)) for choices in EPOCH_CHOICES.values()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of a scheduler that comes first
        for picks in sorted(itertools.product(*counts), key=lambda picks: sum(map(bool, picks))):
            variant = epoch_variant(setting, *picks)
            if equal_states(variant, model):
                choices = zip(picks, EPOCH_CHOICES.values(), strict=True)
                return [words[pick] for pick, words in choices if pick]
    return []


def equal_states(a, b):
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.allclose(x, y, rtol=1e-8, atol=1e-10) for x, y in pairs)


def epoch_setting(accumulate, updates=3, momentum=0.9):
    """A function that makes the same start again: a model after a validation, an optimiser ..."""

    def setting():
        torch_state = torch.get_rng_state()
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 1))
        torch.set_rng_state(torch_state)
        model = model.double().eval()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.7)
        count = accumulate * updates
        x, y = normal(count, 8, 3, seed=1), normal(count, 8, 1, seed=2)  # (N, B, D), (N, B, 1)
        for p in model.parameters():
            p.grad = torch.full_like(p, 0.3)  # left over from before
        return model, optimizer, scheduler, list(zip(x, y, strict=True)), accumulate

    return setting


def check_rate(optimizer, expected, where):
    rate = optimizer.param_groups[0]["lr"]
    assert math.isclose(rate, expected), (
        f"{where}: the learning rate after the epoch is {rate:.4g}, expected {expected:.4g}: the "
        "schedule moves once an update, after optimizer.step()"
    )


def check_stability(hessian, momentum, lr, where):
    """The iteration as one matrix that acts on (w, velocity): its powers must stay bounded."""
    size = len(hessian)
    eye = torch.eye(size, dtype=hessian.dtype)
    for share, grows in ((0.99, False), (1.01, True)):
        top = torch.cat([eye - share * lr * hessian, -share * lr * momentum * eye], dim=1)
        below = torch.cat([hessian, momentum * eye], dim=1)  # (D, 2 D)
        radius = torch.linalg.eigvals(torch.cat([top, below])).abs().max().item()
        assert (radius > 1 + 1e-9) == grows, (
            f"{where}: with {share} times your lr the iteration "
            f"{'still converges' if grows else 'grows'} (factor {radius:.4f} a step)"
        )


def polynomial_of_singular_values(matrix, steps, coefficients, norm=None):
    """What `steps` Newton-Schulz steps give, by a singular value decomposition.

    The start is divided by the Frobenius norm, or with norm=2 by the spectral one.
    """
    a, b, c = coefficients
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    s = s / (s.max() if norm == 2 else s.norm())  # the singular values have the matrix's norm
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    return (u * s) @ vt


def check_momentum_run(ex, nesterov):
    """Ten steps beside torch.optim.SGD, with a learning rate that changes on the way."""
    hessian = torch.diag(torch.tensor([1.0, 3.0, 10.0], dtype=torch.float64))
    w, velocity = normal(3), torch.zeros(3, dtype=torch.float64)
    leaf = w.clone().requires_grad_()
    optimizer = torch.optim.SGD([leaf], lr=0.1, momentum=0.9, nesterov=nesterov)
    for step in range(10):
        lr = optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
        leaf.grad = hessian @ leaf.detach()
        optimizer.step()
        w, velocity = ex.momentum_step(w, hessian @ w, velocity, lr, 0.9, nesterov)
        same(
            w, leaf.detach(), f"{nesterov = }: w after step {step + 1} of a run beside torch's SGD"
        )


def check_adam_run(ex):
    """Twenty steps of the default options beside torch.optim.AdamW."""
    w, m, v = normal(4), *torch.zeros(2, 4, dtype=torch.float64)
    leaf = w.clone().requires_grad_()
    optimizer = torch.optim.AdamW([leaf], lr=0.05, weight_decay=0.1)
    for t in range(1, 21):
        leaf.grad = torch.cos(3 * leaf.detach())
        optimizer.step()
        w, m, v = ex.adamw_step(w, torch.cos(3 * w), m, v, t, lr=0.05, weight_decay=0.1)
        same(w, leaf.detach(), f"w after step {t} of a run beside torch's AdamW")
