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

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.nn import functional as F

from utils.errors import UserError

# Operations that treat every pixel by itself, or only change what is stored: the field stays.
POINTWISE_LAYERS = (
    *(nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Softplus),
    *(nn.BatchNorm2d, nn.Identity, nn.Dropout, nn.Dropout2d),
)
POINTWISE_FUNCTIONS = {
    *(operator.add, operator.mul, operator.sub, operator.truediv, torch.cat, torch.add, torch.mul),
    *(F.relu, F.gelu, F.silu, F.dropout, torch.relu, torch.tanh, torch.sigmoid),
}
# Operations that mix the whole map: what follows them sees the whole picture.
GLOBAL_LAYERS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Linear)
GLOBAL_FUNCTIONS = {F.adaptive_avg_pool2d, F.adaptive_max_pool2d, torch.flatten, torch.mean}
GLOBAL_METHODS = {"flatten", "mean"}


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
    """The receptive field of a layer; `depth` counts the windows on the longest path to it."""

    height: Axis = Axis()
    width: Axis = Axis()
    depth: int = 0


def trace(model: nn.Module) -> fx.GraphModule:
    """The operations of `model` as a graph; UserError if they depend on the data."""
    try:
        return fx.GraphModule(model, _Tracer().trace(model))
    except (fx.proxy.TraceError, TypeError) as error:
        raise UserError(f"{type(model).__name__} cannot be traced: {error}") from None


class _Tracer(fx.Tracer):
    """Looks into every module but torch's own and those that slide a window."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return hasattr(module, "kernel_size") or super().is_leaf_module(module, name)


def node_fields(graph: fx.GraphModule) -> dict[fx.Node, Field | None]:
    """The field of every operation's output; None: the whole picture.

    UserError for an operation of which nothing is known here.
    """
    fields: dict[fx.Node, Field | None] = {}
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            fields[node] = Field()
        elif node.op not in ("get_attr", "output"):
            inputs = [fields[arg] for arg in node.all_input_nodes if arg in fields]
            module = graph.get_submodule(node.target) if node.op == "call_module" else None
            fields[node] = _after(node, module, inputs)
    return fields


def _after(node: fx.Node, module: nn.Module | None, inputs: list[Field | None]) -> Field | None:
    target = node.target
    known_global = isinstance(module, GLOBAL_LAYERS) or (
        target in GLOBAL_METHODS if node.op == "call_method" else target in GLOBAL_FUNCTIONS
    )
    if known_global or any(field is None for field in inputs):
        return None
    if hasattr(module, "kernel_size") and "Transpose" not in type(module).__name__:
        return _slide(inputs[0], module)
    if isinstance(module, POINTWISE_LAYERS) or target in POINTWISE_FUNCTIONS:
        return _union(inputs)
    what = target if module is None else type(module).__name__
    raise UserError(f"the receptive field of {what} ({node.name}) is not known here")


def _slide(field: Field, window: nn.Module) -> Field:
    options = [window.kernel_size, window.stride, window.padding, getattr(window, "dilation", 1)]
    if isinstance(window.padding, str):  # "same" puts the odd zero at the end
        spans = zip(_pair(options[0]), _pair(options[3]), strict=True)
        same = tuple((kernel - 1) * dilation // 2 for kernel, dilation in spans)
        options[2] = same if window.padding == "same" else 0
    rows, columns = zip(*map(_pair, options), strict=True)
    return Field(field.height.window(*rows), field.width.window(*columns), field.depth + 1)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _union(fields: list[Field]) -> Field:
    """The field of a sum or concatenation, axis by axis (exact where one branch holds the rest)."""

    def join(axes: list[Axis]) -> Axis:
        if len({axis.jump for axis in axes}) > 1:
            raise UserError("branches with different strides meet: their units do not line up")
        return Axis(axes[0].jump, frozenset().union(*(axis.offsets for axis in axes)))

    height, width = join([f.height for f in fields]), join([f.width for f in fields])
    return Field(height, width, max(field.depth for field in fields))


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
