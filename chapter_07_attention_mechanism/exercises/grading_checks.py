"""What the grader of chapter 7 looks at in one result: heads, temperatures, hidden places, sizes.

Each raises an AssertionError that says in one sentence what is wrong.
"""

import math

import torch

from chapter_03_optimization_regularization.exercises.grading import normal, same
from chapter_06_rnn_lstm_seq.exercises.grading import Watch
from chapter_06_rnn_lstm_seq.exercises.grading_bptt import without_autograd
from chapter_07_attention_mechanism.exercises import grading, grading_blocks
from utils.grading import check_order


def agreeing(wrong, right, part):
    """Those pairs (words, parts) whose part number `part` is right all the same."""
    return [(w, parts) for w, parts in wrong if torch.equal(parts[part], right[part])]


def check_both(values, right, wrong, names, where):
    """First the weights, part 1; then the result, part 0, with what leaves the weights right."""
    for i, pairs in ((1, wrong), (0, agreeing(wrong, right, 1))):
        mistakes = [(words, parts[i]) for words, parts in pairs]
        same(values[i], right[i], f"{where}: {names[i]}", mistakes)


def check_parts(parts, given, heads, where):
    """What `attend` was called with: the heads of query, key and value."""
    right = [grading.cut(x, heads) for x in given]
    check_order(parts, right, "(q, k, v)", f"{where}: what attend gets")
    for part, x, whole, name in zip(parts, given, right, "qkv", strict=True):
        same(part, whole, f"{where}: {name} for attend", list(grading.wrong_cuts(x, heads)))


def check_refused(ex, width, out):
    """4 heads that do not divide a width are a ValueError."""
    given = normal(1, 2, width), normal(1, 3, width), normal(1, 3, out)

    def attend(q, k, v):
        return v[:, :, :1].expand(-1, -1, q.shape[2], -1)

    try:
        ex.in_heads(attend, *given, 4)
    except ValueError:
        return
    except (RuntimeError, TypeError) as error:
        raise AssertionError(
            f"4 heads, D = {width}, E = {out}: raise a ValueError, not a {type(error).__name__}"
        ) from error
    raise AssertionError(f"4 heads, D = {width}, E = {out}: that cannot be cut: raise a ValueError")


def check_sharp(values, right, weights, temperature, where):
    """sharp and entropy against plain numbers."""
    for value, name in zip(values, ("sharp", "entropy"), strict=True):
        if isinstance(value, torch.Tensor) and bool(value.isnan().any()):
            power = bool((weights ** (1 / temperature)).sum(-1).eq(0).any())
            empty = bool((weights.sum(-1) == 0).any())
            why = "a row of zeros stays one" if empty else "0 * log(0) counts as 0"
            why = "a power has rounded to 0: use logarithms" if power and not empty else why
            raise AssertionError(f"{where}: {name} has nan: {why}")
    mistakes = list(grading.wrong_sharp(weights, temperature))
    same(values[0], right[0], f"{where}: sharp", mistakes)
    assert bool((values[0][weights == 0] == 0).all()), f"{where}: what was 0 stays exactly 0"
    mistakes = list(grading.wrong_entropy(right[0], weights))
    same(values[1], right[1], f"{where}: entropy", mistakes)


def check_hidden(ex, scores, lengths, hidden, where):
    """nan and inf at hidden places change nothing; the gradient is finite, and 0 there."""
    wild = scores.clone()
    wild[hidden] = (
        torch.tensor([math.nan, math.inf, -math.inf, 1e300])
        .double()
        .repeat(hidden.numel())[: int(hidden.sum())]
    )
    right = grading.left_padded(scores, lengths)
    leaf = wild.clone().requires_grad_()
    result = ex.masked_weights(leaf, lengths)
    where = f"{where}, nan and inf in the hidden scores"
    assert not bool(result.isnan().any()), (
        f"{where}: there is nan in the weights: replace those scores, do not add or multiply"
    )
    same(result.detach(), right, where)
    assert result.requires_grad, f"{where}: no gradient comes through (detach, no_grad?)"
    weights = normal(*scores.shape, seed=9)
    (slope,) = torch.autograd.grad(result, leaf, weights)
    plain = scores.clone().requires_grad_()
    (expected,) = torch.autograd.grad(grading.left_padded(plain, lengths), plain, weights)
    assert not bool(slope.isnan().any()), (
        f"{where}: the gradient has nan: replace the scores before the softmax, and the weights "
        "behind it, with masked_fill or torch.where"
    )
    same(slope, expected, f"{where}: gradient of the scores")


def check_pointer(values, given, where):
    """log_p, pick, seen and after against the loop over rows."""
    names = ("log_p", "pick", "seen", "after")
    right = grading_blocks.pointed(*given)
    kinds = {"pick": torch.int64, "after": torch.bool}
    for value, name in zip(values, names, strict=True):
        kind = getattr(value, "dtype", value)
        words = str(kinds.get(name)).removeprefix("torch.")
        assert name not in kinds or kind == kinds[name], (
            f"{where}: {name} has to be a tensor of {words}, not {kind}"
        )
    wrong = [
        (words, grading_blocks.pointed(*given, key))
        for key, words in grading_blocks.POINTER_MISTAKES.items()
    ]

    def number(value):  # -inf as -77: differences of infinities are nan
        return (
            value.detach().double().clamp(min=-77.0) if value.dtype != torch.bool else value + 0.0
        )

    for i, name in enumerate(names):
        mistakes = [(words, number(parts[i])) for words, parts in wrong]
        wrong = agreeing(wrong, right, i)  # for the next one: the slips that cannot be seen here
        if name == "log_p":
            name = "log_p, where -inf stands as -77"
        value = values[i]
        assert isinstance(value, torch.Tensor), f"{where}: {name} has to be a tensor, not {value!r}"
        same(number(value), number(right[i]), f"{where}: {name}", mistakes)


def check_far_scores(ex):
    """Scores that differ by thousands: log_p and its gradient stay finite."""
    where = "scores that differ by thousands"
    state = torch.tensor([[1000.0]], dtype=torch.float64, requires_grad=True)
    memory = torch.tensor([[[1.0], [-1.0], [2.0], [0.5]]], dtype=torch.float64)
    chosen = torch.tensor([[False, False, True, False]])
    log_p = ex.pointer_step(state, memory, chosen)[0]
    assert bool(torch.isfinite(log_p[~chosen]).all()), (
        f"{where}: log_p is {log_p[0, 1].item():g} where something is left: log_softmax, not the "
        "log of a softmax"
    )
    same(log_p[~chosen].detach(), torch.tensor([0.0, -2000.0, -500.0]).double(), where)
    assert bool((log_p[chosen] == -math.inf).all()), f"{where}: what was chosen has log_p = -inf"
    assert log_p.requires_grad, f"{where}: no gradient comes through log_p (detach, no_grad?)"
    (slope,) = torch.autograd.grad(log_p[0, 1], state)
    assert bool(torch.isfinite(slope).all()), f"{where}: the gradient of log_p has nan or inf"
    same(slope, torch.tensor([[-2.0]]).double(), f"{where}: gradient of log_p")


def check_slopes(values, given, where):
    """d_scores and d_value against the whole Jacobian."""
    weights, value, grad = given
    right = grading_blocks.by_jacobian(*given)
    check_order(values, right, "(d_scores, d_value)", where)
    wrong = [
        (words, grading_blocks.by_jacobian(*given, key)[0])
        for key, words in grading_blocks.JACOBIAN_MISTAKES.items()
    ]
    same(values[0], right[0], f"{where}: d_scores", wrong)
    wrong = [
        ("each batch has its own values", right[1].sum(0, keepdim=True).expand_as(value)),
        ("this is the sum over the batch: each has its own values", right[1].sum(0)),
        ("this sums grad over the queries: weigh it", grad.sum(1, keepdim=True).expand_as(value)),
    ]
    if weights.shape[1] == weights.shape[2]:
        wrong.append(("the weights have to be transposed: weights.mT @ grad", weights @ grad))
    same(values[1], right[1], f"{where}: d_value", wrong)


def check_no_jacobian(ex):
    """No tensor of the learner is larger than what came in."""
    batch, queries, keys, width = 2, 20, 30, 4
    weights = normal(batch, queries, keys).softmax(-1)
    given = (weights, normal(batch, keys, width), normal(batch, queries, width))
    with Watch() as seen:
        without_autograd(ex.scores_gradient, *given)
    assert seen.numbers <= weights.numel(), (
        f"B = 2, T = 20, S = 30: a tensor of {seen.numbers:,} numbers, the weights have "
        f"{weights.numel():,}: the product with the Jacobian does not need the Jacobian"
    )
