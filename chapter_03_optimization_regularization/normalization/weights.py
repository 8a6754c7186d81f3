"""Normalising the weights instead of the activations: weight and spectral normalisation.

What you learn: a layer can compute its weight from other parameters at each forward pass.

    weight norm      W_k = g_k v_k / |v_k|      length and direction of each output's row apart
    spectral norm    W = V / sigma(V)           sigma: the largest singular value of V

Both see no data: nothing depends on the batch and training equals evaluation (but for one step of
the power iteration). Weight norm changes the geometry that gradient descent sees: the gradient to
v_k is orthogonal to v_k, so |v_k| only grows and the effective step shrinks. Spectral norm makes
the layer 1-Lipschitz, |W x| <= |x|, which holds the discriminator of a GAN (chapter 9) in check.

sigma comes from the power iteration: u <- V v / |V v|, v <- V^T u / |V^T u| converges to the first
singular vectors, with the error shrinking by (sigma_2 / sigma_1)^2 a step. The weights move little
between two training steps, so one iteration a step, started from the last u and v, is enough.

`weight_norm` and `spectral_norm` are drop-ins for `torch.nn.utils.parametrizations`: same names in
the state_dict. torch's `register_parametrization` does the bookkeeping (it puts `original0`, ... in
the place of `weight`); the mathematics is here.

Papers: Salimans & Kingma 2016 (weight norm); Miyato, Kataoka, Koyama & Yoshida 2018 (spectral).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization


class WeightNorm(nn.Module):
    """(g, v) -> g v / |v|; the length is taken over all dimensions but `dim` (None: over all)."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = None if dim == -1 else dim  # torch's convention: -1 is none, not the last

    def _length(self, v: Tensor) -> Tensor:
        """(K, ...) -> (K, 1, ...) for dim 0; () for None."""
        if self.dim is None:
            return v.square().sum().sqrt()
        others = [d for d in range(v.ndim) if d != self.dim]
        return v.square().sum(others, keepdim=True).sqrt()

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        return v * (g / self._length(v))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The first g and v for a given weight: its own length, and itself as the direction."""
        return self._length(weight), weight


class SpectralNorm(nn.Module):
    """V -> V / sigma(V), sigma by power iteration; a vector is divided by its length.

    Buffers _u (rows,) and _v (columns,) of V as a matrix: dimension `dim` against all others.
    """

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(f"no dimension {dim} in a weight of shape {tuple(weight.shape)}")
        if n_power_iterations <= 0:
            raise ValueError(f"n_power_iterations must be positive, got {n_power_iterations}")
        self.dim = dim % weight.ndim
        self.n_power_iterations = n_power_iterations
        self.eps = eps
        if weight.ndim > 1:
            matrix = self._matrix(weight)
            self.register_buffer("_u", self._unit(matrix.new_empty(matrix.shape[0]).normal_()))
            self.register_buffer("_v", self._unit(matrix.new_empty(matrix.shape[1]).normal_()))
            self._iterate(matrix, 15)  # random vectors need a longer first run

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).flatten(1)  # (K, C, h, w) -> (K, C h w)

    def _unit(self, x: Tensor) -> Tensor:
        return x / x.square().sum().sqrt().clamp(min=self.eps)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor, steps: int) -> None:
        for _ in range(steps):
            self._u.copy_(self._unit(matrix @ self._v))  # (rows, columns) @ (columns,) -> (rows,)
            self._v.copy_(self._unit(matrix.T @ self._u))  # (columns, rows) @ (rows,) -> (columns,)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return self._unit(weight)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        # u and v count as constants: at the exact singular vectors d sigma / dV is u v^T in any
        # case. Cloned, so that a second forward pass does not change what the first one saved.
        sigma = self._u.clone() @ matrix @ self._v.clone()  # ()
        return weight / sigma

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


def weight_norm(module: nn.Module, name: str = "weight", dim: int | None = 0) -> nn.Module:
    """Replace `module.<name>` by length (original0) and direction (original1); returns module."""
    register_parametrization(module, name, WeightNorm(dim), unsafe=True)  # two tensors from one
    return module


def spectral_norm(
    module: nn.Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> nn.Module:
    """Divide `module.<name>` by its largest singular value at each use; returns module.

    `dim` is the dimension of the outputs: 1 for transposed convolutions, else 0.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"{type(module).__name__} has no parameter or buffer {name!r}")
    if dim is None:
        transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
        dim = 1 if isinstance(module, transposed) else 0
    register_parametrization(module, name, SpectralNorm(weight, n_power_iterations, dim, eps))
    return module
