"""Attention is kernel regression: the guess at a point is a weighted mean of what was seen near it.

What you learn: Nadaraya and Watson (1964, independently) guessed y at a new place q from samples
(k_s, v_s) by their mean, each weighted by how near it is. With a Gaussian for "near":

    f(q) = sum_s K(q, k_s) v_s / sum_s K(q, k_s)        K(q, k) = exp(-|q - k|^2 / (2 width^2))

A quotient of exponentials by their sum is a softmax. So this *is* attention: the places are the
keys, the samples the values, and the scores are -|q - k|^2 / (2 width^2). The squared distance is

    -|q - k|^2 / 2 = q.k - |q|^2 / 2 - |k|^2 / 2

|q|^2 is the same for all keys: it cancels in the quotient. |k|^2 cancels too if all keys are of one
length. What is left is softmax(q.k / width^2): dot-product attention of temperature width^2, of
which the scale 1 / sqrt(d) is one choice.

A narrow width follows the noise, a wide one flattens the curve. In attention nobody chooses it: it
is learnt, as the length of the projected queries and keys.

    the three forms       nadaraya_watson, distance_attention, dot_product_attention
    choosing the width    leave_one_out, best_width
    learning it           KernelRegression, learn

T queries, S samples, D coordinates of a place, E of a value. Papers: Nadaraya 1964; Watson 1964;
Tsai et al. 2019 (attention as a kernel).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from chapter_07_attention_mechanism.masks import masked_softmax
from chapter_07_attention_mechanism.scaled_dot_product import scaled_dot_product_attention

# --- The three forms ---


def squared_distances(query: Tensor, keys: Tensor) -> Tensor:
    """|q_t - k_s|^2 of all pairs, from (T, D) and (S, D): (T, S)."""
    return (query[:, None] - keys).square().sum(-1)  # (T, 1, D) - (S, D) -> (T, S)


def nadaraya_watson(query: Tensor, keys: Tensor, values: Tensor, width: float) -> Tensor:
    """The formula of 1964, word for word: a weighted sum by the sum of the weights. (T, E)

    query (T, D), keys (S, D), values (S, E), width in the unit of the places. NaN at a query so far
    from all samples that every weight is rounded to zero: the softmax of the other forms, which
    subtracts the largest score first, has no such place.
    """
    kernel = torch.exp(-squared_distances(query, keys) / (2 * width**2))  # (T, S)
    return kernel @ values / kernel.sum(1, keepdim=True)  # (T, E)


def distance_attention(
    query: Tensor, keys: Tensor, values: Tensor, width: float, mask: Tensor | None = None
) -> Tensor:
    """The same as a softmax of scores, (T, E). mask (T, S): True where a query may look."""
    scores = -squared_distances(query, keys) / (2 * width**2)  # (T, S)
    return masked_softmax(scores, mask) @ values  # (T, E)


def dot_product_attention(query: Tensor, keys: Tensor, values: Tensor, width: float) -> Tensor:
    """The same by dot products alone, for keys of any lengths: (T, E).

    What does not cancel, -|k|^2 / 2, stands in one more coordinate of the keys, and the queries
    have a 1 there. For keys of one length it is the same number everywhere and changes nothing.
    """
    one = torch.ones_like(query[:, :1])
    query = torch.cat([query, one], dim=1)  # (T, D + 1)
    keys = torch.cat([keys, -keys.square().sum(1, keepdim=True) / 2], dim=1)  # (S, D + 1)
    return scaled_dot_product_attention(query, keys, values, scale=1 / width**2)


def on_circle(x: Tensor) -> Tensor:
    """Places on a line as unit vectors, (N, 1) -> (N, 2): keys of one length, for plain attention.

    The distance becomes the chord: |q - k|^2 = 2 - 2 cos(x_q - x_k), nearly (x_q - x_k)^2 for near
    places. The places must lie within half a turn, pi, or the far ones come near again.
    """
    return torch.cat([x.cos(), x.sin()], dim=1)  # (N, 2)


# --- Choosing the width ---


def others(count: int) -> Tensor:
    """A mask (S, S) under which every sample sees all samples but itself."""
    return ~torch.eye(count, dtype=torch.bool)


def leave_one_out(keys: Tensor, values: Tensor, width: float) -> float:
    """Mean squared error at the samples, each guessed from all the others: a validation for free.

    Without the mask a width of nearly zero would look perfect: each sample would guess itself.
    """
    guess = distance_attention(keys, keys, values, width, others(len(keys)))  # (S, E)
    return float((guess - values).square().mean())


def best_width(keys: Tensor, values: Tensor, widths: Sequence[float]) -> float:
    """The width of the smallest leave-one-out error."""
    return min(widths, key=lambda width: leave_one_out(keys, values, width))


# --- Learning it ---


class KernelRegression(nn.Module):
    """Attention over samples, with one learnt projection W (D, d) of queries and keys.

    The scores are -|W q - W k|^2 / 2. With D = d = 1, 1 / |W| is the width. With more coordinates W
    also learns which of them say that two places are alike, and gives the others a weight near 0:
    the part of attention that a width chosen by hand does not have.
    """

    def __init__(self, coordinates: int, size: int | None = None):
        super().__init__()
        self.project = nn.Linear(coordinates, size or coordinates, bias=False)  # W
        with torch.no_grad():
            nn.init.eye_(self.project.weight)  # a width of 1 for each coordinate

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """query (T, D), keys (S, D), values (S, E), mask (T, S) or None -> (T, E)."""
        return distance_attention(self.project(query), self.project(keys), values, 1.0, mask)

    def widths(self) -> Tensor:
        """How far two places may be apart in each coordinate and still be near, (D,)."""
        return 1 / self.project.weight.norm(dim=0)  # of the columns of W


def learn(
    model: KernelRegression, keys: Tensor, values: Tensor, steps: int = 300, rate: float = 0.2
) -> list[float]:
    """Make the leave-one-out error small by gradient descent; the error at every step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    mask, errors = others(len(keys)), []
    for _ in range(steps):
        loss = (model(keys, keys, values, mask) - values).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    return errors
