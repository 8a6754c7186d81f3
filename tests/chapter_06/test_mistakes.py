"""The common mistakes of the practice page, each made on purpose, and what it looks like."""

import math

import pytest
import torch
from torch import Tensor

from chapter_06_rnn_lstm_seq.recurrent import GRU, LSTM, RNN
from chapter_06_rnn_lstm_seq.variable_length import pack_padded_sequence, pad_packed_sequence

LENGTHS = torch.tensor([2, 5, 3])


def made(kind: type = GRU, **options) -> torch.nn.Module:
    torch.manual_seed(0)
    return kind(2, 4, batch_first=True, **options)


def padded() -> Tensor:
    """(3, 5, 2) of LENGTHS real steps; behind them zeros."""
    x = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(1))
    return x * (torch.arange(5)[None, :] < LENGTHS[:, None])[..., None]


def alone(model: torch.nn.Module, x: Tensor, row: int) -> tuple[Tensor, Tensor]:
    """Outputs and last state of one sequence without its padding: what is right."""
    out, state = model(x[row : row + 1, : LENGTHS[row]])
    return out[0], state[:, 0]


def packed(model: torch.nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    out, state = model(pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False))
    return pad_packed_sequence(out, batch_first=True)[0], state


def test_a_carried_state_that_is_not_detached():
    model, x = made(), padded()
    out, state = model(x)
    out.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        model(x, state)[0].sum().backward()
    model(x, state.detach())[0].sum().backward()


def test_batch_and_time_mixed_up_raises_nothing():
    """Read as (T, B, C), the sequences of a batch are steps of each other."""
    x = padded().requires_grad_()
    wrong = GRU(2, 4)
    for model, mixes in ((made(), False), (wrong, True)):
        out, _ = model(x)
        (gradient,) = torch.autograd.grad(out[2].sum(), x)
        assert out.shape == (3, 5, 4) and bool(gradient[0].abs().max() > 0) == mixes


def test_the_last_output_of_a_padded_batch_is_padding():
    model, x = made(), padded()
    out, _ = model(x)
    right = alone(model, x, 0)[1][0]
    assert not torch.allclose(out[0, -1], right)
    torch.testing.assert_close(packed(model, x)[1][0, 0], right)
    torch.testing.assert_close(out[0, LENGTHS[0] - 1], right)


def test_without_packing_the_backward_direction_begins_in_the_padding():
    model, x = made(bidirectional=True), padded()
    right = alone(model, x, 0)[0]
    wrong, _ = model(x)
    torch.testing.assert_close(wrong[0, :2, :4], right[:, :4])  # forward: no harm
    assert not torch.allclose(wrong[0, :2, 4:], right[:, 4:])
    torch.testing.assert_close(packed(model, x)[0][0, :2], right)


def test_the_last_output_of_two_directions_has_seen_one_row_backward():
    model, x = made(bidirectional=True), padded()[1:2]
    out, state = model(x)
    one, _ = model(x[:, -1:])
    torch.testing.assert_close(out[0, -1, 4:], one[0, 0, 4:])
    torch.testing.assert_close(torch.cat([out[0, -1, :4], out[0, 0, 4:]]), state[:, 0].flatten())


def test_sequences_sorted_by_hand_come_back_sorted():
    model, x = made(), padded()
    order = LENGTHS.argsort(descending=True)
    _, state = model(pack_padded_sequence(x[order], LENGTHS[order], batch_first=True))
    right = packed(model, x)[1]
    assert not torch.allclose(state, right)
    torch.testing.assert_close(state[:, order.argsort()], right)


def test_two_biases_count_as_one():
    """A forget bias of 1 in both vectors is a bias of 2."""
    model = made(LSTM)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    x, cell = torch.zeros(1, 1, 2), torch.ones(1, 1, 4)
    for names, bias in ((["bias_ih_l0"], 1.0), (["bias_hh_l0"], 2.0)):
        for name in names:
            getattr(model, name).data[4:8] = 1.0
        _, (_, c) = model(x, (torch.zeros_like(cell), cell))
        assert c.flatten()[0].item() == pytest.approx(1 / (1 + math.exp(-bias)))


def test_dropout_stands_between_layers_and_only_in_training():
    x = padded()
    two = made(num_layers=2, dropout=0.5)
    assert not torch.equal(two(x)[0], two(x)[0])
    two.eval()
    assert torch.equal(two(x)[0], two(x)[0])
    one = made(dropout=0.5)  # one layer has no place between layers
    assert torch.equal(one(x)[0], one(x)[0])


def test_a_mean_over_padding_is_too_small():
    mask = torch.arange(5)[None, :] < LENGTHS[:, None]
    losses = torch.ones(3, 5) * mask
    assert losses.mean() == pytest.approx(10 / 15) and losses.sum() / mask.sum() == 1


def test_a_mean_of_perplexities_is_not_the_perplexity():
    losses = torch.tensor([1.0, 3.0])
    assert losses.exp().mean() > 1.5 * losses.mean().exp()


def test_a_sequence_without_steps_is_an_error():
    with pytest.raises((ValueError, RuntimeError)):
        pack_padded_sequence(padded(), torch.tensor([2, 5, 0]), True, enforce_sorted=False)


def test_the_states_of_the_first_page_by_hand():
    model = RNN(1, 1, bias=False, batch_first=True)
    model.weight_ih_l0.data.fill_(1.0)
    model.weight_hh_l0.data.fill_(0.5)
    out, _ = model(torch.tensor([[1.0, 0, 0], [0, 1, 0]])[..., None])
    expected = torch.tensor([[0.762, 0.363, 0.180], [0, 0.762, 0.363]])
    torch.testing.assert_close(out[..., 0], expected, atol=5e-4, rtol=0)
