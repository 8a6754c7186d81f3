"""Where does the network look? Five answers, and numbers that say which of them to believe.

What you learn: class activation maps and their relatives (cam_methods.py derives them), drawn for a
picture of yours; how good each is as an explanation (deletion and insertion); whether it depends on
what the network has learnt (maps of a network with shuffled weights).

    python chapter_05_resnet_modern_cnn/src/cam.py                       the course's own airplane
    python chapter_05_resnet_modern_cnn/src/cam.py --image_path photo.jpg --target dog
    python chapter_05_resnet_modern_cnn/src/cam.py --methods grad_cam score_cam --layer layer3
    python chapter_05_resnet_modern_cnn/src/cam.py --test_pictures 200    scores over the test split
    python chapter_05_resnet_modern_cnn/src/cam.py --test_pictures 200 \\
        --model_path ./chapter_05_resnet_modern_cnn/checkpoints/resnet20_shapes.pth

The last one takes drawn scenes, whose objects are known to the pixel: how much of each map lies on
the object? Pictures go to `cam_vis/` in the run's folder.
"""

from __future__ import annotations

import argparse
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chapter_04_cnn_classic.classifier import Classifier
from chapter_04_cnn_classic.looking import maps_of, watching
from chapter_05_resnet_modern_cnn.src import cam_figures, cam_methods
from chapter_05_resnet_modern_cnn.src import classifier as shipped
from chapter_05_resnet_modern_cnn.src.dataset import load_task
from utils import cli
from utils.datasets import shapes
from utils.errors import UserError
from utils.results import over_seeds, table
from utils.run import Run

SHUFFLED = (0, 1, 2, 4, 8)  # of the last layers with weights, in the sanity check
SANITY_METHODS = ("grad_cam", "integrated_gradients")
FINE = 6  # places a side that a map should have, where the method has the choice
Layers = dict[str, nn.Module]  # by method
Places = dict[str, tuple[int, int]]  # by method: height and width of its maps


def build_parser() -> argparse.ArgumentParser:
    path = f"python {shipped.CHAPTER}/src/cam.py"
    options = f"--model_path ./{shipped.SHIPPED} --image_path ./{shipped.EXAMPLE}"
    parser = cli.make_parser(__doc__, [path, f"{path} {options}"], device=True)
    group = parser.add_argument_group("what to explain")
    help_text = "weights of model_train.py"
    group.add_argument("--model_path", type=cli.path, default=shipped.SHIPPED, help=help_text)
    help_text = "a picture"
    group.add_argument("--image_path", type=cli.path, default=shipped.EXAMPLE, help=help_text)
    group.add_argument("--target", help="class to explain (default: the most probable one)")
    help_text = (
        f"name in the network (default: the last one with {FINE} x {FINE} places; CAM: the last)"
    )
    group.add_argument("--layer", help=help_text)
    choices = list(cam_methods.METHODS)
    group.add_argument("--methods", nargs="+", choices=choices, default=choices)
    help_text = "also score the methods on that many test pictures of the network's data set"
    group.add_argument("--test_pictures", type=cli.non_negative_int, default=0, help=help_text)
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    if not Path(args.image_path).is_file():
        raise UserError(f"there is no picture {args.image_path}.")
    classifier = shipped.load(args.model_path, run.device)
    if run.quick:
        args.methods = [name for name in args.methods if name != "score_cam"] or args.methods
        args.test_pictures = min(args.test_pictures, 8)
    picture, pixels = shipped.read(args.image_path, classifier)
    layers = layers_of(args, pixels, classifier)
    places = all_places(classifier, layers, pixels)
    label = label_of(args.target, pixels, classifier)
    print(f"{picture.path.name}: explained as {classifier.classes[label]}")
    one = explain(pixels, label, classifier, layers)
    metrics = {
        "picture": picture.path.name,
        "class": classifier.classes[label],
        "probability": classifier.probabilities(pixels[None])[0, label].item(),
        "dataset": classifier.dataset,
        "model": classifier.name,
        "scores": one["scores"],
        "places": places,
        "shuffled": one["counts"],
        "sanity": one["sanity"],
        "empty": one["empty"],
    }
    rows = {name: [row] for name, row in one["scores"].items()}
    tables = {"main": score_table(rows, places)}
    if args.test_pictures:
        rows = over_test_split(args, classifier, layers)
        metrics["test"] = {name: over_seeds(values) for name, values in rows.items()}
        metrics["best"] = max(rows, key=lambda name: metrics["test"][name]["score"][0])
        tables["test"] = score_table(rows, places)
    run.save_result(f"cam_{classifier.dataset}", metrics, tables)
    draw(run, classifier, pixels, label, places, picture.path, one)
    shown = {f"{n}: insertion - deletion": row["score"] for n, row in one["scores"].items()}
    run.finish(shown, f"python {shipped.CHAPTER}/src/fine_tune.py --quick")


def layers_of(args: argparse.Namespace, pixels: Tensor, classifier: Classifier) -> Layers:
    """The layer of each method; UserError names the parts of the network if there is none.

    CAM has no choice: it needs what the network averages over. The others take the last layer whose
    maps are not too coarse to be seen.
    """
    model, x = classifier.model, classifier.standardize(pixels[None])
    if args.layer is not None:
        known = dict(model.named_modules())
        if args.layer not in known:
            outer = ", ".join(child for child, _ in model.named_children())
            raise UserError(f"the network has no layer {args.layer!r}; its parts are {outer}.")
        return dict.fromkeys(args.methods, known[args.layer])
    try:
        last = fine = cam_methods.default_layer(model, x)
        with suppress(ValueError):  # a network of coarse maps only
            fine = cam_methods.default_layer(model, x, FINE)
    except ValueError as error:
        raise UserError(f"{error}.") from None
    return {name: last if name == "cam" else fine for name in args.methods}


def label_of(target: str | None, pixels: Tensor, classifier: Classifier) -> int:
    """The number of the class to explain."""
    if target is None:
        return int(classifier.probabilities(pixels[None]).argmax())
    if target not in classifier.classes:
        raise UserError(f"there is no class {target!r}; known are {', '.join(classifier.classes)}.")
    return classifier.classes.index(target)


def explain(pixels: Tensor, label: int, classifier: Classifier, layers: Layers) -> dict[str, Any]:
    """Maps by method with their scores, and the maps and rank correlations of shuffled networks.

    A correlation with an empty map is not defined: it is nan, and the map's number of shuffled
    layers stands under "empty".
    """
    x, model = classifier.standardize(pixels[None]), classifier.model  # (1, C, S, S)
    heats = {name: heat(name, model, x, label, layer) for name, layer in layers.items()}
    scores = {name: cam_methods.deletion_insertion(model, x, label, h) for name, h in heats.items()}
    most = len(cam_methods.layers_with_weights(model))
    counts = [count for count in SHUFFLED if count <= most]
    shuffled: dict[str, list[Tensor]] = {name: [] for name in SANITY_METHODS if name in layers}
    for name, maps in shuffled.items():
        for count in counts:
            with cam_methods.randomised(model, count):
                maps.append(heat(name, model, x, label, layers[name]))
    sanity = {
        name: [cam_methods.rank_correlation(maps[0], m) for m in maps]
        for name, maps in shuffled.items()
    }
    empty = {
        name: [n for n, m in zip(counts, maps, strict=True) if cam_methods.is_empty(m)]
        for name, maps in shuffled.items()
    }
    found = {"heats": heats, "scores": scores, "counts": counts, "shuffled": shuffled}
    return found | {"sanity": sanity, "empty": empty}


def heat(name: str, model: nn.Module, x: Tensor, label: int, layer: nn.Module) -> Tensor:
    """One map (S, S); UserError where the method does not fit the layer."""
    try:
        return cam_methods.METHODS[name](model, x, label, layer)
    except ValueError as error:
        raise UserError(f"{name}: {error}.") from None


def draw(
    run: Run,
    classifier: Classifier,
    pixels: Tensor,
    label: int,
    places: Places,
    path: Path,
    one: dict[str, Any],
) -> None:
    """The maps of all methods, and those of the shuffled networks."""
    stem = re.sub(r"[^A-Za-z0-9-]+", "_", path.stem)[:60].strip("_") or "picture"
    said = f"{classifier.name} on {classifier.dataset}, evidence for {classifier.classes[label]}"
    scores = {name: row["score"] for name, row in one["scores"].items()}
    heats = {name: h.cpu() for name, h in one["heats"].items()}
    run.save_figure(cam_figures.methods(pixels, heats, scores, places, said), f"cam_vis/{stem}")
    if one["shuffled"]:
        maps = {name: [h.cpu() for h in row] for name, row in one["shuffled"].items()}
        figure = cam_figures.sanity(
            pixels, maps, one["sanity"], one["counts"], f"{said}, weights shuffled"
        )
        run.save_figure(figure, f"cam_vis/{stem}_sanity")


def over_test_split(
    args: argparse.Namespace, classifier: Classifier, layers: Layers
) -> dict[str, list[dict[str, float]]]:
    """Scores of every method on the first test pictures, for the class the network names.

    Drawn scenes come with masks: then also the share of the map that lies on the object.
    """
    masks = None
    if classifier.dataset.startswith("shapes"):
        scenes = shapes.make_splits(classifier.image_size, args.test_pictures)[2]
        masks = torch.from_numpy(scenes.masks.any(axis=1))  # (N, H, W)
        images = torch.from_numpy(scenes.images).permute(0, 3, 1, 2)
    else:
        images = load_task(classifier.dataset, args.data_dir, args.test_pictures).test[0]
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in args.methods}
    # Of the layer for integrated gradients too: "near the object" is the same for all methods.
    places = {name: places_of(classifier, layer, images[0]) for name, layer in layers.items()}
    for number, pixels in enumerate(cli.progress(images, "test pictures")):
        x = classifier.standardize(pixels[None])
        label = int(classifier.probabilities(pixels[None]).argmax())
        for name in args.methods:
            h = heat(name, classifier.model, x, label, layers[name])
            row = cam_methods.deletion_insertion(classifier.model, x, label, h)
            if masks is not None:
                row |= on_the_object(h.cpu(), masks[number], places[name])
            rows[name].append(row)
    return rows


def all_places(classifier: Classifier, layers: Layers, pixels: Tensor) -> Places:
    """How many places the map of each method has; integrated gradients have every pixel."""
    found = {name: places_of(classifier, layer, pixels) for name, layer in layers.items()}
    own = {"integrated_gradients": tuple(pixels.shape[1:])}
    return {name: own.get(name, size) for name, size in found.items()}


def places_of(classifier: Classifier, layer: nn.Module, pixels: Tensor) -> tuple[int, int]:
    """Height and width (h, w) of the layer's maps; UserError if it gives none."""
    with torch.no_grad(), watching(layer) as seen:
        classifier.model(classifier.standardize(pixels[None]))
    try:
        return tuple(maps_of(seen).shape[2:])
    except ValueError as error:
        raise UserError(f"{error}; take another --layer.") from None


def on_the_object(heat: Tensor, mask: Tensor, places: tuple[int, int]) -> dict[str, float]:
    """How well a map (H, W) finds the object of a mask (H, W), in per cent.

    `ceiling`: the mask itself, as coarse as the layer's (h, w) places. `near`: on the object or at
    most half a place beside it; `near_area` is the share of the picture that this covers.
    """
    coarse = cam_methods.as_coarse_as(places, mask)
    half = tuple(side // (2 * count) for side, count in zip(mask.shape, places, strict=True))
    near = cam_methods.widened(mask, half)
    return {
        "ceiling": 100 * cam_methods.mass_inside(coarse, mask),
        "inside": 100 * cam_methods.mass_inside(heat, mask),
        "near": 100 * cam_methods.mass_inside(heat, near),
        "near_area": 100 * near.float().mean().item(),
        "hot_inside": 100 * cam_methods.mass_inside(cam_methods.hottest(heat), mask),
        "points": 100.0 * cam_methods.points_inside(heat, mask),
        "area": 100 * mask.float().mean().item(),
    }


def score_table(rows: dict[str, list[dict[str, float]]], places: Places) -> dict[str, Any]:
    """Mean and deviation over the pictures, of a single picture its own numbers."""
    columns = [
        ("Method", "方法", ""),
        ("Places", "位置", ""),
        ("Deletion (low is good)", "删除（越低越好）", ".3f"),
        ("Insertion (high is good)", "插入（越高越好）", ".3f"),
        ("Insertion - deletion", "插入 − 删除", ".3f"),
    ]
    keys = ["deletion", "insertion", "score"]
    if "inside" in next(iter(rows.values()))[0]:
        columns += [
            ("Heat on the object (%)", "落在物体上的热度（%）", ".1f"),
            ("Or within half a place of it (%)", "或在半个位置之内（%）", ".1f"),
            ("Of the heat over half of its maximum (%)", "超过最大值一半的热度（%）", ".1f"),
            ("Maximum on the object (%)", "最热点在物体上（%）", ".1f"),
            ("Object's area (%)", "物体面积（%）", ".1f"),
        ]
        keys += ["inside", "near", "hot_inside", "points", "area"]
    lines = []
    for name, values in rows.items():
        mean = over_seeds(values)
        spread = len(values) > 1  # of yes and no ("points") it would say nothing
        cells = [mean[key] if spread and key != "points" else mean[key][0] for key in keys]
        lines.append([cam_figures.NAMES[name], "{} x {}".format(*places[name]), *cells])
    return table(columns, lines)


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
