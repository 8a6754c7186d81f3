"""How fast a translator writes: with and without a cache, and beside Hugging Face's `generate`.

What you learn: without a cache the t-th token costs t tokens of work, so tokens/s fall as the line
grows; with it they stay nearly level. The second table puts the same random weights into Hugging
Face's MarianMTModel: both write the same tokens, both with a cache, in float32.

    python chapter_08_transformer_vanilla/exp_speed.py            3 minutes on two cores
    python chapter_08_transformer_vanilla/exp_speed.py --quick    20 seconds, the cache alone

The weights are random, of the sizes of the Multi30k network: time does not depend on what they say.
Times are medians of rounds in which all take turns. Hugging Face's part needs `transformers`
(requirements-dev.txt).
"""

from __future__ import annotations

import argparse
import sys

from chapter_08_transformer_vanilla.experiments import speed
from chapter_08_transformer_vanilla.figures.speed import speed_figure
from utils import cli
from utils.run import Run

LENGTHS = (16, 32, 64, 128, 256)  # tokens written
CASES = ((1, 1), (1, 5), (32, 1), (32, 5))  # sources and beams
WRITTEN = 64  # tokens, beside Hugging Face
NO_PACKAGE = (
    "transformers is not installed (pip install -r requirements-dev.txt): "
    "the comparison with Hugging Face is left out."
)


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_08_transformer_vanilla/exp_speed.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --batch_size 1 --rounds 9"])
    group = parser.add_argument_group("measurement")
    help_text = "sources of the first table"
    group.add_argument("--batch_size", type=cli.positive_int, default=8, help=help_text)
    help_text = "of each measurement, in turns"
    group.add_argument("--rounds", type=cli.positive_int, default=5, help=help_text)
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    lengths = LENGTHS
    if run.quick:
        args.rounds, lengths = 2, LENGTHS[:3]
    metrics = {
        "cache": speed.measure_cache(args.seed, args.batch_size, lengths, args.rounds),
        "generate": {},
        "batch": args.batch_size,
        "written": WRITTEN,
    }
    if run.quick:
        print("--quick leaves out Hugging Face, whose import alone takes up to half a minute.")
    elif speed.has_transformers():
        found = speed.measure_generate(args.seed, CASES, WRITTEN, args.rounds)
        metrics["generate"] = found
    else:
        print(NO_PACKAGE)
    run.save_result("speed", metrics, speed.tables(metrics), [args.seed])
    run.save_figure(speed_figure(metrics), "speed")
    shown = {
        f"{length} tokens: times as fast with a cache": row["ratio"]
        for length, row in metrics["cache"].items()
    }
    for row in metrics["generate"].values():
        name = f"{row['batch']} sources, beam {row['beams']}"
        shown[f"{name}: times as fast as Hugging Face"] = row["ratio"]
        shown[f"{name}: same translations (%)"] = 100 * row["same"]
    run.finish(shown, "python chapter_08_transformer_vanilla/evaluate.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
