"""What a model costs: output shape, parameters, multiplications and memory, layer by layer.

    print(summary(model, (1, 1, 28, 28), verbose=False))        # one input, with the batch size
    summary(model, [(8, 16), (8, 16)])                          # two inputs
    summary(model, input_data={"ids": ids, "mask": mask})       # keyword arguments

The model is run once, forward, in evaluation mode, and left as it was. Columns:

- MACs: multiply-accumulates (2 FLOPs each) of matrix products, convolutions and attention, counted
  by `torch.utils.flop_counter` while the model runs. Element-wise work and normalisation count 0.
- Fwd+bwd memory: what a training step needs for the layer: the tensors that autograd saves for the
  backward pass (measured, each storage once) and the gradients of the outputs of innermost layers.
  An estimate from above (autograd frees gradients on the way), but for dropout, which is off here.

A row includes the layers inside it. A module used twice has one row; its MACs are of both calls.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from utils.file_io_util import human_bytes
from utils.modes import evaluating


@dataclass
class Layer:
    """One module: name in the model, class, output shapes of its last call, sums over its calls."""

    name: str
    kind: str
    depth: int
    parameters: int
    output_shapes: list[tuple[int, ...]]
    macs: int = 0
    saved_bytes: int = 0  # kept by autograd for the backward pass
    output_gradient_bytes: int = 0
    calls: int = 0

    @property
    def memory(self) -> int:
        return self.saved_bytes + self.output_gradient_bytes


@dataclass
class ModelSummary:
    """The layers in order (the first is the model itself) and the totals; sizes in bytes."""

    layers: list[Layer]
    parameters: int
    trainable: int
    parameter_bytes: int
    gradient_bytes: int
    buffer_bytes: int
    input_bytes: int
    max_depth: int = 3

    @property
    def macs(self) -> int:
        return self.layers[0].macs

    @property
    def saved_bytes(self) -> int:
        return self.layers[0].saved_bytes

    @property
    def activation_bytes(self) -> int:
        return self.layers[0].memory

    def __str__(self) -> str:
        head = ("Layer", "Output shape", "Parameters", "MACs", "Fwd+bwd memory")
        rows = [head, *(_row(layer) for layer in self.layers if layer.depth <= self.max_depth)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = [_align(row, widths) for row in rows]
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:], rule, *self._totals()])

    def _totals(self) -> list[str]:
        fixed = self.parameter_bytes + self.gradient_bytes + self.buffer_bytes
        return [
            f"Parameters: {self.parameters:,} ({self.trainable:,} trainable)",
            f"MACs: {self.macs:,}",
            f"Parameters, their gradients and buffers: {human_bytes(fixed)}",
            f"Input: {human_bytes(self.input_bytes)}",
            f"Forward activations kept for backward: {human_bytes(self.saved_bytes)}",
            f"Forward + backward activations: {human_bytes(self.activation_bytes)}",
        ]


@torch.inference_mode(False)  # else a caller in inference mode would find nothing saved
def summary(
    model: nn.Module,
    input_size: Sequence | None = None,
    *,
    input_data: Any = None,
    dtypes: Sequence[torch.dtype] | None = None,
    device: torch.device | str | None = None,
    depth: int = 3,
    verbose: bool = True,
) -> ModelSummary:
    """Run `model` once and count. `verbose` prints the table, `depth` limits the rows shown.

    Give `input_size` (a shape, or a list of shapes, with batch size; float32 ones unless `dtypes`
    says otherwise, integers are zeros) or `input_data` (a tensor, a tuple of arguments or a dict of
    keyword arguments). `device`: where inputs are made (default: where the model is, also "meta").
    """
    if (input_size is None) == (input_data is None):
        raise ValueError("give either input_size or input_data")
    if input_data is None:
        input_data = _make_inputs(model, input_size, dtypes, device)
    layers = _layers(model)
    args, kwargs = _arguments(input_data)
    with _untouched(model), _unfused(), _Counter(model, layers):
        model(*args, **kwargs)
    result = _totals(model, list(layers.values()), _tensors(input_data), depth)
    if verbose:
        print(result)
    return result


def _make_inputs(model, input_size, dtypes, device) -> tuple[Tensor, ...]:
    shapes = [input_size] if all(isinstance(n, Integral) for n in input_size) else list(input_size)
    dtypes = [torch.float32] * len(shapes) if dtypes is None else list(dtypes)
    if len(dtypes) != len(shapes):
        raise ValueError(f"{len(shapes)} inputs but {len(dtypes)} dtypes")
    if device is None:
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
    # Index 0 exists in every embedding. No random numbers: a summary must not move the seed.
    make = [torch.ones if dtype.is_floating_point else torch.zeros for dtype in dtypes]
    triples = zip(make, shapes, dtypes, strict=True)
    return tuple(f(tuple(shape), dtype=dtype, device=device) for f, shape, dtype in triples)


def _arguments(data: Any) -> tuple[Sequence, dict]:
    if isinstance(data, dict):
        return (), data
    return (data, {}) if isinstance(data, (tuple, list)) else ((data,), {})


def _layers(model: nn.Module) -> dict[nn.Module, Layer]:
    layers = {}
    for name, module in model.named_modules():  # each module once, even if it is shared
        level = name.count(".") + 1 if name else 0
        parameters = parameter_count(module)
        layers[module] = Layer(name, type(module).__name__, level, parameters, [])
    return layers


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; after it each module's own mode, buffers and the random state."""
    buffers = [
        (module, name, buffer, buffer._version, buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    try:
        with evaluating(model), torch.random.fork_rng(devices=devices), torch.enable_grad():
            yield
    finally:
        for module, name, buffer, version, value in buffers:
            module._buffers[name] = buffer
            if buffer._version != version:
                buffer.detach().copy_(value)


@contextmanager
def _unfused() -> Iterator[None]:
    """Without the kernels that do a whole LSTM or encoder layer in one call: they would count 0."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some builds warn about TF32 on other devices here
            with (
                torch.backends.mkldnn.flags(enabled=False),
                torch.backends.cudnn.flags(enabled=False),
            ):
                yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def _product_flops(*shapes, out_shape=None, **kwargs) -> int:
    """The last two are multiplied: (n), (m, n) or (B, m, n) with (n), (n, p) or (B, n, p)."""
    first, second = shapes[-2:]
    return 2 * math.prod(first) * (second[-1] if len(second) > 1 else 1)


def _bilinear_flops(x, weight, y, *expanded, out_shape=None, **kwargs) -> int:
    """x_bi W_kij y_bj summed over i, j; `expanded`: the dimensions of (b, k, i, j) each lacks."""
    shapes = []
    for shape, dims in zip((x, weight, y), expanded, strict=False):
        full = list(shape)
        for dim in sorted(dims):
            full.insert(dim, 1)
        shapes.append(full)
    return 2 * math.prod(torch.broadcast_shapes(*shapes))


def _attention_flops(query, key, value, *args, out_shape=None, **kwargs) -> int:
    """q k^T and its product with v; the arguments are shapes, (B, h, T, D) and (B, h, S, D)."""
    batch, heads, queries, width = query
    return 2 * batch * heads * queries * key[-2] * (width + value[-1])


# What FlopCounterMode leaves at 0. Attention on the CPU: early torch versions alone.
_aten = torch.ops.aten
_PRODUCTS = ("dot", "vdot", "mv", "addmv", "addmv_", "addbmm", "addbmm_", "addmm_", "baddbmm_")
_MORE_FLOPS = {getattr(_aten, name): _product_flops for name in _PRODUCTS} | {
    _aten._trilinear: _bilinear_flops,
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
}


class _Counter:
    """Hooks on each layer that add to it what happens between its beginning and its end."""

    def __init__(self, model: nn.Module, layers: dict[nn.Module, Layer]) -> None:
        self.layers = layers
        self.fixed = {_storage(t) for t in [*model.parameters(), *model.buffers()]}
        self.saved: dict[int, Tensor] = {}  # by storage; the tensor keeps the number from reuse
        self.saved_bytes = self.gradient_bytes = self.calls = 0
        self.open_calls: list[tuple[int, int, int, int]] = []
        self.flops = FlopCounterMode(display=False, custom_mapping=_MORE_FLOPS)

    def __enter__(self) -> None:
        self.stack = ExitStack()
        for module in self.layers:
            for hook in (
                module.register_forward_pre_hook(self._begin),
                module.register_forward_hook(self._end),
            ):
                self.stack.callback(hook.remove)
        self.stack.enter_context(saved_tensors_hooks(self._save, lambda tensor: tensor))
        self.stack.enter_context(self.flops)

    def __exit__(self, *exception: object) -> None:
        self.stack.close()

    def _save(self, tensor: Tensor) -> Tensor:
        key = _storage(tensor)
        if key not in self.fixed and key not in self.saved:
            self.saved[key] = tensor
            self.saved_bytes += tensor.untyped_storage().nbytes()
        return tensor

    def _now(self) -> tuple[int, int, int, int]:
        return self.flops.get_total_flops(), self.saved_bytes, self.gradient_bytes, self.calls

    def _begin(self, module: nn.Module, inputs: Any) -> None:
        self.calls += 1
        self.open_calls.append(self._now())

    def _end(self, module: nn.Module, inputs: Any, output: Any) -> None:
        flops, saved_bytes, gradient_bytes, calls = self.open_calls.pop()
        tensors = _tensors(output)
        if self.calls == calls:  # an innermost layer: no other was called inside
            self.gradient_bytes += sum(_bytes(t) for t in tensors if t.requires_grad)
        layer = self.layers[module]
        layer.calls += 1
        layer.output_shapes = [tuple(t.shape) for t in tensors]
        layer.macs += (self.flops.get_total_flops() - flops) // 2
        layer.saved_bytes += self.saved_bytes - saved_bytes
        layer.output_gradient_bytes += self.gradient_bytes - gradient_bytes


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata  # not data_ptr(): that is 0 for every meta tensor


def parameter_count(model: nn.Module, trainable: bool = False) -> int:
    """How many numbers the parameters hold; `trainable`: only those that training changes."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _tensors(value: Any) -> list[Tensor]:
    """All tensors in a nest of tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for item in value for t in _tensors(item)] if isinstance(value, (tuple, list)) else []


def _totals(model, layers: list[Layer], inputs: list[Tensor], depth: int) -> ModelSummary:
    trainable = [p for p in model.parameters() if p.requires_grad]
    return ModelSummary(
        layers=layers,
        parameters=parameter_count(model),
        trainable=parameter_count(model, trainable=True),
        parameter_bytes=sum(map(_bytes, model.parameters())),
        gradient_bytes=sum(map(_bytes, trainable)),
        buffer_bytes=sum(map(_bytes, model.buffers())),
        input_bytes=sum(map(_bytes, inputs)),
        max_depth=depth,
    )


def _row(layer: Layer) -> tuple[str, ...]:
    own_name = layer.name.rpartition(".")[2]
    label = "  " * layer.depth + (f"{own_name}: {layer.kind}" if own_name else layer.kind)
    label += f" (x{layer.calls})" if layer.calls > 1 else ""
    shapes = ", ".join(str(list(shape)) for shape in layer.output_shapes[:2])
    shapes += f" +{len(layer.output_shapes) - 2} more" if len(layer.output_shapes) > 2 else ""
    if not layer.calls:
        return label, "(not called)", f"{layer.parameters:,}", "-", "-"
    return label, shapes, f"{layer.parameters:,}", f"{layer.macs:,}", human_bytes(layer.memory)


def _align(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [text.ljust(width) for text, width in zip(row[:2], widths[:2], strict=True)]
    cells += [text.rjust(width) for text, width in zip(row[2:], widths[2:], strict=True)]
    return "  ".join(cells)
