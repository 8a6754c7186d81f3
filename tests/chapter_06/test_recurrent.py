"""Cells and layers against PyTorch's, in both forms: values, states and all gradients."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from chapter_06_rnn_lstm_seq import cells, recurrent, variable_length

PACK = {
    "torch": (nn.utils.rnn.pack_padded_sequence, nn.utils.rnn.pad_packed_sequence),
    "ours": (variable_length.pack_padded_sequence, variable_length.pad_packed_sequence),
}
NAMES = ("RNN", "LSTM", "GRU")
GRID = [
    (name, form, layers, two, bias, proj)
    for name, form, layers, two, bias, proj in itertools.product(
        NAMES, recurrent.FORMS, (1, 3), (False, True), (True, False), (0, 3)
    )
    if not (proj and name != "LSTM")
]


def tensors(count: int, *shape: int) -> list[torch.Tensor]:
    return [torch.randn(*shape, dtype=torch.float64) for _ in range(count)]


def results(module: nn.Module, x, state, lengths, whose: str, batch_first: bool) -> list:
    """Outputs, last states, and the gradients of a random weighting of all of them."""
    x = x.clone().requires_grad_()
    state = [part.clone().requires_grad_() for part in state]
    pack, pad = PACK[whose]
    given = x
    if lengths is not None:
        given = pack(x, torch.tensor(lengths), batch_first=batch_first, enforce_sorted=False)
    out, last = module(given, tuple(state) if len(state) > 1 else state[0])
    if lengths is not None:
        out, found = pad(out, batch_first=batch_first)
        assert found.tolist() == lengths
    values = [out, *(last if isinstance(last, tuple) else (last,))]
    draw = torch.Generator().manual_seed(5)
    loss = sum(
        (value * torch.randn(value.shape, generator=draw, dtype=value.dtype)).sum()
        for value in values
    )
    return values + list(torch.autograd.grad(loss, [x, *state, *module.parameters()]))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("name", "form", "layers", "two", "bias", "proj"), GRID)
def test_a_layer_equals_torch(name, form, layers, two, bias, proj, packed):
    torch.manual_seed(layers)
    options = {"num_layers": layers, "bidirectional": two, "bias": bias, "batch_first": two}
    options |= {"proj_size": proj} if proj else {}
    theirs = getattr(nn, name)(4, 5, **options).double()
    ours = getattr(recurrent, name)(4, 5, form=form, **options).double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    (x,) = tensors(1, *((3, 6) if two else (6, 3)), 4)
    places = layers * (1 + two)
    state = tensors(1, places, 3, proj or 5)
    state += tensors(1, places, 3, 5) if name == "LSTM" else []
    lengths = [2, 6, 3] if packed else None
    expected = results(theirs, x, state, lengths, "torch", two)
    found = results(ours, x, state, lengths, "ours", two)
    for ours_value, value in zip(found, expected, strict=True):
        torch.testing.assert_close(ours_value, value, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_single_precision_and_relu(name, nonlinearity):
    torch.manual_seed(0)
    options = {"nonlinearity": nonlinearity} if name == "RNN" else {}
    theirs = getattr(nn, name)(7, 9, **options)
    ours = getattr(recurrent, name)(7, 9, **options)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(11, 2, 7)
    for ours_value, value in zip(ours(x)[:1], theirs(x)[:1], strict=True):
        torch.testing.assert_close(ours_value, value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_unbatched_input_and_no_state(name):
    theirs = getattr(nn, name)(3, 4, num_layers=2).double()
    ours = getattr(recurrent, name)(3, 4, num_layers=2).double()
    ours.load_state_dict(theirs.state_dict())
    (x,) = tensors(1, 5, 3)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("form", recurrent.FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_token_numbers_are_one_hot_vectors(name, form):
    layer = getattr(recurrent, name)(6, 4, form=form).double()
    tokens = torch.randint(6, (5, 3))
    vectors = torch.nn.functional.one_hot(tokens, 6).double()
    for wrap in (lambda x: x, lambda x: variable_length.pack_padded_sequence(x, [5, 4, 1])):
        found, expected = layer(wrap(tokens))[0], layer(wrap(vectors))[0]
        if not isinstance(found, torch.Tensor):
            found, expected = found.data, expected.data
        torch.testing.assert_close(found, expected)
        gradients = [
            torch.autograd.grad(out.sum(), layer.weight_ih_l0) for out in (found, expected)
        ]
        torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("name", NAMES)
def test_gradcheck_of_the_fused_form(name):
    torch.manual_seed(3)
    layer = getattr(recurrent, name)(2, 3).double()
    (x,) = tensors(1, 4, 2, 2)
    weights = [parameter.detach().clone().requires_grad_() for parameter in layer.parameters()]
    names = [key for key, _ in layer.named_parameters()]

    def run(x, *weights):
        return torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (x,))[0]

    assert torch.autograd.gradcheck(run, (x.requires_grad_(), *weights))


@pytest.mark.parametrize("name", NAMES)
def test_dropout_acts_between_layers_in_training_only(name):
    torch.manual_seed(0)
    layer = getattr(recurrent, name)(3, 50, num_layers=2, dropout=0.5)
    plain = getattr(recurrent, name)(3, 50, num_layers=2)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(4, 2, 3)
    assert not torch.equal(layer(x)[0], plain(x)[0])
    first = "weight_ih_l0"
    torch.testing.assert_close(layer.eval()(x)[0], plain(x)[0])
    one = getattr(recurrent, name)(3, 50, num_layers=1, dropout=0.5)
    same = getattr(recurrent, name)(3, 50, num_layers=1)
    same.load_state_dict(one.state_dict())
    assert first in one.state_dict()
    torch.testing.assert_close(one(x)[0], same(x)[0])  # the last layer's outputs are left alone


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_equals_torch(name):
    torch.manual_seed(1)
    for bias, nonlinearity in ((True, "tanh"), (False, "relu")):
        options = {"bias": bias} | ({"nonlinearity": nonlinearity} if name == "RNN" else {})
        theirs = getattr(nn, f"{name}Cell")(4, 5, **options).double()
        ours = getattr(cells, f"{name}Cell")(4, 5, **options).double()
        ours.load_state_dict(theirs.state_dict(), strict=True)
        for shape in ((3, 4), (4,)):
            x, h, c = *tensors(1, *shape), *tensors(2, *shape[:-1], 5)
            state = (h, c) if name == "LSTM" else h
            for given in (state, None):
                grads = []
                for cell in (ours, theirs):
                    out = cell(x, given)
                    first = out[0] + out[1] if name == "LSTM" else out
                    grads.append((out, torch.autograd.grad(first.sum(), cell.parameters())))
                torch.testing.assert_close(*grads, rtol=1e-7, atol=1e-9)


def test_wrong_shapes_are_said_in_words():
    layer, cell = recurrent.LSTM(3, 4), cells.GRUCell(3, 4)
    with pytest.raises(ValueError, match="the last of 3"):
        layer(torch.zeros(2, 2, 5))
    with pytest.raises(ValueError, match=r"a state must be \(1, 2, 4\)"):
        layer(torch.zeros(5, 2, 3), (torch.zeros(1, 5, 4), torch.zeros(1, 5, 4)))
    with pytest.raises(ValueError, match="no step"):
        layer(torch.zeros(0, 2, 3))
    with pytest.raises(ValueError, match=r"input must be \(B, 3\)"):
        cell(torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"the state must be \(2, 4\)"):
        cell(torch.zeros(2, 3), torch.zeros(3, 4))
    with pytest.raises(ValueError, match="form must be one of"):
        recurrent.GRU(3, 4, form="fast")
    with pytest.raises(ValueError, match="proj_size must be below"):
        recurrent.LSTM(3, 4, proj_size=4)
