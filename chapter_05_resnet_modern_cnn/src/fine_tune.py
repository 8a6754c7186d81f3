"""Transfer learning: what is a trained network worth on a new task with few labels?

What you learn: four ways to train a network on 10 to 100 labelled pictures a class.

    scratch      random first weights; nothing is taken over
    frozen       the source's features stay as they are; over them the best linear layer there is
    full         everything learns, with one small rate
    layerwise    everything learns, early stages with smaller rates (Howard and Ruder 2018)

    python chapter_05_resnet_modern_cnn/src/fine_tune.py --embedded                shapes, 6 minutes
    python chapter_05_resnet_modern_cnn/src/fine_tune.py   scenes to photographs, half an hour
    python chapter_05_resnet_modern_cnn/src/fine_tune.py --source torchvision    ImageNet's weights
    python chapter_05_resnet_modern_cnn/src/fine_tune.py --resume RUN_FOLDER           after Ctrl-C

`--embedded` needs no file: a small residual network learns five of the drawn shapes, and is then
fine-tuned on the other five. transfer.py has the mechanisms.

All runs of a seed see the same augmented pictures (subsets are nested), and standardise pixels as
the source did; the last weights are tested, nothing is chosen. Three methods make the same number
of steps and differ only in their start and rates. The frozen one needs no steps: its features are
computed once, and the linear layer over them has one best setting, which is found exactly.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from chapter_03_optimization_regularization.schedulers import OneCycleLR
from chapter_03_optimization_regularization.training import Batches, classification_loss, fit
from chapter_04_cnn_classic import recipe as recipes
from chapter_04_cnn_classic.exp_data_size import repeated
from chapter_04_cnn_classic.image_tasks import ImageTask, train_batches
from chapter_04_cnn_classic.recipe import Recipe
from chapter_05_resnet_modern_cnn.src import baselines, transfer, transfer_figures
from chapter_05_resnet_modern_cnn.src.dataset import DATASETS, load_task
from chapter_05_resnet_modern_cnn.src.model import build_model, load_model
from chapter_05_resnet_modern_cnn.src.model_train import build_network, facts_of
from utils import cli
from utils.checkpoint import save_checkpoint
from utils.errors import UserError
from utils.model_summary import parameter_count
from utils.results import cells, over_seeds, table
from utils.run import Run

PATH = "chapter_05_resnet_modern_cnn/src/fine_tune.py"
SHIPPED = "chapter_05_resnet_modern_cnn/checkpoints/resnet18_intel_scenes.pth"
# A source ready-made: one that has learnt five shapes takes minutes.
QUICK_SOURCE = "chapter_05_resnet_modern_cnn/checkpoints/resnet20_cifar10.pth"
QUICK_PICTURES = 600  # of all ten shapes
METHODS = ("scratch", "frozen", "full", "layerwise")
RATES = {"scratch": 3e-3, "full": 3e-4, "layerwise": 1e-3}  # the highest, of AdamW
STEPS, STEPS_EMBEDDED = 100, 600
SOURCE_CLASSES, TARGET_CLASSES = range(5), range(5, 10)  # of shapes, in the embedded form
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}  # torchvision's


@dataclass(frozen=True)
class Source:
    """A trained network, how to build it anew, and what it was trained on."""

    model: nn.Module
    architecture: dict[str, Any]
    dataset: str
    classes: tuple[str, ...]
    mean: list[float]
    std: list[float]
    metrics: dict[str, float]  # on its own data


def build_parser() -> argparse.ArgumentParser:
    parser = cli.make_parser(
        __doc__, [f"python {PATH} --embedded", f"python {PATH}"], device=True, precision=True
    )
    group = parser.add_argument_group("transfer")
    help_text = "weights of model_train.py, or torchvision"
    group.add_argument("--source", default=SHIPPED, help=help_text)
    group.add_argument("--dataset", choices=DATASETS, default="natural_images96", help="target")
    group.add_argument("--embedded", action="store_true", help="five shapes, then the other five")
    help_text = "training pictures of each class"
    group.add_argument(
        "--labels", type=cli.positive_int, nargs="+", default=[10, 30, 100], help=help_text
    )
    group.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    group.add_argument("--seeds", type=cli.positive_int, default=2, help="subsets and new weights")
    group = parser.add_argument_group("training")
    help_text = f"of every run but frozen (default: {STEPS}, embedded {STEPS_EMBEDDED})"
    group.add_argument("--steps", type=cli.positive_int, help=help_text)
    group.add_argument("--batch_size", type=cli.positive_int, default=32)
    group.add_argument(
        "--lr", type=cli.positive_float, help="highest rate, not of frozen (default: by method)"
    )
    help_text = "layerwise: a stage's rate is the next one's divided by this"
    group.add_argument("--factor", type=cli.positive_float, default=transfer.FACTOR, help=help_text)
    group.add_argument("--weight_decay", type=cli.non_negative_float, default=0.01)
    cli.add_resume_option(group, free=["methods", "labels", "seeds"])
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    args.embedded = args.embedded or run.quick
    args.steps = args.steps or usual_steps(args)
    if run.quick:
        args.labels, args.seeds, args.steps, args.batch_size = [10], 1, 60, 16
    args.labels = sorted(set(args.labels))
    source, task = embedded(args, run) if args.embedded else given(args)
    task = replace(task, mean=torch.tensor(source.mean), std=torch.tensor(source.std))
    results: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for method in args.methods:
        results[method] = {}
        for count in args.labels:
            results[method][count] = []
            for seed in range(args.seed, args.seed + args.seeds):
                work = partial(train_one, method, count, source, task, seed, args, run)
                row = run.once(work, dataset=task.name, method=method, labels=count, seed=seed)
                results[method][count].append(row)
    report(args, run, source, task, results)


def usual_steps(args: argparse.Namespace) -> int:
    return STEPS_EMBEDDED if args.embedded else STEPS


def given(args: argparse.Namespace) -> tuple[Source, ImageTask]:
    """The network of --source, and the target; UserError where they do not go together."""
    source = imagenet_source() if args.source == "torchvision" else source_of(args.source)
    if source.dataset == args.dataset:
        raise UserError(
            f"--source was trained on {source.dataset} itself; choose another --dataset."
        )
    task = load_task(args.dataset, args.data_dir)
    if task.channels != source.architecture.get("channels", 3):
        raise UserError(f"{args.source} reads pictures of another kind than {args.dataset}.")
    return source, task


def source_of(path: str) -> Source:
    """A checkpoint of model_train.py; UserError names what works without it."""
    if not Path(path).is_file():
        raise UserError(
            f"there are no weights {path}; train a network with model_train.py, or take the form "
            f"that needs no file: python {PATH} --embedded"
        )
    model, found = load_model(path)
    if not {"classes", "mean", "std"} <= found.keys():
        raise UserError(f"{path} does not say what its pictures were: it is not of model_train.py.")
    facts = (found["architecture"], found["dataset"], tuple(found["classes"]))
    return Source(model, *facts, found["mean"], found["std"], found["metrics"])


def imagenet_source() -> Source:
    """torchvision's ResNet-18; UserError where it can be neither found nor downloaded."""
    from torchvision.models import ResNet18_Weights

    architecture = {"model": "resnet18", "num_classes": 1000, "image_size": 224, "channels": 3}
    weights = ResNet18_Weights.IMAGENET1K_V1
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # no connection; a file with another checksum
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"torchvision's weights could not be downloaded ({reason}); take the shipped ones "
            f"(leave out --source), or the form that needs no file: python {PATH} --embedded"
        ) from None
    model = build_network(architecture)
    model.load_state_dict(state)
    classes = tuple(weights.meta["categories"])
    return Source(model, architecture, "imagenet", classes, **IMAGENET, metrics={})


def embedded(args: argparse.Namespace, run: Run) -> tuple[Source, ImageTask]:
    """A small network trained on half of the shapes, and the task of the other half.

    The network is kept as source.pth in the run's folder: a resumed run goes on with the same one.
    """
    whole = load_task("shapes", limit=QUICK_PICTURES if run.quick else None)
    if run.quick:
        print(f"--quick: {QUICK_SOURCE}, which has seen no shape, in the place of the network.")
        return source_of(QUICK_SOURCE), transfer.only_classes(whole, TARGET_CLASSES)
    path = run.folder / "source.pth"
    if args.resume is None or not path.is_file():
        train_source(transfer.only_classes(whole, SOURCE_CLASSES), path, args, run)
    return source_of(str(path)), transfer.only_classes(whole, TARGET_CLASSES)


def train_source(task: ImageTask, path: Path, args: argparse.Namespace, run: Run) -> None:
    """The small network of the embedded form, trained and kept in `path`."""
    torch.manual_seed(args.seed)
    architecture = task.architecture("resnet20")
    model = build_network(architecture)
    recipe = Recipe(6, 64, 0.02, "muon", weight_decay=0.05, augment="flip,crop")
    where = placed(args, run)
    recipes.train(model, task, recipe, args.seed, label="source", **where)
    metrics = {"test_accuracy_percent": 100 * recipes.accuracy(model, task, **where)}
    facts = {"architecture": architecture, "dataset": task.name, "metrics": metrics}
    save_checkpoint(path, model.cpu().state_dict(), **facts, **facts_of(task))


def placed(args: argparse.Namespace, run: Run) -> dict[str, Any]:
    """Where and in which numbers a training computes."""
    return {"device": run.device, "precision": run.convolution_precision}


def train_one(
    method: str,
    count: int,
    source: Source,
    task: ImageTask,
    seed: int,
    args: argparse.Namespace,
    run: Run,
) -> dict[str, Any]:
    """One training on `count` labels a class: test accuracy in per cent, loss, seconds."""
    where = placed(args, run)
    rows = transfer.rows_with_labels(task, count, seed)
    rows = repeated(rows, args.steps * args.batch_size, seed)  # one pass = args.steps steps
    part = replace(task, train=(task.train[0][rows], task.train[1][rows]))
    batches = train_batches(part, args.batch_size, seed, "flip,crop")
    torch.manual_seed(seed)
    model = start(method, source, len(task.classes))
    model.to(device=run.device, memory_format=torch.channels_last)
    begun = time.perf_counter()
    if method == "frozen":
        x, y = transfer.features(model, batches, **where)
        decay = 1 / (count * len(task.classes))  # scikit-learn's C = 1 for the labelled pictures
        found = transfer.fit_head(transfer.head(model), x, y, decay)
    else:
        label = f"{method}, {count} labels, seed {seed}"
        found = {"loss": descend(method, model, batches, args, label, where)}
    seconds = time.perf_counter() - begun
    return {
        "test": 100 * recipes.accuracy(model, task, **where),
        "train_loss": found["loss"],
        "trained": parameter_count(model, trainable=True),
        "seconds": seconds,
    }


def descend(
    method: str,
    model: nn.Module,
    batches: Batches,
    args: argparse.Namespace,
    label: str,
    where: dict[str, Any],
) -> float:
    """One pass with AdamW and one cycle; the mean loss of its last tenth."""
    factor = args.factor if method == "layerwise" else 1.0
    groups = transfer.parameter_groups(
        model, args.lr or RATES[method], factor=factor, weight_decay=args.weight_decay
    )
    optimizer = torch.optim.AdamW(groups)
    peaks = [group["lr"] for group in groups]
    schedule = OneCycleLR(optimizer, peaks, total_steps=args.steps)
    options = {"epochs": 1, "scheduler": schedule, "label": label}
    history = fit(model, classification_loss(), optimizer, batches, **options, **where)
    return float(np.mean(history.step_losses[-max(1, args.steps // 10) :]))


def start(method: str, source: Source, num_classes: int) -> nn.Module:
    """The network before the first step: random, or the source's with a new head."""
    if method == "scratch":
        facts = source.architecture | {"num_classes": num_classes}
        return build_model(facts.pop("model"), **facts)
    model = copy.deepcopy(source.model)
    transfer.replace_head(model, num_classes)
    if method == "frozen":
        transfer.freeze(model, transfer.stages(model))
    return model


def report(
    args: argparse.Namespace,
    run: Run,
    source: Source,
    task: ImageTask,
    results: dict[str, dict[int, list[dict[str, Any]]]],
) -> None:
    name = "fine_tune_embedded" if args.embedded else f"fine_tune_{task.name}_{source.dataset}"
    if args.steps != usual_steps(args) and not run.quick:
        name = f"{name}_{args.steps}_steps"
    chance = 100 / len(task.classes)
    pair = f"{task.name} after {source.dataset}"
    if args.embedded:
        pair = f"five shapes after {source.dataset if run.quick else 'five others'}"
    title = f"{source.architecture['model']}, {pair}: {args.steps} steps"
    means = {m: {str(n): over_seeds(r) for n, r in by.items()} for m, by in results.items()}
    metrics = {
        "methods": means,
        "runs": results,
        "best": {str(n): best_method(results, n) for n in args.labels},
        "rates": {method: args.lr or rate for method, rate in RATES.items()},
        "steps": args.steps,
        "source": {"dataset": source.dataset, "classes": list(source.classes)} | source.metrics,
        "target": {"dataset": task.name, "classes": list(task.classes)},
        "chance": chance,
        "precision": run.convolution_precision,
        "baseline": 100 * baselines.majority_accuracy(task)["test"],
        "origin": task.origin,
    }
    seeds = list(range(args.seed, args.seed + args.seeds))
    run.save_result(name, metrics, {"main": result_table(results)}, seeds)
    run.save_figure(transfer_figures.curves(results, chance, title), name)
    fewest = args.labels[0]
    finals = {f"{m}, {fewest} labels a class: test accuracy (%)": by[str(fewest)]["test"][0]
              for m, by in means.items()}  # fmt: skip
    run.finish(finals, "python chapter_05_resnet_modern_cnn/src/exp_modern.py")


def best_method(results: dict[str, dict[int, list[dict[str, Any]]]], count: int) -> str:
    return max(results, key=lambda method: over_seeds(results[method][count])["test"][0])


def result_table(results: dict[str, dict[int, list[dict[str, Any]]]]) -> dict[str, Any]:
    counts = list(next(iter(results.values())))
    columns = [
        ("Method", "方法", ""),
        ("Trained parameters", "训练的参数量", ",d"),
        *[(f"Test accuracy, {n} labels a class (%)", f"测试准确率，每类 {n} 个标签（%）", ".1f")
          for n in counts],
        (f"Training loss, {counts[-1]} labels a class (nats)",
         f"训练损失，每类 {counts[-1]} 个标签（nat）", ".2f"),
    ]  # fmt: skip
    lines = []
    for method, by_count in results.items():
        scores = [score for rows in by_count.values() for score in cells(rows, ["test"])]
        trained = by_count[counts[0]][0]["trained"]
        (loss,) = cells(by_count[counts[-1]], ["train_loss"])  # how far the training has come
        lines.append([transfer_figures.NAMES[method], trained, *scores, loss])
    return table(columns, lines)


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
