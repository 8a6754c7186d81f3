"""The blocks of the chapter as drawings: boxes on a stream as wide as its channels.

`figures.py` writes them. What a box does is its colour: a convolution mixes places and channels at
once, or only places (depthwise), or only channels (1 x 1). Read downwards, most of a decade of
networks is the question of what is mixed where the stream is wide and what where it is narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILL = {  # what a box does -> its colour
    "mix": "#CFE3F2",  # a convolution over places and channels
    "place": "#CDEBDD",  # depthwise: every channel by itself
    "channel": "#FBE3C0",  # 1 x 1: every place by itself
    "norm": "#EDEDED",
    "activation": "#F3D3E4",
}
MEANING = {
    "mix": "convolution over places and channels",
    "place": "places only (depthwise)",
    "channel": "channels only (1 x 1, gates)",
    "norm": "normalisation, order of channels",
    "activation": "activation",
}
LINE = "#333333"
BOX_WIDTH, BOX_HEIGHT, STEP = 1.5, 0.52, 0.86
SIDE = 1.12  # where the shortcut runs
WIDEST = 1.3  # of a stream


@dataclass(frozen=True)
class Layer:
    """A box: what stands in it, what it does, and the channels that come out of it."""

    text: str
    does: str
    channels: int


@dataclass(frozen=True)
class Drawing:
    """A block from top to bottom.

    channels: of the stream. branch: boxes up to the join. join: "+", "concat" or "" (plain).
    after: boxes behind the join.
    """

    title: str
    channels: int
    branch: tuple[Layer, ...]
    join: str = "+"
    after: tuple[Layer, ...] = ()


def conv(text: str, channels: int, does: str = "mix") -> Layer:
    return Layer(text, does, channels)


def norm(channels: int, text: str = "BN") -> Layer:
    return Layer(text, "norm", channels)


def relu(channels: int, text: str = "ReLU") -> Layer:
    return Layer(text, "activation", channels)


def residual_blocks() -> list[Drawing]:
    """The four blocks of sections 2 to 5."""
    three = conv("3 x 3, 64 to 64", 64)
    basic = (three, norm(64), relu(64), three, norm(64))
    first = (norm(64), relu(64), three, norm(64), relu(64), three)
    narrow = (
        conv("1 x 1, 256 to 64", 64, "channel"),
        norm(64, "BN, ReLU"),
        conv("3 x 3, 64 to 64", 64),
        norm(64, "BN, ReLU"),
        conv("1 x 1, 64 to 256", 256, "channel"),
        norm(256),
    )
    return [
        Drawing("plain", 64, basic, "", (relu(64),)),
        Drawing("basic, v1", 64, basic, after=(relu(64),)),
        Drawing("basic, v2", 64, first),
        Drawing("bottleneck, v1.5", 256, narrow, after=(relu(256),)),
    ]


def modern_blocks() -> list[Drawing]:
    """One block of each idea of sections 9 to 12, with the numbers of the published networks."""
    resnext = (
        conv("1 x 1, 256 to 128", 128, "channel"),
        norm(128, "BN, ReLU"),
        conv("3 x 3, 32 groups", 128),
        norm(128, "BN, ReLU"),
        conv("1 x 1, 128 to 256", 256, "channel"),
        norm(256),
    )
    shuffle = (
        conv("1 x 1, 58 to 58", 58, "channel"),
        norm(58, "BN, ReLU"),
        conv("depthwise 3 x 3", 58, "place"),
        norm(58),
        conv("1 x 1, 58 to 58", 58, "channel"),
        norm(58, "BN, ReLU"),
    )
    separable = (
        conv("depthwise 3 x 3", 128, "place"),
        norm(128, "BN, ReLU"),
        conv("1 x 1, 128 to 128", 128, "channel"),
        norm(128, "BN, ReLU"),
    )
    inverted = (
        conv("1 x 1, 24 to 144", 144, "channel"),
        norm(144, "BN, SiLU"),
        conv("depthwise 3 x 3", 144, "place"),
        norm(144, "BN, SiLU"),
        conv("gate (SE)", 144, "channel"),
        conv("1 x 1, 144 to 24", 24, "channel"),
        norm(24),
    )
    convnext = (
        conv("depthwise 7 x 7", 96, "place"),
        norm(96, "LayerNorm"),
        conv("1 x 1, 96 to 384", 384, "channel"),
        relu(384, "GELU"),
        conv("1 x 1, 384 to 96", 96, "channel"),
        norm(96, "LayerScale"),
    )
    return [
        Drawing("ResNeXt", 256, resnext, after=(relu(256),)),
        Drawing("MobileNetV1", 128, separable, ""),
        Drawing("ShuffleNetV2", 116, shuffle, "concat", (norm(116, "channel shuffle"),)),
        Drawing("MBConv (EfficientNet)", 24, inverted),
        Drawing("ConvNeXt", 96, convnext),
    ]


def draw_blocks(drawings: list[Drawing], width: float) -> Figure:
    """The drawings side by side on one scale, with the meaning of the colours underneath."""
    from matplotlib.patches import Patch

    height = max(len(d.branch + d.after) + bool(d.join) for d in drawings) + 1.2
    figure, axes = plotting.subplots(1, len(drawings), width=width, height=0.52 * height + 0.9)
    widest = max(layer.channels for d in drawings for layer in d.branch)
    widest = max(widest, *(d.channels for d in drawings))
    for ax, drawing in zip(axes, drawings, strict=True):
        draw_block(ax, drawing, WIDEST / widest)
        ax.set(xlim=(-1.0, 1.35), ylim=(-height * STEP + 0.3, 0.55), title=drawing.title)
        ax.set_aspect("equal")
        ax.axis("off")
    used = {layer.does for d in drawings for layer in d.branch + d.after}
    marks = [
        Patch(facecolor=FILL[d], edgecolor=LINE, lw=0.6, label=MEANING[d])
        for d in FILL
        if d in used
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def draw_block(ax: Axes, drawing: Drawing, scale: float) -> None:
    """One block: bands between boxes are as wide as the stream has channels."""
    y, channels = 0.0, drawing.channels
    ax.text(0, 0.12, f"{channels} channels", ha="center", va="bottom", fontsize=7)
    fork = y - 0.12
    if drawing.join == "concat":  # the branch works on one half of the channels
        band(ax, y, fork, channels, scale)
        y, channels = fork, channels // 2
    for layer in drawing.branch:
        y, channels = put(ax, layer, y, channels, scale)
    if drawing.join:
        y, channels = join(ax, drawing, y, fork, channels, scale)
    for layer in drawing.after:
        y, channels = put(ax, layer, y, channels, scale)
    band(ax, y, y - 0.34, channels, scale)


def put(ax: Axes, layer: Layer, y: float, channels: int, scale: float) -> tuple[float, int]:
    """The stream down to the next box, and the box; the place below it and its channels."""
    from matplotlib.patches import FancyBboxPatch

    top = y - (STEP - BOX_HEIGHT)
    band(ax, y, top, channels, scale)
    box = FancyBboxPatch(
        (-BOX_WIDTH / 2, top - BOX_HEIGHT),
        BOX_WIDTH,
        BOX_HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor=FILL[layer.does],
        edgecolor=LINE,
        linewidth=0.8,
    )
    ax.add_patch(box)
    ax.text(0, top - BOX_HEIGHT / 2, layer.text, ha="center", va="center", fontsize=7)
    return top - BOX_HEIGHT, layer.channels


def band(ax: Axes, top: float, bottom: float, channels: int, scale: float) -> None:
    """The stream between two boxes."""
    half = max(0.03, channels * scale / 2)
    ax.fill([-half, half, half, -half], [top, top, bottom, bottom], color="#B9B9B9", lw=0)


def join(
    ax: Axes, drawing: Drawing, y: float, fork: float, channels: int, scale: float
) -> tuple[float, int]:
    """The shortcut from the fork down the side, and the sum or concatenation it ends in."""
    middle = y - (STEP - BOX_HEIGHT) - 0.2
    band(ax, y, middle, channels, scale)
    arrow = {"arrowstyle": "-|>", "color": LINE, "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
    ax.plot([0, SIDE, SIDE], [fork, fork, middle], color=LINE, lw=1.4, solid_joinstyle="round")
    ax.annotate("", (0.2, middle), (SIDE, middle), arrowprops=arrow)
    sign = "+" if drawing.join == "+" else "c"
    circle = {"boxstyle": "circle,pad=0.22", "facecolor": "white", "edgecolor": LINE}
    ax.text(0, middle, sign, ha="center", va="center", fontsize=9, bbox=circle, zorder=5)
    band(ax, middle, middle - 0.2, drawing.channels, scale)
    if drawing.join == "concat":
        ax.text(
            SIDE + 0.06, (fork + middle) / 2, "other half", rotation=90, va="center", fontsize=7
        )
    return middle - 0.2, drawing.channels
