"""Does attention help a small ResNet, and does it look at the object? None, SE, CBAM, SCSA.

What you learn: an attention block can be dropped into any residual network, and a picture of its
weights is easily made. Whether the block *helps* and whether it *looks* at the object are two
questions, each with its control. The pictures are small shapes on texture, and asked is the shape's
colour: who is told the place answers at once, who sees only the colours of the whole picture hardly
can. So if attention to places matters anywhere, it should matter here.

    python chapter_07_attention_mechanism/exp_visual_attention.py       four networks, three seeds
    python chapter_07_attention_mechanism/exp_visual_attention.py --kinds none scsa --epochs 20
    python chapter_07_attention_mechanism/exp_visual_attention.py --resume RUN_FOLDER

Expected: all far above the model without places. In equal epochs SCSA is ahead; in about equal
time, a row of its own, the network without attention. And no map of weights finds the shape clearly
better than the middle of the picture does. Equal are pictures, recipe, batches and all first
weights outside the attention.

Papers: Hu et al. 2018 (SE), Woo et al. 2018 (CBAM), Si et al. 2024 (SCSA).
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any

import numpy as np

from chapter_07_attention_mechanism.experiments.small_shapes import (
    NAME,
    SIZE,
    baselines,
    load_data,
)
from chapter_07_attention_mechanism.experiments.visual_attention import (
    KINDS,
    SHOWN,
    Setting,
    centre_prior,
    collect,
    step_ratios,
    tables,
    train_one,
)
from chapter_07_attention_mechanism.figures.visual_attention import places_figure, results_figure
from utils import cli
from utils.run import Run

RESULT = "visual_attention"
QUICK = {"pictures": 1000, "epochs": 4, "factor": 1.0, "seeds": 1, "kinds": ["none", "scsa"]}
ROUNDS = {False: 15, True: 3}  # of the timing; by --quick
BLOCK = 1  # whose maps are drawn: the second of three


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_07_attention_mechanism/exp_visual_attention.py"
    parser = cli.make_parser(
        __doc__, [path, f"{path} --kinds none scsa --epochs 20"], device=True, precision=True
    )
    parser.set_defaults(precision="fp32")  # the same numbers on every processor, and equal times
    group = parser.add_argument_group("pictures")
    add = group.add_argument
    add("--pictures", type=cli.positive_int, default=3000, help="to train on")
    help_text = "radius of a shape over that in the data set `shapes`"
    add("--factor", type=cli.fraction, default=0.7, help=help_text)
    group = parser.add_argument_group("comparison and training")
    add = group.add_argument
    add("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), help="of attention")
    add("--epochs", type=cli.positive_int, default=Setting.epochs, help="passes over the pictures")
    add("--batch_size", type=cli.positive_int, default=Setting.batch, help="pictures a step")
    add("--lr", type=cli.positive_float, default=Setting.lr, help="highest rate (one cycle, Muon)")
    add("--seeds", type=cli.positive_int, default=3, help="trainings of each network")
    cli.add_resume_option(group, free=["kinds", "seeds"])
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    if run.quick:
        vars(args).update(QUICK)
    args.kinds = list(dict.fromkeys(["none", *args.kinds]))  # the one that all are compared with
    setting = Setting(args.epochs, args.batch_size, args.lr)
    task, train, test = load_data(args.pictures, max(200, args.pictures // 6), args.factor)
    where = {"device": run.device, "precision": run.convolution_precision}
    boxes = test.boxes[:, 0]  # (N, 4)
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in args.kinds}
    for seed in range(args.seed, args.seed + args.seeds):
        for name in args.kinds:
            work = partial(train_one, name, seed, task, boxes, setting, **where)
            results[name].append(run.once(work, dataset=NAME, kind=name, seed=seed))
    metrics = collect(results, step_ratios(args.kinds, setting, ROUNDS[run.quick]), boxes)
    metrics["baselines"] = baselines(task, train, test)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)  # (N,)
    metrics["box_percent"] = 100 * float(areas.mean()) / SIZE**2
    report(args, run, metrics, shown_maps(results, test.images, boxes))


def shown_maps(results: dict[str, list], images: np.ndarray, boxes: np.ndarray) -> dict[str, Any]:
    """The first test pictures, and the maps of the first seed's networks on them."""
    rows = []
    for name, key, label in (
        ("cbam", "maps", "CBAM,\ntrained"),
        ("cbam", "maps_untrained", "CBAM,\nuntrained"),
        ("scsa", "maps", "SCSA,\ntrained"),
        ("scsa", "maps_untrained", "SCSA,\nuntrained"),
        ("none", "maps", "no attention,\nactivations"),
    ):
        if name in results:
            rows.append((label, np.array(results[name][0][key][BLOCK])))
    rows.append(("centre prior", centre_prior().expand(SHOWN, -1, -1).numpy()))
    return {"pictures": images[:SHOWN], "boxes": boxes[:SHOWN], "rows": rows}


def report(args: argparse.Namespace, run: Run, metrics: dict[str, Any], maps: dict) -> None:
    seeds = range(args.seed, args.seed + args.seeds)
    run.save_result(RESULT, metrics, tables(metrics), seeds)
    run.save_figure(results_figure(metrics), RESULT)
    run.save_figure(places_figure(maps), f"{RESULT}_places")
    shown = {f"{KINDS[n][0]}: test accuracy (%)": r["test"][0] for n, r in metrics["rows"].items()}
    for key, value in metrics["baselines"].items():
        shown[f"{key} (%)"] = value
    run.finish(shown, "python chapter_07_attention_mechanism/train_sort.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
