"""Train a GPT on a text, character by character, and let it write.

What you learn: the decoder alone is a language model. All places of a window are trained at once,
and bits per character stand beside chapter 6's recurrent networks and n-grams; what a window of M
characters costs, and how far it moves, is a part of the number.

    python chapter_08_transformer_vanilla/train_gpt.py                       5 minutes, embedded
    python chapter_08_transformer_vanilla/train_gpt.py --prompt "The "       with shipped weights
    python chapter_08_transformer_vanilla/train_gpt.py --dataset tiny_shakespeare --minutes 10
    python chapter_08_transformer_vanilla/train_gpt.py --resume RUN_FOLDER
    torchrun --nproc_per_node=2 chapter_08_transformer_vanilla/train_gpt.py --threads 1

Expected: on `topics` (Python's help texts) fewer bits a character than the 5-gram model; the
samples go from noise to words to indented lines.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from chapter_06_rnn_lstm_seq.experiments import language_models as lm
from chapter_06_rnn_lstm_seq.figures.language_models import curves_figure
from chapter_06_rnn_lstm_seq.sampling import check_options
from chapter_08_transformer_vanilla.experiments import gpt
from utils import cli
from utils.errors import UserError
from utils.model_summary import parameter_count
from utils.run import Run
from utils.seed import generator
from utils.threads import DATASETS, save_row

SCRIPT = "python chapter_08_transformer_vanilla/train_gpt.py"
SHIPPED = Path(__file__).parent / "checkpoints" / "topics_gpt.pth"
SIZES = {"width": 96, "layers": 3, "context": 128}  # another network has files of its own
QUICK = {
    "width": 64, "heads": 4, "layers": 2, "context": 64, "batch_size": 16, "epochs": 3, "lr": 6e-3,
    "seeds": 1, "minutes": None, "sample_every": 3, "dropout": 0.0,
}  # fmt: skip

evaluate_checkpoint = gpt.evaluate_checkpoint


def build_parser() -> argparse.ArgumentParser:
    examples = [SCRIPT, f"{SCRIPT} --dataset tiny_shakespeare --minutes 10 --seeds 2"]
    parser = cli.make_parser(__doc__, examples, device=True, precision=True)
    group = parser.add_argument_group("text")
    words = "topics (embedded), tiny_shakespeare, english_novels, names, or a file of UTF-8 text"
    group.add_argument("--dataset", default="topics", help=words)
    group.add_argument("--tokens", choices=["char", "word", "bpe"], default="char")
    size = "of word and bpe: tokens at most"
    group.add_argument("--vocab_size", type=cli.int_from(257), default=2000, help=size)
    words = "cut the training part again, to choose sizes without the validation part"
    group.add_argument("--inner", action="store_true", help=words)
    group = parser.add_argument_group("model")
    width, layers, context = SIZES.values()
    group.add_argument("--width", type=cli.positive_int, default=width, help="numbers of a token")
    group.add_argument("--heads", type=cli.positive_int, default=4, help="of every layer")
    group.add_argument("--layers", type=cli.positive_int, default=layers)
    words = "tokens of the window: places that are learnt"
    group.add_argument("--context", type=cli.int_from(2), default=context, help=words)
    group.add_argument("--dropout", type=cli.below_one, default=0.0)
    words = "of the starting weights"
    group.add_argument("--deviation", type=cli.positive_float, default=0.06, help=words)
    words = "what the learned places start from: sinusoids, or random rows as GPT-2's"
    group.add_argument("--places", choices=("waves", "random"), default="waves", help=words)
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=cli.positive_int, default=12, help="passes over the text")
    words = "instead of --epochs: as many as fit into these minutes, by the speed of this machine"
    group.add_argument("--minutes", type=cli.positive_float, help=words)
    group.add_argument("--batch_size", type=cli.positive_int, default=16, help="windows")
    group.add_argument("--lr", type=cli.positive_float, default=4e-3, help="highest learning rate")
    group.add_argument("--warmup", type=cli.positive_int, default=100, help="steps until it")
    words = "of matrices and tables"
    group.add_argument("--weight_decay", type=cli.non_negative_float, default=0.1, help=words)
    group.add_argument("--clip_norm", type=cli.positive_float, default=1.0, help="of the gradient")
    group.add_argument("--seeds", type=cli.positive_int, default=1, help="trainings, one by one")
    words = "epochs between samples; 0: none"
    group.add_argument("--sample_every", type=cli.non_negative_int, default=3, help=words)
    group = parser.add_argument_group("go on from a prompt, nothing is trained")
    group.add_argument("--prompt", help="the text to go on from")
    group.add_argument("--checkpoint", type=cli.path, help="a .pth file (default: the shipped one)")
    group.add_argument("--length", type=cli.positive_int, default=400, help="tokens to write")
    words = "0 takes the likeliest token each time"
    group.add_argument("--temperature", type=cli.non_negative_float, default=0.8, help=words)
    cli.add_training_options(parser, ["sample_every"])
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.prompt is not None:
        return go_on(args, run)
    if args.checkpoint:
        raise UserError("--checkpoint needs --prompt, the text to go on from.")
    for name, value in QUICK.items() if args.quick else ():
        setattr(args, name, value)
    if args.width % args.heads:
        raise UserError(f"--heads {args.heads} must divide --width {args.width}.")
    if args.places == "waves" and args.width % 2:
        raise UserError(f"--places waves needs an even --width, not {args.width}.")
    task = lm.load_data(args)
    planned = lm.plan(args, run.folder, task, gpt.tokens_per_second)
    trained = lm.train_seeds(
        args, run, task, planned["epochs"], gpt.train_one, gpt.measure, show_sample
    )
    report(args, run, task, planned, *trained)


def go_on(args: argparse.Namespace, run: Run) -> None:
    """Text after --prompt."""
    check_options(args.temperature, None, None)
    if not args.prompt:
        raise UserError("--prompt is empty: the network needs a character to go on from.")
    model, tokenizer, checkpoint = gpt.load_model(args.checkpoint or SHIPPED)
    model = model.to(run.device)
    how = {"temperature": args.temperature, "generator": generator(args.seed, run.device)}
    length = min(args.length, 200) if args.quick else args.length
    text = gpt.text_after(model, tokenizer, args.prompt, length, **how)
    print(text)
    facts = {"text": text, "dataset": checkpoint["dataset"]}
    run.save_result("gpt_prompt", facts, seeds=[args.seed])
    run.finish(next_command=f'{SCRIPT} --temperature 0 --prompt "The "')


def show_sample(args: argparse.Namespace, task: lm.Task, model, row: dict[str, float]) -> None:
    random = generator(0, model.tokens.weight.device)
    lm.show_sample(args, task, row, partial(gpt.text_after, model, generator=random))


def size_name(args: argparse.Namespace) -> str:
    """What a network of other size than the default adds to the names of its files."""
    usual = args.quick or all(getattr(args, name) == size for name, size in SIZES.items())
    return "" if usual else f"_{args.layers}x{args.width}_{args.context}"


def report(args, run: Run, task: lm.Task, planned: dict, model, rows: list, histories) -> None:
    """The result beside the n-gram models, the curve, and the weights of the first seed."""
    ngrams, parameters = lm.baselines(task), parameter_count(model)
    seeds = [args.seed + s for s in range(args.seeds)]
    text, size = lm.text_name(task.data.name), size_name(args)
    metrics = lm.metrics_of(rows, ngrams, parameters, planned) | {"text": task.data.notes}
    found = gpt.tables(rows, ngrams, args, parameters, task)
    run.save_result(f"gpt_{text}{size}", metrics, found, seeds)
    if planned["tokens_per_second"] and task.data.name == DATASETS["language_models"]:
        found = gpt.thread_row(args, rows, seeds, planned, parameters, task, own_size=bool(size))
        save_row(run, f"gpt{size}", found)
    architecture = gpt.architecture_of(args, task)
    facts = lm.checkpoint_facts(architecture, task, model, rows[0], histories[0].seconds, gpt.TASK)
    file = f"{text}_gpt{size}.pth"
    run.save_checkpoint(file, model.state_dict(), **facts)
    title = f"{gpt.name_of(args)}, {task.data.name}"
    figure = curves_figure(histories, ngrams, title, task.per_character(1.0))
    run.save_figure(figure, f"gpt_{text}{size}")
    shown = {
        "bits per character (whole validation part)": metrics["bits_per_character_mean"],
        "5-gram, Kneser-Ney": metrics["bits_5gram"],
    }
    weights = (run.folder / file).as_posix()
    run.finish(shown, next_command=f'{SCRIPT} --prompt "The " --checkpoint {weights}')


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
