"""The grader of chapter 6: `python -m course check 6`.

Each function takes the learner's module `ex` and compares with torch or an independent formula.
Where a result is wrong, it is also compared with what the usual mistakes would give (`grading.py`),
so that the message can name the mistake.
"""

import math

import torch
from torch import nn

from chapter_03_optimization_regularization.exercises.grading import (
    close,
    normal,
    same,
    unchanged,
)
from chapter_04_cnn_classic.exercises.grading import tensors
from chapter_06_rnn_lstm_seq.exercises import grading, grading_bptt, grading_checks
from utils.grading import check_order


def test_gru_cell(ex):
    for seed, (batch, inputs, size) in enumerate([(3, 2, 4), (2, 5, 3), (1, 1, 1)]):
        where = f"B = {batch}, D = {inputs}, H = {size}"
        cell = nn.GRUCell(inputs, size).double()
        for number, parameter in enumerate(cell.parameters()):
            parameter.data.copy_(normal(*parameter.shape, seed=10 * seed + number))
        x, h = normal(batch, inputs, seed=seed + 50), normal(batch, size, seed=seed + 60)
        given = (x, h, *(p.detach() for p in cell.parameters()))
        kept = [value.clone() for value in given]
        with grading.Watch() as seen:
            result = ex.gru_cell(*given)
        assert "gru_cell" not in seen.names, (
            "torch's own GRU did the work: write the gates yourself"
        )
        unchanged(kept, given, ("x", "h", "w_ih", "w_hh", "b_ih", "b_hh"))
        with torch.no_grad():
            right = cell(x, h)
        mistakes = [
            (words, grading.gru(*given, key)) for key, words in grading.GRU_MISTAKES.items()
        ]
        same(result, right, where, mistakes)


def test_forget_bias(ex):
    cases = [(1, False, 10, 3), (2, False, 1, 4), (2, True, 200, 2), (1, True, 3.5, 3)]
    for seed, (layers, both_ways, steps, size) in enumerate(cases):
        where = f"{layers} layers, bidirectional = {both_ways}, {steps} steps"
        torch.manual_seed(seed)
        lstm = nn.LSTM(2, size, layers, bidirectional=both_ways).double()
        kept = {name: p.detach().clone() for name, p in lstm.named_parameters()}
        old = grading.biases(lstm)
        old = {end: (ih.clone(), hh.clone()) for end, ih, hh in old}
        result = ex.forget_bias(lstm, steps)
        b, mistakes = grading.time_constant(steps)
        close(result, b, f"{where}: b", mistakes, 1e-6)
        grading_checks.check_biases(lstm, old, b, where)
        for name, p in lstm.named_parameters():
            assert "bias" in name or torch.equal(p, kept[name]), (
                f"{where}: {name} was changed; only biases are asked for"
            )
            assert p.requires_grad and p.is_leaf, f"{where}: {name} can no longer be trained"


def test_clipped_step(ex):
    for scale, lr, max_norm in [
        (5.0, 0.1, 1.0),
        (0.01, 0.5, 1.0),
        (1e4, 0.2, 0.5),
        (0.0, 0.1, 1.0),
    ]:
        where = f"gradients of size about {scale:g}, {max_norm = }"
        ours = grading.stepping(scale)
        w = [p.detach().clone() for p in ours]
        grads = [None if p.grad is None else p.grad.clone() for p in ours]
        norm = torch.cat([g.flatten() for g in grads if g is not None]).norm().item()
        each = [g.norm().item() for g in grads if g is not None]
        result = ex.clipped_step(iter(ours), lr, max_norm)
        mistakes = [
            ("this is the norm after clipping; return the one before", min(norm, max_norm)),
            (
                "this is the sum of the norms; the global one is the root of the summed squares",
                sum(each),
            ),
            ("this is the norm squared", norm**2),
            ("this is the largest norm of a single parameter", max(each)),
        ]
        close(result, norm, f"{where}: returned norm", mistakes, 1e-6)
        for p, old, grad in zip(ours, w, grads, strict=True):
            grading_checks.check_clipped(p, old, grad, (lr, max_norm, norm), where)
    for bad in (math.inf, math.nan):
        ours = grading.stepping(1.0)
        ours[2].grad[1] = bad
        w = [p.detach().clone() for p in ours]
        norm = ex.clipped_step(iter(ours), 0.1, 1.0)
        for p, old in zip(ours, w, strict=True):
            spoilt = " (it is nan now)" if bool(p.isnan().any()) else ""
            assert torch.equal(p, old), (
                f"one gradient is {bad}: no parameter may change in this step{spoilt}"
            )
        assert norm is not None and not math.isfinite(norm), (
            f"one gradient is {bad}: the norm is not {norm}"
        )


def test_packed_mask(ex):
    def count(batch, steps):
        lengths = torch.arange(batch) % steps + 1
        outputs = normal(batch, steps, 2)
        with grading.Watch() as seen:
            ex.packed_mask(outputs, lengths)
        return seen.calls

    assert count(3, 4) == count(30, 40), (
        f"{count(3, 4)} tensor operations for 3 sequences of 4 steps, {count(30, 40)} for 30 of "
        "40: there is a loop over sequences or steps"
    )
    cases = [
        ([3, 1, 2], 4, 2),
        ([1], 1, 1),
        ([2, 5, 5, 1], 5, 3),
        ([1, 1], 3, 2),
        ([2, 3, 7], 9, 4),
    ]
    for seed, (lengths, steps, size) in enumerate(cases):
        where = f"{lengths = }, T = {steps}"
        outputs, counts = grading.padded(lengths, steps, size, seed), torch.tensor(lengths)
        result = ex.packed_mask(outputs, counts)
        unchanged([torch.tensor(lengths)], [counts], ["lengths"])
        mask, sizes, last = tensors(result, 3, "(mask, sizes, last)")
        grading_checks.check_mask(mask, lengths, steps, where)
        grading_checks.check_sizes(sizes, lengths, steps, where)
        rows = outputs.detach()
        final = [outputs[b, n - 1] for b, n in enumerate(lengths)]
        steps_after = [min(n, steps - 1) for n in lengths]
        mistakes = [
            (
                "for shorter sequences this is padding: pick step lengths[b] - 1 (0 * nan is nan)",
                rows[:, -1],
            ),
            (
                "this is the step behind the last real one: count from 0",
                rows[range(len(lengths)), steps_after],
            ),
            ("these are the first steps", rows[:, 0]),
            ("this is the longest sequence's last step in all of them", rows[:, max(lengths) - 1]),
        ]
        mistakes = [(words, value.nan_to_num(77.0)) for words, value in mistakes]
        assert isinstance(last, torch.Tensor), f"{where}: last has to be a tensor, not {last!r}"
        seen = last.nan_to_num(77.0)
        hint = f"{where}: last, where nan stands as 77"
        same(seen, torch.stack(final).detach(), hint, mistakes)
        grading_checks.check_gradient(outputs, last, lengths, where)


def test_nucleus(ex):
    example = torch.tensor([[0.05, 0.5, 0.15, 0.3]], dtype=torch.float64).log()
    cases = [(normal(4, 9, seed=1), 0.6), (example, 0.6), (example, 0.4), (normal(3, 1), 0.5)]
    cases += [(2 * normal(5, 20, seed=s), p) for s, p in enumerate([0.01, 0.3, 0.9, 0.99, 1.0])]
    for logits, p in cases:
        where = f"logits {tuple(logits.shape)}, {p = }"
        kept = logits.clone()
        result = ex.nucleus(logits, p)
        unchanged([kept], [logits], ["logits"])
        right = grading.nuclei(logits, p)
        mistakes = [
            (words, grading.nuclei(logits, p, key))
            for key, words in grading.NUCLEUS_MISTAKES.items()
        ]
        first = grading.nuclei(logits[:1], p) > 0
        alike = (logits.softmax(-1) * first) / (logits.softmax(-1) * first).sum(-1, keepdim=True)
        mistakes += [
            ("nothing was left out", logits.softmax(-1)),
            ("all rows kept the tokens of row 0", alike),
            ("these are logits: take the softmax", torch.where(right > 0, logits, -math.inf)),
        ]
        same(result, right, where, mistakes)
        assert bool((result[right == 0] == 0).all()), f"{where}: what is left out is exactly 0"
    single = ex.nucleus(normal(2, 5).float(), 0.7)
    assert single.dtype == torch.float32, f"float32 in, {single.dtype} out: keep the dtype"


def test_find_leak(ex):
    def windows(count, span, seed):
        generator = torch.Generator().manual_seed(seed)
        starts = torch.randint(0, span, (count,), generator=generator)
        return starts, torch.rand(count, generator=generator) < 0.3

    starts, is_val = windows(2000, 10_000, 0)
    with grading.Watch() as seen:
        ex.find_leak(starts, 5, is_val)
    assert seen.numbers < 100 * 2000, (
        f"2,000 windows: a tensor of {seen.numbers:,} numbers; a table of N x N pairs is too large "
        "for a text"
    )
    drawn = [(9, windows(60, 900, 2)), (3, windows(40, 200, 1))]
    cases = [("at random", starts, length, is_val) for length, (starts, is_val) in drawn]
    cases += [
        ("the example", torch.tensor([0, 4, 8, 2, 12]), 4, torch.tensor([0, 0, 0, 1, 1]).bool()),
        ("side by side", torch.arange(6) * 3, 3, torch.arange(6) >= 4),
        ("stride 1, every fourth held out", torch.arange(20), 4, torch.arange(20) % 4 == 1),
        ("stride 1, the end held out", torch.arange(30), 5, torch.arange(30) >= 25),
        ("twice the same", torch.tensor([7, 0, 7]), 2, torch.tensor([True, False, False])),
        ("length 1", torch.tensor([3, 4, 3, 9]), 1, torch.tensor([True, False, False, False])),
        ("no validation", torch.arange(4), 2, torch.zeros(4).bool()),
        ("no training", torch.arange(4), 2, torch.ones(4).bool()),
    ]
    for name, starts, length, is_val in cases:
        where = f"{name}, N = {len(starts)}, length {length}"
        kept = starts.clone(), is_val.clone()
        result = ex.find_leak(starts, length, is_val)
        unchanged(kept, (starts, is_val), ("starts", "is_val"))
        values = tensors(result, 2, "(leaked, clean)")
        grading_checks.check_marks(values, starts, length, is_val, where)


def test_kneser_ney(ex):
    texts = [("the example", [0, 1, 0, 2, 1, 0], 3, 0.5), ("one pair", [1, 0], 2, 0.75)]
    texts += [("a last token seen once", [0, 1, 0, 1, 0, 0, 2, 3], 5, 0.6)]
    generator = torch.Generator().manual_seed(4)
    skewed = (torch.rand(300, generator=generator) ** 3 * 12).long().tolist()
    texts += [("300 tokens", skewed, 14, 0.75), ("the same", skewed, 14, 0.2)]
    for name, text, size, discount in texts:
        where = f"{name}, size {size}, discount {discount}"
        tokens = torch.tensor(text)
        kept = tokens.clone()
        result = ex.kneser_ney(tokens, size, discount)
        unchanged([kept], [tokens], ["tokens"])
        right = grading.smoothed(tokens, size, discount)
        mistakes = [
            (words, grading.smoothed(tokens, size, discount, key))
            for key, words in grading.KNESER_NEY_MISTAKES.items()
        ]
        if isinstance(result, torch.Tensor):
            assert not bool(result.isnan().any()), (
                f"{where}: there is nan: a u that begins no pair has c(u) = 0 and gets q"
            )
        same(result, right, where, mistakes, 1e-6)


def test_truncated_bptt(ex):
    cases = [(7, 3, 2, 2, 3), (6, 2, 3, 4, 6), (6, 2, 3, 4, 3)]
    cases += [(2, 1, 1, 1, 2), (5, 1, 2, 3, 1), (4, 2, 1, 3, 9)]
    for seed, (steps, batch, inputs, size, chunk) in enumerate(cases):
        where = f"T = {steps}, B = {batch}, D = {inputs}, H = {size}, {chunk = }"
        shapes = [(steps, batch, inputs), (steps, batch, size), (batch, size)]
        shapes += [(size, inputs), (size, size), (size,)]
        given = [normal(*shape, seed=10 * seed + i) / 2 for i, shape in enumerate(shapes)]
        names = ("x", "grad_h", "h0", "w_ih", "w_hh", "bias")
        kept = [value.clone() for value in given]
        result = grading_bptt.without_autograd(ex.truncated_bptt, *given, chunk)
        unchanged(kept, given, names)
        values = tensors(result, 4, "(states, dW_ih, dW_hh, dbias)")
        right = grading_bptt.by_autograd(*given, chunk)
        check_order(values, right, "(states, dW_ih, dW_hh, dbias)", where)
        wrong = [
            (words, grading_bptt.by_autograd(*given, chunk, key))
            for key, words in grading_bptt.CUT_MISTAKES.items()
        ]
        wrong += [
            (words, grading_bptt.slipped(*given, chunk, key))
            for key, words in grading_bptt.SLIPS.items()
        ]
        for i, name in enumerate(("states", "dW_ih", "dW_hh", "dbias")):
            mistakes = [(words, parts[i]) for words, parts in wrong]
            same(values[i], right[i], f"{where}: {name}", mistakes, 1e-8)
