"""The scripts of the ablations, the modern networks and fine-tuning, and their parts."""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from chapter_04_cnn_classic.exp_data_size import repeated
from chapter_04_cnn_classic.image_tasks import eval_batches, train_batches
from chapter_05_resnet_modern_cnn.src import (
    ablation_figures,
    exp_ablations,
    exp_modern,
    fine_tune,
    modern_figures,
    transfer,
    transfer_figures,
)
from chapter_05_resnet_modern_cnn.src.architectures.resnet import CifarResNet
from chapter_05_resnet_modern_cnn.src.dataset import load_task
from utils.checkpoint import save_checkpoint
from utils.file_io_util import read_jsonl
from utils.plotting import figure_to_array

CHAPTER = "chapter_05_resnet_modern_cnn"


def run_main(module, folder, *words):
    """The script in this process, one quick run; its folder."""
    options = ["--quick", "--device", "cpu", "--output_dir", str(folder), "--run_name", "t"]
    assert module.main([*options, *words]) == 0
    return folder / CHAPTER / f"{Path(module.__file__).stem}-t"


def result_of(folder, name):
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


# Ablations


def test_a_variant_changes_one_switch_and_only_known_ones():
    parameters = {}
    for variant in [exp_ablations.BASELINE, *exp_ablations.VARIANTS]:
        assert len(variant.change) == (variant.name != "baseline")
        model = CifarResNet(2, **variant.options)
        parameters[variant.name] = sum(p.numel() for p in model.parameters())
    same = parameters["baseline"]
    # Shortcut A has no weights, so the plain twin is as large; projections and attention add some.
    assert parameters["plain"] == parameters["shortcut_a"] < same < parameters["shortcut_c"]
    assert parameters["v2"] <= parameters["zero_init"] == parameters["drop_02"] == same
    assert same < min(parameters["se"], parameters["cbam"])


def test_the_gain_is_that_of_pairs():
    runs = {"baseline": [{"test": 50.0}, {"test": 70.0}], "v2": [{"test": 53.0}, {"test": 72.0}]}
    assert exp_ablations.gain(runs, "v2") == pytest.approx((2.5, 0.5))
    assert exp_ablations.gain(runs, "baseline") == (0.0, 0.0)


@pytest.mark.quick
def test_a_stopped_ablation_trains_only_what_is_missing(tmp_path, monkeypatch):
    trained = []

    def pretend(variant, task, seed, args, run):
        trained.append((variant.name, seed))
        if len(trained) == 2:
            raise KeyboardInterrupt
        scores = {"train_loss": 1.0, "val": 50.0, "test": 49.0, "seconds": 0.1}
        return {"variant": variant.name, "seed": seed, "parameters": 10} | scores

    monkeypatch.setattr(exp_ablations, "train_one", pretend)
    options = ["--quick", "--switches", "zero_init", "version", "--output_dir", str(tmp_path)]
    assert exp_ablations.main([*options, "--run_name", "t"]) == 130
    folder = tmp_path / CHAPTER / "exp_ablations-t"
    assert [row["variant"] for row in read_jsonl(folder / "metrics.jsonl")] == ["baseline"]
    assert exp_ablations.main(["--resume", str(folder)]) == 0
    names = ["baseline", "v2", "v2", "zero_init"]  # v2 was stopped and is made again
    assert trained == [(name, 42) for name in names]
    found = result_of(folder, "ablations_digits_20")
    assert list(found["metrics"]["variants"]) == ["baseline", "v2", "zero_init"]


@pytest.mark.quick
def test_quick_ablation(tmp_path, capsys):
    folder = run_main(exp_ablations, tmp_path, "--switches", "shortcut")
    found = result_of(folder, "ablations_digits_20")
    assert list(found["metrics"]["variants"]) == ["baseline", "plain"]
    assert found["metrics"]["chance"] == 10 and len(found["tables"]["main"]["rows"]) == 2
    assert (folder / "ablations_digits_20.png").stat().st_size < 200_000


def test_rows_of_a_switch_stand_together():
    titles = {"a": ("x", "A"), "b": ("y", "B"), "c": ("y", "C")}
    heights = ablation_figures.places(titles)
    assert heights["a"] == 0 and heights["b"] - heights["c"] == 1
    assert heights["a"] - heights["b"] == 1 + ablation_figures.GAP


# Modern networks


def test_the_quick_comparison_of_families(quick_run):
    found = quick_run(f"{CHAPTER}/src/exp_modern.py").result("modern_digits")["metrics"]
    assert set(found["costs"]) == {"resnet20", "shufflenet_v2_x0_5"}
    for cost in found["costs"].values():
        assert min(cost["one_ms"], cost["batch_ms"]) > 0 and cost["macs"] > 1e5
    # 40.55e6 at 32 px, in a sixteenth of the places; the first layer reads one channel, not three.
    macs = 40.55e6 / 16 - 2 * 9 * 16 * 64
    assert found["costs"]["resnet20"]["macs"] == pytest.approx(macs, rel=0.001)
    assert found["latency_on"] == "1 CPU thread" or torch.cuda.is_available()
    # With bf16 instructions too: there bf16 would slow the depthwise convolutions down.
    assert found["precision"] == "fp32" or torch.cuda.is_available()


def test_batch_norm_has_one_momentum_and_rates_depend_on_the_family():
    args = argparse.Namespace(skip=1)
    model = exp_modern.network("mobilenet_v3_small", load_task("shapes", limit=10), args)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and {m.momentum for m in norms} == {exp_modern.BN_MOMENTUM}
    assert exp_modern.default_lr("convnext_tiny") < exp_modern.default_lr("resnet18")
    for name in exp_modern.COMPARED:
        assert exp_modern.default_lr(name) == exp_modern.RATES[""]


def test_networks_take_turns_while_they_are_timed():
    calls = []

    class Watched(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def forward(self, x):
            calls.append(self.name)

    seconds = exp_modern.take_turns({n: Watched(n) for n in "ab"}, torch.zeros(1), rounds=3)
    assert calls[-6:] == list("ababab") and len(calls) == 2 * (3 + exp_modern.WARM_UP)
    assert {len(s) for s in seconds.values()} == {3} and min(seconds["a"]) >= 0


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), exp_modern.threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise RuntimeError
    assert torch.get_num_threads() == before


def test_names_of_close_dots_do_not_cover_each_other():
    rng = np.random.default_rng(0)
    points = {
        f"network_{i}": {"macs": 1e8 * f, "one_ms": 3 * f, "test": [60 + a]}
        for i, (f, a) in enumerate(zip(1 + 0.3 * rng.random(7), 4 * rng.random(7), strict=True))
    }
    points["far"] = {"macs": 1e9, "one_ms": 30, "test": [80, 82]}
    figure = modern_figures.scatter(points, "toy", "1 CPU thread")
    figure_to_array(figure)
    for ax in figure.axes:
        boxes = [text.get_window_extent() for text in ax.texts]
        assert len(boxes) == len(points)
        overlaps = [a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]]
        assert not any(overlaps)


# Fine-tuning


@pytest.fixture(scope="module")
def source_file(tmp_path_factory):
    """An untrained network of five shapes, as the embedded form keeps it in `source.pth`."""
    task = transfer.only_classes(load_task("shapes", limit=60), fine_tune.SOURCE_CLASSES)
    architecture = task.architecture("resnet20") | {"widths": [8, 16, 32]}
    torch.manual_seed(0)
    state = fine_tune.build_network(architecture).state_dict()
    path = tmp_path_factory.mktemp("embedded") / "source.pth"
    facts = {"architecture": architecture, "dataset": "shapes", "metrics": {}}
    save_checkpoint(path, state, **facts, **fine_tune.facts_of(task))
    return path


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, quick_run):
    """A copy of the quick run: here it is resumed."""
    done = quick_run(f"{CHAPTER}/src/fine_tune.py", "--embedded")
    assert done.returncode == 0, done.stderr
    return Path(shutil.copytree(done.folder, tmp_path_factory.mktemp("tuned") / "run"))


def test_quick_fine_tuning_compares_four_methods_on_unseen_classes(tuned):
    found = result_of(tuned, "fine_tune_embedded")["metrics"]
    assert set(found["methods"]) == {"scratch", "frozen", "full", "layerwise"}
    source, target = (set(found[key]["classes"]) for key in ("source", "target"))
    assert len(source) == 10 and len(target) == 5 and not source & target
    assert found["source"]["dataset"] == "cifar10"  # shipped weights
    trained = {m: rows["10"][0]["trained"] for m, rows in found["runs"].items()}
    assert trained["frozen"] == 64 * 5 + 5  # the linear layer
    assert trained["scratch"] == trained["full"] == trained["layerwise"] > 10_000
    assert found["chance"] == 20
    assert (tuned / "fine_tune_embedded.png").stat().st_size < 200_000


def test_the_frozen_head_is_trained_to_its_minimum(source_file):
    """It is scikit-learn's answer for the same features, however few steps the others make."""
    source = fine_tune.source_of(str(source_file))
    task = transfer.only_classes(load_task("shapes", limit=300), fine_tune.TARGET_CLASSES)
    words = ["--embedded", "--steps", "5", "--batch_size", "16", "--lr", "1e-9"]
    args = fine_tune.build_parser().parse_args(words)
    run = argparse.Namespace(device=torch.device("cpu"), convolution_precision="fp32")
    row = fine_tune.train_one("frozen", 10, source, task, 42, args, run)
    rows = repeated(transfer.rows_with_labels(task, 10, 42), 5 * 16, 42)
    part = replace(task, train=(task.train[0][rows], task.train[1][rows]))
    x, y = transfer.features(source.model, train_batches(part, 16, 42, "flip,crop"))
    unseen, truth = transfer.features(source.model, eval_batches(task, "test"))
    # fine_tune.py weighs the penalty by the 50 labelled pictures, of which 80 views were made.
    reference = LogisticRegression(C=50 / 80, tol=1e-8, max_iter=10_000).fit(x, y)
    assert row["test"] == pytest.approx(100 * reference.score(unseen, truth), abs=0.7)  # one of 150
    losses = -np.log(reference.predict_proba(x)[np.arange(len(y)), y])
    assert row["train_loss"] == pytest.approx(losses.mean(), abs=1e-3)


def test_the_number_of_steps_is_that_of_the_form():
    parse = fine_tune.build_parser().parse_args
    assert fine_tune.usual_steps(parse(["--embedded"])) == fine_tune.STEPS_EMBEDDED
    assert fine_tune.usual_steps(parse([])) == fine_tune.STEPS


def test_a_finished_run_resumes_without_training(tuned, monkeypatch, capsys):
    def never(*args):
        pytest.fail("what was finished is trained again")

    monkeypatch.setattr(fine_tune, "train_one", never)
    before = result_of(tuned, "fine_tune_embedded")["metrics"]
    assert fine_tune.main(["--resume", str(tuned)]) == 0
    after = result_of(tuned, "fine_tune_embedded")["metrics"]
    assert after["methods"] == before["methods"]


def test_every_method_but_scratch_starts_from_the_source(source_file):
    source = fine_tune.source_of(str(source_file))
    first = source.model.conv1.weight
    for method in fine_tune.METHODS:
        model = fine_tune.start(method, source, 3)
        assert model.fc.out_features == 3
        assert torch.equal(model.conv1.weight, first) == (method != "scratch")
        assert model.conv1.weight.requires_grad == (method != "frozen")
    assert source.model.fc.out_features == 5 and source.model.conv1.weight.requires_grad


def test_missing_weights_name_the_form_that_needs_none(tmp_path, capsys):
    words = ["--source", str(tmp_path / "no.pth"), "--output_dir", str(tmp_path)]
    assert fine_tune.main(words) == 2
    assert "fine_tune.py --embedded" in capsys.readouterr().err


def test_the_target_must_be_new_to_the_source(source_file, tmp_path, capsys):
    words = ["--source", str(source_file), "--dataset", "shapes"]
    assert fine_tune.main([*words, "--output_dir", str(tmp_path)]) == 2
    assert "trained on shapes itself" in capsys.readouterr().err


def test_weights_that_are_of_another_kind_are_refused(tmp_path, capsys):
    torch.manual_seed(0)
    path = tmp_path / "bare.pth"
    facts = {"model": "resnet20", "num_classes": 10, "widths": [4, 4, 4]}
    state = CifarResNet(3, widths=(4, 4, 4)).state_dict()
    save_checkpoint(path, state, architecture=facts, dataset="toy", metrics={})
    assert fine_tune.main(["--source", str(path), "--output_dir", str(tmp_path)]) == 2
    assert "not of model_train.py" in capsys.readouterr().err


def test_no_connection_is_a_sentence(tmp_path, monkeypatch, capsys):
    from torchvision.models import ResNet18_Weights

    def no_connection(self, *args, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", no_connection)
    assert fine_tune.main(["--source", "torchvision", "--output_dir", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "could not be downloaded" in said and "--embedded" in said


def test_torchvision_weights_become_a_source(monkeypatch):
    from torchvision.models import ResNet18_Weights, resnet18

    torch.manual_seed(1)
    state = resnet18().state_dict()
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda *_, **__: state)
    source = fine_tune.imagenet_source()
    assert torch.equal(source.model.fc.weight, state["fc.weight"])
    assert source.dataset == "imagenet" and len(source.classes) == 1000


def test_the_best_method_and_the_curve():
    def rows(*accuracies):
        return [{"test": a, "train_loss": a / 100, "trained": 5} for a in accuracies]

    results = {
        "scratch": {10: rows(30.0, 40.0), 100: rows(80.0, 82.0)},
        "full": {10: rows(60.0, 50.0), 100: rows(78.0, 79.0)},
    }
    assert fine_tune.best_method(results, 10) == "full"
    assert fine_tune.best_method(results, 100) == "scratch"
    found = fine_tune.result_table(results)
    assert len(found["columns"]) == 5 and found["rows"][1][2] == [55.0, 5.0]
    assert found["rows"][1][-1] == pytest.approx([0.785, 0.005])  # the loss with most labels
    figure_to_array(transfer_figures.curves(results, 20.0, "toy"))


def embedded(monkeypatch, folder, resume=None, seed=7):
    """The embedded form up to its source and its target, on few pictures."""
    monkeypatch.setattr(fine_tune, "load_task", lambda *_, **__: load_task("shapes", limit=60))
    args = argparse.Namespace(resume=resume, seed=seed, device="cpu", precision="auto")
    run = argparse.Namespace(folder=folder, quick=False, device=torch.device("cpu"))
    run.convolution_precision = "fp32"
    return fine_tune.embedded(args, run)


def test_the_embedded_form_trains_its_source_on_other_shapes(tmp_path, monkeypatch):
    recipes = []
    monkeypatch.setattr(fine_tune.recipes, "train", lambda *found, **_: recipes.append(found[1:3]))
    source, target = embedded(monkeypatch, tmp_path)
    ((task, recipe),) = recipes
    assert source.classes == task.classes and recipe.epochs == 6
    assert len(source.classes) == len(target.classes) == 5
    assert not set(source.classes) & set(target.classes)
    assert len(target.train[1]) + len(task.train[1]) == 60


def test_a_resumed_embedded_run_keeps_its_source(source_file, tmp_path, monkeypatch):
    """Another first network would make the rows before and after the stop two experiments."""
    folder = source_file.parent
    before = source_file.read_bytes()
    source, task = embedded(monkeypatch, folder, resume=str(folder))
    assert source_file.read_bytes() == before
    assert replace(task, name="x").classes == tuple(task.classes) != source.classes
