"""The parts of exp_translation.py, at tiny size."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chapter_04_cnn_classic import exp_translation as script
from chapter_04_cnn_classic import translation_networks as networks
from chapter_04_cnn_classic.image_tasks import ImageTask
from utils.cli import UserError
from utils.seed import generator


def small_task(side: int = 8, margin: int = 0) -> ImageTask:
    """Random pictures of two classes."""
    rng = generator(0)
    x = torch.randint(1, 256, (12, 1, side, side), generator=rng).to(torch.uint8)
    y = torch.arange(12) % 2
    task = ImageTask("noise", ("a", "b"), (x, y), (x, y), (x, y), torch.zeros(1), torch.ones(1))
    return networks.centred(task, margin) if margin else task


@pytest.mark.parametrize("side, block", [(8, 1), (8, 2), (8, 4), (10, 4), (6, 6), (6, 9)])
def test_a_shuffle_stays_inside_its_blocks(side, block):
    order = networks.block_permutation(side, block, seed=3)
    places = torch.arange(side * side)
    assert torch.equal(order.sort().values, places)
    assert torch.equal(order // side // block, places // side // block)
    assert torch.equal(order % side // block, places % side // block)
    assert torch.equal(order, places) == (block == 1)


def test_shuffling_back_gives_the_pictures():
    task, order = small_task(), networks.block_permutation(8, 8, seed=1)
    shuffled = networks.permuted(task, order)
    assert not torch.equal(shuffled.test[0], task.test[0])
    back = networks.permuted(shuffled, order.argsort())
    for split in ("train", "val", "test"):
        assert torch.equal(getattr(back, split)[0], getattr(task, split)[0])


def test_pictures_lie_in_the_middle_and_move_without_loss():
    task = small_task(side=4, margin=3)
    x = task.test[0]
    assert x.shape == (12, 1, 10, 10) and (x[..., 3:7, 3:7] > 0).all()
    assert (x > 0).sum() == 12 * 16
    right = networks.moved(task, 0, 3).test[0]
    assert (right[..., 3:7, 6:10] > 0).all() and right.sum() == x.sum()
    up = networks.moved(task, -2, 0).test[0]
    assert (up[..., 1:5, 3:7] > 0).all()
    pixels = task.train[0].float() / 255
    torch.testing.assert_close(task.mean, pixels.mean()[None])


def test_an_mlp_learns_shuffled_pixels_step_by_step_the_same():
    """Training on Pi x from W Pi^T gives W Pi^T again, and the same losses, at every step."""
    torch.manual_seed(0)
    plain = networks.build("mlp", small_task()).double()
    other = networks.build("mlp", small_task()).double()
    other.load_state_dict(plain.state_dict())
    order = networks.block_permutation(8, 8, seed=5)
    first, second = (next(p for p in m.parameters() if p.ndim == 2) for m in (plain, other))
    with torch.no_grad():
        second.copy_(first[:, order])
    task = small_task()
    x = task.train[0].double() / 255
    z = networks.permuted(task, order).train[0].double() / 255
    optimizers = [torch.optim.AdamW(m.parameters(), lr=1e-2) for m in (plain, other)]
    for _ in range(5):
        losses = []
        for model, inputs, optimizer in zip((plain, other), (x, z), optimizers, strict=True):
            loss = F.cross_entropy(model(inputs), task.train[1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss)
        torch.testing.assert_close(*losses, rtol=1e-9, atol=0)
    torch.testing.assert_close(second, first[:, order], rtol=1e-6, atol=1e-9)


def test_blur_pooling_is_a_binomial_filter_behind_the_maximum():
    x = torch.rand(2, 3, 8, 8, generator=generator(1))
    row = torch.tensor([1.0, 2, 1]) / 4
    kernel = (row[:, None] * row).expand(3, 1, 3, 3)
    maxima = F.pad(F.max_pool2d(x, 2, stride=1), (1, 1, 1, 1), mode="replicate")
    expected = F.conv2d(maxima, kernel, stride=2, groups=3)
    torch.testing.assert_close(networks.MaxBlurPool()(x), expected)


@pytest.mark.parametrize("head", ["mean", "max", "flatten"])
def test_which_head_forgets_the_place(head):
    """On black, far from the border: exact at multiples of the stride 4, and only without place."""
    torch.manual_seed(0)
    task = small_task(side=48)
    model = networks.cnn(task, head).eval().double()
    x = torch.zeros(1, 1, 48, 48, dtype=torch.float64)
    x[..., 20:28, 20:28] = torch.rand(8, 8, generator=generator(2), dtype=torch.float64)
    centre, by_four, by_one = (model(x.roll((s, -s), (2, 3))) for s in (0, 4, 1))
    assert torch.allclose(centre, by_four, rtol=0, atol=1e-12) == (head != "flatten")
    assert not torch.allclose(centre, by_one, rtol=0, atol=1e-6)


def test_parameter_counts_are_comparable():
    task = small_task(side=8, margin=8)
    count = {n: networks.parameter_count(networks.build(n, task)) for n in script.NETWORKS}
    assert abs(count["mlp"] / count["cnn_flatten"] - 1) < 0.05
    assert count["cnn_mean"] == count["cnn_max"] < count["cnn_flatten"]
    assert count["mlp_wide"] > 10 * count["mlp"]
    hidden = networks.matched_width(100, 10, 5 * 101 + 5 * 6 + 10 * 6)
    assert hidden == 5


def test_measures_of_known_logits():
    labels = torch.tensor([0, 1, 0, 1])
    right = F.one_hot(labels, 2).float()
    wrong = right.flip(1)
    half = torch.cat([right[:2], wrong[2:]])
    logits = torch.stack([right.expand(4, 4, 2), wrong.expand(4, 4, 2), half.expand(4, 4, 2)])
    found = script.measure(logits, labels)
    assert found["accuracy_percent"] == [100, 0, 50] and found["kept"] == [100, 0, 50]
    assert found["change"][0] == 0 and found["change"][1] == pytest.approx(200)


class Corner(nn.Module):
    """Class 1 if the pixel in row 2, column 5 is bright."""

    def forward(self, x):
        return torch.stack([0.5 - x[:, 0, 2, 5], x[:, 0, 2, 5] - 0.5], dim=1)


def test_the_shift_goes_in_all_four_directions():
    x = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    for number, (row, column) in enumerate([(2, 4), (2, 6), (1, 5), (3, 5)]):
        x[number, 0, row, column] = 255  # one step right, left, down, up from the pixel it reads
    data = (x, torch.ones(4, dtype=torch.int64))
    task = ImageTask("dots", ("a", "b"), data, data, data, torch.zeros(1), torch.ones(1))
    answers = script.shifted_logits(Corner(), task, range(2)).argmax(dim=-1)  # (2, 4, N)
    assert torch.equal(answers[0], torch.zeros(4, 4, dtype=torch.int64))
    assert torch.equal(answers[1], torch.eye(4, dtype=torch.int64))


def test_every_training_is_listed_once():
    cases = script.cases([2, 8])
    assert len(cases) == len(set(cases)) == 10 + 6 + 2


def test_a_small_margin_is_refused():
    parser = script.build_parser()
    with pytest.raises(UserError, match="margin"):
        script.experiment(parser.parse_args(["--margin", "2"]), run=None)
