"""What the layers keep for their hand-written backward pass, and where else it must be right."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, grad, jacrev, vmap

from chapter_03_optimization_regularization import normalization as ours
from chapter_03_optimization_regularization.normalization import functions

Make = Callable[[object], nn.Module]
TORCH = tuple(map(int, torch.__version__.split(".")[:2]))

# all for an input (B, 8, 5, 6)
LAYERS: dict[str, Make] = {
    "batch": lambda library: library.BatchNorm2d(8),
    "batch, no weights": lambda library: library.BatchNorm2d(8, affine=False),
    "batch, no tracking": lambda library: library.BatchNorm2d(8, track_running_stats=False),
    "layer": lambda library: library.LayerNorm((5, 6)),
    "layer, no bias": lambda library: library.LayerNorm(6, bias=False),
    "layer, no weights": lambda library: library.LayerNorm(6, elementwise_affine=False),
    "group": lambda library: library.GroupNorm(2, 8),
    "group, no weights": lambda library: library.GroupNorm(2, 8, affine=False),
    "instance": lambda library: library.InstanceNorm2d(8, affine=True),
    "instance, tracking": lambda library: library.InstanceNorm2d(8, track_running_stats=True),
    "rms": lambda library: library.RMSNorm(6),
    "rms, no weights": lambda library: library.RMSNorm((5, 6), elementwise_affine=False),
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def pair(name: str) -> tuple[nn.Module, nn.Module]:
    """Ours and torch's, with the same random weights."""
    mine, reference = LAYERS[name](ours), LAYERS[name](nn)
    for parameter in reference.parameters():
        nn.init.normal_(parameter)
    mine.load_state_dict(reference.state_dict())
    return mine, reference


def saved_bytes(layer: nn.Module, x: Tensor) -> int:
    """Bytes of all tensors that one forward pass keeps for the backward pass, each memory once."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = layer(x)
    assert y.grad_fn is not None
    return sum(kept.values())


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda library: library.LayerNorm(256), (16, 32, 256)),
        (lambda library: library.RMSNorm(256), (16, 32, 256)),
        (lambda library: library.BatchNorm2d(32), (16, 32, 16, 16)),
        (lambda library: library.BatchNorm2d(32, affine=False), (16, 32, 16, 16)),
        (lambda library: library.GroupNorm(4, 32), (16, 32, 16, 16)),
        (lambda library: library.InstanceNorm2d(32, affine=True), (16, 32, 16, 16)),
    ],
    ids=["LayerNorm", "RMSNorm", "BatchNorm2d", "BatchNorm2d plain", "GroupNorm", "InstanceNorm2d"],
)
def test_layers_keep_no_more_than_torchs(make: Make, shape: tuple[int, ...]):
    """x, and two numbers for each S. One more tensor of x's size would be 2 times as much."""
    x = torch.randn(shape, requires_grad=True)
    wanted = saved_bytes(make(nn), x)
    assert wanted >= 4 * x.numel()
    assert saved_bytes(make(ours), x) <= 1.05 * wanted


def test_the_version_for_reading_keeps_several_tensors():
    """So the test above would see it if a layer went back to autograd's own gradient."""
    x, weight = torch.randn(16, 32, 256, requires_grad=True), torch.ones(256, requires_grad=True)
    assert saved_bytes(lambda x: functions.layer_norm(x, weight, weight), x) > 2.9 * 4 * x.numel()


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "rms_norm"])
def test_the_version_for_reading_is_the_one_that_runs(name: str):
    """Equal outputs to the last bit; the gradients add in another order, so they are only close."""
    x, g = torch.randn(64, 32, requires_grad=True), torch.randn(64, 32)
    weight = torch.randn(32, requires_grad=True)
    plain, by_hand = getattr(functions, name), getattr(functions, name + "_by_hand")
    assert torch.equal(plain(x, weight), by_hand(x, weight))
    found, wanted = (torch.autograd.grad(f(x, weight), [x, weight], g) for f in (by_hand, plain))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


# --- parity where the benchmark does not look ---


def results(layer: nn.Module, x: Tensor, upstream: Tensor) -> list[Tensor]:
    """Output and gradients; a ReLU after the layer overwrites its output, as in many networks."""
    leaf = x.detach().requires_grad_()
    y = nn.functional.relu(layer(leaf), inplace=True)
    return [y.detach(), *torch.autograd.grad(y, [leaf, *layer.parameters()], upstream)]


LAYOUTS = {
    "channels_last": lambda: torch.randn(4, 8, 5, 6).to(memory_format=torch.channels_last),
    "transposed": lambda: torch.randn(6, 4, 5, 8).permute(1, 3, 2, 0),
    "every second": lambda: torch.randn(4, 8, 10, 12)[:, :, ::2, ::2],
    "expanded": lambda: torch.randn(4, 1, 5, 6).expand(4, 8, 5, 6),
}


@pytest.mark.parametrize("upstream", ["dense", "one number", "channels_last"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", LAYERS)
def test_any_memory_layout_of_input_and_gradient(name: str, layout: str, upstream: str):
    x, g = LAYOUTS[layout](), torch.randn(4, 8, 5, 6)
    if upstream == "one number":  # as y.sum().backward() sends it: one number seen many times
        g = torch.randn(1).expand(4, 8, 5, 6)
    elif upstream == "channels_last":
        g = g.to(memory_format=torch.channels_last)
    before = x.clone(), g.clone()
    mine, reference = pair(name)
    found, wanted = results(mine, x, g), results(reference, x, g)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert torch.equal(x, before[0]) and torch.equal(g, before[1])  # what is not ours stays


@pytest.mark.parametrize("name", ["batch", "instance", "group"])
def test_channels_last_stays_channels_last(name: str):
    x = LAYOUTS["channels_last"]()
    assert pair(name)[0](x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", LAYERS)
def test_half_precision_gradients_are_those_of_double(name: str, dtype: torch.dtype):
    """Sums in float32, rounded once at the end: each number is right to the type's precision."""
    mine, _ = pair(name)
    x, g = torch.randn(4, 8, 5, 6).to(dtype), torch.randn(4, 8, 5, 6).to(dtype)
    found, wanted = results(mine, x, g), results(mine.double(), x.double(), g.double())
    assert found[0].dtype == found[1].dtype == dtype
    for a, b in zip(found, wanted, strict=True):
        rtol = 2 * torch.finfo(a.dtype).eps
        torch.testing.assert_close(a.double(), b, rtol=max(rtol, 1e-4), atol=max(rtol, 1e-4))


@pytest.mark.parametrize("name", LAYERS)
def test_autocast_gives_the_input_its_own_type_back(name: str):
    mine, _ = pair(name)
    for dtype in (torch.bfloat16, torch.float32):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            x = torch.randn(4, 8, 5, 6).to(dtype).requires_grad_()
            y = mine(x)
        y.float().sum().backward()
        assert y.dtype == x.grad.dtype == dtype


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize("name", LAYERS)
def test_derivatives_to_input_and_weights(name: str, check: Callable[..., bool]):
    layer = LAYERS[name](ours).double()
    x = torch.randn(2, 8, 5, 6, dtype=torch.float64, requires_grad=True)
    weights = dict(layer.named_parameters())

    def function(x: Tensor, *values: Tensor) -> Tensor:
        return functional_call(layer, dict(zip(weights, values, strict=True)), (x,))

    assert check(function, (x, *weights.values()), fast_mode=True)


# --- other machinery of torch ---


@pytest.mark.skipif(TORCH < (2, 6), reason="older compilers ignore mark_non_differentiable")
@pytest.mark.parametrize("name", LAYERS)
def test_compiled_in_one_graph(name: str):
    """Traced by torch.compile with the backward pass, and run without a C++ compiler."""
    mine, reference = pair(name)
    compiled = torch.compile(mine, backend="aot_eager", fullgraph=True)
    x, g = torch.randn(4, 8, 5, 6), torch.randn(4, 8, 5, 6)
    found, wanted = results(compiled, x, g), results(reference, x, g)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    buffers = dict(reference.named_buffers())
    for key, value in mine.named_buffers():
        torch.testing.assert_close(value, buffers[key])


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # vmap has no fast addcmul_
@pytest.mark.parametrize("name", ["layer", "group", "group, no weights", "instance", "rms"])
def test_per_example_gradients_and_jacobians(name: str):
    """torch.func runs the gradient many times at once; torch's own layer gives the same."""
    x = torch.randn(3, 1, 8, 5, 6)
    found = []
    for layer in pair(name):
        weights = dict(layer.named_parameters())

        def loss(weights: dict[str, Tensor], x: Tensor, layer: nn.Module = layer) -> Tensor:
            return functional_call(layer, weights, (x,)).sin().sum()

        each = vmap(grad(loss, argnums=(0, 1)), in_dims=(None, 0))(weights, x)
        found.append((vmap(layer)(x), each, jacrev(layer)(x[0])))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)
