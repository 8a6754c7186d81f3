"""Augmentation of whole batches: equal to torchvision for given factors, alike in distribution."""

import math

import numpy as np
import pytest
import torch
from torchvision.transforms import ColorJitter as TheirJitter
from torchvision.transforms import RandAugment as TheirRandAugment
from torchvision.transforms import RandomErasing as TheirErasing
from torchvision.transforms import functional as theirs

from chapter_04_cnn_classic import augmentation_color as color
from chapter_04_cnn_classic import augmentation_randaugment as rand
from chapter_04_cnn_classic import demo_augmentation
from chapter_04_cnn_classic.augmentation import (
    NAMES,
    ColorJitter,
    Compose,
    Cutout,
    RandAugmentLite,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    build,
    cutmix,
    image_transform,
    mixup,
)
from chapter_04_cnn_classic.augmentation_geometry import filled, uniform
from utils.seed import generator

EVERY = [
    RandomHorizontalFlip(),
    RandomCrop(2),
    RandomCrop(0.125, "zeros"),
    Cutout(0.5),
    RandomErasing(1.0),
    ColorJitter(0.4, 0.4, 0.4, 0.1),
    RandAugmentLite(3, 20),
    build("flip,crop,cutout,erase,jitter,randaugment"),
]


def eight_bit(*shape, seed=0):
    """Pictures of whole 256ths, as uint8 and as float; with flat and grey ones among them."""
    u = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator(seed))
    if len(u) > 2:
        u[0, 0] = 7  # a channel of one value
        u[1] = u[1, :1]  # grey: no hue
        u[2, :, :3] //= 4  # few levels
    return u, u / 255


def one_by_one(function, x, values):
    return torch.stack([function(a, v) for a, v in zip(x, values.tolist(), strict=True)])


def numbered(batch, height, width):
    """Pictures whose pixel (i, j) holds i W + j in one channel, minus that in the other."""
    plane = torch.arange(height * width, dtype=torch.float64).view(1, 1, height, width)
    return torch.cat([plane, -plane], dim=1).expand(batch, -1, -1, -1)


# --- the contract of every operation ---


@pytest.mark.parametrize("op", EVERY, ids=lambda op: type(op).__name__)
@pytest.mark.parametrize("shape", [(5, 3, 32, 32), (1, 3, 12, 20), (7, 1, 8, 8), (0, 3, 16, 16)])
def test_shape_type_range_and_generator(op, shape):
    x = torch.rand(shape, generator=generator(0), dtype=torch.float32)
    before = x.clone()
    torch.manual_seed(0)
    first = op(x, generator(3))
    torch.rand(5)  # the global generator has no say
    assert torch.equal(op(x, generator(3)), first)
    assert first.shape == x.shape and first.dtype == x.dtype
    assert torch.equal(x, before), "the input was changed"
    if len(x):
        assert first.min() >= 0 and first.max() <= 1
    if len(x) >= 5:
        assert not torch.equal(op(x, generator(4)), first)


@pytest.mark.parametrize("op", EVERY, ids=lambda op: type(op).__name__)
def test_double_precision_and_channels_last(op):
    x = torch.rand(4, 3, 16, 16, generator=generator(1), dtype=torch.float64)
    last = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(op(last, generator(0)), op(x, generator(0)))
    assert op(x, generator(0)).dtype == torch.float64


@pytest.mark.parametrize("op", EVERY[:-1], ids=lambda op: type(op).__name__)
def test_pictures_of_a_batch_differ(op):
    x = torch.rand(1, 3, 16, 16, generator=generator(2)).expand(64, -1, -1, -1)
    changed = op(x, generator(0)).flatten(1)
    assert len(changed.unique(dim=0)) >= 2


@pytest.mark.parametrize(
    "op",
    [
        build(""),
        RandomHorizontalFlip(0.0),
        RandomCrop(0),
        RandomCrop(0, "zeros"),
        Cutout(0),
        RandomErasing(0.0),
        ColorJitter(),
        RandAugmentLite(0),
    ],
    ids=lambda op: type(op).__name__,
)
def test_operations_of_no_strength_change_nothing(op):
    x = torch.rand(6, 3, 9, 11, generator=generator(0))
    assert torch.equal(op(x, generator(0)), x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomHorizontalFlip(1.5),
        lambda: RandomCrop(-1),
        lambda: RandomCrop(1.0),
        lambda: RandomCrop(2, "wrap"),
        lambda: RandomCrop(8)(torch.rand(1, 3, 8, 8), generator(0)),
        lambda: Cutout(-4),
        lambda: Cutout(4, fill=(0.1, 0.2))(torch.rand(1, 3, 8, 8), generator(0)),
        lambda: RandomErasing(scale=(0.5, 0.2)),
        lambda: RandomErasing(ratio=(0.0, 1.0)),
        lambda: ColorJitter(brightness=-0.1),
        lambda: ColorJitter(hue=0.6),
        lambda: ColorJitter(contrast=(1.2, 0.8)),
        lambda: ColorJitter(0.1)(torch.rand(1, 2, 8, 8), generator(0)),
        lambda: RandAugmentLite(-1),
        lambda: RandAugmentLite(2, 31),
        lambda: build("flip,blur"),
        lambda: build("crop:wide"),
        lambda: build("flip")(torch.rand(3, 8, 8), generator(0)),
        lambda: build("flip")(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), generator(0)),
    ],
)
def test_wrong_arguments(make):
    with pytest.raises(ValueError):
        make()


# --- flip and crop ---


def test_flip_mirrors_with_its_probability():
    x = numbered(4000, 2, 3)
    out = RandomHorizontalFlip(0.3)(x, generator(0))
    flipped = (out == x.flip(3)).flatten(1).all(dim=1)
    assert torch.equal(flipped, ~(out == x).flatten(1).all(dim=1))
    deviation = math.sqrt(4000 * 0.3 * 0.7)
    assert abs(flipped.sum().item() - 1200) < 4 * deviation
    assert torch.equal(RandomHorizontalFlip(1.0)(x, generator(0)), x.flip(3))


@pytest.mark.parametrize("mode", ["reflect", "zeros"])
@pytest.mark.parametrize("height, width, padding", [(5, 7, 2), (8, 8, 1), (5, 5, 2)])
def test_crop_is_a_window_of_the_padded_picture(mode, height, width, padding):
    """Every result is one of the (2 p + 1)^2 windows, all of them come, equally often."""
    x = numbered(6000, height, width) + 1000  # no pixel is zero
    out = RandomCrop(padding, mode)(x, generator(1))
    kind = "reflect" if mode == "reflect" else "constant"
    padded = theirs.pad(x[:1], [padding] * 4, padding_mode=kind)
    places = 2 * padding + 1
    windows = padded[0].unfold(1, height, 1).unfold(2, width, 1)  # (C, places, places, H, W)
    windows = windows.permute(1, 2, 0, 3, 4).reshape(places**2, -1)
    same = (out.flatten(1)[:, None] == windows[None]).all(dim=2)  # (6000, places^2)
    assert (same.sum(dim=1) == 1).all()
    expected = 6000 / places**2
    chi_square = ((same.sum(dim=0) - expected) ** 2 / expected).sum().item()
    free = places**2 - 1
    assert chi_square < free + 4 * math.sqrt(2 * free)


def test_sizes_as_numbers_of_numpy():
    x = torch.rand(6, 3, 8, 8)
    for ours, plain in [
        (RandomCrop(np.int64(2)), RandomCrop(2)),
        (Cutout(np.int32(4)), Cutout(4)),
        (Cutout(np.float32(0.5)), Cutout(0.5)),
        (ColorJitter(np.float32(0.5), np.int64(0)), ColorJitter(0.5, 0)),
    ]:
        torch.testing.assert_close(ours(x, generator(0)), plain(x, generator(0)))
    with pytest.raises(ValueError, match="fraction below 1"):
        Cutout(np.float32(1.5))


def test_sizes_as_fractions():
    x = numbered(200, 32, 32)
    assert torch.equal(RandomCrop(0.125)(x, generator(0)), RandomCrop(4)(x, generator(0)))
    digits = torch.rand(20, 1, 8, 8)
    assert torch.equal(build("crop")(digits, generator(0)), RandomCrop(1)(digits, generator(0)))
    assert torch.equal(build("cutout:4")(digits, generator(0)), Cutout(0.5)(digits, generator(0)))


@pytest.mark.parametrize(
    "modes", [("reflect", "reflect"), ("zeros", "reflect"), ("zeros", "zeros")]
)
def test_compose_in_one_pass_equals_one_after_the_other(modes):
    ops = [RandomCrop(3, modes[0]), RandomHorizontalFlip(), RandomCrop(2, modes[1])]
    ops += [Cutout(4), RandomHorizontalFlip(0.7)]
    x, rng = torch.rand(50, 3, 10, 12, generator=generator(0)), generator(5)
    expected = x
    for op in ops:
        expected = op(expected, rng)
    assert torch.equal(Compose(ops)(x, generator(5)), expected)


# --- cutout and erasing ---


@pytest.mark.parametrize("size, side", [(16, 32), (5, 9), (4, 8)])
def test_cutout_hides_the_part_of_a_square_that_lies_inside(size, side):
    """The centre is uniform, so the mean area follows by enumeration."""
    x = torch.ones(2000, 1, side, side)
    out = Cutout(size, fill=0.25)(x, generator(0))
    hidden = out == 0.25
    assert torch.equal(out == 1, ~hidden)
    lengths = [
        min(side, c - size // 2 + size) - max(0, c - size // 2) for c in range(side)
    ]  # visible part of the interval around each centre
    area = (sum(lengths) / side) ** 2
    measured = hidden[:, 0].flatten(1).sum(dim=1).double()
    assert abs(measured.mean() - area) < 4 * measured.std() / math.sqrt(2000)
    assert measured.max() == size * size
    rows = hidden[:, 0].any(dim=2)
    assert (rows.sum(dim=1) * hidden[:, 0].any(dim=1).sum(dim=1) == measured).all(), "a rectangle"


def test_cutout_colour_of_each_channel():
    out = Cutout(8, fill=(0.1, 0.2, 0.3))(torch.ones(1, 3, 4, 4), generator(0))
    hidden = out[0, 0] < 1
    assert hidden.any()
    for channel, value in enumerate((0.1, 0.2, 0.3)):
        assert (out[0, channel][hidden] == value).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("fill", [0.5, (0.1, 0.2, 0.3)])
def test_hidden_pixels_are_hidden_whatever_they_were(value, fill):
    x = torch.full((8, 3, 6, 6), value)
    x[:, :, 0] = 0.25
    box = torch.zeros(8, 1, 6, 6, dtype=torch.bool)
    box[:, :, 1:] = True
    out = filled(x, box, fill)
    assert torch.equal(out[:, :, 0], x[:, :, 0])
    color = torch.as_tensor(fill).reshape(-1, 1, 1).expand(3, 5, 6)
    assert torch.equal(out[:, :, 1:], color.expand(8, -1, -1, -1))


def test_erasing_is_distributed_as_torchvisions():
    """Probability, mean area and mean height agree within the noise of the draws."""
    options = {"p": 0.7, "scale": (0.05, 0.4), "ratio": (0.3, 3.3)}
    ours = RandomErasing(**options).box(torch.zeros(3000, 1, 16, 16), generator(0))[:, 0]
    torch.manual_seed(0)
    op = TheirErasing(**options, value=1)
    blank = torch.zeros(1, 16, 16)
    reference = torch.stack([op(blank.clone())[0] for _ in range(1500)]) > 0
    for measure in (
        lambda box: box.flatten(1).any(dim=1),
        lambda box: box.flatten(1).sum(dim=1),
        lambda box: box.any(dim=2).sum(dim=1),
        lambda box: box[:, 0].any(dim=1),
    ):
        a, b = measure(ours).double(), measure(reference).double()
        error = math.sqrt(a.var() / 3000 + b.var() / 1500)
        assert abs(a.mean() - b.mean()) < 4 * error


# --- colour ---


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "sharpness", "hue"])
@pytest.mark.parametrize("channels", [3, 1])
def test_colour_functions_equal_torchvisions(name, channels):
    _, x = eight_bit(7, channels, 9, 12)
    turns = torch.tensor([0.0, 0.5, -0.5, 0.1, -0.3, 0.2, 0.33])
    values = turns if name == "hue" else torch.tensor([0.0, 0.2, 0.7, 1.0, 1.3, 1.9, 3.0])
    ours = getattr(color, f"adjust_{name}")(x, values)
    expected = one_by_one(getattr(theirs, f"adjust_{name}"), x, values)
    torch.testing.assert_close(ours, expected, atol=5e-6, rtol=0)


@pytest.mark.parametrize("channels", [3, 1])
def test_functions_of_levels_equal_torchvisions(channels):
    u, x = eight_bit(7, channels, 9, 12)
    bits = torch.tensor([1, 2, 3, 4, 6, 7, 8])
    torch.testing.assert_close(
        255 * color.posterize(x, bits), one_by_one(theirs.posterize, u, bits).float()
    )
    levels = torch.tensor([0.0, 0.2, 0.4, 0.5, 0.7, 0.9, 1.0])
    torch.testing.assert_close(color.solarize(x, levels), one_by_one(theirs.solarize, x, levels))
    torch.testing.assert_close(color.autocontrast(x), theirs.autocontrast(x))
    torch.testing.assert_close(255 * color.equalize(x), theirs.equalize(u).float())


def test_equalize_of_pictures_with_enough_pixels():
    """Below 256 pixels a channel often stays as it is; above, the table is used."""
    u, x = eight_bit(4, 3, 40, 40, seed=3)
    u[3] = (u[3].float() ** 2 / 255).to(torch.uint8)  # dark
    x = u / 255
    torch.testing.assert_close(255 * color.equalize(x), theirs.equalize(u).float())
    assert (color.equalize(x) - x).abs().max() > 0.1


def test_hue_keeps_value_and_chroma_and_comes_back():
    _, x = eight_bit(5, 3, 6, 6)
    turned = color.adjust_hue(x, torch.full((5,), 0.3))
    torch.testing.assert_close(turned.amax(dim=1), x.amax(dim=1))
    torch.testing.assert_close(turned.amin(dim=1), x.amin(dim=1))
    torch.testing.assert_close(
        color.adjust_hue(turned, torch.full((5,), -0.3)), x, atol=1e-5, rtol=0
    )


def test_jitter_draws_factors_uniformly_in_torchvisions_range():
    """On a picture of one grey only brightness acts: the factor can be read off."""
    x = torch.full((3000, 1, 2, 2), 0.25)
    factors = (ColorJitter(brightness=0.6)(x, generator(0)) / 0.25)[:, 0, 0, 0]
    low, high = TheirJitter(brightness=0.6).brightness
    assert low <= factors.min() and factors.max() <= high
    deciles = torch.histc(factors, 10, low, high)
    assert ((deciles - 300) ** 2 / 300).sum() < 9 + 4 * math.sqrt(18)
    pair = ColorJitter(brightness=(0.5, 0.7))(x, generator(0)) / 0.25
    assert pair.min() >= 0.4999 and pair.max() <= 0.7001


def test_jitter_order_is_drawn():
    """Brightness and contrast do not commute; both orders come, each about half of the time."""
    jitter = ColorJitter(brightness=(0.5, 0.5), contrast=(1.8, 1.8))
    x = torch.rand(1, 3, 4, 4, generator=generator(0))
    half, more = torch.tensor([0.5]), torch.tensor([1.8])
    first = color.adjust_contrast(color.adjust_brightness(x, half), more)
    second = color.adjust_brightness(color.adjust_contrast(x, more), half)
    came = [0, 0]
    for seed in range(100):
        out = jitter(x, generator(seed))
        came[0] += torch.allclose(out, first)
        came[1] += torch.allclose(out, second)
    assert sum(came) == 100 and min(came) > 30


# --- RandAugment ---


@pytest.mark.parametrize("strength", [0.3, -1.0, 0.77])
@pytest.mark.parametrize("height, width", [(16, 16), (12, 21)])
def test_affine_operations_equal_torchvisions(strength, height, width):
    _, x = eight_bit(3, 2, height, width)
    shear = math.degrees(math.atan(rand.SHEAR * strength))
    right, down = int(150 / 331 * width * strength), int(150 / 331 * height * strength)
    expected = {
        "shear_x": theirs.affine(x, 0.0, [0, 0], 1.0, [shear, 0.0], center=[0, 0]),
        "shear_y": theirs.affine(x, 0.0, [0, 0], 1.0, [0.0, shear], center=[0, 0]),
        "translate_x": theirs.affine(x, 0.0, [right, 0], 1.0, [0.0, 0.0]),
        "translate_y": theirs.affine(x, 0.0, [0, down], 1.0, [0.0, 0.0]),
        "rotate": theirs.rotate(x, 30 * strength),
    }
    for name in rand.AFFINE:
        choice = torch.full((3,), rand.OPERATIONS.index(name))
        ours = rand.affine(x, *rand.affine_maps(choice, torch.full((3,), strength), x))
        # a source within rounding of a pixel's border may fall to either side
        assert (ours != expected[name]).float().mean() < 0.01, name


def test_the_pictures_of_each_operation_are_changed_together():
    """A mixed batch equals the operations called one picture at a time."""
    _, x = eight_bit(28, 3, 16, 16)
    choice = torch.arange(28) % len(rand.OPERATIONS)
    strength = torch.where(torch.arange(28) < 14, 0.4, -0.8)
    together = x.clone()
    rand.apply_(together, choice, strength)
    for b in range(28):
        alone = x[b : b + 1].clone()
        rand.apply_(alone, choice[b : b + 1], strength[b : b + 1])
        torch.testing.assert_close(together[b : b + 1], alone)


def test_rand_augment_draws_the_operations_of_torchvision_equally():
    space = TheirRandAugment()._augmentation_space(31, (32, 32))
    assert len(space) == len(rand.OPERATIONS) == 14
    for name, ours in (("Rotate", math.degrees(rand.TURN)), ("Brightness", rand.FACTOR),
                       ("ShearX", rand.SHEAR), ("TranslateX", rand.TRANSLATE * 32)):  # fmt: skip
        assert math.isclose(space[name][0][30].item(), ours, rel_tol=1e-6)
    strength = torch.full((1,), 0.3)
    x = torch.arange(256).view(1, 1, 16, 16) / 255
    bits = int(space["Posterize"][0][9])
    torch.testing.assert_close(rand.PIXELWISE["posterize"](x, strength), color.posterize(x, bits))
    threshold = space["Solarize"][0][9].view(1) / 255
    torch.testing.assert_close(
        rand.PIXELWISE["solarize"](x, strength), color.solarize(x, threshold)
    )


def test_rand_augment_leaves_a_fourteenth_alone():
    """At magnitude 30 every operation but the identity changes this picture."""
    _, x = eight_bit(1, 3, 20, 20, seed=4)
    x = (0.2 + 0.6 * x).expand(3000, -1, -1, -1)
    same = (RandAugmentLite(1, 30)(x, generator(0)) == x).flatten(1).all(dim=1).sum().item()
    deviation = math.sqrt(3000 / 14 * 13 / 14)
    assert abs(same - 3000 / 14) < 4 * deviation


# --- around ---


def test_build_knows_every_name():
    x = torch.rand(3, 3, 16, 16)
    for name in NAMES:
        assert build(name)(x, generator(0)).shape == x.shape
    assert len(build(" flip , crop:2,").ops) == 2
    assert build("randaugment:12").ops[0].magnitude == 12


def test_transform_for_batches_and_the_mixers_of_chapter_3():
    x, y = torch.rand(6, 3, 8, 8), torch.arange(6)
    out, labels = image_transform(build("flip"))((x, y), generator(0))
    assert torch.equal(labels, y)
    assert torch.equal(out, build("flip")(x, generator(0)))
    for mix in (mixup, cutmix):
        mixed, soft = mix(x, torch.eye(6), 1.0, generator(0))
        assert mixed.shape == x.shape
        torch.testing.assert_close(soft.sum(dim=1), torch.ones(6))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
@pytest.mark.parametrize("op", EVERY, ids=lambda op: type(op).__name__)
def test_on_an_accelerator_with_either_generator(op):
    x = torch.rand(5, 3, 16, 16)
    on_device = op(x.cuda(), generator(0))
    torch.testing.assert_close(on_device.cpu(), op(x, generator(0)), atol=0.01, rtol=0)
    assert op(x.cuda(), generator(0, "cuda")).is_cuda


def test_uniform_numbers_come_from_the_generator():
    x = torch.zeros(2, 1, 4, 4)
    assert torch.equal(uniform((3,), x, generator(0)), torch.rand(3, generator=generator(0)))


def test_the_sheet_of_the_demo_keeps_every_picture():
    grey, colour = torch.rand(2, 1, 8, 8), torch.rand(1, 3, 64, 64)
    picture = demo_augmentation.tiled([[grey, colour], [grey, colour]])
    assert picture.shape == (2 * 70, 3 * 70 + 6, 3)
    assert (picture[70 : 70 + 64, 146 : 146 + 64] == colour[0].permute(1, 2, 0).numpy()).all()
    assert (picture[:64:8, :64:8, 0] == grey[0, 0].numpy()).all()
