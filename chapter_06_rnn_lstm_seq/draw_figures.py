"""Draws the figures of the chapter's text. What can be computed is computed, not sketched.

What you learn to see:

    unrolled.svg       a recurrence as it is written, and the same for four steps
    patterns.svg       which steps have an input and which an output: five uses
    bptt.svg           where the errors go in an unrolled network, and what truncation cuts
    lstm_cell.svg      the LSTM: the line along which the state runs, and the gates that guard it
    gate_memory.svg    what a forget gate leaves of a number after t steps, for four biases
    packing.svg        three words padded, and what a packed batch keeps of them
    batches_by_length.svg   batches in random order and by length: how much is padding
    scan.svg           eight steps combined in three rounds, and with less work in a tree
    ngram_context.svg  bits per character over the context: held-out text, and text that was counted
    sampling.svg       temperature, top-k and top-p on two distributions of a real model
    encoder_decoder.svg  a line is read into one vector, from which another is written

Command: `python chapter_06_rnn_lstm_seq/draw_figures.py`. A few seconds; nothing is trained.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from chapter_06_rnn_lstm_seq.figures import (
    text_bptt,
    text_language_models,
    text_lengths,
    text_lstm,
    text_seq2seq,
    text_sequences,
)
from utils import cli
from utils.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The name of the file and the function of the seed that draws it, in the order of the pages.
DRAWINGS: dict[str, Callable[[int], Figure]] = {
    "unrolled": text_sequences.draw_unrolled,
    "patterns": text_sequences.draw_patterns,
    "bptt": text_bptt.draw_errors,
    "lstm_cell": text_lstm.draw_cell,
    "gate_memory": text_lstm.draw_gate_memory,
    "packing": text_lengths.draw_packing,
    "batches_by_length": text_lengths.draw_batches,
    "scan": text_sequences.draw_scan,
    "ngram_context": text_language_models.draw_context,
    "sampling": text_language_models.draw_sampling,
    "encoder_decoder": text_seq2seq.draw_encoder_decoder,
}


def experiment(args: argparse.Namespace, run: Run) -> None:
    for name, draw in DRAWINGS.items():
        run.save_figure(draw(args.seed), name, svg=True)
    run.finish(next_command="python chapter_06_rnn_lstm_seq/train_language_model.py")


def build_parser() -> argparse.ArgumentParser:
    return cli.make_parser(
        __doc__,
        examples=[
            "python chapter_06_rnn_lstm_seq/draw_figures.py",
            "python chapter_06_rnn_lstm_seq/draw_figures.py --quick",
        ],
    )


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
