"""Where does each word look? A page to point at words, for every head.

What you learn: to read a map of weights, head by head, in both directions: where a written word
looks, and who looks at a word that was read. The page is one HTML file without network or library.

    python chapter_07_attention_mechanism/view_attention.py                    the shipped network
    python chapter_07_attention_mechanism/view_attention.py --text "ninety-one, two hundred and six"
    python chapter_07_attention_mechanism/view_attention.py --lang zh
    python chapter_07_attention_mechanism/view_attention.py --weights outputs/.../best.pth

Expected: attention.html in the run folder; open it with a browser. `attention_page` in figures/
takes weights of any layers and heads: chapter 8 shows a Transformer's with it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from chapter_07_attention_mechanism.alignment import argmax_path, coverage, crossings, entropy
from chapter_07_attention_mechanism.experiments.translation.looks import Looks, look_at
from chapter_07_attention_mechanism.experiments.translation.task import check_text, load_looking
from chapter_07_attention_mechanism.figures.attention_page import attention_page, heads_figure
from utils import cli
from utils.errors import UserError
from utils.file_io_util import atomic_write
from utils.results import table
from utils.run import Run

SHIPPED = Path(__file__).parent / "checkpoints" / "translation_numbers_multihead.pth"
TEXT = "twenty-one, three hundred and sixty-five"
MOST_TOKENS = 120  # of the text: the page has a column for each
LIMIT = 200  # tokens written at most
SPACE = "␣"  # shown for a token that is a space


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_07_attention_mechanism/view_attention.py"
    parser = cli.make_parser(__doc__, [path, f'{path} --text "ninety-one, two hundred and six"'])
    group = parser.add_argument_group("network and text")
    words = "a checkpoint of train_translation.py (default: the shipped one with several heads)"
    group.add_argument("--weights", type=cli.path, help=words)
    group.add_argument("--text", default=TEXT, help="the line to translate and look at")
    parser.add_argument("--lang", choices=["en", "zh"], default="en", help="language of the page")
    return parser


def load_data(args: argparse.Namespace) -> tuple[Looks, str]:
    """What was read and written, where each head looked, and the name of the data.

    UserError: a network that does not look, an empty text, an unknown word, a text too long.
    """
    path = args.weights or SHIPPED
    model, task, checkpoint = load_looking(path)
    if model.attention == "none":
        raise UserError(f"{path} has no attention: there is nothing to look at.")
    if (count := check_text(task, args.text)) > MOST_TOKENS:
        raise UserError(f"the text has {count} tokens; the page shows {MOST_TOKENS}.")
    (looks,) = look_at(model, task, [args.text], LIMIT)
    return looks, checkpoint["dataset"]


def measure(looks: Looks) -> list[dict[str, Any]]:
    """Of each head, and of their mean where there are several: what the chapter's alignment.py
    says about its map; the last word, the end of the line, is left out.
    """
    maps = [(str(n), weights) for n, weights in enumerate(looks.weights, 1)]
    maps += [("mean", looks.mean)] if len(maps) > 1 else []
    return [
        {
            "head": name,
            "entropy": float(entropy(weights[:-1]).mean()),
            "crossings": crossings(argmax_path(weights[:-1])),
            "least_coverage": float(coverage(weights[:-1]).min()),
        }
        for name, weights in maps
    ]


def tables(rows: list[dict[str, Any]]) -> dict[str, Any]:
    columns = [
        ("Head", "头", "s"),
        ("Mean entropy (nats)", "平均熵（奈特）", ".2f"),
        ("Crossings of its path", "路径的交叉数", "d"),
        ("Least coverage of a word read", "读入词的最小覆盖度", ".2f"),
    ]
    mean = {"en": "mean of the heads", "zh": "各头平均"}
    cells = [
        [mean if row["head"] == "mean" else row["head"], *list(row.values())[1:]] for row in rows
    ]
    return {"main": table(columns, cells)}


def experiment(args: argparse.Namespace, run: Run) -> None:
    looks, dataset = load_data(args)
    report(args, run, looks, dataset)


def report(args: argparse.Namespace, run: Run, looks: Looks, dataset: str) -> None:
    rows = measure(looks)
    metrics = {"heads": {row["head"]: row for row in rows}}
    metrics |= {"text": args.text, "written": "".join(looks.written[:-1])}
    metrics |= {"read_tokens": len(looks.read), "written_tokens": len(looks.written)}
    run.save_result("view_attention", metrics, tables(rows), [args.seed])
    read, written = (
        [word.strip() or SPACE for word in side] for side in (looks.read, looks.written)
    )
    page = run.folder / "attention.html"
    with atomic_write(page) as file:
        file.write(attention_page(read, written, looks.weights.unsqueeze(0), args.lang, dataset))
    titles = [f"head {n}" for n in range(1, len(looks.weights) + 1)]
    run.save_figure(heads_figure(read, written, looks.weights, titles), "view_attention")
    print(f"{args.text} -> {metrics['written']}")
    print(f"open {page.resolve().as_uri()} in a browser")
    shown = {f"entropy, head {row['head']}": row["entropy"] for row in rows}
    run.finish(shown, "python chapter_07_attention_mechanism/exp_heads.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
