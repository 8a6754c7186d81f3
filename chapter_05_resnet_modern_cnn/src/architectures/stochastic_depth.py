"""Stochastic depth (Huang et al. 2016): leave whole residual branches out while training.

    train:  y = x + b / (1 - p) * branch(x)    b = 0 with probability p, else 1, one b a picture
    eval:   y = x + branch(x)

A residual network still works when a branch is missing, since the shortcut carries x on. Leaving
branches out at random makes the network shorter while it trains and regularises it. The division
by 1 - p keeps the mean of the branch, so that nothing changes at test time; the paper instead
multiplies by 1 - p at test time, and drops a branch for the whole batch, which saves its time. The
form for single pictures is that of EfficientNet and ConvNeXt.

Deep blocks are dropped more often: p grows linearly over the blocks (`linear_rates`), since early
features are used by all that follows. No parameters, no state.

Paper: Huang et al. 2016, "Deep Networks with Stochastic Depth".
"""

from __future__ import annotations

from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Sets the branch of a picture to 0 with probability `p`, else divides it by 1 - p.

    (B, ...) -> (B, ...); the identity in eval mode and at p = 0. ValueError unless 0 <= p <= 1.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"a probability must lie between 0 and 1, not {p}")
        self.p = p

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return branch
        if self.p == 1:
            return branch * 0  # dividing by 1 - p would give 0 / 0
        one_a_picture = (branch.shape[0],) + (1,) * (branch.ndim - 1)  # (B, 1, 1, 1)
        kept = branch.new_empty(one_a_picture).bernoulli_(1 - self.p)
        return branch * (kept / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


def linear_rates(last: float, blocks: int, *, reached: bool = True) -> list[float]:
    """Drop probabilities of the blocks in order, from 0 up to `last` in equal steps.

    With `reached` the last block has `last` (ConvNeXt); without, the block after it would have
    (EfficientNet: last * index / blocks).
    """
    steps = max(1, blocks - 1) if reached else blocks
    return [last * index / steps for index in range(blocks)]
