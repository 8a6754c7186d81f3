"""The experiment scripts of chapter 2: bad input, the claims they make, the weights they ship."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from chapter_02_nn_basics_mlp import classify, mlp
from chapter_02_nn_basics_mlp import exp_activations as activations
from chapter_02_nn_basics_mlp import exp_initialization as initialization
from chapter_02_nn_basics_mlp import exp_universal_approximation as universal
from chapter_02_nn_basics_mlp.classify_data import load_task
from chapter_02_nn_basics_mlp.mlp_data import MODES, PROBLEMS, Points
from chapter_02_nn_basics_mlp.model import ACTIVATIONS, MLP, SinFeatures, parameter_count
from chapter_02_nn_basics_mlp.noise_floor import noise_floor, smooth
from utils import datasets
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.cli import UserError
from utils.datasets import toy
from utils.file_io_util import read_json

CHAPTER = Path(mlp.__file__).parent
EMBEDDED = ["standard", "2d_surface", "extrapolate", "spiral", "digits"]


def run(module, capsys, *options: str) -> tuple[int, str]:
    """Exit code and standard error of a script called in this process."""
    try:
        code = module.main(list(options))
    except SystemExit as error:  # argparse
        code = error.code
    return code, capsys.readouterr().err


def assert_one_sentence(code: int, err: str, *words: str) -> None:
    assert code == 2
    assert len(err.strip().splitlines()) == 1, err
    assert "Traceback" not in err
    for word in words:
        assert word in err


# --- bad input ---


@pytest.mark.parametrize(
    ("module", "options", "words"),
    [
        (mlp, ["--mode", "sideways"], ["sideways", "standard"]),
        (mlp, ["--epochs", "-1"], ["--epochs", "-1"]),
        (mlp, ["--lr", "nan"], ["--lr"]),
        (mlp, ["--mode", "2d_surface", "--input_dim", "3"], ["--input_dim must be 2, not 3"]),
        (mlp, ["--mode", "extrapolate", "--input_dim", "2"], ["--input_dim must be 1, not 2"]),
        (mlp, ["--mode", "2d_surface", "--activation", "sin_features"], ["sin_features"]),
        (mlp, ["--load", "no/such.pth"], ["no/such.pth"]),
        (classify, ["--dataset", "cats"], ["cats", "spiral"]),
        (universal, ["--steps", "0"], ["--steps"]),
        (activations, ["--epochs", "x"], ["--epochs"]),
        (initialization, ["--depth", "0"], ["--depth"]),
    ],
)
def test_bad_option_is_one_sentence(module, options, words, capsys, tmp_path):
    code, err = run(module, capsys, *options, "--output_dir", str(tmp_path))
    assert_one_sentence(code, err, *words)


@pytest.mark.parametrize("module", [mlp, classify])
@pytest.mark.parametrize("damage", ["text", "truncated", "other"])
def test_damaged_checkpoint_is_one_sentence(module, damage, capsys, tmp_path):
    path = tmp_path / "weights.pth"
    if damage == "text":
        path.write_text("not weights", encoding="utf-8")
    elif damage == "truncated":
        path.write_bytes((CHAPTER / "models" / "digits.pth").read_bytes()[:500])
    else:  # a sound file of another task
        facts = {"architecture": {"mode": "2d_surface"}, "dataset": "mnist", "metrics": {}}
        save_checkpoint(path, {"w": torch.zeros(1)}, **facts)
    code, err = run(module, capsys, "--load", str(path), "--output_dir", str(tmp_path))
    assert_one_sentence(code, err, "weights.pth")


@pytest.mark.quick
def test_unwritable_output_folder_is_one_sentence(capsys, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    code, err = run(mlp, capsys, "--quick", "--output_dir", str(tmp_path / "file" / "below"))
    assert_one_sentence(code, err, "below")


@pytest.mark.process
def test_a_process_exits_with_2_and_without_traceback(tmp_path):
    command = [sys.executable, "-m", "chapter_02_nn_basics_mlp.mlp", "--mode", "sideways"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHAPTER.parent)
    assert_one_sentence(done.returncode, done.stderr, "sideways")


# --- mlp.py ---


def test_standard_mode_comes_close_to_the_noise_limited_optimum(capsys, tmp_path):
    options = [
        "--mode",
        "standard",
        "--seeds",
        "1",
        "--run_name",
        "t",
        "--output_dir",
        str(tmp_path),
    ]
    code, err = run(mlp, capsys, *options)
    assert code == 0, err
    metrics = read_json(next(tmp_path.glob("*/mlp-t/standard.json")))["metrics"]
    assert metrics["kinds"]["silu"]["ratio"] <= 1.5
    assert 0.02 < metrics["optimum"] < 0.06  # about 0.2 sqrt(10 / 300)


@pytest.mark.parametrize("mode", MODES)
def test_published_modes_are_within_the_promised_factor(mode):
    kinds = read_json(CHAPTER / "results" / f"{mode}.json")["metrics"]["kinds"]
    kinds.pop("relu", None)  # its miss is a test of its own, below
    assert {kind: row["ratio"] for kind, row in kinds.items() if row["ratio"] > 1.5} == {}


@pytest.mark.xfail(strict=True, reason="ReLU misses the target: a curve out of straight pieces")
def test_published_relu_is_within_the_target():
    """Fails the day that ReLU is published within the target: then drop the exception above."""
    result = read_json(CHAPTER / "results" / "extrapolate.json")
    assert result["metrics"]["kinds"]["relu"]["ratio"] <= 1.5


def test_noise_floor_equals_the_mean_over_many_draws_of_noise():
    problem = PROBLEMS["standard"]
    x, grid = problem.sample(0).x, problem.grid()
    f, truth = problem.truth(x), problem.truth(grid)
    floor = noise_floor(x, grid, truth, f, problem.noise)
    rng = np.random.default_rng(0)
    squares = [
        np.mean(
            (smooth(floor, x, f + problem.noise * rng.standard_normal(len(f)), grid) - truth) ** 2
        )
        for _ in range(200)
    ]
    assert np.sqrt(np.mean(squares)) == pytest.approx(floor.rmse, rel=0.05)


@pytest.mark.parametrize("mode", MODES)
def test_point_files_hold_what_the_generator_makes(mode):
    problem = PROBLEMS[mode]
    points = problem.read_points(CHAPTER / "data", seed=42)
    np.testing.assert_allclose(points.x, problem.sample(42).x, rtol=0, atol=2e-6)
    np.testing.assert_allclose(points.y, problem.sample(42).y, rtol=0, atol=2e-6)


def test_changed_point_file_is_noticed(tmp_path):
    problem = PROBLEMS["standard"]
    points = problem.sample(42)
    problem.write_points(tmp_path, points)
    problem.read_points(tmp_path, 42)
    with pytest.raises(UserError, match="seed 43"):
        problem.read_points(tmp_path, 43)
    problem.write_points(tmp_path, Points(points.x, points.y + 0.001))
    with pytest.raises(UserError, match=r"standard\.txt"):
        problem.read_points(tmp_path, 42)


@pytest.mark.parametrize("mode", MODES)
def test_load_shows_the_shipped_networks_without_training(mode, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(mlp, "train", lambda *_: pytest.fail("--load must not train"))
    options = ["--mode", mode, "--load", "--run_name", "t", "--output_dir", str(tmp_path)]
    code, err = run(mlp, capsys, *options)
    assert code == 0, err
    shown = read_json(next(tmp_path.glob(f"*/mlp-t/{mode}.json")))["metrics"]["kinds"]
    published = read_json(CHAPTER / "results" / f"{mode}.json")["metrics"]["kinds"]
    for kind, row in published.items():
        assert shown[kind]["rmse_mean"] == pytest.approx(row["rmse_mean"], rel=1e-3)


# --- model.py ---


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_mlp_shapes_and_parameters(activation):
    model = MLP(3, 8, 2, depth=2, activation=activation, dropout=0.1)
    assert model(torch.randn(5, 4, 3)).shape == (5, 4, 2)
    assert parameter_count(model) == (3 * 8 + 8) + (8 * 8 + 8) + (8 * 2 + 2)
    again = MLP(**model.architecture)
    again.load_state_dict(model.state_dict(), strict=True)


def test_sin_features_have_the_period_two_pi():
    x = torch.randn(20, 1, dtype=torch.float64)
    assert SinFeatures(3)(x).shape == (20, 6)
    torch.testing.assert_close(SinFeatures(3)(x), SinFeatures(3)(x + 2 * torch.pi))


# --- the experiments' claims ---


@pytest.mark.parametrize("bumps", universal.BUMPS)
def test_error_of_the_constructed_network_stays_below_its_bound(bumps):
    grid = np.linspace(*toy.CURVE_RANGE, 4001)
    sup, _ = universal.errors(universal.step_network(bumps, grid[0], grid[-1]), grid)
    bound = universal.step_bound(bumps, grid)
    assert bound / 4 < sup <= bound  # below it, and the bound is no empty promise


def test_constructed_errors_fall_with_the_first_and_second_power():
    grid = np.linspace(*toy.CURVE_RANGE, 4001)
    rows = universal.constructions(grid)
    late = slice(3, None)
    assert universal.slope(rows["bumps"][late], rows["sup"][late]) == pytest.approx(-1, abs=0.1)
    assert universal.slope(rows["bumps"][late], rows["relu_sup"][late]) == pytest.approx(
        -2, abs=0.1
    )


@pytest.mark.parametrize("depth", universal.DEPTHS)
def test_networks_of_all_depths_have_about_the_same_size(depth):
    model = MLP(hidden_dim=universal.width_for(depth), depth=depth)
    assert parameter_count(model) == pytest.approx(universal.PARAMETERS, rel=0.05)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_variance_formula_matches_the_measurement(activation):
    args = argparse.Namespace(depth=12, seeds=6, seed=0)
    measured = initialization.measure_all(load_task("digits", None), activation, args)
    for scheme, row in measured.items():
        for kind in ("forward", "backward"):
            factor = row[f"{kind}_measured"]
            assert factor == pytest.approx(row[f"{kind}_predicted"], rel=0.08), (scheme, kind)
    assert measured["zero"]["forward_measured"] == 0
    if activation == "relu":
        assert measured["Kaiming"]["forward_predicted"] == pytest.approx(1)


def test_forward_gain_of_relu_is_kaimings():
    assert activations.forward_gain("relu") == pytest.approx(2**0.5, rel=1e-3)
    assert activations.forward_gain("identity") == pytest.approx(1, rel=1e-3)


def test_identity_network_is_one_linear_layer_and_relu_is_not():
    x = torch.randn(50, 3, dtype=torch.float64)
    linear = MLP(3, 8, 2, depth=3, activation="identity").double()
    torch.testing.assert_close(activations.collapse(linear)(x), linear(x))
    bent = MLP(3, 8, 2, depth=3, activation="relu").double()
    assert not torch.allclose(activations.collapse(bent)(x), bent(x), atol=1e-3)


def test_dead_share_counts_units_that_never_fire():
    model = MLP(2, 4, 1, depth=1, activation="relu")
    with torch.no_grad():
        model.net[0].bias.copy_(torch.tensor([-1e3, -1e3, -1e3, 1e3]))
    assert activations.dead_share(model, torch.randn(30, 2)) == 0.75
    with torch.no_grad():
        model.net[0].weight.fill_(float("nan"))
    assert np.isnan(activations.dead_share(model, torch.randn(30, 2)))


def test_random_mirror_flips_each_row_of_pixels_or_none():
    flat = torch.arange(64 * 9.0).reshape(64, 9)
    out = classify.random_mirror(flat, 3, torch.Generator().manual_seed(0))
    mirrored = flat.reshape(64, 3, 3).flip(2).flatten(1)
    is_mirrored = (out == mirrored).all(dim=1)
    assert torch.equal(out[~is_mirrored], flat[~is_mirrored])
    assert 16 < int(is_mirrored.sum()) < 48


# --- classify.py and the shipped weights ---


def test_classifier_learns_the_spiral_that_a_linear_model_cannot():
    task = load_task("spiral", None)
    torch.manual_seed(0)
    model = MLP(2, 64, 3, depth=2, activation="silu")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    classify.train(model, *task.train, optimizer, epochs=40, batch_size=32, seed=0)
    assert classify.accuracy(model, task.test) > 0.9
    assert classify.softmax_regression(task, 0) < 60


def assert_reproduces_its_card(name: str, data_dir: str | None = None) -> None:
    path = CHAPTER / "models" / f"{name}.pth"
    evaluate = mlp.evaluate_checkpoint if name in MODES else classify.evaluate_checkpoint
    card = load_checkpoint(path)["metrics"]
    assert evaluate(path, data_dir) == pytest.approx(card, rel=1e-3)


@pytest.mark.parametrize("name", EMBEDDED)
def test_shipped_weights_reproduce_their_card(name):
    assert_reproduces_its_card(name)


@pytest.mark.needs_data
def test_shipped_fashion_mnist_weights_reproduce_their_card():
    try:
        datasets.load("fashion_mnist")
    except UserError as error:
        pytest.skip(str(error))
    assert_reproduces_its_card("fashion_mnist")
    card = load_checkpoint(CHAPTER / "models" / "fashion_mnist.pth")["metrics"]
    assert card["test_accuracy_percent"] > 89.5
