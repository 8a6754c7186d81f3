"""The grader of chapter 8: `python -m course check 8`.

Each function takes the learner's module `ex` and compares with torch or an independent formula.
Where a result is wrong, it is also compared with what the usual mistakes would give (`grading.py`,
`grading_parts.py`), so that the message can name the mistake.
"""

import torch

from chapter_03_optimization_regularization.exercises.grading import normal, same, unchanged
from chapter_04_cnn_classic.exercises.grading import tensors
from chapter_06_rnn_lstm_seq.exercises.grading import Watch
from chapter_08_transformer_vanilla.exercises import grading, grading_checks, grading_parts
from utils.grading import check_order


def test_shift_positions(ex):
    cases = [(6, [0, 1, 5], 1), (8, [3, 40, 200], 7), (4, [9], -4), (2, [0, 2], 0), (16, [5], 300)]
    for width, places, n in cases:
        where = f"D = {width}, t = {places}, {n = }"
        p = torch.stack([grading.position(t, width) for t in places])
        kept = p.clone()
        result = ex.shift_positions(p, n)
        unchanged([kept], [p], ["p"])
        wrong = [(w, grading.shifted(p, n, key)) for key, w in grading.SHIFT_MISTAKES.items()]
        right = torch.stack([grading.position(t + n, width) for t in places])
        same(result, right, where, wrong)
    p = normal(2, 3, 8)
    where = "sums of positions, shape (2, 3, 8)"
    same(ex.shift_positions(p, 5), grading.shifted(p, 5), where)
    single = ex.shift_positions(p.float(), 5)
    assert single.dtype == torch.float32, f"float32 in, {single.dtype} out: keep the dtype"


def test_residual_block(ex):
    cases = [
        ((2, 3, 4), 2, False),
        ((2, 3, 4), 2, True),
        ((1, 2, 5), 3, True),
        ((3, 1, 2), 1, False),
    ]
    for seed, (shape, count, pre) in enumerate(cases):
        where = f"(B, T, D) = {shape}, K = {count}, {pre = }"
        x = 2 * normal(*shape, seed=seed) + 1
        gains, biases = (normal(count, shape[-1], seed=seed + 20 * i) for i in (1, 2))
        mixes = normal(count, shape[-1], shape[-1], seed=seed + 60)
        calls = []

        def sublayer(k, calls=calls, mixes=mixes):
            def apply(read):
                calls.append(k)
                return torch.tanh(read @ mixes[k])

            return apply

        sublayers, kept = [sublayer(k) for k in range(count)], [x.clone(), gains.clone()]
        result = ex.residual_block(x, sublayers, gains, biases, pre, 0.1)
        unchanged(kept, [x, gains], ("x", "gains"))
        assert calls == list(range(count)), (
            f"{where}: the sublayers were called in the order {calls}, not {list(range(count))}"
        )
        given = (x, sublayers, gains, biases, pre, 0.1)
        wrong = grading.BLOCK_MISTAKES
        mistakes = [(words, grading.block(*given, key)) for key, words in wrong.items()]
        same(result, grading.block(*given), where, mistakes)
        again = ex.residual_block(x.requires_grad_(), *given[1:])
        assert again.requires_grad, f"{where}: no gradient comes through (detach, no_grad?)"


def test_smoothed_loss(ex):
    cases = [((2, 4, 5), [4, 2], 0.1), ((3, 3, 4), [1, 3, 2], 0.3), ((1, 2, 3), [2], 0.0)]
    for seed, ((batch, steps, tokens), lengths, epsilon) in enumerate(cases):
        where = f"{lengths = }, V = {tokens}, {epsilon = }"
        logits = 2 * normal(batch, steps, tokens, seed=seed)
        pad = (seed + 1) % tokens
        others = torch.tensor([v for v in range(tokens) if v != pad])
        drawn = normal(batch, steps, seed=seed + 20).argsort(-1) % len(others)
        real = torch.arange(steps) < torch.tensor(lengths)[:, None]
        target = torch.where(real, others[drawn], pad)
        kept = [logits.clone(), target.clone()]
        result = ex.smoothed_loss(logits, target, epsilon, pad)
        unchanged(kept, [logits, target], ("logits", "target"))
        given = (logits, target, epsilon, pad)
        wrong = grading.SMOOTH_MISTAKES
        mistakes = [(words, grading.smoothed(*given, key)) for key, words in wrong.items()]
        same(result, grading.smoothed(*given), where, mistakes)
        grading_checks.check_slope(ex, given, where)
    grading_checks.check_padding_alone(ex)
    grading_checks.check_far_logits(ex)


def test_rank_lines(ex):
    cases = [
        ([-2.0, -3.0], [1, 7], [-4.0], 19, 1.0), ([-2.0, -3.0], [1, 7], [-6.0], 19, 1.0),
        ([-3.0, -1.5, -2.5], [9, 2, 4], [-2.0, -5.0], 12, 0.6),
        ([-1.0, -2.0], [3, 30], [], 40, 0.7), ([-2.0, -9.0], [7, 7], [-1.5], 7, 1.0),
        ([-4.0, -3.0], [12, 3], [-3.5, -9.0], 20, 0.0), ([-8.0, -4.5], [10, 3], [-7.0], 11, 0.8),
    ]  # fmt: skip
    found, asked = [], []
    for log_p, lengths, running, longest, alpha in cases:
        where = f"{log_p = }, {lengths = }, {running = }, {longest = }, {alpha = }"
        given = (
            torch.tensor(log_p).double(), torch.tensor(lengths), torch.tensor(running).double(),
            longest, alpha,
        )  # fmt: skip
        kept = [value.clone() for value in given[:3]]
        values = tensors(ex.rank_lines(*given), 3, "(scores, best, stop)")
        unchanged(kept, given[:3], ("log_p", "lengths", "running"))
        grading_checks.check_ranks(values, given, where)
        asked.append((given, where))
        found.append(values)
    grading_checks.check_choices(found, asked)


def test_widest(ex):
    cases = [
        (60_000, 40, 2, 16, 4), (9_000, 11, 1, 8, 2), (200_000, 100, 3, 50, 1),
        (30_000, 5, 2, 300, 6),
    ]  # fmt: skip
    for budget, vocabulary, layers, longest, heads in cases:
        grading_checks.check_widest(ex, (budget, vocabulary, layers, longest, heads))
    exact = grading.gpt_parameters(24, 30, 2, 12)
    grading_checks.check_widest(ex, (exact, 30, 2, 12, 8))
    grading_checks.check_widest(ex, (exact - 1, 30, 2, 12, 8))
    grading_checks.check_large_and_small(ex)


def test_patch_tokens(ex):
    cases = [(2, 3, 4, 6, 2, 5), (1, 1, 2, 2, 1, 1), (2, 2, 4, 4, 4, 3), (1, 4, 6, 3, 3, 2)]
    for seed, (batch, channels, height, wide, size, width) in enumerate(cases):
        where = f"B = {batch}, C = {channels}, H = {height}, W = {wide}, P = {size}, D = {width}"
        count = (height // size) * (wide // size)
        shapes = [
            (batch, channels, height, wide),
            (width, channels, size, size),
            (width,),
            (width,),
        ]
        shapes += [(1 + count, width)]
        given = [normal(*shape, seed=10 * seed + i) for i, shape in enumerate(shapes)]
        kept = [value.clone() for value in given]
        result = ex.patch_tokens(*given)
        unchanged(kept, given, ("pictures", "weight", "bias", "first", "positions"))
        wrong = grading_parts.PATCH_MISTAKES
        mistakes = [(words, grading_parts.patched(*given, key)) for key, words in wrong.items()]
        same(result, grading_parts.patched(*given), where, mistakes)
    grading_checks.check_patches_that_do_not_fit(ex)
    grading_checks.check_no_loop_over_patches(ex)


def test_from_conv1d(ex):
    for width, ffn, layers, number in [(4, 16, 2, 0), (3, 5, 12, 1), (4, 4, 3, 2)]:
        where = f"D = {width}, F = {ffn}, {layers} blocks, {number = }"
        state = grading_parts.state_of(width, ffn, layers, normal)
        kept = {name: tensor.clone() for name, tensor in state.items()}
        grading_checks.check_import(ex.from_conv1d(state, number), kept, number, where)
        grading_checks.check_own_memory(ex, state, kept, number, where)


def test_cache_step(ex):
    cases = [(2, 5, 3, [1, 3]), (3, 5, 2, [0, 4, 2]), (1, 2, 1, [0]), (2, 6, 4, [2, 2])]
    for seed, (batch, most, width, filled) in enumerate(cases):
        where = f"B = {batch}, M = {most}, D = {width}, lengths = {filled}"
        shapes = [(batch, width)] * 3 + [(batch, most, width)] * 2
        given = [normal(*shape, seed=10 * seed + i) for i, shape in enumerate(shapes)]
        given += [torch.tensor(filled)]
        kept = [value.clone() for value in given]
        result = ex.cache_step(*given)
        unchanged(kept, given, ("query", "key", "value", "keys", "values", "lengths"))
        values = tensors(result, 4, "(answer, keys, values, lengths)")
        right = grading_parts.cached(*given)
        check_order(values, right, "(answer, keys, values, lengths)", where)
        grading_checks.check_cache(values, given, where)
    grading_checks.check_full_row(ex)

    def count(batch, most):
        rows = [normal(batch, 2, seed=i) for i in range(3)]
        kept = [normal(batch, most, 2, seed=i) for i in (4, 5)]
        with Watch() as seen:
            ex.cache_step(*rows, *kept, torch.arange(batch) % (most - 1))
        return seen.calls

    assert count(2, 3) == count(20, 30), (
        f"{count(2, 3)} tensor operations for B = 2, M = 3, {count(20, 30)} for B = 20, M = 30: "
        "there is a loop over rows or places"
    )
