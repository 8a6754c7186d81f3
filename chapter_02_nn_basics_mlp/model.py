"""The multi-layer perceptron: linear maps with a non-linear function between them.

What you learn: an MLP is a list of layers and nothing more. With h_0 = x,

    h_l = phi(h_{l-1} W_l^T + b_l),  l = 1 .. depth        y = h_depth W_out^T + b_out

Every experiment of this chapter builds its networks here, from the layers of layers.py.

    from chapter_02_nn_basics_mlp.model import MLP
    MLP(input_dim=784, hidden_dim=256, output_dim=10, depth=2, activation="relu", dropout=0.2)

Paper: Rumelhart, Hinton & Williams 1986 (learning representations by back-propagating errors).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from chapter_02_nn_basics_mlp import layers
from utils.model_summary import parameter_count

__all__ = ["ACTIVATIONS", "MLP", "SinFeatures", "Sine", "parameter_count"]


class Sine(nn.Module):
    """sin(x): an activation that goes on waving for ever (Sitzmann et al. 2020). (*) -> (*)."""

    def forward(self, input: Tensor) -> Tensor:
        return torch.sin(input)


class SinFeatures(nn.Module):
    """(B, 1) -> (B, 2K): sin(kx) and cos(kx) for k = 1 .. K.

    A network on these features has the period 2 pi, whatever it learns: knowledge about the
    problem, put into the architecture instead of learnt from the data.
    """

    def __init__(self, frequencies: int) -> None:
        super().__init__()
        self.frequencies = frequencies

    def forward(self, input: Tensor) -> Tensor:
        k = torch.arange(1, self.frequencies + 1, dtype=input.dtype, device=input.device)
        angles = input * k  # (B, 1) * (K,) -> (B, K)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)  # (B, 2K)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": layers.Identity,
    "sigmoid": layers.Sigmoid,
    "tanh": layers.Tanh,
    "relu": layers.ReLU,
    "leaky_relu": layers.LeakyReLU,
    "elu": layers.ELU,
    "gelu": layers.GELU,
    "silu": layers.SiLU,
    "softplus": layers.Softplus,
    "sin": Sine,
}


class MLP(nn.Module):
    """`depth` hidden layers of `hidden_dim` units: (B, ..., input_dim) -> (B, ..., output_dim).

    `depth=0` is a linear model. `sin_features=K` puts SinFeatures(K) in front (input_dim 1).
    """

    def __init__(
        self,
        input_dim: int = 1,
        hidden_dim: int = 64,
        output_dim: int = 1,
        depth: int = 2,
        activation: str = "tanh",
        dropout: float = 0.0,
        sin_features: int = 0,
    ) -> None:
        super().__init__()
        # The constructor's arguments: what a checkpoint needs to build the same network again.
        self.architecture = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        parts: list[nn.Module] = [SinFeatures(sin_features)] if sin_features else []
        width = 2 * sin_features or input_dim
        for _ in range(depth):
            parts += [layers.Linear(width, hidden_dim), ACTIVATIONS[activation]()]
            if dropout:
                parts.append(layers.Dropout(dropout))
            width = hidden_dim
        self.net = layers.Sequential(*parts, layers.Linear(width, output_dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
