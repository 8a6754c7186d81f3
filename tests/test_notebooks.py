"""The walkthrough notebooks: equal to their .py source, and the source runs."""

import json

import pytest

from course.manifest import Chapter, load_chapters

CHAPTERS = load_chapters()
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)


@each_chapter
def test_notebook_equals_its_source(chapter: Chapter):
    jupytext = pytest.importorskip("jupytext")
    source = jupytext.read(chapter.folder / "walkthrough.py", fmt="py:percent")
    notebook = jupytext.read(chapter.folder / "walkthrough.ipynb")
    cells = [[(cell.cell_type, cell.source) for cell in book.cells] for book in (source, notebook)]
    assert cells[0] == cells[1], "build it again: make notebooks"


@each_chapter
def test_notebook_was_executed_without_errors(chapter: Chapter):
    notebook = json.loads((chapter.folder / "walkthrough.ipynb").read_text(encoding="utf-8"))
    code = [
        c for c in notebook["cells"] if c["cell_type"] == "code" and "".join(c["source"]).strip()
    ]
    assert all(cell["execution_count"] for cell in code), "run it: make notebooks"
    kinds = [output["output_type"] for cell in code for output in cell["outputs"]]
    assert kinds and "error" not in kinds


@pytest.mark.notebook
@each_chapter
def test_source_runs_as_a_script(chapter: Chapter, warm_python, untouched):
    before = untouched(chapter.folder)
    done = warm_python.run(chapter.folder / "walkthrough.py")
    assert done.returncode == 0, done.stderr[-3000:]
    assert untouched(chapter.folder) == before
