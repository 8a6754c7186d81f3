"""The pictures of exp_gradient_flow.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils import plotting

Results = dict[str, list[dict[str, Any]]]


def flow(results: Results, titles: dict[str, str], depth: int) -> Any:
    """Before training: the signal's deviation and the gradient's norm after each block."""
    figure, (left, right) = plotting.subplots(1, 2, width=10.0, height=4.0)
    for number, (name, rows) in enumerate(results.items()):
        look = {"marker": plotting.MARKERS[number], "mfc": "none", **plotting.look(number)}
        for ax, key in ((left, "signal"), (right, "gradient")):
            runs = np.array([row["start"][key] for row in rows])  # (seeds, blocks + 1)
            line = np.exp(np.log(np.maximum(runs, 1e-300)).mean(axis=0))
            ax.plot(range(len(line)), line, ms=5, label=titles[name], **look)
    left.set(ylabel="standard deviation of the map", title="signal")
    right.set(ylabel="norm of d loss / d map", title="gradient")
    for ax in (left, right):
        ax.set(yscale="log", xlabel="blocks passed")
        ax.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(f"{depth} layers before training", fontsize="medium")
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8
    )
    return figure


def spectra(results: Results, titles: dict[str, str], depth: int) -> Any:
    """Singular values of the Jacobian, largest first, before and after the training."""
    trained = all("end" in row for rows in results.values() for row in rows)
    moments = {"start": "before training"} | ({"end": "after training"} if trained else {})
    figure, axes = plotting.subplots(
        1, len(moments), width=5.0 * len(moments) + 0.5, height=4.2, sharey=True
    )
    for ax, (moment, title) in zip(np.atleast_1d(axes), moments.items(), strict=True):
        for number, (name, rows) in enumerate(results.items()):
            runs = np.array([row[moment]["singular_values"] for row in rows])  # (seeds, channels)
            line = np.exp(np.log(runs).mean(axis=0))
            look = {"marker": plotting.MARKERS[number], "mfc": "none", **plotting.look(number)}
            some = (2 * number, 10)  # a marker at every tenth value, elsewhere for each network
            ax.plot(range(1, len(line) + 1), line, ms=5, markevery=some, label=titles[name], **look)
        ax.set(yscale="log", xlabel="number of the singular value", title=title)
    np.atleast_1d(axes)[0].set_ylabel("singular value of the Jacobian")
    figure.suptitle(f"from the stem to the last map, {depth} layers", fontsize="medium")
    handles = np.atleast_1d(axes)[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, fontsize=8)
    return figure
