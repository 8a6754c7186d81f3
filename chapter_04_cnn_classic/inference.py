"""Classify your own pictures with a trained network, and look at why it says what it says.

What you learn: the way from a file to a prediction, and how to question it. Each picture is shown
as the network sees it, with the five most probable classes, what each stage passes on, what happens
when a place is covered (occlusion), and where the logit is steepest (saliency); see explain.py.

    python chapter_04_cnn_classic/inference.py --img_path photo.jpg
    python chapter_04_cnn_classic/inference.py --img_dir MY_FOLDER --fit pad
    python chapter_04_cnn_classic/inference.py --img_dir ./chapter_04_cnn_classic/data/custom_imgs

The last one takes the course's ten drawings and the shipped network: 25 seconds on one core.
`--model_path` takes any weights that train.py saved.

It reads every format and size that Pillow opens, up to 200 million pixels. From a folder it takes
the files in it, not those of its subfolders; what is no picture is named and left out. A picture
becomes the square that the network reads: by default the largest one in the middle (`--fit`). A
file named after a class (cat.png, cat_2.png) is counted as right or wrong.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chapter_04_cnn_classic import explain, inference_figures
from chapter_04_cnn_classic.classifier import Classifier, load_classifier
from chapter_04_cnn_classic.predictions import (
    Prediction,
    fits_table,
    in_short,
    result_table,
    summary,
    truth_of,
)
from chapter_04_cnn_classic.read_image import (
    FITS,
    Picture,
    UnreadablePicture,
    list_files,
    read_picture,
    shown_name,
)
from utils import cli
from utils.errors import UserError
from utils.run import Run

SHIPPED = "chapter_04_cnn_classic/results/best_model.pth"
CHUNK = 64  # pictures in memory at a time
SHOWN_SIDE = 256  # px, of the originals in the figures
TOP = 5
QUICK_EXPLAINED, QUICK_POSITIONS, QUICK_SAMPLES = 2, 7, 4
NAMED_CLASSES = 20
NAMED_FAILURES = 5  # in the message where no picture could be read


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_04_cnn_classic/inference.py"
    folder = "./chapter_04_cnn_classic/data/custom_imgs"
    examples = [f"{path} --img_path photo.jpg", f"{path} --img_dir {folder} --model_path {SHIPPED}"]
    parser = cli.make_parser(__doc__, examples, device=True)
    group = parser.add_argument_group("what to classify")
    one_of = group.add_mutually_exclusive_group(required=True)
    one_of.add_argument("--img_path", type=cli.path, metavar="FILE", help="one picture")
    one_of.add_argument(
        "--img_dir", type=cli.path, metavar="FOLDER", help="all pictures in this folder"
    )
    help_text = "weights saved by train.py"
    group.add_argument("--model_path", type=cli.path, default=SHIPPED, help=help_text)
    group.add_argument("--fit", choices=FITS, default="crop", help="how a picture becomes square")
    help_text = "swap dark and bright: ink on paper for networks trained on white digits on black"
    group.add_argument("--invert", action="store_true", help=help_text)
    help_text = "pictures to explain, the first ones; the others are only classified"
    group.add_argument("--explain", type=cli.non_negative_int, default=12, help=help_text)
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    files = [Path(args.img_path)] if args.img_path else list_files(Path(args.img_dir))
    classifier = load_classifier(args.model_path, run.device)
    if run.quick:
        args.explain = min(args.explain, QUICK_EXPLAINED)
    print(limits(classifier))
    predictions, skipped = [], []
    for answer in classify(files, classifier, args):
        if isinstance(answer, Prediction):
            predictions.append(answer)
            print(answer.line())
        else:
            skipped.append(str(answer))
            print(f"left out: {answer}")
    if not predictions:
        raise UserError(nothing_read(skipped, args))
    shown = report(args, run, classifier, predictions, skipped)
    draw(args, run, classifier, predictions)
    run.finish(shown, "python chapter_04_cnn_classic/inference.py --img_path YOUR_PHOTO.jpg")


def limits(classifier: Classifier) -> str:
    """What must be known before any answer is believed."""
    c = classifier
    more = ", ..." if len(c.classes) > NAMED_CLASSES else ""
    return (
        f"{c.name}, trained on {c.dataset}, reads {c.image_size} x {c.image_size} px and knows "
        f"{len(c.classes)} classes: {', '.join(c.classes[:NAMED_CLASSES])}{more}.\n"
        "Its probabilities add up to 100 % over these classes whatever the picture shows: for "
        "anything else they mean\nnothing, and for pictures of another kind than its training data "
        "(drawings, say, after photos) little.\n"
    )


# --- from files to predictions ---


def classify(
    files: Sequence[Path], classifier: Classifier, args: argparse.Namespace
) -> Iterator[Prediction | UnreadablePicture]:
    """An answer for each file, in their order; CHUNK pictures are in memory at a time.

    The first `args.explain` predictions keep their pixels and original, the others only the facts.
    """
    to_explain = args.explain
    for start in range(0, len(files), CHUNK):
        answers = [read(path, classifier, args) for path in files[start : start + CHUNK]]
        pairs = [answer for answer in answers if not isinstance(answer, UnreadablePicture)]
        if pairs:
            shares = iter(classifier.probabilities(torch.stack([seen for _, seen in pairs])))
        for answer in answers:
            if isinstance(answer, UnreadablePicture):
                yield answer
                continue
            picture, seen = answer
            yield predict_one(picture, seen if to_explain > 0 else None, next(shares), classifier)
            to_explain -= 1


def read(
    path: Path, classifier: Classifier, args: argparse.Namespace
) -> tuple[Picture, Tensor] | UnreadablePicture:
    """The picture, small enough to be kept, and the pixels (C, S, S) that the network gets."""
    size = classifier.image_size
    try:
        picture = read_picture(path, side=max(SHOWN_SIDE, 2 * size))
    except UnreadablePicture as error:
        return error
    if min(picture.size) < size:
        width, height = picture.size
        picture.notes.append(f"enlarged from {width} x {height} px")
    seen = classifier.view(picture.image, args.fit, args.invert)
    picture.image.thumbnail((2 * SHOWN_SIDE, 2 * SHOWN_SIDE))
    return picture, seen


def predict_one(
    picture: Picture, pixels: Tensor | None, shares: Tensor, classifier: Classifier
) -> Prediction:
    """`shares` (classes,) are the probabilities."""
    values, places = shares.topk(min(TOP, len(classifier.classes)))
    top = [
        (classifier.classes[k], v) for k, v in zip(places.tolist(), values.tolist(), strict=True)
    ]
    if pixels is None:
        picture.image = None  # nobody will look at it
    return Prediction(picture, pixels, top, truth_of(picture.path, classifier.classes))


def nothing_read(skipped: list[str], args: argparse.Namespace) -> str:
    """The sentence for a command that found no picture."""
    if args.img_path:
        return skipped[0]
    named = " ".join(skipped[:NAMED_FAILURES])
    rest = len(skipped) - NAMED_FAILURES
    more = f" And {rest} more." if rest > 0 else ""
    count = f"none of the {len(skipped)} files" if len(skipped) > 1 else "the one file"
    verb = "is" if len(skipped) > 1 else "is not"
    return f"{count} in {shown_name(args.img_dir)} {verb} a readable picture: {named}{more}"


# --- figures and the result ---


def draw(
    args: argparse.Namespace, run: Run, classifier: Classifier, predictions: list[Prediction]
) -> None:
    """The filters once, the explained pictures together, and each with its explanations."""
    title = f"{classifier.name} on {classifier.dataset}"
    filters = explain.first_filters(classifier.model)
    run.save_figure(inference_figures.filters(filters, title), "inference_filters")
    explained = [p for p in predictions if p.pixels is not None]
    if not explained:
        return
    run.save_figure(inference_figures.overview(explained, title), "inference_overview")
    used: set[str] = set()
    for prediction in cli.progress(explained, "explaining"):
        figure = explain_one(args, prediction, classifier, title)
        run.save_figure(figure, figure_name(prediction.picture.path, used))


def explain_one(
    args: argparse.Namespace, prediction: Prediction, classifier: Classifier, title: str
) -> Any:
    """The figure of one picture: what explain.py computes for its most probable class."""
    x = classifier.standardize(prediction.pixels[None])  # (1, C, S, S)
    label = classifier.classes.index(prediction.top[0][0])
    positions, samples = effort(args)
    model = classifier.model
    return inference_figures.explained(
        prediction,
        title,
        maps=explain.feature_maps(model, x),
        drop=explain.occlusion(model, x[0], label, positions=positions),
        slope=explain.saliency(model, x[0], label),
        smooth=explain.smooth_saliency(model, x[0], label, samples=samples, seed=args.seed),
    )


def effort(args: argparse.Namespace) -> tuple[int, int]:
    """Squares a side for occlusion, and noisy copies for SmoothGrad."""
    if args.quick:
        return QUICK_POSITIONS, QUICK_SAMPLES
    return explain.OCCLUSION_POSITIONS, explain.SMOOTH_SAMPLES


def figure_name(path: Path, used: set[str]) -> str:
    """A file name of plain letters that no earlier picture has; added to `used`."""
    base = "explained_" + (re.sub(r"[^A-Za-z0-9-]+", "_", path.stem)[:60].strip("_") or "picture")
    name, number = base, 2
    while name in used:
        name, number = f"{base}_{number}", number + 1
    used.add(name)
    return name


def report(
    args: argparse.Namespace,
    run: Run,
    classifier: Classifier,
    predictions: list[Prediction],
    skipped: list[str],
) -> dict[str, Any]:
    """All predictions as JSON and the table; returns how many of the named ones were right."""
    metrics = summary(classifier, predictions, skipped)
    metrics["chance"] = 100 / len(classifier.classes)
    metrics["occlusion_passes"], metrics["smooth_samples"] = effort(args)[0] ** 2, effort(args)[1]
    tables = {"main": result_table(predictions)}
    if known := [p for p in predictions if p.truth is not None and p.pixels is not None]:
        metrics["fits"] = compare_fits(known, classifier, args.invert)
        tables["fits"] = fits_table(metrics["fits"], len(known))
    run.save_result("inference", metrics, tables)
    return in_short(metrics)


def compare_fits(
    known: list[Prediction], classifier: Classifier, invert: bool
) -> dict[str, dict[str, float]]:
    """Right answers, and the true class's mean probability in per cent, for each way to fit."""
    truth = torch.tensor([classifier.classes.index(p.truth) for p in known])  # (N,)
    found = {}
    for fit in FITS:
        views = [classifier.view(p.picture.image, fit, invert) for p in known]
        shares = classifier.probabilities(torch.stack(views))  # (N, classes)
        found[fit] = {
            "right": int((shares.argmax(dim=1) == truth).sum()),
            "truth": 100 * shares.gather(1, truth[:, None]).mean().item(),
        }
    return found


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
