"""What the grader of chapter 6 looks at in one result: biases, a step, a mask, marks.

Each raises an AssertionError that says in one sentence what is wrong.
"""

import torch

from chapter_03_optimization_regularization.exercises.grading import normal, same
from chapter_06_rnn_lstm_seq.exercises import grading
from utils.grading import check_order


def check_biases(lstm, old, b, where):
    """The forget gates have b in sum, in each layer and direction, and the others are as before."""
    for end, ih, hh in grading.biases(lstm):
        old_ih, old_hh = old[end]
        for number, gate in enumerate("ifgo"):
            if gate == "f":
                continue
            moved = not (
                torch.equal(ih[number], old_ih[number]) and torch.equal(hh[number], old_hh[number])
            )
            rows = torch.full_like(ih[0], b)
            total = ih[number] + hh[number]
            wrong = moved and (torch.allclose(total, rows) or torch.allclose(ih[number], rows))
            hint = " (the order is i, f, g, o)" if wrong else ""
            assert not moved, f"{where}, {end}: rows of the gate {gate} were changed{hint}"
        mistakes = [
            ("this layer or direction is as it was", old_ih[1] + old_hh[1]),
            ("bias_hh still has its random numbers: the two are added", b + old_hh[1]),
            ("bias_ih still has its random numbers: the two are added", b + old_ih[1]),
            ("both biases have b, and they are added", torch.full_like(ih[1], 2 * b)),
            ("b was added to what was there", old_ih[1] + old_hh[1] + b),
        ]
        right = torch.full_like(ih[1], b)
        same(ih[1] + hh[1], right, f"{where}, {end}: bias_ih + bias_hh, gate f", mistakes, 1e-6)


def check_clipped(p, old, grad, options, where):
    """One parameter after a step: its value, and its .grad as it was."""
    lr, max_norm, norm = options
    if grad is None:
        assert p.grad is None, f"{where}: a .grad of None has to stay None"
        assert torch.equal(p, old), f"{where}: a parameter without a gradient was changed"
        return
    right = old - lr * min(1.0, max_norm / (norm or 1)) * grad
    assert bool(torch.isfinite(p).all()), f"{where}: nan or inf: 0 divided by 0?"
    mistakes = grading.step_mistakes(old, grad, lr, max_norm, norm) if norm else ()
    same(p.detach(), right, f"{where}: parameter {tuple(old.shape)}", list(mistakes), 1e-6)
    assert p.grad is not None and torch.equal(p.grad, grad), (
        f"{where}: .grad was changed; here only the step is scaled"
    )


def check_mask(mask, lengths, steps, where):
    right = torch.tensor([[t < n for t in range(steps)] for n in lengths])
    assert isinstance(mask, torch.Tensor) and mask.dtype == torch.bool, (
        f"{where}: mask has to be a tensor of bool, not {getattr(mask, 'dtype', mask)}"
    )
    slots = torch.arange(steps)
    mistakes = [
        (
            "one step too many: t < length, counted from 0",
            (slots <= torch.tensor(lengths)[:, None]),
        ),
        (
            "one step too few: t < length, counted from 0",
            (slots < torch.tensor(lengths)[:, None] - 1),
        ),
        ("this marks the padding, not what is real", ~right),
        ("this marks the last real step alone", slots == torch.tensor(lengths)[:, None] - 1),
    ]
    mistakes = [(words, value.double()) for words, value in mistakes]
    same(mask.double(), right.double(), f"{where}: mask", mistakes)


def check_sizes(sizes, lengths, steps, where):
    right = torch.tensor([sum(n > t for n in lengths) for t in range(max(lengths))])
    assert isinstance(sizes, torch.Tensor) and sizes.dtype == torch.int64, (
        f"{where}: sizes has to be a tensor of int64, not {getattr(sizes, 'dtype', sizes)}"
    )
    whole = torch.cat([right, right.new_zeros(steps - max(lengths))])
    mistakes = [
        ("stop behind the longest sequence: a batch of 0 is none", whole),
        (
            "these are the lengths of the sequences, not the numbers of sequences at each step",
            torch.tensor(lengths),
        ),
        ("these are the lengths, sorted", torch.tensor(sorted(lengths, reverse=True))),
    ]
    mistakes = [(words, value.double()) for words, value in mistakes]
    same(sizes.double(), right.double(), f"{where}: sizes", mistakes)


def check_gradient(outputs, last, lengths, where):
    assert last.requires_grad, f"{where}: no gradient comes through last (detach, no_grad?)"
    weights = normal(*last.shape, seed=3)
    (slope,) = torch.autograd.grad(last, outputs, weights)
    right = torch.zeros_like(slope)
    for b, n in enumerate(lengths):
        right[b, n - 1] = weights[b]
    assert not bool(slope.isnan().any()), (
        f"{where}: the gradient has nan from the padding: 0 * nan is nan; pick, do not multiply"
    )
    same(slope, right, f"{where}: gradient of last")


def check_marks(values, starts, length, is_val, where):
    """leaked and clean against the windows' own tokens."""
    right = grading.leaks(starts, length, is_val)
    for value, name in zip(values, ("leaked", "clean"), strict=True):
        assert isinstance(value, torch.Tensor) and value.dtype == torch.bool, (
            f"{where}: {name} has to be a tensor of bool, not {getattr(value, 'dtype', value)}"
        )
    numbers = [value.double() for value in values]
    check_order(numbers, [r.double() for r in right], "(leaked, clean)", where)
    wrong = list(grading.leak_mistakes(starts, length, is_val))
    for i, name in enumerate(("leaked", "clean")):
        whole = [is_val, ~is_val][i]
        mistakes = [
            ("these are all windows of this kind", whole),
            *((words, marks[i]) for words, marks in wrong),
            ("the windows of the other kind are marked too", right[i] | ~whole),
            ("these are the leaking windows of training", ~is_val & ~right[1]),
            ("these are the validation windows that do not leak", is_val & ~right[0]),
        ]
        mistakes = [(words, value.double()) for words, value in mistakes]
        same(numbers[i], right[i].double(), f"{where}: {name}", mistakes)
