"""What the grader of chapter 8 looks at in one result: limits, dictionaries, rows that are full.

Each raises an AssertionError that says in one sentence what is wrong.
"""

import torch

from chapter_03_optimization_regularization.exercises.grading import normal, same
from chapter_06_rnn_lstm_seq.exercises.grading import Watch
from chapter_08_transformer_vanilla.exercises import grading, grading_parts
from utils.grading import check_order


def check_padding_alone(ex):
    """A batch without a real token: 0, and no nan in the gradient."""
    where = "a batch of padding alone"
    logits = normal(1, 2, 3).requires_grad_()
    result = ex.smoothed_loss(logits, torch.zeros(1, 2, dtype=torch.int64), 0.1, 0)
    zero = torch.zeros((), dtype=torch.float64)
    assert not bool(torch.as_tensor(result).isnan()), (
        f"{where}: nan: divide by at least 1, the sum is 0"
    )
    same(result, zero, where)
    assert result.requires_grad, f"{where}: no gradient comes through (detach, no_grad?)"
    (slope,) = torch.autograd.grad(result, logits)
    assert not bool(slope.any()), f"{where}: the gradient has to be 0"


def check_slope(ex, given, where):
    """The gradient with respect to the logits: all of the loss has one, its smooth part too."""
    slopes, name = [], "the gradient of the logits"
    for loss in (ex.smoothed_loss, grading.smoothed):
        logits = given[0].clone().requires_grad_()
        result = loss(logits, *given[1:])
        assert result.requires_grad, f"{where}: no gradient comes through (detach, no_grad?)"
        slopes += torch.autograd.grad(result, logits)
    same(slopes[0], slopes[1], f"{where}: {name}")


def check_far_logits(ex):
    """Logits that differ by thousands: the loss and its gradient stay finite."""
    where = "logits that differ by thousands"
    logits = torch.tensor([[[1000.0, -1000.0], [0.0, 3000.0]]]).double().requires_grad_()
    target = torch.tensor([[1, 1]])
    result = ex.smoothed_loss(logits, target, 0.5, 0)
    assert bool(torch.isfinite(result)), (
        f"{where}: the loss is {result.item()}: log_softmax, not the log of a softmax"
    )
    right = torch.tensor((0.75 * 2000 + 0.25 * 3000) / 2).double()
    same(result.detach(), right, where)
    assert result.requires_grad, f"{where}: no gradient comes through (detach, no_grad?)"
    (slope,) = torch.autograd.grad(result, logits)
    assert bool(torch.isfinite(slope).all()), f"{where}: the gradient has nan or inf"


def check_ranks(values, given, where):
    """scores against single numbers; best is an int, stop a bool."""
    scores, best, stop = values
    wrong = grading.SCORE_MISTAKES
    mistakes = [(words, grading.ranked(*given, key)[0]) for key, words in wrong.items()]
    # int64 / 6 is float32 in torch: that rounding is no mistake.
    same(scores, grading.ranked(*given)[0], f"{where}: scores", mistakes, tolerance=1e-5)
    for value, name, kind in ((best, "best", int), (stop, "stop", bool)):
        assert type(value) is kind, (
            f"{where}: {name} has to be of type {kind.__name__}, not {type(value).__name__}"
        )


def check_choices(found, cases):
    """A wrong `best` or `stop` is one of few values: only all cases together tell the mistake."""
    for part, table in ((1, grading.BEST_MISTAKES), (2, grading.STOP_MISTAKES)):
        values = [parts[part] for parts in found]
        wrong = {
            words: [grading.ranked(*given, key)[part] for given, _ in cases]
            for key, words in table.items()
        }
        words = [words for words, others in wrong.items() if others == values]
        why = f" ({words[0]})" if words else ""
        for value, (given, where) in zip(values, cases, strict=True):
            wanted = grading.ranked(*given)[part]
            name = ("scores", "best", "stop")[part]
            assert value == wanted, f"{where}: {name}: expected {wanted}, got {value}{why}"


def check_widest(ex, given):
    """(D, parameters) against counting up; the size of a wrong count names what is missing."""
    budget, vocabulary, layers, longest, heads = given
    where = f"{budget = }, {vocabulary = }, {layers = }, {longest = }, {heads = }"
    result = ex.widest(*given)
    assert isinstance(result, tuple) and len(result) == 2, "return the tuple (D, parameters)"
    assert all(type(value) is int for value in result), f"{where}: two ints, not {result}"
    wanted = grading.widest(*given)
    if result == wanted:
        return
    width, count = result
    check_order(result, wanted, "(D, parameters)", where)
    counts = {words: grading.gpt_parameters(width, vocabulary, layers, longest, key)
              for key, words in grading.COUNT_MISTAKES.items()}  # fmt: skip
    reasons = [words for words, value in counts.items() if value == count]
    right = grading.gpt_parameters(width, vocabulary, layers, longest)
    if count == right:
        above = count > budget
        reasons = ["this has more than `budget` parameters"] if above else []
        if width % heads:
            reasons = ["D has to be a multiple of the number of heads"]
        if not reasons:
            reasons = ["a wider one is possible; with exactly `budget` parameters it still fits"]
    why = f" ({reasons[0]})" if reasons else ""
    raise AssertionError(
        f"{where}: expected {wanted}, got {result}{why}; D = {width} has {right} parameters"
    )


def check_large_and_small(ex):
    """A budget of 10^24 takes no long search; one that is too small is a ValueError."""
    given = (10**24, 50_257, 1, 2048, 1)
    width, count = ex.widest(*given)
    wider = grading.gpt_parameters(width + 1, 50_257, 1, 2048)
    right = grading.gpt_parameters(width, 50_257, 1, 2048)
    assert count == right <= 10**24 < wider, (
        f"a budget of 10^24: D = {width} has {right} parameters, the next has {wider}; you return "
        f"{count} (a root in floating point rounds: mend it with ints)"
    )
    try:
        ex.widest(100, 50, 2, 10, 4)
    except ValueError:
        return
    except (TypeError, ArithmeticError) as error:
        raise AssertionError(
            f"a budget of 100: raise a ValueError, not a {type(error).__name__}"
        ) from error
    raise AssertionError("a budget of 100: not even D = h is possible: raise a ValueError")


def check_patches_that_do_not_fit(ex):
    for height, wide in ((4, 6), (6, 4)):
        given = normal(1, 2, height, wide), normal(3, 2, 3, 3, seed=1), normal(3), normal(3)
        try:
            ex.patch_tokens(*given, normal(5, 3))
        except ValueError:
            continue
        except (RuntimeError, TypeError) as error:
            raise AssertionError(
                f"H = {height}, W = {wide}, P = 3: raise a ValueError, not a {type(error).__name__}"
            ) from error
        raise AssertionError(
            f"H = {height}, W = {wide}, P = 3: patches do not fit: raise a ValueError"
        )


def check_no_loop_over_patches(ex):
    def count(size):
        given = normal(1, 1, size, size), normal(2, 1, 2, 2, seed=1), normal(2), normal(2)
        with Watch() as seen:
            ex.patch_tokens(*given, normal(1 + size * size // 4, 2))
        return seen

    small, large = count(4), count(40)
    assert small.calls == large.calls, (
        f"{small.calls} tensor operations for 4 patches, {large.calls} for 400: there is a loop "
        "over patches"
    )
    made = ("unfold", "im2col", "pixel_unshuffle")
    ready = {name for name in small.names if name.startswith("conv") or name in made}
    assert not ready, f"{min(ready)} does it all: write it with unflatten, permute and @"


def check_import(found, state, number, where):
    """The names, then each tensor."""
    assert isinstance(found, dict), f"{where}: return a dict, not {type(found).__name__}"
    right = grading_parts.imported(state, number)
    missing = [name for name in right if name not in found]
    more = [name for name in found if name not in right]
    assert not more, f"{where}: {more[0]} is no weight of an EncoderLayer"
    assert not missing, f"{where}: {missing[0]} is missing"
    for name, expected in right.items():
        wrong = grading_parts.wrong_imports(state, number, name)
        mistakes = [(words, tensor) for words, tensor in wrong if tensor.shape != expected.shape
                    or not torch.equal(tensor, expected)]  # fmt: skip
        same(found[name], expected, f"{where}: {name}", mistakes)


def check_own_memory(ex, state, kept, number, where):
    """Changing the result leaves `state` as it was."""
    for tensor in ex.from_conv1d(state, number).values():
        tensor.mul_(0)
    changed = [name for name in kept if not torch.equal(kept[name], state[name])]
    assert not changed, (
        f"{where}: who changes the result changes {changed[0]} in `state`: .T is a view, clone it"
    )


def check_cache(values, given, where):
    """keys, values and lengths first, then the answer with the slips that leave those right."""
    names = ("answer", "keys", "values", "lengths")
    right = grading_parts.cached(*given)
    wrong = [
        (words, grading_parts.cached(*given, key))
        for key, words in grading_parts.CACHE_MISTAKES.items()
    ]
    for i in (1, 2, 3, 0):
        mistakes = [(words, parts[i]) for words, parts in wrong]
        if i == 0:
            mistakes = [(w, parts[0]) for w, parts in wrong
                        if all(torch.equal(parts[j], right[j]) for j in (1, 2, 3))]  # fmt: skip
        same(values[i], right[i], f"{where}: {names[i]}", mistakes)


def check_full_row(ex):
    rows, kept = [normal(2, 1, seed=i) for i in range(3)], [normal(2, 3, 1, seed=i) for i in (4, 5)]
    try:
        ex.cache_step(*rows, *kept, torch.tensor([1, 3]))
    except ValueError:
        return
    except (RuntimeError, IndexError) as error:
        raise AssertionError(
            f"M = 3, lengths = [1, 3]: raise a ValueError, not a {type(error).__name__}"
        ) from error
    raise AssertionError("M = 3, lengths = [1, 3]: the second row is full: raise a ValueError")
