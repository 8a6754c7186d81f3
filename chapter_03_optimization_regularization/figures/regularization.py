"""The figures of exp_regularization.py: curves, learning by heart, and where the weights lie."""

from __future__ import annotations

from typing import Any

import numpy as np

from chapter_03_optimization_regularization.experiments.regularization.training import Trained
from utils import plotting

SHOWN = ("none", "l1", "l2", "dropout", "smoothing", "mixup", "augment", "together")


def stacked(networks: list[Trained], key: str) -> np.ndarray:
    """(seeds, epochs) of one curve."""
    return np.array([trained.curves[key] for trained in networks])


def curves_figure(
    networks: dict[str, list[Trained]],
    names: dict[str, tuple[str, str]],
    summary: dict[str, dict[str, float]],
) -> Any:
    """Train and validation accuracy over the epochs, a panel a method."""
    fig, axes = plotting.subplots(2, 4, width=11.0, height=5.4, sharex=True, sharey=True)
    for ax, name in zip(axes.flat, SHOWN, strict=True):
        given, val = (stacked(networks[name], key) for key in ("given", "val"))
        epochs = np.arange(1, given.shape[1] + 1)
        plotting.band(ax, epochs, given, "training set, labels as given")
        plotting.band(ax, epochs, val, "validation set")
        ax.axhline(80, color="#888888", lw=0.8, ls=":")  # without the wrong labels
        title = names[name][0] if name != "together" else "four of them together"
        ax.set(title=title, ylim=(30, 102))
        ax.annotate(
            f"test {summary[name]['test_mean']:.1f} %", (0.97, 0.17 if name == "none" else 0.06),
            xycoords="axes fraction", ha="right", fontsize=9,
        )  # fmt: skip
    stops = [trained.stopped_after for trained in networks["early"]]
    axes[0, 0].plot(stops, [33] * len(stops), "v", color="black", ms=4, alpha=0.6)
    axes[0, 0].annotate("early stopping", (max(stops) + 2, 31.6), fontsize=8)
    for ax in axes[1]:
        ax.set_xlabel("epoch")
    for ax in axes[:, 0]:
        ax.set_ylabel("accuracy (%)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return fig


def memorising_figure(networks: dict[str, list[Trained]], names: dict[str, tuple[str, str]]) -> Any:
    """Left: the plain network on both parts of the training set. Right: all methods."""
    fig, (left, right) = plotting.subplots(1, 2, width=10.4, height=4.9)
    labels = {
        "clean_part": "rightly labelled: label learnt",
        "memorised": "wrongly labelled: wrong label repeated",
        "seen_through": "wrongly labelled: true class given",
        "val": "validation set: correct",
    }
    for key, label in labels.items():
        values = stacked(networks["none"], key)
        plotting.band(left, np.arange(1, values.shape[1] + 1), values, label)
    left.set(xscale="log", xlabel="epoch", ylabel="share of the examples (%)", ylim=(-2, 102))
    left.set_xticks([1, 3, 10, 30], ["1", "3", "10", "30"])
    left.set_title("no regularisation")
    for i, name in enumerate(SHOWN):
        values = stacked(networks[name], "memorised").mean(axis=0)
        style = plotting.look(i) if i < 7 else {"color": "#777777", "lw": 3}
        title = names[name][0] if name != "together" else "four of them together"
        right.plot(np.arange(1, len(values) + 1), values, label=title, **style)
    right.set(xlabel="epoch", ylabel="wrong labels repeated (%)", ylim=(-2, 102))
    right.set_title("all methods, mean of the seeds")
    for ax in (left, right):
        ax.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    return fig


def weights_figure(weights: dict[Any, np.ndarray], zeros: dict[str, Any], strength: float) -> Any:
    """Left: histograms, with L1 of this strength. Right: share of zeros over its strength."""
    fig, (left, right) = plotting.subplots(1, 2, width=10.4, height=4.0)
    shown = {
        "none": weights["none"],
        "L2 (chosen)": weights["l2"],
        f"L1 in the loss ({strength:g})": weights[("l1_in_loss", strength)],
        f"L1, proximal ({strength:g})": weights[("l1", strength)],
    }
    edges = np.linspace(-0.2, 0.2, 82)  # an even number: zero is in the middle of a bin
    for i, (label, values) in enumerate(shown.items()):
        counts, _ = np.histogram(values, edges)
        left.stairs(100 * counts / len(values), edges, label=label, lw=1.4, **plotting.look(i))
    left.set(yscale="log", xlabel="weight", ylabel="weights per bin (%)", ylim=(1e-3, 300))
    left.legend(fontsize=8)
    forms = (("l1_in_loss", "L1 in the loss"), ("l1", "L1, proximal"))
    for (form, label), color, markers in zip(
        forms, plotting.COLORS[2:4], ("os", "^v"), strict=True
    ):
        parts = (("zero", "= 0", "-"), ("near_zero", "|w| < 0.001", ":"))
        for (key, what, dashes), marker in zip(parts, markers, strict=True):
            look = {"color": color, "marker": marker, "ms": 4, "linestyle": dashes}
            right.plot(zeros["strengths"], zeros[form][key], label=f"{label}: {what}", **look)
    right.set(xscale="log", xlabel="strength of L1", ylabel="share of the weights (%)")
    right.set_xticks(zeros["strengths"], [f"{value:g}" for value in zeros["strengths"]])
    right.minorticks_off()
    right.set(ylim=(-3, 103))
    right.legend(fontsize=8)
    return fig
