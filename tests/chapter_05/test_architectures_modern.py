"""EfficientNet, ConvNeXt, RegNet, the path to ConvNeXt, attention blocks and stochastic depth."""

from dataclasses import fields, replace
from functools import cache, partial
from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models as torchvision_models
from torchvision import ops
from torchvision.models import convnext as torchvision_convnext
from torchvision.models import regnet as torchvision_regnet
from torchvision.models.resnet import Bottleneck

from chapter_05_resnet_modern_cnn.src.architectures import (
    attention_blocks,
    convnext,
    convnext_path,
    efficientnet,
    regnet,
)
from chapter_05_resnet_modern_cnn.src.architectures.common import halvings_to_skip
from chapter_05_resnet_modern_cnn.src.architectures.stochastic_depth import (
    StochasticDepth,
    linear_rates,
)

NETWORKS = efficientnet.NETWORKS | convnext.NETWORKS | regnet.NETWORKS
# Parameters, multiply-accumulates (10^9) and the side of the picture (px) for which they are
# counted: `num_params`, `_ops` and `crop_size` of torchvision's weights IMAGENET1K_V1 (0.29).
PUBLISHED = {
    "efficientnet_b0": (5_288_548, 0.386, 224),
    "efficientnet_b1": (7_794_184, 0.687, 240),
    "efficientnet_b2": (9_109_994, 1.088, 288),
    "efficientnet_b3": (12_233_232, 1.827, 300),
    "efficientnet_b4": (19_341_616, 4.394, 380),
    "efficientnet_b5": (30_389_784, 10.266, 456),
    "efficientnet_b6": (43_040_704, 19.068, 528),
    "efficientnet_b7": (66_347_960, 37.746, 600),
    "convnext_tiny": (28_589_128, 4.456, 224),
    "regnet_x_400mf": (5_495_976, 0.414, 224),
    "regnet_x_800mf": (7_259_656, 0.800, 224),
    "regnet_x_1_6gf": (9_190_136, 1.603, 224),
    "regnet_x_3_2gf": (15_296_552, 3.177, 224),
    "regnet_y_400mf": (4_344_144, 0.402, 224),
    "regnet_y_800mf": (6_432_512, 0.834, 224),
    "regnet_y_1_6gf": (11_202_430, 1.612, 224),
    "regnet_y_3_2gf": (19_436_338, 3.176, 224),
}
# Those whose multiply-accumulates are counted again and whose logits are computed. The others are
# the same classes with other numbers, which `test_same_layers_as_torchvision` compares.
COMPUTED = (
    *("efficientnet_b0", "convnext_tiny"),
    *("regnet_x_400mf", "regnet_x_800mf", "regnet_y_400mf", "regnet_y_800mf"),
)
GRADIENTS = ("efficientnet_b0", "regnet_x_400mf", "regnet_y_400mf")
DEPTHS, WIDTHS = (1, 1, 2, 1), (8, 16, 32, 64)  # of light networks


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def on_meta(build, *args, **options):
    """Shapes only, and without drawing first weights, which takes longest even there."""

    def undrawn(tensor, *_, **__):
        return tensor

    with (
        mock.patch.multiple(torch.Tensor, normal_=undrawn, uniform_=undrawn),
        mock.patch.object(nn.init, "trunc_normal_", undrawn),
        torch.device("meta"),
    ):
        return build(*args, **options)


@cache
def original(name):
    return on_meta(NETWORKS[name])


def torchvisions(name, **options):
    """Torchvision's network on meta. Its RegNet computes widths by tensors: these need numbers."""
    plan = torchvision_regnet.BlockParams.from_init_params

    def on_cpu(**numbers):
        with torch.device("cpu"):
            return plan(**numbers)

    with mock.patch.object(torchvision_regnet.BlockParams, "from_init_params", on_cpu):
        return on_meta(torchvision_models.get_model, name, **options)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def multiply_accumulates(model, px):
    """Of all convolutions and linear layers: weights read for one output, times outputs."""
    counts = []

    def count(module, inputs, output):
        counts.append(output.numel() * module.weight[0].numel())

    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        model.eval()(torch.empty(1, 3, px, px, device="meta"))
    for hook in hooks:
        hook.remove()
    return sum(counts)


# --- torchvision ---


def weighted_layers(model):
    """Name and description of all layers with weights: kernel, stride, groups, eps, momentum."""
    return {
        name: repr(m)
        for name, m in model.named_modules()
        if next(m.parameters(False), None) is not None and not list(m.children())
    }


def drops(model):
    kinds = ("Dropout", "StochasticDepth")
    return [m.p for m in model.modules() if type(m).__name__ in kinds]


@pytest.mark.parametrize("name", NETWORKS)
def test_same_layers_as_torchvision(name):
    ours, theirs = original(name), torchvisions(name)
    expected = {key: (value.shape, value.dtype) for key, value in theirs.state_dict().items()}
    assert {k: (v.shape, v.dtype) for k, v in ours.state_dict().items()} == expected
    assert weighted_layers(ours) == weighted_layers(theirs)
    assert drops(ours) == pytest.approx(drops(theirs))


@pytest.mark.parametrize("name", NETWORKS)
def test_counts_are_the_published_ones(name):
    count, giga_macs, px = PUBLISHED[name]
    weights = torchvision_models.get_model_weights(name).IMAGENET1K_V1
    assert (count, giga_macs) == (weights.meta["num_params"], weights.meta["_ops"])
    assert parameters(original(name)) == count
    if name in (*COMPUTED, "efficientnet_b2"):
        assert multiply_accumulates(original(name), px) / 1e9 == pytest.approx(giga_macs, abs=6e-4)


def fill(model):
    """Quick weights that let every layer be seen: LayerScale about 1, moved running statistics."""
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim in (2, 4):
                bound = (6 / value[0].numel()) ** 0.5
                value.uniform_(-bound, bound)
            else:
                value.uniform_(0.5, 1.0)
        for value in model.buffers():
            value.uniform_(0.5, 1.5) if value.is_floating_point() else value.zero_()


def filled(model):
    """From meta to numbers."""
    model = model.to_empty(device="cpu")
    fill(model)
    return model


def outputs(model, x, train, gradient):
    """Logits, running statistics, and the gradient of the pixels where asked for."""
    model.train(train)
    torch.manual_seed(1)  # the same dropout and the same dropped branches
    x = x.clone().requires_grad_(gradient)
    with torch.set_grad_enabled(gradient):
        out = model(x)
    if gradient:
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return out.detach(), dict(model.named_buffers()), x.grad


def assert_equal_outputs(ours, theirs, gradient):
    x = torch.randn(2, 3, 64, 64)
    for train in (False, True):
        got = outputs(ours, x, train, gradient and train)
        expected = outputs(theirs, x, train, gradient and train)
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
        assert expected[0].std() > 1e-3


@pytest.mark.parametrize("name", sorted(set(COMPUTED) - {"convnext_tiny"}))
def test_equal_logits(name):
    theirs = filled(torchvisions(name, num_classes=10))
    ours = on_meta(NETWORKS[name], 10).to_empty(device="cpu")
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert_equal_outputs(ours, theirs, name in GRADIENTS)


def test_equal_logits_of_a_narrow_convnext():
    # Tiny's depths and an eighth of its widths: 28.6 M numbers would take most of the time.
    settings = [(12, 24, 3), (24, 48, 3), (48, 96, 9), (96, None, 3)]
    plan = [torchvision_convnext.CNBlockConfig(*numbers) for numbers in settings]
    theirs = filled(on_meta(torchvision_convnext.ConvNeXt, plan, 0.1, num_classes=10))
    ours = on_meta(convnext.ConvNeXt, 10, widths=(12, 24, 48, 96)).to_empty(device="cpu")
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert_equal_outputs(ours, theirs, True)


# --- small pictures ---


def light_path(step, num_classes=10, **options):
    plan = replace(convnext_path.design(step), depths=DEPTHS, width=8)
    return convnext_path.PathNetwork(plan, num_classes, **options)


LIGHT = {
    "efficientnet": partial(efficientnet.EfficientNet, 10, width=0.25, depth=0.1),
    "convnext": partial(convnext.ConvNeXt, 10, DEPTHS, WIDTHS),
    "regnet": partial(regnet.RegNet, 10, regnet.Rule(6, 32, 32, 2.0, 8, 0.25)),
    **{f"path {step}": partial(light_path, step) for step in range(len(convnext_path.STEPS))},
}


BETWEEN = {f"path {step}" for step in range(3, 12)}  # these differ inside the blocks only


@pytest.mark.parametrize("name", LIGHT)
def test_small_forms(name):
    large = LIGHT[name]().state_dict()
    for px in (32,) if name in BETWEEN else (8, 32, 64, 96):
        channels, rows = (1 if px == 8 else 3), []
        model = LIGHT[name](channels=channels, skip=halvings_to_skip(px))
        model.avgpool.register_forward_pre_hook(lambda _, x, rows=rows: rows.append(x[0].shape[2]))
        logits = model(torch.randn(2, channels, px, px))
        assert logits.shape == (2, 10)
        assert 4 <= rows[0] <= 7
        F.cross_entropy(logits, torch.arange(2)).backward()
        gradients = torch.stack([p.grad.norm() for p in model.parameters()])
        assert gradients.isfinite().all() and gradients[0] > 0
        changed = [k for k, v in model.state_dict().items() if v.shape != large[k].shape]
        assert len(large) == len(model.state_dict()) and len(changed) <= 1
        assert changed in ([], ["stem.0.weight"], ["features.0.0.weight"])


@pytest.mark.parametrize("name", ["efficientnet_b0", "convnext_tiny", "regnet_x_400mf"])
def test_builders_pass_the_options_on(name):
    model = on_meta(NETWORKS[name], 7, channels=1, skip=4).eval()
    with torch.no_grad():
        assert model(torch.empty(2, 1, 8, 8, device="meta")).shape == (2, 7)
    shapes = {key: value.shape for key, value in original(name).state_dict().items()}
    changed = [key for key, value in model.state_dict().items() if value.shape != shapes.pop(key)]
    assert not shapes and len(changed) == 3  # the first convolution, the last layer's two


# --- the path from ResNet-50 to ConvNeXt-Tiny ---

# GFLOPs of Table 10 in Liu et al. 2022. Two rows differ from our count, as the file explains.
PAPER = (4.09, 4.53, 4.42, 2.35, 5.27, 4.64, 4.07, 4.15, 4.15, 4.15, 4.15, 4.46, 4.49, None)
DIFFERENT = {11: 4.15, 12: 4.46}


@cache
def on_path(step):
    return on_meta(convnext_path.build, step)


@pytest.mark.parametrize("step", range(len(convnext_path.STEPS)))
def test_path_counts(step):
    model = on_path(step)
    giga_macs = multiply_accumulates(model, 224) / 1e9
    row = next(
        line for line in convnext_path.__doc__.splitlines() if line.startswith(f"{step:6d} ")
    )
    assert f" {parameters(model):,} " in row and f" {giga_macs:.3f} " in row
    if PAPER[step] is not None:
        assert f" {PAPER[step]:.2f} " in row
        assert round(giga_macs, 2) == DIFFERENT.get(step, PAPER[step])


def copy_in_order(model, state):
    """Loads a state_dict whose entries have the same order and sizes, whatever their names."""
    mine = model.state_dict()
    pairs = zip(mine.items(), state.values(), strict=True)
    model.load_state_dict({key: new.reshape(old.shape) for (key, old), new in pairs})


def test_path_begins_with_resnet50():
    assert parameters(on_path(0)) == 25_557_032  # torchvision's ResNet-50
    depths = (1, 2, 1, 1)  # the same blocks, fewer
    theirs = filled(on_meta(torchvision_models.ResNet, Bottleneck, list(depths), num_classes=10))
    plan = convnext_path.Design(depths=depths)
    ours = on_meta(convnext_path.PathNetwork, plan, 10).to_empty(device="cpu")
    copy_in_order(ours, theirs.state_dict())
    x = torch.randn(2, 3, 64, 64)
    for train in (False, True):
        got, expected = outputs(ours, x, train, False), outputs(theirs, x, train, False)
        torch.testing.assert_close(got[0], expected[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("skip", [0, 1, 2, 4])
def test_path_ends_with_convnext(skip):
    assert parameters(on_path(13)) == PUBLISHED["convnext_tiny"][0]
    options = {"stochastic_depth_prob": 0.5, "skip": skip}
    end = filled(on_meta(convnext.ConvNeXt, 10, DEPTHS, WIDTHS, **options))
    ours = on_meta(light_path, 13, **options).to_empty(device="cpu")
    copy_in_order(ours, end.state_dict())
    x = torch.randn(4, 3, 32, 32)
    for train in (False, True):
        got, expected = outputs(ours, x, train, True), outputs(end, x, train, True)
        torch.testing.assert_close((got[0], got[2]), (expected[0], expected[2]))


def test_each_switch_can_be_set_alone():
    modern = convnext_path.design(13)
    start = convnext_path.Design(depths=(1, 1, 1, 1), width=8)
    for name in {field.name for field in fields(modern)} - {"depths", "width"}:
        plan = replace(start, **{name: getattr(modern, name)})
        model = convnext_path.PathNetwork(plan, 10, skip=2)
        assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10), name


def test_bias_stays_only_where_no_batch_norm_follows():
    biases = [
        sum(m.bias is not None for m in on_path(step).modules() if isinstance(m, nn.Conv2d))
        for step in (0, 9, 10, 13)
    ]
    # Step 10: two 1x1 layers in 18 blocks and three shortcuts. The end: three layers in 18 blocks,
    # three between stages, the stem.
    assert biases == [0, 0, 39, 58]
    with pytest.raises(IndexError, match="0 to 13, not 14"):
        convnext_path.design(14)


# --- what the rules say ---


def test_compound_scaling():
    depth, width, picture = efficientnet.compound_scaling(1)
    assert depth * width**2 * picture**2 == pytest.approx(1.92, abs=0.001)
    assert efficientnet.compound_scaling(0) == (1, 1, 1)
    b2 = efficientnet.SCALES["efficientnet_b2"]
    assert (b2.depth, b2.width) == pytest.approx((depth, width))
    assert b2.px / 224 == pytest.approx(picture, abs=0.011)


def test_efficientnet_publishes_the_pictures_torchvision_trained_on():
    sizes = {name: scale.px for name, scale in efficientnet.SCALES.items()}
    trained = {name: PUBLISHED[name][2] for name in sizes}
    assert {name for name in sizes if sizes[name] != trained[name]} == {"efficientnet_b2"}


@pytest.mark.parametrize("name", regnet.RULES)
def test_regnet_widths_follow_the_line(name):
    rule = regnet.RULES[name]
    widths = rule.widths()
    assert widths == sorted(widths) and all(width % 8 == 0 for width in widths)
    for j, width in enumerate(widths):
        line = rule.w_0 + rule.w_a * j
        # Half a step of the power, and half of 8 by rounding.
        assert (width - 4) / rule.w_m**0.5 <= line <= (width + 4) * rule.w_m**0.5
    assert sum(blocks for _, blocks, _ in rule.stages()) == rule.blocks
    assert all(width % group == 0 for width, _, group in rule.stages())


def test_regnet_by_hand():
    # 16 + 16 j is 16, 32, 48, 64, 80, 96; log2(u / 16) is 0, 1, 1.58, 2, 2.32, 2.58.
    rule = regnet.Rule(6, 16, 16, 2.0, group_width=24)
    assert rule.widths() == [16, 32, 64, 64, 64, 128]
    # Whole groups of 24, or of the width: 24 would be a quarter below 32, so it is 48.
    assert rule.stages() == [(16, 1, 16), (48, 1, 24), (72, 3, 24), (120, 1, 24)]
    # Radosavovic et al. 2020, RegNetY-400MF.
    stages = regnet.RULES["regnet_y_400mf"].stages()
    assert stages == [(48, 1, 8), (104, 3, 8), (208, 6, 8), (440, 6, 8)]


def test_regnet_refuses_other_rules():
    with pytest.raises(ValueError, match="w_m > 1"):
        regnet.Rule(10, 16, 16.0, 1.0, 8)
    with pytest.raises(ValueError, match="1 stages, not 4"):
        regnet.RegNet(10, regnet.Rule(10, 16, 0.0, 2.0, 8))


# --- blocks ---


def test_layer_norm_reads_one_place():
    y = convnext.LayerNorm2d(16)(torch.randn(2, 16, 3, 5) * 3 + 1)
    torch.testing.assert_close(y.mean(dim=1), torch.zeros(2, 3, 5), atol=1e-6, rtol=0)
    torch.testing.assert_close(y.var(dim=1, correction=0), torch.ones(2, 3, 5))


def test_convnext_block_without_layer_scale_is_the_identity():
    x = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(convnext.CNBlock(8, 0.0, 0.0)(x), x)


class One(nn.Module):
    def forward(self, x):
        return torch.ones_like(x)


def test_squeeze_excitation():
    x = torch.randn(2, 8, 5, 3)
    torch.testing.assert_close(attention_blocks.SqueezeExcitation(8, 2, gate=One)(x), x)
    options = {"activation": nn.SiLU, "gate": nn.Hardsigmoid}
    ours = attention_blocks.SqueezeExcitation(8, 2, **options)
    theirs = ops.SqueezeExcitation(8, 2, nn.SiLU, nn.Hardsigmoid)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    torch.testing.assert_close(ours(x), theirs(x))
    ratio = ours(x) / x  # one number in (0, 1) a channel
    torch.testing.assert_close(ratio, ratio[:, :, :1, :1].expand_as(x))


def test_cbam_by_the_formula():
    block = attention_blocks.CBAM(32, reduction=16)
    assert parameters(block) == 2 * 32 * 2 + 2 * 7 * 7
    x = torch.randn(2, 32, 6, 5)
    first, second = block.channel.fc1.weight[:, :, 0, 0], block.channel.fc2.weight[:, :, 0, 0]
    summaries = x.flatten(2).mean(2), x.flatten(2).max(2).values  # (B, C)
    scale = torch.sigmoid(sum(F.relu(s @ first.T) @ second.T for s in summaries))
    x1 = x * scale[:, :, None, None]
    maps = torch.stack([x1.mean(1), x1.max(1).values], dim=1)  # (B, 2, H, W)
    windows = F.unfold(maps, 7, padding=3)  # (B, 98, H W)
    places = torch.sigmoid(block.spatial.conv.weight.view(1, 98) @ windows).view(2, 1, 6, 5)
    torch.testing.assert_close(block(x), x1 * places)


def test_cbam_halves_per_attention_where_it_has_learnt_nothing():
    block = attention_blocks.CBAM(8, reduction=16)  # fewer channels than the reduction
    x = torch.randn(1, 8, 4, 4)
    for weight in block.parameters():
        nn.init.zeros_(weight)
    torch.testing.assert_close(block(x), x / 4)
    with pytest.raises(ValueError, match="odd"):
        attention_blocks.CBAM(8, kernel_size=4)


def test_stochastic_depth_keeps_the_mean():
    branch = torch.ones(4000, 2, 1, 3)
    layer = StochasticDepth(0.25)
    kept = layer(branch)
    assert kept.unique().tolist() == pytest.approx([0, 4 / 3])
    torch.testing.assert_close(kept, kept[:, :1, :, :1].expand_as(branch))  # a picture at a time
    assert kept.mean().item() == pytest.approx(1, abs=0.04)  # 4.4 standard errors
    assert torch.equal(layer.eval()(branch), branch) and not layer.state_dict()


def test_stochastic_depth_is_torchvisions():
    x = torch.randn(16, 3, 2, 2)
    for p in (0.0, 0.3, 1.0):
        torch.manual_seed(5)
        got = StochasticDepth(p)(x)
        torch.manual_seed(5)
        torch.testing.assert_close(got, ops.stochastic_depth(x, p, "row"))
    with pytest.raises(ValueError, match="between 0 and 1"):
        StochasticDepth(1.5)


def test_linear_rates():
    assert linear_rates(0.3, 4) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert linear_rates(0.4, 4, reached=False) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert linear_rates(0.5, 1) == [0]
