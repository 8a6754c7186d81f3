"""Draws the map of the course, course/results/roadmap.svg (`python -m course sync` calls it).

Chapters that exist (those with a chapter.toml) are filled; subjects still to come are outlines.
"""

from __future__ import annotations

from pathlib import Path

from utils import plotting

MAP = Path("course", "results", "roadmap.svg")
SUBJECTS = [
    "autograd",
    "MLP",
    "optimisation",
    "CNN",
    "ResNet",
    "RNN",
    "attention",
    "Transformer",
    "efficient\nattention",
    "LLM",
]
PATHS = [("beginner", 1, 3), ("intermediate", 4, 5), ("advanced", 6, 10)]


def draw(existing: set[int]):
    """The map as a figure; `existing` holds the numbers of the chapters that are there."""
    from matplotlib.patches import FancyBboxPatch

    figure, ax = plotting.subplots(width=10, height=2.3)
    ax.set_axis_off()
    ax.set(xlim=(0.4, 10.6), ylim=(-0.75, 0.85))
    for number, subject in enumerate(SUBJECTS, start=1):
        here = number in existing
        color = plotting.COLORS[0]
        box = FancyBboxPatch(
            (number - 0.4, -0.28),
            0.8,
            0.56,
            boxstyle="round,pad=0.02",
            facecolor=color if here else "white",
            edgecolor=color if here else "#999999",
            linestyle="-" if here else "--",
        )
        box.set_gid(f"chapter-{number}-{'here' if here else 'to-come'}")  # a test reads these
        ax.add_patch(box)
        text = "white" if here else "#555555"
        ax.text(number, 0.13, str(number), ha="center", va="center", color=text, weight="bold")
        ax.text(number, -0.11, subject, ha="center", va="center", color=text, fontsize=8)
        if number > 1:
            arrow = {"arrowstyle": "->", "color": "#777777"}
            ax.annotate("", (number - 0.43, 0), (number - 0.57, 0), arrowprops=arrow)
    for name, first, last in PATHS:
        ax.plot([first - 0.4, last + 0.4], [0.5, 0.5], color="#555555", linewidth=1)
        ax.text((first + last) / 2, 0.56, name, ha="center", va="bottom", fontsize=9)
    ax.text(0.6, -0.55, "filled: here to read and run;  dashed: still to come", fontsize=8)
    return figure


def write(root: Path) -> Path:
    """Draw the map of the chapters found under `root`; the path of the figure."""
    manifests = root.glob("chapter_*/chapter.toml")
    existing = {int(path.parent.name.split("_")[1]) for path in manifests}
    target = root / MAP
    plotting.save_figure(draw(existing), target)
    return target
