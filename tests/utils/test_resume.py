"""--resume: what may be given anew beside it, what is refused by name, what run.json then says."""

from __future__ import annotations

import pytest

from utils import cli
from utils.file_io_util import append_jsonl, read_json


class Refused(cli.UserError):
    pass


def make_script(tmp_path, body=lambda args, run: None, free=("epochs", "wide")):
    """main(argv) -> exit code of a script that may be resumed."""
    (tmp_path / "chapter_99_demo").mkdir(exist_ok=True)
    script = tmp_path / "chapter_99_demo" / "demo.py"

    def main(*argv):
        parser = cli.make_parser("Demo.", ["python demo.py"], device=True, precision=True)
        parser.add_argument("--epochs", type=cli.positive_int, default=3)
        parser.add_argument("--batch_size", type=cli.positive_int, default=64)
        parser.add_argument("--ema_decay", type=cli.fraction)
        parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2])
        parser.add_argument("--wide", action="store_true")
        parser.add_argument("--deep", action="store_true")
        cli.add_resume_option(parser, free=free)
        argv = ["--output_dir", str(tmp_path / "outputs"), *argv]
        return cli.run(parser, body, script=str(script), argv=argv, uses_torch=False)

    return main


def started(tmp_path, *argv, body=lambda args, run: None):
    """A finished run named a, and its folder."""
    assert make_script(tmp_path, body)("--run_name", "a", *argv) == 0
    return tmp_path / "outputs" / "chapter_99_demo" / "demo-a"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--batch_size", "32"], "--batch_size was 64 in that run, not 32"),
        (["--seed", "7"], "--seed was 42 in that run, not 7"),
        (["--ema_decay", "0.9"], "--ema_decay was not given in that run, not 0.9"),
        (["--sizes", "1", "3"], "--sizes was [1, 2] in that run, not [1, 3]"),
        (["--deep"], "--deep was not given in that run, not given"),
        (["--quick"], "--quick was not given"),
        (["--precision", "bf16"], "--precision was auto in that run, not bf16"),
        (["--run_name", "b"], "--run_name was a in that run, not b"),
    ],
)
def test_an_option_that_cannot_take_effect_is_refused_by_name(tmp_path, capsys, given, words):
    folder = started(tmp_path)
    before = (folder / "run.json").read_bytes()
    bodies = []
    main = make_script(tmp_path, lambda args, run: bodies.append(args))
    assert main("--resume", str(folder), *given) == 2
    message = capsys.readouterr().err
    assert words in message and len(message.splitlines()) == 1
    assert (folder / "run.json").read_bytes() == before and not bodies


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        (["--epochs", "5"], "epochs", 5),
        (["--wide"], "wide", True),
        (["--threads", "1"], "threads", 1),
        (["--batch_size", "64"], "batch_size", 64),  # the same again
        (["--seed=42"], "seed", 42),
    ],
)
def test_what_takes_effect_is_recorded(tmp_path, given, name, value):
    folder = started(tmp_path)
    assert make_script(tmp_path)("--resume", str(folder), *given) == 0
    record = read_json(folder / "run.json")
    assert record["options"][name] == value
    assert given[0].partition("=")[0] in " ".join(record["argv"])
    assert "--resume" not in record["argv"]


def test_a_refusal_by_the_script_leaves_the_record_as_it_was(tmp_path):
    folder = started(tmp_path)
    before = (folder / "run.json").read_bytes()

    def refuse(args, run):
        raise cli.UserError(f"{args.epochs} epochs do not fit the schedule.")

    assert make_script(tmp_path, refuse)("--resume", str(folder), "--epochs", "5") == 2
    assert (folder / "run.json").read_bytes() == before


@pytest.mark.parametrize("error", [cli.UserError("a loss that is no number"), KeyboardInterrupt()])
def test_a_stop_on_the_way_keeps_the_options_for_the_next_resume(tmp_path, error):
    folder, seen = started(tmp_path), []

    def work_and_stop(args, run):
        append_jsonl(run.folder / "metrics.jsonl", {"epoch": 4})
        raise error

    assert make_script(tmp_path, work_and_stop)("--resume", str(folder), "--epochs", "5") != 0
    main = make_script(tmp_path, lambda args, run: seen.append(args.epochs))
    assert main("--resume", str(folder)) == 0
    assert seen == [5] and read_json(folder / "run.json")["options"]["epochs"] == 5


def test_a_new_run_of_an_old_name_forgets_the_checkpoints_of_all_seeds(tmp_path):
    def leave(args, run):
        for folder in (run.folder, run.folder / "seed_43"):
            folder.mkdir(exist_ok=True)
            (folder / "last.pth").write_bytes(b"x")

    folder = started(tmp_path, body=leave)
    assert (folder / "seed_43" / "last.pth").is_file()
    started(tmp_path)
    assert not [*folder.rglob("last.pth")]
