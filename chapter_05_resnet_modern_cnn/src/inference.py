"""Classify a picture, or a folder of them, with a trained network of this chapter.

What you learn: the same way from a file to five probabilities as in chapter 4, now with a residual
network of 18 layers, and with a map of where it looked (Grad-CAM, see cam.py).

    python chapter_05_resnet_modern_cnn/src/inference.py                 the course's own airplane
    python chapter_05_resnet_modern_cnn/src/inference.py --image_path photo.jpg
    python chapter_05_resnet_modern_cnn/src/inference.py --image_path MY_FOLDER
    python chapter_05_resnet_modern_cnn/src/inference.py \\
        --model_path ./chapter_05_resnet_modern_cnn/checkpoints/resnet18_intel_scenes.pth

Every format and size that Pillow opens; a file named after a class is counted as right or wrong.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from chapter_04_cnn_classic.classifier import Classifier
from chapter_04_cnn_classic.inference import limits, predict_one
from chapter_04_cnn_classic.predictions import Prediction, in_short, result_table, summary
from chapter_04_cnn_classic.read_image import FITS, UnreadablePicture, list_files
from chapter_05_resnet_modern_cnn.src import cam_figures, cam_methods
from chapter_05_resnet_modern_cnn.src import classifier as shipped
from utils import cli
from utils.errors import UserError
from utils.run import Run

QUICK_PICTURES = 4


def build_parser() -> argparse.ArgumentParser:
    path = f"python {shipped.CHAPTER}/src/inference.py"
    options = f"--model_path ./{shipped.SHIPPED} --image_path ./{shipped.EXAMPLE}"
    parser = cli.make_parser(__doc__, [path, f"{path} {options}"], device=True)
    group = parser.add_argument_group("what to classify")
    help_text = "weights of model_train.py"
    group.add_argument("--model_path", type=cli.path, default=shipped.SHIPPED, help=help_text)
    help_text = "a picture, or a folder"
    group.add_argument("--image_path", type=cli.path, default=shipped.EXAMPLE, help=help_text)
    group.add_argument("--fit", choices=FITS, default="crop", help="how a picture becomes square")
    help_text = "pictures to draw, the first ones; the others are only classified"
    group.add_argument("--explain", type=cli.non_negative_int, default=12, help=help_text)
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    classifier = shipped.load(args.model_path, run.device)
    path = Path(args.image_path)
    files = list_files(path) if path.is_dir() else [path]
    files = files[:QUICK_PICTURES] if run.quick else files
    print(limits(classifier))
    predictions, skipped = [], []
    for file in files:
        try:
            keep = len(predictions) < args.explain
            predictions.append(classify(file, classifier, args.fit, keep))
            print(predictions[-1].line())
        except UnreadablePicture as error:
            skipped.append(str(error))
            print(f"left out: {error}")
    if not predictions:
        raise UserError(" ".join(skipped[:5]))
    report(args, run, classifier, predictions, skipped)


def classify(file: Path, classifier: Classifier, fit: str, keep: bool) -> Prediction:
    """The answer for one file; `keep` its pixels, to be drawn later."""
    picture, pixels = shipped.read(file, classifier, fit)
    shares = classifier.probabilities(pixels[None])[0]  # (classes,)
    return predict_one(picture, pixels if keep else None, shares, classifier)


def heat_of(prediction: Prediction, classifier: Classifier) -> torch.Tensor:
    """Grad-CAM (S, S) of the first answer, in the last layer with maps."""
    x = classifier.standardize(prediction.pixels[None])  # (1, C, S, S)
    label = classifier.classes.index(prediction.top[0][0])
    layer = cam_methods.default_layer(classifier.model, x)
    return cam_methods.grad_cam(classifier.model, x, label, layer).cpu()


def report(
    args: argparse.Namespace,
    run: Run,
    classifier: Classifier,
    predictions: list[Prediction],
    skipped: list[str],
) -> None:
    """The JSON, the picture of all answers with their maps, and how many names were met."""
    metrics = summary(classifier, predictions, skipped)
    run.save_result("inference", metrics, {"main": result_table(predictions)})
    drawn = [p for p in predictions if p.pixels is not None]
    if drawn:
        heats = [heat_of(prediction, classifier) for prediction in drawn]
        title = f"{classifier.name} on {classifier.dataset}"
        run.save_figure(cam_figures.answers(drawn, heats, title), "inference")
    run.finish(
        in_short(metrics), f"python {shipped.CHAPTER}/src/cam.py --image_path YOUR_PHOTO.jpg"
    )


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
