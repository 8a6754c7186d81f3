"""Convolutions against torch.nn: values, first and second derivatives, options, errors, meaning."""

import copy
import random

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from chapter_04_cnn_classic import conv_im2col, layers
from chapter_04_cnn_classic.conv_geometry import PADDING_MODES, conv_geometry, output_length

TOLERANCE = {
    torch.float64: {"rtol": 1e-7, "atol": 1e-10},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
}
METHODS = ("im2col", "naive", "fft")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def random_case(seed, transposed=False):
    """Constructor arguments, options, input shape: all tiny, all drawn from `seed`."""
    draw = random.Random(seed)

    def size(low, high):  # an int or a pair
        return draw.choice(
            [draw.randint(low, high), (draw.randint(low, high), draw.randint(low, high))]
        )

    groups = draw.choice([1, 1, 2, 3])
    arguments = (groups * draw.randint(1, 2), groups * draw.randint(1, 2), size(1, 3))
    options = {"groups": groups, "bias": draw.random() < 0.7, "dilation": size(1, 2)}
    options["padding"] = size(0, 2)
    if draw.random() < 0.2 and not transposed:
        options["padding"] = draw.choice(["same", "valid"])
    options["stride"] = 1 if options["padding"] == "same" else size(1, 3)
    if transposed:
        stride = options["stride"]
        smallest = stride if isinstance(stride, int) else min(stride)
        options["output_padding"] = draw.randrange(smallest)
    else:
        options["padding_mode"] = draw.choice(["zeros", *PADDING_MODES])
    batch = [draw.randint(1, 3)] if draw.random() < 0.8 else []
    return arguments, options, (*batch, arguments[0], draw.randint(5, 7), draw.randint(5, 7))


def pair_of(name, arguments, options, dtype, **ours_only):
    reference = getattr(nn, name)(*arguments, **options, dtype=dtype)
    ours = getattr(layers, name)(*arguments, **options, dtype=dtype, **ours_only)
    ours.load_state_dict(reference.state_dict(), strict=True)
    reference.load_state_dict(ours.state_dict(), strict=True)
    return ours, reference


def results(module, x, *args):
    """Output, input gradient, parameter gradients, for a fixed random weighting of the output."""
    x = x.detach().clone().requires_grad_()
    y = module(x, *args)
    weighting = torch.randn(y.shape, generator=torch.Generator().manual_seed(5)).to(y.dtype)
    return [y, *torch.autograd.grad((y * weighting).sum(), [x, *module.parameters()])]


def assert_same(ours, reference, x, *args):
    found, wanted = results(ours, x, *args), results(reference, x, *args)
    torch.testing.assert_close(found, wanted, **TOLERANCE[x.dtype])


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("seed", range(60))
def test_conv2d_over_random_options(seed, dtype):
    arguments, options, shape = random_case(seed)
    for method in METHODS:
        ours, reference = pair_of("Conv2d", arguments, options, dtype, method=method)
        assert_same(ours, reference, torch.randn(shape, dtype=dtype))


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("seed", range(100, 140))
def test_conv_transpose2d_over_random_options(seed, dtype):
    arguments, options, shape = random_case(seed, transposed=True)
    ours, reference = pair_of("ConvTranspose2d", arguments, options, dtype)
    try:
        wanted = reference(torch.randn(shape, dtype=dtype))
    except RuntimeError:  # the padding leaves nothing
        with pytest.raises(ValueError, match="padding is too large"):
            ours(torch.randn(shape, dtype=dtype))
        return
    assert wanted.ndim == len(shape)
    assert_same(ours, reference, torch.randn(shape, dtype=dtype))


@pytest.mark.parametrize("seed", range(12))
def test_seven_loops_are_the_definition(seed):
    (inputs, outputs, kernel), options, _ = random_case(seed)
    del options["padding_mode"]
    reference = nn.Conv2d(inputs, outputs, kernel, **options, dtype=torch.float64)
    x = torch.randn(2, inputs, 5, 6, dtype=torch.float64)
    del options["bias"]
    found = layers.conv2d_loops(x, reference.weight, reference.bias, **options)
    torch.testing.assert_close(found, reference(x).detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [(9, 8), (10, 8), (10, 9)])
def test_conv_transpose2d_output_size(size):
    ours, reference = pair_of("ConvTranspose2d", (2, 3, 3), {"stride": 2}, torch.float64)
    x = torch.randn(2, 2, 4, 3, dtype=torch.float64)
    if size == (10, 9):  # one more than a stride of 2 can give
        for module in (ours, reference):
            with pytest.raises(ValueError, match="from"):
                module(x, output_size=size)
    else:
        assert_same(ours, reference, x, size)
        assert_same(ours, reference, x, (2, 3, *size))
        assert_same(ours, reference, x[0], (3, *size))


@pytest.mark.parametrize("output_padding", [0, 1])
def test_conv_transpose2d_output_padding_below_the_dilation(output_padding):
    options = {"dilation": 2, "output_padding": output_padding}
    pair = pair_of("ConvTranspose2d", (2, 3, 3), options, torch.float64)
    assert_same(*pair, torch.randn(2, 2, 4, 3, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["Conv2d", "ConvTranspose2d"])
def test_first_weights_are_those_of_torch(kind):
    for groups, bias in ((1, True), (2, False)):
        made = []
        for package in (layers, nn):
            torch.manual_seed(3)
            made.append(getattr(package, kind)(4, 6, (3, 2), groups=groups, bias=bias))
        torch.testing.assert_close(made[0].state_dict(), made[1].state_dict(), rtol=0, atol=0)


# --- memory layouts, data types, empty batches ---


@pytest.mark.parametrize("method", METHODS)
def test_channels_last_and_other_strides(method):
    ours, reference = pair_of("Conv2d", (3, 4, 3), {"padding": 1}, torch.float64, method=method)
    x = torch.randn(2, 3, 6, 5, dtype=torch.float64)
    for variant in (
        x.to(memory_format=torch.channels_last),
        torch.randn(2, 3, 5, 6, dtype=torch.float64).transpose(2, 3),
        torch.randn(4, 6, 12, 5, dtype=torch.float64)[::2, ::2, ::2],
        x[:1].expand(2, 3, 6, 5),
    ):
        torch.testing.assert_close(ours(variant), reference(variant), **TOLERANCE[x.dtype])
        upstream = torch.randn(2, 4, *variant.shape[2:], dtype=torch.float64)
        for strange in (upstream, torch.ones(1, dtype=torch.float64).expand_as(upstream)):
            gradients = []
            for module in (ours, reference):
                leaf = variant.detach().requires_grad_()
                gradients.append(torch.autograd.grad(module(leaf), leaf, strange)[0])
            torch.testing.assert_close(*gradients, **TOLERANCE[x.dtype])


def test_im2col_keeps_channels_last():
    x = torch.randn(2, 3, 6, 5).to(memory_format=torch.channels_last)
    assert layers.Conv2d(3, 4, 3)(x).is_contiguous(memory_format=torch.channels_last)
    assert layers.Conv2d(3, 4, 3)(x.contiguous()).is_contiguous()


@pytest.mark.parametrize("method", METHODS)
def test_empty_batch(method):
    ours, reference = pair_of("Conv2d", (2, 3, 3), {}, torch.float32, method=method)
    assert_same(ours, reference, torch.randn(0, 2, 5, 5))
    assert_same(*pair_of("ConvTranspose2d", (2, 3, 3), {}, torch.float32), torch.randn(0, 2, 5, 5))


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16(method):
    ours, reference = pair_of("Conv2d", (3, 4, 3), {"padding": 1}, torch.bfloat16, method=method)
    exact = copy.deepcopy(reference).double()
    x = torch.randn(2, 3, 6, 5).bfloat16()
    found, wanted = results(ours, x), results(exact, x.double())
    assert all(f.dtype == torch.bfloat16 for f in found)
    for f, w in zip(found, wanted, strict=True):
        torch.testing.assert_close(f.double(), w, rtol=0.02, atol=0.02 * w.abs().max().item())


def test_autocast_gives_the_type_that_torch_gives():
    ours, reference = pair_of("Conv2d", (3, 4, 3), {}, torch.float32)
    x = torch.randn(2, 3, 6, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, wanted = ours(x), reference(x)
    assert found.dtype == wanted.dtype == torch.bfloat16
    found.sum().backward()
    assert ours.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("name", ["conv2d_fft", "conv2d_naive", "conv2d_im2col", "conv2d_loops"])
@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64])
def test_convolutions_of_integers_are_exact(name, dtype):
    x, w = torch.randint(-9, 10, (2, 4, 7, 6)), torch.randint(-9, 10, (6, 2, 3, 2))
    bias, options = torch.randint(-9, 10, (6,)), {"padding": 1, "dilation": (1, 2), "groups": 2}
    y = getattr(layers, name)(x.to(dtype), w.to(dtype), bias.to(dtype), **options)
    expected = F.conv2d(x.double(), w.double(), bias.double(), **options)
    assert torch.equal(y.double(), expected) and y.dtype == dtype


@pytest.mark.parametrize("name", ["conv2d_fft", "conv2d_naive", "conv2d_loops"])
def test_convolutions_want_one_type(name):
    x, w, b = torch.randint(0, 9, (1, 1, 4, 4)), torch.randn(1, 1, 2, 2), torch.randn(1)
    for arguments in ((x, w), (x.double(), w), (x.float(), w, b.double()), (x > 4, w > 0)):
        for convolution in (getattr(layers, name), F.conv2d):
            with pytest.raises((RuntimeError, NotImplementedError)):
                convolution(*arguments)


def test_slices_of_the_batch_change_nothing(monkeypatch):
    ours, reference = pair_of("Conv2d", (3, 4, 3), {"groups": 1}, torch.float64)
    x = torch.randn(5, 3, 6, 5, dtype=torch.float64)
    one_example = 3 * 9 * 4 * 3 * 8  # bytes of its columns
    for budget in (1, 2 * one_example):
        monkeypatch.setattr(conv_im2col, "CACHE_BYTES", budget)
        assert_same(ours, reference, x)


# --- derivatives ---


def double(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


OPTIONS = [
    {},
    {"stride": 2, "padding": 1},
    {"padding": (1, 0), "dilation": (1, 2)},
    {"padding": "same"},
]


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_by_hand_first_and_second_derivatives(options, check):
    inputs = double(2, 2, 4, 5), double(2, 1, 2, 2), double(2)
    assert check(lambda x, w, b: layers.conv2d_im2col(x, w, b, groups=2, **options), inputs)


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_transposed_first_and_second_derivatives(check):
    inputs = double(1, 2, 2, 3), double(2, 1, 2, 2), double(2)
    assert check(
        lambda g, w, b: layers.conv_transpose2d(g, w, b, stride=2, padding=1, groups=2), inputs
    )


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_weight_gradient_first_and_second_derivatives(check):
    geometry = conv_geometry((4, 3), (2, 2), padding=1, stride=2)
    inputs = double(2, 1, 4, 3), double(2, 2, *geometry.output_size)
    assert check(lambda x, g: conv_im2col.WeightFunction.apply(x, g, geometry), inputs)


def test_gradients_that_nobody_wants_are_not_computed(monkeypatch):
    x, w = torch.randn(1, 2, 4, 4), torch.randn(3, 2, 2, 2, requires_grad=True)
    monkeypatch.setattr(conv_im2col, "images_of", None)  # only the input gradient needs it
    layers.conv2d_im2col(x, w).sum().backward()
    assert w.grad is not None and x.grad is None


def test_nothing_but_input_and_weight_is_kept_for_the_backward_pass():
    x, w = torch.randn(4, 3, 8, 8, requires_grad=True), torch.randn(5, 3, 3, 3, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape), lambda t: t):
        layers.conv2d_im2col(x, w)
    assert kept == [x.shape, w.shape]


def test_columns_are_never_held_for_more_than_a_slice(monkeypatch):
    widths = []
    original = conv_im2col.columns_of

    def spy(x, geometry):
        columns = original(x, geometry)
        widths.append(columns.numel() * columns.element_size())
        return columns

    monkeypatch.setattr(conv_im2col, "columns_of", spy)
    monkeypatch.setattr(conv_im2col, "CACHE_BYTES", 10_000 // torch.get_num_threads())
    layers.conv2d_im2col(torch.randn(8, 3, 8, 8), torch.randn(5, 3, 3, 3))
    assert len(widths) > 1 and max(widths) <= 10_000


# --- im2col and col2im ---

UNFOLD = [
    {},
    {"stride": 2, "padding": 1},
    {"padding": (1, 2), "dilation": (2, 1), "stride": (1, 3)},
]


@pytest.mark.parametrize("options", UNFOLD, ids=str)
def test_im2col_and_col2im_are_unfold_and_fold(options):
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    columns = layers.im2col(x, (3, 2), **options)
    torch.testing.assert_close(columns, F.unfold(x, (3, 2), **options), rtol=0, atol=0)
    random_columns = torch.randn_like(columns)
    found = layers.col2im(random_columns, (6, 7), (3, 2), **options)
    wanted = F.fold(random_columns, (6, 7), (3, 2), **options)
    torch.testing.assert_close(found, wanted, **TOLERANCE[x.dtype])
    # adjoint: <im2col(x), c> = <x, col2im(c)>
    torch.testing.assert_close((columns * random_columns).sum(), (x * found).sum())


def test_im2col_and_col2im_derivatives():
    assert gradcheck(lambda x: layers.im2col(x, 2, padding=1), double(1, 2, 3, 3))
    assert gradcheck(lambda c: layers.col2im(c, (3, 3), 2, padding=1), double(1, 8, 16))
    with pytest.raises(ValueError, match="16"):
        layers.col2im(torch.randn(1, 8, 15), (3, 3), 2, padding=1)


# --- what the layers are for ---


def test_transposed_convolution_is_the_adjoint():
    """<conv(x, w), g> = <x, T(g, w)> for all x and g, and T is what backward computes."""
    x, w = double(2, 3, 7, 6), double(4, 3, 3, 3)
    y = layers.conv2d_im2col(x, w, stride=2, padding=1)
    g = torch.randn_like(y)
    back = layers.conv_transpose2d(g, w, stride=2, padding=1, output_padding=(0, 1))
    torch.testing.assert_close((y * g).sum(), (x * back).sum())
    torch.testing.assert_close(torch.autograd.grad(y, x, g)[0], back.detach())


def test_stride_one_input_gradient_is_a_convolution_with_the_turned_kernel():
    x, w = double(1, 2, 6, 6), double(3, 2, 3, 3)
    y = layers.conv2d_im2col(x, w)
    g = torch.randn_like(y)
    turned = w.flip(2, 3).transpose(0, 1)  # (O, C, kh, kw) -> (C, O, kh, kw)
    wanted = layers.conv2d_im2col(g, turned, padding=2)
    torch.testing.assert_close(torch.autograd.grad(y, x, g)[0], wanted.detach())


def test_the_example_worked_by_hand():
    x = torch.tensor([[1.0, 2, 0], [0, 1, 3], [2, 1, 1]])[None, None].requires_grad_()
    w = torch.tensor([[1.0, -1], [2, 0]])[None, None].requires_grad_()
    g = torch.tensor([[1.0, 0], [-1, 2]])[None, None]
    y = layers.conv2d_im2col(x, w)
    dx, dw = torch.autograd.grad(y, [x, w], g)
    assert y.tolist() == [[[[-1, 4], [3, 0]]]]
    assert dw.tolist() == [[[[3, 7], [0, 2]]]]
    assert dx.tolist() == [[[[1, -1, 0], [1, 3, -2], [-2, 4, 0]]]]


@pytest.mark.filterwarnings("ignore:dropout2d. Received a 3D input")
def test_dropout2d_is_torchs():
    for shape in [(4, 6, 3, 2), (5, 4, 3)]:
        x, found = torch.randn(shape), []
        for package in (layers, nn):
            torch.manual_seed(1)
            found.append(package.Dropout2d(0.4)(x))
        torch.testing.assert_close(*found)
    layer = layers.Dropout2d(0.5)
    y = layer(torch.ones(50, 40, 3, 3))
    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(y.amax((2, 3)), y.amin((2, 3))), "whole channels"
    assert y[:, :, 0, 0].mean().item() == pytest.approx(1, abs=0.1)
    x = torch.ones(2, 3, 4, 4)
    assert layer.eval()(x) is x
    assert layers.Dropout2d(1.0)(x).abs().max() == 0
    assert layers.Dropout2d(0.5, inplace=True)(x) is x


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        shared = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding="same", padding_mode="reflect"),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            shared,
            nn.MaxPool2d(2, ceil_mode=True),
            shared,
            nn.AvgPool2d(2, padding=1, count_include_pad=False),
            nn.Dropout2d(0.5),
            nn.ConvTranspose2d(8, 4, 2, stride=2, groups=2),
            nn.LPPool2d(2, 2),
            nn.AdaptiveAvgPool2d((3, 2)),
            nn.AdaptiveMaxPool2d(2),
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(16, 5))

    def forward(self, x):
        return self.head(self.features(x))


def test_use_course_layers():
    reference = Tiny().double()
    state = torch.random.get_rng_state()
    ours = copy.deepcopy(reference)
    before = list(ours.parameters())
    assert layers.use_course_layers(ours) is ours
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(a is b for a, b in zip(before, ours.parameters(), strict=True))
    assert list(ours.state_dict()) == list(reference.state_dict())
    assert ours.features[3] is ours.features[5]
    leaves = [m for m in ours.modules() if not m._modules]
    assert {type(m).__module__.split(".")[0] for m in leaves} == {
        "chapter_02_nn_basics_mlp",
        "chapter_03_optimization_regularization",
        "chapter_04_cnn_classic",
    }
    x = torch.randn(3, 3, 9, 11, dtype=torch.float64)
    for train in (True, False):
        found = []
        for model in (ours, reference):
            torch.manual_seed(7)
            found.append(results(model.train(train), x))
        torch.testing.assert_close(*found, **TOLERANCE[torch.float64])
    torch.testing.assert_close(ours.state_dict(), reference.state_dict())
    assert isinstance(layers.use_course_layers(nn.Conv2d(1, 1, 1).eval()), layers.Conv2d)


@pytest.mark.parametrize("train", [True, False])
def test_the_layers_work_on_the_meta_device(train):
    """Shapes only: nothing is computed, and autocast knows no such device."""
    with torch.device("meta"):
        model = layers.use_course_layers(Tiny()).train(train)
    reference = Tiny().train(train)
    x = torch.empty(2, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):  # of another device
        y = model(x.to("meta"))
    assert y.is_meta and y.shape == reference(x).shape
    y.sum().backward()
    assert all(p.grad.is_meta for p in model.parameters() if p.grad is not None)
    for options in ({"method": "naive"}, {"method": "fft"}, {"padding_mode": "reflect"}):
        conv = layers.Conv2d(3, 4, 3, padding=1, device="meta", **options)
        assert conv(x.to("meta")).shape == (2, 4, 32, 32)
    enlarge = layers.ConvTranspose2d(3, 4, 3, 2, device="meta")
    assert enlarge(x.to("meta")).shape == (2, 4, 65, 65)


def test_a_whole_googlenet_gives_the_same_logits():
    reference = torchvision.models.googlenet(num_classes=10, aux_logits=False, init_weights=False)
    ours = layers.use_course_layers(copy.deepcopy(reference.double().eval()))
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), reference(x), rtol=1e-10, atol=1e-12)
    inside = {type(m) for m in ours.modules()}
    assert not inside & set(layers.OURS), "a layer of torch.nn is left"


# --- errors ---


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"groups": 2}, "groups"),
        ({"groups": 0}, "groups"),
        ({"padding": "same", "stride": 2}, "stride 1"),
        ({"padding": "some"}, "'same', 'valid'"),
        ({"padding": -1}, "padding"),
        ({"stride": 0}, "stride"),
        ({"dilation": (1, 2, 3)}, "dilation"),
        ({"padding_mode": "mirror"}, "padding_mode"),
        ({"method": "winograd"}, "method"),
    ],
    ids=str,
)
def test_constructor_errors(options, words):
    with pytest.raises(ValueError, match=words):
        layers.Conv2d(3, 4, 3, **options)


@pytest.mark.parametrize("method", METHODS)
def test_input_errors(method):
    layer = layers.Conv2d(3, 4, 3, method=method)
    for shape, words in [((2, 4, 5, 5), "3, H, W"), ((5, 5), "3, H, W"), ((2, 3, 2, 5), "padded")]:
        with pytest.raises(ValueError, match=words):
            layer(torch.randn(shape))
    with pytest.raises(ValueError, match="groups"):
        layers.conv2d_im2col(torch.randn(1, 4, 5, 5), torch.randn(3, 2, 3, 3), groups=2)
    with pytest.raises(ValueError, match="too large"):
        layers.Conv2d(3, 4, 3, padding=5, padding_mode="reflect")(torch.randn(2, 3, 5, 5))
    with pytest.raises(ValueError, match="zeros"):
        layers.ConvTranspose2d(3, 4, 3, padding_mode="circular")
    with pytest.raises(ValueError, match="output_padding"):
        layers.ConvTranspose2d(3, 4, 3, output_padding=1)(torch.randn(1, 3, 4, 4))


@pytest.mark.parametrize("integer", [np.int64, np.int32])
def test_numpy_integers_as_sizes(integer):
    one, two, three = map(integer, (1, 2, 3))
    x = torch.randn(2, 4, 7, 7)
    for name, args, options in [
        ("Conv2d", (integer(4), two, three), {"stride": two, "padding": one, "groups": two}),
        ("Conv2d", (4, 2, np.array([3, 2], integer)), {"padding": "same", "dilation": two}),
        ("Conv2d", (4, 2, three), {"padding": two, "padding_mode": "reflect"}),
        ("ConvTranspose2d", (4, 2, three, two, one, one), {"groups": two, "dilation": one}),
        ("MaxPool2d", (two,), {"return_indices": True}),
        ("MaxPool2d", (three, two, one, one), {"ceil_mode": True}),
        ("AvgPool2d", ((three, 2), two, one), {}),
        ("LPPool2d", (1, two), {}),
        ("AdaptiveAvgPool2d", ((two, None),), {}),
        ("AdaptiveMaxPool2d", ((two, 3),), {}),
    ]:
        mine, reference = (getattr(package, name)(*args, **options) for package in (layers, nn))
        if mine.state_dict():
            mine.load_state_dict(reference.state_dict())
        torch.testing.assert_close(mine(x), reference(x), rtol=1e-4, atol=1e-5)
    assert layers.AdaptiveAvgPool2d(two)(x).shape == (2, 4, 2, 2)
    columns = layers.im2col(x, three, one, one, two)
    torch.testing.assert_close(columns, F.unfold(x, 3, 1, 1, 2))
    for size in ((integer(7), integer(7)), integer(7), 7):
        torch.testing.assert_close(
            layers.col2im(columns, size, 3, 1, 1, 2), F.fold(columns, 7, 3, 1, 1, 2)
        )
    weight = torch.randn(4, 2, 3, 3)
    for convolution in (layers.conv2d_im2col, layers.conv2d_naive, layers.conv2d_fft):
        y = convolution(x, weight, None, two, one, one, two)
        torch.testing.assert_close(y, F.conv2d(x, weight, None, 2, 1, 1, 2), rtol=1e-4, atol=1e-5)


def test_output_length_by_counting():
    """The formula against placing the kernel at 0, s, 2s, ... until it no longer fits."""
    for seed in range(200):
        draw = random.Random(seed)
        size, kernel, stride, dilation = (draw.randint(1, n) for n in (12, 4, 4, 3))
        padding = draw.randint(0, 3), draw.randint(0, 3)
        starts = range(-padding[0], size + padding[1], stride)
        fits = [s for s in starts if s + dilation * (kernel - 1) < size + padding[1]]
        if fits:
            assert output_length(size, kernel, stride, padding, dilation) == len(fits)
        else:
            with pytest.raises(ValueError, match="covers"):
                output_length(size, kernel, stride, padding, dilation)
