"""Beam search: keep the k likeliest beginnings, not the one. Chapter 8 teaches it."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from torch import Tensor

from chapter_06_rnn_lstm_seq.seq2seq import Encoded
from chapter_07_attention_mechanism.seq2seq_attention import Seq2SeqAttention


def repeated(encoded: Encoded, times: int) -> Encoded:
    """Each row `times` times: every field (B, ...) -> (B times, ...)."""
    parts = {field.name: getattr(encoded, field.name) for field in fields(encoded)}
    return replace(encoded, **{k: v.repeat_interleave(times, dim=0) for k, v in parts.items()})


@torch.no_grad()
def beam_search(
    model: Seq2SeqAttention,
    source: Tensor,
    bos: int,
    eos: int,
    limit: int,
    beams: int = 5,
    penalty: float = 1.0,
) -> Tensor:
    """The best line found for each source (B, S): ids (B, T), padding behind <eos>.

    Beginnings are compared by the sum of their log probabilities; lines that have ended keep
    theirs. The best is chosen by sum / length^penalty, as each token more makes a sum smaller.
    """
    batch = len(source)
    encoded = repeated(model.encode(source), beams)
    state = model.decoder.first_state(encoded)  # (1, B k, H)
    lines = source.new_full((batch, beams, 1), bos)  # (B, k, 1 + steps)
    sums = state.new_full((batch, beams), -torch.inf)  # (B, k)
    sums[:, 0] = 0  # k equal beginnings are one
    ended = torch.zeros_like(sums, dtype=torch.bool)
    while lines.shape[2] <= limit and not ended.all():
        logits, state = model.decoder.step(lines[:, :, -1].flatten(), state, encoded)
        gains = logits.log_softmax(-1).unflatten(0, (batch, beams))  # (B, k, V)
        only = torch.full_like(gains[0, 0], -torch.inf)  # (V,): an ended line goes on with padding
        only[model.pad] = 0
        gains = torch.where(ended.unsqueeze(-1), only, gains)
        sums, best = (sums.unsqueeze(-1) + gains).flatten(1).topk(beams)  # (B, k)
        came, token = best // gains.shape[-1], best % gains.shape[-1]  # (B, k) each
        lines = lines.gather(1, came.unsqueeze(-1).expand_as(lines))
        lines = torch.cat([lines, token.unsqueeze(-1)], dim=2)
        ended = ended.gather(1, came) | (token == eos)
        rows = (came + beams * torch.arange(batch, device=came.device)[:, None]).flatten()  # (B k,)
        state = state[:, rows]
    lengths = (lines[:, :, 1:] != model.pad).sum(2).clamp(min=1)  # (B, k)
    chosen = (sums / lengths**penalty).argmax(1)  # (B,)
    return lines[torch.arange(batch, device=chosen.device), chosen, 1:]
