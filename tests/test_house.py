"""Rules of the house: names, docstrings, short functions, imports without side effects."""

import ast
import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Container
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
    return parsed(file.read_text(encoding="utf-8"))


parsed = functools.cache(ast.parse)  # several tests read all files


# --- The arrangement of a chapter: scripts -> figures -> experiments -> lessons ---

# Chapters that still stand at one level, in one README. The list only gets shorter.
NOT_YET_MOVED = {
    "chapter_01_tensor_autograd",
    "chapter_02_nn_basics_mlp",
    "chapter_04_cnn_classic",
    "chapter_05_resnet_modern_cnn",
}
MOVED = [chapter for chapter in CHAPTERS if chapter.name not in NOT_YET_MOVED]
LEVELS = ("a lesson", "an experiment", "a figure", "a script")
# A lesson such as model.py may show itself with a main. These are run, and imported by no one.
SCRIPT_NAME = re.compile(r"(exp|demo|draw|train|inference|evaluate|generate|translate)(_\w+)?")
APART = {"exercises", "walkthrough.py"}  # they stand on the whole chapter, and nothing on them


def modules(root: Path) -> dict[str, Path]:
    """The importable files below `root` by dotted name: a package is its `__init__`."""
    packages = [folder for folder in root.iterdir() if (folder / "__init__.py").is_file()]
    files = [file for folder in packages for file in sorted(folder.rglob("*.py"))]
    return {dotted(root, file): file for file in files if not APART & set(file.parts)}


def dotted(root: Path, file: Path) -> str:
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def imports_of(file: Path, known: Container[str]) -> set[str]:
    """The modules that running this file needs: those for type checkers only are left out."""
    found: set[str] = set()
    nodes: list[ast.AST] = [tree(file)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in known else node.module)
        else:
            nodes += ast.iter_child_nodes(node)
    return {name for name in found if name in known}


def import_graph(root: Path) -> dict[str, set[str]]:
    """Each module with all that its imports run: importing a.b.c runs a and a.b as well."""
    files = modules(root)
    graph = {}
    for name, file in files.items():
        wanted = imports_of(file, files)
        run = {outer for one in wanted for outer in (one, *outer_packages(one)) if outer in files}
        graph[name] = {one for one in run if not f"{name}.".startswith(f"{one}.")}
    return graph


def outer_packages(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """One way from a module through its imports back to itself; [] if there is none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for one in sorted(graph[name]):
            if found := walk(one, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := walk(name, []))), [])


def level_of(file: str, scripts: Container[str]) -> int:
    """Place in LEVELS of a file, its path relative to the chapter's root."""
    top = file.split("/")[0]
    return {"experiments": 1, "figures": 2}.get(top, 3 if file in scripts else 0)


def wrong_arrows(root: Path, chapter: str, scripts: Container[str]) -> list[str]:
    """The imports inside a chapter that go up, or that reach for a script."""
    files = {name: file for name, file in modules(root).items() if name.startswith(f"{chapter}.")}
    wrong = []
    for file in files.values():
        place = file.relative_to(root / chapter).as_posix()
        for other in imports_of(file, files):
            target = files[other].relative_to(root / chapter).as_posix()
            shows_itself = target in scripts and not SCRIPT_NAME.fullmatch(files[other].stem)
            here = level_of(place, scripts)
            there = 0 if shows_itself else level_of(target, scripts)
            if here < there or there == LEVELS.index("a script"):
                wrong.append(f"{place}, {LEVELS[here]}, imports {target}, {LEVELS[there]}")
    return sorted(wrong)


def unnamed_at_the_root(folder: Path) -> list[str]:
    """Python files and packages at a chapter's root that the tables of its front page leave out."""
    page = (folder / "README.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    names = {name for row in rows for name in re.findall(r"`([\w/.]+)`", row)}
    here = [f.name for f in folder.glob("*.py") if f.name != "__init__.py"]
    here += [f"{f.parent.name}/" for f in folder.glob("*/__init__.py")]
    return sorted(set(here) - names)


def folders_like_scripts(folder: Path) -> list[str]:
    """`python -m chapter.train` would run a folder train/ in place of train.py."""
    return [file.name for file in sorted(folder.rglob("*.py")) if file.with_suffix("").is_dir()]


def test_the_list_of_chapters_to_move_has_no_other_names():
    standing = {chapter.name for chapter in CHAPTERS}
    assert standing >= NOT_YET_MOVED
    assert not [name for name in NOT_YET_MOVED if (ROOT / name / "docs").is_dir()]


def test_no_import_runs_in_a_circle():
    assert cycle_in(import_graph(ROOT)) == []


@pytest.mark.parametrize("chapter", MOVED, ids=lambda chapter: chapter.name)
def test_imports_inside_a_chapter_go_down(chapter: Chapter):
    scripts = {script.file for script in chapter.scripts}
    assert wrong_arrows(ROOT, chapter.name, scripts) == []


@pytest.mark.parametrize("chapter", MOVED, ids=lambda chapter: chapter.name)
def test_the_front_page_names_what_stands_at_the_root(chapter: Chapter):
    assert unnamed_at_the_root(chapter.folder) == []


@pytest.mark.parametrize("chapter", MOVED, ids=lambda chapter: chapter.name)
def test_no_folder_is_named_like_a_script(chapter: Chapter):
    assert folders_like_scripts(chapter.folder) == []


@pytest.mark.parametrize("chapter", MOVED, ids=lambda chapter: chapter.name)
def test_a_package_says_what_to_read_in_which_order(chapter: Chapter):
    for init in sorted(chapter.folder.rglob("__init__.py")):
        if init.parent == chapter.folder or "exercises" in init.parts:
            continue
        text = ast.get_docstring(tree(init)) or ""
        names = {f.name for f in init.parent.glob("*.py")} - {"__init__.py"}
        assert not {name for name in names if not re.search(rf"\b{re.escape(name)}", text)}, init


# --- Each rule fails where it is broken ---

HOUSE = {  # a chapter in order
    "chapter_09_demo/__init__.py": "",
    "chapter_09_demo/lesson.py": "",
    "chapter_09_demo/model.py": "from chapter_09_demo.lesson import x",
    "chapter_09_demo/experiments/__init__.py": "",
    "chapter_09_demo/experiments/measure.py": "from chapter_09_demo import lesson, model",
    "chapter_09_demo/figures/__init__.py": "",
    "chapter_09_demo/figures/curves.py": "import chapter_09_demo.experiments.measure",
    "chapter_09_demo/exp_a.py": "from chapter_09_demo.figures.curves import x",
    "chapter_09_demo/exp_b.py": "from chapter_09_demo.experiments import measure",
    "chapter_09_demo/README.md": "| `lesson.py` | `model.py` | `exp_a.py`, `exp_b.py` |\n"
    "| `experiments/` | `figures/` |\n",
}
HOUSE_SCRIPTS = {"exp_a.py", "exp_b.py", "model.py"}


def built(root: Path, **changed: str) -> None:
    """The demonstration chapter below `root`, with these files in place of its own."""
    for path, text in (HOUSE | changed).items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def test_a_chapter_in_order_breaks_no_rule(tmp_path):
    built(tmp_path)
    assert wrong_arrows(tmp_path, "chapter_09_demo", HOUSE_SCRIPTS) == []
    assert cycle_in(import_graph(tmp_path)) == []
    assert unnamed_at_the_root(tmp_path / "chapter_09_demo") == []
    assert folders_like_scripts(tmp_path / "chapter_09_demo") == []


@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        ("lesson.py", "import {c}.experiments.measure", "lesson.py, a lesson, imports exp"),
        ("lesson.py", "def f():\n    from {c} import figures", "lesson.py, a lesson, imports fig"),
        ("experiments/measure.py", "from {c}.figures import curves", "an experiment, imports fig"),
        ("figures/curves.py", "from {c}.exp_a import main", "a figure, imports exp_a.py, a script"),
        ("exp_a.py", "from {c} import exp_b", "exp_a.py, a script, imports exp_b.py, a script"),
        ("model.py", "from {c}.exp_a import main", "imports exp_a.py, a script"),
    ],
)
def test_an_arrow_in_the_wrong_direction_is_found(tmp_path, file, line, fault):
    built(tmp_path, **{f"chapter_09_demo/{file}": line.format(c="chapter_09_demo")})
    (found,) = wrong_arrows(tmp_path, "chapter_09_demo", HOUSE_SCRIPTS)
    assert fault in found


@pytest.mark.parametrize(
    "changed",
    [
        {"lesson.py": "from chapter_09_demo import model"},
        {"lesson.py": "def f():\n    import chapter_09_demo.model"},
        # Importing a file of a package runs the package's __init__, which imports its own files.
        {
            "topic/__init__.py": "from chapter_09_demo.topic.a import x",
            "topic/a.py": "from chapter_09_demo.lesson import x",
            "topic/b.py": "",
            "lesson.py": "from chapter_09_demo.topic.b import x",
        },
    ],
    ids=["two files", "inside a function", "through an __init__"],
)
def test_a_circle_is_found(tmp_path, changed):
    built(tmp_path, **{f"chapter_09_demo/{name}": text for name, text in changed.items()})
    circle = cycle_in(import_graph(tmp_path))
    assert "chapter_09_demo.lesson" in circle and circle[0] == circle[-1]


def test_a_circle_for_type_checkers_only_is_none(tmp_path):
    text = "if TYPE_CHECKING:\n    from chapter_09_demo import model"
    built(tmp_path, **{"chapter_09_demo/lesson.py": text})
    assert cycle_in(import_graph(tmp_path)) == []


def test_a_file_that_the_front_page_does_not_name_is_found(tmp_path):
    built(tmp_path, **{"chapter_09_demo/other.py": "", "chapter_09_demo/topic/__init__.py": ""})
    assert unnamed_at_the_root(tmp_path / "chapter_09_demo") == ["other.py", "topic/"]


def test_a_folder_named_like_a_script_is_found(tmp_path):
    built(tmp_path, **{"chapter_09_demo/exp_a/__init__.py": ""})
    assert folders_like_scripts(tmp_path / "chapter_09_demo") == ["exp_a.py"]


CHAPTER_3 = "chapter_03_optimization_regularization"


@pytest.fixture(scope="module")
def copied_house(tmp_path_factory) -> Path:
    """The repository's Python files, with which a rule may be broken."""
    root = tmp_path_factory.mktemp("house")
    for file in [ROOT / "pyproject.toml", *modules(ROOT).values()]:
        target = root / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return root


@pytest.mark.process
@pytest.mark.parametrize(
    ("file", "line"),
    [
        (None, ""),
        (f"{CHAPTER_3}/optimizers/base.py", f"from {CHAPTER_3}.experiments import tasks"),
        (f"{CHAPTER_3}/experiments/tasks.py", f"from {CHAPTER_3}.figures import train"),
        (f"{CHAPTER_3}/figures/train.py", f"from {CHAPTER_3}.exp_schedules import sweep"),
        (f"{CHAPTER_3}/exp_schedules.py", f"from {CHAPTER_3}.train import make_model"),
        (f"{CHAPTER_3}/another.py", '"""No layer."""'),
        ("utils/seed.py", f"from {CHAPTER_3} import optimizers"),
        ("chapter_02_nn_basics_mlp/layers.py", f"from {CHAPTER_3} import optimizers"),
    ],
    ids=lambda value: (value or "in order").removeprefix(CHAPTER_3),
)
def test_import_linter_holds_the_directions(copied_house, file, line):
    path = copied_house / (file or "none")
    before = path.read_text(encoding="utf-8") if path.is_file() else None
    if file:
        path.write_text(f"{before or ''}\n{line}\n", encoding="utf-8")
    try:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
            cwd=copied_house,
            env={**os.environ, "PYTHONPATH": str(copied_house)},
            capture_output=True,
            encoding="utf-8",
        )
    finally:
        if before is not None:
            path.write_text(before, encoding="utf-8")
        elif file:
            path.unlink()
    assert (done.returncode != 0) == bool(file), done.stdout[-2000:] + done.stderr[-2000:]
