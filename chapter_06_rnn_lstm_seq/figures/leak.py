"""The figure of exp_leak.py: the number claimed beside the true one, for each way to cut."""

from __future__ import annotations

from typing import Any

from utils import plotting

CLAIMED, TRUE = "claimed, on the split's own validation part", "true, on text that nothing touched"


def leak_figure(found: list[dict[str, Any]]) -> Any:
    """One panel a model, one line a split: dots for the runs, bars for the means."""
    models = list(dict.fromkeys(row["model"] for row in found))
    width = 3.4 + 3.6 * len(models)
    fig, axes = plotting.subplots(1, len(models), width=width, height=3.2, squeeze=False)
    for ax, model in zip(axes[0], models, strict=True):
        draw_model(ax, [row for row in found if row["model"] == model])
        ax.set(xlabel="bits per character", title=model)
    handles = axes[0][0].get_legend_handles_labels()
    fig.legend(*handles, loc="outside lower center", ncols=2, fontsize=8)
    return fig


def draw_model(ax: Any, found: list[dict[str, Any]]) -> None:
    kinds = list(dict.fromkeys(row["kind"] for row in found))
    for i, (name, label) in enumerate({"claimed": CLAIMED, "true": TRUE}.items()):
        look = {"color": plotting.COLORS[1 - i], "marker": plotting.MARKERS[i], "lw": 0}
        for place, kind in enumerate(kinds):
            values = [row[name] for row in found if row["kind"] == kind]
            height = place + 0.16 * (2 * i - 1)
            ax.plot(values, [height] * len(values), ms=5, alpha=0.6, **look)
            mean = sum(values) / len(values)
            ax.plot([mean, mean], [height - 0.13, height + 0.13], color=look["color"], lw=2.5)
        ax.plot([], [], label=label, ms=5, **look)
    ax.set_yticks(range(len(kinds)), [kind.replace(" ", "\n") for kind in kinds])
    ax.set_ylim(len(kinds) - 0.5, -0.5)
