"""Use a pretrained BERT: its vectors as they are, or the whole network trained on.

What you learn: what reading much text without labels is worth. The same network, the same labelled
sentences: from random weights, with the weights of pretraining frozen, and with all of them tuned.

    pairs        is "three hundred" greater than "forty"? embedded, from random weights
    rt_polarity  film reviews, for or against; sst2: the same; trec: six kinds of questions
    sick         two sentences: does the first entail the second, contradict it, neither?

    python chapter_08_transformer_vanilla/finetune_bert.py                   minutes, embedded
    make weights                                                             once: MiniLM's weights
    python chapter_08_transformer_vanilla/finetune_bert.py --task rt_polarity --modes frozen
    python chapter_08_transformer_vanilla/finetune_bert.py --task sick --seeds 3
    python chapter_08_transformer_vanilla/finetune_bert.py --file my.tsv --modes frozen
    python chapter_08_transformer_vanilla/finetune_bert.py --text "ninety" "four hundred and one"

Expected: number pairs 99 of 100 right in a minute or two, where counting words ends at 88. Papers:
Devlin et al. 2019; Wang et al. 2020 (MiniLM); Reimers and Gurevych 2019 (vectors of sentences).
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch

from chapter_08_transformer_vanilla.experiments import fine_tuning as tuning
from chapter_08_transformer_vanilla.experiments import finetune_baselines as baselines
from chapter_08_transformer_vanilla.experiments import sentence_tasks as tasks
from chapter_08_transformer_vanilla.experiments.finetune_tables import metrics_of, tables
from chapter_08_transformer_vanilla.experiments.finetuned import (
    SCRIPT,
    SHIPPED,
    answer,
    evaluate,
    network_facts,
    save_weights,
)
from chapter_08_transformer_vanilla.experiments.starts import Start, load_start
from chapter_08_transformer_vanilla.figures.finetune_bert import classifiers_figure
from utils import cli
from utils.datasets.sentences import SentenceData
from utils.model_summary import parameter_count
from utils.run import Run

evaluate_checkpoint = evaluate
MODES = ("frozen", "tuned", "scratch")
# What --start decides where the option is not given: sizes for minutes on two slow cores.
DEFAULTS: dict[str, dict[str, Any]] = {
    "none": {
        "modes": ["scratch"], "lr": 4e-3, "scratch_lr": 4e-3, "epochs": 7, "batch_size": 64,
        "longest": 64, "freeze": -1, "optimizer": "muon",
    },
    "pretrained": {
        "modes": list(MODES), "lr": 1e-4, "scratch_lr": 2e-4, "epochs": 3, "batch_size": 32,
        "longest": 64, "freeze": 2, "optimizer": "adamw",
    },
}  # fmt: skip


def build_parser() -> argparse.ArgumentParser:
    parser = cli.make_parser(__doc__, [SCRIPT, f"{SCRIPT} --task sick --seeds 3"], device=True)
    group = parser.add_argument_group("task")
    group.add_argument("--task", choices=tasks.TASKS, default="pairs")
    words = "in place of --task: tab-separated, two sentences (or one) and a label a line"
    group.add_argument("--file", type=cli.path, help=words)
    words = "minilm, none, or a checkpoint of train_bert.py (default: none for pairs, else minilm)"
    group.add_argument("--start", type=cli.path, help=words)
    words = "what is measured beside the classifiers that count words (default: all that there are)"
    group.add_argument("--modes", nargs="+", choices=MODES, help=words)
    group.add_argument("--seeds", type=cli.positive_int, default=1, help="of each training")
    group.add_argument("--pooling", choices=tuning.POOLINGS, default="mean", help="of the states")
    group = parser.add_argument_group("training (defaults differ by start)")
    for name, kind, words in (
        ("lr", cli.positive_float, "highest rate, from pretrained weights"),
        ("scratch_lr", cli.positive_float, "highest rate, from random weights"),
        ("epochs", cli.positive_int, "passes over the training part"),
        ("batch_size", cli.positive_int, "texts of a step"),
        ("longest", cli.int_from(8), "tokens of a text, or of two; longer ones are cut"),
        ("freeze", cli.int_from(-1), "tuned: the embeddings and this many layers stay; -1: none"),
    ):
        default = ", ".join(f"{start}: {values[name]}" for start, values in DEFAULTS.items())
        group.add_argument(f"--{name}", type=kind, help=f"{words} (default: {default})")
    words = "muon steps matrices, adamw the rest (default: none: muon, pretrained: adamw)"
    group.add_argument("--optimizer", choices=("muon", "adamw"), help=words)
    group.add_argument("--dropout", type=cli.below_one, help="default: the network's own")
    group = parser.add_argument_group("ask a trained network")
    group.add_argument("--text", nargs="+", metavar="TEXT", help="one text, or two: their class")
    words = "weights for --text (default: the shipped ones of the number pairs)"
    group.add_argument("--checkpoint", type=cli.path, help=words)
    cli.add_resume_option(parser.add_argument_group("long training"), "last.pth", ["seeds"])
    return parser


def fill_in(args: argparse.Namespace) -> None:
    """The defaults of the start, and with --quick small ones."""
    embedded = args.task == "pairs" and not args.file
    args.start = args.start or ("none" if embedded else "minilm")
    values = DEFAULTS["none" if args.start == "none" else "pretrained"]
    for name, value in values.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.start == "none" and args.modes != ["scratch"]:
        raise cli.UserError(
            f"--modes {' '.join(args.modes)} needs pretrained weights; give --start minilm, or a "
            "checkpoint of train_bert.py."
        )
    if args.quick:
        args.seeds, args.epochs = 1, 14 if args.start == "none" else 1
        args.modes = ["frozen"] if "frozen" in args.modes else args.modes[:1]


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.text is not None:
        row = answer(args.checkpoint or SHIPPED, args.text)
        print("\n".join(f"{name:14} {share:6.1%}" for name, share in row.items()))
        run.finish({"class": max(row, key=row.get), "probability": max(row.values())})
        return
    if args.checkpoint:
        raise cli.UserError("--checkpoint needs --text, what the network is asked.")
    fill_in(args)
    data = tasks.load_task(args.task, args.file, args.data_dir, args.quick)
    if args.quick and args.start != "none":
        data = tasks.for_a_look(data)
    start = load_start(args.start, tasks.lines_of(data), args.dropout)
    if args.longest > (most := start.architecture["longest"]):
        raise cli.UserError(f"--longest {args.longest}: this network has places for {most} tokens.")
    rows: dict[str, list[dict]] = baselines.counting_rows(data)
    rows |= {name: [row] for name, row in pretrained_rows(args, run, data, start).items()}
    for mode in ("scratch", "tuned"):
        if mode in args.modes:
            rows[mode] = trained_rows(args, run, data, start, mode)
    report(args, run, data, start, rows)


def pretrained_rows(
    args: argparse.Namespace, run: Run, data: SentenceData, start: Start
) -> dict[str, dict]:
    """Linear classifiers on frozen vectors: of the text or pair, and of one sentence of a pair."""
    if "frozen" not in args.modes:
        return {}
    work = partial(baselines.frozen_rows, data, start, args.pooling, args.longest, run.folder)
    return run.once(work, mode="frozen", dataset=data.name, start=start.name)["rows"]


def trained_rows(
    args: argparse.Namespace, run: Run, data: SentenceData, start: Start, mode: str
) -> list[dict]:
    """One training a seed, each in its own folder."""
    encoded = {}
    for name in ("train", "val", "test"):
        encoded[name], cut = tasks.encoded(getattr(data, name), start.tokenizer, args.longest)
        if cut:
            print(
                f"{name}: {cut} of {len(encoded[name][0])} texts are cut to {args.longest} tokens"
            )
    return [
        run.once(
            partial(train_one, args, run, data, encoded, start, mode, seed),
            mode=mode, seed=seed, dataset=data.name, start=start.name, epochs=args.epochs,
        )
        for seed in range(args.seed, args.seed + args.seeds)
    ]  # fmt: skip


def train_one(
    args: argparse.Namespace, run: Run, data: SentenceData, encoded: dict, start: Start,
    mode: str, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """One network, and how much of the validation and the test part it gets right."""
    torch.manual_seed(seed)
    model = tuning.TextClassifier(
        start.pretrained() if mode == "tuned" else start.fresh(),
        len(data.classes), args.pooling, start.architecture["dropout"],
    )  # fmt: skip
    if mode == "tuned":
        tuning.freeze(model.bert, args.freeze)
    folder = run.folder / mode / f"seed_{seed}"
    history = tuning.train_one(
        model, encoded["train"], encoded["val"],
        lr=args.lr if mode == "tuned" else args.scratch_lr,
        epochs=args.epochs, batch_size=args.batch_size, seed=seed, optimizer=args.optimizer,
        device=run.device, folder=folder,
        resume=args.resume is not None and (folder / "last.pth").is_file(),
        facts=network_facts(args, data, start),
        label=f"{mode}, seed {seed}",
    )  # fmt: skip
    row = {
        "val": 100 * history.best_row()["val_accuracy"],
        "test": 100 * tuning.accuracy_of(model, encoded["test"], run.device),
        "parameters": parameter_count(model),
        "learning": sum(w.numel() for w in model.parameters() if w.requires_grad),
        "epoch": history.best_row()["epoch"],
        "seconds": history.seconds,
        "curve": history.epochs,
    }
    tuning.drop_weights(folder, keep=("best.pth",) if seed == args.seed else ())
    return row


def name_of(args: argparse.Namespace) -> str:
    """Of the result; another start than usual, or another number of epochs, has its own."""
    if args.file:
        return f"finetune_{Path(args.file).stem}"
    usual = DEFAULTS["none" if args.start == "none" else "pretrained"]["epochs"]
    other = "" if args.quick or args.epochs == usual else f"_{args.epochs}_epochs"
    if args.start != ("none" if args.task == "pairs" else "minilm"):
        other = f"_{Path(args.start).stem}{other}"
    return f"finetune_{args.task}{other}"


def report(
    args: argparse.Namespace, run: Run, data: SentenceData, start: Start, rows: dict[str, list]
) -> None:
    """Result, weights, figure; what to try next."""
    name = name_of(args)
    metrics = metrics_of(data, rows, start)
    run.save_result(name, metrics, tables(metrics), [args.seed + s for s in range(args.seeds)])
    save_weights(run, f"{name}.pth", data, start, rows, args)
    run.save_figure(classifiers_figure(data.name, metrics), name)
    shown = {f"{key}: test accuracy (%)": row["test_mean"] for key, row in metrics["rows"].items()}
    shown |= metrics["relatedness"]
    run.finish(shown, next_command=f"{SCRIPT} --task sick --modes frozen")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
