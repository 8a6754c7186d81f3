"""MobileNets, ShuffleNetV2, DenseNet against torchvision, published counts and their formulas."""

import functools
from contextlib import ExitStack, contextmanager
from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models as torchvision_models
from torchvision.ops import Conv2dNormActivation

from chapter_05_resnet_modern_cnn.src.architectures import (
    densenet,
    mobilenet,
    mobilenet_v2,
    mobilenet_v3,
    shufflenet_v2,
)
from chapter_05_resnet_modern_cnn.src.architectures.common import halvings_to_skip
from utils.model_summary import summary

NETWORKS = {
    **mobilenet.NETWORKS,
    **mobilenet_v2.NETWORKS,
    **mobilenet_v3.NETWORKS,
    **shufflenet_v2.NETWORKS,
    **densenet.NETWORKS,
}
# Parameters and 10^9 multiply-accumulates at 224 px: `num_params` and `_ops` of torchvision 0.29's
# weights; MobileNetV1: the paper (Howard et al. 2017, table 4), which rounds.
PUBLISHED = {
    "mobilenet_v1": (4.2e6, 0.569),
    "mobilenet_v2": (3_504_872, 0.301),
    "mobilenet_v3_large": (5_483_032, 0.217),
    "mobilenet_v3_small": (2_542_856, 0.057),
    "shufflenet_v2_x0_5": (1_366_792, 0.040),
    "shufflenet_v2_x1_0": (2_278_604, 0.145),
    "shufflenet_v2_x1_5": (3_503_624, 0.296),
    "shufflenet_v2_x2_0": (7_393_996, 0.583),
    "densenet121": (7_978_856, 2.834),
    "densenet161": (28_681_000, 7.728),
    "densenet169": (14_149_480, 3.360),
    "densenet201": (20_013_928, 4.291),
}
TWINS = tuple(name for name in PUBLISHED if name != "mobilenet_v1")
SMALLEST = ("mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5", "densenet121")
LARGE_DENSENETS = ("densenet161", "densenet169", "densenet201")
FAMILIES = ("mobilenet_v1", *SMALLEST)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


INITIALISERS = ("kaiming_uniform_", "kaiming_normal_", "normal_", "uniform_", "zeros_", "ones_")


def without_memory(builder, *args, **options):
    """The network on the meta device; its first weights, slow to make there, are left out."""
    nothing = dict.fromkeys(INITIALISERS, lambda tensor, *args, **kwargs: tensor)
    with torch.device("meta"), mock.patch.multiple(nn.init, **nothing):
        return builder(*args, **options)


@functools.cache
def published(name):
    """Ours and torchvision's with 1000 classes, without memory; not to be changed."""
    theirs = None if name == "mobilenet_v1" else getattr(torchvision_models, name)
    return without_memory(NETWORKS[name]), theirs and without_memory(theirs)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@contextmanager
def convolutions_only():
    """BatchNorm and activations do nothing: they have no MACs, and are slow on the meta device."""
    with ExitStack() as stack:
        for layer in (nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.Hardswish):
            stack.enter_context(mock.patch.object(layer, "forward", lambda self, x: x))
        yield


def macs(model, size=224):
    with convolutions_only():
        return summary(model, (1, 3, size, size), verbose=False).macs


def make_visible(model):
    """Weights that keep the spread of the values, and no BatchNorm number as it is by default."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            fan_in = module.weight[0].numel()
            module.weight.data.uniform_(-1, 1).mul_((6 / fan_in) ** 0.5)
            if module.bias is not None:
                module.bias.data.uniform_(-0.5, 0.5)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            for value in (module.weight.data, module.running_var):
                value.uniform_(0.5, 1.5)
            for value in (module.bias.data, module.running_mean):
                value.uniform_(-0.2, 0.2)


def pair(ours, theirs, **options):
    """Both networks, from their builders, for 10 classes and with the same weights."""
    ours = without_memory(ours, 10, **options).to_empty(device="cpu")
    theirs = without_memory(theirs, num_classes=10, **options).to_empty(device="cpu")
    make_visible(theirs)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def logits_and_gradient(model, x):
    pixels = x.clone().requires_grad_()
    logits = model.train()(pixels)
    logits[:, 0].sum().backward()
    return logits.detach(), pixels.grad / pixels.grad.abs().max()


# --- the published networks ---


def test_every_network_is_tested():
    assert set(NETWORKS) == set(PUBLISHED)


@pytest.mark.parametrize("name", TWINS)
def test_state_dict_and_layers_are_torchvisions(name):
    ours, theirs = published(name)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    layers = dict(ours.named_modules())
    for key, layer in theirs.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.BatchNorm2d, nn.Linear)):  # shapes, eps, momentum ...
            assert layers[key].extra_repr() == layer.extra_repr(), key
    rates = [[m.p for m in net.modules() if isinstance(m, nn.Dropout)] for net in (ours, theirs)]
    assert rates[0] == rates[1]


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_equal_the_published_ones(name):
    ours, _ = published(name)
    count, giga_macs = PUBLISHED[name]
    assert parameters(ours) == pytest.approx(count, rel=0 if isinstance(count, int) else 0.01)
    assert macs(ours) / 1e9 == pytest.approx(giga_macs, abs=6e-4)


# The larger DenseNets differ from the smallest in their layers only, which are compared above.
@pytest.mark.parametrize("name", [name for name in TWINS if name not in LARGE_DENSENETS])
def test_logits_equal_torchvisions(name):
    options = {"dropout": 0.0} if name.startswith("mobilenet") else {}
    ours, theirs = pair(NETWORKS[name], getattr(torchvision_models, name), **options)
    x = torch.randn(2, 3, 64, 64)
    if name in SMALLEST:
        got, expected = logits_and_gradient(ours, x), logits_and_gradient(theirs, x)
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        for train in (name not in SMALLEST, False):  # training moves the running statistics
            got, expected = ours.train(train)(x), theirs.train(train)(x)
            assert expected.std() > 0.1
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    buffers = dict(ours.named_buffers()), dict(theirs.named_buffers())
    torch.testing.assert_close(*buffers, rtol=1e-4, atol=1e-5)


def test_densenet_options_are_torchvisions():
    sizes = {"growth_rate": 4, "block_config": (1, 3, 2, 1), "num_init_features": 8, "bn_size": 2}
    outputs = []
    x = torch.randn(2, 3, 64, 64)
    for model in pair(densenet.DenseNet, torchvision_models.DenseNet, **sizes, drop_rate=0.5):
        torch.manual_seed(1)  # the same dropout
        outputs.append(logits_and_gradient(model, x))
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)


def test_mobilenet_v1_equals_a_chain_of_torchvisions_layers():
    ours = mobilenet.MobileNetV1(10)
    make_visible(ours)
    layers, width = [Conv2dNormActivation(3, 32, stride=2)], 32
    for out, halves in mobilenet.PLAN:
        layers.append(Conv2dNormActivation(width, width, stride=1 + halves, groups=width))
        layers.append(Conv2dNormActivation(width, out, kernel_size=1))
        width = out
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
    theirs = nn.Sequential(*layers, *head)
    state = zip(theirs.state_dict(), ours.state_dict().values(), strict=True)
    theirs.load_state_dict(dict(state))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for train in (True, False):
            got, expected = ours.train(train)(x), theirs.train(train)(x)
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


# --- the small forms ---


def last_map(model):
    """A list that will hold the last map before the pool once the model has run."""
    maps = []
    layer = model.conv5 if isinstance(model, shufflenet_v2.ShuffleNetV2) else model.features
    layer.register_forward_hook(lambda module, args, out: maps.append(out))
    return maps


@pytest.mark.parametrize("size", [8, 32, 96])
@pytest.mark.parametrize("name", FAMILIES)
def test_small_form_on_one_channel(name, size):
    model = NETWORKS[name](10, channels=1, skip=halvings_to_skip(size)).train()
    maps = last_map(model)
    with torch.set_grad_enabled(size == 32):
        logits = model(torch.randn(2, 1, size, size))
    assert logits.shape == (2, 10) and logits.isfinite().all()
    assert 4 <= maps[0].shape[-1] <= 7
    if size == 32:
        logits.square().sum().backward()
        silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert not silent
        logits = model.eval()(torch.randn(1, 1, size, size))
        assert logits.shape == (1, 10) and logits.isfinite().all()


ROWS = [(15, (7, 8)), (16, (2,)), (127, (7, 8)), (128, (4,))]  # strides round up, pools down


@pytest.mark.parametrize(
    ("name", "size", "rows"),
    [(name, *row) for name in ("mobilenet_v1", "densenet121") for row in ROWS]
    + [(name, 64, (4,)) for name in FAMILIES],
)
def test_rows_of_the_last_map(name, size, rows):
    model = without_memory(NETWORKS[name], 10, 3, halvings_to_skip(size))
    maps = last_map(model)
    with convolutions_only():
        assert model(torch.empty(2, 3, size, size, device="meta")).shape == (2, 10)
    assert maps[0].shape[-1] in rows


@pytest.mark.parametrize("name", FAMILIES)
def test_small_form_keeps_names_and_shapes(name):
    small = without_memory(NETWORKS[name], skip=3)
    expected = {key: value.shape for key, value in published(name)[0].state_dict().items()}
    if name == "densenet121":
        expected["features.conv0.weight"] = (64, 3, 3, 3)
    assert {key: value.shape for key, value in small.state_dict().items()} == expected


# --- MobileNetV1 ---


def test_separable_is_a_full_convolution_with_a_kernel_of_products():
    depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)
    pointwise = nn.Conv2d(6, 5, 1, bias=False)
    product = pointwise.weight * depthwise.weight.transpose(0, 1)  # (5, 6, 1, 1) * (1, 6, 3, 3)
    x = torch.randn(2, 6, 7, 7)
    full = F.conv2d(x, product, padding=1)
    torch.testing.assert_close(pointwise(depthwise(x)), full, rtol=1e-4, atol=1e-5)


def test_separable_costs_the_published_fraction():
    separable = without_memory(mobilenet.DepthwiseSeparable, 64, 128)
    full = without_memory(mobilenet.conv_bn, 64, 128)
    shape = (1, 64, 8, 8)
    cost, full_cost = (summary(m, shape, verbose=False).macs for m in (separable, full))
    assert cost / full_cost == pytest.approx(1 / 128 + 1 / 9)


# Howard et al. 2017, tables 4, 6 and 7: options, px, 10^6 MACs, 10^6 parameters.
MOBILENET_V1_TABLES = [
    ({"separable": False}, 224, 4866, 29.3),
    ({"width_mult": 0.75}, 224, 325, 2.6),
    ({"width_mult": 0.5}, 224, 149, 1.3),
    ({"width_mult": 0.25}, 224, 41, 0.5),
    ({}, 192, 418, 4.2),
    ({}, 160, 290, 4.2),
    ({}, 128, 186, 4.2),
]


@pytest.mark.parametrize(("options", "size", "mega_macs", "millions"), MOBILENET_V1_TABLES)
def test_mobilenet_v1_tables_of_the_paper(options, size, mega_macs, millions):
    model = without_memory(mobilenet.MobileNetV1, **options)
    assert macs(model, size) / 1e6 == pytest.approx(mega_macs, rel=0.01)
    assert parameters(model) / 1e6 == pytest.approx(millions, abs=0.06)


def test_first_weights_keep_the_spread_in_depthwise_convolutions():
    model = nn.Sequential(mobilenet.DepthwiseSeparable(1024, 256), nn.Linear(256, 100))
    mobilenet.initialise(model)
    weights = (model[0].depthwise[0].weight, model[0].pointwise[0].weight, model[1].weight)
    for weight, std in zip(weights, ((2 / 9) ** 0.5, (2 / 256) ** 0.5, 0.01), strict=True):
        assert weight.std().item() == pytest.approx(std, rel=0.05)
    assert not model[1].bias.any()


# --- MobileNetV2 and V3 ---


def test_inverted_residual_passes_its_input_on():
    block = mobilenet_v2.InvertedResidual(8, 8, stride=1, expansion=6)
    x = torch.randn(2, 8, 5, 5)
    assert block(x).min() < 0 and block.conv(x).min() < 0  # linear: no ReLU at the end
    nn.init.zeros_(block.conv[-1].weight)
    assert torch.equal(block(x), x)
    assert block.conv[1][0].weight.shape == (48, 1, 3, 3)


@pytest.mark.parametrize(("out", "stride"), [(8, 2), (16, 1)])
def test_no_shortcut_where_the_shape_changes(out, stride):
    assert not mobilenet_v2.InvertedResidual(8, out, stride, expansion=6).shortcut
    shape = (8, 48, out, 3, stride)
    assert not mobilenet_v3.InvertedResidual(*shape, squeeze=True, activation=nn.ReLU).shortcut


def test_hard_swish_is_torchs_and_close_to_swish():
    x = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    torch.testing.assert_close(mobilenet_v3.hard_sigmoid(x), F.hardsigmoid(x))
    torch.testing.assert_close(mobilenet_v3.hard_swish(x), F.hardswish(x))
    distance = (mobilenet_v3.hard_swish(x) - F.silu(x)).abs()
    assert distance.max() < 0.143 and x[distance.argmax()].abs() == pytest.approx(3)


def test_squeeze_and_excitation_with_an_open_gate_is_not_there():
    block = mobilenet_v3.InvertedResidual(8, 24, 8, 5, 1, squeeze=True, activation=nn.Hardswish)
    x = torch.randn(2, 8, 6, 6)
    expand, depthwise, squeeze, project = block.block
    nn.init.zeros_(squeeze.fc2.weight)
    nn.init.constant_(squeeze.fc2.bias, 3.0)  # where the hard sigmoid reaches 1
    torch.testing.assert_close(block(x), x + project(depthwise(expand(x))))
    nn.init.constant_(squeeze.fc2.bias, -3.0)  # the gate is shut: only BatchNorm's bias is left
    torch.testing.assert_close(block(x), x)


def test_mobilenet_v3_has_two_sizes():
    with pytest.raises(ValueError, match="large, small, not 'huge'"):
        mobilenet_v3.MobileNetV3(size="huge")


@pytest.mark.parametrize(
    ("name", "width"),
    [("mobilenet_v2", 0.35), ("mobilenet_v2", 1.4), ("mobilenet_v3_small", 0.35)],
)
def test_width_is_scaled_as_in_torchvision(name, width):
    ours = without_memory(NETWORKS[name], width_mult=width)
    theirs = without_memory(getattr(torchvision_models, name), width_mult=width)
    ours.load_state_dict(theirs.state_dict(), strict=True, assign=True)


# --- ShuffleNetV2 ---


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_channel_shuffle_is_the_permutation_of_its_formula(groups):
    x = torch.randn(2, 12, 3, 3)
    shuffled = shufflenet_v2.channel_shuffle(x, groups)
    torch.testing.assert_close(shuffled, F.channel_shuffle(x, groups), rtol=0, atol=0)
    size = 12 // groups
    for i in range(groups):
        for j in range(size):
            assert torch.equal(shuffled[:, j * groups + i], x[:, i * size + j])
    back = shufflenet_v2.channel_shuffle(shuffled, size)  # a shuffle is undone by a shuffle
    assert torch.equal(back, x)


def test_half_of_the_channels_pass_a_unit_untouched():
    unit = shufflenet_v2.ShuffleUnit(8, 8, stride=1)
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(unit(x)[:, ::2], x[:, :4])
    halves = shufflenet_v2.ShuffleUnit(8, 16, stride=2)(x)
    assert halves.shape == (2, 16, 3, 3)


def test_equal_channels_move_the_least_memory():
    """The paper's first rule: H W (C1 + C2) + C1 C2 >= 2 sqrt(H W MACs) + MACs / (H W)."""
    pixels, product = 28 * 28, 64 * 64
    cost = {c: pixels * (c + product // c) + product for c in (16, 32, 64, 128, 256)}
    least = 2 * (pixels * pixels * product) ** 0.5 + product
    assert min(cost, key=cost.get) == 64 and cost[64] == pytest.approx(least)


# --- DenseNet ---


def test_dense_block_keeps_every_earlier_map():
    block = densenet.DenseBlock(3, in_channels=5, growth_rate=4, bn_size=2, drop_rate=0.0)
    x = torch.randn(2, 5, 6, 6)
    out = block(x)
    assert out.shape == (2, 5 + 3 * 4, 6, 6) and torch.equal(out[:, :5], x)
    first = block["denselayer1"].eval()([x])
    second = block["denselayer2"].eval()([x, first])
    block.eval()
    torch.testing.assert_close(block(x)[:, 5:13], torch.cat([first, second], dim=1))


def test_dense_layer_drops_only_while_training():
    layer = densenet.DenseLayer(3, growth_rate=8, drop_rate=0.5)
    x = torch.randn(2, 3, 6, 6)
    assert (layer.train()([x]) == 0).float().mean() == pytest.approx(0.5, abs=0.1)
    assert (layer.eval()([x]) == 0).float().mean() < 0.01


@pytest.mark.parametrize("name", densenet.NETWORKS)
def test_the_number_in_the_name_counts_the_layers_with_weights(name):
    ours, _ = published(name)
    layers = sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in ours.modules())
    assert name == f"densenet{layers}"
