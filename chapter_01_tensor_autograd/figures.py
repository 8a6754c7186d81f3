"""The figure of the README's intuition: a computational graph with values and gradients.

The loss of one example with a weight penalty, L = (w x + b - t)^2 + 0.5 w^2, on numbers that can be
followed by hand. Values and gradients in the figure are computed by `value.py`, not typed in.

    python chapter_01_tensor_autograd/figures.py
"""

from __future__ import annotations

import sys

from chapter_01_tensor_autograd.value import Value
from utils import cli, plotting
from utils.errors import confirm

# Where each node stands in the figure: (column, row).
PLACES = {
    "x": (0, 2),
    "w": (0, 1),
    "b": (1, 2.9),
    "t": (2, 2.9),
    "p = w x": (1, 2),
    "q = p + b": (2, 2),
    "e = q - t": (3, 2),
    "s = e²": (4, 2),
    "r = w²": (2, 1),
    "m = r / 2": (4, 1),
    "L = s + m": (5, 1.5),
}


WIDTH, HEIGHT = 0.72, 0.52  # of a box, in the units of PLACES


def example() -> tuple[dict[str, Value], list[tuple[str, str]]]:
    """The named nodes after a backward pass, and the edges between them."""
    x, w, b, t = Value(2.0), Value(3.0), Value(1.0), Value(4.0)
    p = w * x
    q = p + b
    e = q + (minus_t := -t)  # `q - t` builds this inner node; it is not drawn
    s = e * e
    r = w * w
    m = r * 0.5
    loss = s + m
    loss.backward()
    confirm(minus_t.grad == e.grad, "the inner node of q - t has another gradient than e")
    nodes = dict(zip(PLACES, (x, w, b, t, p, q, e, s, r, m, loss), strict=True))
    names = {
        "p = w x": "wx",
        "q = p + b": "pb",
        "e = q - t": "qt",
        "s = e²": "e",
        "r = w²": "w",
        "m = r / 2": "r",
        "L = s + m": "sm",
    }
    by_letter = {name[0]: name for name in nodes}
    edges = [(by_letter[letter], name) for name, letters in names.items() for letter in letters]
    return nodes, edges


def draw():
    """The graph as a figure: values in black above, gradients in colour below."""
    nodes, edges = example()
    figure, ax = plotting.subplots(width=9.5, height=4.0)
    ax.set_axis_off()
    ax.set(xlim=(-0.5, 5.5), ylim=(0.45, 3.4))
    for start, end in edges:
        _arrow(ax, PLACES[start], PLACES[end])
    for name, place in PLACES.items():
        _box(ax, place, name, nodes[name])
    ax.text(-0.4, 0.5, "black: value, computed left to right")
    ax.text(2.2, 0.5, "orange: dL/d(node), right to left", color=plotting.COLORS[1])
    return figure


def _box(ax, place: tuple[float, float], name: str, value: Value) -> None:
    from matplotlib.patches import FancyBboxPatch

    column, row = place
    fill = "white" if "=" in name else "#E8F1F8"  # leaves are tinted
    corner = (column - WIDTH / 2, row - HEIGHT / 2)
    box = FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle="round,pad=0", fc=fill, ec="#444444")
    ax.add_patch(box)
    middle = {"ha": "center", "va": "center"}
    ax.text(column, row + 0.11, name, **middle)
    ax.text(column - 0.17, row - 0.12, f"{value.data:g}", **middle)
    ax.text(column + 0.17, row - 0.12, f"{value.grad:g}", **middle, color=plotting.COLORS[1])


def _arrow(ax, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From the right side of one box to the left side of another."""
    (x0, y0), (x1, y1) = start, end
    arrow = {"arrowstyle": "-|>", "color": "#888888"}
    ax.annotate("", (x1 - WIDTH / 2, y1), (x0 + WIDTH / 2, y0), arrowprops=arrow)


def build_parser():
    return cli.make_parser(__doc__, examples=["python chapter_01_tensor_autograd/figures.py"])


def experiment(args, run) -> None:
    run.save_figure(draw(), "worked_example", svg=True)
    nodes, _ = example()
    run.finish(
        {f"dL/d{name}": nodes[name].grad for name in "xwbt"},
        next_command="python chapter_01_tensor_autograd/autograd.py",
    )


def main(argv=None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv, uses_torch=False)


if __name__ == "__main__":
    sys.exit(main())
