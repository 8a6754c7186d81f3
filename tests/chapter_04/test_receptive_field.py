"""Receptive fields against brute force: the pixels whose gradient is not zero."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chapter_04_cnn_classic import receptive_field as script
from chapter_04_cnn_classic import receptive_field_effective as effective
from chapter_04_cnn_classic.architectures import googlenet, vgg
from chapter_04_cnn_classic.layers import use_course_layers
from chapter_04_cnn_classic.model import MODELS, build_model
from chapter_04_cnn_classic.receptive_field_theory import (
    label,
    node_fields,
    receptive_fields,
    trace,
)
from utils.errors import UserError
from utils.file_io_util import read_json

SIZE = (61, 54)  # rows and columns of the pictures


class Function(nn.Module):
    """A function of the picture, and a convolution after it."""

    def __init__(self, function, channels=1):
        super().__init__()
        self.function, self.conv = function, nn.Conv2d(channels, 1, 3, bias=False)

    def forward(self, x):
        return self.conv(self.function(x))


def random_layer(rng):
    """A convolution or average pool with its own options for rows and columns."""

    def two(low, high):
        return rng.randint(low, high), rng.randint(low, high)

    kernel, stride = two(1, 4), two(1, 3)
    if rng.random() < 0.3:
        padding = tuple(rng.randint(0, k // 2) for k in kernel)
        return nn.AvgPool2d(kernel, stride, padding)
    if rng.random() < 0.15:
        return nn.Conv2d(1, 1, kernel, 1, "same", two(1, 3), bias=False)
    return nn.Conv2d(1, 1, kernel, stride, two(0, 3), two(1, 3), bias=False)


def random_stack(rng):
    """Up to five layers with positive weights."""
    stack = nn.Sequential(*(random_layer(rng) for _ in range(rng.randint(1, 5))))
    for parameter in stack.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    return stack.double()


def inner_units(axis, size):
    """The units whose whole field lies in the picture; a field may lie right of unit 0's."""
    units = range(-axis.start // axis.jump + 1, size)
    return [u for u in units if u * axis.jump + axis.start + axis.size <= size] or None


def touched(model, x, row, column):
    """The pixels (H, W) that unit (row, column) of any channel depends on, by the gradient."""
    x = x.clone().requires_grad_()
    model(x)[:, :, row, column].sum().backward()
    return x.grad.abs().sum(dim=(0, 1)) > 0


def claimed(field, row, column, size=SIZE):
    mask = torch.zeros(size, dtype=torch.bool)
    rows = field.height.pixels(row, size[0])
    columns = field.width.pixels(column, size[1])
    mask[torch.tensor(rows, dtype=torch.long)[:, None], columns] = True
    return mask


def recursion(stack, axis):
    """Jump, size and start by the formula of the module's docstring."""
    jump, size, start = 1, 1, 0
    for layer in stack:
        pick = lambda v: v if isinstance(v, int) else v[axis]  # noqa: E731
        kernel, dilation = pick(layer.kernel_size), pick(getattr(layer, "dilation", 1))
        same = layer.padding == "same"
        start -= ((kernel - 1) * dilation // 2 if same else pick(layer.padding)) * jump
        size += (kernel - 1) * dilation * jump
        jump *= pick(layer.stride)
    return jump, size, start


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("seed", range(48))
def test_random_stacks(seed):
    rng = random.Random(seed)
    units = [None]
    while None in units:  # the field of some unit must lie in the picture
        stack = random_stack(rng)
        field = list(receptive_fields(stack).values())[-1]
        units = [inner_units(*pair) for pair in zip((field.height, field.width), SIZE, strict=True)]
    for axis, got in enumerate((field.height, field.width)):
        assert (got.jump, got.size, got.start) == recursion(stack, axis)
    x = torch.ones(1, 1, *SIZE, dtype=torch.float64)
    for pick in (0, -1):
        row, column = (found[pick] for found in units)
        assert torch.equal(touched(stack, x, row, column), claimed(field, row, column))
    corner = touched(stack, x, 0, 0)  # here zeros around middle layers may cut some paths
    assert not (corner & ~claimed(field, 0, 0)).any()


@pytest.mark.parametrize("seed", range(8))
def test_max_pools(seed):
    """A max-pool passes the gradient to one pixel: each must be hit by one of many pictures."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    kernel, dilation = rng.randint(2, 3), rng.randint(1, 2)
    pool = nn.MaxPool2d(kernel, rng.randint(1, 2), kernel // 2, dilation)
    convolution = nn.Conv2d(1, 1, rng.randint(1, 3), rng.randint(1, 2), padding=1, bias=False)
    nn.init.uniform_(convolution.weight, 0.5, 1.5)
    stack = nn.Sequential(convolution, nn.Identity(), pool)
    field, x = list(receptive_fields(stack).values())[-1], torch.randn(400, 1, 16, 16)
    middle = stack(x[:1]).shape[-1] // 2
    for unit in (0, middle):
        expected = claimed(field, unit, unit, (16, 16))
        assert torch.equal(touched(stack, x, unit, unit), expected)


class Branches(nn.Module):
    """A sum and a concatenation of paths with different fields."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, stride=2, padding=1)
        self.wide = nn.Conv2d(2, 2, 5, padding=2)
        self.narrow = nn.Conv2d(2, 2, 1)
        self.pool = nn.AvgPool2d(3, stride=1, padding=1)

    def forward(self, x):
        x = F.relu(self.stem(x))
        y = self.narrow(x) + self.wide(x)
        return torch.cat([y, self.pool(x)], dim=1)


def test_branches():
    torch.manual_seed(0)
    model = Branches()
    for parameter in model.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    field = list(receptive_fields(model).values())[-1]
    assert (field.height.size, field.height.jump, field.depth) == (11, 2, 2)
    for unit in (0, 6):
        assert torch.equal(
            touched(model, torch.ones(1, 1, *SIZE), unit, unit), claimed(field, unit, unit)
        )


def test_inception_by_brute_force():
    torch.manual_seed(0)
    blocks = [googlenet.Inception(n, 2, 2, 2, 2, 2, 2) for n in (2, 8)]
    model = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), *blocks).eval()
    for parameter in model.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    field = list(receptive_fields(model).values())[-1]
    assert field.height.size == 3 + 2 * 2 * 2
    got = touched(model, torch.rand(4, 1, *SIZE), 6, 6)
    assert torch.equal(got, claimed(field, 6, 6))


def shuffled(x):
    """A channel shuffle as torchvision writes it: a view of sizes that come from the picture."""
    b, c, h, w = x.size()
    return x.view(b, 2, c // 2, h, w).transpose(1, 2).contiguous().view(b, c, h, w)


def channels_last(x):
    x = x.permute(0, 2, 3, 1)  # (B, H, W, C)
    x = F.layer_norm(x, (2,)) * torch.tensor([1.0, 2.0], dtype=x.dtype)
    return x.movedim(-1, 1) if isinstance(x, torch.Tensor) else x.permute(0, 3, 1, 2)


# name: (channels, function); each is followed by a convolution 3x3, whose field is checked
OPERATIONS = {
    "F.max_pool2d": (1, lambda x: F.max_pool2d(x, 2, 1, padding=(1, 0))),
    "F.avg_pool2d": (1, lambda x: F.avg_pool2d(x, (3, 2), stride=2)),
    "F.lp_pool2d": (1, lambda x: F.lp_pool2d(x, 2, 3, stride=(1, 2))),
    "F.relu6": (1, lambda x: F.relu6(x)),
    "F.hardswish": (1, lambda x: F.hardswish(x)),
    "F.softplus": (1, lambda x: F.softplus(x)),
    "operators": (1, lambda x: (-x + x * 2) / 3 + x.clamp(min=0).add_(1).pow(2)),
    "maximum": (1, lambda x: torch.maximum(x, 2 * x)),
    "slices": (1, lambda x: x[:, :, 1::2, 2:-3]),
    "ellipsis": (1, lambda x: x[..., 3:]),
    "F.pad": (1, lambda x: F.pad(x, (2, 0, -1, 3))),
    "transpose": (1, lambda x: x.transpose(2, 3)[:, :, 2:].mT),
    "channels_last": (2, channels_last),
    "linear on channels": (2, lambda x: F.linear(x.permute(0, 2, 3, 1), torch.ones(2, 2).to(x))
                           .permute(0, 3, 1, 2)),
    "shuffle by view": (2, shuffled),
    "shuffle by flatten": (4, lambda x: x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)),
    "chunks": (2, lambda x: torch.cat(x.chunk(2, dim=1)[::-1], 1)),
    "mean of channels": (2, lambda x: x + x.mean(1, keepdim=True) * x.amax(dim=1, keepdim=True)),
    "softmax of channels": (2, lambda x: x.softmax(dim=1)),
    "squeezed": (1, lambda x: x.squeeze(1)[:, 2:].unsqueeze(1)),
    "scaled by its size": (1, lambda x: x / x.shape[-1] + torch.zeros_like(x)),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_against_the_gradient(name):
    channels, function = OPERATIONS[name]
    model = Function(function, channels).double()
    nn.init.uniform_(model.conv.weight, 0.5, 1.5)
    field = receptive_fields(model)["conv"]
    rng = torch.Generator().manual_seed(5)
    x = torch.rand(64, channels, 24, 30, generator=rng, dtype=torch.float64)
    assert torch.equal(touched(model, x, 5, 6), claimed(field, 5, 6, (24, 30)))


LAYERS = [
    *(nn.ReLU6(), nn.PReLU(), nn.Hardswish(), nn.Hardsigmoid(), nn.Mish(), nn.CELU(), nn.SELU()),
    *(nn.LogSigmoid(), nn.Softsign(), nn.Tanhshrink(), nn.Hardtanh(-9, 9), nn.RReLU()),
    *(nn.Softmax(dim=1), nn.Softmax2d(), nn.LogSoftmax(1), nn.AlphaDropout(), nn.Dropout2d()),
    *(nn.LocalResponseNorm(2), nn.ChannelShuffle(2), nn.LPPool2d(2, 2), nn.LPPool2d(2, (2, 1), 2)),
    *(nn.ZeroPad2d((1, 0, 2, 3)), nn.ConstantPad2d(1, 2.0), nn.GLU(1), nn.Unflatten(1, (2, 1))),
    nn.MaxPool2d(2, padding=1),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_layers_of_torch_against_the_gradient(layer):
    more = [nn.Flatten(1, 2)] if isinstance(layer, nn.Unflatten) else []
    after = nn.Conv2d(1 if isinstance(layer, nn.GLU) else 2, 1, 3)
    model = nn.Sequential(nn.Conv2d(1, 2, 2), layer, *more, after).double().eval()
    for parameter in (*model[0].parameters(), *after.parameters()):
        nn.init.uniform_(parameter, 0.5, 1.5)
    field = list(receptive_fields(model).values())[-1]
    x = torch.rand(64, 1, 20, 20, generator=torch.Generator().manual_seed(6)).double()
    assert torch.equal(touched(model, x, 4, 4), claimed(field, 4, 4, (20, 20)))


@pytest.mark.parametrize(
    ("layer", "mixes"),
    [
        (nn.Softmax(dim=-1), True),
        (nn.GroupNorm(1, 2), True),
        (nn.LayerNorm([2, 8, 8]), True),
        (nn.Linear(8, 8), True),
        (nn.Softmax(dim=-3), False),
    ],
)
def test_what_mixes_places_sees_the_picture(layer, mixes):
    fields = receptive_fields(nn.Sequential(nn.Conv2d(1, 2, 3), layer, nn.Conv2d(2, 1, 3)))
    assert list(fields) == ["0"] if mixes else ["0", "1", "2"]


def test_a_model_on_the_courses_layers_has_the_same_fields():
    model = build_model("vgg11_bn", 10, 32)
    expected = receptive_fields(model)
    assert receptive_fields(use_course_layers(model)) == expected


def test_the_unit_in_the_middle_is_found_whatever_the_layout():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 5, 3)

        def forward(self, x):
            return self.conv(x).permute(0, 2, 3, 1)  # (B, H, W, C)

    graph = trace(Last())
    node = next(n for n in graph.graph.nodes if n.target == "permute")
    x = torch.randn(2, 1, 12, 20, generator=torch.Generator().manual_seed(0))
    heat, unit = effective.effective_fields(graph, [node], x, torch.Generator())[node]
    assert unit == (5, 9)
    assert torch.equal(heat > 0, claimed(node_fields(graph)[node], 5, 9, (12, 20)))


def test_every_network_of_the_chapter_can_be_traced():
    for name in MODELS:
        for size in (32, 224):
            with torch.device("meta"):
                model = build_model(name, 10, size, 1 if name == "lenet5" else 3)
            fields = receptive_fields(model)
            assert fields and list(fields.values())[-1].height.size > 10, name


# Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks": 195 px
# (AlexNet) and 212 px (VGG-16) after the last pool; the others by hand.
@pytest.mark.parametrize(
    ("name", "size", "layer", "expected"),
    [
        ("lenet5", 32, "s4", (16, 4, 0)),
        ("simple_cnn", 32, "features.stage3.relu2", (32, 4, -14)),
        ("alexnet", 224, "features.12", (195, 32, -66)),
        ("nin", 224, "block4.5", (195, 32, -64)),
    ],
)
def test_known_networks(name, size, layer, expected):
    channels = 1 if name == "lenet5" else 3
    fields = receptive_fields(build_model(name, 10, size, channels))
    assert list(fields)[-1] == layer
    axis = fields[layer].height
    assert (axis.size, axis.jump, axis.start) == expected


@pytest.mark.parametrize(("name", "size"), [("vgg11", 150), ("vgg16", 212), ("vgg19", 268)])
def test_vgg(name, size):
    field = list(receptive_fields(vgg.make_features(name)).values())[-1]
    assert (field.height.size, field.height.jump) == (size, 32)


def test_googlenet_layers_have_the_modules_names():
    with torch.device("meta"):
        model = build_model("googlenet", 10, 224)
    fields = receptive_fields(model)
    assert list(fields)[-1] == "inception5b"
    assert {"conv1", "inception3a", "inception3a.branch1", "maxpool4"} <= set(fields)
    assert fields["inception3a.branch1"].height.size < fields["inception3a"].height.size


@pytest.mark.parametrize(
    "flat",
    [
        lambda x: x.view(x.size(0), -1),
        lambda x: torch.reshape(x, (-1,)),
        lambda x: torch.flatten(x, 1),
        lambda x: x.mean(dim=(2, 3)),
        lambda x: F.adaptive_avg_pool2d(x, 1),
    ],
)
def test_flattened_maps_are_seen_whole(flat):
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.flat, self.fc = nn.Conv2d(1, 3, 3), flat, nn.Linear(3, 2)

        def forward(self, x):
            return self.fc(self.flat(self.conv(x)))

    assert list(receptive_fields(Classifier())) == ["conv"]


def test_what_sees_everything_is_left_out():
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 1, 1))
    assert list(receptive_fields(model)) == ["0"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.ConvTranspose2d(1, 1, 3)), "ConvTranspose2d"),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.PixelShuffle(1)), "PixelShuffle .* is not known"),
        (nn.Sequential(nn.FractionalMaxPool2d(2, output_ratio=0.5)), "FractionalMaxPool2d"),
        (nn.Sequential(nn.Conv1d(1, 1, 3)), "Conv1d .* is not known"),
        (nn.Sequential(nn.Conv3d(1, 1, 3)), "Conv3d"),
        (nn.Sequential(nn.MaxPool1d(3)), "MaxPool1d"),
        (nn.Sequential(nn.LPPool1d(2, 3)), "LPPool1d"),
        (nn.Sequential(nn.MaxUnpool2d(2)), "MaxUnpool2d"),
        (nn.Sequential(nn.Unfold(3)), "Unfold"),
        (nn.Sequential(nn.CircularPad2d(1)), "CircularPad2d"),
        (nn.Sequential(nn.Upsample(scale_factor=2)), "Upsample"),
        (Function(lambda x: x[:, :, 3]), "getitem"),
        (Function(lambda x: x[:, :, -3:]), "getitem"),
        (Function(lambda x: x.view(-1, 2, 3, 4)), "view"),
        (Function(lambda x: x.reshape(shape=(-1, 1, 4, 4))), "reshape"),
        (Function(lambda x: x[:, :, : x.shape[2] - 1][:, :, x.shape[2] // 2 :]), "getitem"),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.Softmax()), "Softmax .* is not known"),
        (Function(lambda x: torch.cat([x, x], dim=2)), "cat"),
        (Function(lambda x: x.permute(0, 2, 3, 1) + x), "add"),
        (Function(lambda x: F.max_pool2d(x.permute(0, 2, 3, 1), 2)), "max_pool2d"),
        (Function(lambda x: torch.roll(x, 1, 2)), "roll"),
    ],
)
def test_unknown_layers_are_named(model, message):
    with pytest.raises(UserError, match=message):
        receptive_fields(model)


def test_branches_of_different_stride_are_refused():
    class Skewed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 1, 1, stride=2), nn.AvgPool2d(2, 1)

        def forward(self, x):
            return self.a(x) + self.b(x)

    with pytest.raises(UserError, match="different strides"):
        receptive_fields(Skewed())


def test_data_dependent_models_are_refused():
    class Moody(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(UserError, match="Moody cannot be traced"):
        receptive_fields(Moody())


# --- the effective field ---


def test_effective_field_lies_inside_the_theoretical_one():
    torch.manual_seed(0)
    model = build_model("simple_cnn", image_size=48).eval()
    graph = trace(model)
    fields = {n: f for n, f in node_fields(graph).items() if f and f.depth}
    node = next(n for n in fields if label(n) == "features.stage2.relu2")
    x = torch.randn(4, 3, 48, 48)
    heat, unit = effective.effective_fields(graph, [node], x, torch.Generator())[node]
    inside = claimed(fields[node], *unit, (48, 48))
    assert unit == (12, 12)
    assert not heat[~inside].any()
    assert (heat[inside] > 0).all()
    assert effective.effective_size(heat) < fields[node].height.size


def test_effective_field_of_a_linear_stack_is_the_predicted_one():
    torch.manual_seed(0)
    depth, heats = 6, []
    for s in range(6):
        torch.manual_seed(s)
        graph = trace(effective.plain_stack(depth, relu=False, width=24))
        node = list(graph.graph.nodes)[-2]
        x = torch.zeros(24, 1, 13, 13)
        rng = torch.Generator().manual_seed(s)
        heats.append(effective.effective_fields(graph, [node], x, rng)[node].heat)
    heat = torch.stack(heats).mean(0)
    expected = effective.predicted_stack(depth)
    correlation = torch.corrcoef(torch.stack([heat.flatten(), expected.float().flatten()]))[0, 1]
    assert correlation > 0.98


def test_predicted_stack_counts_paths():
    """Squared, it is the gradient of a stack whose weights are all equal."""
    stack = nn.Sequential(*(nn.Conv2d(1, 1, 3, bias=False) for _ in range(3)))
    for parameter in stack.parameters():
        nn.init.constant_(parameter, 1 / 9)
    x = torch.zeros(1, 1, 7, 7, requires_grad=True)
    stack(x).sum().backward()
    torch.testing.assert_close(effective.predicted_stack(3).square().float(), x.grad[0, 0])


def test_windows_of_numpys_integers():
    two, three = np.int64(2), np.int32(3)
    layers = nn.Conv2d(1, 2, three, padding=two), nn.MaxPool2d(two), nn.AvgPool2d(three, two)
    plain = nn.Conv2d(1, 2, 3, padding=2), nn.MaxPool2d(2), nn.AvgPool2d(3, 2)
    assert receptive_fields(nn.Sequential(*layers)) == receptive_fields(nn.Sequential(*plain))


def test_effective_size_of_a_square():
    heat = torch.zeros(20, 20)
    heat[3:10, 5:12] = 1.0
    heat[0, 0] = 0.04  # under 4.55 % of the largest
    assert effective.effective_size(heat) == 7


def test_growth_exponent():
    depths = [2, 4, 8]
    sizes = torch.tensor([[3 * d**0.5 for d in depths]] * 2).numpy()
    assert effective.growth_exponent(depths, sizes) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.quick
@pytest.mark.parametrize("options", [[], ["--model", "lenet5", "--image_size", "28"]])
def test_script(tmp_path, options, quick_run):
    if options:
        words = ["--quick", "--output_dir", str(tmp_path), "--run_name", "t", *options]
        assert script.main(words) == 0
        folder = next((tmp_path / "chapter_04_cnn_classic").iterdir())
    else:
        folder = quick_run("chapter_04_cnn_classic/receptive_field.py").folder
    result = read_json(folder / "receptive_field.json")
    assert (folder / "receptive_field_depths.png").is_file()
    assert ("stacks" in result["tables"]) is not bool(options)
    for row in result["tables"]["main"]["rows"]:
        assert 0 < row[5][0] <= min(row[1], row[4]) + 1e-9
