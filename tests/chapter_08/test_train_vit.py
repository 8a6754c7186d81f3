"""train_vit.py: the plan follows the speed, parts are nested and balanced, tables and figures hold
the numbers, looks are right where the answer is known, a stopped run goes on, wrong options end in
one sentence."""

import pytest
import torch

from chapter_04_cnn_classic.image_tasks import load_task
from chapter_08_transformer_vanilla import train_vit
from chapter_08_transformer_vanilla.experiments import picture_looks, picture_tables, pictures
from chapter_08_transformer_vanilla.figures import train_vit as figures
from chapter_08_transformer_vanilla.vit import ViT
from utils.datasets import shapes
from utils.file_io_util import read_json

TINY = ["--dataset", "digits", "--epochs", "1", "--width", "8", "--heads", "2", "--layers", "1",
        "--ffn", "8", "--augment", "none", "--threads", "1"]  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    return load_task("digits")


def row(network, size, seed, test, **facts):
    return {
        "network": network, "pictures": size, "seed": seed, "test": test, "val": test,
        "train": test + 1, "curve": [10.0, test], "seconds": 9.0, "parameters": 7,
        "architecture": {}, **facts,
    }  # fmt: skip


PLANNED = {name: {"epochs": 2, "pictures_per_second": 50.0, "threads": 1}
           for name in ("vit", "resnet")}  # fmt: skip
FACTS = {
    "minutes": 2.0,
    "chance": 10.0,
    "majority": 11.0,
    "linear": {"parameters": 5, "test": 20.0},
}


def metrics_of(rows):
    return picture_tables.collect(rows, PLANNED) | FACTS


# --- data and plan ---


def test_parts_are_nested_balanced_and_as_long_as_the_whole(digits):
    whole = len(digits.train[1])
    seen = []
    for count in (20, 100):
        part = pictures.part_of(digits, count, seed=3)
        assert len(part.train[1]) == whole
        kinds = {x.numpy().tobytes() for x in part.train[0]}
        assert len(kinds) == count
        rest = part.train[1].bincount().float() / whole
        assert rest.min() > 0.08 and rest.max() < 0.12
        seen.append(kinds)
    assert seen[0] < seen[1]
    assert pictures.part_of(digits, whole, 3) is digits


def test_the_plan_is_written_once_and_follows_the_speed(digits, tmp_path, monkeypatch):
    args = train_vit.build_parser().parse_args(["--dataset", "digits", "--minutes", "0.5"])
    run = type("R", (), {"folder": tmp_path, "quick": False})
    train_vit.fill_in(args, run)
    monkeypatch.setattr(pictures, "pictures_per_second", lambda *a: 200.0)
    found = pictures.plan("vit", args, digits, run)
    assert found["epochs"] == round(30 * 200 / len(digits.train[1]))
    monkeypatch.setattr(pictures, "pictures_per_second", lambda *a: 1.0)  # not asked again
    assert pictures.plan("vit", args, digits, run) == found
    args.epochs = 3
    assert pictures.plan("vit", args, digits, run)["epochs"] == 3


def test_speed_is_that_of_the_quickest_steps(digits, monkeypatch):
    ticks = iter(range(100_000))
    waits = [1.0, 1.0, 50.0]  # of three steps one is held up by others
    clock = {"now": 0.0}

    def now():
        clock["now"] += waits[next(ticks) % 3]
        return (clock["now"],)

    monkeypatch.setattr(pictures, "now", now)
    run = type("R", (), {"device": torch.device("cpu"), "precision": "fp32"})
    model = ViT(10, 8, 4, 8, 2, 1, channels=1)
    recipe = pictures.Recipe(batch_size=16)
    assert pictures.pictures_per_second(model, digits, recipe, run, 0.01) == pytest.approx(16.0)


# --- looks ---


def test_masks_are_those_of_the_first_test_pictures():
    scenes = shapes.make_splits(32, 20)[2]
    task = load_task("shapes", limit=40)
    assert torch.equal(torch.from_numpy(scenes.images).permute(0, 3, 1, 2), task.test[0][:20])


def test_a_map_on_the_thing_has_its_whole_share_and_a_flat_one_its_area():
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[:, :4, :4] = True
    flat, right = torch.full((2, 2, 2), 0.25), torch.zeros(2, 2, 2)
    right[:, 0, 0] = 1
    even = {"on_object": 0.25, "mean_map": 0.25, "area": 0.25}
    assert picture_looks.on_object(flat, masks) == even
    assert picture_looks.on_object(right, masks)["on_object"] == 1
    masks[1] = masks[1].flip(0, 1)  # things in opposite corners: their mean knows nothing of one
    right[1] = right[1].flip(0, 1)
    assert picture_looks.on_object(right, masks) == {"on_object": 1, "mean_map": 0.5, "area": 0.25}


def test_the_map_of_equal_weights_is_flat():
    model = ViT(10, 8, 2, 8, 2, 2, channels=1)
    for layer in model.layers:
        torch.nn.init.zeros_(layer.self_attn.in_proj_weight)
    maps = picture_looks.class_maps(model, torch.randn(3, 1, 8, 8))
    torch.testing.assert_close(maps, torch.full((3, 4, 4), 1 / 16))


def test_places_that_know_the_grid_have_neighbours_alike():
    model = ViT(10, 16, 4, 8, 2, 1)
    before = picture_looks.neighbour_cosines(model)
    angle = torch.arange(4) / 4
    row, column = angle.repeat_interleave(4), angle.repeat(4)
    with torch.no_grad():
        model.positions[1:] = torch.stack([row.sin(), row.cos(), column.sin(), column.cos()] * 2, 1)
    after = picture_looks.neighbour_cosines(model)
    assert abs(before["neighbours"] - before["all"]) < 0.3
    assert after["neighbours"] > 0.5 + after["all"]
    mirrored = model.positions[1:].view(4, 4, 8)
    with torch.no_grad():
        mirrored[:, 2:] = mirrored[:, :2].flip(1)
    found = picture_looks.neighbour_cosines(model)
    assert found["left_right"] == pytest.approx(1, abs=1e-5) and found["upside_down"] < 0.9


# --- tables, figures ---


def test_the_table_over_pictures_says_who_is_ahead():
    rows = [row("vit", 100, 1, 30.0), row("vit", 400, 1, 50.0), row("resnet", 100, 1, 45.0),
            row("resnet", 400, 1, 60.0)]  # fmt: skip
    found = picture_tables.tables(metrics_of(rows))
    assert found["pictures"]["rows"] == [
        [100, 30.0, 45.0, 15.0, 31.0, 46.0],
        [400, 50.0, 60.0, 10.0, 51.0, 61.0],
    ]
    assert found["main"]["rows"][0][1:] == [7, 50.0, 2, 51.0, 50.0]
    (ax,) = figures.pictures_figure(metrics_of(rows), "x").axes
    assert [text.get_text() for text in ax.get_xticklabels()] == ["100", "400"]


def test_the_table_of_looks_has_both_networks():
    places = {name: {"neighbours": 0.5, "all": 0.0} for name in ("trained", "untrained")}
    share = {"on_object": 0.4, "mean_map": 0.3, "area": 0.2}
    metrics = metrics_of([row("vit", 100, 1, 30.0)]) | {"places": places}
    assert [r[1:] for r in picture_tables.tables(metrics)["looks"]["rows"]] == [[0.5, 0.0]] * 2
    found = picture_tables.tables(metrics | {"rollout": dict.fromkeys(places, share)})["looks"]
    assert found["rows"][0][3:] == pytest.approx([40, 30, 20]) and len(found["columns"]) == 6


def test_several_seeds_are_means_and_one_network_has_no_lead():
    rows = [row("vit", 100, seed, test) for seed, test in ((1, 30.0), (2, 40.0))]
    metrics = metrics_of(rows)
    assert metrics["networks"]["vit"]["test"][0] == 35 and metrics["seeds"] == 2
    assert set(picture_tables.tables(metrics)) == {"main"}
    (ax,) = figures.curves_figure(metrics, "x").axes
    assert ax.get_xlabel() == "minutes of an idle machine"
    assert ax.lines[0].get_xdata().tolist() == [1.0, 2.0]


# --- the script ---


def test_a_run_writes_what_can_be_evaluated_and_goes_on(tmp_path, capsys):
    out = ["--output_dir", str(tmp_path), "--run_name", "x"]
    assert train_vit.main([*TINY, "--model", "vit", *out]) == 0
    folder = next(tmp_path.glob("*/train_vit-x"))
    metrics = read_json(folder / "vit_digits.json")["metrics"]
    assert metrics["recipes"]["vit"]["optimizer"] and "rollout" not in metrics
    found = train_vit.evaluate_checkpoint(folder / "vit_digits.pth")
    wanted = metrics["networks"]["vit"]["test"][0]
    assert found == {"test_accuracy_percent": pytest.approx(wanted, abs=1e-3)}
    before = (folder / "vit" / "1197_seed_42" / "last.pth").stat().st_mtime_ns
    assert train_vit.main(["--resume", str(folder)]) == 0  # nothing is trained again
    assert (folder / "vit" / "1197_seed_42" / "last.pth").stat().st_mtime_ns == before
    assert read_json(folder / "vit_digits.json")["metrics"] == metrics


def test_several_numbers_of_pictures_have_a_result_of_their_own(tmp_path):
    out = ["--output_dir", str(tmp_path), "--run_name", "x"]
    assert train_vit.main([*TINY, "--model", "vit", "--pictures", "20", "60", *out]) == 0
    folder = next(tmp_path.glob("*/train_vit-x"))
    names = sorted(p.name for p in folder.glob("vit_*"))
    assert names == ["vit_digits_pictures.json", "vit_digits_pictures.png"]


def test_a_part_of_the_pictures_does_not_take_the_name_of_all(tmp_path):
    out = ["--output_dir", str(tmp_path), "--run_name", "x"]
    assert train_vit.main([*TINY, "--model", "resnet", "--pictures", "20", *out]) == 0
    folder = next(tmp_path.glob("*/train_vit-x"))
    assert sorted(p.name for p in folder.glob("vit_*")) == [
        "vit_digits_20.json", "vit_digits_20.png"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options, said",
    [
        (["--patch", "3"], "--patch 3 must divide the pictures' side, 8 px"),
        (["--heads", "3"], "--heads 3 must divide --width 8"),
        (["--width", "6", "--places", "waves"], "needs a --width divisible by 4, not 6"),
        (["--pictures", "5"], "--pictures must be at least 10"),
    ],
)
def test_options_that_do_not_fit_end_in_a_sentence(options, said, tmp_path, capsys):
    assert train_vit.main([*TINY, *options, "--output_dir", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
