"""Sentences near in meaning, with the real weights of MiniLM in this chapter's BERT.

What you learn: one vector for a sentence, the mean of an encoder's states, finds what says the same
in other words, where counting words finds nothing. And what it does not see: a sentence and its
opposite are about the same thing, and their vectors are near.

    make weights                                                  once: the package of weights
    python chapter_08_transformer_vanilla/sentences.py --text "a film full of heart"
    python chapter_08_transformer_vanilla/sentences.py --text "..." --file my_sentences.txt
    python chapter_08_transformer_vanilla/sentences.py --text "..." --against rt_polarity

Expected: seconds; of --against rt_polarity (its 1,066 test sentences) half a minute. A text of
more than 256 tokens is read as far as that, and a line says so. Without the package the script ends
with the command that installs it. Papers: Wang et al. 2020; Reimers and Gurevych 2019.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from chapter_08_transformer_vanilla.experiments import paraphrases
from chapter_08_transformer_vanilla.experiments.minilm import SentenceEncoder, load_minilm
from chapter_08_transformer_vanilla.figures.sentences import matrix_figure, traps_figure
from utils import cli
from utils.datasets.sentences import load_sentences
from utils.datasets.text import decoded
from utils.errors import UserError
from utils.model_summary import parameter_count
from utils.results import table
from utils.run import Run

SCRIPT = "python chapter_08_transformer_vanilla/sentences.py"
NEXT = "python chapter_08_transformer_vanilla/finetune_bert.py"
TEXT = "a film full of heart"
IN_FIGURE = 9  # neighbours in the matrix, beside the text itself
QUICK = 300  # sentences of a set, with --quick


def build_parser() -> argparse.ArgumentParser:
    examples = [f'{SCRIPT} --text "{TEXT}"', f'{SCRIPT} --text "{TEXT}" --against rt_polarity']
    parser = cli.make_parser(__doc__, examples)
    group = parser.add_argument_group("sentences")
    group.add_argument("--text", default=TEXT, help="whose neighbours are looked for")
    group.add_argument("--best", type=cli.positive_int, default=5, help="neighbours to print")
    among = group.add_mutually_exclusive_group()
    among.add_argument("--file", type=cli.path, help="a text file, one sentence a line (default: "
                       "the sentences of experiments/paraphrases.py)")  # fmt: skip
    among.add_argument("--against", choices=["rt_polarity", "sst2", "trec"],
                       help="the test sentences of this set")  # fmt: skip
    group.add_argument("--model", type=cli.path, help="folder of another sentence model with the "
                       "architecture of BERT (default: the package's)")  # fmt: skip
    return parser


def load_data(args: argparse.Namespace, run: Run) -> tuple[str, list[str]]:
    """-> the name of the data set and its sentences, without the text itself, each once."""
    if args.file:
        name, texts = Path(args.file).name, lines_of(Path(args.file))
    elif args.against:
        name, texts = args.against, load_sentences(args.against, run.data_dir).test.texts
        texts = texts[:QUICK] if run.quick else texts
    else:
        name = "paraphrases"
        texts = [text for _, *triple in paraphrases.TRIPLES for text in triple]
    others = [text for text in dict.fromkeys(texts) if text != args.text]
    if not others:
        raise UserError(f"{name} has no sentence beside the text itself.")
    return name, others


def lines_of(path: Path) -> list[str]:
    """The lines of a text file that are not empty."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    return [line.strip() for line in decoded(content, path).split("\n") if line.strip()]


def neighbours(encoder: SentenceEncoder, text: str, others: list[str]) -> list[list]:
    """[sentence, cosine by MiniLM, cosine of words] of all `others`, nearest first."""
    vectors = encoder.embed([text, *others])  # (1 + N, D)
    meaning = (vectors[1:] @ vectors[0]).tolist()
    words = paraphrases.words_cosine([text, *others])[0, 1:].tolist()
    rows = zip(others, meaning, words, strict=True)
    return [list(row) for row in sorted(rows, key=lambda row: -row[1])]


def experiment(args: argparse.Namespace, run: Run) -> None:
    if not args.text.strip():
        raise UserError("--text is empty.")
    encoder = load_minilm(args.model)
    name, others = load_data(args, run)
    rows = neighbours(encoder, args.text, others)
    report(args, run, encoder, name, rows)


def report(args, run: Run, encoder: SentenceEncoder, name: str, rows: list[list]) -> None:
    best, most = rows[: args.best], max(rows, key=lambda row: row[2])
    print(f"{args.text!r} among {len(rows)} sentences of {name}:\n  MiniLM  words")
    for sentence, meaning, words in best:
        print(f"  {meaning:6.3f}  {words:5.3f}  {sentence}")
    print(f"the nearest by its words:\n  {most[1]:6.3f}  {most[2]:5.3f}  {most[0]}")
    columns = [("Sentence", "句子", "s"), ("MiniLM", "MiniLM", ".2f"), ("TF-IDF", "TF-IDF", ".2f")]
    metrics = {"text": args.text, "dataset": name, "sentences": len(rows), "nearest": best,
               "nearest_by_words": most, "parameters": parameter_count(encoder.bert)}  # fmt: skip
    tables = {"nearest": table(columns, best)}
    if name == "paraphrases":
        metrics |= paraphrases.measure(encoder)
        tables["main"] = paraphrases.tables(metrics)
    run.save_result("sentences", metrics, tables)
    if name == "paraphrases":
        run.save_figure(traps_figure(metrics), "sentences")
    shown = [args.text, *(row[0] for row in rows[:IN_FIGURE])]
    figure = matrix_figure(shown, paraphrases.minilm_cosine(encoder, shown), np.round(
        paraphrases.words_cosine(shown), 3))  # fmt: skip
    run.save_figure(figure, "sentences_matrix")
    run.finish(next_command=f"{NEXT} --task rt_polarity")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
