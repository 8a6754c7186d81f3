"""What a k x k convolution costs, what cheaper forms cost, and what the clock says.

What you learn: per output pixel, with C channels in and out,
    full k x k                C^2 k^2 multiply-adds
    k x 1 then 1 x k          2 C^2 k
    depthwise, then 1 x 1     C k^2 + C^2
    FFT                       independent of k
The clock follows the count only as far as the arithmetic units, not the memory, set the pace: a
depthwise convolution does k^2 multiply-adds for each number it reads, a full one C k^2.

Papers: Sifre 2014 and Howard et al. 2017 (depthwise separable); Jaderberg et al. 2014 (k x 1 with
1 x k); Mathieu, Henaff & LeCun 2014 (FFT). Used by demo_conv_math.py. The timed convolutions are
PyTorch's: the question is what the fast form of each costs, not our Python.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Step = Callable[[], Tensor]
FORMS = ("full", "separable", "depthwise_pointwise")


@dataclass(frozen=True)
class Setting:
    """Square feature maps (batch, channels, side, side), as many channels out as in."""

    kernel: int
    channels: int
    side: int = 32
    batch: int = 1

    @property
    def key(self) -> str:
        return f"k{self.kernel}_c{self.channels}"

    @property
    def pixels(self) -> int:
        return self.batch * self.side**2


def macs(setting: Setting) -> dict[str, int]:
    """Multiply-adds of each form (padding counted as if it were picture)."""
    c, k = setting.channels, setting.kernel
    per_pixel = {
        "full": c * c * k * k,
        "separable": 2 * c * c * k,
        "depthwise": c * k * k,
        "pointwise": c * c,
    }
    per_pixel["depthwise_pointwise"] = per_pixel["depthwise"] + per_pixel["pointwise"]
    return {name: count * setting.pixels for name, count in per_pixel.items()}


def intensity(setting: Setting) -> dict[str, float]:
    """Multiply-adds per byte moved, if input, output and weights each cross the memory bus once."""
    c, k = setting.channels, setting.kernel
    weights = {"full": c * c * k * k, "depthwise": c * k * k, "pointwise": c * c}
    counts, maps = macs(setting), 2 * c * setting.pixels
    return {name: counts[name] / (4 * (maps + extra)) for name, extra in weights.items()}


def forms(setting: Setting, generator: torch.Generator) -> dict[str, Step]:
    """The forms as functions without arguments, in channels_last, the faster layout on CPUs."""
    c, k = setting.channels, setting.kernel
    half = k // 2

    def random(*shape: int) -> Tensor:
        values = torch.randn(shape, generator=generator)
        return values.contiguous(memory_format=torch.channels_last)

    x = random(setting.batch, c, setting.side, setting.side)
    square, column, row = random(c, c, k, k), random(c, c, k, 1), random(c, c, 1, k)
    own, point = random(c, 1, k, k), random(c, c, 1, 1)

    def depthwise() -> Tensor:
        return F.conv2d(x, own, padding=half, groups=c)

    return {
        "full": lambda: F.conv2d(x, square, padding=half),
        "separable": lambda: F.conv2d(
            F.conv2d(x, column, padding=(half, 0)), row, padding=(0, half)
        ),
        "depthwise": depthwise,
        "pointwise": lambda: F.conv2d(x, point),
        "depthwise_pointwise": lambda: F.conv2d(depthwise(), point),
    }


def clock() -> Callable[[], float]:
    """Processor time where one thread computes and the system counts finely; else wall time.

    Processor time leaves out the moments at which other programs held the core.
    """
    fine = time.get_clock_info("process_time").resolution < 1e-5  # not on Windows
    return time.process_time if fine and torch.get_num_threads() == 1 else time.perf_counter


@torch.no_grad()
def milliseconds(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """The fastest of `rounds`, taken in turn so that a busy moment hits all alike.

    The minimum, not the mean: what disturbs can only add time.
    """
    now, best = clock(), dict.fromkeys(steps, float("inf"))
    for turn in range(rounds + 1):
        for name, step in steps.items():
            start = now()
            step()
            if turn:  # the first round warms up
                best[name] = min(best[name], 1000 * (now() - start))
    return best


def measure(setting: Setting, rounds: int, generator: torch.Generator) -> dict:
    """Counts, times, rates and speed-ups over the full convolution of one setting."""
    counts, times = macs(setting), milliseconds(forms(setting, generator), rounds)
    return {
        "kernel": setting.kernel,
        "channels": setting.channels,
        "mmacs": {name: count / 1e6 for name, count in counts.items()},
        "ms": times,
        "gmacs_per_s": {name: counts[name] / times[name] / 1e6 for name in counts},
        "mac_ratio": {name: counts["full"] / counts[name] for name in FORMS},
        "speedup": {name: times["full"] / times[name] for name in FORMS},
        "macs_per_byte": intensity(setting),
    }


# --- FFT against direct ---


def fft_correlate(x: Tensor, weight: Tensor) -> Tensor:
    """Valid cross-correlation by the FFT: (B, C, H, W), (O, C, K, L) -> (B, O, H-K+1, W-L+1).

    The product of the spectra is a *circular* convolution of size H x W; the outputs that wrapped
    around the edge are those that a valid correlation does not have. Conjugation does the turn by
    180 degrees.
    """
    size = x.shape[-2:]
    spectrum = torch.fft.rfft2(x)  # (B, C, H, W/2+1)
    filters = torch.fft.rfft2(weight, s=size).conj()  # (O, C, H, W/2+1)
    product = torch.einsum("bchw,ochw->bohw", spectrum, filters)
    height, width = (n - k + 1 for n, k in zip(size, weight.shape[-2:], strict=True))
    return torch.fft.irfft2(product, s=size)[..., :height, :width]


def fft_against_direct(
    kernels: tuple[int, ...], channels: int, side: int, rounds: int, generator: torch.Generator
) -> dict:
    """Times of both for each kernel size, and the first size from which the FFT stays faster."""
    x = torch.randn(1, channels, side, side, generator=generator)
    direct, fft, differences = [], [], []
    for k in kernels:
        weight = torch.randn(channels, channels, k, k, generator=generator)
        steps: dict[str, Step] = {
            "direct": lambda weight=weight: F.conv2d(x, weight),
            "fft": lambda weight=weight: fft_correlate(x, weight),
        }
        times = milliseconds(steps, rounds)
        direct.append(times["direct"])
        fft.append(times["fft"])
        expected = steps["direct"]()
        differences.append(float((steps["fft"]() - expected).abs().max() / expected.abs().max()))
    return {
        "kernels": list(kernels),
        "channels": channels,
        "side": side,
        "direct_ms": direct,
        "fft_ms": fft,
        "difference": max(differences),
        "crossover": crossover(kernels, direct, fft),
    }


def crossover(kernels: tuple[int, ...], direct: list[float], fft: list[float]) -> int:
    """The smallest kernel from which on the FFT is faster at every larger one; 0: never."""
    found = 0
    for k, slow, fast in reversed(list(zip(kernels, direct, fft, strict=True))):
        if fast >= slow:
            break
        found = k
    return found
