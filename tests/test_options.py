"""--device and --precision are offered by the scripts that act on them, and by no other."""

import argparse
import importlib
import shlex

import pytest

from course.manifest import ROOT, Script, load_chapters
from course.needs import lack_of
from utils import cli
from utils.file_io_util import read_json

SCRIPTS = [script for chapter in load_chapters() for script in chapter.scripts]
UNLISTED = ["benchmarks.__main__"]  # takes the shared options, stands in no manifest
CHOSEN = {"device": "cpu", "precision": "fp32"}


class ActedOn(BaseException):
    """The option's value was asked for. No script catches this."""


def module_of(script: Script) -> str:
    return script.path.removesuffix(".py").replace("/", ".")


def offered(parser: argparse.ArgumentParser) -> set[str]:
    return {action.dest for action in parser._actions} & set(CHOSEN)


MODULES = sorted({module_of(script) for script in SCRIPTS}) + UNLISTED
OFFERS = {m: offered(importlib.import_module(m).build_parser()) for m in MODULES}


def acts_on(option: str, main, argv: list[str], monkeypatch) -> bool:
    """Whether a run reads the option's value; it stops there.

    Recording all options in run.json reads them by `vars`, which does not count.
    """

    class Watched(argparse.Namespace):
        def __getattribute__(self, name: str):
            if name == option:
                raise ActedOn
            return super().__getattribute__(name)

    start = cli.Run.start

    def start_watched(args, *words, **named):
        run = start(args, *words, **named)
        args.__class__ = Watched
        return run

    with monkeypatch.context() as patch:
        patch.setattr(cli.Run, "start", start_watched)
        try:
            main(argv)
        except ActedOn:
            return True
    return False


@pytest.mark.parametrize(
    ("module", "option"), [(m, option) for m in MODULES for option in sorted(OFFERS[m])]
)
def test_an_option_that_is_offered_is_acted_on(module, option, tmp_path, monkeypatch):
    commands = [s for s in SCRIPTS if module_of(s) == module]
    if not (here := [s for s in commands if not lack_of(s.needs)]):
        pytest.skip(lack_of(commands[0].needs))
    monkeypatch.chdir(ROOT)
    argv = [*shlex.split(here[0].args), "--quick", "--output_dir", str(tmp_path)]
    main = importlib.import_module(module).main
    assert acts_on(option, main, [*argv, f"--{option}", CHOSEN[option]], monkeypatch)


@pytest.mark.parametrize("module", MODULES)
def test_an_option_that_is_not_offered_is_refused(module, capsys):
    """And cannot be read: the options of such a run have no such value."""
    parser = importlib.import_module(module).build_parser()
    words = next((shlex.split(s.args) for s in SCRIPTS if module_of(s) == module), [])
    for option in set(CHOSEN) - OFFERS[module]:
        assert not hasattr(parser.parse_args(words), option)
        with pytest.raises(SystemExit) as stop:
            parser.parse_args([*words, f"--{option}", CHOSEN[option]])
        assert stop.value.code == 2
        assert f"unrecognized arguments: --{option}" in capsys.readouterr().err


def published_commands() -> list[str]:
    """Of every script, shipped file of weights and published result."""
    chapters = load_chapters()
    commands = {item.command for c in chapters for item in (*c.scripts, *c.checkpoints)}
    results = [path for c in chapters for path in c.folder.glob("results/*.json")]
    return sorted(commands | {read_json(path)["command"] for path in results})


def test_published_commands_still_parse():
    """An option that was taken away must not have been part of how a number was made."""
    commands = published_commands()
    assert len(commands) > len(SCRIPTS), "results and weights have commands of their own"
    refused = [command for command in commands if not parses(command)]
    assert refused == []


def parses(command: str) -> bool:
    path, *words = shlex.split(command)[1:]
    module = path.removesuffix(".py").replace("/", ".")
    try:
        return bool(importlib.import_module(module).build_parser().parse_args(words))
    except SystemExit:
        return False


def test_a_command_with_an_option_taken_away_does_not_parse():
    command = "python chapter_03_optimization_regularization/exp_schedules.py"
    assert parses(command) and not parses(f"{command} --device cpu")


def test_the_check_sees_an_option_that_changes_nothing(tmp_path, monkeypatch):
    def main_of(body):
        def main(argv):
            parser = cli.make_parser("Demo.", ["python demo.py"], device=True, precision=True)
            return cli.run(parser, body, script=str(tmp_path / "demo.py"), argv=argv)

        return main

    argv = ["--output_dir", str(tmp_path), "--device", "cpu"]
    for option, body, expected in (
        ("device", lambda args, run: run.device, True),
        ("device", lambda args, run: run.log(device="cpu"), False),  # and writes run.json
        ("precision", lambda args, run: run.device, False),
        ("precision", lambda args, run: run.autocast(), True),
    ):
        assert acts_on(option, main_of(body), argv, monkeypatch) == expected
