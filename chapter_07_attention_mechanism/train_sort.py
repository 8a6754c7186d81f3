"""Train a pointer network to sort: the weights of attention are the answer.

What you learn: a decoder that answers with its attention weights works on lists of any length, as
no vocabulary of places is fixed. Whether it *sorts* a longer list than it was trained on depends on
what it is asked. With the mask, which forbids places already chosen, it needs to find the smallest
number left; without it, the smallest number above the last one, and two numbers that lie close are
easily swapped, skipped or chosen twice.

    python chapter_07_attention_mechanism/train_sort.py                  two variants, three seeds
    python chapter_07_attention_mechanism/train_sort.py --numbers 0.42 0.17 0.9 0.55
    python chapter_07_attention_mechanism/train_sort.py --resume RUN_FOLDER

Expected: nearly all lists of 5 to 10 numbers sorted with the mask, fewer without it; chance is
1 in n!. With --numbers nothing is trained: the list is sorted with the shipped weights.

Papers: Vinyals, Fortunato & Jaitly 2015, "Pointer Networks"; Vinyals, Bengio & Kudlur 2016, "Order
Matters: Sequence to Sequence for Sets" (which sorts with one).
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from chapter_07_attention_mechanism.experiments.sorting import (
    TASK,
    Setting,
    collect,
    judged,
    lists_of,
    measure,
    tables,
    train,
)
from chapter_07_attention_mechanism.figures.train_sort import sort_figure
from chapter_07_attention_mechanism.pointer import PointerNetwork
from utils import cli
from utils.checkpoint import CheckpointError, load_checkpoint, load_state
from utils.errors import UserError
from utils.model_summary import parameter_count
from utils.run import Run

SHIPPED = Path(__file__).parent / "checkpoints" / "sort_pointer.pth"
QUICK = {"hidden": 32, "steps": 250, "seeds": 1, "batch": 64}
SHOWN = 8  # numbers of the list whose weights are drawn


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_07_attention_mechanism/train_sort.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --numbers 0.42 0.17 0.9 0.55"])
    parser.set_defaults(threads=1)  # the matrices are too small for two
    group = parser.add_argument_group("training")
    add = group.add_argument
    add("--hidden", type=cli.positive_int, default=Setting.hidden, help="units")
    add("--batch", type=cli.positive_int, default=Setting.batch, help="lists a step")
    add("--steps", type=cli.positive_int, default=Setting.steps, help="of one training")
    add("--lr", type=cli.positive_float, default=Setting.lr, help="highest rate (one cycle)")
    add("--seeds", type=cli.positive_int, default=3, help="trainings of each variant")
    group = parser.add_argument_group("sorting with what was trained")
    help_text = "sort these and end; nothing is trained"
    add = group.add_argument
    add("--numbers", nargs="+", type=cli.below_one, metavar="X", help=help_text)
    add("--checkpoint", type=cli.path, help="a .pth file (default: the shipped one)")
    cli.add_resume_option(group, free=["seeds"])
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.numbers is not None or args.checkpoint is not None:
        return answer(args, run)
    if run.quick:
        vars(args).update(QUICK)
    names = ("hidden", "batch", "steps", "lr")
    setting = Setting(**{name: getattr(args, name) for name in names})
    results = []
    jobs = [(s, m) for s in range(args.seed, args.seed + args.seeds) for m in (True, False)]
    for seed, masked in cli.progress(jobs, "sorting"):
        work = partial(train_one, masked, seed, setting, run)
        line = run.once(work, dataset="uniform lists", seed=seed, trained_masked=masked)
        results.append(line)
    report(args, run, setting, results)


def train_one(masked: bool, seed: int, setting: Setting, run: Run) -> dict[str, Any]:
    """One training, as a line of the log; of the first seed the masked network is kept."""
    began = time.process_time()
    model, losses = train(masked, seed, setting)
    seconds = round(time.process_time() - began, 1)
    row = judged(model, losses, masked, setting) | {"cpu_seconds": seconds}
    if masked and seed == run.args.seed:
        run.save_checkpoint(
            SHIPPED.name,
            model.state_dict(),
            architecture={"hidden": setting.hidden, "masked": True},
            dataset="uniform lists",
            metrics=card(row["masked"]),
            task=TASK,
            parameters=parameter_count(model),
            seconds=seconds,
        )
    return row


def report(args: argparse.Namespace, run: Run, setting: Setting, results: list) -> None:
    """Result and figure; the list that is drawn is sorted by the first seed's masked network."""
    metrics = collect(results, setting)
    kept = load_checkpoint(run.folder / SHIPPED.name)  # saved again: a resume may publish it
    names = ("architecture", "dataset", "metrics", "task", "parameters", "seconds")
    run.save_checkpoint(SHIPPED.name, kept["state"], **{name: kept[name] for name in names})
    numbers = lists_of(1, SHOWN, 0)
    weights = load_model(run.folder / SHIPPED.name).point(numbers)[1][0]  # (S, S)
    metrics["example"] = {"numbers": numbers[0].tolist(), "weights": weights.tolist()}
    seeds = range(args.seed, args.seed + args.seeds)
    run.save_result("sort_pointer", metrics, tables(metrics), seeds)
    run.save_figure(sort_figure(metrics), "sort_pointer")
    shown = {}
    for name, row in metrics["rows"].items():
        for size in ("10", "20"):
            shown[f"{name}: lists of {size} sorted (%)"] = row[size]["exact_percent"][0]
    words = "--numbers 0.42 0.17 0.9 0.55"
    run.finish(shown, f"python chapter_07_attention_mechanism/train_sort.py {words}")


def card(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """The metrics of the checkpoint, which `evaluate_checkpoint` measures again."""
    return {f"exact_{size}_percent": found[size]["exact_percent"] for size in ("5", "10", "20")}


def load_model(path: Path) -> PointerNetwork:
    """CheckpointError for a missing file, and for one of another task."""
    checkpoint = load_checkpoint(path)
    if checkpoint.get("task") != TASK:
        raise CheckpointError(
            f"{path} was trained for {checkpoint.get('task') or 'another task'}, not for {TASK}; "
            "train one with train_sort.py."
        )
    model = PointerNetwork(**checkpoint["architecture"])
    load_state(model, checkpoint["state"], path)
    return model


def answer(args: argparse.Namespace, run: Run) -> None:
    """--numbers: a checkpoint sorts them."""
    if args.numbers is None:
        raise UserError("--checkpoint needs something to sort: add --numbers 0.42 0.17 0.9 0.55.")
    numbers = torch.tensor([args.numbers])  # (1, S)
    places, weights = load_model(args.checkpoint or SHIPPED).point(numbers)
    said = numbers.gather(1, places)[0].tolist()
    for number, row in zip(said, weights[0].tolist(), strict=True):
        print(f"  {number:.4g}   weights {' '.join(f'{w:.2f}' for w in row)}")
    right = said == sorted(numbers[0].tolist())  # both in float32
    run.finish({"sorted": " ".join(f"{x:.4g}" for x in said), "right": right})


def evaluate_checkpoint(path: Path, data_dir: str | None = None) -> dict[str, float]:
    """The shipped network on the lists that judge, anew: lists sorted by length, in per cent."""
    return card(measure(load_model(path), True, Setting(lengths=(5, 10, 20))))


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
