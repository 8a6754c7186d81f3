"""What the texts have named once keeps working: commands parse, names can be imported."""

import importlib
import shlex
import warnings

import pytest

from course.manifest import ROOT
from utils.file_io_util import read_toml

DOCUMENTED = read_toml(ROOT / "tests" / "documented.toml")
# The one command that has another name: figures/ is the folder of all functions that draw.
RENAMED = {
    "chapter_03_optimization_regularization/figures.py": "chapter_03_optimization_regularization/"
    "draw_figures.py",
}


@pytest.mark.parametrize("command", DOCUMENTED["commands"])
def test_a_documented_command_still_parses(command, monkeypatch):
    words = shlex.split(command)[1:]
    if words[0] == "-m":
        module, words = f"{words[1]}.__main__", words[2:]
    else:
        path = RENAMED.get(words[0], words[0])
        assert (ROOT / path).is_file(), f"{path} is gone"
        module, words = path.removesuffix(".py").replace("/", "."), words[1:]
    parser = importlib.import_module(module).build_parser()
    if "--help" not in words:
        parser.parse_args(words)


@pytest.mark.parametrize("module", DOCUMENTED["imports"])
def test_a_documented_name_can_still_be_imported(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old names say where the new ones are
        found = importlib.import_module(module)
        names = DOCUMENTED["imports"][module].split()
        missing = [
            name for name in names if not hasattr(found, name) and not is_module(found, name)
        ]
    assert not missing, f"{module} lost {missing}"


def is_module(package, name: str) -> bool:
    """Whether `from package import name` gives a module of it."""
    try:
        return bool(importlib.import_module(f"{package.__name__}.{name}"))
    except ModuleNotFoundError:
        return False


def test_a_lost_name_is_seen():
    package = importlib.import_module("chapter_03_optimization_regularization")
    assert is_module(package, "optimizers") and not is_module(package, "gone")
