"""Padding, masks and packed sequences against torch.nn.utils.rnn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils import rnn

from chapter_06_rnn_lstm_seq import variable_length as ours
from chapter_06_rnn_lstm_seq.recurrent import LSTM

LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(LENGTHS, st.booleans())
def test_packing_and_padding_equal_torch(lengths, batch_first):
    x = torch.randn(len(lengths), max(lengths), 2)
    x = x if batch_first else x.transpose(0, 1)
    found = ours.pack_padded_sequence(x, lengths, batch_first, enforce_sorted=False)
    expected = rnn.pack_padded_sequence(x, torch.tensor(lengths), batch_first, enforce_sorted=False)
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine, theirs)
    back = ours.pad_packed_sequence(found, batch_first, -1.0, total_length=7)
    assert torch.equal(back[0], rnn.pad_packed_sequence(expected, batch_first, -1.0, 7)[0])
    assert back[1].tolist() == lengths


def test_the_example_of_the_module():
    x = torch.tensor([[1, 5, 7], [2, 6, 0], [3, 0, 0], [4, 0, 0]])  # (T, B)
    packed = ours.pack_padded_sequence(x, [4, 2, 1])
    assert packed.data.tolist() == [1, 5, 7, 2, 6, 3, 4]
    assert packed.batch_sizes.tolist() == [3, 2, 1, 1]
    assert ours.packed_lengths(packed.batch_sizes).tolist() == [4, 2, 1]


def test_pad_sequence_equals_torch():
    parts = [torch.randn(n, 3) for n in (2, 4, 1)]
    for batch_first in (False, True):
        expected = rnn.pad_sequence(parts, batch_first, 9.0)
        assert torch.equal(ours.pad_sequence(parts, batch_first, 9.0), expected)


@pytest.mark.parametrize("two", [False, True])
def test_padding_never_changes_a_result(two):
    """Each sequence alone gives what it gives in the batch, whatever stands in its padding."""
    torch.manual_seed(0)
    layer = LSTM(3, 4, num_layers=2, bidirectional=two).double()
    parts = [torch.randn(n, 3, dtype=torch.float64) for n in (2, 5, 3)]
    x = ours.pad_sequence(parts, padding_value=1e6)
    out, (h, c) = layer(ours.pack_padded_sequence(x, [2, 5, 3], enforce_sorted=False))
    out, _ = ours.pad_packed_sequence(out)
    for row, part in enumerate(parts):
        alone, (h_alone, c_alone) = layer(part)
        torch.testing.assert_close(out[: len(part), row], alone)
        torch.testing.assert_close(h[:, row], h_alone)
        torch.testing.assert_close(c[:, row], c_alone)


def test_without_packing_a_bidirectional_layer_reads_the_padding():
    torch.manual_seed(0)
    layer = LSTM(3, 4, bidirectional=True)
    x = torch.randn(2, 1, 3)
    padded = torch.cat([x, torch.zeros(3, 1, 3)])
    difference = (layer(padded)[0][:2] - layer(x)[0]).abs().amax(dim=(0, 1))  # (2H,)
    assert difference[:4].max() < 1e-6  # forward: the padding comes later
    assert difference[4:].min() > 1e-3  # backward: it came first


def test_wrong_lengths_are_said_in_words():
    x = torch.zeros(4, 2, 1)
    with pytest.raises(ValueError, match="sequence 1 has length 0"):
        ours.pack_padded_sequence(x, [4, 0])
    with pytest.raises(ValueError, match="a length of 5 in a table of 4 steps"):
        ours.pack_padded_sequence(x, [5, 1])
    with pytest.raises(ValueError, match="enforce_sorted=False"):
        ours.pack_padded_sequence(x, [1, 4])
    with pytest.raises(ValueError, match="there are 2 sequences, but 1 lengths"):
        ours.pack_padded_sequence(x, [4])
    with pytest.raises(ValueError, match="there are no sequences"):
        ours.length_mask([])
    with pytest.raises(ValueError, match="total_length 2 is below"):
        ours.pad_packed_sequence(ours.pack_padded_sequence(x, [4, 1]), total_length=2)
