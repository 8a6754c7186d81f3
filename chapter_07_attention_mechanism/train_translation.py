"""Train an encoder-decoder that looks: lists of numbers no longer break.

What you learn: chapter 6's network read a line into one vector and lost lists of more than two
numbers. The same encoder and GRU, with a look at all source states at every step, writes lists of
six. Four networks of the same sizes: without attention, Bahdanau's (additive), Luong's (general)
and several heads.

    python chapter_07_attention_mechanism/train_translation.py            number lists, additive
    python chapter_07_attention_mechanism/train_translation.py --attention none additive --seeds 3
    python chapter_07_attention_mechanism/train_translation.py --dataset multi30k --attention luong
    python chapter_07_attention_mechanism/train_translation.py --resume RUN_FOLDER

Expected: lists of one to four new numbers right in 99 of 100 cases. Then look where it looked:
translate.py.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from chapter_06_rnn_lstm_seq.experiments.translation import (
    DATASETS,
    Task,
    measure_numbers,
    scores,
    train_translator,
    translate,
)
from chapter_07_attention_mechanism.experiments.translation.beam import beam_search
from chapter_07_attention_mechanism.experiments.translation.looks import (
    crossing_counts,
    look_at,
)
from chapter_07_attention_mechanism.experiments.translation.tables import (
    numbers_metrics,
    numbers_tables,
    sentences_metrics,
    sentences_tables,
    thread_row,
)
from chapter_07_attention_mechanism.experiments.translation.task import (
    TASK,
    load_data,
    load_looking,
    shipped_task,
)
from chapter_07_attention_mechanism.figures.train_translation import (
    curves_figure,
    lengths_figure,
    map_figure,
)
from chapter_07_attention_mechanism.seq2seq_attention import ATTENTIONS, Seq2SeqAttention
from utils import cli
from utils.model_summary import parameter_count
from utils.run import Run
from utils.threads import save_row

SHOWN = "twenty-one, three hundred and five"
BEAMS = 5
# What --dataset decides where the option is not given: sizes for minutes on two slow cores.
DEFAULTS: dict[str, dict[str, Any]] = {
    "numbers": {
        "embed": 64, "hidden": 128, "dropout": 0.0, "smoothing": 0.0, "batch_size": 64,
        "lr": 5e-3, "epochs": 3, "seeds": 1,
    },
    "multi30k": {
        "embed": 256, "hidden": 256, "dropout": 0.3, "smoothing": 0.1, "batch_size": 64,
        "lr": 2e-3, "epochs": 12, "seeds": 1,
    },
}  # fmt: skip
QUICK = {
    "numbers": {
        "most": 2, "lines": 8_000, "embed": 48, "hidden": 64, "batch_size": 32, "epochs": 3,
        "lr": 1e-2,
    },
    "multi30k": {"attention": ["luong"], "embed": 32, "hidden": 48, "epochs": 1},
}  # fmt: skip


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_07_attention_mechanism/train_translation.py"
    examples = [path, f"{path} --attention none additive luong multihead --seeds 3"]
    parser = cli.make_parser(__doc__, examples, device=True, precision=True)
    group = parser.add_argument_group("task")
    group.add_argument("--dataset", choices=list(DATASETS), default="numbers")
    group.add_argument("--source", default="en", help="language to read, e.g. en, de, fr")
    group.add_argument("--target", default="de", help="language to write")
    group.add_argument("--most", type=cli.positive_int, help="numbers in a line (default: 6)")
    group.add_argument("--lines", type=cli.positive_int, help="lists to train on (default: 60000)")
    group = parser.add_argument_group("network and training (defaults differ by data set)")
    words = "one or more networks to train (default: additive)"
    group.add_argument("--attention", nargs="+", choices=ATTENTIONS, help=words)
    group.add_argument("--heads", type=cli.positive_int, default=4, help="of multihead")
    for name, kind, words in (
        ("embed", cli.positive_int, "numbers for a token"),
        ("hidden", cli.positive_int, "units; the encoder has as many in each direction"),
        ("dropout", cli.below_one, "share of embedding and output that is dropped"),
        ("smoothing", cli.below_one, "probability taken from the true token in training"),
        ("batch_size", cli.positive_int, "lines a step"),
        ("lr", cli.positive_float, "highest learning rate (one cycle)"),
        ("epochs", cli.positive_int, "passes over the lines"),
        ("seeds", cli.positive_int, "trainings of each network"),
    ):
        default = ", ".join(f"{d}: {values[name]}" for d, values in DEFAULTS.items())
        group.add_argument(f"--{name}", type=kind, help=f"{words} (default: {default})")
    cli.add_training_options(parser)
    return parser


def fill_in(args: argparse.Namespace) -> None:
    """The data set's defaults, and with --quick small ones."""
    chosen = DEFAULTS[args.dataset] | {"most": 6, "lines": 60_000, "attention": ["additive"]}
    if args.quick:
        chosen |= {"attention": ["none", "additive"]} | QUICK[args.dataset]
    for name, value in chosen.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.hidden % args.heads and "multihead" in args.attention:
        raise cli.UserError(f"--heads {args.heads} must divide --hidden {args.hidden}.")


def architecture_of(args: argparse.Namespace, task: Task, attention: str) -> dict[str, Any]:
    """The arguments of `Seq2SeqAttention`."""
    return {
        "source_vocabulary": task.source.vocab_size,
        "target_vocabulary": task.target.vocab_size,
        "attention": attention,
        "embed": args.embed,
        "hidden": args.hidden,
        "heads": args.heads,
        "joint": task.joint,
        "dropout": args.dropout,
    }


def train_one(
    task: Task, attention: str, seed: int, args: argparse.Namespace, run: Run
) -> dict[str, Any]:
    """One training in its own folder, and what came of it, as plain values."""
    architecture, started = architecture_of(args, task, attention), time.process_time()
    model, history = train_translator(
        Seq2SeqAttention, architecture, task, seed, args, run,
        folder_of(run, attention, seed), TASK, args.smoothing,
    )  # fmt: skip
    minutes = (time.process_time() - started) / 60
    return measure(model, task, args) | {
        "parameters": parameter_count(model),
        "minutes": minutes,
        "seconds": history.seconds,
        "curve": history.epochs,
    }


def folder_of(run: Run, attention: str, seed: int) -> Path:
    return run.folder / attention / f"seed_{seed}"


def measure(model: Seq2SeqAttention, task: Task, args: argparse.Namespace) -> dict[str, Any]:
    """What one network can do on the test part."""
    if args.dataset == "numbers":
        return measure_lists(model, task)
    sources, references = zip(*task.data.test, strict=True)
    lines = translate(model, task, sources)
    best = translate(model, task, sources, 50, write=partial(beam_search, model, beams=BEAMS))
    beam = scores(best, references)
    examples = list(zip(sources[:5], references[:5], best[:5], strict=True))
    return {
        **scores(lines, references),
        **{"beam_bleu": beam["bleu"], "beam_chrf": beam["chrf"], "beams": BEAMS},
        "examples": examples,
    }


def measure_lists(model: Seq2SeqAttention, task: Task) -> dict[str, Any]:
    """Lines right by numbers in the line, and how often units cross tens."""
    found = measure_numbers(model, task, "test")
    by_count = {name: {str(k): row[name] for k, row in found.items()} for name in
                ("exact_percent", "lines", "tokens")}  # fmt: skip
    crossings = {}
    if model.attention != "none":
        short = [s for (s, _), k in zip(task.data.test, task.data.counts.test, strict=True)
                 if k <= 2]  # fmt: skip
        counts = crossing_counts(look_at(model, task, short, 100))
        crossings = {kind: 100 * n / of for kind, (n, of) in counts.items() if of}
    return by_count | {"crossings": crossings}


def experiment(args: argparse.Namespace, run: Run) -> None:
    fill_in(args)
    run.smoke = args.quick and args.dataset == "multi30k"
    task = load_data(args)
    seeds = [args.seed + s for s in range(args.seeds)]
    rows = [
        run.once(
            partial(train_one, task, attention, seed, args, run),
            attention=attention, seed=seed, dataset=task.data.name, epochs=args.epochs,
        )
        for attention in args.attention
        for seed in seeds
    ]  # fmt: skip
    (report_numbers if args.dataset == "numbers" else report_sentences)(args, run, task, rows)


def report_numbers(args: argparse.Namespace, run: Run, task: Task, rows: list[dict]) -> None:
    """Result, weights of the first seed, figures, and what to try next."""
    metrics, kinds = numbers_metrics(rows, args.most), args.attention
    name = "translation_numbers" if "additive" in kinds else file_of(kinds[0])
    run.save_result(name, metrics, numbers_tables(metrics), sorted({row["seed"] for row in rows}))
    words = ""
    for kind in (kind for kind in reversed(kinds) if kind != "none"):
        save_weights(args, run, task, next(row for row in rows if row["attention"] == kind))
        model, read, _ = load_looking(folder_of(run, kind, args.seed) / "best.pth")
        words = f' --text "{SHOWN}" --checkpoint {run.folder / file_of(kind)}.pth'
    run.save_figure(lengths_figure(metrics), name)
    run.save_figure(curves_figure(rows, task.data.name), f"{name}_curves")
    if words:
        run.save_figure(map_figure(look_at(model, read, [SHOWN], 100)[0]), f"{name}_map")
    shown = {
        f"exact, {kind}, {k} numbers (%)": row["exact_percent"][k][0]
        for kind, row in metrics["kinds"].items()
        for k in metrics["tokens"]
    }
    run.finish(shown, f"python chapter_07_attention_mechanism/translate.py{words}")


def file_of(kind: str) -> str:
    """What the files of one network are called: additive is the default."""
    return "translation_numbers" + ("" if kind == "additive" else f"_{kind}")


def save_weights(args: argparse.Namespace, run: Run, task: Task, row: dict[str, Any]) -> None:
    """The first seed's network, with what `evaluate_checkpoint` measures again."""
    kind = row["attention"]
    if args.publish and kind != "additive" and len(args.attention) > 1:
        return  # of a comparison the default network is shipped
    model, _, best = load_looking(folder_of(run, kind, row["seed"]) / "best.pth")
    longest = max(len(task.source.encode(source)) for source, _ in task.data.train)
    run.save_checkpoint(
        f"{file_of(kind)}.pth",
        model.state_dict(),
        architecture=best["architecture"],
        dataset=task.data.name,
        metrics=card(row),
        task=TASK,
        languages=task.data.notes["languages"],
        tokenizers=task.state(),
        longest=longest,
        parameters=row["parameters"],
        seconds=row["seconds"],
    )


def card(row: dict[str, Any]) -> dict[str, float]:
    """The metrics of a checkpoint, which `evaluate_checkpoint` measures again."""
    return {f"exact_{k}_percent": percent for k, percent in row["exact_percent"].items()}


def report_sentences(args: argparse.Namespace, run: Run, task: Task, rows: list[dict]) -> None:
    """Result, curves and the rows of the course's table of translation.

    A training of another length than the default's has a result and a row of its own.
    """
    metrics = sentences_metrics(rows)
    seeds = sorted({row["seed"] for row in rows})
    usual = args.quick or args.epochs == DEFAULTS["multi30k"]["epochs"]
    epochs, key = (None, "") if usual else (args.epochs, f"_{args.epochs}_epochs")
    name = f"translation_multi30k{key}"
    run.save_result(name, metrics, sentences_tables(metrics), seeds)
    for kind in args.attention:
        mine = [row for row in rows if row["attention"] == kind]
        if not args.quick and task.data.notes["languages"] == "en-de":
            save_row(run, f"gru_{kind}{key}", thread_row(mine, seeds, epochs))
    run.save_figure(curves_figure(rows, task.data.name), f"{name}_curves")
    path = folder_of(run, args.attention[-1], args.seed) / "best.pth"
    script = "python chapter_07_attention_mechanism/translate.py"
    shown = {f"BLEU, {kind}": row["beam_bleu"][0] for kind, row in metrics["kinds"].items()}
    shown |= {"signature": metrics["signature"]}
    run.finish(shown, f'{script} --text "{task.data.test[0][0]}" --checkpoint {path}')


def evaluate_checkpoint(path: Path, data_dir: str | None = None) -> dict[str, float]:
    """The shipped network on its test part, anew: lines all right by their length, in per cent."""
    model, task, checkpoint = load_looking(path)
    found = measure_numbers(model, shipped_task(task, checkpoint), "test")
    return card({"exact_percent": {k: row["exact_percent"] for k, row in found.items()}})


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
