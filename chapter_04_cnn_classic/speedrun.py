"""CIFAR-10 as fast as two CPU cores allow: seconds against accuracy.

What you learn: a fixed budget of seconds changes every choice. Not "what is the best network" but
"what buys the most accuracy for a second": a whitened first layer instead of waiting for one to be
learnt, small pictures while the network is still crude, orthogonalised steps (Muon, chapter 3),
flips that never show a picture twice the same way, and averaging over shifted views at the end.

    python chapter_04_cnn_classic/speedrun.py                            CIFAR-10, three budgets
    python chapter_04_cnn_classic/speedrun.py --budgets 3 --widths 32,96,160
    python chapter_04_cnn_classic/speedrun.py --dataset shapes --budgets 4        embedded
    python chapter_04_cnn_classic/speedrun.py --resume RUN_FOLDER                 after a stop

Everything after the data is in memory counts as time: whitening, training, and the test with its
views. Settings were chosen on the validation split; `--use_val` then trains on all 50,000 pictures.

The ideas are those of airbench (Jordan 2024, arXiv 2404.00498) and its forerunners (Page 2018),
written anew for a CPU; small pictures first are progressive resizing (Howard 2018).
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from chapter_04_cnn_classic.image_tasks import ImageTask, facts_of, load_task
from chapter_04_cnn_classic.recipe import share_right
from chapter_04_cnn_classic.speedrun_network import SpeedNet
from chapter_04_cnn_classic.speedrun_training import (
    Settings,
    check_settings,
    predict,
    train,
)
from utils import cli, plotting
from utils.checkpoint import evaluator, load_checkpoint, load_state, save_checkpoint
from utils.device import pick_precision
from utils.errors import UserError
from utils.model_summary import parameter_count
from utils.results import cells, over_seeds, table
from utils.run import Run

TARGET = 92.0  # per cent, of the extrapolation
QUICK_PICTURES = 2_000
VIEWS = (1, 2, 6)  # of a test picture: itself, its mirror image, both shifted to two corners


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_04_cnn_classic/speedrun.py"
    parser = cli.make_parser(
        __doc__, [path, f"{path} --dataset shapes --budgets 4"], precision=True
    )
    group = parser.add_argument_group("speedrun")
    group.add_argument("--dataset", choices=["cifar10", "shapes"], default="cifar10")
    group.add_argument("--budgets", type=floats, default=[2, 4, 7], help="epochs of each training")
    group.add_argument("--seeds", type=cli.positive_int, default=1, help="runs of each budget")
    group.add_argument("--widths", type=widths, default=Settings.widths, help="channels by block")
    group.add_argument("--batch_size", type=cli.positive_int, default=Settings.batch_size)
    group.add_argument("--small_share", type=cli.fraction, default=Settings.small_share)
    group.add_argument("--small_size", type=cli.positive_int, default=Settings.small_size)
    group.add_argument("--muon_lr", type=cli.positive_float, default=Settings.muon_lr)
    group.add_argument("--head_lr", type=cli.positive_float, default=Settings.head_lr)
    group.add_argument("--bias_lr", type=cli.positive_float, default=Settings.bias_lr)
    group.add_argument("--use_val", action="store_true", help="train on the validation split too")
    cli.add_resume_option(group, free=["budgets", "seeds"])
    return parser


def floats(text: str) -> list[float]:
    """ "2,4,7" -> [2.0, 4.0, 7.0]."""
    values = [cli.positive_float(word) for word in text.split(",")]
    return values


def widths(text: str) -> tuple[int, ...]:
    """ "48,160,256" -> (48, 160, 256)."""
    return tuple(cli.positive_int(word) for word in text.split(","))


def train_one(
    task: ImageTask, settings: Settings, seed: int, use_val: bool, precision: str, run: Run
) -> dict[str, float]:
    """One training and its tests: seconds, and accuracies in per cent by number of views.

    With `use_val` the validation split was trained on, and the test split judges; else validation.
    The weights go to the run's folder.
    """
    started = time.perf_counter()
    model = train(task, settings, seed, use_val, precision)
    result = {"seconds_training": time.perf_counter() - started}
    split = "test" if use_val else "val"
    for views in VIEWS:
        began = time.perf_counter()
        logits = predict(model, task, split, views, precision)
        result[f"accuracy_{views}_percent"] = 100 * share_right(logits, getattr(task, split)[1])
        result[f"seconds_test_{views}"] = time.perf_counter() - began
    result["seconds"] = result["seconds_training"] + result[f"seconds_test_{VIEWS[-1]}"]
    path, facts = weights_of(settings, seed, run), {"architecture": {"model": "speedrun"}}
    save_checkpoint(path, model.state_dict(), **facts, dataset=task.name, metrics={})
    return result


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        run.smoke = args.dataset != "shapes"
        args.budgets, args.widths, args.batch_size = [1.0, 3.0], (16, 48, 96), 50
    task = load_task(args.dataset, args.data_dir, limit=QUICK_PICTURES if args.quick else None)
    if task.channels != 3:
        raise UserError("the speedrun's first layer reads colour pictures.")
    precision = pick_precision(torch.device("cpu"), args.precision, convolutions=True)
    for epochs in args.budgets:  # all of them before the first training
        check_settings(task, settings_of(args, epochs), args.use_val)
    rows = []
    for epochs in args.budgets:
        settings = settings_of(args, epochs)
        runs = []
        for seed in range(args.seed, args.seed + args.seeds):
            work = partial(train_one, task, settings, seed, args.use_val, precision, run)
            runs.append(run.once(work, dataset=task.name, epochs=epochs, seed=seed))
        rows.append((settings, runs))
    report(args, run, task, rows, precision)


def weights_of(settings: Settings, seed: int, run: Run) -> Path:
    return run.folder / f"epochs{settings.epochs:g}_seed{seed}.pth"


def settings_of(args: argparse.Namespace, epochs: float) -> Settings:
    names = ("batch_size", "widths", "small_share", "small_size", "muon_lr", "head_lr", "bias_lr")
    return Settings(epochs=epochs, **{name: getattr(args, name) for name in names})


def report(args, run: Run, task: ImageTask, rows: list, precision: str) -> None:
    """The table of seconds against accuracy, its picture, and the first longest run's weights."""
    settings, (result, *_) = max(rows, key=lambda row: row[0].epochs)
    state = load_checkpoint(weights_of(settings, args.seed, run))["state"]
    split = "test" if args.use_val else "validation"
    name = f"speedrun_{task.name}"
    metrics = {
        "runs": {f"{s.epochs:g}": runs for s, runs in rows},
        "means": {f"{s.epochs:g}": means(runs) for s, runs in rows},
        "longest": means(max(rows, key=lambda row: row[0].epochs)[1]),
        "settings": asdict(settings),
        "doubling": doubling([means(runs) for _, runs in rows]),
        "rate": rate(settings, task, result["seconds_training"], args.use_val),
        "split": split,
        "precision": precision,
        "parameters": parameter_count(SpeedNet(settings.widths, len(task.classes))),
        "origin": task.origin,
    }
    seeds = list(range(args.seed, args.seed + args.seeds))
    run.save_result(name, metrics, {"main": speed_table(rows)}, seeds)
    run.save_checkpoint(
        f"{task.name}_speedrun.pth",
        state,
        architecture={
            "model": "speedrun",
            "num_classes": len(task.classes),
            "widths": list(settings.widths),
        },
        folder="results",
        dataset=task.name,
        metrics={f"{split}_accuracy_percent": result[f"accuracy_{VIEWS[-1]}_percent"]},
        task=f"classification into {len(task.classes)} classes, {VIEWS[-1]} views",
        **facts_of(task),
        parameters=metrics["parameters"],
        seconds=result["seconds"],
    )
    run.save_figure(seconds_figure(rows, task.name, split), name)
    finals = {
        f"{split} accuracy (%)": metrics["longest"][f"accuracy_{VIEWS[-1]}_percent"],
        "seconds": metrics["longest"]["seconds"],
    }
    run.finish(finals, next_command="python chapter_04_cnn_classic/exp_ladder.py")


def means(runs: list[dict[str, float]]) -> dict[str, float]:
    """Mean of every value over the runs of one budget, and the accuracies' deviation."""
    both = over_seeds(runs)
    result = {key: mean for key, (mean, _) in both.items()}
    return result | {
        f"accuracy_{views}_std_percent": both[f"accuracy_{views}_percent"][1] for views in VIEWS
    }


def rate(settings: Settings, task: ImageTask, seconds: float, use_val: bool) -> dict[str, float]:
    """Operations (multiplications and additions) of the training, and how many a second it was.

    A backward pass of a convolution costs about two forward passes: one for the gradient of its
    input, one for that of its weights.
    """
    model, forward = SpeedNet(settings.widths, len(task.classes)).eval(), {}
    small = min(settings.small_size, task.image_size) if settings.small_share else task.image_size
    for size in (small, task.image_size):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.zeros(1, 3, size, size))
        forward[size] = counter.get_total_flops()
    share = settings.small_share
    mean = share * forward[small] + (1 - share) * forward[task.image_size]
    pictures = settings.epochs * (len(task.train[1]) + use_val * len(task.val[1]))
    total = 3 * mean * pictures
    return {
        "millions_a_picture": mean / 1e6,
        "trillions": total / 1e12,
        "billions_a_second": total / seconds / 1e9,
    }


def doubling(budgets: list[dict[str, float]]) -> dict[str, float]:
    """What twice the time does to the error, from the shortest and the longest budget.

    error_factor: error(2 t) / error(t) if error is a power of time; minutes_to_target: where that
    power reaches TARGET, an extrapolation. Empty for a single budget.
    """
    ordered = sorted(budgets, key=lambda budget: budget["seconds"])
    short, long = ordered[0], ordered[-1]
    errors = [100 - budget[f"accuracy_{VIEWS[-1]}_percent"] for budget in (short, long)]
    if short["seconds"] == long["seconds"] or min(errors) <= 0 or errors[0] <= errors[1]:
        return {}
    power = math.log(errors[1] / errors[0]) / math.log(long["seconds"] / short["seconds"])
    seconds = long["seconds"] * ((100 - TARGET) / errors[1]) ** (1 / power)
    return {"error_factor": 2**power, "minutes_to_target": seconds / 60, "target": TARGET}


def speed_table(rows: list[tuple[Settings, list[dict[str, float]]]]) -> dict[str, Any]:
    columns = [
        ("Epochs", "训练轮数", "g"),
        ("Training (s)", "训练（秒）", ".0f"),
        ("Test, 6 views (s)", "6 视图测试（秒）", ".0f"),
        ("1 view (%)", "1 个视图（%）", ".2f"),
        ("Mirrored (%)", "加镜像（%）", ".2f"),
        ("6 views (%)", "6 个视图（%）", ".2f"),
    ]
    lines = []
    for settings, runs in rows:
        mean = means(runs)
        scores = cells(runs, [f"accuracy_{views}_percent" for views in VIEWS])
        seconds = [mean["seconds_training"], mean[f"seconds_test_{VIEWS[-1]}"]]
        lines.append([settings.epochs, *seconds, *scores])
    return table(columns, lines)


def seconds_figure(
    rows: list[tuple[Settings, list[dict[str, float]]]], name: str, split: str
) -> Any:
    """Accuracy against seconds, a point a run, a line through the means for 1 and 6 views."""
    figure, ax = plotting.subplots(width=6.4, height=3.8)
    for place, views in ((1, VIEWS[0]), (0, VIEWS[-1])):
        look, marker = plotting.look(place), plotting.MARKERS[place]
        seconds = [
            [r["seconds_training"] + r[f"seconds_test_{views}"] for r in runs] for _, runs in rows
        ]
        values = [[r[f"accuracy_{views}_percent"] for r in runs] for _, runs in rows]
        centre = [float(np.mean(s)) for s in seconds], [float(np.mean(v)) for v in values]
        ax.plot(*centre, marker=marker, label=f"{views} view{'s' * (views > 1)}", **look)
        ax.plot(np.ravel(seconds), np.ravel(values), ".", color=look["color"], alpha=0.6)
    for (settings, _), x, y in zip(rows, *centre, strict=True):
        ax.annotate(
            f"{settings.epochs:g} epochs",
            (x, y),
            (0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    ax.set(
        xlabel="seconds, training and test",
        ylabel=f"{split} accuracy (%)",
        title=f"Speedrun on {name}",
    )
    ax.margins(0.12)
    ax.legend(loc="lower right")
    return figure


def load_speednet(path: Path) -> tuple[SpeedNet, dict[str, Any]]:
    """The network of a checkpoint, and all of it."""
    checkpoint = load_checkpoint(path)
    facts = checkpoint["architecture"]
    model = SpeedNet(facts["widths"], facts["num_classes"])
    load_state(model, checkpoint["state"], path)
    return model, checkpoint


def accuracy_on_test(model: SpeedNet, task: ImageTask) -> float:
    """With all views."""
    return share_right(predict(model, task, "test", VIEWS[-1], "fp32"), task.test[1])


evaluate_checkpoint = evaluator(load_speednet, load_task, accuracy_on_test)


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
