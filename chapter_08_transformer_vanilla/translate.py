"""Translate a text: the best lines of a beam search, and where every layer and head looked.

What you learn: a translator is a search over lines, scored by a network. With `--beam 5` you see
the lines that came second to fifth, and their scores. The pages it writes show the weights of every
layer and head: encoder, decoder, and between the two.

    python chapter_08_transformer_vanilla/translate.py --text "twenty-one, three hundred and five"
    python chapter_08_transformer_vanilla/translate.py --text "..." --beam 5 --best 3
    python chapter_08_transformer_vanilla/translate.py --text "..." --checkpoint RUN/best.pth

Expected: seconds, with the shipped weights; three pages and a figure in the run folder.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from chapter_06_rnn_lstm_seq.experiments.translation import Task
from chapter_06_rnn_lstm_seq.experiments.translation.task import readable
from chapter_06_rnn_lstm_seq.tokenizer import BOS, EOS
from chapter_07_attention_mechanism.experiments.translation.task import check_text
from chapter_07_attention_mechanism.figures.attention_page import attention_page, heads_figure
from chapter_08_transformer_vanilla.decoding import beam_search
from chapter_08_transformer_vanilla.experiments.maps import Maps, maps_of
from chapter_08_transformer_vanilla.experiments.writing import ALPHA, load_transformer
from chapter_08_transformer_vanilla.kv_cache import CachedSteps
from chapter_08_transformer_vanilla.transformer import TranslationTransformer
from utils import cli
from utils.errors import UserError
from utils.file_io_util import atomic_write
from utils.modes import evaluating
from utils.results import table
from utils.run import Run

SHIPPED = Path(__file__).parent / "checkpoints" / "train_numbers.pth"
TEXT = "twenty-one, three hundred and five"
MOST_SHOWN = 60  # tokens of a line in the pages; more of them would make them too large
SPACE = "\u2423"


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_08_transformer_vanilla/translate.py"
    parser = cli.make_parser(__doc__, [path, f'{path} --text "{TEXT}" --beam 5 --best 3'])
    group = parser.add_argument_group("translating")
    group.add_argument("--text", default=TEXT, help="what to translate")
    group.add_argument("--checkpoint", type=cli.path, help="a .pth file (default: the shipped one)")
    group.add_argument("--beam", type=cli.positive_int, default=5, help="1: the likeliest token")
    group.add_argument("--best", type=cli.positive_int, default=1, help="lines to print, at most "
                       "--beam")  # fmt: skip
    group.add_argument("--alpha", type=cli.non_negative_float, default=ALPHA,
                       help="of the length penalty")  # fmt: skip
    group.add_argument(
        "--limit", type=cli.positive_int, help="tokens to write (default: 40 + 2 a token read)"
    )
    parser.add_argument("--lang", choices=["en", "zh"], default="en", help="language of the pages")
    return parser


def best_lines(
    model: TranslationTransformer, task: Task, text: str, beam: int, alpha: float, limit: int
) -> list[tuple[float, list[int]]]:
    """(score, ids without <eos>) of the lines found for one text, best first."""
    bos, eos = task.target.id_of(BOS), task.target.id_of(EOS)
    source = torch.tensor([task.source.encode(text)])  # (1, S)
    with evaluating(model), torch.no_grad():
        steps = CachedSteps(model, source)
        lines, scores = beam_search(steps, 1, bos, eos, limit, beam, alpha, model.pad)
    found = []
    for line, score in zip(lines[0].tolist(), scores[0].tolist(), strict=True):
        ids = line[: line.index(eos)] if eos in line else line
        found.append((score, [i for i in ids if i != model.pad]))
    return found


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.best > args.beam:
        raise UserError(f"--best {args.best} needs as many beams; --beam is {args.beam}.")
    model, task, checkpoint = load_transformer(args.checkpoint or SHIPPED)
    count, longest = check_text(task, args.text), checkpoint.get("longest")
    if longest is not None and count > longest:
        print(f"note: {count} tokens, no line of the training had more than {longest}; beyond it "
              "a translation may be wrong.")  # fmt: skip
    limit = args.limit or 40 + 2 * count
    lines = best_lines(model, task, args.text, args.beam, args.alpha, limit)[: args.best]
    for score, ids in lines:
        print(f"{checkpoint['languages']}  {score:8.3f}  {readable(task.target, ids)}")
    report(args, run, maps_of(model, task, args.text, lines[0][1]), task, lines)


def report(
    args: argparse.Namespace, run: Run, maps: Maps, task: Task, lines: list[tuple[float, list[int]]]
) -> None:
    rows: list[list[Any]] = [
        [place, readable(task.target, ids), len(ids) + 1, score]
        for place, (score, ids) in enumerate(lines, 1)
    ]
    columns = [("Place", "名次", "d"), ("Line", "译文", "s"), ("Tokens", "词元数", "d"),
               ("Score", "得分", ".3f")]  # fmt: skip
    metrics = {"text": args.text, "lines": [row[1] for row in rows], "scores": [r[3] for r in rows]}
    run.save_result("translate", metrics, {"main": table(columns, rows)})
    shown = {"translation": rows[0][1], "score": rows[0][3]}
    if max(len(maps.read), len(maps.written)) > MOST_SHOWN:
        print(f"(more than {MOST_SHOWN} tokens: no pages of weights)")
    else:
        save_pages(args, run, maps)
    run.finish(shown, "python chapter_08_transformer_vanilla/evaluate.py")


def save_pages(args: argparse.Namespace, run: Run, maps: Maps) -> None:
    """A page for each of the three attentions, and a figure of the last layer's heads between."""
    for name, read, written, weights in (
        ("encoder", maps.read, maps.read, maps.encoder),
        ("decoder", maps.fed, maps.written, maps.decoder),
        ("cross", maps.read, maps.written, maps.cross),
    ):
        sides = [[token.strip() or SPACE for token in side] for side in (read, written)]
        page = run.folder / f"{name}.html"
        with atomic_write(page) as file:
            file.write(attention_page(*sides, weights, args.lang, name))
        print(f"open {page.resolve().as_uri()} in a browser")
    titles = [f"last layer, head {n}" for n in range(1, maps.cross.shape[1] + 1)]
    run.save_figure(heads_figure(maps.read, maps.written, maps.cross[-1], titles), "translate")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
