"""The grader of chapter 7: `python -m course check 7`.

Each function takes the learner's module `ex` and compares with torch or an independent formula.
Where a result is wrong, it is also compared with what the usual mistakes would give (`grading.py`,
`grading_blocks.py`), so that the message can name the mistake.
"""

import math

import torch

from chapter_03_optimization_regularization.exercises.grading import normal, same, unchanged
from chapter_04_cnn_classic.exercises.grading import tensors
from chapter_06_rnn_lstm_seq.exercises.grading import Watch
from chapter_06_rnn_lstm_seq.exercises.grading_bptt import without_autograd
from chapter_07_attention_mechanism.exercises import grading, grading_blocks, grading_checks
from utils.grading import check_order


def test_additive_score(ex):
    def given(batch, queries, keys, widths, seed):
        q, k, a = widths
        shapes = [(batch, queries, q), (batch, keys, k), (a, q), (a, k), (a,)]
        return [normal(*shape, seed=10 * seed + i) for i, shape in enumerate(shapes)]

    def count(queries, keys):
        with Watch() as seen:
            ex.additive_score(*given(2, queries, keys, (3, 4, 5), 0))
        return seen.calls

    cases = [(2, 3, 4, (3, 5, 4)), (1, 1, 3, (1, 1, 1)), (2, 2, 3, (4, 4, 4)), (3, 2, 2, (2, 2, 2))]
    for seed, (batch, queries, keys, widths) in enumerate(cases):
        where = f"B = {batch}, T = {queries}, S = {keys}, (Q, K, A) = {widths}"
        values = given(batch, queries, keys, widths, seed)
        kept = [value.clone() for value in values]
        result = ex.additive_score(*values)
        unchanged(kept, values, ("query", "key", "w_query", "w_key", "v"))
        wrong = grading.ADDITIVE_MISTAKES
        mistakes = [(words, grading.additive(*values, key)) for key, words in wrong.items()]
        mistakes = [(words, value) for words, value in mistakes if value is not None]
        same(result, grading.additive(*values), where, mistakes)
    assert count(3, 4) == count(30, 40), (
        f"{count(3, 4)} tensor operations for 3 queries and 4 keys, {count(30, 40)} for 30 and 40: "
        "there is a loop over queries or keys"
    )


def test_in_heads(ex):
    cases = [(2, 3, 5, 8, 12, 4), (1, 2, 2, 4, 4, 2), (2, 3, 3, 4, 4, 1), (1, 4, 2, 5, 10, 5)]
    for seed, (batch, queries, keys, width, out, heads) in enumerate(cases):
        where = f"B = {batch}, T = {queries}, S = {keys}, D = {width}, E = {out}, {heads} heads"
        shapes = [(batch, queries, width), (batch, keys, width), (batch, keys, out)]
        given = [normal(*shape, seed=10 * seed + i) for i, shape in enumerate(shapes)]
        given[0] = given[0].transpose(0, 1).contiguous().transpose(0, 1)  # a row apart in memory
        kept = [value.clone() for value in given]
        answer = normal(batch, heads, queries, out // heads, seed=seed + 70)
        spread = answer.transpose(1, 2).contiguous().transpose(1, 2)
        calls = []

        def attend(q, k, v, calls=calls, given=given, heads=heads, spread=spread, where=where):
            calls.append((q, k, v))
            grading_checks.check_parts((q, k, v), given, heads, where)
            return spread

        result = ex.in_heads(attend, *given, heads)
        unchanged(kept, given, ("query", "key", "value"))
        assert len(calls) == 1, f"{where}: attend was called {len(calls)} times, not once"
        joined = torch.cat(list(answer.unbind(1)), dim=-1)
        mistakes = list(grading.wrong_joins(answer, heads))
        same(result, joined, f"{where}: the heads joined", mistakes)
    for width, out in ((6, 8), (8, 6)):
        grading_checks.check_refused(ex, width, out)


def test_sharpen(ex):
    scores = 2 * normal(3, 4, 6, seed=1)
    scores[0, :2, 3:] = -math.inf
    scores[2, 1, :5] = -math.inf
    weights = scores.softmax(-1)
    empty = weights.clone()
    empty[1, 2] = 0.0
    row = torch.tensor([0.5, 0.25, 0.25, 0.0], dtype=torch.float64)
    even = torch.full((2, 8), 0.125, dtype=torch.float64)
    cases = [("rows with zeros", weights, 0.5), ("rows with zeros", weights, 3.0)]
    cases += [("the example", row, 0.5), ("the example", row, 1.0), ("all alike", even, 0.01)]
    cases += [("a row of zeros", empty, 2.0), ("a row of zeros", empty, 0.7)]
    cases += [("rows with zeros", weights, 0.001), ("rows with zeros", weights, 1000.0)]
    for name, given, temperature in cases:
        where = f"{name}, temperature {temperature:g}"
        kept = given.clone()
        result = ex.sharpen(given, temperature)
        unchanged([kept], [given], ["weights"])
        values = tensors(result, 2, "(sharp, entropy)")
        right = grading.sharpened(given, temperature)
        check_order(values, right, "(sharp, entropy)", where)
        grading_checks.check_sharp(values, right, given, temperature, where)
    single = ex.sharpen(weights.float(), 0.5)[0]
    assert single.dtype == torch.float32, f"float32 in, {single.dtype} out: keep the dtype"


def test_luong_step(ex):
    cases = [((3, 2), 3, 4, 5), ((4, 4, 1), 3, 3, 2), ((1,), 1, 1, 1), ((2, 5, 3), 2, 2, 4)]
    for seed, (lengths, hidden, width, out) in enumerate(cases):
        where = f"{lengths = }, H = {hidden}, C = {width}, A = {out}"
        size, batch = max(lengths) + seed % 2, len(lengths)
        shapes = [(batch, hidden), (batch, size, width), (hidden, width), (out, width + hidden)]
        state, states, w_score, w_combine = (
            normal(*shape, seed=10 * seed + i) for i, shape in enumerate(shapes)
        )
        mask = torch.arange(size) < torch.tensor(lengths)[:, None]
        given = (state, states, mask, w_score, w_combine)
        kept = [value.clone() for value in given]
        result = ex.luong_step(*given)
        unchanged(kept, given, ("state", "states", "mask", "w_score", "w_combine"))
        values = tensors(result, 2, "(attentional, weights)")
        right = grading.luong(*given)
        check_order(values, right, "(attentional, weights)", where)
        wrong = [
            (words, grading.luong(*given, key)) for key, words in grading.LUONG_MISTAKES.items()
        ]
        wrong = [(words, parts) for words, parts in wrong if parts is not None]
        grading_checks.check_both(values, right, wrong, ("attentional", "weights"), where)


def test_masked_weights(ex):
    cases = [(3, [2]), (4, [4, 0, 1]), (5, [3, 5, 2]), (1, [1, 0])]
    for seed, (size, lengths) in enumerate(cases):
        where = f"T = {size}, {lengths = }"
        counts = torch.tensor(lengths)
        scores = normal(len(lengths), size, size, seed=seed)
        kept = scores.clone(), counts.clone()
        result = ex.masked_weights(scores, counts)
        unchanged(kept, (scores, counts), ("scores", "lengths"))
        wrong = grading.PADDED_MISTAKES
        mistakes = [(w, grading.left_padded(scores, counts, key)) for key, w in wrong.items()]
        mistakes += list(grading.wrong_padded(scores, counts))
        right = grading.left_padded(scores, counts)
        if isinstance(result, torch.Tensor):
            assert not bool(result.isnan().any()), (
                f"{where}: there is nan: the softmax of a row of -inf; it has to be a row of zeros"
            )
        same(result, right, where, mistakes)
        hidden = right == 0
        assert bool((result[hidden] == 0).all()), f"{where}: what is hidden is exactly 0"
        grading_checks.check_hidden(ex, scores, counts, hidden, where)


def test_pointer_step(ex):
    cases = [(2, 4, 5, 1), (1, 3, 1, 0), (3, 5, 3, 2), (2, 2, 2, 1), (2, 6, 9, 5)]
    for seed, (batch, count, width, gone) in enumerate(cases):
        where = f"B = {batch}, N = {count}, D = {width}, {gone} chosen"
        state, memory = normal(batch, width, seed=seed), normal(batch, count, width, seed=seed + 20)
        order = normal(batch, count, seed=seed + 40).argsort(-1)
        chosen = torch.zeros(batch, count).bool().scatter(1, order[:, :gone], True)
        given = (state, memory, chosen)
        kept = [value.clone() for value in given]
        result = ex.pointer_step(*given)
        unchanged(kept, given, ("state", "memory", "chosen"))
        values = tensors(result, 4, "(log_p, pick, seen, after)")
        grading_checks.check_pointer(values, given, where)
    grading_checks.check_far_scores(ex)


def test_squeeze_excite(ex):
    cases = [(2, 4, 2, 3, 3), (3, 3, 2, 2, 5), (1, 1, 1, 1, 2), (2, 6, 3, 4, 1)]
    for seed, (batch, channels, small, height, width) in enumerate(cases):
        where = f"B = {batch}, C = {channels}, R = {small}, H = {height}, W = {width}"
        shapes = [(batch, channels, height, width), (channels,)]
        shapes += [(small, channels), (small,), (channels, small), (channels,)]
        given = [normal(*shape, seed=10 * seed + i) for i, shape in enumerate(shapes)]
        given[0] = 2 * given[0] + 1
        kept = [value.clone() for value in given]
        result = ex.squeeze_excite(*given)
        unchanged(kept, given, ("x", "query", "w1", "b1", "w2", "b2"))
        values = tensors(result, 2, "(y, weights)")
        right = grading_blocks.excited(*given)
        check_order(values, right, "(y, weights)", where)
        wrong = [
            (words, grading_blocks.excited(*given, key))
            for key, words in grading_blocks.EXCITE_MISTAKES.items()
        ]
        grading_checks.check_both(values, right, wrong, ("y", "weights"), where)


def test_scores_gradient(ex):
    cases = [(2, 3, 4, 2), (1, 1, 3, 1), (2, 2, 2, 2), (1, 4, 7, 3)]
    for seed, (batch, queries, keys, width) in enumerate(cases):
        where = f"B = {batch}, T = {queries}, S = {keys}, V = {width}"
        scores = normal(batch, queries, keys, seed=seed)
        if seed == 3:  # a causal mask, and a query that sees nothing
            scores = scores.masked_fill(torch.ones(queries, keys).triu(1).bool(), -math.inf)
        weights = scores.softmax(-1)
        if seed == 3:
            weights[0, 2] = 0.0
        value = normal(batch, keys, width, seed=seed + 20)
        grad = normal(batch, queries, width, seed=seed + 40)
        given = (weights, value, grad)
        kept = [tensor.clone() for tensor in given]
        result = without_autograd(ex.scores_gradient, *given)
        unchanged(kept, given, ("weights", "value", "grad"))
        values = tensors(result, 2, "(d_scores, d_value)")
        grading_checks.check_slopes(values, given, where)
    grading_checks.check_no_jacobian(ex)
