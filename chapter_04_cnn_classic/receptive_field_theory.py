"""The theoretical receptive field of every layer of any model, by one walk over its operations.

Layer l has kernel k, stride s, padding p, dilation d. Neighbouring units of its output are j_l
pixels of the picture apart (the jump), each reads a square of r_l pixels, and unit 0's square
starts at pixel a_l (below 0: in the padding):

    j_l = j_{l-1} s        r_l = r_{l-1} + (k - 1) d j_{l-1}        a_l = a_{l-1} - p j_{l-1}

from j_0 = r_0 = 1 and a_0 = 0. Here the same is done with the set of pixels instead of its size:
dilation and long strides leave holes in the square, and branches (GoogLeNet) have different ones,
whose union is taken. torch.fx records what the model does as a graph of operations.

    for name, field in receptive_fields(build_model("alexnet", image_size=224)).items():
        print(name, field.height.size, field.height.jump, field.height.start)
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx, nn

from chapter_04_cnn_classic import receptive_field_rules as rules
from utils.errors import UserError


@dataclass(frozen=True)
class Axis:
    """Along one axis, output unit i reads the input pixels i * jump + o for o in `offsets`."""

    jump: int = 1
    offsets: frozenset[int] = frozenset({0})

    @property
    def start(self) -> int:
        """The first pixel of unit 0."""
        return min(self.offsets)

    @property
    def size(self) -> int:
        """From the first pixel to the last, holes included."""
        return max(self.offsets) - min(self.offsets) + 1

    def window(self, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
        """The field after a convolution or pool that slides along this axis."""
        taps = [(t * dilation - padding) * self.jump for t in range(kernel)]
        return Axis(self.jump * stride, frozenset(o + t for o in self.offsets for t in taps))

    def pixels(self, unit: int, size: int) -> list[int]:
        """What `unit` reads of a picture with `size` pixels; the padding is no pixel.

        Exact where the field lies inside the picture. At its border some of these pixels may be
        unused: the zeros around a middle layer depend on no pixel, which cuts the paths there.
        """
        here = (unit * self.jump + o for o in self.offsets)
        return sorted(pixel for pixel in here if 0 <= pixel < size)


@dataclass(frozen=True)
class Field:
    """The receptive field of a layer; `depth` counts the windows on the longest path to it.

    `places`: which of the `ndim` axes of its output are height and width.
    """

    height: Axis = Axis()
    width: Axis = Axis()
    depth: int = 0
    places: tuple[int, int] = (2, 3)  # of (B, C, H, W)
    ndim: int = 4


def trace(model: nn.Module) -> fx.GraphModule:
    """The operations of `model` as a graph; UserError if they depend on the data."""
    try:
        return fx.GraphModule(model, _Tracer().trace(model))
    except (fx.proxy.TraceError, TypeError) as error:
        raise UserError(f"{type(model).__name__} cannot be traced: {error}") from None


class _Tracer(fx.Tracer):
    """Looks into every module but torch's, the course's twins of these, and single windows."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        window = hasattr(module, "kernel_size") and not any(module.children())
        return window or type(module) in rules.TWINS or super().is_leaf_module(module, name)


def node_fields(graph: fx.GraphModule) -> dict[fx.Node, Field | None]:
    """The field of every operation's output; None: the whole picture. Left out is what depends on
    no pixel.

    UserError for an operation of which nothing is known (receptive_field_rules.py).
    """
    fields: dict[fx.Node, Field | None] = {}
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            fields[node] = Field()
            continue
        from_pixels = any(arg in fields for arg in node.all_input_nodes)
        if from_pixels and node.op != "output" and not rules.is_constant(node):
            fields[node] = rules.after(node, graph, fields)
    return fields


def label(node: fx.Node) -> str:
    """The module that made this value: its path in the model ("inception3a.branch1")."""
    if node.op == "call_module":
        return str(node.target)
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack and stack[-1][0] else node.name


def receptive_fields(model: nn.Module) -> dict[str, Field]:
    """Name of each layer -> the field of its output, up to where the whole picture is seen."""
    fields = node_fields(trace(model))
    return {label(node): field for node, field in fields.items() if field and field.depth}
