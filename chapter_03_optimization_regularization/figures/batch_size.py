"""The figure of exp_batch_size.py: steps, examples, best rate, and the noise scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils import plotting


def figure(results: dict[str, dict], noise: list[list[tuple[float, float]]]) -> Any:
    """Steps, examples and best rate over the batch size; the noise scale over the loss."""
    fig, axes = plotting.subplots(2, 2, width=9.4, height=7.0)
    for i, (name, r) in enumerate(results.items()):
        sizes, look, marker = np.array(r["sizes"]), plotting.look(i), plotting.MARKERS[i]
        line = np.geomspace(sizes[0], sizes[-1], 200)
        law = r["s_min"] * (1 + r["b_crit"] / line)
        label = rf"{name}: fit, $B_{{crit}}$ = {r['b_crit']:.0f}"
        for ax, y, dots in ((axes[0, 0], law, r["steps"]),
                            (axes[0, 1], law * line, r["steps"] * sizes)):  # fmt: skip
            ax.plot(line, y, lw=1.2, label=label, **look)
            ax.plot(np.tile(sizes, (len(dots), 1)), dots, marker, ms=3.5, color=look["color"])
            ax.axvline(r["b_crit"], lw=0.8, **look)
        label = f"{name}, best of the ladder"
        axes[1, 0].plot(sizes, r["rates"], marker=marker, label=label, **look)
    rates_lines(axes[1, 0], results)
    for i, points in enumerate(noise):
        losses, scales = zip(*points, strict=True)
        axes[1, 1].plot(losses, scales, "o-", ms=3.5, lw=1, color=plotting.COLORS[2],
                        label="measured, one line a seed" if i == 0 else None)  # fmt: skip
    for i, (name, r) in enumerate(results.items()):
        label = f"$B_{{crit}}$ of {name}, fitted"
        axes[1, 1].axhline(r["b_crit"], label=label, **plotting.look(i))
    decorate(axes)
    return fig


def rates_lines(ax: Any, results: dict[str, dict]) -> None:
    """eta_max / (1 + B_crit / B), for Adam over the root of that; eta_max fitted to the dots."""
    for name, r in results.items():
        sizes = np.array(r["sizes"], dtype=float)
        power = 1.0 if name == "SGD" else 0.5
        shape = (1 + r["b_crit"] / sizes) ** -power
        level = np.exp(np.mean(np.log(r["rates"]) - np.log(shape)))
        below = r"1 + B_{crit} / B"
        below = f"({below})" if name == "SGD" else rf"\sqrt{{{below}}}"
        ls = ":" if name == "SGD" else "-."
        ax.plot(sizes, level * shape, ls, color="#555555", lw=1, label=rf"$\eta_{{max}} / {below}$")


def decorate(axes: Any) -> None:
    titles = ("steps to the target", "examples to the target", "best learning rate")
    for ax, title in zip(axes.flat, titles, strict=False):
        ax.set_xscale("log", base=2)
        ax.set_yscale("log", base=2 if title.startswith("best") else 10)
        ax.set(xlabel="batch size (examples)", ylabel=title)
    axes[1, 1].set(xscale="log", yscale="log", xlabel="validation loss (nats)")
    axes[1, 1].set(ylabel="noise scale (examples)")
    axes[1, 1].invert_xaxis()  # training goes to the right
    axes[1, 1].set_xticks([2, 1, 0.5, 0.2], ["2", "1", "0.5", "0.2"])
    axes[1, 1].minorticks_off()
    for ax in axes.flat:
        ax.legend(fontsize=8)
