"""The language model: streams, carried state, its measurement, and what it writes."""

from __future__ import annotations

import math

import pytest
import torch

from chapter_06_rnn_lstm_seq.language_model import (
    CELLS,
    CarriedLoss,
    LanguageModel,
    TextStreams,
    bits,
    detached,
    generate,
    nats_per_token,
)
from utils.errors import UserError


def test_streams_cover_the_text_and_targets_are_the_next_tokens():
    ids = torch.arange(103)
    streams = TextStreams(ids, streams=3, seq_len=8, seed=4)
    seen = []
    for epoch in range(3):
        streams.set_epoch(epoch)
        batches = list(streams)
        assert len(batches) == len(streams)
        for inputs, targets, _ in batches:
            assert torch.equal(inputs + 1, targets)
        assert [bool(fresh) for *_, fresh in batches] == [True] + [False] * (len(batches) - 1)
        rows = torch.cat([inputs for inputs, _, _ in batches], dim=1)
        assert torch.equal(rows[:, 1:], rows[:, :-1] + 1)  # a stream goes on over its batches
        seen.append(int(rows[0, 0]))
    assert len(set(seen)) > 1  # epochs begin at different tokens
    streams.set_epoch(1)
    assert int(next(iter(streams))[0][0, 0]) == seen[1]


def test_a_text_that_is_too_short_is_refused():
    with pytest.raises(UserError, match="too few for 4 streams of --seq_len 8"):
        TextStreams(torch.arange(30), streams=4, seq_len=8)


@pytest.mark.parametrize("cell", list(CELLS))
def test_carrying_the_state_is_reading_in_one_piece(cell):
    torch.manual_seed(0)
    model = LanguageModel(7, cell, hidden_size=6, num_layers=2, embed_size=5)
    ids = torch.randint(7, (41,))
    whole = nats_per_token(model, ids, chunk=1000)
    assert nats_per_token(model, ids, chunk=3) == pytest.approx(whole, rel=1e-6)
    logits, _ = model(ids[None, :-1])
    log_p = logits[0].log_softmax(-1).gather(1, ids[1:, None])
    assert whole == pytest.approx(-log_p.mean().item(), rel=1e-6)


def test_the_carried_loss_is_truncated_backpropagation():
    torch.manual_seed(1)
    model = LanguageModel(5, "lstm", hidden_size=4)
    streams = TextStreams(torch.randint(5, (50,)), 2, 6)
    loss_fn, state = CarriedLoss(), None
    for inputs, targets, fresh in streams:
        loss, _ = loss_fn(model, (inputs, targets, fresh))
        logits, state = model(inputs, None if state is None else detached(state))
        expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        torch.testing.assert_close(loss, expected)
    model.eval()
    with torch.no_grad():
        loss_fn(model, batch := next(iter(streams)))
    assert torch.equal(loss_fn.states[False][0], model(batch[0])[1][0])  # its own state


def test_a_future_token_changes_nothing_before_it():
    model = LanguageModel(9, "gru", hidden_size=8)
    ids = torch.randint(9, (1, 12))
    other = ids.clone()
    other[0, 7] = (ids[0, 7] + 1) % 9
    changed = (model(ids)[0] != model(other)[0]).any(-1)[0]
    assert not changed[:7].any()
    assert changed[7:].all()


def test_tied_weights_are_one_matrix_and_need_equal_sizes():
    model = LanguageModel(11, "lstm", hidden_size=6, embed_size=6, tied=True)
    assert model.output.weight is model.embedding.weight
    with pytest.raises(UserError, match="embed_size = hidden_size, 6"):
        LanguageModel(11, hidden_size=6, embed_size=5, tied=True)


def test_the_forget_gate_starts_open_and_recurrent_blocks_orthogonal():
    model = LanguageModel(5, "lstm", hidden_size=4)
    assert model.rnn.bias_ih_l0.tolist() == [0] * 4 + [1] * 4 + [0] * 8
    assert not model.rnn.bias_hh_l0.any()
    for block in model.rnn.weight_hh_l0.split(4):
        torch.testing.assert_close(block @ block.T, torch.eye(4), atol=1e-5, rtol=0)


def test_a_small_model_learns_a_text_by_heart():
    torch.manual_seed(0)
    text = torch.tensor([0, 1, 2, 3, 0, 2, 1, 3] * 40)  # needs a memory of two tokens
    model, loss_fn = LanguageModel(4, "lstm", hidden_size=16), CarriedLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    streams = TextStreams(text, 4, 16)
    for _ in range(30):
        for batch in streams:
            loss, _ = loss_fn(model, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert nats_per_token(model, text[:100]) < 0.1  # without a memory: 1.04 (0 and 3 are sure)
    assert generate(model, text[:8], 8, temperature=0) == text[8:16].tolist()


def test_generation_is_repeatable_and_needs_a_prompt():
    model = LanguageModel(6, "rnn", hidden_size=5)
    draws = [
        generate(model, torch.tensor([1, 2]), 9, generator=torch.Generator().manual_seed(s))
        for s in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]
    with pytest.raises(UserError, match="the prompt is empty"):
        generate(model, torch.tensor([], dtype=torch.int64), 3)
    with pytest.raises(UserError, match="needs two tokens"):
        nats_per_token(model, torch.tensor([1]))


def test_bits_and_nats():
    assert bits(math.log(2)) == pytest.approx(1)
