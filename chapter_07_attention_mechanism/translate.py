"""Translate a text, and see where each written word looked.

What you learn: the weights of attention are an alignment that nobody taught: "ein" looks at "one",
"undzwanzig" at "twenty", the later word first. On the terminal each written token stands beside
the read tokens, a digit for tenths of the weight; the figure is the same table in grey.

    python chapter_07_attention_mechanism/translate.py --text "twenty-one, three hundred and five"
    python chapter_07_attention_mechanism/translate.py --text "..." --beams 5
    python chapter_07_attention_mechanism/translate.py --text "..." --checkpoint RUN/best.pth

Expected: seconds, with the shipped weights; a figure and a table in the run folder. What a large
weight means, and what not: page 7.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from chapter_06_rnn_lstm_seq.experiments.translation import Task, written_ids
from chapter_06_rnn_lstm_seq.experiments.translation.task import readable
from chapter_07_attention_mechanism.alignment import argmax_path, crossings, entropy
from chapter_07_attention_mechanism.experiments.translation.beam import beam_search
from chapter_07_attention_mechanism.experiments.translation.looks import Looks, looks_of
from chapter_07_attention_mechanism.experiments.translation.tables import looks_table
from chapter_07_attention_mechanism.experiments.translation.task import check_text, load_looking
from chapter_07_attention_mechanism.figures.train_translation import map_figure
from chapter_07_attention_mechanism.seq2seq_attention import Seq2SeqAttention
from utils import cli
from utils.errors import UserError
from utils.run import Run

SHIPPED = Path(__file__).parent / "checkpoints" / "translation_numbers.pth"
TEXT = "twenty-one, three hundred and five"
WIDE = 60  # read tokens; a wider map would break the terminal's lines


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_07_attention_mechanism/translate.py"
    parser = cli.make_parser(__doc__, [path, f'{path} --text "{TEXT}" --beams 5'])
    group = parser.add_argument_group("translating")
    group.add_argument("--text", default=TEXT, help="what to translate")
    group.add_argument("--checkpoint", type=cli.path, help="a .pth file (default: the shipped one)")
    group.add_argument("--beams", type=cli.positive_int, default=1, help="1: the likeliest token")
    group.add_argument(
        "--limit", type=cli.positive_int, help="tokens to write (default: 40 + 2 a token read)"
    )
    return parser


def write(model: Seq2SeqAttention, task: Task, text: str, beams: int, limit: int) -> list[int]:
    """The ids written for one text, without <eos>."""
    search = partial(beam_search, model, beams=beams) if beams > 1 else None
    ((_, lines),) = written_ids(model, task, [task.source.encode(text)], 1, limit, search)
    return lines[0]


def text_map(looks: Looks) -> str:
    """A line a written token: tenths of its weight under each read one, "." below a twentieth."""
    width = max(map(len, looks.written))
    head = [f"{s:2d} {token}" for s, token in enumerate(looks.read)]
    tens = "".join(f"{s // 10 or ' '}" for s in range(len(looks.read)))
    ones = "".join(f"{s % 10}" for s in range(len(looks.read)))
    rows = [f"{'':{width}}  {tens}", f"{'':{width}}  {ones}"]
    for token, weights in zip(looks.written, looks.mean.tolist(), strict=True):
        cells = "".join("." if w < 0.05 else f"{min(9, round(10 * w))}" for w in weights)
        rows.append(f"{token:>{width}}  {cells}")
    return "\n".join([*head, "", *rows])


def experiment(args: argparse.Namespace, run: Run) -> None:
    model, task, checkpoint = load_looking(args.checkpoint or SHIPPED)
    if model.attention == "none":
        raise UserError("a network without attention looks nowhere; choose another --checkpoint.")
    count, longest = check_text(task, args.text), checkpoint.get("longest")
    if longest is not None and count > longest:
        print(f"note: {count} tokens, no line of the training had more than {longest}; beyond it "
              "a translation may be wrong.")  # fmt: skip
    ids = write(model, task, args.text, args.beams, args.limit or 40 + 2 * count)
    looks = looks_of(model, task, args.text, ids)
    line = readable(task.target, ids)
    print(f"{checkpoint['languages']}: {line}\n")
    print(text_map(looks) if len(looks.read) <= WIDE else "(the map is in the figure)")
    path = argmax_path(looks.mean)
    metrics = {
        "text": args.text,
        "translation": line,
        "attention": model.attention,
        "path": path.tolist(),
        "crossings": crossings(path),
        "entropy": float(entropy(looks.mean).mean()),
    }
    run.save_result("translate", metrics, {"main": looks_table(looks)})
    run.save_figure(map_figure(looks), "translate")
    shown = {key: metrics[key] for key in ("translation", "crossings", "entropy")}
    run.finish(shown, "python chapter_07_attention_mechanism/train_translation.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
