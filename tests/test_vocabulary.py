"""One word for one thing: an accuracy is a share from 0 to 1, a number in per cent says so.

And what several chapters need is written once, not once in each of them.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from course.manifest import ROOT, load_chapters
from utils.checkpoint import load_checkpoint
from utils.file_io_util import read_json

CHAPTERS = load_chapters()
RESULTS = [path for chapter in CHAPTERS for path in sorted(chapter.folder.glob("results/*.json"))]
WEIGHTS = [chapter.folder / item.file for chapter in CHAPTERS for item in chapter.checkpoints]
SOURCES = [
    path
    for part in ("utils", "course", "chapter_*", "benchmarks", "tools")
    for path in ROOT.glob(f"{part}/**/*.py")
]
NAMED_ACCURACY = re.compile("accurac(y|ies)")


def numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """(innermost key that speaks of accuracy, number), of everything inside."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, key if NAMED_ACCURACY.search(key) else name)
    elif isinstance(value, list):
        for inner in value:
            yield from numbers(inner, name)
    elif isinstance(value, int | float) and name:
        yield name, value


def misnamed(metrics: dict[str, Any]) -> list[str]:
    """The keys whose numbers are in another unit than their name says."""
    found = defaultdict(list)
    for name, number in numbers(metrics):
        found[name].append(number)
    return [
        name
        for name, values in found.items()
        if min(values) < 0
        or max(values) > (100 if name.endswith("_percent") else 1)
        or (name.endswith("_percent") and "std" not in name and max(values) <= 1)
    ]


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_published_accuracies_are_shares_or_say_per_cent(path: Path):
    assert misnamed(read_json(path)["metrics"]) == []


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_shipped_accuracies_are_shares_or_say_per_cent(path: Path):
    assert misnamed(load_checkpoint(path)["metrics"]) == []


def test_the_unit_is_seen():
    right = {"accuracy": 0.97, "a": [{"val_accuracies": [0.1, 1.0]}], "accuracy_std_percent": 0.2}
    assert misnamed(right | {"test_accuracy_percent": 97.0, "loss": 12.0}) == []
    assert misnamed({"runs": {"accuracy": {"mean": 97.0}}}) == ["accuracy"]
    assert misnamed({"accuracy_percent": [0.97, 0.98]}) == ["accuracy_percent"]


ONCE = ["evaluator", "mean_std", "over_seeds", "parameter_count", "read_toml", "update_bn"]


def definitions() -> dict[str, list[str]]:
    """Name -> where a function of that name is defined at the top level."""
    found = defaultdict(list)
    for path in SOURCES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                found[node.name].append(path.relative_to(ROOT).as_posix())
    return found


@pytest.mark.parametrize("name", ONCE)
def test_what_all_chapters_share_is_written_once(name):
    assert len(definitions()[name]) == 1


def test_nobody_counts_parameters_by_hand():
    """Graders apart: an exercise may be to count them."""
    by_hand = re.compile(r"sum\(\s*(\w+)\.numel\(\) for \1 in \w+\.parameters\(\)\s*\)")
    places = [p for p in SOURCES if by_hand.search(p.read_text(encoding="utf-8"))]
    assert [p for p in places if "exercises" not in p.parts] == []


NO_CLASSIFIERS = {  # they have an RMSE, bits per character, lines or words that are right
    "chapter_02_nn_basics_mlp/mlp.py",
    "chapter_06_rnn_lstm_seq/experiments/language_models.py",
    "chapter_06_rnn_lstm_seq/train_forecast.py",
    "chapter_06_rnn_lstm_seq/train_seq2seq.py",
    "chapter_07_attention_mechanism/train_sort.py",
    "chapter_07_attention_mechanism/train_translation.py",
    "chapter_08_transformer_vanilla/experiments/gpt.py",
    "chapter_08_transformer_vanilla/experiments/pretraining.py",
    "chapter_08_transformer_vanilla/train.py",
}


def test_checkpoints_of_classifiers_are_evaluated_by_one_helper():
    own = definitions()["evaluate_checkpoint"]
    assert set(own) <= NO_CLASSIFIERS


SPEAKS = ["chapter_03_optimization_regularization"]  # the chapters whose scripts speak it


def functions(path: Path) -> set[str]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("chapter", SPEAKS)
def test_one_word_for_one_role_in_the_scripts(chapter):
    """A file of tables offers them by `tables`, a script publishes in `report`."""
    folder = ROOT / chapter
    files = {p for p in folder.glob("experiments/**/*.py") if "tables" in (p.stem, p.parent.name)}
    files = {p for p in files if p.name != "__init__.py"}
    assert files and [p.name for p in files if "tables" not in functions(p)] == []
    scripts = [p for p in folder.glob("*.py") if "run.save_result" in p.read_text("utf-8")]
    assert scripts and [p.name for p in scripts if "report" not in functions(p)] == []


def test_a_line_of_other_data_is_not_taken_for_finished_work():
    """`run.once` looks for the facts that it is given; the data set is one of them."""
    calls = [
        (file, node)
        for folder in ROOT.glob("chapter_*")
        for file in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "run.once"
    ]
    assert len(calls) >= 9
    nameless = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file, node in calls
        if "dataset" not in {word.arg for word in node.keywords}
    ]
    assert nameless == []
