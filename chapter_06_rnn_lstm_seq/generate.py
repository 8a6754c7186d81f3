"""Let a trained language model go on from a prompt.

What you learn: the model gives a distribution; how a token is drawn from it is another decision
(sampling.py). Temperature 0 repeats itself, 1 is the model's own distribution, above it gets wild.

    python chapter_06_rnn_lstm_seq/generate.py --prompt "The "
    python chapter_06_rnn_lstm_seq/generate.py --prompt "if " --temperature 0.5 --count 3
    python chapter_06_rnn_lstm_seq/generate.py --weights outputs/.../topics_lstm.pth --prompt "The "

Expected: a paragraph in the style of the training text, in a second, and the probability that the
model gave to each of its own characters, as a mean in bits.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from chapter_06_rnn_lstm_seq.experiments.language_models import load_model, text_after
from chapter_06_rnn_lstm_seq.language_model import bits, nats_per_token
from chapter_06_rnn_lstm_seq.sampling import check_options
from utils import cli
from utils.errors import UserError
from utils.run import Run
from utils.seed import generator

SHIPPED = Path(__file__).parent / "checkpoints" / "topics_lstm.pth"


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_06_rnn_lstm_seq/generate.py"
    examples = [f'{path} --prompt "The "', f'{path} --prompt "if " --temperature 0.5 --count 3']
    parser = cli.make_parser(__doc__, examples)
    words = "a checkpoint that train_language_model.py wrote (default: the shipped one)"
    parser.add_argument("--weights", type=cli.path, help=words)
    parser.add_argument("--prompt", default="The ", help="the text to go on from")
    parser.add_argument("--length", type=cli.positive_int, default=400, help="tokens to write")
    parser.add_argument("--count", type=cli.positive_int, default=1, help="texts to write")
    words = "0 takes the likeliest token each time"
    parser.add_argument("--temperature", type=cli.non_negative_float, default=0.8, help=words)
    parser.add_argument("--top_k", type=cli.positive_int, help="draw from the k likeliest tokens")
    words = "draw from the smallest set of tokens with this probability together"
    parser.add_argument("--top_p", type=cli.fraction, help=words)
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    check_options(args.temperature, args.top_k, args.top_p)
    if not args.prompt:
        raise UserError("--prompt is empty: the model needs a character to go on from.")
    model, tokenizer, checkpoint = load_model(args.weights or SHIPPED)
    length = min(args.length, 200) if args.quick else args.length
    texts = []
    for number in range(args.count):
        draw = generator(args.seed + number)
        how = {"temperature": args.temperature, "top_k": args.top_k, "top_p": args.top_p}
        texts.append(text_after(model, tokenizer, args.prompt, length, generator=draw, **how))
        print(texts[-1], end="\n\n" if number + 1 < args.count else "\n")
    ids = torch.tensor(tokenizer.encode(texts[0]))
    own = bits(nats_per_token(model, ids))
    facts = {"bits_per_token": own, "texts": texts, "dataset": checkpoint["dataset"]}
    run.save_result("generate", facts, seeds=[args.seed + n for n in range(args.count)])
    shown = {"the model's own bits per token for the first text": own}
    command = "python chapter_06_rnn_lstm_seq/generate.py --temperature 0 --prompt"
    run.finish(shown, next_command=f'{command} "The "')


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
