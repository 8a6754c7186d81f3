"""Train a Transformer: lists of numbers, sentences, letters to sort.

What you learn: the same task as in chapters 6 and 7, with attention alone. All tokens of a line are
trained at once, and the lists that broke the recurrent networks come out right.

    python chapter_08_transformer_vanilla/train.py                         number lists, en -> de
    python chapter_08_transformer_vanilla/train.py --task sort --positions none sinusoidal alibi
    python chapter_08_transformer_vanilla/train.py --task multi30k --src en --tgt de
    python chapter_08_transformer_vanilla/train.py --resume RUN_FOLDER
    torchrun --nproc_per_node=2 chapter_08_transformer_vanilla/train.py --threads 1

Expected: lists of one to four new numbers right in 99 of 100 cases. Then look at every layer and
head: translate.py.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from chapter_06_rnn_lstm_seq.experiments.translation import Task
from chapter_08_transformer_vanilla.experiments.measures import exact_by_count, ways_to_write
from chapter_08_transformer_vanilla.experiments.tables import (
    lines_metrics,
    lines_tables,
    sentences_metrics,
    sentences_tables,
    thread_rows,
)
from chapter_08_transformer_vanilla.experiments.tasks import TASKS, load_data
from chapter_08_transformer_vanilla.experiments.training import averaged, train_transformer
from chapter_08_transformer_vanilla.experiments.writing import (
    TASK,
    load_transformer,
    shipped_task,
)
from chapter_08_transformer_vanilla.figures.train import curves_figure, lengths_figure
from chapter_08_transformer_vanilla.positions import KINDS
from utils import cli
from utils.model_summary import parameter_count
from utils.run import Run
from utils.threads import save_row

SHIFTED, SHIFT = "shifted", 32  # in training a line begins at a place drawn from 0 to SHIFT
# What --task decides where the option is not given: sizes for minutes on two slow cores.
LETTERS = {
    "width": 64, "heads": 4, "layers": 2, "ffn": 128, "dropout": 0.0, "smoothing": 0.0,
    "tokens": 2_000, "lr": 4e-3, "warmup": 400, "epochs": 3, "schedule": "cosine", "average": 0,
    "positions": ["sinusoidal"],
}  # fmt: skip
DEFAULTS: dict[str, dict[str, Any]] = {
    "numbers": LETTERS | {"width": 96, "ffn": 192, "epochs": 5, "positions": [SHIFTED]},
    "sort": LETTERS,
    "reverse": LETTERS,
    "multi30k": {
        "width": 128, "heads": 4, "layers": 4, "ffn": 256, "dropout": 0.2, "smoothing": 0.1,
        "tokens": 4_000, "lr": 3e-3, "warmup": 1_000, "epochs": 13, "schedule": "cosine",
        "average": 5, "positions": ["sinusoidal"],
    },
}  # fmt: skip
RECIPE = ("epochs", "tokens", "lr", "warmup", "schedule", "smoothing", "average")
SMALL = {"width": 64, "ffn": 128, "tokens": 1_000, "epochs": 8, "lr": 5e-3, "warmup": 100}
QUICK = {
    # too short to learn each list from many places on
    "numbers": SMALL | {"most": 2, "lines": 8_000, "positions": ["sinusoidal"]},
    "sort": SMALL | {"most": 6, "lines": 3_400, "epochs": 6, "layers": 1},
    "reverse": SMALL | {"most": 6, "lines": 4_000, "epochs": 6, "layers": 1},
    "multi30k": {"width": 32, "ffn": 64, "layers": 2, "epochs": 1},
}  # fmt: skip


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_08_transformer_vanilla/train.py"
    examples = [path, f"{path} --task sort --positions none sinusoidal alibi"]
    parser = cli.make_parser(__doc__, examples, device=True, precision=True)
    group = parser.add_argument_group("task")
    group.add_argument("--task", choices=TASKS, default="numbers")
    group.add_argument("--src", default="en", help="language to read, e.g. en, de, fr")
    group.add_argument("--tgt", default="de", help="language to write")
    group.add_argument("--most", type=cli.positive_int, help="numbers or letters in a line "
                       "(default: 6 numbers, 12 letters)")  # fmt: skip
    group.add_argument("--lines", type=cli.positive_int, help="lines to train on (default: 60000 "
                       "number lists, 40000 lines of letters)")  # fmt: skip
    group = parser.add_argument_group("network and training (defaults differ by task)")
    words = f"kinds of positions, a network each; {SHIFTED}: sinusoidal, each line begins anywhere "
    words += f"(default: numbers: {SHIFTED}, else sinusoidal)"
    group.add_argument("--positions", nargs="+", choices=(*KINDS, SHIFTED), help=words)
    group.add_argument("--norm", choices=("pre", "post"), default="pre", help="where norms stand")
    group.add_argument("--schedule", choices=("cosine", "noam"), help="behind the warm-up "
                       "(default: cosine)")  # fmt: skip
    for name, kind, words in (
        ("width", cli.positive_int, "numbers of a token"),
        ("heads", cli.positive_int, "of every attention"),
        ("layers", cli.positive_int, "of the encoder, and as many of the decoder"),
        ("ffn", cli.positive_int, "width of the feed-forward"),
        ("dropout", cli.below_one, "share that is dropped"),
        ("smoothing", cli.below_one, "probability taken from the true token in training"),
        ("tokens", cli.positive_int, "tokens of a batch, both languages, padding included"),
        ("lr", cli.positive_float, "highest learning rate"),
        ("warmup", cli.positive_int, "steps until the highest rate"),
        ("average", cli.non_negative_int, "last epochs whose weights are averaged; 0: none"),
        ("epochs", cli.positive_int, "passes over the lines"),
    ):
        default = ", ".join(f"{task}: {values[name]}" for task, values in DEFAULTS.items())
        group.add_argument(f"--{name}", type=kind, help=f"{words} (default: {default})")
    group.add_argument("--seeds", type=cli.positive_int, default=1, help="trainings of each kind")
    cli.add_training_options(parser)
    return parser


def fill_in(args: argparse.Namespace) -> None:
    """The task's defaults, and with --quick small ones."""
    for name, value in (DEFAULTS[args.task] | (QUICK[args.task] if args.quick else {})).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.width % args.heads or args.width % 2:
        raise cli.UserError(
            f"--heads {args.heads} must divide --width {args.width}, which must be even."
        )


def architecture_of(args: argparse.Namespace, task: Task, positions: str) -> dict[str, Any]:
    """The arguments of `TranslationTransformer`."""
    facts = {
        "vocabulary": task.target.vocab_size,
        "width": args.width,
        "heads": args.heads,
        "layers": args.layers,
        "ffn": args.ffn,
        "dropout": args.dropout,
        "norm_first": args.norm == "pre",
        "positions": "sinusoidal" if positions == SHIFTED else positions,
    }
    return facts | ({"shift": SHIFT} if positions == SHIFTED else {})


def folder_of(run: Run, positions: str, seed: int) -> Path:
    return run.folder / positions / f"seed_{seed}"


def train_one(
    task: Task, positions: str, seed: int, args: argparse.Namespace, run: Run
) -> dict[str, Any]:
    """One training in its own folder, and what came of it, as plain values."""
    architecture, folder = architecture_of(args, task, positions), folder_of(run, positions, seed)
    model, history = train_transformer(architecture, task, seed, args, run, folder)
    facts = {
        "parameters": parameter_count(model),
        "seconds": history.seconds,
        "curve": history.epochs,
    }
    return measure(model, task, args, folder) | facts


def measure(model, task: Task, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What one network can do on the test part; sentences also with averaged weights."""
    if args.task != "multi30k":
        return exact_by_count(model, task)
    return ways_to_write(model, task, partial(averaged, model, folder) if args.average else None)


def experiment(args: argparse.Namespace, run: Run) -> None:
    fill_in(args)
    run.smoke = args.quick and args.task == "multi30k"
    task = load_data(
        args.task, args.src, args.tgt, args.most, args.lines, args.data_dir, args.quick
    )
    rows = [
        run.once(
            partial(train_one, task, positions, seed, args, run),
            positions=positions, seed=seed, dataset=task.data.name, epochs=args.epochs,
        )
        for positions in args.positions
        for seed in range(args.seed, args.seed + args.seeds)
    ]  # fmt: skip
    (report_sentences if args.task == "multi30k" else report_lines)(args, run, task, rows)


def report_lines(args: argparse.Namespace, run: Run, task: Task, rows: list[dict]) -> None:
    """Result, weights of the first network and seed, figures, and what to try next."""
    most = max(task.data.counts.train)
    metrics, name = lines_metrics(rows, most), f"train_{args.task}"
    run.save_result(name, metrics, lines_tables(metrics, args.task), seeds_of(rows))
    save_weights(args, run, task, rows[0])
    run.save_figure(lengths_figure(metrics, args.task), name)
    run.save_figure(curves_figure(rows, task.data.name), f"{name}_curves")
    shown = {
        f"exact, {kind}, {k} (%)": row["exact_percent"][k][0]
        for kind, row in metrics["kinds"].items()
        for k in metrics["tokens"]
    }
    run.finish(shown, next_command(run, f"{name}.pth", task))


def report_sentences(args: argparse.Namespace, run: Run, task: Task, rows: list[dict]) -> None:
    """Result, weights, curves and the rows of the course's table of translation.

    A training of another length than the default's has a result of its own, and in the course's
    table the row of its best way of writing.
    """
    usual = args.quick or args.epochs == DEFAULTS[args.task]["epochs"]
    metrics, name = sentences_metrics(rows), f"train_{args.task}"
    name, key = (name, "") if usual else (f"{name}_{args.epochs}_epochs", f"_{args.epochs}_epochs")
    run.save_result(name, metrics, sentences_tables(metrics), seeds_of(rows))
    if not args.quick and (args.src, args.tgt) == ("en", "de"):
        found = thread_rows(rows, seeds_of(rows), args.threads or 2, None if usual else args.epochs)
        for way, row in found.items():
            save_row(run, f"transformer_{way}{key}", row)
    save_weights(args, run, task, rows[0])
    run.save_figure(curves_figure(rows, task.data.name), f"{name}_curves")
    shown = {f"BLEU, {way}": row["bleu"][0] for way, row in metrics["ways"].items()}
    shown |= {"signature": metrics["signature"]}
    run.finish(shown, next_command(run, f"train_{args.task}.pth", task))


def next_command(run: Run, file: str, task: Task) -> str:
    script = "python chapter_08_transformer_vanilla/translate.py"
    return f'{script} --text "{task.data.test[0][0]}" --checkpoint {run.folder / file}'


def seeds_of(rows: list[dict]) -> list[int]:
    return sorted({row["seed"] for row in rows})


def save_weights(args: argparse.Namespace, run: Run, task: Task, row: dict[str, Any]) -> None:
    """The network that the last measure took, with what `evaluate_checkpoint` measures again."""
    folder = folder_of(run, row["positions"], row["seed"])
    model, _, best = load_transformer(folder / "best.pth")
    if args.task == "multi30k" and args.average:
        model = averaged(model, folder)
    run.save_checkpoint(
        f"train_{args.task}.pth",
        model.state_dict(),
        architecture=best["architecture"],
        dataset=task.data.name,
        metrics=card(args.task, row),
        task=TASK,
        languages=task.data.notes["languages"],
        tokenizers=task.state(),
        longest=max(len(task.source.encode(source)) for source, _ in task.data.train),
        parameters=row["parameters"],
        recipe={name: getattr(args, name) for name in RECIPE},
        seconds=row["seconds"],
    )


def card(task: str, row: dict[str, Any]) -> dict[str, float]:
    """The metrics of a checkpoint, which `evaluate_checkpoint` measures again."""
    if task != "multi30k":
        return {f"exact_{k}_percent": percent for k, percent in row["exact_percent"].items()}
    way = row["ways"].get("average") or row["ways"]["beam"]
    return {"bleu": way["bleu"], "chrf": way["chrf"]}


def evaluate_checkpoint(path: Path, data_dir: str | None = None) -> dict[str, float]:
    """A shipped network on its test part, anew."""
    model, task, checkpoint = load_transformer(path)
    task = shipped_task(task, checkpoint, data_dir)
    kind = checkpoint["options"]["task"]
    if kind == "multi30k":
        return card(kind, ways_to_write(model, task, None, only="beam"))
    return card(kind, exact_by_count(model, task))


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
