"""Figures of exp_schedules.py: courses of the rate and the loss, peak rates, warm-up, WSD."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils import plotting


def style(index: int) -> dict[str, Any]:
    """Eight lines from seven readable colours: the eighth is grey, and dashed.

    The first, the constant rate, is wide: the plateau rule, when it never acts, lies on it.
    """
    if index == 7:
        return {"color": "#888888", "linestyle": "--", "lw": 1.4}
    return plotting.look(index) | {"lw": 4.5 if index == 0 else 1.6}


def course_figure(sweeps: dict[str, Any], courses: dict[str, np.ndarray]) -> Any:
    """Rate over steps, validation loss over steps, final loss by schedule with a dot a seed."""
    fig, (left, middle, right) = plotting.subplots(1, 3, width=12.0, height=4.2)
    for i, (name, result) in enumerate(sweeps.items()):
        steps, val = len(courses[name]), result["val"][result["best"]]  # val: (seeds, E)
        left.plot(np.arange(steps), courses[name], **style(i))
        epochs = val.shape[1]
        ends = np.arange(1, epochs + 1) * steps // epochs
        middle.plot(ends, val.mean(axis=0), marker=".", label=name, **style(i))
        color = style(i)["color"]
        right.plot(val[:, -1], np.full(len(val), i), "o", ms=4, color=color)
        right.plot(val[:, -1].mean(), i, "|", ms=16, mew=2, color=color)
    left.set(xlabel="step", ylabel="share of the peak rate", title="the schedules")
    middle.set(xlabel="step", ylabel="validation loss (nats)")
    middle.set_title("each at its best peak rate")
    fig.legend(*middle.get_legend_handles_labels(), loc="outside lower center", ncols=8, fontsize=8)
    right.set_yticks(range(len(sweeps)), list(sweeps))
    right.invert_yaxis()
    right.set(xlabel="final validation loss (nats)", title="a dot a seed, a bar the mean")
    return fig


def rates_figure(sweeps: dict[str, Any]) -> Any:
    """Final validation loss over the peak rate: how much each schedule minds a wrong rate."""
    fig, ax = plotting.subplots(width=7.0, height=4.2)
    for i, (name, result) in enumerate(sweeps.items()):
        final = result["val"][:, :, -1].mean(axis=1)  # (rates,)
        ax.plot(result["rates"], final, marker=".", label=name, **style(i))
    ax.set_xscale("log", base=2)
    ax.set(xlabel="peak learning rate", ylabel="final validation loss (nats)")
    ax.legend(fontsize=8, ncols=2)
    return fig


def warmup_figure(warm: dict[str, dict[str, Any]]) -> Any:
    """Final validation loss over the peak rate with and without warm-up, a dot a seed."""
    fig, axes = plotting.subplots(1, 3, width=11.0, height=3.6, sharey=True)
    for ax, (name, kinds) in zip(axes, warm.items(), strict=True):
        for i, (kind, result) in enumerate(kinds.items()):
            final = result["val"][:, :, -1]  # (rates, seeds)
            look, marker = plotting.look(1 - i), plotting.MARKERS[1 - i]
            ax.plot(result["rates"], final.mean(axis=1), label=kind, **look)
            ax.plot(result["rates"], final, marker, ms=3.5, color=look["color"])
        ax.set_xscale("log", base=2)
        ax.set(xlabel="peak learning rate", title=name)
    axes[0].set_ylabel("final validation loss (nats)")
    axes[0].legend(fontsize=8)
    axes[0].set(yscale="log", ylim=(0.04, 4))  # a diverged run is off the axis
    return fig


def branches_figure(several: dict[str, Any], per_epoch: int) -> Any:
    """One stable run with decayed copies, against a cosine run for each length."""
    fig, ax = plotting.subplots(width=6.8, height=4.0)
    steps = np.array(several["lengths"]) * per_epoch  # (lengths,)
    kinks = (np.array(several["lengths"]) - np.maximum(1, np.array(several["lengths"]) // 4)) * (
        per_epoch
    )
    stable, decayed = several["stable"].mean(axis=0), several["WSD"].mean(axis=0)
    ax.plot(kinks, stable, "o-", color=plotting.COLORS[1], label="one run at the constant rate")
    for i in range(len(steps)):
        label = "copies of it, decayed to 0 (WSD)" if i == 0 else None
        x, y = [kinks[i], steps[i]], [stable[i], decayed[i]]
        ax.plot(x, y, "--", color=plotting.COLORS[2], lw=1, label=label)
    ax.plot(np.tile(steps, (len(several["WSD"]), 1)), several["WSD"], "s", ms=4,
            color=plotting.COLORS[2])  # fmt: skip
    ax.plot(np.tile(steps * 1.04, (len(several["cosine"]), 1)), several["cosine"], "D", ms=2.5,
            color=plotting.COLORS[0])  # fmt: skip
    ax.plot(steps * 1.04, several["cosine"].mean(axis=0), "D", ms=5, color=plotting.COLORS[0],
            label="cosine, a run for each length, better of two peaks")  # fmt: skip
    ax.set_xscale("log", base=2)
    ax.set(xlabel="steps in all", ylabel="validation loss (nats)")
    ax.set_xticks(steps, [str(s) for s in steps])
    ax.legend(fontsize=8)
    return fig
