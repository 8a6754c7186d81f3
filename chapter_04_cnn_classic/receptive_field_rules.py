"""What an operation does to the receptive field of the value it is given.

Six kinds are told apart; an operation of none of them is refused by name.

    window       convolution, pool           the recursion of receptive_field_theory.py
    pointwise    ReLU, +, dropout, ...       the field stays; of several inputs the union
    shape        permute, slice, pad, ...    moves the axes, shifts or thins out the units
    along        softmax, linear, mean       mixes one axis: pointwise unless that is a spatial one
    global       global pool, flatten        what follows sees the whole picture (None)
    constant     size, shape, rand_like      depends on no pixel

Which functions are pointwise is not listed here: torch marks its own (`torch.Tag.pointwise`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from chapter_04_cnn_classic.layers import OURS
from chapter_04_cnn_classic.receptive_field_moves import (
    SHAPE_RULES,
    Unknown,
    along,
    flatten,
    keep,
    pad,
    unflatten,
    union,
    unsqueeze,
    window,
)
from utils.errors import UserError

if TYPE_CHECKING:
    from chapter_04_cnn_classic.receptive_field_theory import Axis, Field

TWINS = {ours: theirs for theirs, ours in OURS.items()}  # the course's layers count as torch's

# --- the kinds ---

WINDOWS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d)
POINTWISE_LAYERS = (
    *(nn.Identity, nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm, nn.Softmax2d),
    *(nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout),
    *(nn.LocalResponseNorm, nn.ChannelShuffle),  # these two mix channels
)
POINTWISE = {  # what torch does not mark, as it is made of other functions or changes a type only
    *("hardswish", "prelu", "softsign", "tanhshrink", "logsigmoid", "batch_norm", "floor_divide"),
    *("dropout", "dropout1d", "dropout2d", "alpha_dropout", "feature_alpha_dropout"),
    *("stochastic_depth", "local_response_norm", "channel_shuffle"),
    *("detach", "to", "float", "half", "double", "bfloat16", "type", "type_as", "contiguous"),
}
ALONG_LAYERS = (nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.GLU)  # the axis is their `dim`
ALONG = {"softmax": None, "log_softmax": None, "glu": -1}  # with the axis they take by default
REDUCTIONS = {"mean", "sum", "amax", "amin", "max", "min", "var", "std", "logsumexp"}
GLOBAL_LAYERS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.GroupNorm, nn.InstanceNorm2d)
GLOBAL = {"adaptive_avg_pool2d", "adaptive_max_pool2d", "group_norm", "instance_norm"}
CONSTANT = {
    *("size", "dim", "numel", "stride", "zeros_like", "ones_like", "empty_like", "rand_like"),
    *("new_tensor", "new_zeros", "new_ones", "new_empty", "new_full", "randn_like", "is_floating_"),
}
CONSTANT_ATTRIBUTES = {"shape", "ndim", "device", "dtype", "training"}
PIECES = {"chunk", "split", "tensor_split", "max", "min"}  # they give a tuple
OPERATORS = {"truediv": "div", "floordiv": "floor_divide", "mod": "remainder"}


def operation(node: fx.Node) -> str:
    """Its plain name: `torch.relu`, `x.relu_()` and `F.relu` are all "relu"."""
    if node.op == "call_method":
        return str(node.target).rstrip("_")
    name = getattr(node.target, "__name__", str(node.target)).rstrip("_")
    if getattr(node.target, "__module__", "") == "_operator":
        name = name[1:] if name in ("iadd", "isub", "imul", "itruediv", "ipow") else name
    return OPERATORS.get(name, name)


@cache
def is_pointwise(name: str) -> bool:
    """Whether torch marks one of its functions of this name as working number by number."""
    packet = getattr(torch.ops.aten, name, None)
    overloads = [] if packet is None else [getattr(packet, o) for o in packet.overloads()]
    return any(torch.Tag.pointwise in overload.tags for overload in overloads)


def is_constant(node: fx.Node) -> bool:
    """Whether a value is made from shapes and types alone."""
    if node.op == "call_function" and node.target is getattr:
        return node.args[1] in CONSTANT_ATTRIBUTES
    return node.op != "call_module" and operation(node) in CONSTANT


def after(
    node: fx.Node, graph: fx.GraphModule, fields: dict[fx.Node, Field | None]
) -> Field | None:
    """The field of an operation's output; UserError names one that has no rule."""
    inputs = [fields[arg] for arg in node.all_input_nodes if arg in fields]
    if any(field is None for field in inputs):
        return None
    try:
        if node.op == "call_module":
            module = graph.get_submodule(str(node.target))
            what = type(module).__name__
            return _after_module(inputs, module)
        what = str(node.args[1]) if node.target is getattr else operation(node)
        return _after_function(node, what, inputs, graph, fields)
    except (Unknown, TypeError, IndexError):  # the last two: arguments that no rule foresees
        raise UserError(f"the receptive field of {what} ({node.name}) is not known here") from None


def _after_module(inputs: list[Field], module: nn.Module) -> Field | None:
    kind, field = TWINS.get(type(module), type(module)), inputs[0]
    if issubclass(kind, GLOBAL_LAYERS):
        return None
    if issubclass(kind, WINDOWS) or _slides(module):
        options = [getattr(module, name, None) for name in ("kernel_size", "stride")]
        return window(
            field, *options, getattr(module, "padding", 0), getattr(module, "dilation", 1)
        )
    if issubclass(kind, (nn.Flatten, nn.Unflatten)):
        rule, names = (flatten, ("start_dim", "end_dim"))
        if issubclass(kind, nn.Unflatten):
            rule, names = (unflatten, ("dim", "unflattened_size"))
        return rule(field, *(getattr(module, name) for name in names))
    if issubclass(kind, ALONG_LAYERS):
        return along(field, [module.dim])
    if issubclass(kind, (nn.Linear, nn.LayerNorm)) or kind.__name__ == "RMSNorm":
        return along(field, range(-len(getattr(module, "normalized_shape", [0])), 0))
    if kind.__name__.endswith("Pad2d") and kind.__name__ != "CircularPad2d":
        return pad(field, module.padding)
    activation = kind.__module__ == "torch.nn.modules.activation"
    if issubclass(kind, POINTWISE_LAYERS) or (
        activation and not issubclass(kind, nn.MultiheadAttention)
    ):
        return union(inputs)
    raise Unknown


def _slides(module: nn.Module) -> bool:
    """Whether a layer of somebody else's own says that it slides a window."""
    own = not type(module).__module__.startswith("torch.nn") and type(module) not in TWINS
    return own and hasattr(module, "kernel_size") and "Transpose" not in type(module).__name__


def _after_function(
    node: fx.Node,
    name: str,
    inputs: list[Field],
    graph: fx.GraphModule,
    fields: dict[fx.Node, Field | None],
) -> Field | None:
    field = inputs[0]
    if name in GLOBAL:
        return None
    if name in WINDOW_RULES:
        return WINDOW_RULES[name](node, graph, field)
    if name in ("view", "reshape"):
        return view(node, field, fields)
    if name == "getitem" and operation(node.args[0]) in PIECES:
        return field
    if name in SHAPE_RULES:
        options = () if node.target is getattr else node.args[1:]
        return SHAPE_RULES[name](field, *options, **node.kwargs)
    if name in ("cat", "concat", "stack"):
        (dim,) = given(node, dim=0)
        joined = union(inputs)
        if name == "stack":
            return unsqueeze(joined, dim)
        return keep(joined, [dim])
    if name in REDUCTIONS and len(inputs) == 1:
        dim, keepdim = given(node, dim=None, keepdim=False)
        return along(field, dims_of(dim), keep_them=keepdim)
    if name in ALONG:
        return along(field, given(node, dim=ALONG[name]))
    if name == "linear":
        return along(field, [-1])
    if name in ("layer_norm", "rms_norm"):
        return along(field, range(-len(given(node, normalized_shape=())[0]), 0))
    if is_pointwise(name) or name in POINTWISE or name in REDUCTIONS:  # torch.max(a, b)
        return union(inputs)
    raise Unknown


def given(node: fx.Node, **defaults: Any) -> list[Any]:
    """The arguments of these names, which stand in this order after the first one."""
    values = dict(zip(defaults, node.args[1:], strict=False)) | node.kwargs
    return [values.get(name, default) for name, default in defaults.items()]


def dims_of(dim: Any) -> Sequence[int] | None:
    return [dim] if isinstance(dim, int) else dim


# --- rules that look at the graph ---


def _conv(node: fx.Node, graph: fx.GraphModule, field: Field) -> Field:
    weight, _, stride, padding, dilation = given(
        node, weight=None, bias=None, stride=1, padding=0, dilation=1
    )
    if not isinstance(weight, fx.Node) or weight.op != "get_attr":
        raise Unknown
    kernel = tuple(attrgetter(str(weight.target))(graph).shape[2:])
    return window(field, kernel, stride, padding, dilation)


def _pool(node: fx.Node, graph: fx.GraphModule, field: Field) -> Field:
    return window(field, *given(node, kernel_size=None, stride=None, padding=0, dilation=1))


def _average(node: fx.Node, graph: fx.GraphModule, field: Field) -> Field:
    return window(field, *given(node, kernel_size=None, stride=None, padding=0), 1)


def _power(node: fx.Node, graph: fx.GraphModule, field: Field) -> Field:
    _, kernel, stride = given(node, norm_type=None, kernel_size=None, stride=None)
    return window(field, kernel, stride, 0, 1)


WINDOW_RULES: dict[str, Callable] = {
    "conv2d": _conv,
    "max_pool2d": _pool,
    "avg_pool2d": _average,
    "lp_pool2d": _power,
}


def view(node: fx.Node, field: Field, fields: dict[fx.Node, Field | None]) -> Field | None:
    """Another shape of the same numbers. Known are (B, n), a flattening, and (..., H, W)."""
    sizes = node.args[1] if isinstance(node.args[1], (tuple, list)) else node.args[1:]
    if len(sizes) <= 2:
        return None
    last = (field.ndim - 2, field.ndim - 1)
    named = [_length(size, fields) for size in sizes[-2:]]
    if field.places != last or named != [("height", field.height), ("width", field.width)]:
        raise Unknown
    return unflatten(field, 0, [1] * (1 + len(sizes) - field.ndim))  # all new axes lie before


def _length(size: Any, fields: dict[fx.Node, Field | None]) -> tuple[str, Axis] | None:
    """Which axis a number taken from x.shape or x.size() is the length of."""
    if not isinstance(size, fx.Node):
        return None
    source, dim = size, None
    if operation(size) == "getitem":
        source, dim = size.args
    elif operation(size) == "size" and len(size.args) > 1:
        dim = size.args[1]
    field = fields.get(source.args[0]) if source.args else None
    if field is None or not isinstance(dim, int) or not is_constant(source):
        return None
    names = dict(zip(field.places, ("height", "width"), strict=True))
    name = names.get(dim % field.ndim)
    return name and (name, getattr(field, name))
