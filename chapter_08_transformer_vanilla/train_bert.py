"""Pretrain a BERT: fill in hidden words, and say whether one text follows another.

What you learn: text without labels is a task. Some tokens are hidden, and the network, which sees
both sides, says what stood there; counting neighbours is the mark that it must beat. Where BERT's
own choices need more minutes than these, ours differ: --hidden, --optimizer, --places.

    python chapter_08_transformer_vanilla/train_bert.py                        minutes, embedded
    python chapter_08_transformer_vanilla/train_bert.py --dataset english_novels
    python chapter_08_transformer_vanilla/train_bert.py --resume RUN_FOLDER
    python chapter_08_transformer_vanilla/finetune_bert.py --task rt_polarity --start BERT.pth

It prints its own marks: what counting says between the same neighbours. Papers: Devlin et al. 2019
(BERT); Wettig et al. 2023 (40 % hidden); Jordan et al. 2024 (Muon).
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any

from chapter_06_rnn_lstm_seq.experiments.language_models import text_name
from chapter_08_transformer_vanilla.experiments import pretraining
from chapter_08_transformer_vanilla.experiments.pretraining import Task
from chapter_08_transformer_vanilla.figures.train_bert import curves_figure
from utils import cli
from utils.model_summary import parameter_count
from utils.results import mean_std
from utils.run import Run

evaluate_checkpoint = pretraining.evaluate_checkpoint
SCRIPT = "python chapter_08_transformer_vanilla/train_bert.py"
# What --dataset decides where the option is not given: sizes for minutes on two slow cores.
DEFAULTS: dict[str, dict[str, Any]] = {
    "topics": {
        "vocab_size": 3_000, "width": 128, "heads": 4, "layers": 2, "ffn": 256, "longest": 64,
        "dropout": 0.0, "batch_size": 32, "lr": 4e-3, "warmup": 200, "epochs": 20,
    },
    "english_novels": {
        "vocab_size": 8_000, "width": 192, "heads": 6, "layers": 4, "ffn": 768, "longest": 64,
        "dropout": 0.0, "batch_size": 64, "lr": 1e-3, "warmup": 1_000, "epochs": 2,
    },
}  # fmt: skip
QUICK = {"vocab_size": 1_500, "width": 64, "ffn": 128, "layers": 1, "epochs": 8, "lr": 5e-3}


def build_parser() -> argparse.ArgumentParser:
    examples = [SCRIPT, f"{SCRIPT} --dataset english_novels"]
    parser = cli.make_parser(__doc__, examples, device=True, precision=True)
    group = parser.add_argument_group("text")
    words = "topics (embedded), english_novels, tiny_shakespeare, or a file of UTF-8 text"
    group.add_argument("--dataset", default="topics", help=words)
    words = "characters of the training text that the vocabulary is learnt from"
    group.add_argument("--vocabulary_text", type=cli.positive_int, default=4_000_000, help=words)
    group = parser.add_argument_group("network and training (defaults differ by text)")
    for name, kind, words in (
        ("vocab_size", cli.int_from(100), "tokens at most, never fewer than characters"),
        ("width", cli.positive_int, "numbers of a token"),
        ("heads", cli.positive_int, "of every attention"),
        ("layers", cli.positive_int, "blocks"),
        ("ffn", cli.positive_int, "width of the feed-forward"),
        ("longest", cli.int_from(16, 512), "tokens of a window: two chunks, three special ones"),
        ("dropout", cli.below_one, "share that is dropped"),
        ("batch_size", cli.positive_int, "windows of a step"),
        ("lr", cli.positive_float, "highest learning rate"),
        ("warmup", cli.positive_int, "steps until the highest rate"),
        ("epochs", cli.positive_int, "passes over the chunks"),
    ):
        default = ", ".join(f"{text}: {values[name]}" for text, values in DEFAULTS.items())
        group.add_argument(f"--{name}", type=kind, help=f"{words} (default: {default})")
    words = "of the starting weights"
    group.add_argument("--deviation", type=cli.positive_float, default=0.06, help=words)
    words = "what the learned places start from: sinusoids, or random rows as BERT's"
    group.add_argument("--places", choices=("waves", "random"), default="waves", help=words)
    words = "muon for matrices and adamw for the rest, or adamw alone, as BERT"
    group.add_argument("--optimizer", choices=("muon", "adamw"), default="muon", help=words)
    words = "share of the tokens that are asked for in training; 0.15 in BERT"
    group.add_argument("--hidden", type=cli.below_one, default=0.4, help=words)
    words = "also train with BERT's own choice of each of these three, one at a time"
    group.add_argument("--controls", action="store_true", help=words)
    group.add_argument("--seeds", type=cli.positive_int, default=1, help="trainings")
    cli.add_training_options(parser)
    return parser


def fill_in(args: argparse.Namespace) -> None:
    """The text's defaults, and with --quick small ones."""
    values = DEFAULTS.get(args.dataset, DEFAULTS["topics"])
    for name, value in (values | (QUICK if args.quick else {})).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.width % args.heads:
        raise cli.UserError(f"--heads {args.heads} must divide --width {args.width}.")
    if args.places == "waves" and args.width % 2:
        raise cli.UserError(f"--places waves needs an even --width, not {args.width}.")
    if not args.hidden:
        raise cli.UserError("--hidden 0 asks for no token; give a share above 0.")


def train_one(
    args: argparse.Namespace, run: Run, task: Task, seed: int, control: str = ""
) -> dict[str, Any]:
    """One training in its own folder, and what came of it, as plain values."""
    folder = run.folder / "_".join(["seed", str(seed), *([control] if control else [])])
    args = argparse.Namespace(**vars(args) | pretraining.CONTROLS.get(control, {}))
    model, history = pretraining.train_one(args, run, task, seed, folder)
    best = history.best_row()
    return {
        "val": 100 * best["val_accuracy"],
        "val_next": 100 * best["val_next_accuracy"],
        "architecture": pretraining.architecture_of(args, task),
        "parameters": parameter_count(model),
        "seconds": history.seconds,
        "curve": history.epochs,
    }


def file_of(task: Task) -> str:
    return f"bert_{text_name(task.data.name)}.pth"


def experiment(args: argparse.Namespace, run: Run) -> None:
    fill_in(args)
    run.smoke = args.quick
    task = pretraining.load_data(args)
    print(
        f"{task.data.name}: {len(task.train):,} chunks to train on, {len(task.val):,} to validate; "
        f"{task.tokenizer.vocab_size:,} tokens in the vocabulary", flush=True,
    )  # fmt: skip
    marks = run.once(partial(pretraining.marks, args, task), dataset=task.data.name, what="marks")
    rows = [
        run.once(partial(train_one, args, run, task, seed), dataset=task.data.name, seed=seed,
                 epochs=args.epochs)
        for seed in range(args.seed, args.seed + args.seeds)
    ]  # fmt: skip
    controls = {
        name: run.once(partial(train_one, args, run, task, args.seed, name), control=name,
                       dataset=task.data.name, seed=args.seed, epochs=args.epochs)
        for name in pretraining.CONTROLS if args.controls
    }  # fmt: skip
    report(args, run, task, marks, rows, controls)


def report(
    args: argparse.Namespace, run: Run, task: Task, marks: dict, rows: list[dict], controls: dict
) -> None:
    """Result, figure, the weights of the first seed, and what they are for."""
    metrics = {
        "controls": {name: row["val"] for name, row in ({"none": rows[0]} | controls).items()},
        "marks": marks,
        "accuracy_percent": mean_std(row["val"] for row in rows),
        "next_percent": mean_std(row["val_next"] for row in rows),
        "minutes": mean_std(row["seconds"] / 60 for row in rows),
        "minutes_to_beat": {
            name: pretraining.first_beyond(rows[0]["curve"], marks[name])
            for name in pretraining.MODELS
        },
        "seeds": len(rows),
        "parameters": rows[0]["parameters"],
        "vocabulary": task.tokenizer.vocab_size,
        "curves": [row["curve"] for row in rows],
        "text": task.data.notes,
    }
    name = f"bert_{text_name(task.data.name)}"
    seeds = [row["seed"] for row in rows]
    run.save_result(name, metrics, pretraining.tables(metrics), seeds)
    best = run.folder / f"seed_{args.seed}" / "best.pth"
    pretraining.save(run, task, best, rows[0], file_of(task))
    run.save_figure(curves_figure(metrics, task.data.name), name)
    shown = {
        "masked tokens right (%)": metrics["accuracy_percent"][0],
        "both neighbours counted (%)": marks["both"],
        "two neighbours on each side counted (%)": marks["wide"],
        "next or not (%)": metrics["next_percent"][0],
        "rare words in common (%)": marks["overlap"],
    }
    script = "python chapter_08_transformer_vanilla/finetune_bert.py"
    run.finish(shown, f"{script} --start {run.folder / file_of(task)}")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
