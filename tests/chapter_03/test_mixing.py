"""Soft labels, mixup, CutMix, shifts: exact where they can be, statistics where they are random."""

import math

import pytest
import torch
from torch.nn import functional as F

from chapter_03_optimization_regularization.regularization import mixing
from utils.seed import generator


def pictures(rows=16, channels=2, height=8, width=10, dtype=torch.float32):
    """Pictures whose every pixel is the row's number: a mixture tells where it came from."""
    x = torch.arange(rows, dtype=dtype).reshape(rows, 1, 1, 1)
    return x.expand(rows, channels, height, width).clone()


def own_labels(rows=16, dtype=torch.float32):
    """Each row is a class of its own."""
    return torch.eye(rows, dtype=dtype)


@pytest.mark.parametrize("eps", [0.0, 0.1, 1.0])
def test_label_smoothing_equals_torch(eps):
    torch.manual_seed(0)
    logits = torch.randn(7, 5, requires_grad=True)
    targets = torch.randint(5, (7,))
    soft = mixing.label_smoothing(targets, 5, eps)
    assert soft.shape == (7, 5)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(7))
    mine = F.cross_entropy(logits, soft)
    theirs = F.cross_entropy(logits, targets, label_smoothing=eps)
    torch.testing.assert_close(mine, theirs)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (mine, theirs)]
    torch.testing.assert_close(*gradients)


def test_label_smoothing_of_any_shape():
    soft = mixing.label_smoothing(torch.zeros(2, 3, dtype=torch.long), 4, 0.2)
    assert soft.shape == (2, 3, 4)
    torch.testing.assert_close(soft[0, 0], torch.tensor([0.85, 0.05, 0.05, 0.05]))


@pytest.mark.parametrize("alpha", [0.01, 0.2, 0.5, 0.6, 1.0, 4.0, 100.0])
def test_beta_draws_have_the_right_moments(alpha):
    lam = mixing._beta(alpha, 20_000, generator(1))
    assert len(lam) == 20_000 and lam.isfinite().all() and ((lam >= 0) & (lam <= 1)).all()
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(lam.mean() - 0.5) < 4 * math.sqrt(variance / 20_000)
    assert abs(lam.var() / variance - 1) < 0.04
    fourth = 3 / (16 * (2 * alpha + 1) * (2 * alpha + 3))  # central moment
    assert abs((lam - 0.5).pow(4).mean() / fourth - 1) < 0.08
    with pytest.raises(ValueError, match="alpha"):
        mixing._beta(0.0, 3, generator(1))


def test_mixup_mixes_pictures_and_labels_alike():
    x, labels = pictures(dtype=torch.float64), own_labels(dtype=torch.float64)
    mixed, soft = mixing.mixup(x, labels, 0.4, generator(2))
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(16, dtype=torch.float64))
    assert ((soft > 0).sum(dim=1) <= 2).all()
    value = soft @ torch.arange(16, dtype=torch.float64)  # (16,)
    torch.testing.assert_close(mixed, value.reshape(-1, 1, 1, 1).expand_as(mixed))


def test_mixup_keeps_the_mean_of_the_batch_in_expectation():
    x, labels = pictures(), own_labels()
    random = generator(3)
    total = sum(mixing.mixup(x, labels, 1.0, random)[1].sum(dim=0) for _ in range(2000)) / 2000
    torch.testing.assert_close(total, torch.ones(16), atol=0.06, rtol=0)


def test_the_area_of_the_box_is_the_weight_of_the_label():
    x, labels = pictures(rows=64), own_labels(64)
    mixed, soft = mixing.cutmix(x, labels, 1.0, generator(4))
    for row in range(64):
        own = (mixed[row] == row).float().mean()
        if soft[row, row] < 1:  # not its own partner
            torch.testing.assert_close(own, soft[row, row])
        strangers = mixed[row][mixed[row] != row]
        assert (strangers == strangers[:1]).all()  # from a single partner
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(64))


def test_the_box_is_a_rectangle_in_all_channels():
    x, labels = pictures(rows=64), own_labels(64)
    mixed, _ = mixing.cutmix(x, labels, 1.0, generator(5))
    for row in range(64):
        box = mixed[row] != row  # (C, H, W)
        assert torch.equal(box[0], box[1])
        rows, columns = box[0].any(dim=1), box[0].any(dim=0)
        assert torch.equal(box[0], rows[:, None] & columns[None, :])
        for side in (rows, columns):
            assert (side.int().diff() != 0).sum() <= 2  # one interval


def test_the_same_generator_gives_the_same_batch():
    x, labels = pictures(), own_labels()
    for function in (mixing.mixup, mixing.cutmix):
        first, second, other = (function(x, labels, 0.5, generator(s)) for s in (7, 7, 8))
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        assert not torch.equal(first[0], other[0])
    state = torch.random.get_rng_state()
    mixing.random_affine(x, 10.0, 1.0, 0.0, generator(7))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("make", [mixing.mixup_transform, mixing.cutmix_transform])
def test_transforms_take_labels_or_probabilities(make):
    x, y = pictures(), torch.arange(16)
    mixed, soft = make(0.5, 16)((x, y), generator(1))
    again, same = make(0.5, 16)((x, own_labels()), generator(1))
    assert mixed.shape == x.shape and soft.shape == (16, 16)
    assert torch.equal(mixed, again) and torch.equal(soft, same)
    assert torch.equal(x, pictures())  # the data itself is not changed


def test_no_rotation_and_no_shift_is_the_identity():
    x = torch.randn(5, 2, 8, 10, generator=generator(1))
    torch.testing.assert_close(mixing.random_affine(x, 0.0, 0.0, -1.0, generator(2)), x)


def test_shifts_move_the_centre_of_mass_by_at_most_their_limit():
    x = torch.zeros(500, 1, 9, 9)
    x[:, :, 4, 4] = 1.0
    moved = mixing.random_affine(x, 0.0, 2.0, 0.0, generator(3))
    pixel = torch.arange(9.0)
    centre_row = (moved.sum(dim=(1, 3)) * pixel).sum(dim=1) - 4  # (500,)
    centre_column = (moved.sum(dim=(1, 2)) * pixel).sum(dim=1) - 4
    for centre in (centre_row, centre_column):
        assert centre.abs().max() <= 2.0 + 1e-4 and centre.abs().max() > 1.9
        assert abs(centre.mean()) < 4 * 2 / math.sqrt(3 * 500)


def test_rotations_keep_the_distance_from_the_centre_of_a_wide_picture():
    x = torch.zeros(200, 1, 21, 41)
    x[:, :, 10, 28] = 1.0  # 8 pixels right of the centre
    turned = mixing.random_affine(x, 30.0, 0.0, 0.0, generator(4))
    rows = (turned.sum(dim=(1, 3)) * torch.arange(21.0)).sum(dim=1) / turned.sum(dim=(1, 2, 3)) - 10
    columns = (turned.sum(dim=(1, 2)) * torch.arange(41.0)).sum(dim=1)
    columns = columns / turned.sum(dim=(1, 2, 3)) - 20
    torch.testing.assert_close(
        torch.hypot(rows, columns), torch.full((200,), 8.0), atol=0.25, rtol=0
    )
    angle = torch.atan2(rows, columns).abs().rad2deg()
    assert angle.max() < 31 and angle.max() > 27


def test_what_comes_in_is_background():
    x = torch.full((50, 1, 8, 8), -0.7)
    moved = mixing.random_affine(x, 20.0, 3.0, -0.7, generator(5))
    torch.testing.assert_close(moved, x)
    batch = mixing.augment_transform(20.0, 3.0, -0.7)((x, torch.arange(50)), generator(5))
    assert torch.equal(batch[0], moved) and torch.equal(batch[1], torch.arange(50))
