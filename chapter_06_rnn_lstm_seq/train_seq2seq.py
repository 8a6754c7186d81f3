"""Train an encoder-decoder: where does one vector break?

What you learn: a GRU that reads a line into one vector, and writes from it, translates numbers that
it has never seen and fails on a list of six of them. Nothing changes but the length of the line. On
sentences the same network stays near the subject and loses the details.

    python chapter_06_rnn_lstm_seq/train_seq2seq.py                          lists of number words
    python chapter_06_rnn_lstm_seq/train_seq2seq.py --text "twenty-one, three hundred and five"
    python chapter_06_rnn_lstm_seq/train_seq2seq.py --dataset multi30k       needs the data
    python chapter_06_rnn_lstm_seq/train_seq2seq.py --resume RUN_FOLDER

Expected: new numbers alone right, lines of six nearly never; Multi30k about 10 BLEU or more. With
--text nothing is trained: the text is translated with a checkpoint, the chapter's own by default.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from chapter_06_rnn_lstm_seq.experiments.translation import (
    DATASETS,
    TASK,
    Task,
    check_source,
    load_task,
    load_translator,
    measure_numbers,
    scores,
    train_translator,
    translate,
)
from chapter_06_rnn_lstm_seq.experiments.translation.tables import (
    numbers_metrics,
    numbers_tables,
    sentences_metrics,
    sentences_tables,
)
from chapter_06_rnn_lstm_seq.figures.train_seq2seq import curves_figure, lengths_figure
from chapter_06_rnn_lstm_seq.seq2seq import Seq2Seq
from utils import cli
from utils.datasets.number_words import load_number_lists
from utils.errors import UserError
from utils.model_summary import parameter_count
from utils.run import Run
from utils.threads import save_row, translation_row

SHIPPED = Path(__file__).parent / "checkpoints" / "seq2seq_numbers.pth"
# What --dataset decides where the option is not given: sizes for minutes on two slow cores.
DEFAULTS: dict[str, dict[str, Any]] = {
    "numbers": {
        "embed": 64, "hidden": 128, "backwards": False, "dropout": 0.0, "batch_size": 64,
        "lr": 5e-3, "epochs": 3, "seeds": 1,
    },
    "multi30k": {
        "embed": 96, "hidden": 192, "backwards": True, "dropout": 0.1, "batch_size": 64,
        "lr": 4e-3, "epochs": 4, "seeds": 1,
    },
}  # fmt: skip


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_06_rnn_lstm_seq/train_seq2seq.py"
    text = '--text "twenty-one, three hundred and five"'
    parser = cli.make_parser(__doc__, [path, f"{path} {text}"], device=True, precision=True)
    group = parser.add_argument_group("task")
    group.add_argument("--dataset", choices=list(DATASETS), default="numbers")
    group.add_argument("--source", default="en", help="language to read, e.g. en, de, fr")
    group.add_argument("--target", help="language to write (default: fr, of multi30k de)")
    help_text = "what is a token (default: words, of multi30k bpe)"
    group.add_argument("--tokens", choices=["words", "bpe"], help=help_text)
    group.add_argument("--most", type=cli.positive_int, default=6, help="numbers in a line")
    group.add_argument("--lines", type=cli.positive_int, default=60_000, help="lists to train on")
    group = parser.add_argument_group("network and training (defaults differ by data set)")
    for name, kind, words in (
        ("embed", cli.positive_int, "numbers for a token"),
        ("hidden", cli.positive_int, "units"),
        ("dropout", cli.below_one, "share of embedding and output that is dropped"),
        ("batch_size", cli.positive_int, "lines a step"),
        ("lr", cli.positive_float, "highest learning rate (one cycle)"),
        ("epochs", cli.positive_int, "passes over the lines"),
        ("seeds", cli.positive_int, "trainings, one after the other"),
    ):
        default = ", ".join(f"{d}: {values[name]}" for d, values in DEFAULTS.items())
        group.add_argument(f"--{name}", type=kind, help=f"{words} (default: {default})")
    group = parser.add_argument_group("translating with what was trained")
    group.add_argument("--text", help="translate this and end; nothing is trained")
    group.add_argument("--checkpoint", type=cli.path, help="a .pth file (default: the shipped one)")
    cli.add_training_options(parser)
    return parser


def fill_in(args: argparse.Namespace) -> None:
    """The data set's defaults, and with --quick small ones."""
    small = {"embed": 32, "hidden": 64}
    quick = {
        "numbers": small | {"epochs": 3, "lr": 1e-2},
        "multi30k": small | {"epochs": 1},
    }
    chosen = DEFAULTS[args.dataset] | (quick[args.dataset] if args.quick else {})
    for name, value in chosen.items():
        if getattr(args, name, None) is None:
            setattr(args, name, value)


def load_data(args: argparse.Namespace) -> Task:
    options: dict[str, Any] = {}
    if args.dataset == "numbers":
        options = {"most": args.most, "train": args.lines}
        if args.quick:
            options |= {"below": 1000, "most": 3, "train": 10_000, "held_out": 300}
    elif args.quick:
        options = {"limit": 1000}
    return load_task(args.dataset, args.source, args.target, args.tokens, args.data_dir, **options)


def architecture_of(args: argparse.Namespace, task: Task) -> dict[str, Any]:
    """The arguments of `Seq2Seq`."""
    return {
        "source_vocabulary": task.source.vocab_size,
        "target_vocabulary": task.target.vocab_size,
        "embed": args.embed,
        "hidden": args.hidden,
        "backwards": args.backwards,
        "joint": task.joint,
        "dropout": args.dropout,
    }


def train_one(task: Task, seed: int, args: argparse.Namespace, run: Run, folder: Path):
    """One training in `folder`; resumed if the folder has a last.pth. -> (model, history)."""
    return train_translator(Seq2Seq, architecture_of(args, task), task, seed, args, run, folder)


def measure(model: Seq2Seq, task: Task, args: argparse.Namespace) -> dict[str, Any]:
    """What one network can do on the test part."""
    if args.dataset == "numbers":
        return {part: measure_numbers(model, task, part) for part in ("test", "combinations")}
    sources, references = zip(*task.data.test, strict=True)
    lines = translate(model, task, sources)
    examples = list(zip(sources[:5], references[:5], lines[:5], strict=True))
    return {**scores(lines, references), "examples": examples}


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.text is not None or args.checkpoint is not None:
        return answer(args, run)
    fill_in(args)
    run.smoke = args.quick and args.dataset == "multi30k"
    task = load_data(args)
    found, histories, first = [], [], None
    for seed in range(args.seed, args.seed + args.seeds):
        folder = run.folder if seed == args.seed else run.folder / f"seed_{seed}"
        started = time.process_time()
        model, history = train_one(task, seed, args, run, folder)
        row = {"seconds": history.seconds, "cpu_seconds": time.process_time() - started}
        found.append(measure(model, task, args) | row)
        histories.append(history)
        first = first or model
    report(args, run, task, first, found, histories)


def report(args, run: Run, task: Task, model: Seq2Seq, found: list, histories: list) -> None:
    """Result, the first seed's weights, figures, and what to try next."""
    seeds = [args.seed + s for s in range(args.seeds)]
    parameters, name = parameter_count(model), f"seq2seq_{args.dataset}"
    numbers = args.dataset == "numbers"
    metrics = numbers_metrics(found, parameters) if numbers else sentences_metrics(found, task)
    tables = numbers_tables(metrics) if numbers else sentences_tables(metrics, parameters)
    run.save_result(name, metrics, tables, seeds)
    if not (numbers or args.quick) and task.data.notes["languages"] == "en-de":
        save_row(run, "gru_encoder_decoder", thread_row(found, parameters, seeds))
    if numbers or not args.publish:  # the sentences' network is too large to ship
        run.save_checkpoint(
            f"{name}.pth",
            model.cpu().state_dict(),
            architecture=architecture_of(args, task),
            dataset=task.data.name,
            metrics=card(found[0], numbers),
            task=TASK,
            languages=task.data.notes["languages"],
            tokenizers=task.state(),
            parameters=parameters,
            seconds=found[0]["cpu_seconds"],
        )
    if numbers:
        run.save_figure(lengths_figure(metrics), name)
    run.save_figure(curves_figure(histories, task.data.name), f"{name}_curves")
    words = f'--text "{task.data.test[0][0]}"'
    if not numbers or task.data.notes["languages"] != "en-fr":
        words += f" --checkpoint {run.folder / 'best.pth'}"
    run.finish(metrics["shown"], next_command=f"python {run.script_path} {words}")


def card(row: dict[str, Any], numbers: bool) -> dict[str, float]:
    """The metrics of a checkpoint, which `evaluate_checkpoint` measures again."""
    if not numbers:
        return {"bleu": row["bleu"], "chrf": row["chrf"]}
    return {f"exact_{k}_percent": by["exact_percent"] for k, by in row["test"].items()}


def thread_row(found: list[dict[str, Any]], parameters: int, seeds: list[int]) -> dict[str, Any]:
    """The first row of the table of translation; minutes of processor time, so of one core."""
    return translation_row(
        {"en": "GRU encoder-decoder", "zh": "GRU 编码器-解码器"},
        chapter=6,
        parameters=parameters,
        bleu=[row["bleu"] for row in found],
        chrf=[row["chrf"] for row in found],
        signature=found[0]["signature"],
        seeds=seeds,
        minutes=sum(row["cpu_seconds"] for row in found) / len(found) / 60,
        cores=1,
    )


def answer(args: argparse.Namespace, run: Run) -> None:
    """--text: a checkpoint translates it."""
    if args.text is None:
        raise UserError('--checkpoint needs something to translate: add --text "...".')
    model, task, checkpoint = load_translator(args.checkpoint or SHIPPED)
    check_source(task.source, args.text)
    line = translate(model, task, [args.text])[0]
    print(f"{checkpoint['languages']}: {line}")
    run.finish({"text": args.text, "translation": line})


def evaluate_checkpoint(path: Path, data_dir: str | None = None) -> dict[str, float]:
    """The shipped network on its test part, anew: lines all right by their length, in per cent."""
    model, task, checkpoint = load_translator(path)
    source, target = checkpoint["languages"].split("-")
    most = checkpoint["options"]["most"]
    data = load_number_lists(source, target, most=most, train=100)  # the test part is the same
    return card({"test": measure_numbers(model, replace(task, data=data), "test")}, numbers=True)


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
