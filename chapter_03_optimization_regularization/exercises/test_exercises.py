"""The grader of chapter 3: `python -m course check 3`.

Each function takes the learner's module `ex` and compares with torch or an independent formula.
Where a result is wrong, it is also compared with what the usual mistakes would give (`grading.py`),
so that the message can name the mistake.
"""

import math
import warnings

import torch
from torch import nn

from chapter_03_optimization_regularization.exercises.grading import (
    ADAM_MISTAKES,
    adam_variant,
    check_adam_run,
    check_momentum_run,
    check_rate,
    check_stability,
    close,
    epoch_mistakes,
    epoch_setting,
    epoch_variant,
    equal_states,
    gradients,
    normal,
    polynomial_of_singular_values,
    same,
    schedule,
    schedule_mistakes,
    stopped,
    unchanged,
)
from chapter_03_optimization_regularization.exercises.grading_norm import (
    check_norm_backward,
    check_norm_evaluation,
    check_norm_forward,
)
from utils.grading import check_order


def test_momentum_step(ex):
    for shape, momentum, nesterov in [
        ((3,), 0.0, False),
        ((2, 3), 0.9, False),
        ((), 0.5, False),
        ((4,), 0.9, True),
    ]:
        where = f"{momentum = }, {nesterov = }"
        w, grad, velocity = (normal(*shape, seed=seed) for seed in (1, 2, 3))
        kept = [tensor.clone() for tensor in (w, grad, velocity)]
        result = ex.momentum_step(w, grad, velocity, 0.1, momentum, nesterov)
        assert isinstance(result, tuple) and len(result) == 2, "return the pair (w, velocity)"
        unchanged(kept, (w, grad, velocity), ("w", "grad", "velocity"))
        right = momentum * velocity + grad
        ahead = w - 0.1 * (grad + momentum * right)
        step = ahead if nesterov else w - 0.1 * right
        check_order(result, (step, right), "(w, velocity)", where)
        mean = momentum * velocity + (1 - momentum) * grad
        mistakes = [
            ("this is a running mean; torch adds the gradient in full, without 1 - momentum", mean),
            ("lr belongs into the step of w, not into the velocity", right - 0.9 * grad),
            ("the velocity has to grow along +grad; the minus comes with w", right - 2 * grad),
            ("this is the old velocity", velocity),
        ]
        same(result[1], right, f"{where}: velocity", mistakes)
        mistakes = [
            ("the step used the old velocity", w - 0.1 * velocity),
            ("this is Nesterov's step, but nesterov=False", ahead),
            ("this is the heavy ball, but nesterov=True", w - 0.1 * right),
            ("this goes uphill: subtract", 2 * w - step),
        ]
        same(result[0], step, f"{where}: w", mistakes)
    for nesterov in (False, True):
        check_momentum_run(ex, nesterov)


def test_soft_threshold(ex):
    w = torch.cat([normal(50) * 2, torch.tensor([0.0, 1.0, -1.0, 0.3, -0.3]).double()])
    kept = w.clone()
    grid = torch.linspace(-6, 6, 120_001, dtype=torch.float64)  # steps of 1e-4
    for threshold in (0.0, 0.3, 1.0, 100.0):
        result = ex.soft_threshold(w, threshold)
        unchanged([kept], [w], ["w"])
        small = w.abs() <= threshold
        expected = torch.where(small, 0.0, w - threshold * w.sign())
        mistakes = [
            ("this is hard thresholding: the large ones have to shrink too", w * ~small),
            ("elements cross 0: they have to stop there", w - threshold * w.sign()),
            (
                "this is what an L2 penalty does: it scales, and nothing becomes 0",
                w / (1 + threshold),
            ),
            ("the negative elements lost their sign", expected.abs()),
            ("the negative elements are treated like small ones", expected.clamp(min=0)),
        ]
        same(result, expected, f"threshold {threshold}", mistakes)
        assert bool((result[small] == 0).all()), (
            f"threshold {threshold}: elements below it have to become exactly 0, not almost"
        )
        for value, ours in zip(w[:5], result, strict=False):
            objective = (grid - value) ** 2 / 2 + threshold * grid.abs()
            assert abs(grid[objective.argmin()] - ours) < 1e-3, (
                f"threshold {threshold}, w = {value:.4f}: a grid search finds the minimum at "
                f"{grid[objective.argmin()]:.4f}, not at {ours:.4f}"
            )
    same(
        ex.soft_threshold(w.reshape(5, 11), 0.5),
        ex.soft_threshold(w, 0.5).reshape(5, 11),
        "(5, 11)",
    )


def test_warmup_cosine(ex):
    cases = [
        (10, 2, 1.0, 0.0),
        (100, 0, 0.3, 0.0),
        (7, 6, 2.0, 0.5),
        (50, 10, 0.1, 0.01),
        (1, 0, 1, 0),
    ]
    for total, warmup, peak, floor in cases:
        for step in [*range(total + 1), total + 5, 10 * total]:
            where = f"step {step} of {total = }, {warmup = }, {peak = }, {floor = }"
            close(
                ex.warmup_cosine(step, total, warmup, peak, floor),
                schedule(step, total, warmup, peak, floor),
                where,
                schedule_mistakes(step, total, warmup, peak, floor),
            )


def test_clip_gradients(ex):
    for scale, max_norm in [(5.0, 1.0), (0.01, 1.0), (1e6, 0.5), (3.0, 1e9), (0.0, 1.0)]:
        where = f"gradients of size about {scale:g}, {max_norm = }"
        ours, reference = gradients(scale), gradients(scale)
        before = [None if p.grad is None else p.grad.clone() for p in ours]
        expected = torch.nn.utils.clip_grad_norm_(reference, max_norm).item()
        norm = ex.clip_gradients(iter(ours), max_norm)
        each = [g.norm().item() for g in before if g is not None]
        mistakes = [
            (
                "this is the sum of the norms; the global one is the root of the summed squares",
                sum(each),
            ),
            ("this is the norm after clipping; return the one before", min(expected, max_norm)),
            ("this is the norm squared", expected**2),
            ("this is the largest norm of a single parameter", max(each)),
        ]
        close(norm, expected, f"{where}: returned norm", mistakes, 1e-6)
        for p, old in zip(ours, before, strict=True):
            assert (p.grad is None) == (old is None), f"{where}: a .grad of None has to stay None"
            if old is not None:
                right = old * min(1.0, max_norm / expected) if expected else old
                mistakes = [
                    ("nothing was changed: scale in place (was an iterator read twice?)", old),
                    ("small gradients were blown up to max_norm", old * max_norm / (expected or 1)),
                    (
                        "each was clipped by itself",
                        old * min(1.0, max_norm / (old.norm().item() or 1)),
                    ),
                    ("each element was clipped", old.clamp(-max_norm, max_norm)),
                ]
                assert bool(torch.isfinite(p.grad).all()), f"{where}: nan or inf: 0 divided by 0?"
                same(p.grad, right, f"{where}: gradient {tuple(old.shape)}", mistakes, 1e-6)


def test_early_stopping(ex):
    nan, inf = math.nan, math.inf
    cases = [
        ([3, 2, 2.5, 2.2, 1], 2, 0.0, (1, 3), "what comes after the stop is never seen"),
        ([3, 2, 2.5, 1.9, 2, 2], 2, 0.0, (3, 5), "an improvement starts the count anew"),
        ([3, 2, 1], 5, 0.0, (2, 2), "it never stops early: the last epoch ends it"),
        ([1, 2, 3, 4], 1, 0.0, (0, 1), "patience 1: the first epoch without improvement stops"),
        ([2, 2, 2, 2], 3, 0.0, (0, 3), "an equal loss is no improvement"),
        (
            [1, 0.99, 0.98, 0.97, 0.96],
            3,
            0.1,
            (0, 3),
            "lower by less than min_delta: no improvement",
        ),
        ([1, 0.95, 0.85, 0.9], 3, 0.1, (2, 3), "min_delta counts from the last improvement"),
        ([1, nan, nan, 0.5], 2, 0.0, (0, 2), "nan is no improvement"),
        ([1, nan, 0.5, inf], 2, 0.0, (2, 3), "after a nan the best so far is still the 1"),
        ([-1, -2, -1.5], 2, 0.0, (1, 2), "losses may be negative"),
        ([0.7], 1, 0.0, (0, 0), "a single epoch"),
    ]
    for losses, patience, min_delta, expected, words in cases:
        where = f"{losses = }, {patience = }, {min_delta = }"
        result = ex.early_stopping(list(losses), patience, min_delta)
        assert isinstance(result, tuple | list) and len(result) == 2, (
            f"{where}: return the pair (best_epoch, stop_epoch), not {result!r}"
        )
        check_order(result, expected, "(best_epoch, stop_epoch)", where)
        kept = " (the stop is right; keep the best epoch, not the last)"
        hint = kept if result[0] == result[1] == expected[1] != expected[0] else ""
        if tuple(result) == stopped(losses, patience + 1, min_delta):
            hint = " (one epoch too late: `patience` epochs without improvement are enough)"
        elif tuple(result) == stopped(losses, patience - 1, min_delta):
            hint = " (one epoch too early)"
        assert tuple(result) == expected, (
            f"{where}: expected {expected}, got {result}: {words}{hint}"
        )


def test_adamw_step(ex):
    for t, options in [
        (1, (0.1, 0.9, 0.999, 1e-8, 0.0)),
        (2, (0.01, 0.8, 0.95, 0.1, 0.0)),  # an eps that is seen
        (7, (0.01, 0.9, 0.99, 1e-8, 0.3)),
    ]:
        w, grad, m = (normal(3, 2, seed=seed) for seed in (1, 2, 3))
        m, v = (0 * m, 0 * m) if t == 1 else (m, normal(3, 2, seed=4).square())
        kept = [tensor.clone() for tensor in (w, grad, m, v)]
        result = ex.adamw_step(w, grad, m, v, t, *options)
        assert isinstance(result, tuple) and len(result) == 3, "return (w, m, v)"
        unchanged(kept, (w, grad, m, v), ("w", "grad", "m", "v"))
        expected = adam_variant(w, grad, m, v, t, *options)
        check_order(result, expected, "(w, m, v)", f"step {t}")
        where = f"step {t}, eps {options[3]}, weight decay {options[4]}"
        hats = [expected[1] / (1 - options[1] ** t), expected[2] / (1 - options[2] ** t)]
        other = (options[0], 1 - options[1], 1 - options[2], *options[3:])
        swapped = adam_variant(w, grad, m, v, t, *other)
        coupled = adam_variant(w, grad, m, v, t, *options, "coupled")
        for i, name in ((1, "m"), (2, "v")):
            mistakes = [
                (f"this is {name}_hat; return {name} itself", hats[i - 1]),
                (ADAM_MISTAKES["coupled"], coupled[i]),
                ("v is the mean of the squares", adam_variant(*kept, t, *options, "square")[2]),
                ("beta and 1 - beta are swapped", swapped[i]),
            ]
            same(result[i], expected[i], f"{where}: {name}", mistakes)
        mistakes = [
            (reason, adam_variant(w, grad, m, v, t, *options, name)[0])
            for name, reason in ADAM_MISTAKES.items()
        ]
        same(result[0], expected[0], f"{where}: w", mistakes)
    check_adam_run(ex)


def test_train_epoch(ex):
    for accumulate, updates, momentum in [(1, 4, 0.9), (3, 3, 0.9), (2, 1, 0.0)]:
        setting = epoch_setting(accumulate, updates, momentum)
        model, optimizer, scheduler, batches, _ = setting()
        losses = []

        def loss_fn(prediction, target, losses=losses):
            losses.append(nn.functional.mse_loss(prediction, target))
            return losses[-1]

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the message below says it
            result = ex.train_epoch(model, loss_fn, optimizer, scheduler, batches, accumulate)
        where = f"{len(batches)} batches, {accumulate = }"
        if not equal_states(epoch_variant(setting), model):
            found = epoch_mistakes(setting, model)
            words = "; ".join(found) or "the weights differ from those of the right updates"
            raise AssertionError(f"{where}: {words}")
        check_rate(optimizer, 0.1 * 0.7**updates, where)
        mean = sum(loss.item() for loss in losses) / len(batches)
        mistakes = [
            ("this is the sum over the batches", mean * len(batches)),
            ("this is the sum divided by the number of updates", mean * accumulate),
            ("the losses were divided by `accumulate` before they were added", mean / accumulate),
        ]
        assert not isinstance(result, torch.Tensor) or not result.requires_grad, (
            f"{where}: the returned loss holds the graphs of all batches: add loss.item()"
        )
        close(result, mean, f"{where}: returned loss", mistakes)


def test_stable_learning_rate(ex):
    basis = torch.linalg.qr(normal(4, 4)).Q
    spread = torch.diag(torch.tensor([1.0, 2.0, 50.0, 7.0]).double())
    hessians = [
        ("diag(4, 1)", torch.diag(torch.tensor([4.0, 1.0]).double())),
        ("a rotated diag(1, 2, 50, 7)", basis @ spread @ basis.T),
        ("a (1, 1) matrix [0.01]", torch.tensor([[0.01]]).double()),
        ("a flat direction, diag(2, 0)", torch.diag(torch.tensor([2.0, 0.0]).double())),
        ("v v^T (rank 1)", torch.outer(basis[0], basis[0]) * 3),
    ]
    for name, hessian in hessians:
        values = torch.linalg.svdvals(hessian)  # no eigenvalue is negative: the same numbers
        top, bottom = values[0].item(), values[-1].item()
        for momentum in (0.0, 0.6, 0.99):
            factor = 2 * (1 + momentum)
            mistakes = [
                ("was a rounding error taken for a negative eigenvalue?", 0.0),
                ("momentum allows for more: put r = -1 into hint 2's equation", 2 / top),
                ("this is 1 / (largest eigenvalue); twice as much is still stable", 1 / top),
                ("momentum makes the range larger, not smaller", 2 * (1 - momentum) / top),
                ("the largest curvature decides, not the smallest", factor / (bottom or 1)),
                ("this is the fastest lr without momentum, not the limit", 2 / (top + bottom)),
                ("the largest eigenvalue decides, not their sum", factor / values.sum().item()),
            ]
            where = f"H = {name}, {momentum = }"
            result = ex.stable_learning_rate(hessian, momentum)
            close(result, factor / top, where, mistakes, 1e-6)
            check_stability(hessian, momentum, float(result), where)
    saddle = torch.diag(torch.tensor([1.0, -0.1]).double())
    close(ex.stable_learning_rate(saddle, 0.5), 0.0, "a saddle, diag(1, -0.1): no lr is stable")
    flat = ex.stable_learning_rate(torch.zeros(2, 2).double())
    assert flat == math.inf, f"H = 0: every lr is stable, so return math.inf, not {flat}"


def test_BatchNorm(ex):
    for rows, features, momentum, eps in [(8, 3, 0.1, 1e-5), (2, 1, 0.3, 1e-5), (5, 4, 0.1, 0.5)]:
        where = f"x ({rows}, {features}), momentum {momentum}, eps {eps}"
        ours, torchs = (
            ex.BatchNorm(features, momentum, eps),
            nn.BatchNorm1d(features, eps, momentum),
        )
        torchs = torchs.double()
        for name in ("weight", "bias"):
            value = normal(features, seed=len(name)) + 2
            setattr(ours, name, value.clone())
            getattr(torchs, name).data.copy_(value)
        for step in range(3):
            x = (3 * normal(rows, features, seed=step) + 5).requires_grad_()
            kept = x.detach().clone()
            check_norm_forward(ours, torchs, x, f"{where}, batch {step + 1}")
            unchanged([kept], [x.detach()], ["x"])
            check_norm_backward(ours, torchs, x, f"{where}, batch {step + 1}")
        x = normal(rows, features, seed=9)
        check_norm_evaluation(ours, torchs.eval(), x, where)


def test_newton_schulz(ex):
    right = (15 / 8, -10 / 8, 3 / 8)
    wrong = {
        "these are Muon's a, b, c: p(1) is not 1": (3.4445, -4.7750, 2.0315),
        "this is the cubic 3/2, -1/2: p''(1) = 0 asks for a third term": (1.5, -0.5, 0.0),
    }
    for shape in [(3, 3), (2, 5), (5, 2), (1, 4), (16, 8)]:
        matrix = 10 * normal(*shape, seed=3)
        kept = matrix.clone()
        for steps in (0, 1, 2, 5, 40):
            where = f"matrix {shape}, {steps} steps"
            result = ex.newton_schulz(matrix, steps)
            unchanged([kept], [matrix], ["matrix"])
            expected = polynomial_of_singular_values(matrix, steps, right)
            mistakes = [
                (words, polynomial_of_singular_values(matrix, steps, coefficients))
                for words, coefficients in wrong.items()
            ]
            mistakes += [
                ("divide by the Frobenius norm first", matrix if steps == 0 else expected),
                (
                    "this was divided by the largest singular value, not the Frobenius norm",
                    polynomial_of_singular_values(matrix, steps, right, 2),
                ),
                (
                    "a step is missing",
                    polynomial_of_singular_values(matrix, max(steps - 1, 0), right),
                ),
                ("one step too many", polynomial_of_singular_values(matrix, steps + 1, right)),
            ]
            assert result is None or bool(torch.isfinite(result).all()), (
                f"{where}: nan or inf: it diverges from singular values above 1. Divide by the "
                "Frobenius norm first"
            )
            same(result, expected, where, mistakes, 1e-6)
        u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
        same(ex.newton_schulz(matrix, 40), u @ vt, f"matrix {shape}, 40 steps: U V^T", (), 1e-6)
    zeros = ex.newton_schulz(torch.zeros(2, 3).double(), 3)
    assert bool((zeros == 0).all()), "a matrix of zeros became nan: its norm is 0"
    single = ex.newton_schulz(normal(3, 2).float(), 5)
    assert single.dtype == torch.float32, f"float32 in, {single.dtype} out: keep the dtype"
