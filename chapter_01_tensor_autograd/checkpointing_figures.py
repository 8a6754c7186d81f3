"""The figures of checkpointing.py: memory and time over depth and over segment length."""

from __future__ import annotations

import math

import numpy as np

from utils import plotting


def depth_figure(
    depths: list[int], variants: list[str], result: dict[str, np.ndarray], unit: float
):
    """Memory and time over depth; `unit` is the size of one layer's activation in MiB."""
    figure, (left, right) = plotting.subplots(1, 2, width=9.6, height=4.0)
    styles = ["o-", "s--", "x-."]  # the patterns of plotting.band
    for row, (name, style) in enumerate(zip(variants, styles, strict=True)):
        left.plot(depths, result["memory"][row] / 2**20, style, label=name)
        plotting.band(right, depths, result["seconds"][row].T * 1e3, name)
    smooth = np.linspace(depths[0], depths[-1], 200)
    left.plot(smooth, smooth * unit, ":", color="gray", label="$a\\,n$")
    left.plot(smooth, 2 * np.sqrt(smooth) * unit, "-.", color="gray", label=r"$2a\sqrt{n}$")
    left.set_ylabel("memory at the peak (MiB)")
    right.set_ylabel("time of forward + backward (ms)")
    for ax in (left, right):
        ax.set_xlabel("depth n (layers)")
        ax.legend(fontsize=8)
        ax.set_ylim(bottom=0)
    left.set_title(r"memory, segments of $\sqrt{n}$ layers")
    right.set_title("time (band: range over repetitions)")
    return figure


def length_figure(lengths: list[int], depth: int, result: dict, unit: float):
    """The same at one depth over the segment length, beside what is predicted."""
    figure, (left, right) = plotting.subplots(1, 2, width=9.6, height=4.0)
    memory, seconds = result["memory"] / 2**20, result["seconds"] * 1e3
    smooth = np.geomspace(1, depth, 200)
    left.plot(smooth, (depth / smooth + smooth) * unit, "-.", color="gray", label="$a(n/k + k)$")
    left.plot(lengths, memory[:-1], "o", label="measured")
    left.axhline(memory[-1], color=plotting.COLORS[1], linestyle="--", label="no checkpoints")
    left.axvline(math.sqrt(depth), color="gray", linewidth=0.8, label=r"$k = \sqrt{n}$")
    plotting.band(right, lengths, seconds[:-1].T, "checkpoints, ours")
    base = seconds[-1].mean()
    right.axhline(base, color=plotting.COLORS[1], linestyle="--", label="no checkpoints")
    predicted = base * (1 + result["forward_share"])
    right.axhline(predicted, color="gray", linestyle=":", label="and one more forward pass")
    left.set_ylabel("memory at the peak (MiB)")
    right.set_ylabel("time of forward + backward (ms)")
    for ax in (left, right):
        ax.set_xscale("log", base=2)
        ax.set_xlabel(f"segment length k (of n = {depth} layers)")
        ax.set_ylim(bottom=0)
        ax.legend(fontsize=8)
    return figure
