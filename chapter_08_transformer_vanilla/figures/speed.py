"""The picture of exp_speed.py: tokens a second over the tokens written, and what a cache gains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def speed_figure(metrics: dict[str, Any]) -> Figure:
    """Left: tokens/s with and without. Right: their ratio, beside the one counted in tokens."""
    rows = metrics["cache"]
    lengths = [int(length) for length in rows]
    figure, (left, right) = plotting.subplots(1, 2, width=9.0, height=3.6)
    for index, (name, label) in enumerate({"fast": "with a cache", "slow": "without"}.items()):
        values = [row[name] for row in rows.values()]
        left.plot(lengths, values, label=label, **plotting.look(index), marker="os"[index])
    left.set(ylabel="tokens/s", title=f"greedy, {metrics['batch']} sources", ylim=(0, None))
    ratios = [row["ratio"] for row in rows.values()]
    right.plot(lengths, ratios, "o-", color="0.15", label="measured")
    counted = [(length + 1) / 2 for length in lengths]
    right.plot(lengths, counted, "--", color="0.5", label="tokens through the network")
    right.set(ylabel="times", title="with a cache against without", yscale="log")
    ticks = [n for n in (1, 2, 5, 10, 20, 50, 100, 200) if n < 2 * counted[-1]]
    right.set_yticks(ticks, ticks)
    for ax in (left, right):
        ax.set(xlabel="tokens written", xscale="log")
        ax.set_xticks(lengths, lengths)
        ax.minorticks_off()
        ax.legend()
    return figure
