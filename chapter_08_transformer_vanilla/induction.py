"""Induction heads: what two layers of attention can do that one cannot. A B ... A -> B.

What you learn: how a text's own repetition is continued, and how the heads that do it are found.

    layer 1   a previous-token head: place t gets to know the token at t - 1
    layer 2   an induction head: the query is the token at t, the keys are previous tokens, so it
              finds the place behind an earlier occurrence; what it copies is that place's token

Three scores of a head, each near 1 if it does just this and small if it does not:
`previous_token`, `prefix_matching`, `copying`. `ByHand` sets the weights of two attentions so that
they do nothing else, and needs no training; `without_head` takes a head out of a trained network.

B texts, T places, V tokens, D width, h heads, d = D / h.
Papers: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Olsson et al.
2022, "In-context Learning and Induction Heads".
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_07_attention_mechanism.masks import causal_mask
from chapter_07_attention_mechanism.multi_head import MultiheadAttention
from chapter_08_transformer_vanilla.gpt2 import GPT2

SHARP = 20.0  # a score that is this much higher leaves e^-20 to the others


def previous_token(weights: Tensor) -> Tensor:
    """Mean weight on the place before: (B, h, T, T) -> (h,), from 0 to 1."""
    return weights.diagonal(-1, -2, -1).mean((0, 2))  # entries [t, t - 1]


def behind_a_match(ids: Tensor) -> Tensor:
    """[b, t, s] is True if s follows an earlier occurrence of t's token: (B, T) -> (B, T, T)."""
    same = (ids[:, :, None] == ids[:, None, :]).tril(-1)  # [t, j]: the same token, j < t
    return F.pad(same, (1, 0))[:, :, :-1]  # j becomes s = j + 1


def prefix_matching(weights: Tensor, ids: Tensor) -> Tensor:
    """Mean weight behind a match, of the places whose token stood before: -> (h,), from 0 to 1.

    weights (B, h, T, T), ids (B, T). ValueError: no token stands twice.
    """
    behind = behind_a_match(ids)  # (B, T, T)
    again = behind.any(-1)  # (B, T)
    if not bool(again.any()):
        raise ValueError("no token of these texts stands twice: there is nothing to match")
    found = (weights * behind[:, None]).sum(-1)  # (B, h, T)
    return (found * again[:, None]).sum((0, 2)) / again.sum()


@torch.no_grad()
def ov_circuit(model: GPT2, layer: int, head: int) -> Tensor:
    """[a, b]: what attending to token a alone adds to the logit of b. (V, V).

    E W_V W_O E^T with the gains of both norms; places and the other layers are left out.
    """
    block, table = model.layers[layer], model.tokens.weight  # (V, D)
    attention = block.self_attn
    own = slice(head * attention.head_dim, (head + 1) * attention.head_dim)
    w_value = attention.in_proj_weight.chunk(3)[2][own]  # (d, D)
    w_out = attention.out_proj.weight[:, own]  # (D, d)
    said = block.norm1(table) @ w_value.mT @ w_out.mT  # (V, D)
    return (said - said.mean(-1, keepdim=True)) * model.norm.weight @ table.mT


def copying(circuit: Tensor) -> float:
    """The share of tokens whose own logit is raised most. circuit (V, V); chance: 1 / V."""
    own = torch.arange(len(circuit), device=circuit.device)
    return float((circuit.argmax(-1) == own).float().mean())


def without_head(model: GPT2, layer: int, head: int) -> GPT2:
    """A copy in which this head says nothing: its columns of W_O are zero."""
    silent = deepcopy(model)
    attention = silent.layers[layer].self_attn
    own = slice(head * attention.head_dim, (head + 1) * attention.head_dim)
    with torch.no_grad():
        attention.out_proj.weight[:, own] = 0.0
    return silent


class ByHand(nn.Module):
    """Two attentions of one head, no training: token ids (B, T) -> shares of next tokens (B, T, V).

    The stream has four parts: the token, the place, the token before (written by layer 1) and the
    answer (written by layer 2). All are one-hot. T is at most `longest`.
    """

    def __init__(self, vocabulary: int, longest: int) -> None:
        super().__init__()
        self.vocabulary, self.longest = vocabulary, longest
        width = 3 * vocabulary + longest
        token, before, answer = torch.arange(3 * vocabulary).chunk(3)
        place = torch.arange(3 * vocabulary, width)
        self.answer = answer
        self.layers = nn.ModuleList(
            MultiheadAttention(width, 1, bias=False, batch_first=True) for _ in "12"
        )
        for layer in self.layers:
            layer.requires_grad_(False)
            layer.in_proj_weight.zero_()
            layer.out_proj.weight.zero_()
        sharp = SHARP * width**0.5  # the scores are divided by the root of the width

        query, key, value, out = matrices(self.layers[0])
        query[place[:-1], place[1:]] = sharp  # place t asks for t - 1
        key[place, place] = 1.0  # and a place says which one it is
        value[token, token] = 1.0
        out[before, token] = 1.0  # what was read is written beside the token

        query, key, value, out = matrices(self.layers[1])
        query[before, token] = sharp  # which place has my token before it?
        key[before, before] = 1.0
        query[place[0], place] = sharp  # place 0 had none before it, and read itself:
        key[place[0], place[0]] = -1.0  # everyone keeps away from it
        value[token, token] = 1.0
        out[answer, token] = 1.0

    def forward(self, ids: Tensor, kept: list[Tensor] | None = None) -> Tensor:
        """kept: receives each layer's weights (B, 1, T, T)."""
        batch, steps = ids.shape
        tokens = F.one_hot(ids, self.vocabulary).float()  # (B, T, V)
        places = torch.eye(self.longest)[:steps].expand(batch, -1, -1)  # (B, T, M)
        x = torch.cat([tokens, torch.zeros(batch, steps, 2 * self.vocabulary), places], dim=-1)
        for layer in self.layers:
            said, weights = layer(
                x, x, x, attn_mask=~causal_mask(steps), average_attn_weights=False
            )
            x = x + said  # (B, T, 3 V + M)
            if kept is not None:
                kept.append(weights)
        return x[..., self.answer]


def matrices(attention: MultiheadAttention) -> tuple[Tensor, ...]:
    """W_Q, W_K, W_V, W_O, each (D, D) and a view: setting numbers in them sets the layer's."""
    return (*attention.in_proj_weight.chunk(3), attention.out_proj.weight)
