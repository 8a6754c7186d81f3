"""Measured figures of demo_conv_math.py: the kernel gallery, shift errors, cost and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.ticker import LogLocator, NullLocator
from torch import Tensor

from chapter_04_cnn_classic.conv_math.equivariance import SHIFTS
from chapter_04_cnn_classic.conv_math.kernels import correlate
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAYERS = {
    "conv_circular": ("convolution, circular padding", "卷积，循环填充"),
    "conv_zero": ("convolution, zero padding", "卷积，零填充"),
    "conv_stride2": ("convolution, stride 2", "卷积，步幅 2"),
    "max_pool": ("convolution + max pool 2 × 2", "卷积 + 2 × 2 最大池化"),
    "blur_pool": ("convolution + max, blur, stride 2", "卷积 + 最大值、模糊、步幅 2"),
    "three_stages": ("three stages with max pool", "三级卷积与最大池化"),
    "dense": ("dense layer", "全连接层"),
}
FORM_NAMES = {
    "separable": "k × 1, then 1 × k",
    "depthwise_pointwise": "depthwise, then 1 × 1",
}


def gallery_figure(photo: Tensor, kernels: dict[str, Tensor], name: str) -> Figure:
    """The photo under each kernel, with the kernel itself in the corner."""
    figure, axes = plotting.subplots(3, 4, width=7.4, height=6.0)
    shown: dict[str, tuple[Tensor, Tensor | None]] = {}
    for title, kernel in kernels.items():
        shown[title] = correlate(photo, kernel, len(kernel) // 2)[0, 0], kernel
    gradient = torch.hypot(shown["Sobel x"][0], shown["Sobel y"][0])
    shown["√(Sobel x² + Sobel y²)"] = gradient, None
    plain = [shown.pop("identity")]
    panels = [(f"{name}, grey", *plain[0])] + [(title, *pair) for title, pair in shown.items()]
    for ax, (title, picture, kernel) in zip(axes.flat, panels, strict=True):
        draw_filtered(ax, picture, kernel)
        ax.set_title(title, fontsize=9)
    return figure


def draw_filtered(ax: Axes, picture: Tensor, kernel: Tensor | None) -> None:
    """Grey levels as they are for kernels that add up to 1; else with 0 as middle grey."""
    if kernel is None:
        low, high = 0.0, float(picture.quantile(0.99))
    elif abs(float(kernel.sum()) - 1) < 1e-6:
        low, high = 0.0, 255.0
    else:
        high = float(picture[2:-2, 2:-2].abs().quantile(0.99))  # without the zero border
        low = -high
    # nearest: no invented grey levels between the pixels, and a third of the file size
    ax.imshow(picture.numpy(), cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    ax.set_axis_off()
    if kernel is not None:
        inset = ax.inset_axes((0.71, 0.02, 0.27, 0.27))
        limit = float(kernel.abs().max())
        inset.imshow(kernel.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
        inset.set(xticks=[], yticks=[])
        inset.grid(False)
        for spine in inset.spines.values():
            spine.set_visible(True)
            spine.set_color("white")


def equivariance_figure(
    errors: dict[str, list[list[float]]], maps: dict[str, Tensor], name: str
) -> Figure:
    """Errors over the shift, and where two of the layers differ. `maps`: title -> (H, W)."""
    figure, axes = plotting.subplots(
        1, 3, width=10.2, height=4.4, gridspec_kw={"width_ratios": [2.0, 1, 1]}
    )
    markers = dict(zip(LAYERS, "o^svDPX", strict=True))
    for layer, (label, _) in LAYERS.items():
        rows = np.array(errors[layer])
        (line,) = axes[0].plot(
            SHIFTS, rows.mean(0), marker=markers[layer], markersize=4, label=label
        )
        axes[0].fill_between(
            SHIFTS, rows.min(0), rows.max(0), color=line.get_color(), alpha=0.15, linewidth=0
        )
    axes[0].set(
        title=f"{name}: shift error of seven layers", xlabel="shift of the picture (pixels)"
    )
    axes[0].set(ylabel="error / spread of the output", ylim=(-0.03, None), xticks=SHIFTS)
    axes[0].legend(fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    for ax, (title, difference) in zip(axes[1:], maps.items(), strict=True):
        drawn = ax.imshow(difference.numpy(), cmap="magma")
        ax.set_title(title, fontsize=9)
        ax.set(xlabel="column", ylabel="row")
        ax.grid(False)
        figure.colorbar(drawn, ax=ax, shrink=0.6, label="|difference|")
    return figure


def cost_figure(cost: dict[str, dict[str, Any]], fft: dict[str, dict[str, Any]]) -> Figure:
    """Speed-up against the ratio of multiply-adds; speed of each form; FFT against direct."""
    figure, (left, middle, right) = plotting.subplots(1, 3, width=11.2, height=3.9)
    draw_speedups(left, cost)
    draw_rates(middle, cost)
    for row, color in zip(fft.values(), plotting.COLORS, strict=False):
        channels = f"{row['channels']} channel" + ("s" if row["channels"] > 1 else "")
        right.loglog(
            row["kernels"], row["direct_ms"], "o-", color=color, label=f"direct, {channels}"
        )
        right.loglog(row["kernels"], row["fft_ms"], "s--", color=color, label=f"FFT, {channels}")
    side = next(iter(fft.values()))["side"]
    right.set(title=f"FFT against direct, {side} × {side} pixels", xlabel="kernel side k")
    right.set(ylabel="time (ms)")
    ticks = next(iter(fft.values()))["kernels"]
    right.set_xticks(ticks, [str(k) for k in ticks])
    right.xaxis.set_minor_locator(NullLocator())
    right.legend(fontsize=7.5)
    return figure


def draw_speedups(ax: Axes, cost: dict[str, dict[str, Any]]) -> None:
    highest = 1.0
    for (form, label), color, marker in zip(
        FORM_NAMES.items(), plotting.COLORS, "os", strict=False
    ):
        counted = [row["mac_ratio"][form] for row in cost.values()]
        clocked = [row["speedup"][form] for row in cost.values()]
        ax.loglog(counted, clocked, marker, color=color, label=label)
        highest = max(highest, *counted)
    ax.plot([1, highest], [1, highest], "k:", label="as many times faster as fewer")
    ax.set(title="the clock against the count", xlabel="fewer multiply-adds (times)")
    ax.set(ylabel="measured speed-up (times)")
    plain_ticks(ax)
    ax.legend(fontsize=7.5, loc="upper left")


def plain_ticks(ax: Axes) -> None:
    """1, 2, 5, 10, 20 ... on logarithmic axes, instead of powers of ten."""
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())


def draw_rates(ax: Axes, cost: dict[str, dict[str, Any]]) -> None:
    """The roofline's axes: multiply-adds a second over multiply-adds a byte."""
    for form, marker, color in zip(
        ("full", "pointwise", "depthwise"), "Dvs", plotting.COLORS[2:5], strict=True
    ):
        x = [row["macs_per_byte"][form] for row in cost.values()]
        y = [row["gmacs_per_s"][form] for row in cost.values()]
        name = {"full": "full k × k", "pointwise": "1 × 1", "depthwise": "depthwise k × k"}[form]
        ax.loglog(x, y, marker, color=color, label=name)
    ax.set(title="speed against work per byte", xlabel="multiply-adds per byte moved")
    ax.set(ylabel="10⁹ multiply-adds per second")
    plain_ticks(ax)
    ax.legend(fontsize=7.5, loc="lower right")
