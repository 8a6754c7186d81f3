"""One look for all figures of the course.

    fig, ax = plotting.subplots()
    plotting.band(ax, steps, losses, "SGD")        # losses: (runs, steps)
    run.save_figure(fig, "loss_curves")

Figures are made without pyplot: no global state, no window, nothing at import. In a notebook a
figure shows when it is the last expression of a cell, after `%matplotlib inline`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.file_io_util import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette (2008): told apart by readers with any form of colour blindness.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]
CHINESE_FONTS = (  # looked at first where a figure has letters that the standard font lacks
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Microsoft YaHei", "SimHei"),
    *("PingFang SC", "Hiragino Sans GB", "Heiti SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei"),
    *("Noto Sans CJK JP", "Droid Sans Fallback", "Arial Unicode MS"),
)
LAST_RESORT = "Last Resort"  # a font of boxes that comes with matplotlib
# A dash pattern and a marker for each of them, in the same order: for print in grey, and so that a
# line that lies on another still shows.
DASHES: list[Any] = ["-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (9, 2)), "-."]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
MAX_PNG_BYTES = 200_000
MAX_GIF_BYTES = 2_000_000


log = logging.getLogger(__name__)


def _style() -> dict[str, Any]:
    from cycler import cycler

    return {
        "axes.prop_cycle": cycler(color=COLORS),
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": "medium",
        "grid.color": "#DDDDDD",
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.6,
        "image.cmap": "viridis",
        "svg.hashsalt": "dl-course",  # the same figure gives the same file
    }


def subplots(
    rows: int = 1, cols: int = 1, width: float = 6.4, height: float = 4.0, **options: Any
) -> tuple[Figure, Any]:
    """Like `plt.subplots`, in the course's style. `width` and `height` of the figure in inches."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_style()):
        figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
        return figure, figure.subplots(rows, cols, **options)


def literal(text: str) -> str:
    """`text` as a figure shows it letter by letter: in a user's words, "$" begins no formula."""
    return text.replace("$", r"\$")


@contextmanager
def _letters(figure: Figure) -> Iterator[None]:
    """Letters that the standard font lacks (Chinese, say) are taken from another installed font."""
    from matplotlib.text import Text

    fonts = logging.getLogger("matplotlib.font_manager")
    fonts.addFilter(_is_no_lack_of_weight)
    texts = [text for text in figure.findobj(Text) if not text.get_text().isascii()]
    lacking = frozenset("".join(text.get_text() for text in texts)) - _letters_of("DejaVu Sans")
    font = font_with(frozenset(c for c in lacking if c.isprintable() and not c.isspace()))
    for text in texts if font else []:
        text.set_fontfamily([*text.get_fontfamily(), font])
    with warnings.catch_warnings():  # one for every letter on every drawing: font_with said it once
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        yield


def _is_no_lack_of_weight(record: logging.LogRecord) -> bool:
    """Not the message that a Chinese font comes in another weight than DejaVu."""
    return "Failed to find font weight" not in record.getMessage()


@cache
def _letters_of(family: str) -> frozenset[str]:
    """All letters that the font of this name has; none where matplotlib cannot draw with it."""
    from matplotlib.font_manager import findfont, get_font

    try:
        font = get_font(findfont(family, fallback_to_default=False))
    except (OSError, RuntimeError, ValueError):  # gone since it was listed, or damaged
        return frozenset()
    return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()


@cache
def font_with(letters: frozenset[str]) -> str | None:
    """The installed font that has the most of `letters`, Chinese ones first; None, said once."""
    from matplotlib.font_manager import fontManager

    if not letters:
        return None
    installed = {entry.name for entry in fontManager.ttflist} - {"DejaVu Sans"}
    wanted = [name for name in CHINESE_FONTS if name in installed]
    others = sorted(name for name in installed - set(wanted) if not name.startswith(LAST_RESORT))
    best, most = None, 0
    for name in [*wanted, *others]:
        found = len(letters & _letters_of(name))
        if found > most:
            best, most = name, found
        if most == len(letters):
            return best
    shown = "".join(sorted(letters))[:20]
    log.warning("no font on this machine has all of %s: figures show boxes for letters", shown)
    return best


def look(index: int) -> dict[str, Any]:
    """Colour and dash pattern of a figure's line number `index`: `ax.plot(x, y, **look(2))`."""
    return {"color": COLORS[index % len(COLORS)], "linestyle": DASHES[index % len(DASHES)]}


def band(
    ax: Axes,
    x: Any,
    runs: Any,
    label: str,
    color: str | None = None,
    spread: str = "range",
    linestyle: Any = None,
) -> None:
    """Mean over runs as a line, and the range (or one standard deviation, "std") as a band.

    `x` is (N,), `runs` is (R, N): one row a run. Each of COLORS brings its own dash pattern.
    """
    runs = np.asarray(runs, dtype=float)  # (R, N)
    mean = runs.mean(axis=0)  # (N,)
    if spread == "std":
        low, high = mean - runs.std(axis=0), mean + runs.std(axis=0)
    else:
        low, high = runs.min(axis=0), runs.max(axis=0)
    (line,) = ax.plot(x, mean, label=label, color=color)
    known = line.get_color() in COLORS and linestyle is None
    line.set_linestyle(DASHES[COLORS.index(line.get_color())] if known else linestyle or "-")
    ax.fill_between(x, low, high, color=line.get_color(), alpha=0.18, linewidth=0)


def plain_log_labels(ax: Axes) -> None:
    """A logarithmic y-axis with labels such as 0.05, 0.1, 0.2: readable below one decade too."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


def confusion_matrix(ax: Axes, counts: Any, classes: Sequence[str]) -> None:
    """Draw a confusion matrix: rows are true classes, columns predicted ones.

    Colour is the share of the row, so that classes of different size compare; the text is counts.
    """
    counts = np.asarray(counts)  # (K, K)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ax.grid(False)
    ticks = range(len(classes))
    classes = [literal(name) for name in classes]
    long_names = max(len(name) for name in classes) > 3
    ax.set_xticks(
        ticks, classes, rotation=45 if long_names else 0, ha="right" if long_names else "center"
    )
    ax.set_yticks(ticks, classes)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    for (row, col), count in np.ndenumerate(counts):
        if count:
            color = "white" if share[row, col] > 0.5 else "black"
            ax.text(col, row, str(count), ha="center", va="center", color=color, fontsize=7)


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG or SVG (by the suffix). A PNG over 200 kB is cut to 256 colours."""
    import matplotlib

    path = Path(path)
    buffer = BytesIO()
    options = {"metadata": {"Date": None}} if path.suffix == ".svg" else {}
    with matplotlib.rc_context(_style()), _letters(figure):
        figure.savefig(buffer, format=path.suffix[1:], **options)
    content = buffer.getvalue()
    if path.suffix == ".png" and len(content) > MAX_PNG_BYTES:
        content = _fewer_colors(content)
    with atomic_write(path, binary=True) as file:
        file.write(content)


def _fewer_colors(png: bytes) -> bytes:
    from PIL import Image

    buffer = BytesIO()
    image = Image.open(BytesIO(png)).convert("RGB")
    image.quantize(colors=256, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def figure_to_array(figure: Figure) -> np.ndarray:
    """The figure's pixels, (H, W, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with _letters(figure):
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save_gif(frames: Sequence[np.ndarray], path: str | Path, fps: float = 8) -> None:
    """Write (H, W, 3) uint8 frames as an endless GIF of at most 2 MB (shrunk until it fits)."""
    from PIL import Image

    images = [Image.fromarray(frame) for frame in frames]
    while True:
        palette = [image.quantize(colors=128, dither=Image.Dither.NONE) for image in images]
        buffer = BytesIO()
        options = {"save_all": True, "append_images": palette[1:], "loop": 0, "optimize": True}
        palette[0].save(buffer, "gif", duration=round(1000 / fps), **options)
        if buffer.tell() <= MAX_GIF_BYTES:
            break
        smaller = [round(side * 0.8) for side in images[0].size]
        images = [image.resize(smaller, Image.Resampling.LANCZOS) for image in images]
    with atomic_write(path, binary=True) as file:
        file.write(buffer.getvalue())
