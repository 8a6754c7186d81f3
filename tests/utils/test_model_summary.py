"""Counts against hand-computed ones; the model is left as it was."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chapter_04_cnn_classic import layers as course_layers
from utils.model_summary import summary


def count(model, *args, **kwargs):
    return summary(model, *args, verbose=False, **kwargs)


def layer(result, name):
    return next(layer for layer in result.layers if layer.name == name)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 5), (7, 5), (2, 3, 5)])
def test_linear(shape, bias):
    result = count(nn.Linear(5, 4, bias=bias), shape)
    rows = torch.Size(shape[:-1]).numel()
    assert result.macs == rows * 5 * 4
    assert result.parameters == result.trainable == 5 * 4 + 4 * bias
    assert result.layers[0].output_shapes == [(*shape[:-1], 4)]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(1, 1, 0), (3, 1, 1), (5, 2, 2)])
def test_conv2d(kernel, stride, padding, groups):
    conv = nn.Conv2d(4, 6, kernel, stride, padding, groups=groups)
    result = count(conv, (2, 4, 9, 11))
    _, _, height, width = result.layers[0].output_shapes[0]
    assert (height, width) == ((9 - 1) // stride + 1, (11 - 1) // stride + 1)
    assert result.macs == 2 * 6 * height * width * kernel * kernel * 4 // groups


class Call(nn.Module):
    """A function as a model."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def einsum(equation):
    return lambda *inputs: torch.einsum(equation, *inputs)


def in_place(name):
    return lambda start, *inputs: getattr(start.clone(), name)(*inputs)


ATTENTION = F.scaled_dot_product_attention
# (name, function, shapes of its inputs, multiply-accumulates by hand)
FUNCTIONS = [
    ("dot", torch.dot, [(5,), (5,)], 5),
    ("vdot", torch.vdot, [(5,), (5,)], 5),
    ("inner", torch.inner, [(2, 5), (3, 5)], 2 * 3 * 5),
    ("mv", torch.mv, [(3, 4), (4,)], 3 * 4),
    ("mm", torch.mm, [(2, 4), (4, 3)], 2 * 4 * 3),
    ("bmm", torch.bmm, [(5, 2, 4), (5, 4, 3)], 5 * 2 * 4 * 3),
    ("matmul 1 1", torch.matmul, [(4,), (4,)], 4),
    ("matmul 1 2", torch.matmul, [(4,), (4, 3)], 4 * 3),
    ("matmul 2 1", torch.matmul, [(3, 4), (4,)], 3 * 4),
    ("matmul 1 3", torch.matmul, [(4,), (5, 4, 3)], 5 * 4 * 3),
    ("matmul 3 1", torch.matmul, [(5, 2, 4), (4,)], 5 * 2 * 4),
    ("matmul 3 2", torch.matmul, [(5, 2, 4), (4, 3)], 5 * 2 * 4 * 3),
    ("matmul 2 3", torch.matmul, [(2, 4), (5, 4, 3)], 5 * 2 * 4 * 3),
    ("matmul 4 1", torch.matmul, [(6, 5, 2, 4), (4,)], 6 * 5 * 2 * 4),
    ("matmul 4 2", torch.matmul, [(6, 5, 2, 4), (4, 3)], 6 * 5 * 2 * 4 * 3),
    ("matmul 4 3", torch.matmul, [(6, 5, 2, 4), (5, 4, 3)], 6 * 5 * 2 * 4 * 3),
    ("matmul 4 4", torch.matmul, [(6, 1, 2, 4), (1, 5, 4, 3)], 6 * 5 * 2 * 4 * 3),
    ("addmv", torch.addmv, [(3,), (3, 4), (4,)], 3 * 4),
    ("addmm", torch.addmm, [(2, 3), (2, 4), (4, 3)], 2 * 4 * 3),
    ("addbmm", torch.addbmm, [(2, 3), (5, 2, 4), (5, 4, 3)], 5 * 2 * 4 * 3),
    ("baddbmm", torch.baddbmm, [(5, 2, 3), (5, 2, 4), (5, 4, 3)], 5 * 2 * 4 * 3),
    ("addmv_", in_place("addmv_"), [(3,), (3, 4), (4,)], 3 * 4),
    ("addmm_", in_place("addmm_"), [(2, 3), (2, 4), (4, 3)], 2 * 4 * 3),
    ("addbmm_", in_place("addbmm_"), [(2, 3), (5, 2, 4), (5, 4, 3)], 5 * 2 * 4 * 3),
    ("baddbmm_", in_place("baddbmm_"), [(5, 2, 3), (5, 2, 4), (5, 4, 3)], 5 * 2 * 4 * 3),
    ("einsum i,i", einsum("i,i->"), [(4,), (4,)], 4),
    ("einsum ij,j", einsum("ij,j->i"), [(3, 4), (4,)], 3 * 4),
    ("einsum bij,bjk", einsum("bij,bjk->bik"), [(5, 2, 4), (5, 4, 3)], 5 * 2 * 4 * 3),
    ("tensordot", lambda a, b: torch.tensordot(a, b, 2), [(2, 4, 3), (4, 3, 5)], 2 * 4 * 3 * 5),
    ("linear", F.linear, [(5, 2, 4), (3, 4), (3,)], 5 * 2 * 4 * 3),
    ("linear of a vector", F.linear, [(4,), (3, 4), (3,)], 4 * 3),
    ("linear to a number", F.linear, [(5, 4), (4,)], 5 * 4),
    ("bilinear", F.bilinear, [(2, 4), (2, 5), (3, 4, 5), (3,)], 2 * 3 * 4 * 5),
    ("conv1d", F.conv1d, [(2, 4, 10), (6, 4, 3)], 2 * 6 * 8 * 4 * 3),
    ("conv3d", F.conv3d, [(2, 2, 5, 5, 5), (3, 2, 3, 3, 3)], 2 * 3 * 27 * 2 * 27),
    ("conv unbatched", F.conv2d, [(4, 6, 6), (6, 4, 3, 3)], 6 * 16 * 4 * 9),
    ("depthwise", lambda x, w: F.conv2d(x, w, groups=4), [(2, 4, 6, 6), (4, 1, 3, 3)], 2 * 4 * 144),
    ("transposed 1d", F.conv_transpose1d, [(2, 4, 10), (4, 6, 3)], 2 * 4 * 10 * 6 * 3),
    ("transposed 2d", F.conv_transpose2d, [(2, 4, 5, 5), (4, 6, 3, 3)], 2 * 4 * 25 * 6 * 9),
    ("attention", ATTENTION, [(2, 3, 7, 4), (2, 3, 9, 4), (2, 3, 9, 4)], 2 * 3 * 7 * 9 * (4 + 4)),
    ("element-wise", lambda x, y: (x * y).relu().softmax(-1).sum(), [(4, 5), (5,)], 0),
]


@pytest.mark.parametrize("with_grad", [True, False])
@pytest.mark.parametrize(
    ("function", "shapes", "macs"), [case[1:] for case in FUNCTIONS], ids=[c[0] for c in FUNCTIONS]
)
def test_every_product_is_counted(function, shapes, macs, with_grad):
    inputs = [torch.randn(shape, requires_grad=with_grad) for shape in shapes]
    assert count(Call(function), input_data=inputs).macs == macs


@pytest.mark.parametrize("integer", [np.int64, np.int32])
def test_numpy_integers_in_the_input_size(integer):
    model, one, three = nn.Linear(3, 2), integer(1), integer(3)
    for size in ((one, 3), (one, three), [(one, three)], np.array([1, 3], integer)):
        result = count(model, size)
        assert result.macs == 6 and result.layers[0].output_shapes == [(1, 2)]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_bilinear_layer(device):
    result = count(nn.Bilinear(4, 5, 3, device=device), [(2, 7, 4), (2, 7, 5)])
    assert result.macs == 2 * 7 * 3 * 4 * 5


@pytest.mark.parametrize("package", [nn, course_layers], ids=["torch", "ours"])
def test_pooling_costs_no_products(package):
    for name, argument in [("AdaptiveAvgPool2d", 2), ("AvgPool2d", 2), ("MaxPool2d", 2)]:
        assert count(getattr(package, name)(argument), (2, 3, 8, 8)).macs == 0
    assert count(package.Conv2d(4, 6, 3, padding=1), (2, 4, 8, 8)).macs == 2 * 6 * 64 * 4 * 9


def test_memory_of_two_layers_by_hand():
    """Batch 8, 4 bytes. Saved: the input of each Linear. Gradients: the output of each layer."""
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 3))
    result = count(model, (8, 10))
    assert result.saved_bytes == 4 * 8 * (10 + 20)  # ReLU saves its output: the same storage
    assert result.activation_bytes == result.saved_bytes + 4 * 8 * (20 + 20 + 3)
    assert layer(result, "2").memory == 4 * 8 * 3  # its input was saved by the ReLU
    assert result.parameter_bytes == result.gradient_bytes == 4 * (10 * 20 + 20 + 20 * 3 + 3)
    assert result.input_bytes == 4 * 8 * 10


def test_frozen_parameters_need_no_gradient():
    model = nn.Sequential(nn.Linear(10, 20), nn.Linear(20, 3))
    model[0].requires_grad_(False)
    result = count(model, (8, 10))
    assert (result.parameters, result.trainable) == (283, 63)
    assert result.gradient_bytes == 4 * 63
    assert layer(result, "0").memory == 0


class Two(nn.Module):
    """Two inputs of different type, a layer used twice, and a dict with a tuple as output."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.twice = nn.Linear(4, 4)
        self.unused = nn.Linear(4, 4)

    def forward(self, ids, x):
        h = self.twice(self.twice(self.embed(ids)) + x)
        return {"h": h, "pair": (h[0], h.sum())}


DATA = (torch.zeros(2, 5, dtype=torch.long), torch.ones(2, 5, 4))


@pytest.mark.parametrize(
    "inputs",
    [
        {"input_size": [(2, 5), (2, 5, 4)], "dtypes": [torch.long, torch.float32]},
        {"input_data": DATA},
        {"input_data": {"x": DATA[1], "ids": DATA[0]}},
    ],
)
def test_many_inputs_shared_layers_nested_outputs(inputs):
    result = count(Two(), **inputs)
    assert result.macs == layer(result, "twice").macs == 2 * (2 * 5) * 4 * 4
    assert layer(result, "twice").calls == 2
    assert result.parameters == 40 + 20 + 20
    assert result.layers[0].output_shapes == [(2, 5, 4), (5, 4), ()]
    assert "(x2)" in str(result) and "(not called)" in str(result)


def test_shared_modules_and_tied_weights_count_once():
    shared = nn.Linear(4, 4)
    assert count(nn.Sequential(shared, shared), (1, 4)).parameters == 20
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    assert count(tied, (1, 4)).parameters == 24


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_recurrent_layers_are_not_zero(kind, gates):
    result = count(kind(8, 16, batch_first=True), (2, 5, 8))
    assert result.macs == 2 * 5 * gates * 16 * (8 + 16)


@pytest.mark.parametrize("frozen", [True, False])  # frozen: torch would take the fused fast path
def test_transformer_layer_with_attention(frozen):
    batch, time, width, hidden = 2, 7, 16, 32
    model = nn.TransformerEncoderLayer(width, 4, hidden, batch_first=True).requires_grad_(
        not frozen
    )
    projections = batch * time * 4 * width * width
    attention = 2 * batch * time * time * width
    feed_forward = batch * time * 2 * width * hidden
    result = count(model, (batch, time, width))
    assert result.macs == projections + attention + feed_forward


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    model.train()
    model[1].eval()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(0)
    random_state = torch.get_rng_state()
    count(model, (1, 4))
    assert [m.training for m in model.modules()] == [True, True, False, True]
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.backends.mha.get_fastpath_enabled()


def test_buffers_that_forward_changes_are_restored():
    class Cache(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("steps", torch.zeros(1))
            self.register_buffer("last", torch.zeros(1))

        def forward(self, x):
            self.steps += 1
            self.last = x
            return x

    cache = Cache()
    count(cache, (3,))
    assert cache.steps.item() == 0 and cache.last.shape == (1,)


def test_hooks_are_removed_when_the_model_fails():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(5, 5))
    with pytest.raises(RuntimeError):
        count(model, (1, 4))
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert count(nn.Linear(4, 4), (1, 4)).macs == 16  # no counting mode is left on


def test_meta_device_needs_no_memory():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(10**6, 10**5), nn.ReLU())
    result = count(model, (3, 10**6))
    assert result.macs == 3 * 10**11
    assert result.saved_bytes == 4 * 3 * (10**6 + 10**5)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_caller_may_have_gradients_off(mode):
    model = nn.Linear(4, 4)
    with mode():
        assert count(model, (2, 4)).saved_bytes == 4 * 2 * 4
        assert not torch.is_grad_enabled()


def test_depth_and_verbose(capsys):
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 3)))
    summary(model, (1, 3), depth=1)
    shown = capsys.readouterr().out
    assert "0: Sequential" in shown and "0: Linear" not in shown
    count(model, (1, 3))
    assert capsys.readouterr().out == ""


def test_wrong_use():
    with pytest.raises(ValueError, match="either"):
        count(nn.Linear(1, 1))
    with pytest.raises(ValueError, match="2 inputs but 1 dtypes"):
        count(Two(), [(1,), (1,)], dtypes=[torch.long])
