"""The door to all networks, training and comparison, inference and maps, in their quick form."""

import argparse
import shutil

import numpy as np
import pytest
import torch

from chapter_04_cnn_classic.recipe import Recipe
from chapter_05_resnet_modern_cnn.src import cam, exp_degradation, inference, model_train
from chapter_05_resnet_modern_cnn.src import model as door
from chapter_05_resnet_modern_cnn.src.architectures.resnet import CifarResNet
from chapter_05_resnet_modern_cnn.src.dataset import DATASETS, load_task, preset
from utils.datasets.registry import COURSE_SETS, SOURCES
from utils.errors import UserError
from utils.file_io_util import read_json, read_jsonl
from utils.run import Run

SCRIPTS = "chapter_05_resnet_modern_cnn"
STL10_FIRST = ["airplane", "bird", "car", "cat", "deer"]  # of ten


def folder_of(base, script, name):
    return base / SCRIPTS / f"{script}-{name}"


# --- model.py ---


@pytest.mark.parametrize("name", [next(iter(f.NETWORKS)) for f in door.FAMILIES.values()])
def test_every_family_is_built_for_small_pictures(name):
    with torch.device("meta"):
        model = door.build_model(name, num_classes=7, image_size=32)
        assert model(torch.empty(2, 3, 32, 32)).shape == (2, 7)


def test_a_misspelt_name_gets_a_suggestion():
    with pytest.raises(UserError, match=r"did you mean resnet18\?"):
        door.build_model("resnet-18")


def test_the_cost_table_has_the_published_counts(tmp_path):
    words = ["--models", "resnet18", "plainnet20", "--output_dir", str(tmp_path)]
    assert door.main([*words, "--run_name", "a"]) == 0
    found = read_json(folder_of(tmp_path, "model", "a") / "model_costs.json")["metrics"]["networks"]
    assert found["resnet18"]["published"]["parameters"] == 11_689_512
    assert found["resnet18"]["published"]["macs"] == pytest.approx(1.814e9, rel=1e-3)
    assert set(found["plainnet20"]) == {"small"}


def test_a_checkpoint_of_another_chapter_is_named():
    with pytest.raises(UserError, match=r"holds .simple_cnn.*not one of this chapter.s models"):
        door.load_model("chapter_04_cnn_classic/results/digits_simple_cnn.pth")


# --- model_train.py ---


@pytest.fixture(scope="module")
def compared(quick_run):
    """A quick comparison, which takes digits: the folder of its run."""
    done = quick_run(f"{SCRIPTS}/src/model_train.py", "--dataset shapes --model_type compare")
    assert done.returncode == 0, done.stderr
    return done.folder


def test_a_comparison_trains_both_networks_alike(compared):
    metrics = read_json(compared / "compare_digits_32.json")["metrics"]
    assert set(metrics["networks"]) == {"resnet", "plainnet"}
    assert metrics["parameters"]["resnet"] == metrics["parameters"]["plainnet"]
    for kind in metrics["runs"]:
        (row,) = metrics["runs"][kind]
        assert len(row["train_losses"]) == len(row["val_losses"]) == row["epochs"] == 4
        assert np.shape(row["gradients"]) == (5, 31)  # before training and after each epoch
    names = {path.name for path in compared.iterdir()}
    assert {"compare_digits_32_losses.png", "compare_digits_32_gradients.png"} <= names


def test_shipped_weights_are_half_and_answer_as_reported(compared):
    model, checkpoint = door.load_model(compared / "resnet32_digits.pth")
    floats = [v for v in checkpoint["state"].values() if v.is_floating_point()]
    assert all(value.dtype == torch.float16 for value in floats)
    assert checkpoint["dataset"] == "digits" and len(checkpoint["classes"]) == 10
    task = load_task("digits")
    percent = 100 * model_train.recipes.accuracy(model.float(), task)
    assert percent == pytest.approx(checkpoint["metrics"]["test_accuracy_percent"], abs=1.1)


def test_looking_at_gradients_changes_nothing():
    torch.manual_seed(0)
    task, model = load_task("shapes", limit=20), CifarResNet(1).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    norms = model_train.gradient_norms(model, task, seed=0)
    assert len(norms) == 7 and min(norms) > 0
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())
    assert not model.training and all(p.grad is None for p in model.parameters())


def test_weights_are_named_after_network_and_data():
    assert model_train.weights_name("resnet18", "natural_images96") == "resnet18_natural_images.pth"
    assert model_train.weights_name("resnet18", "caltech101_96") == "resnet18_caltech101.pth"
    assert model_train.weights_name("resnet18", "stl10") == "resnet18_stl10.pth"
    assert model_train.weights_name("resnet20", "shapes") == "resnet20_shapes.pth"
    assert model_train.weights_name("resnet18", "shapes96") == "resnet18_shapes96.pth"
    assert preset("stl10").depth == 18 and preset("cifar10").depth == 20


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ("sgd", 0.1, 5e-4)),  # STL-10, and the paper's optimizer
        (["--dataset", "shapes"], ("muon", 0.02, 0.05)),
        (["--dataset", "shapes", "--optimizer", "sgd"], ("sgd", 0.1, 5e-4)),
        (["--optimizer", "muon", "--weight_decay", "0"], ("muon", 0.02, 0.0)),
        (["--lr", "0.05"], ("sgd", 0.05, 5e-4)),
    ],
)
def test_rate_and_weight_decay_follow_the_optimizer(words, expected):
    recipe = model_train.recipe_of(model_train.build_parser().parse_args(words), epochs=3)
    assert (recipe.optimizer, recipe.lr, recipe.weight_decay) == expected


@pytest.mark.quick
def test_the_documented_command_reads_stl10s_own_files(tmp_path, capsys):
    folder = tmp_path / "stl10" / "stl10_binary"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 10)):
        pixels = rng.integers(0, 256, (count, 3, 96, 96), dtype=np.uint8)  # columns before rows
        (folder / f"{part}_X.bin").write_bytes(pixels.tobytes())
        (folder / f"{part}_y.bin").write_bytes(bytes(1 + i % 10 for i in range(count)))
    words = ["--epochs", "1", "--batch_size", "64", "--lr", "0.1", "--quick", "--run_name", "a"]
    places = ["--data_dir", str(tmp_path), "--output_dir", str(tmp_path)]
    assert model_train.main([*words, *places]) == 0
    assert "smoke run: too short to learn; nothing is published" in capsys.readouterr().out
    checkpoint = folder_of(tmp_path, "model_train", "a") / "resnet20_stl10.pth"
    assert door.load_model(checkpoint)[1]["classes"][:5] == STL10_FIRST


def test_the_set_advised_in_place_of_a_missing_one_can_be_chosen():
    sources = {**SOURCES, **COURSE_SETS}
    advised = {sources[name].embedded_alternative for name in DATASETS if name in sources}
    assert advised and advised <= set(DATASETS)


# --- inference.py and cam.py ---


def test_weights_that_are_not_shipped_are_explained(capsys):
    path = f"./{SCRIPTS}/checkpoints/resnet18_stl10.pth"
    assert inference.main(["--model_path", path]) == 2
    message = capsys.readouterr().err
    assert "STL-10 are not shipped" in message and "could not be had" in message
    assert "model_train.py --epochs 100 --batch_size 64 --lr 0.1" in message
    assert "resnet18_natural_images.pth" in message and "Traceback" not in message


def test_a_folder_is_classified_and_what_is_no_picture_left_out(compared, tmp_path, capsys):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    from PIL import Image

    Image.new("RGBA", (40, 30), (200, 30, 30, 128)).save(pictures / "7_1.png")
    Image.new("L", (1, 1)).save(pictures / "tiny.jpg")
    (pictures / "text.png").write_text("no picture", encoding="utf-8")
    words = ["--model_path", str(compared / "resnet32_digits.pth"), "--image_path", str(pictures)]
    assert inference.main([*words, "--output_dir", str(tmp_path), "--run_name", "a"]) == 0
    metrics = read_json(folder_of(tmp_path, "inference", "a") / "inference.json")["metrics"]
    assert metrics["classified"] == 2 and metrics["named"] == 1
    assert len(metrics["skipped"]) == 1 and "text.png" in metrics["skipped"][0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--image_path", "nowhere.png"], "no picture nowhere.png"),
        (["--target", "unicorn"], "no class 'unicorn'"),
        (["--layer", "layer9"], "no layer 'layer9'"),
        (["--layer", "fc"], "the layer gives (1, 10), not maps (1, K, h, w); take another --layer"),
        (["--layer", "layer1", "--methods", "cam"], "ends in an average and one linear layer"),
    ],
)
def test_cam_names_what_is_wrong(words, says, compared, tmp_path, capsys):
    weights = ["--model_path", str(compared / "resnet32_digits.pth")]
    image = ["--image_path", f"{SCRIPTS}/images/airplane.png"]
    assert cam.main([*weights, *image, *words, "--output_dir", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.quick
def test_cam_scores_its_maps_and_knows_the_masks_of_shapes(tmp_path):
    words = ["--quick", "--model_path", f"{SCRIPTS}/checkpoints/resnet20_shapes.pth"]
    words += ["--image_path", f"{SCRIPTS}/images/airplane.png", "--test_pictures", "3"]
    assert cam.main([*words, "--output_dir", str(tmp_path), "--run_name", "a"]) == 0
    folder = folder_of(tmp_path, "cam", "a")
    metrics = read_json(folder / "cam_shapes.json")["metrics"]
    assert set(metrics["test"]) == {"cam", "grad_cam", "grad_cam_pp", "integrated_gradients"}
    for row in metrics["test"].values():
        assert 0 < row["inside"][0] < 100 and 0 < row["area"][0] < 60
    assert metrics["sanity"]["grad_cam"][0] == pytest.approx(1)
    assert metrics["shuffled"] == [0, 1, 2, 4, 8]
    for name, numbers in metrics["sanity"].items():  # undefined where the map is empty, only there
        undefined = [n for n, r in zip(metrics["shuffled"], numbers, strict=True) if r is None]
        assert undefined == metrics["empty"][name]
    assert set(metrics["places"]) == set(metrics["test"])
    assert metrics["places"]["cam"] == [8, 8]
    assert {path.name for path in (folder / "cam_vis").iterdir()} == {
        "airplane.png",
        "airplane_sanity.png",
    }


def test_a_kill_between_checkpoint_and_row_leaves_no_gap_in_the_gradients(tmp_path, monkeypatch):
    """The epoch's checkpoint is written first; its row may be missing, or torn."""
    monkeypatch.setattr(
        model_train, "build_model", lambda *_, **__: CifarResNet(1, widths=(4, 8, 16))
    )
    task, recipe = load_task("shapes", limit=64), Recipe(2, 32, 0.01)
    options = {"compile": False, "tensorboard": False, "device": "cpu", "precision": "fp32"}

    def gradients(folder, resume=None, at=None):
        run = Run(argparse.Namespace(resume=resume, skip=None, **options), tmp_path, folder, [])
        log = run.log

        def killed(**values):
            if values["epoch"] == at:
                raise KeyboardInterrupt
            log(**values)

        run.log = killed
        return model_train.train_one("resnet20", run.args, run, task, recipe, 0)[1]["gradients"]

    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = gradients(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        gradients(tmp_path / "killed", at=1)
    resumed = gradients(tmp_path / "killed", resume="killed")
    assert len(resumed) == len(whole) == 3
    np.testing.assert_allclose(resumed, whole, rtol=1e-4)


@pytest.mark.parametrize(
    ("augment", "says"),
    [("blur", "unknown augmentation 'blur'"), ("crop:32", "needs pictures larger than 8 x 8")],
)
def test_augmentation_that_does_not_fit_is_one_sentence(augment, says, tmp_path, capsys):
    words = ["--quick", "--dataset", "shapes", "--output_dir", str(tmp_path)]
    try:
        code = model_train.main([*words, "--augment", augment])
    except SystemExit as stop:  # argparse ends the program itself
        code = stop.code
    message = capsys.readouterr().err
    assert code == 2 and says in message and "Traceback" not in message


# --- exp_degradation.py ---


def test_a_stopped_comparison_of_depths_goes_on(tmp_path, quick_run):
    done = quick_run(f"{SCRIPTS}/src/exp_degradation.py")
    assert done.returncode == 0, done.stderr
    folder = shutil.copytree(done.folder, tmp_path / "run")
    rows = read_jsonl(folder / "metrics.jsonl")
    assert [row["network"] for row in rows] == ["plainnet20", "resnet20", "plainnet32", "resnet32"]
    assert exp_degradation.main(["--resume", str(folder)]) == 0
    assert read_jsonl(folder / "metrics.jsonl") == rows
    metrics = read_json(folder / "degradation_digits.json")["metrics"]
    assert set(metrics["depth_cost"]) == {"plainnet", "resnet"}
