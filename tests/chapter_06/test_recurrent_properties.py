"""RNN, LSTM and GRU beside torch's, over drawn options: values, states, all gradients.

A second look at recurrent.py and variable_length.py, whose own tests go through chosen cases.
"""

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import rnn

from chapter_06_rnn_lstm_seq import recurrent, variable_length

CLOSE = {"rtol": 1e-7, "atol": 1e-10}
KINDS = ("RNN", "LSTM", "GRU")


@dataclass(frozen=True)
class Case:
    """One drawn network and its input; D inputs, H units."""

    kind: str
    options: dict
    form: str
    lengths: tuple[int, ...]
    layout: str  # "padded", "unbatched", "sorted" or "unsorted" (the last two are packed)
    given_state: bool
    looked_at: str  # what the loss is made of: "outputs", "last" or "both"
    seed: int

    def normal(self, *shape: int, number: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1000 * self.seed + number)
        return torch.randn(shape, generator=generator, dtype=torch.float64)


@st.composite
def cases(draw) -> Case:
    kind = draw(st.sampled_from(KINDS))
    hidden = draw(st.integers(1, 4))
    options = {
        "input_size": draw(st.integers(1, 4)),
        "hidden_size": hidden,
        "num_layers": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
    }
    if options["num_layers"] > 1:
        options["dropout"] = draw(st.sampled_from([0.0, 0.4]))
    if kind == "LSTM" and hidden > 1:
        options["proj_size"] = draw(st.integers(0, hidden - 1))
    if kind == "RNN":
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    return Case(
        kind,
        options,
        draw(st.sampled_from(recurrent.FORMS)),
        tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))),
        draw(st.sampled_from(["padded", "unbatched", "sorted", "unsorted"])),
        draw(st.booleans()),
        draw(st.sampled_from(["outputs", "last", "both"])),
        draw(st.integers(0, 99)),
    )


def both(case: Case) -> tuple[nn.Module, nn.Module]:
    """torch's module and ours with the same weights, in evaluation mode."""
    theirs = getattr(nn, case.kind)(**case.options).double().eval()
    for number, parameter in enumerate(theirs.parameters(), start=10):
        parameter.data.copy_(0.6 * case.normal(*parameter.shape, number=number))
    ours = getattr(recurrent, case.kind)(**case.options, form=case.form).double().eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def run(module: nn.Module, case: Case, tools) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """(results, gradients) of one module; `tools` packs for it."""
    longest, batch = max(case.lengths), len(case.lengths)
    first = case.options["batch_first"] and case.layout != "unbatched"
    shape = {"unbatched": (longest,)}.get(
        case.layout, (batch, longest) if first else (longest, batch)
    )
    x = case.normal(*shape, case.options["input_size"]).requires_grad_()
    state = initial_state(case)
    fed = x
    if case.layout in ("sorted", "unsorted"):
        lengths = sorted(case.lengths, reverse=True) if case.layout == "sorted" else case.lengths
        fed = tools.pack_padded_sequence(
            x, torch.tensor(lengths), batch_first=first, enforce_sorted=case.layout == "sorted"
        )
    hx = (state if case.kind == "LSTM" else state[0]) if case.given_state else None
    outputs, last = module(fed, hx)
    last = list(last) if case.kind == "LSTM" else [last]
    results = [*last]
    if case.layout in ("sorted", "unsorted"):
        padded, counts = tools.pad_packed_sequence(outputs, batch_first=first)
        results += [padded, counts.double(), outputs.data, outputs.batch_sizes.double()]
        outputs = outputs.data
    else:
        results.append(outputs)
    parts = {"outputs": [outputs], "last": last, "both": [outputs, *last]}[case.looked_at]
    loss = sum(
        (part * case.normal(*part.shape, number=5 + i)).sum() for i, part in enumerate(parts)
    )
    leaves = [x, *module.parameters(), *(state if case.given_state else [])]
    grads = torch.autograd.grad(loss, leaves, allow_unused=True)
    return results, [
        torch.zeros_like(v) if g is None else g for g, v in zip(grads, leaves, strict=True)
    ]


def initial_state(case: Case) -> list[torch.Tensor]:
    rows = case.options["num_layers"] * (1 + case.options["bidirectional"])
    batch = () if case.layout == "unbatched" else (len(case.lengths),)
    hidden = case.options["hidden_size"]
    sizes = [case.options.get("proj_size") or hidden, hidden]
    return [
        case.normal(rows, *batch, size, number=2 + i).requires_grad_()
        for i, size in enumerate(sizes[: 1 + (case.kind == "LSTM")])
    ]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(cases())
def test_values_states_and_gradients_are_those_of_torch(case):
    theirs, ours = both(case)
    expected, slopes = run(theirs, case, rnn)
    results, gradients = run(ours, case, variable_length)
    for result, right in zip([*results, *gradients], [*expected, *slopes], strict=True):
        torch.testing.assert_close(result, right, **CLOSE)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(cases())
def test_padding_and_neighbours_never_change_a_result(case):
    """Each sequence alone, and in a padded batch whose padding is nan: the same, gradients too."""
    _, ours = both(case)
    batch, longest = len(case.lengths), max(case.lengths) + 2
    table = case.normal(longest, batch, case.options["input_size"])  # (T, B, D)
    for row, length in enumerate(case.lengths):
        table[length:, row] = math.nan
    ours.batch_first = False
    packed_in = table.clone().requires_grad_()
    packed = variable_length.pack_padded_sequence(packed_in, case.lengths, enforce_sorted=False)
    outputs, last = ours(packed)
    padded, _ = variable_length.pad_packed_sequence(outputs, total_length=longest)
    weights = case.normal(*padded.shape, number=7)
    together = torch.autograd.grad((padded * weights).sum(), [packed_in, *ours.parameters()])
    total = [torch.zeros_like(p) for p in ours.parameters()]
    for row, length in enumerate(case.lengths):
        alone = table[:length, row].clone().requires_grad_()  # (t, D), unbatched
        out, end = ours(alone)
        torch.testing.assert_close(padded[:length, row], out, **CLOSE)
        assert not padded[length:, row].any()
        parts = zip(last, end, strict=True) if case.kind == "LSTM" else [(last, end)]
        for whole, part in parts:
            torch.testing.assert_close(whole[:, row], part, **CLOSE)
        slopes = torch.autograd.grad(
            (out * weights[:length, row]).sum(), [alone, *ours.parameters()], allow_unused=True
        )
        torch.testing.assert_close(together[0][:length, row], slopes[0], **CLOSE)
        assert not together[0][length:, row].any()  # not nan either
        total = [t + (0 if s is None else s) for t, s in zip(total, slopes[1:], strict=True)]
    for gradient, right in zip(together[1:], total, strict=True):
        torch.testing.assert_close(gradient, right, rtol=1e-7, atol=1e-9)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(cases(), st.data())
def test_the_state_can_be_carried_over_a_cut(case, data):
    """In one direction, two halves with the state handed on are the whole; causality with it."""
    case.options["bidirectional"] = False
    _, ours = both(case)
    ours.batch_first = False
    steps = max(case.lengths) + 1
    cut = data.draw(st.integers(1, steps - 1))
    x = case.normal(steps, len(case.lengths), case.options["input_size"])  # (T, B, D)
    whole, end = ours(x)
    first, state = ours(x[:cut])
    second, last = ours(x[cut:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole, **CLOSE)
    for part, right in zip(last, end, strict=True):
        torch.testing.assert_close(part, right, **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_packed_by_torch_is_read_too(kind):
    ours = getattr(recurrent, kind)(2, 3).double()
    x = torch.randn(4, 3, 2, dtype=torch.float64)
    results = [
        ours(tools.pack_padded_sequence(x, torch.tensor([2, 4, 1]), enforce_sorted=False))
        for tools in (rnn, variable_length)
    ]
    torch.testing.assert_close(results[0][0].data, results[1][0].data)
    assert type(results[0][0]) is rnn.PackedSequence
    torch.testing.assert_close(rnn.pad_packed_sequence(results[0][0])[1], torch.tensor([2, 4, 1]))


@pytest.mark.parametrize(
    "call",
    [
        lambda: variable_length.pack_padded_sequence(torch.zeros(3, 2, 1), [2, 0]),
        lambda: variable_length.pack_padded_sequence(torch.zeros(3, 2, 1), torch.tensor([3, -1])),
        lambda: variable_length.pad_sequence([torch.zeros(2, 1), torch.zeros(0, 1)]),
        lambda: variable_length.length_mask([1, 0, 2]),
    ],
)
def test_a_length_of_zero_is_told_in_words(call):
    with pytest.raises(
        ValueError, match=r"sequence 1 has length (0|-1): every sequence needs a step"
    ):
        call()


@pytest.mark.parametrize("form", recurrent.FORMS)
@pytest.mark.parametrize("shape", [(0, 2, 3), (4, 0, 3), (0, 3)])
def test_an_input_without_steps_or_sequences_is_told_in_words(form, shape):
    for kind in KINDS:
        with pytest.raises(ValueError, match="no step or no sequence"):
            getattr(recurrent, kind)(3, 2, form=form)(torch.zeros(shape))


@pytest.mark.parametrize("kind", ["RNN", "GRU"])
def test_only_the_lstm_has_a_projection(kind):
    """As in torch, whose words are the same."""
    for module in (nn, recurrent):
        with pytest.raises(ValueError, match="proj_size argument is only supported for LSTM"):
            getattr(module, kind)(3, 4, proj_size=2)
