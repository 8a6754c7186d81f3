"""Classify sequences: a language from the first letters of a word, a review from its words.

What you learn: a recurrent network can answer after every step, and what it can know by then has a
limit that can be counted; padding must not reach a BiLSTM; and where little labelled text is at
hand, counting words and pairs of words is as good as reading them in order, or better.

    languages     number words of nine languages that look alike by threes. Which language is it
                  after k letters? An LSTM, trigrams with Bayes' rule, and the best attainable.
    rt_polarity   10,662 sentences from film reviews, for or against: naive Bayes and logistic
    sst2          regression on words and pairs, a bag of embeddings, Kim's CNN, a BiLSTM.

    python chapter_06_rnn_lstm_seq/train_classifier.py                  about 3 minutes, embedded
    python chapter_06_rnn_lstm_seq/train_classifier.py --dataset rt_polarity
    python chapter_06_rnn_lstm_seq/train_classifier.py --text veintiuno       with shipped weights

The last one prints what the network believes after each letter. Papers: Kim 2014; Pang and Lee 2005
(rt_polarity); Socher et al. 2013 (sst2); Wang and Manning 2012 (counting is a strong baseline).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from chapter_06_rnn_lstm_seq.classifier import PrefixLSTM
from chapter_06_rnn_lstm_seq.experiments import languages, sentiment
from chapter_06_rnn_lstm_seq.experiments.tables.classifier import (
    language_metrics,
    language_tables,
    sentence_metrics,
    sentence_tables,
)
from chapter_06_rnn_lstm_seq.figures.train_classifier import prefix_figure, sentences_figure
from chapter_06_rnn_lstm_seq.tokenizer import from_state
from utils import cli
from utils.checkpoint import evaluator, load_checkpoint, load_state
from utils.datasets.sentences import SentenceData, load_sentences
from utils.errors import UserError, confirm
from utils.model_summary import parameter_count
from utils.run import Run

SCRIPT = "python chapter_06_rnn_lstm_seq/train_classifier.py"
SHIPPED = "chapter_06_rnn_lstm_seq/checkpoints/languages_lstm.pth"
TASK = "the language of a number word, after each character"
SIZES = (30, 300)  # numbers to train on, each in nine languages
EPOCHS = {"languages": 14, "rt_polarity": 4, "sst2": 4}
EXAMPLES = ("setenta e um", "nittiotvå")  # of the figure: words of test numbers
QUICK_SENTENCES = 1500


def build_parser() -> argparse.ArgumentParser:
    parser = cli.make_parser(__doc__, [SCRIPT, f"{SCRIPT} --text tredive"], device=True)
    parser.set_defaults(threads=1)  # the steps are too small for two
    group = parser.add_argument_group("task")
    group.add_argument("--dataset", choices=list(EPOCHS), default="languages")
    group.add_argument("--seeds", type=cli.positive_int, default=3, help="runs of each network")
    group.add_argument(
        "--epochs",
        type=cli.positive_int,
        help="passes over the largest training set (default: 14 for languages, else 4)",
    )
    group = parser.add_argument_group("ask a trained network")
    group.add_argument("--text", help="a number word: print the languages after each letter")
    group.add_argument("--checkpoint", type=cli.path, default=SHIPPED, help="weights for --text")
    cli.add_resume_option(parser.add_argument_group("long training"), "last.pth", ["seeds"])
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.text is not None:
        ask(args, run)
        return
    args.epochs = args.epochs or EPOCHS[args.dataset]
    if args.quick:
        args.seeds, args.epochs = 1, min(args.epochs, 4 if args.dataset == "languages" else 2)
    if args.dataset == "languages":
        report_languages(args, run, *measure_languages(args, run))
    else:
        report_sentences(args, run, *measure_sentences(args, run))


def training_options(args: argparse.Namespace, run: Run, name: str, facts: dict) -> dict[str, Any]:
    """What every training gets: its own folder, in which a stopped one goes on."""
    folder = run.folder / name
    return {
        "device": run.device,
        "folder": folder,
        "resume": args.resume is not None and (folder / "last.pth").is_file(),
        "facts": {"architecture": facts, "dataset": args.dataset},
        "label": name,
    }


# --- Which language? ---


def measure_languages(args: argparse.Namespace, run: Run):
    """-> (curves by training numbers, padding rows, first network, its data, its tokenizer)."""
    tokenizer, seeds = languages.make_tokenizer(), range(args.seed, args.seed + args.seeds)
    curves, first = {}, None
    for size in SIZES[-1:] if args.quick else SIZES:
        data, parts = languages.load_data(size, tokenizer)
        test = parts["test"]
        trigrams = languages.choose_trigrams(
            parts["train"], parts["val"], tokenizer.vocab_size, len(data.classes)
        )
        answers = {
            "best": languages.best_attainable(data.test, test),
            "trigrams": trigrams.predictions(test[0]),
        }
        found = {name: languages.over_lengths(answer, test) for name, answer in answers.items()}
        models = [train_language(args, run, "prefix", size, parts, tokenizer, s) for s in seeds]
        found["lstm"] = [languages.network_curve(model, test) for model in models]
        found["most_frequent"] = float(np.bincount(data.test.labels).max() / len(data.test))
        for curve in found["lstm"]:
            confirm((curve <= found["best"] + 1e-9).all(), "nothing beats what is attainable")
        curves[size], first = found, models[0]
    padding = [padding_rows(args, run, parts, tokenizer, seed) for seed in seeds]
    return curves, padding, first, data, tokenizer


def train_language(args, run: Run, kind: str, size: int, parts: dict, tokenizer, seed: int):
    facts = {"kind": kind, "numbers": size}
    options = training_options(args, run, f"{kind}_{size}_seed_{seed}", facts)
    epochs = max(1, round(args.epochs * languages.EFFORT[kind, size]))
    return languages.train_one(kind, parts, tokenizer, seed, epochs=epochs, **options)[0]


def padding_rows(args, run: Run, parts: dict, tokenizer, seed: int) -> dict[str, Any]:
    """A BiLSTM trained with and one without packing; whole words, more and more padding."""
    size = SIZES[-1]
    packed = train_language(args, run, "packed", size, parts, tokenizer, seed)
    rows = {
        "packed": languages.padding_row(packed, parts["test"], pack=True),
        "pack_off": languages.padding_row(packed, parts["test"], pack=False),
    }
    confirm(len(set(rows["packed"].values())) == 1, "padding changes a packed network's answers")
    if not args.quick:
        without = train_language(args, run, "unpacked", size, parts, tokenizer, seed)
        rows["unpacked"] = languages.padding_row(without, parts["test"], pack=False)
    return rows


def report_languages(args, run: Run, curves, padding, model: PrefixLSTM, data, tokenizer) -> None:
    metrics = language_metrics(curves, padding)
    seeds = [args.seed + s for s in range(args.seeds)]
    run.save_result("classifier_languages", metrics, language_tables(metrics), seeds)
    largest = max(curves)
    run.save_checkpoint(
        "languages_lstm.pth",
        model.state_dict(),
        architecture={"vocab_size": tokenizer.vocab_size, "classes": len(data.classes)}
        | languages.PREFIX,
        dataset=data.name,
        metrics={"test_accuracy": float(curves[largest]["lstm"][0][-1])},
        task=TASK,
        parameters=parameter_count(model),
        tokenizer=tokenizer.state(),
        classes=list(data.classes),
    )
    words = {w: shares_after(model, tokenizer, w).numpy() for w in EXAMPLES}
    figure = prefix_figure(languages.LENGTHS, curves, words, data.classes)
    run.save_figure(figure, "classifier_languages")
    last = metrics["numbers"][largest]["at_k"]
    shown = {f"after 4 letters, {k}": v for k, v in last[4].items()}
    shown |= {f"whole word, {k}": v for k, v in last[languages.LENGTHS[-1]].items()}
    run.finish(shown, next_command=f"{SCRIPT} --text tredive")


# --- For or against? ---


def measure_sentences(args: argparse.Namespace, run: Run):
    """-> (rows by classifier, shares of padding, the data)."""
    data = load_sentences(args.dataset, args.data_dir)
    if args.quick:
        data = sentiment.shortened(data, QUICK_SENTENCES)
    tokenizer = sentiment.make_tokenizer(data)
    parts = [sentiment.encoded(part, tokenizer) for part in (data.train, data.val, data.test)]
    rows: dict[str, list[dict]] = {}
    for name, found in sentiment.linear_classifiers(data).items():
        rows[name] = [{"val": 100 * found["val"], "test": 100 * found["test"]}]
        rows[name][0] |= {"parameters": found["features"], "chosen": found["chosen"]}
    for name in sentiment.NETWORKS:
        seeds = range(args.seed, args.seed + args.seeds)
        rows[name] = [sentence_row(args, run, name, tokenizer, parts, seed) for seed in seeds]
    return rows, sentiment.padding_shares(parts[0]), data


def sentence_row(args, run: Run, name: str, tokenizer, parts: list, seed: int) -> dict[str, float]:
    """One network trained; per cent right of the validation and the test sentences."""
    folder = f"{name.replace(' ', '_').replace(chr(39), '')}_seed_{seed}"
    options = training_options(args, run, folder, {"network": name, "words": tokenizer.vocab_size})
    model, history = sentiment.train_one(name, tokenizer, *parts[:2], seed, args.epochs, **options)
    return {
        "val": 100 * history.best_row()["val_accuracy"],
        "test": 100 * sentiment.accuracy_of(model, parts[2], run.device),
        "parameters": parameter_count(model),
        "epoch": history.best_row()["epoch"],
    }


def report_sentences(args, run: Run, rows: dict, padding: dict, data: SentenceData) -> None:
    chance = 100 * np.bincount(data.test.labels).max() / len(data.test)
    metrics = {"most_frequent_percent": float(chance), "padding": padding, "notes": data.notes}
    metrics["classifiers"] = sentence_metrics(rows)
    seeds = [args.seed + s for s in range(args.seeds)]
    name = f"classifier_{data.name}"
    run.save_result(name, metrics, sentence_tables(rows, padding), seeds)
    run.save_figure(sentences_figure(data.name, rows, chance), name)
    shown = {
        f"{name}: test accuracy (%)": v["test_mean"] for name, v in metrics["classifiers"].items()
    }
    run.finish(shown, next_command=f"{SCRIPT} --dataset sst2")


# --- A trained network is asked ---


def load_model(path: str | Path) -> tuple[PrefixLSTM, dict[str, Any]]:
    """(network, checkpoint); UserError for a checkpoint of another task."""
    checkpoint = load_checkpoint(path)
    if checkpoint.get("task") != TASK:
        raise UserError(
            f"{path} was trained for another task ({checkpoint.get('task')}); --text takes a "
            f"checkpoint that `{SCRIPT}` has made, such as {SHIPPED}."
        )
    model = PrefixLSTM(**checkpoint["architecture"])
    load_state(model, checkpoint["state"], path)
    return model.eval(), checkpoint


def shares_after(model: nn.Module, tokenizer: Any, text: str) -> torch.Tensor:
    """(letters + 1, C): the probabilities after each letter and after the end."""
    ids = torch.tensor([tokenizer.encode(text + languages.END)])  # (1, T)
    return languages.probabilities(model, ids)[0]


def ask(args: argparse.Namespace, run: Run) -> None:
    """Print the three most probable languages after each letter of --text."""
    text = args.text.strip().lower()
    if not text:
        raise UserError("--text is empty; give a number word, such as --text veintiuno.")
    model, checkpoint = load_model(args.checkpoint)
    shares = shares_after(model, from_state(checkpoint["tokenizer"]), text)  # (T + 1, C)
    for read, row in zip([*text, "(end)"], shares, strict=True):
        best = row.topk(3)
        names = [checkpoint["classes"][c] for c in best.indices.tolist()]
        likely = [f"{n} {p:5.1%}" for n, p in zip(names, best.values.tolist(), strict=True)]
        print(f"{read:6} {'   '.join(likely)}")
    answer = checkpoint["classes"][int(shares[-1].argmax())]
    run.finish({"language": answer, "probability": float(shares[-1].max())}, f"{SCRIPT} --text ...")


def load_test_words(_: str, data_dir: str | None = None) -> languages.Parts:
    """The embedded test words, for every name of a data set and every folder."""
    return languages.load_data(SIZES[-1], languages.make_tokenizer())[1]["test"]


def whole_word_accuracy(model: PrefixLSTM, test: languages.Parts) -> float:
    return float(languages.network_curve(model, test)[-1])


evaluate_checkpoint = evaluator(load_model, load_test_words, whole_word_accuracy)


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
