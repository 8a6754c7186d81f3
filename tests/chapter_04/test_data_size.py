"""The parts of exp_data_size.py, at tiny size."""

import argparse

import numpy as np
import pytest
import torch

from chapter_04_cnn_classic import exp_data_size as script
from chapter_04_cnn_classic.image_tasks import load_task
from utils.plotting import figure_to_array
from utils.seed import generator

SIZES = [100, 300, 1000, 3000]


def test_subsets_are_balanced_and_nested():
    labels = torch.arange(10).repeat(30)[torch.randperm(300, generator=generator(0))]
    order = script.balanced_order(labels, seed=1)
    assert torch.equal(order.sort().values, torch.arange(300))
    for size in (10, 50, 200):
        counts = labels[order[:size]].bincount(minlength=10)
        assert (counts == size // 10).all()
    assert torch.equal(order, script.balanced_order(labels, seed=1))
    assert not torch.equal(order, script.balanced_order(labels, seed=2))


def test_a_class_that_runs_out_leaves_the_others():
    labels = torch.tensor([0] * 3 + [1] * 20)
    order = script.balanced_order(labels, seed=0)
    assert labels[order[:6]].sum() == 3 and len(order.unique()) == 23


def test_every_picture_stands_equally_often_in_the_list():
    rows = torch.tensor([3, 8, 5, 9])
    counts = script.repeated(rows, 10, seed=0).bincount(minlength=10)
    assert counts.sum() == 10 and set(counts[rows].tolist()) <= {2, 3}
    assert len(script.repeated(torch.arange(50), 20, seed=0).unique()) == 20


def test_power_law_is_recovered():
    errors = 80 * np.array(SIZES, dtype=float) ** -0.4
    fit = script.power_law(SIZES, errors)
    assert np.isclose(fit["alpha"], 0.4) and np.isclose(fit["c"], 80) and np.isclose(fit["r2"], 1)


def test_power_law_of_equal_errors_has_no_r2():
    fit = script.power_law(SIZES, np.full(len(SIZES), 14.3))
    assert abs(fit["alpha"]) < 1e-12 and np.isnan(fit["r2"])


def test_worth_is_the_horizontal_distance():
    """If augmentation makes N pictures as good as 3 N, it is worth 3 wherever that can be read."""
    plain = 50 * np.array(SIZES, dtype=float) ** -0.3
    augmented = 50 * (3 * np.array(SIZES, dtype=float)) ** -0.3
    found = script.worth(SIZES, plain, augmented)
    assert np.allclose(found[:3], 3) and found[3] is None
    assert script.worth(SIZES, augmented, plain)[0] is None  # never that bad
    assert np.isclose(script.worth(SIZES, augmented, plain)[2], 1 / 3)


def test_summary_fits_only_the_straight_part():
    runs = {script.PLAIN: np.array([[12.0, 40, 70, 85]] * 2),
            script.AUGMENTED: np.array([[15.0, 60, 80, 90]] * 2)}  # fmt: skip
    found = script.summary(SIZES, runs, chance=90.0)
    assert found["fitted_sizes"] == [300, 1000, 3000]
    assert found["fits"][script.PLAIN]["alpha"] > 0
    assert found["worth"]["300"] > 1 and found["worth"]["3000"] is None
    rows = script.results_table(SIZES, runs, found["worth"])["rows"]
    assert rows[1][3] == 20.0 and rows[3][4] is None
    picture = figure_to_array(script.figure("shapes", "flip,crop", found, 90.0))
    assert picture.ndim == 3


@pytest.mark.parametrize("augment", ["", "crop"])
def test_a_run_learns_and_repeats_itself(augment):
    task = load_task("digits")
    args = argparse.Namespace(
        steps=80, batch_size=32, lr=1e-2, widths=(16, 32),
        device_used=torch.device("cpu"), precision_used="fp32",
    )  # fmt: skip
    first = script.train_one(task, 200, augment, 0, args)
    assert first["accuracy_percent"] > 50  # chance: 10 %
    if augment:
        assert script.train_one(task, 200, augment, 0, args) == first


def test_augmentation_that_does_not_fit_stops_before_the_plain_trainings(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(script, "train_one", lambda *args: pytest.fail("it trains"))
    words = ["--augment", "crop:8", "--output_dir", str(tmp_path)]
    assert script.main(words) == 2
    message = capsys.readouterr().err
    assert "--augment crop:8 does not suit digits" in message
    with pytest.raises(SystemExit) as stopped:
        script.main(["--augment", "blur", "--output_dir", str(tmp_path)])
    assert stopped.value.code == 2
