"""The parts of the speedrun, and the ladder's rule of one change at a time."""

from dataclasses import asdict, replace
from itertools import pairwise

import pytest
import torch

from chapter_04_cnn_classic import exp_ladder
from chapter_04_cnn_classic import speedrun as speedrun_script
from chapter_04_cnn_classic import speedrun_training as speedrun
from chapter_04_cnn_classic.image_tasks import load_task, standardize, to_pixels
from chapter_04_cnn_classic.recipe import share_right
from chapter_04_cnn_classic.speedrun_network import SpeedNet, identity_kernel, whitening_filters
from chapter_04_cnn_classic.speedrun_training import Settings, SpeedData, views_of
from utils.errors import UserError
from utils.file_io_util import read_json, read_jsonl

SETTINGS = Settings(epochs=2, batch_size=8, widths=(8, 8, 8))


@pytest.fixture(scope="module")
def task():
    return load_task("shapes", limit=40)


def test_whitened_patches_have_unit_covariance(task):
    x = standardize(to_pixels(task.train[0]), task)
    filters = whitening_filters(x, eps=0.0)  # (12, 3, 2, 2)
    out = torch.nn.functional.conv2d(x, filters).permute(1, 0, 2, 3).flatten(1)  # (12, n)
    assert torch.allclose(out @ out.T / out.shape[1], torch.eye(12), atol=1e-3)


def test_the_first_layer_has_both_signs_and_is_not_trained(task):
    model = SpeedNet((8, 8, 8))
    model.whiten_(standardize(to_pixels(task.train[0]), task))
    weight = model.whiten.weight
    assert torch.equal(weight[:12], -weight[12:]) and not weight.requires_grad


def test_convolutions_start_as_the_identity():
    kernel = identity_kernel(6, 4)
    x = torch.rand(2, 4, 5, 5)
    out = torch.nn.functional.conv2d(x, kernel, padding=1)
    assert torch.allclose(out[:, :4], x)


def test_the_matrix_is_the_kernel(task):
    model = SpeedNet((8, 8, 8))
    layer = model.blocks[0][0]
    assert layer.weight.shape == (8, 9 * 24) and layer.kernel().shape == (8, 24, 3, 3)
    assert layer.kernel().data_ptr() == layer.weight.data_ptr()
    assert layer.kernel().is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [20, 24, 32])
def test_pictures_of_several_sizes_give_logits(size):
    assert SpeedNet((8, 8, 8), num_classes=7)(torch.rand(2, 3, size, size)).shape == (2, 7)


def test_flips_alternate_and_small_pictures_come_first(task):
    data = SpeedData(task, SETTINGS, seed=0, use_val=False)
    data.crop = lambda x, random: x
    first = [x for x, _ in data.batches(10)]
    assert [x.shape[-1] for x in first] == [24] * 5 + [32] * 5
    full = SpeedData(task, Settings(2, 8, small_share=0.0), seed=0, use_val=False)
    full.crop = lambda x, random: x
    seen = [set(), set()]
    for step, (x, _) in enumerate(full.batches(10)):
        seen[step // 5] |= {picture.contiguous().numpy().tobytes() for picture in x}
    mirrored = {p.flip(2).contiguous().numpy().tobytes() for x, _ in full.batches(5) for p in x}
    assert seen[1] == mirrored and not seen[0] & seen[1]


def test_validation_pictures_are_used_only_if_asked(task):
    assert len(SpeedData(task, SETTINGS, 0, use_val=False).labels) == 40
    assert len(SpeedData(task, SETTINGS, 0, use_val=True).labels) == 80


@pytest.mark.parametrize("count", [1, 2, 6])
def test_views(count):
    x = torch.rand(2, 3, 8, 8)
    views = list(views_of(x, count))
    assert len(views) == count and torch.equal(views[0][1], x)
    assert all(view.shape == x.shape for _, view in views)
    if count > 1:
        assert torch.equal(views[1][1], x.flip(3))
    if count == 6:
        assert torch.equal(views[2][1][..., 1:, 1:], x[..., :-1, :-1])  # moved down and right


def test_training_is_repeatable_and_learns(task):
    settings = Settings(6, 8, (8, 8, 16), small_share=0.5, label_smoothing=0.0)
    first = speedrun.train(task, settings, 0, False, "fp32")
    again = speedrun.train(task, settings, 0, False, "fp32")
    pairs = zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    logits = speedrun.predict(first, task, "train", 1, "fp32")
    assert share_right(logits, task.train[1]) > 0.2  # chance is 0.1


def test_norms_of_the_matrices_are_kept(task):
    model = speedrun.train(task, SETTINGS, 0, False, "fp32")
    for weight in (model.blocks[k][j].weight for k in range(3) for j in (0, 4)):
        assert weight.norm().item() == pytest.approx(len(weight) ** 0.5, rel=1e-4)


def test_each_rung_changes_one_thing():
    rungs = exp_ladder.ladder(5)
    names = [rung.name for rung in rungs]
    assert names[0] == "sigmoid" and len(names) == len(set(names))
    for before, after in pairwise(rungs):
        old, new = asdict(before.recipe), asdict(after.recipe)
        changed = {key for key in old if old[key] != new[key]} - {"lr"}
        others = (before.build is not after.build) + (before.mirror_of != after.mirror_of)
        together = {"weight_decay"} if after.name in ("batchnorm", "muon") else set()
        assert len(changed - together) + others == 1, (after.name, changed)


def test_gains_are_differences_over_the_same_seeds():
    rungs = exp_ladder.ladder(1)[:2]
    results = {
        rungs[0].name: (rungs[0], [{"test": 80.0}, {"test": 82.0}]),
        rungs[1].name: (rungs[1], [{"test": 85.0}, {"test": 85.0}]),
    }
    assert exp_ladder.gains(results) == {rungs[1].name: (4.0, 1.0)}


@pytest.mark.quick
def test_a_stopped_ladder_goes_on_with_the_finished_rungs(tmp_path):
    words = ["--quick", "--dataset", "shapes", "--output_dir", str(tmp_path), "--run_name", "a"]
    assert exp_ladder.main([*words, "--rungs", "sigmoid"]) == 0
    folder = tmp_path / "chapter_04_cnn_classic" / "exp_ladder-a"
    first = read_jsonl(folder / "metrics.jsonl")
    assert exp_ladder.main(["--resume", str(folder), "--rungs", "sigmoid,relu"]) == 0
    rows = read_jsonl(folder / "metrics.jsonl")
    assert [row["rung"] for row in rows] == ["sigmoid", "relu"]
    assert rows[:1] == first
    assert set(read_json(folder / "ladder_digits.json")["metrics"]["rungs"]) == {"sigmoid", "relu"}


def test_what_a_doubling_of_the_time_is_worth():
    budgets = [{"seconds": s, "accuracy_6_percent": a} for s, a in ((400.0, 84.0), (100.0, 68.0))]
    found = speedrun_script.doubling(budgets)  # error 32 -> 16 in two doublings
    assert found["error_factor"] == pytest.approx(0.5**0.5)
    assert found["minutes_to_target"] == pytest.approx(1600 / 60)  # 8 %: two doublings more
    assert speedrun_script.doubling(budgets[:1]) == {}


def test_the_operations_of_a_training_are_counted(task):
    settings = Settings(epochs=2, widths=(8, 8, 8), small_size=32)
    found = speedrun_script.rate(settings, task, seconds=3.0, use_val=False)
    whiten = 24 * 12 * 31**2
    blocks = 9 * (24 * 8 * 31**2 + 8 * 8 * (15**2 + 15**2 + 7**2 + 7**2 + 3**2))
    forward = 2 * (whiten + blocks + 8 * 10)
    assert found["millions_a_picture"] * 1e6 == pytest.approx(forward)
    assert found["trillions"] * 1e12 == pytest.approx(3 * 2 * 40 * forward)
    assert found["billions_a_second"] * 1e9 == pytest.approx(2 * 40 * forward)


# --- settings that train nothing, or leave nothing of a picture ---


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0.01}, "--budgets 0.01: with 4 batches an epoch that is no training step"),
        ({"epochs": 0.1}, "use 0.25 or more"),
        ({"batch_size": 41}, "a batch of 41 pictures cannot be had from 40"),
        ({"small_size": 8, "widths": (8,) * 6}, "8 pixels that 6 blocks halve; use fewer --widths"),
        ({"small_size": 8}, "--small_size of 9 or more"),
        ({"small_size": 1, "widths": (8,)}, "nothing is left of 1 pixels"),
        ({"small_share": 0.0, "widths": (8,) * 5}, "nothing is left of 32 pixels"),
    ],
)
def test_settings_that_train_nothing_are_refused(task, changes, words):
    settings = replace(Settings(epochs=1, batch_size=10, widths=(8, 8, 8)), **changes)
    with pytest.raises(UserError, match=words):
        speedrun.check_settings(task, settings, use_val=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0.13},  # rounds to one step
        {"batch_size": 40},
        {"small_size": 9},
        {"small_size": 8, "small_share": 0.0},  # not used
        {"small_size": 8, "widths": (8, 8)},
    ],
)
def test_the_least_settings_that_pass_do_train(task, changes):
    settings = replace(Settings(epochs=1, batch_size=10, widths=(8, 8, 8)), **changes)
    speedrun.check_settings(task, settings, use_val=False)
    model = speedrun.train(task, settings, 0, False, "fp32")
    assert model.blocks[0][2].num_batches_tracked >= 1  # BatchNorm counts the steps
    found = speedrun_script.rate(settings, task, seconds=1.0, use_val=False)
    assert found["trillions"] > 0


@pytest.mark.parametrize(
    "words", [["--budgets", "4,0.001"], ["--batch_size", "999999"], ["--widths", "8,8,8,8,8,8"]]
)
def test_speedrun_refuses_before_the_first_training(words, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(speedrun_script, "train_one", lambda *args: pytest.fail("it trains"))
    small = load_task("shapes", limit=40)
    monkeypatch.setattr(speedrun_script, "load_task", lambda *args, **options: small)
    words = ["--dataset", "shapes", "--output_dir", str(tmp_path), "--batch_size", "10", *words]
    assert speedrun_script.main(words) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message and len(message.strip().splitlines()) == 1


def test_small_pictures_larger_than_the_pictures_are_not_counted_as_larger(task):
    """They are never enlarged: neither in the training nor in its count of operations."""
    settings = Settings(epochs=2, widths=(8, 8, 8), small_size=64)
    same = replace(settings, small_size=32)
    assert speedrun_script.rate(settings, task, 3.0, False) == speedrun_script.rate(
        same, task, 3.0, False
    )
