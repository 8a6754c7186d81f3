"""Train a recurrent network to continue a text, character by character.

What you learn: one number, bits per character on text never seen, says how well a model knows a
language, and counting n-grams is the baseline that it must beat.

    python chapter_06_rnn_lstm_seq/train_language_model.py                 2 to 3 minutes, embedded
    python chapter_06_rnn_lstm_seq/train_language_model.py --cell gru --dataset my_text.txt
    python chapter_06_rnn_lstm_seq/train_language_model.py --resume RUN_FOLDER
    python chapter_06_rnn_lstm_seq/generate.py --prompt "The "             goes on from a prompt

Expected: on `topics` (Python's help texts) the LSTM needs fewer bits a character than the 5-gram
model; the samples, shown as it learns, go from noise to words to indented lines.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

from chapter_06_rnn_lstm_seq.experiments import language_models as lm
from chapter_06_rnn_lstm_seq.experiments import ngram, sizes
from chapter_06_rnn_lstm_seq.figures.language_models import curves_figure
from chapter_06_rnn_lstm_seq.language_model import CELLS
from utils import cli
from utils.model_summary import parameter_count
from utils.run import Run
from utils.seed import generator
from utils.threads import DATASETS, save_row

evaluate_checkpoint = lm.evaluate_checkpoint


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_06_rnn_lstm_seq/train_language_model.py"
    examples = [path, f"{path} --cell gru --dataset tiny_shakespeare --minutes 10"]
    parser = cli.make_parser(__doc__, examples, device=True)
    group = parser.add_argument_group("text")
    words = "topics (embedded), tiny_shakespeare, english_novels, names, or a file of UTF-8 text"
    group.add_argument("--dataset", default="topics", help=words)
    group.add_argument("--tokens", choices=["char", "word", "bpe"], default="char")
    size = "of word and bpe: tokens at most"
    group.add_argument("--vocab_size", type=cli.int_from(257), default=2000, help=size)
    words = "cut the training part again, to choose sizes without the validation part"
    group.add_argument("--inner", action="store_true", help=words)
    words = "choose a size: a training each of cell/units/dropout/rate, on --inner"
    group.add_argument("--sizes", nargs="+", type=sizes.size_word, metavar="SIZE", help=words)
    group = parser.add_argument_group("model")
    words = "ngram: count only, nothing is trained"
    group.add_argument("--cell", choices=[*CELLS, "ngram"], default="lstm", help=words)
    group.add_argument("--hidden_size", type=cli.positive_int, default=192, help="units a layer")
    group.add_argument("--num_layers", type=cli.positive_int, default=1)
    words = "width of the embedding; 0: tokens are one-hot vectors"
    group.add_argument("--embed_size", type=cli.non_negative_int, default=0, help=words)
    group.add_argument("--tied", action="store_true", help="output matrix = embedding matrix")
    group.add_argument("--dropout", type=cli.below_one, default=0.2, help="between layers and last")
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=cli.positive_int, default=16, help="passes over the text")
    words = "instead of --epochs: as many as fit into these minutes, by the speed of this machine"
    group.add_argument("--minutes", type=cli.positive_float, help=words)
    group.add_argument("--batch_size", type=cli.positive_int, default=32, help="parallel streams")
    group.add_argument("--seq_len", type=cli.positive_int, default=64, help="tokens until the cut")
    group.add_argument("--lr", type=cli.positive_float, default=1e-2, help="highest learning rate")
    group.add_argument("--weight_decay", type=cli.non_negative_float, default=0.0)
    group.add_argument("--clip_norm", type=cli.positive_float, default=1.0, help="of the gradient")
    group.add_argument("--seeds", type=cli.positive_int, default=1, help="trainings, one by one")
    group = parser.add_argument_group("samples")
    words = "epochs between samples; 0: none"
    group.add_argument("--sample_every", type=cli.non_negative_int, default=4, help=words)
    cli.add_resume_option(parser, "last.pth", ["sample_every"])
    return parser


def show_sample(args: argparse.Namespace, task: lm.Task, model, row: dict[str, float]) -> None:
    draw = generator(0, next(model.parameters()).device)
    lm.show_sample(args, task, row, partial(lm.text_after, model, generator=draw))


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.epochs, args.seeds, args.minutes = min(args.epochs, 3), 1, None
        args.hidden_size, args.batch_size, args.seq_len, args.lr = 96, 16, 32, 2e-2
    args.inner = args.inner or args.sizes is not None
    task = lm.load_data(args)
    if args.sizes is not None:
        return choose_size(args, run, task)
    if args.cell == "ngram":
        return count_only(args, run, task)
    planned = lm.plan(args, run.folder, task)
    trained = lm.train_seeds(
        args, run, task, planned["epochs"], lm.train_one, lm.measure, show_sample
    )
    report(args, run, task, planned, *trained)


def count_only(args: argparse.Namespace, run: Run, task: lm.Task) -> None:
    """The n-gram models alone; on tiny_shakespeare their rows of the table through the chapters."""
    rows = lm.baselines(task)
    metrics = ngram.metrics_of(rows) | {"text": task.data.notes}
    run.save_result(f"language_model_{task.data.name}_ngram", metrics, ngram.tables(rows))
    if task.data.name == DATASETS["language_models"] and not args.quick:
        save_row(run, "5gram", ngram.thread_row(rows[-2]))
        save_row(run, "ngram", ngram.thread_row(rows[-1]))
    command = "python chapter_06_rnn_lstm_seq/train_language_model.py"
    run.finish({row["name"]["en"]: row["bits_per_character"] for row in rows}, next_command=command)


def choose_size(args: argparse.Namespace, run: Run, task: lm.Task) -> None:
    """Short trainings of several sizes, judged inside the training text."""
    chosen = [sizes.parse(word) for word in args.sizes]
    rows = sizes.compare(args, run, task, chosen)
    text = lm.text_name(task.data.name.removesuffix(" (training part)"))
    run.save_result(f"language_model_sizes_{text}", {"rows": rows}, sizes.tables(rows))
    run.finish({size.key: row["nats"] for size, row in zip(chosen, rows, strict=True)})


def report(args, run: Run, task: lm.Task, planned: dict, model, rows: list, histories) -> None:
    """The result beside the n-gram models, the curve, and the weights of the first seed."""
    ngrams, parameters = lm.baselines(task), parameter_count(model)
    seeds = [args.seed + s for s in range(args.seeds)]
    text = lm.text_name(task.data.name)
    name = text if args.cell == "lstm" else f"{text}_{args.cell}"
    metrics = lm.metrics_of(rows, ngrams, parameters, planned) | {"text": task.data.notes}
    run.save_result(
        f"language_model_{name}", metrics, lm.tables(rows, ngrams, args, parameters), seeds
    )
    if planned["tokens_per_second"] and task.data.name == DATASETS["language_models"]:
        save_row(run, args.cell, lm.thread_row(args, rows, seeds, planned, parameters, task))
    architecture = lm.architecture_of(args, task)
    facts = lm.checkpoint_facts(architecture, task, model, rows[0], histories[0].seconds)
    file = f"{text}_{args.cell}.pth"
    run.save_checkpoint(file, model.state_dict(), **facts)
    title = f"{lm.CELL_NAMES[args.cell]} with {args.hidden_size} units, {task.data.name}"
    figure = curves_figure(histories, ngrams, title, task.per_character(1.0))
    run.save_figure(figure, f"language_model_{name}")
    shown = {
        "bits per character (whole validation part)": metrics["bits_per_character_mean"],
        "5-gram, Kneser-Ney": metrics["bits_5gram"],
    }
    weights = (run.folder / file).as_posix()
    command = "python chapter_06_rnn_lstm_seq/generate.py"
    run.finish(shown, next_command=f'{command} --weights {weights} --prompt "The "')


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
