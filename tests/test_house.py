"""Rules of the house: names, docstrings, short functions, imports without side effects."""

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from course.manifest import ROOT, Chapter, load_chapters

CHAPTERS = load_chapters()
FOLDERS = [ROOT / name for name in ("utils", "course", "benchmarks", "tests")]
FILES = [f for folder in [*ROOT.glob("chapter_*"), *FOLDERS] for f in sorted(folder.rglob("*.py"))]
LONGEST_FUNCTION = 60

# Imports each module named on the command line, then tells what that changed.
IMPORTER = """
import importlib, os, pickle, random, sys
import numpy, torch
def state():
    states = random.getstate(), numpy.random.get_state(), torch.get_rng_state().tolist()
    return pickle.dumps(states)
before, files = state(), os.listdir()
for name in sys.argv[1:]:
    importlib.import_module(name)
    assert state() == before, f"importing {name} changes the random state"
    assert os.listdir() == files, f"importing {name} writes a file"
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert not (pyplot and pyplot.get_fignums()), f"importing {name} plots"
"""


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_no_file_hides_an_installed_module(chapter: Chapter):
    """A script's own folder comes first on Python's path."""
    taken = sys.stdlib_module_names | set(metadata.packages_distributions())
    folders = {chapter.folder, *((ROOT / script.path).parent for script in chapter.scripts)}
    paths = [path for folder in folders for path in folder.iterdir()]
    names = {path.stem for path in paths if path.suffix in ("", ".py")}
    assert not (names - {"__init__", "__pycache__"}) & taken


def test_every_file_has_a_module_docstring():
    """Except notebooks (their first cell is the title) and empty files."""
    files = [f for f in FILES if f.stem != "walkthrough" and f.stat().st_size]
    assert [f for f in files if not ast.get_docstring(tree(f))] == []


def test_no_check_rests_on_assert():
    """`python -O` takes asserts away. The graders may have them: course.loading keeps theirs."""
    checked = [f for f in FILES if "tests" not in f.parts and "exercises" not in f.parts]
    asserts = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in checked
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Assert)
    ]
    assert asserts == [], "raise explicitly, or use utils.errors.confirm"


def test_no_function_is_longer_than_a_page():
    long = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"
        for file in FILES
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert long == []


@pytest.mark.process
def test_imports_have_no_side_effects(tmp_path, untouched, calm_environment):
    files = [
        file
        for chapter in CHAPTERS
        for pattern in ("*.py", "src/**/*.py")
        for file in sorted(chapter.folder.glob(pattern))
        if file.stem not in ("walkthrough", "__init__")
    ]
    modules = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    before = [untouched(chapter.folder) for chapter in CHAPTERS]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTER, *modules],
        cwd=tmp_path,
        env=calm_environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "", "importing prints"
    assert [untouched(chapter.folder) for chapter in CHAPTERS] == before


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))
