"""The pictures of exp_degradation.py, in the manner of He et al. 2015, figure 6."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils import plotting

KINDS = {"plainnet": "plain", "resnet": "residual"}
FEW = 4  # epochs
Results = dict[str, list[dict[str, Any]]]


def depth_of(network: str) -> int:
    return int("".join(letter for letter in network if letter.isdigit()))


def of_kind(results: Results, kind: str) -> Results:
    return {name: rows for name, rows in results.items() if name.startswith(kind)}


def curves(results: Results, dataset: str) -> Any:
    """Error by epoch: training and validation; plain left, residual right.

    Of fewer than `FEW` epochs no curve can be drawn: then each run is a column of its own, with a
    digit for its error after each epoch.
    """
    epochs = len(next(iter(results.values()))[0]["train_errors"])
    figure, axes = plotting.subplots(1, 2, width=10.0, height=4.0, sharey=True)
    for ax, (kind, title) in zip(axes, KINDS.items(), strict=True):
        draw = columns if epochs < FEW else lines
        draw(ax, of_kind(results, kind))
        ax.set_title(f"{title} networks on {dataset}")
    axes[0].set_ylabel("error (%)")
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=4, fontsize=8)
    return figure


def lines(ax: Any, results: Results) -> None:
    """A mean by epoch: dashes for training, a marker for the depth."""
    for number, (network, rows) in enumerate(results.items()):
        look = {"color": plotting.COLORS[number], "marker": plotting.MARKERS[number], "ms": 4}
        for key, style in (("train_errors", "--"), ("val_errors", "-")):
            mean = np.mean([row[key] for row in rows], axis=0)  # (epochs,)
            label = f"{depth_of(network)} layers" + (", training" if style == "--" else "")
            every = max(1, len(mean) // 8)
            ax.plot(range(1, len(mean) + 1), mean, style, markevery=every, label=label, **look)
    ax.set_xlabel("epoch")
    ax.xaxis.get_major_locator().set_params(integer=True)


def columns(ax: Any, results: Results) -> None:
    """A column for each run: digits, joined by a line, are the errors after the 1st, 2nd, ..."""
    looks = {"train_errors": ("training", 0, -0.16), "val_errors": ("validation", 1, 0.16)}
    place, ticks = 0, {}
    for network, rows in results.items():
        for seed, row in enumerate(rows):
            ticks[place] = f"{depth_of(network)} layers\nrun {seed + 1}"
            for key, (_, number, shift) in looks.items():
                look = {"lw": 1, **plotting.look(number)}
                ax.plot([place + shift] * len(row[key]), row[key], zorder=1, **look)
                for epoch, error in enumerate(row[key], start=1):
                    face = "white" if number else look["color"]
                    ink = look["color"] if number else "white"
                    spot = {"boxstyle": "circle,pad=0.2", "fc": face, "ec": look["color"]}
                    text = {"ha": "center", "va": "center", "fontsize": 7, "color": ink}
                    ax.text(place + shift, error, str(epoch), bbox=spot, **text)
            place += 1
    for name, number, _ in looks.values():
        face = "white" if number else plotting.COLORS[number]
        look = {"marker": "o", "mfc": face, **plotting.look(number)}
        ax.plot([], [], label=f"{name}, after each epoch", **look)
    ax.set_xticks(list(ticks), list(ticks.values()))
    ax.set(xlim=(-0.6, place - 0.4), ylim=(0, 100))


def by_depth(results: Results, dataset: str) -> Any:
    """Final training loss and test error over depth; a marker a run, a line through the means."""
    figure, axes = plotting.subplots(1, 2, width=9.0, height=3.6)
    for ax, key, label in (
        (axes[0], "train_loss", "training loss (nats)"),
        (axes[1], "test_error", "test error (%)"),
    ):
        for number, (kind, title) in zip((1, 0), KINDS.items(), strict=True):
            rows_of = of_kind(results, kind)
            depths = [depth_of(network) for network in rows_of]
            means = [np.mean([row[key] for row in rows]) for rows in rows_of.values()]
            dot = {"color": plotting.COLORS[number], "marker": plotting.MARKERS[number], "ms": 5}
            ax.plot(depths, means, **plotting.look(number))
            ax.plot([], [], label=title, ls=plotting.DASHES[number], **dot)
            for depth, rows in zip(depths, rows_of.values(), strict=True):
                ax.plot([depth] * len(rows), [row[key] for row in rows], ls="", **dot)
        ax.set(xlabel="layers with weights", ylabel=label, title=dataset)
        ax.set_xticks(depths)
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2, fontsize=8)
    return figure
