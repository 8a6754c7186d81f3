"""Draws the figures of the chapter's text. What can be computed is computed, not sketched.

What you learn to see:

    architecture.svg       the whole Transformer, a shape on every arrow
    position_waves.svg     sinusoids: the matrix, and four of its columns
    position_products.svg  their dot products over the distance
    position_biases.svg    what ALiBi adds over the distance, and the buckets of T5
    block_norms.svg    one block, the norm on the stream or beside it
    decoder.svg        a decoder block, with the shape of everything
    shift.svg          what each step reads, sees, and must say
    batches.svg        batches of four lines, and batches of 24 tokens
    rates.svg          two ways for the rate to go, with one warm-up
    averaging.svg      the mean of the last points of a noisy descent
    beam_tree.svg      all lines of two words: greedy misses the best, a beam of 2 finds it
    cache.svg          what runs through the network at each step, without a cache and with it
    counting.svg       where operations go as T grows, how far 6ND is off, what a step keeps
    induction_by_hand.svg   two attentions set by hand: where they look, what is said
    both_sides.svg     what each place of a GPT and of a BERT sees, and must say
    bert_input.svg     token, place and segment: three vectors added
    patches.svg        a picture of 4 x 4 numbers, its patches, its tokens

Command: `python chapter_08_transformer_vanilla/draw_figures.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chapter_08_transformer_vanilla.experiments import bleu_tokens, counting, padding
from chapter_08_transformer_vanilla.figures import (
    text_architecture,
    text_bert,
    text_block,
    text_counting,
    text_decoding,
    text_gpt,
    text_induction,
    text_pictures,
    text_positions,
    text_training,
)
from utils import cli
from utils.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The name of the file and the function of the seed that draws it, in the order of the pages.
DRAWINGS: dict[str, Callable[[int], Figure]] = {
    "architecture": text_architecture.draw_architecture,
    "position_waves": text_positions.draw_waves,
    "position_products": text_positions.draw_products,
    "position_biases": text_positions.draw_biases,
    "block_norms": text_block.draw_block_norms,
    "decoder": text_block.draw_decoder,
    "shift": text_block.draw_shift,
    "batches": text_training.draw_batches,
    "rates": text_training.draw_rates,
    "averaging": text_training.draw_averaging,
    "beam_tree": text_decoding.draw_tree,
    "cache": text_decoding.draw_cache,
    "counting": text_counting.draw_counting,
    "decoder_only": text_gpt.draw_gpt,
    "windows": text_gpt.draw_windows,
    "induction_by_hand": text_induction.draw_by_hand,
    "both_sides": text_bert.draw_sides,
    "bert_input": text_bert.draw_input,
    "patches": text_pictures.draw_patches,
}
# Of what is measured for a drawing, the numbers: the result and the module that measures it.
MEASURED: dict[str, Any] = {
    "token_batches": padding,
    "bleu_tokens": bleu_tokens,
    "counting": counting,
}


def experiment(args: argparse.Namespace, run: Run) -> None:
    for name, module in MEASURED.items():
        metrics = module.collect(module.measure(args.seed))
        run.save_result(name, metrics, module.tables(metrics), [args.seed])
    for name, draw in DRAWINGS.items():
        run.save_figure(draw(args.seed), name, svg=True)
    run.finish(next_command="python chapter_08_transformer_vanilla/train.py")


def build_parser() -> argparse.ArgumentParser:
    return cli.make_parser(
        __doc__,
        examples=[
            "python chapter_08_transformer_vanilla/draw_figures.py",
            "python chapter_08_transformer_vanilla/draw_figures.py --quick",
        ],
    )


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
