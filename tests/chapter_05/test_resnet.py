"""Residual networks: equal to torchvision's, and every switch does what its paper says."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models as torchvision_models

from chapter_05_resnet_modern_cnn.src.architectures import resnet, resnext, wide_resnet
from chapter_05_resnet_modern_cnn.src.architectures.common import (
    PictureTooSmall,
    divisible,
    halvings_to_skip,
)
from chapter_05_resnet_modern_cnn.src.architectures.resnet import (
    SHORTCUTS,
    VERSIONS,
    BasicBlock,
    Bottleneck,
    CifarResNet,
    ResNet,
    ZeroPadShortcut,
)
from chapter_05_resnet_modern_cnn.src.model import build_model
from utils.model_summary import summary

NETWORKS = resnet.NETWORKS | resnext.NETWORKS | wide_resnet.NETWORKS
TWINS = [name for name in NETWORKS if hasattr(torchvision_models, name)]
SMALL = {"widths": (8, 16, 24, 32), "num_classes": 5}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


# --- torchvision ---


@pytest.mark.parametrize("name", TWINS)
def test_state_dict_and_counts_are_torchvisions(name):
    with torch.device("meta"):
        ours, theirs = NETWORKS[name](), torchvision_models.get_model(name)
    shapes = {key: (value.shape, value.dtype) for key, value in ours.state_dict().items()}
    expected = {key: (value.shape, value.dtype) for key, value in theirs.state_dict().items()}
    assert shapes == expected
    weights = torchvision_models.get_model_weights(name).DEFAULT
    assert parameters(ours) == weights.meta["num_params"]


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"])
def test_macs_are_torchvisions(name):
    with torch.device("meta"):
        model = NETWORKS[name]()
    macs = summary(model, (1, 3, 224, 224), verbose=False).macs
    expected = torchvision_models.get_model_weights(name).DEFAULT.meta["_ops"]
    assert macs / 1e9 == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d"])
def test_logits_and_gradient_are_torchvisions(name):
    ours, theirs = NETWORKS[name](), torchvision_models.get_model(name)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 3, 64, 64)
    for mode in (True, False):
        pictures = [x.clone().requires_grad_() for _ in range(2)]
        logits = [m.train(mode)(p) for m, p in zip((ours, theirs), pictures, strict=True)]
        torch.testing.assert_close(*logits, rtol=1e-5, atol=1e-5)
    for out in logits:
        out.square().sum().backward()
    torch.testing.assert_close(*[p.grad for p in pictures], rtol=1e-4, atol=1e-5)


def test_224_pixels_end_in_a_map_of_seven():
    with torch.device("meta"):
        features = NETWORKS["resnet18"]().features(torch.empty(1, 3, 224, 224))
    assert features.shape == (1, 512, 7, 7)


# --- the small networks ---

# He et al. 2015, table 6: parameters in millions.
PUBLISHED = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7}


@pytest.mark.parametrize(("depth", "millions"), PUBLISHED.items())
def test_cifar_networks_have_the_published_sizes(depth, millions):
    residual, plain = NETWORKS[f"resnet{depth}"](), NETWORKS[f"plainnet{depth}"]()
    assert parameters(residual) == parameters(plain)  # option A costs nothing
    assert parameters(residual) / 1e6 == pytest.approx(millions, abs=0.03)
    weighted = [m for m in residual.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(weighted) == depth


def test_wide_network_has_the_published_size():
    with torch.device("meta"):
        model = NETWORKS["wrn_28_10"]()
    assert parameters(model) / 1e6 == pytest.approx(36.5, abs=0.05)
    macs = summary(model, (1, 3, 32, 32), verbose=False).macs
    assert macs / 1e9 == pytest.approx(5.2, abs=0.06)


@pytest.mark.parametrize(("size", "rows"), [(8, 4), (16, 2), (32, 4), (64, 4), (128, 4)])
def test_small_pictures_keep_a_map(size, rows):
    model = ResNet(BasicBlock, [1, 1, 1, 1], **SMALL, channels=1, skip=halvings_to_skip(size))
    x = torch.randn(2, 1, size, size)
    assert model.features(x).shape == (2, 32, rows, rows)
    model(x).sum().backward()
    assert model.conv1.weight.grad.abs().sum() > 0


def test_a_picture_too_small_is_refused():
    with pytest.raises(PictureTooSmall, match="at least 8 px, not 7"):
        halvings_to_skip(7)


@pytest.mark.parametrize(("value", "expected"), [(3, 8), (12, 16), (11, 16), (35, 32), (71, 72)])
def test_divisible_never_loses_more_than_a_tenth(value, expected):
    assert divisible(value) == expected


# --- switches ---


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_every_combination_trains(block, shortcut, version):
    switches = {"shortcut": shortcut, "version": version, "resnet_d": True, "drop_path": 0.2}
    model = ResNet(block, [1, 2, 1, 1], **SMALL, skip=3, **switches)
    model(torch.randn(3, 3, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model.eval()(torch.randn(1, 3, 16, 16)).shape == (1, 5)


def test_shortcuts_differ_in_projections_only():
    def projections(shortcut):
        model = ResNet(BasicBlock, [2, 2, 2, 2], **SMALL, shortcut=shortcut)
        return sum(m.kernel_size == (1, 1) for m in model.modules() if isinstance(m, nn.Conv2d))

    assert [projections(s) for s in SHORTCUTS] == [0, 3, 8, 0]


def test_zero_padding_copies_pixels_and_adds_empty_channels():
    x = torch.randn(2, 4, 6, 6)
    out = ZeroPadShortcut(4, 9, 2)(x)
    assert out.shape == (2, 9, 3, 3)
    assert out[:, 2:6].equal(x[:, :, ::2, ::2])
    assert out[:, :2].abs().sum() == 0 and out[:, 6:].abs().sum() == 0


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_preactivated_stage_is_a_sum(block):
    """x_L = x_l + the sum of all F: nothing comes after the addition (He et al. 2016, eq. 4)."""
    width = 8 // block.expansion
    blocks = [block(8, width, version="v2").eval() for _ in range(3)]
    start = x = torch.randn(2, 8, 4, 4)
    changes = []
    for one in blocks:
        changes.append(one.branch(F.relu(one.bn1(x))))
        x = one(x)
    torch.testing.assert_close(x, start + sum(changes))


@pytest.mark.parametrize("version", VERSIONS)
def test_zero_init_starts_with_the_shortcut_and_still_learns(version):
    model = CifarResNet(2, version=version, zero_init=True)
    one = model.layer1[1]
    x = torch.randn(2, 16, 8, 8).relu()
    torch.testing.assert_close(one(x), x)
    model(torch.randn(2, 3, 8, 8)).square().sum().backward()
    last = one.conv2 if version == "v2" else one.bn2
    assert last.weight.abs().sum() == 0 and last.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(("skip", "side"), [(None, 8), (0, 8), (1, 16), (2, 32)])
def test_a_network_for_small_pictures_skips_only_what_it_is_told(skip, side):
    model = build_model("resnet20", 10, 32, skip=skip)
    assert model.features(torch.zeros(1, 3, 32, 32)).shape == (1, 64, side, side)
    usual = build_model("resnet20", 10, 32)
    assert model.load_state_dict(usual.state_dict())  # the same weights fit
    with pytest.raises(PictureTooSmall):
        build_model("resnet20", 10, 4)


def test_a_plain_block_is_its_branch():
    one = BasicBlock(4, 4, shortcut="none").eval()
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(one(x), F.relu(one.branch(x)))


def test_the_bottleneck_strides_in_its_first_or_second_convolution():
    first, second = (Bottleneck(8, 4, 2, version=v) for v in ("v1", "v1.5"))
    assert [first.conv1.stride, first.conv2.stride] == [(2, 2), (1, 1)]
    assert [second.conv1.stride, second.conv2.stride] == [(1, 1), (2, 2)]


def test_drop_path_rises_with_depth():
    model = CifarResNet(2, drop_path=0.3)
    rates = [m.drop_path.p for m in model.modules() if isinstance(m, BasicBlock)]
    assert rates == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.25, 0.3])


def test_a_grouped_convolution_is_a_sum_of_narrow_paths():
    """ResNeXt, figure 3: 4 groups of 2 channels equal four separate 3x3 convolutions."""
    one = Bottleneck(8, 4, groups=4, width_per_group=32).eval()
    x = torch.randn(2, one.conv2.in_channels, 5, 5)
    parts = zip(x.chunk(4, 1), one.conv2.weight.chunk(4), strict=True)
    paths = [F.conv2d(part, weight, padding=1) for part, weight in parts]
    torch.testing.assert_close(one.conv2(x), torch.cat(paths, 1))


@pytest.mark.parametrize("attention", ["se", "cbam"])
def test_attention_adds_few_weights_and_scales_the_branch(attention):
    plain, scaled = CifarResNet(2), CifarResNet(2, attention=attention)
    assert 1 < parameters(scaled) / parameters(plain) < 1.05
    one = scaled.layer2[1].eval()
    x = torch.randn(2, 32, 8, 8)
    bare = one.bn2(one.conv2(F.relu(one.bn1(one.conv1(x)))))
    torch.testing.assert_close(one.branch(x), one.attention(bare))


@pytest.mark.parametrize("wrong", [{"shortcut": "D"}, {"version": "v3"}, {"attention": "all"}])
def test_unknown_switches_are_named(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be one of"):
        CifarResNet(1, **wrong)


@pytest.mark.parametrize(
    "make", [lambda: resnet.cifar_resnet(21), lambda: wide_resnet.wide_cifar_resnet(20, 2)]
)
def test_impossible_depths_are_refused(make):
    with pytest.raises(ValueError, match="6 n"):
        make()
