"""The walkthrough notebooks: equal to their .py source, and the source runs."""

import json

import pytest

from course.manifest import Chapter, load_chapters

CHAPTERS = load_chapters()
SHORTER = {5: ("Recipe(epochs=4,", "Recipe(epochs=1,")}  # by chapter: (in the source, in the test)
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
def test_source_runs_as_a_script(chapter: Chapter, warm_python, untouched, tmp_path):
    """Every cell runs; what the longest training reaches stands in the executed notebook."""
    before = untouched(chapter.folder)
    source = (chapter.folder / "walkthrough.py").read_text(encoding="utf-8")
    whole, shorter = SHORTER.get(chapter.number, ("", ""))
    assert whole in source, f"{whole} is gone: is a training of the notebook still long?"
    (tmp_path / "walkthrough.py").write_text(source.replace(whole, shorter), encoding="utf-8")
    done = warm_python.run(tmp_path / "walkthrough.py")
    assert done.returncode == 0, done.stderr[-3000:]
    assert untouched(chapter.folder) == before
