"""The recipe, the batches it is fed, and train.py as a newcomer uses it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from chapter_04_cnn_classic import recipe as recipes
from chapter_04_cnn_classic import train, train_figures
from chapter_04_cnn_classic.image_tasks import (
    ImageTask,
    eval_batches,
    load_task,
    quick_augment,
    quick_choice,
    standardize,
    to_pixels,
    train_batches,
    with_pictures,
)
from chapter_04_cnn_classic.model import build_model, load_model
from chapter_04_cnn_classic.recipe import Recipe
from utils.checkpoint import load_checkpoint
from utils.file_io_util import read_json


def toy_task(count: int = 32, size: int = 16) -> ImageTask:
    """Colour noise with labels that mean nothing: only memory helps."""
    random = torch.Generator().manual_seed(0)
    x = torch.randint(256, (count, 3, size, size), generator=random, dtype=torch.uint8)
    y = torch.arange(count) % 4
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])
    return ImageTask("toy", ("a", "b", "c", "d"), (x, y), (x, y), (x, y), mean, std)


def test_fewer_pictures_of_sorted_files_are_of_all_classes():
    task = toy_task(32)
    x, y = task.train
    task = replace(task, train=(x[y.argsort()], y.sort().values))  # as files lie
    part = with_pictures(task, 8)
    assert part.train[1].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    torch.testing.assert_close(part.train[0][::2], x[y.argsort()][::8])
    assert part.test is task.test and part.mean is task.mean
    assert len(with_pictures(task, None).train[1]) == len(with_pictures(task, 99).train[1]) == 32


def test_fewer_drawn_pictures_are_the_first():
    task = load_task("shapes", limit=12)
    torch.testing.assert_close(with_pictures(task, 5).train[0], task.train[0][:5])


def test_load_task_keeps_bytes_and_statistics():
    task = load_task("shapes", limit=12)
    x, y = task.train
    assert x.dtype == torch.uint8 and x.shape == (12, 3, 32, 32) and y.shape == (12,)
    assert (task.channels, task.image_size) == (3, 32)
    pixels = standardize(to_pixels(x), task)
    assert torch.allclose(pixels.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(pixels.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-2)
    grey = load_task("digits")
    assert grey.train[0].shape[1:] == (1, 8, 8) and grey.mean.shape == (1,)


def test_batches_convert_in_the_order_that_the_text_says():
    task = toy_task()
    x, y = next(iter(eval_batches(task, "val", batch_size=8)))
    expected = (task.val[0][:8].float() / 255 - task.mean[:, None, None]) / task.std[:, None, None]
    assert torch.allclose(x, expected) and torch.equal(y, task.val[1][:8])
    assert x.is_contiguous(memory_format=torch.channels_last)
    mixed, soft = next(iter(train_batches(task, 8, seed=0, augment="flip", mix="mixup")))
    assert mixed.shape == x.shape and torch.allclose(soft.sum(dim=1), torch.ones(8))


def test_flips_show_every_picture_or_its_mirror_image():
    task = toy_task()
    plain = {picture.numpy().tobytes() for picture in task.train[0]}
    for x, _ in train_batches(task, 8, seed=3, augment="flip"):
        pixels = x * task.std[:, None, None] + task.mean[:, None, None]
        for picture in (pixels * 255).round().to(torch.uint8).contiguous():
            mirror = picture.flip(2).contiguous()
            assert {picture.numpy().tobytes(), mirror.numpy().tobytes()} & plain


def test_biases_and_normalisations_do_not_decay():
    model = build_model("simple_cnn", 4, 16, 3, widths=(4, 8))
    decayed, free = recipes.parameter_groups(model, weight_decay=0.1)
    assert decayed["weight_decay"] == 0.1 and free["weight_decay"] == 0
    assert all(p.ndim > 1 for p in decayed["params"]) and all(p.ndim == 1 for p in free["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize("optimizer", list(recipes.OPTIMIZERS))
def test_a_small_network_learns_32_pictures_by_heart(optimizer):
    torch.manual_seed(0)
    task = toy_task()
    model = build_model("simple_cnn", 4, 16, 3, widths=(8, 16))
    epochs, lr = {"gd": (150, 0.3), "sgd": (60, 0.1)}.get(optimizer, (60, 0.01))
    recipe = Recipe(epochs, 16, lr, optimizer, schedule="cosine")
    history = recipes.train(model, task, recipe, seed=0)
    assert recipes.accuracy(model, task, "train") == 1
    assert history.best["val_accuracy"] == 1  # its validation split is the same pictures


def test_the_best_epoch_comes_back():
    torch.manual_seed(0)
    task = toy_task()
    model = build_model("simple_cnn", 4, 16, 3, widths=(4, 8))
    history = recipes.train(model, task, Recipe(3, 16, lr=0.3, optimizer="sgd"), seed=0)
    best = max(row["val_accuracy"] for row in history.epochs)
    assert recipes.accuracy(model, task, "val") == pytest.approx(best)


def test_predictions_of_mirrored_pictures_are_added():
    class Left(nn.Module):
        """Logits from the left half only."""

        def forward(self, x):
            return x[..., :8].mean(dim=(1, 2, 3))[:, None].repeat(1, 4)

    task = toy_task()
    one, two = (recipes.predict(Left(), task, "test", mirror=mirror) for mirror in (False, True))
    turned = replace(task, test=(task.test[0].flip(3), task.test[1]))
    assert torch.allclose(two, one + recipes.predict(Left(), turned, "test"), atol=1e-6)


def test_unknown_schedule_is_refused():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1)
    with pytest.raises(ValueError, match="schedule must be one of"):
        recipes.make_scheduler(Recipe(schedule="square"), optimizer, 10)


def test_confusion_counts_and_recall():
    labels, predicted = torch.tensor([0, 0, 1, 2, 2]), torch.tensor([0, 1, 1, 2, 0])
    counts = train_figures.confusion_counts(labels, predicted, 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert np.allclose(train_figures.recall(counts), [50, 100, 50])


def test_the_surest_mistake_comes_first():
    """By the probability of the wrong answer, not by how little was left for the true class."""
    task = toy_task(4)  # labels 0, 1, 2, 3
    shares = torch.tensor(
        [[0.9, 0.05, 0.03, 0.02],  # right
         [0.60, 0.30, 0.05, 0.05],  # wrong, 60 %
         [0.41, 0.39, 0.01, 0.19],  # wrong, 41 %: the least for the truth
         [0.05, 0.05, 0.70, 0.20]]  # wrong, 70 %
    )  # fmt: skip
    figure = train_figures.worst_mistakes(task, shares.log(), "toy")
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles == ["c (70 %)\nis d", "a (60 %)\nis b", "a (41 %)\nis c"]


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """One short training on digits, and its folder."""
    output = tmp_path_factory.mktemp("train")
    words = ["--dataset", "digits", "--epochs", "4", "--threads", "1", "--run_name", "a"]
    assert train.main([*words, "--widths", "8", "16", "--output_dir", str(output)]) == 0
    return output / "chapter_04_cnn_classic" / "train-a"


def test_the_checkpoint_says_all_that_inference_needs(digits_run):
    checkpoint = load_model(digits_run / "digits_simple_cnn.pth")[1]
    assert checkpoint["dataset"] == "digits" and len(checkpoint["classes"]) == 10
    assert len(checkpoint["mean"]) == len(checkpoint["std"]) == 1
    assert checkpoint["architecture"]["widths"] == [8, 16]
    found = train.evaluate_checkpoint(digits_run / "digits_simple_cnn.pth", None)
    assert found["test_accuracy_percent"] == pytest.approx(
        checkpoint["metrics"]["test_accuracy_percent"]
    )
    assert found["test_accuracy_percent"] > 40  # chance is 10
    assert load_model(digits_run / "best.pth")[1]["classes"] == checkpoint["classes"]


def test_a_stopped_run_ends_with_the_same_weights(digits_run, tmp_path, monkeypatch):
    words = ["--dataset", "digits", "--epochs", "4", "--threads", "1", "--run_name", "b"]
    words += ["--widths", "8", "16", "--output_dir", str(tmp_path)]
    original, calls = recipes.train, []

    def stopped(*args, **options):
        def stop(row):
            if row["epoch"] == 2:
                raise KeyboardInterrupt

        calls.append(options)
        return original(*args, **options, on_epoch=stop)

    monkeypatch.setattr(recipes, "train", stopped)
    assert train.main(words) == 130 and calls
    monkeypatch.setattr(recipes, "train", original)
    folder = tmp_path / "chapter_04_cnn_classic" / "train-b"
    assert train.main(["--resume", str(folder)]) == 0
    left, right = (
        load_checkpoint(path / "digits_simple_cnn.pth")["state"] for path in (digits_run, folder)
    )
    assert all(torch.equal(left[key], right[key]) for key in left)


def test_the_result_names_baseline_and_recipe(digits_run):
    metrics = read_json(digits_run / "train_digits_simple_cnn.json")["metrics"]
    assert metrics["baseline"] == pytest.approx(10, abs=1)
    assert metrics["recipe"]["augment"] == "crop:1" and len(metrics["by_class"]) == 10


def test_missing_cifar_names_the_embedded_set(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("DL_COURSE_DATA", raising=False)
    words = ["--epochs", "100", "--batch_size", "128", "--lr", "0.001"]
    code = train.main([*words, "--data_dir", str(tmp_path), "--output_dir", str(tmp_path / "o")])
    message = capsys.readouterr().err
    assert code == 2 and "--dataset shapes" in message and "cifar10" in message
    assert "Traceback" not in message and len(message.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--dataset", "digits", "--model", "lenet5"], "at least 12 px"),
        (["--dataset", "digits", "--model", "nin", "--widths", "4"], "--widths is for simple_cnn"),
        (
            ["--dataset", "digits", "--widths", *"888888"],
            "simple_cnn needs pictures of at least 32",
        ),
        (["--dataset", "digits", "--ema_decay", "1"], "'1' is not a number from 0 to below 1"),
        (["--dataset", "digits", "--augment", "blur"], "blur"),
        (["--dataset", "digits", "--augment", "crop:8"], "padding 8 needs pictures larger than 8"),
        (["--dataset", "digits", "--augment", "cutout:16"], "hides pictures of 8 x 8 whole"),
        (["--dataset", "digits", "--augment", "crop:inf"], "'inf' is not a number"),
        (["--dataset", "digits", "--augment", "crop:nan"], "'nan' is not a number"),
        (["--dataset", "digits", "--augment", "cutout:1e999"], "'1e999' is not a number"),
        (["--dataset", "digits", "--augment", "jitter:-1"], "'jitter:-1'"),
        (["--dataset", "digits", "--augment", "erase:2"], "'erase:2': p must lie between"),
    ],
)
def test_choices_that_do_not_fit_are_one_sentence(words, expected, tmp_path, capsys):
    words = [*words, "--output_dir", str(tmp_path), "--epochs", "1"]
    try:
        code = train.main(words)
    except SystemExit as stop:  # argparse ends the program itself
        code = stop.code
    assert code == 2
    message = capsys.readouterr().err
    assert expected in message and "Traceback" not in message


def test_a_quick_run_takes_digits_in_the_place_of_shapes_or_is_a_smoke_run(capsys):
    def choose(name):
        run = SimpleNamespace(args=SimpleNamespace(dataset=name), smoke=False)
        limit = quick_choice(run, 300)
        return run.args.dataset, limit, run.smoke, "in the place of" in capsys.readouterr().out

    assert choose("shapes") == choose("shapes96") == ("digits", None, False, True)
    assert choose("digits") == ("digits", None, False, False)
    assert choose("cifar10") == ("cifar10", 300, True, False)
    assert quick_augment("flip", "digits", True) == "crop:1"
    assert quick_augment("flip", "digits", False) == quick_augment("flip", "x", True) == "flip"
