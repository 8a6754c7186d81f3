"""The layers of an MLP, from tensor operations.

What you learn: a Linear layer is one matrix product, an Embedding is the same product with one-hot
rows (done as a row look-up), Dropout is a random mask, and a network is a list of such functions.

    Linear      y = x W^T + b                  W (out, in), b (out)
    Embedding   y = W[i]  = one_hot(i) W       W (V, D)
    Dropout     y = x * m / (1 - p)            m ~ Bernoulli(1 - p), training only

Every class is a drop-in for its namesake in `torch.nn`: same arguments, same parameter names, same
first weights from the same seed. `nn.Module` is used for the bookkeeping of parameters (state_dict,
.to, .train) and for nothing else. The activation functions live in activations.py and are
offered here too:

    from chapter_02_nn_basics_mlp.layers import Linear, ReLU, Sequential
    model = Sequential(Linear(2, 64), ReLU(), Linear(64, 3))

Shape notation: `*` any number of leading dimensions, V vocabulary, D width.
Papers: Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov 2014 (dropout).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from chapter_02_nn_basics_mlp import initialization as init
from chapter_02_nn_basics_mlp.activations import (
    ELU,
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)

__all__ = [
    "ELU",
    "GELU",
    "Dropout",
    "Embedding",
    "Flatten",
    "Identity",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]


class Identity(nn.Module):
    """Gives back its input: a place holder where a layer may be switched off."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(nn.Module):
    """y = x W^T + b: every output unit is a weighted sum of all inputs.

    (*, in_features) -> (*, out_features). Gradients for a batch X (B, in) and dY (B, out):
    dX = dY W, dW = dY^T X, db = sum of dY over the batch.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        options = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.empty(out_features, in_features, **options))
        if bias:
            self.bias = nn.Parameter(torch.empty(out_features, **options))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """torch's default: W and b uniform on +-1 / sqrt(fan_in).

        It is written as Kaiming with the odd slope a = sqrt(5), because gain^2 = 2 / (1 + 5) = 1/3
        cancels the 3 of the uniform law. So the variance is 1 / (3 fan_in): too small for a deep
        ReLU network (it wants 2 / fan_in); exp_initialization.py shows the effect.
        """
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        output = input @ self.weight.T  # (*, in) @ (in, out) -> (*, out)
        # .to: under bf16 autocast the product is bf16, and an fp32 bias would widen it again.
        return output if self.bias is None else output + self.bias.to(output.dtype)

    def extra_repr(self) -> str:
        has_bias = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={has_bias}"


class Flatten(nn.Module):
    """Join the dimensions start_dim .. end_dim (both included) into one.

    The default makes (B, C, H, W) -> (B, C*H*W), what a Linear layer after an image needs.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        dims = max(input.ndim, 1)  # a 0-d tensor flattens to (1,)
        start, end = (
            self._positive(dim, dims, input.shape) for dim in (self.start_dim, self.end_dim)
        )
        if start > end:
            raise RuntimeError(f"start_dim {start} comes after end_dim {end}")
        shape = input.shape
        joined = math.prod(shape[start : end + 1])  # not -1: unknown if another dimension is 0
        return input.reshape(*shape[:start], joined, *shape[end + 1 :])

    @staticmethod
    def _positive(dim: int, dims: int, shape: torch.Size) -> int:
        if not -dims <= dim < dims:
            raise IndexError(f"no dimension {dim} in an input of shape {tuple(shape)}")
        return dim % dims

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Dropout(nn.Module):
    """Training: each element is 0 with probability p, the others grow by 1 / (1 - p). (*) -> (*).

    The growth keeps E[y] = x, so that evaluation needs no correction: there it is the identity
    ("inverted" dropout; the paper of Srivastava et al. 2014 scales the weights at test time).
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"the dropout probability must be between 0 and 1, got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        keep = 1 - self.p
        mask = torch.empty_like(input).bernoulli_(keep)  # 1 with probability keep
        if keep > 0:  # p = 1 keeps nothing, and 0 / 0 would be nan
            mask /= keep
        return input.mul_(mask) if self.inplace else input * mask

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Embedding(nn.Module):
    """One learnt vector for each of V symbols: integer indices (*) -> (*, D).

    The same as one_hot(index) @ weight, without the multiplications by zero. So the gradient of
    row v is the sum of the output gradients at all places that looked v up. The row
    `padding_idx` starts at zero and gets no gradient.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if max_norm is not None or norm_type != 2.0 or scale_grad_by_freq or sparse:
            raise NotImplementedError(
                "max_norm, norm_type, scale_grad_by_freq and sparse are left to torch.nn.Embedding"
            )
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx {padding_idx} is outside the {num_embeddings} symbols")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = nn.Parameter(
            torch.empty(num_embeddings, embedding_dim, device=device, dtype=dtype)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Standard normal rows; the padding row is zero."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            init.zeros_(self.weight[self.padding_idx])

    def forward(self, input: Tensor) -> Tensor:
        # index_select and not weight[input]: it refuses a negative index instead of wrapping round.
        rows = self.weight.index_select(0, input.reshape(-1))  # (*) -> (N, D)
        rows = rows.reshape(*input.shape, self.embedding_dim)  # (N, D) -> (*, D)
        if self.padding_idx is not None:
            is_padding = (input == self.padding_idx).unsqueeze(-1)  # (*) -> (*, 1)
            rows = torch.where(is_padding, rows.detach(), rows)  # same values, no gradient
        return rows

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class Sequential(nn.Module):
    """Layers one after another: f_n(... f_2(f_1(x))).

    Sequential(layer, ...) names them "0", "1", ...; Sequential(OrderedDict(...)) takes its names.
    """

    def __init__(self, *args: nn.Module | OrderedDict[str, nn.Module]) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            named = args[0].items()
        else:
            named = ((str(index), layer) for index, layer in enumerate(args))
        for name, layer in named:
            self.add_module(name, layer)

    def forward(self, input: Tensor) -> Tensor:
        for layer in self:
            input = layer(input)
        return input

    def append(self, module: nn.Module) -> Sequential:
        self.add_module(str(len(self)), module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self._modules.values())

    def __getitem__(self, index: int | slice) -> nn.Module:
        if isinstance(index, slice):
            return Sequential(OrderedDict(list(self._modules.items())[index]))
        if not -len(self) <= index < len(self):
            raise IndexError(f"no layer {index} in a Sequential of {len(self)}")
        return list(self._modules.values())[index]
