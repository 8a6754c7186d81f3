"""Batch and instance normalisation: the two layers that may keep running statistics.

What you learn: BatchNorm divides by the spread of the batch it is in. In training the output for an
example thus depends on the others, a noise that regularises; in evaluation it must not, so the
layer needs a fixed mean and variance, gathered during training:

    running <- (1 - m) running + m batch       m = momentum (0.1); the variance with n / (n - 1)

This is the part that breaks in practice: too few steps, too small batches, other data than in
training, a forgotten model.eval(). exp_normalization.py measures each.

Papers: Ioffe & Szegedy 2015 (batch); Ulyanov, Vedaldi & Lempitsky 2016 (instance).
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from chapter_03_optimization_regularization.normalization.functions import (
    BatchNormFunction,
    Norm,
    NormalizeFunction,
    affine,
    channel_dims,
    per_channel,
    wide,
)


class _RunningNorm(Norm):
    """What BatchNorm and InstanceNorm share: channels, running statistics, their update."""

    dims: tuple[int, ...]  # how many dimensions an input may have
    _version = 2  # of what state_dict() gives; before 2 it had no num_batches_tracked

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        nn.Module.__init__(self)
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, None)
        if track_running_stats:
            self.running_mean = torch.zeros(num_features, device=device, dtype=dtype)
            self.running_var = torch.ones(num_features, device=device, dtype=dtype)
            self.num_batches_tracked = torch.tensor(0, device=device)
        self._add_parameters((num_features,), affine, affine and bias, device=device, dtype=dtype)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *rest: Any
    ) -> None:
        """Called by load_state_dict. An old state that lacks the count of batches keeps ours."""
        if (local_metadata.get("version") or 1) < 2 and self.track_running_stats:
            count = self.num_batches_tracked
            known = count is not None and not count.is_meta
            key = prefix + "num_batches_tracked"
            state_dict.setdefault(key, count if known else torch.tensor(0))
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    def reset_running_stats(self) -> None:
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        super().reset_parameters()

    @torch.no_grad()
    def _update(self, mean: Tensor, var: Tensor, count: int, momentum: float) -> None:
        """Move the running statistics towards mean and var (C,) of `count` numbers a channel.

        var divides by n, which is right for normalising these n numbers but too small as an
        estimate for others, by (n - 1) / n on average. So the running one gets n / (n - 1).
        """
        if count == 0:  # nothing was seen; the mean of nothing is nan, and would stay for good
            return
        unbiased = var * (count / (count - 1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)

    def _parameters_for(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return per_channel(self.weight, x.ndim), per_channel(self.bias, x.ndim)

    def _with_running_statistics(self, x: Tensor) -> Tensor:
        """Evaluation: the mean and variance are fixed numbers, so the formula has no set S."""
        buffers = wide(self.running_mean), wide(self.running_var)
        mean, var = (per_channel(buffer, x.ndim) for buffer in buffers)  # (1, C, 1, ...)
        x_hat = (wide(x) - mean) * torch.rsqrt(var + self.eps)
        return affine(x_hat, *self._parameters_for(x)).to(x.dtype)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_RunningNorm, nn.modules.batchnorm._BatchNorm):
    """Training: the batch's own statistics. Evaluation: the running ones, if they are tracked.

    momentum=None averages all batches seen so far with equal weight. The second base class is a
    mark, by which torch's tools know a BatchNorm (`swa_utils.update_bn`, `SyncBatchNorm`): what it
    would compute is written anew here.
    """

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        if not self.training and self.running_mean is not None:
            return self._with_running_statistics(input)
        count = input.numel() // max(1, input.shape[1])  # numbers a channel
        if count == 1:
            raise ValueError(
                "Expected more than 1 value per channel when training, got input size "
                f"{tuple(input.shape)}: a single number has no spread to divide by"
            )
        parameters, dims = self._parameters_for(input), channel_dims(input)
        y, mean, var = BatchNormFunction.apply(input, *parameters, self.eps, dims, True)
        if self.training and self.track_running_stats:
            self.num_batches_tracked += 1
            equal_weight = self.momentum is None
            momentum = 1 / int(self.num_batches_tracked) if equal_weight else self.momentum
            self._update(mean.flatten(), var.flatten(), count, momentum)
        return y

    def _check(self, input: Tensor) -> None:
        if input.ndim not in self.dims:
            raise ValueError(f"expected {self.dims} dimensions, got {tuple(input.shape)}")
        tensor = self.weight if self.running_mean is None else self.running_mean
        if tensor is not None and input.shape[1] != self.num_features:
            # Without this test a layer of one channel would be broadcast over all of them.
            raise RuntimeError(f"{self.num_features} channels, but input {tuple(input.shape)}")


class BatchNorm1d(_BatchNorm):
    """(B, C) or (B, C, T): one mean and variance for each channel, over batch and time."""

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """(B, C, H, W): one mean and variance for each channel, over batch and pixels."""

    dims = (4,)


class _InstanceNorm(_RunningNorm):
    """Each channel of each example by itself; without w, b and running statistics by default."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        stats = track_running_stats
        super().__init__(num_features, eps, momentum, affine, stats, device, dtype, bias=bias)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any],
        strict: bool, missing: list[str], unexpected: list[str], errors: list[str],
    ) -> None:  # fmt: skip
        """Before versions were counted, every InstanceNorm had running statistics: name them."""
        if "version" not in local_metadata and not self.track_running_stats:
            for key in (prefix + "running_mean", prefix + "running_var"):
                if state_dict.pop(key, None) is not None:
                    errors.append(f"{key} needs an InstanceNorm with track_running_stats=True.")
        rest = strict, missing, unexpected, errors
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in self.dims:
            raise ValueError(f"expected {self.dims} dimensions, got {tuple(input.shape)}")
        self._check_channels(input.shape[input.ndim - self.dims[1] + 1])
        if input.ndim == self.dims[0]:  # one example without a batch dimension
            return self._forward(input.unsqueeze(0)).squeeze(0)
        return self._forward(input)

    def _check_channels(self, channels: int) -> None:
        if channels == self.num_features:
            return
        message = f"{self.num_features} channels, but the input has {channels}"
        if self.affine or self.track_running_stats:
            raise ValueError(message)
        warnings.warn(f"{message}; it does not matter, as affine=False", stacklevel=3)

    def _forward(self, x: Tensor) -> Tensor:
        if self.track_running_stats and not self.training:
            return self._with_running_statistics(x)
        count = math.prod(x.shape[2:])
        if count == 1:
            raise ValueError(
                "Expected more than 1 spatial element when training, got input size "
                f"{tuple(x.shape)}: a single number has no spread to divide by"
            )
        parameters, dims = self._parameters_for(x), tuple(range(2, x.ndim))
        y, mean, var = NormalizeFunction.apply(x, *parameters, self.eps, dims, True)
        if self.track_running_stats:
            averages = (s.flatten(1).mean(dim=0) for s in (mean, var))  # (B, C, 1, ...) -> (C,)
            self._update(*averages, count if len(x) else 0, self.momentum or 0.0)
        return y


class InstanceNorm1d(_InstanceNorm):
    """(B, C, T) or (C, T)."""

    dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """(B, C, H, W) or (C, H, W)."""

    dims = (3, 4)
