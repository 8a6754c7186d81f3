"""The frame of every script: shared options, clear errors, exit codes.

    def build_parser():
        parser = cli.make_parser(__doc__, examples=["python chapter_02_nn_basics_mlp/mlp.py"])
        parser.add_argument("--epochs", type=cli.positive_int, default=500, help="passes")
        return parser

    def experiment(args, run): ...

    def main(argv=None) -> int:
        return cli.run(build_parser(), experiment, script=__file__, argv=argv)

Exit codes: 0 done; 2 wrong use or missing data (one sentence, no traceback); 130 on Ctrl-C.
"""

from __future__ import annotations

import argparse
import errno
import logging
import math
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from utils.errors import MissingDataError, UserError
from utils.file_io_util import read_json
from utils.progress import progress
from utils.run import Run
from utils.terminal import file_name, guarded, path

__all__ = [
    "UserError",
    "add_training_options",
    "below_one",
    "file_name",
    "fraction",
    "int_from",
    "make_parser",
    "non_negative_float",
    "non_negative_int",
    "path",
    "positive_float",
    "positive_int",
    "progress",
    "run",
]

# What a resumed run may change: where it is computed, and of a training how long and how.
PLACE_OPTIONS = ("resume", "device", "threads", "data_dir", "publish", "log_level")
TRAINING_OPTIONS = (
    "epochs", "seeds", "patience", "save_every", "precision", "compile", "tensorboard",
)  # fmt: skip

# Errors of the disk, not of the program: reported in a sentence.
DISK_ERRORS = {
    errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.ENOTDIR, errno.EFBIG,
}  # fmt: skip

# What PyTorch and NumPy say when an option was too large, or too small, and what it means.
MEMORY = "there is not enough memory for this; make the network, the batch or the data smaller"
IN_WORDS = {
    "out of memory": MEMORY,
    "can't allocate memory": MEMORY,
    "storage size calculation overflowed": MEMORY,
    "maximum allowed dimension exceeded": MEMORY,
    "array is too big": MEMORY,
    "expected more than 1 value per channel": "BatchNorm needs two examples or more in every batch "
    "where the maps have one pixel, in the last batch of an epoch too; use another --batch_size",
}


class _HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Keeps the docstring's line breaks; adds each default that is not None or an off switch."""

    def _get_help_string(self, action: argparse.Action) -> str:
        if action.default is None or action.default is False:
            return action.help or ""
        return super()._get_help_string(action) or ""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without repeating all options."""

    def error(self, message: str) -> None:
        self.exit(2, f"{self.prog}: error: {message} (--help lists the options)\n")


# No option means more than this; what is larger would overflow further down.
LARGEST = {int: 2**53, float: 1e30}


def _number(kind: type, description: str, accept: Callable[[float], bool]) -> Callable:
    def parse(text: str):
        try:
            value = kind(text)
            wanted = math.isfinite(value) and accept(value)
        except (ValueError, OverflowError):  # no number, or one of 400 digits
            wanted = False
        if not wanted:
            raise argparse.ArgumentTypeError(f"{text!r} is not {description}")
        if value > LARGEST[kind]:
            raise argparse.ArgumentTypeError(f"{text!r} is more than {LARGEST[kind]:g}")
        return value

    return parse


positive_int = _number(int, "a whole number above 0", lambda value: value > 0)
non_negative_int = _number(int, "a whole number of 0 or more", lambda value: value >= 0)
positive_float = _number(float, "a number above 0", lambda value: value > 0)
non_negative_float = _number(float, "a number of 0 or more", lambda value: value >= 0)
# NumPy's generators take 32 bits; the scripts add small numbers to it for further seeds.
seed = _number(int, "a whole number of 0 or more, below 2^32", lambda value: 0 <= value < 2**32)
fraction = _number(float, "a number from 0 to 1", lambda value: 0 <= value <= 1)
# For shares that leave nothing to learn at 1: of smoothed labels, of dropped units, of old weights.
below_one = _number(float, "a number from 0 to below 1", lambda value: 0 <= value < 1)


def int_from(least: int, most: float = math.inf) -> Callable:
    """A type for whole numbers that must not be below `least`, nor above `most`."""
    words = f"of {least} or more" if most == math.inf else f"from {least} to {most}"
    return _number(int, f"a whole number {words}", lambda value: least <= value <= most)


MOST_THREADS = 1024  # with many more the thread library ends the process, without a word of ours
thread_count = int_from(0, MOST_THREADS)


def make_parser(
    doc: str | None, examples: Sequence[str], *, device: bool = False, precision: bool = False
) -> argparse.ArgumentParser:
    """A parser with the shared options; `doc` is the script's docstring, shown by --help.

    `device` and `precision` offer the options of these names, in scripts that act on them only: an
    option that changes nothing would be recorded in run.json as if it had.
    """
    epilog = "examples:\n" + "\n".join(f"  {example}" for example in examples)
    parser = _Parser(
        description=doc, epilog=epilog, formatter_class=_HelpFormatter, allow_abbrev=False
    )
    group = parser.add_argument_group("options that scripts share")
    add = group.add_argument
    add("--seed", type=seed, default=42, help="decides all randomness")
    if device:
        add("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto", help="processor")
    if precision:
        add("--precision", choices=["auto", "fp32", "bf16", "fp16"], default="auto", help="numbers")
    help_text = "CPU threads; 0: library default, with --quick one"
    add("--threads", type=thread_count, default=0, help=help_text)
    help_text = "folder of the data sets (default: $DL_COURSE_DATA, else data/)"
    add("--data_dir", type=path, help=help_text)
    help_text = "folder that receives the run folder"
    add("--output_dir", type=path, default="outputs", help=help_text)
    add("--run_name", type=file_name, help="name of the run folder (default: the time)")
    add("--quick", action="store_true", help="the same experiment in at most 30 s on 2 cores")
    add("--publish", action="store_true", help="maintainers: also write to results/, checkpoints/")
    add("--log_level", choices=["debug", "info", "warning"], default="info", help="messages shown")
    return parser


def add_training_options(parser: argparse.ArgumentParser, free: Sequence[str] = ()) -> None:
    """Options of scripts whose long training goes through chapter 3's `fit`; last of all options.

    free: what --resume may change besides TRAINING_OPTIONS, see `add_resume_option`.
    """
    group = parser.add_argument_group("long training")
    group.add_argument("--compile", action="store_true", help="compile the model (torch.compile)")
    group.add_argument("--tensorboard", action="store_true", help="also write TensorBoard logs")
    known = [action.dest for action in parser._actions]
    free = [*free, *(name for name in TRAINING_OPTIONS if name in known)]
    add_resume_option(group, "last.pth", free)


def add_resume_option(
    group: argparse._ArgumentGroup, what: str = "finished rows", free: Sequence[str] | None = None
) -> None:
    """--resume, for scripts that go on from the last.pth or the logged rows of a stopped run.

    free: the options that take effect when they are given anew beside it. Any other is refused by
    name: a run has one batch size, and run.json says which. None: the script takes all of them.
    """
    words = f"go on from this run's {what}, with its options"
    anew = "those given here come first"
    if free is not None:
        anew = f"new ones only for {', '.join(f'--{name}' for name in free)}"
    action = group.add_argument(
        "--resume", type=path, metavar="RUN_FOLDER", help=f"{words}; {anew}"
    )
    action.free = None if free is None else {*free, *PLACE_OPTIONS}


def run(
    parser: argparse.ArgumentParser,
    body: Callable[[argparse.Namespace, Run], None],
    *,
    script: str,
    argv: Sequence[str] | None = None,
    uses_torch: bool = True,
) -> int:
    """Parse the options, call `body(args, run)` inside a run folder, return the exit code.

    `uses_torch=False` neither imports nor seeds PyTorch: such a script starts at once.
    """
    return guarded(lambda: _run(parser, body, script, argv, uses_torch))


def _run(
    parser: argparse.ArgumentParser,
    body: Callable[[argparse.Namespace, Run], None],
    script: str,
    argv: Sequence[str] | None,
    uses_torch: bool,
) -> int:
    words = sys.argv[1:] if argv is None else list(argv)
    args = parser.parse_args(words)
    logging.basicConfig(level=args.log_level.upper(), format="%(message)s")
    current = None
    try:
        if getattr(args, "resume", None):
            args, words = _resumed(parser, args.resume, script, words)
        _prepare(args, uses_torch)
        current = Run.start(args, script, argv=words)
        body(args, current)
        if not current.finished:
            current.finish()
        return 0
    except MissingDataError as error:
        print(f"{parser.prog}: {_advice(parser, error)}", file=sys.stderr)
        return 2
    except UserError as error:
        if current is not None:
            current.withdraw()
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{parser.prog}: stopped by Ctrl-C.{_resume_hint(current)}", file=sys.stderr)
        return 130
    except (MemoryError, RuntimeError, ValueError) as error:
        if not (sentence := in_words(error)):
            raise
        print(f"{parser.prog}: {sentence}.", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        place = f" ({error.filename})" if error.filename else ""
        print(f"{parser.prog}: cannot write{place}: {error.strerror}.", file=sys.stderr)
        return 2


def in_words(error: Exception) -> str:
    """The sentence for an error of PyTorch or NumPy that an option has caused; "" for a defect."""
    said = str(error).lower()
    found = [sentence for words, sentence in IN_WORDS.items() if words in said]
    return MEMORY if isinstance(error, MemoryError) else "".join(found[:1])


def _advice(parser: argparse.ArgumentParser, error: MissingDataError) -> str:
    """The error's sentence, with an embedded set that this script takes as --dataset or --task."""
    tasks = _choices(parser, "task") or ()
    if any(name in tasks for name in error.alternatives):
        return error.advice(tasks, "--task")
    return error.advice(_choices(parser, "dataset"))


def _choices(parser: argparse.ArgumentParser, option: str) -> Sequence[str] | None:
    """The values an option accepts; none if there is no such option, None for any value."""
    for action in parser._actions:
        if action.dest == option:
            return action.choices
    return ()


def _resume_hint(current: Run | None) -> str:
    """The command that goes on, where the stopped run left a checkpoint."""
    if current is None or not hasattr(current.args, "resume"):
        return ""
    if not any(any(current.folder.rglob(name)) for name in ("last.pth", "metrics.jsonl")):
        return ""
    return f" Go on with: python {current.script_path} --resume {shlex.quote(str(current.folder))}"


def _resumed(
    parser: argparse.ArgumentParser, folder: str, script: str, words: list[str]
) -> tuple[argparse.Namespace, list[str]]:
    """The options of a resumed run, and its words; UserError names an option that cannot change."""
    recorded = _recorded_words(folder, script)
    merged = _overridden(recorded, words)
    before, args = parser.parse_args(recorded), parser.parse_args(merged)
    free = next(action.free for action in parser._actions if action.dest == "resume")
    for name, value in vars(args).items():
        if free is not None and name not in free and value != getattr(before, name):
            old, new = (_shown(option) for option in (getattr(before, name), value))
            raise UserError(
                f"--resume {folder}: --{name} was {old} in that run, not {new}; "
                "leave it out, or start a new run without --resume."
            )
    return args, _overridden(merged, [], drop="--resume")


def _shown(value: object) -> str:
    if value is None or value is False:
        return "not given"
    return "given" if value is True else str(value)


def _recorded_words(folder: str, script: str) -> list[str]:
    """The command-line words that started the run in `folder`."""
    record = Path(folder) / "run.json"
    if not record.is_file():
        raise UserError(f"--resume {folder}: there is no run.json in it, so it is no run folder.")
    facts = read_json(record)
    name = Path(script).name
    if "argv" not in facts or facts.get("script") != name:
        raise UserError(f"--resume {folder}: that run was not made by {name}.")
    return facts["argv"]


def _overridden(words: list[str], later: list[str], drop: str = "") -> list[str]:
    """The words of both commands, but each option only once: as it was given last."""
    options: dict[str, list[str]] = {}
    name = ""
    for word in [*words, *later]:
        if word.startswith("--"):
            name = word.partition("=")[0]
            options[name] = []
        options.setdefault(name, []).append(word)
    options.pop(drop, None)
    return [word for group in options.values() for word in group]


def _prepare(args: argparse.Namespace, uses_torch: bool) -> None:
    if args.quick and args.publish:
        raise UserError("--quick results are too small to publish; leave out one of the two.")
    from utils.seed import seed_everything

    seed_everything(args.seed, with_torch=uses_torch)
    if args.quick:  # its matrices are small: a second thread would mostly be waited for
        args.threads = args.threads or 1
    if args.threads:
        from utils.device import set_threads

        set_threads(args.threads, with_torch=uses_torch)
