"""READMEs and pages: two languages of one structure, links that lead on, commands that exist."""

import contextlib
import functools
import io
import os
import re
import runpy
import shlex
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from course.manifest import ROOT, load_chapters
from course.markers import markers
from course.reading import (
    anchors,
    code_blocks,
    commands,
    formulas,
    headings,
    images,
    links,
    without_code,
)
from course.sync import documents, sync

CHAPTERS = load_chapters()
DOCUMENTS = documents(ROOT)
# What exists in both languages, by its English file: the top level, front pages, pages.
TWO_LANGUAGES = [ROOT / "README.md"]
TWO_LANGUAGES += [
    file
    for file in DOCUMENTS
    if not file.name.endswith(".zh-CN.md") and "chapter_" in file.relative_to(ROOT).parts[0]
]
FOLDERS = [f for f in sorted(ROOT.iterdir()) if f.is_dir() and f.name not in ("outputs", "data")]
EVERY_TEXT = sorted(ROOT.glob("*.md"))
EVERY_TEXT += [file for f in FOLDERS if f.name[0] != "." for file in sorted(f.rglob("*.md"))]
LIMITS = {".png": 200 * 1024, ".svg": 500 * 1024, ".gif": 2 * 2**20}
CHECKPOINT_LIMITS = (32 * 2**20, 200 * 2**20)  # one file, all of them

# One Chinese word for one thing: the word that the course does not use, and the one it does.
OTHER_WORDS = {
    "批量": "批次",  # batch
    "引导实验": "动手实验",
    "双重下降": "双下降",  # double descent
    "主干流": "残差流",  # residual stream
    "收敛率": "收敛因子",  # what the error is multiplied by in a step
    "融合核": "融合内核",  # fused kernel
}
MACHINE_PATH = re.compile(r"(?<![\w.~])/(?:root|work|home|Users)/\w|[A-Z]:\\\\?Users")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def chinese_of(english: Path) -> Path:
    return english.with_name(english.name.removesuffix(".md") + ".zh-CN.md")


def formula_counts(text: str) -> tuple[int, int]:
    """How many display and inline formulas."""
    display = [formula for formula in formulas(text) if formula.startswith("$$")]
    return len(display), len(formulas(text)) - len(display)


def bare_formulas(text: str) -> Counter:
    """The formulas without their words, spaces and colons; their order may differ."""
    return Counter(re.sub(r"\\(?:text|mathrm)\{[^{}]*\}|[\s:]", "", f) for f in formulas(text))


def targets(text: str) -> Counter:
    """Where links lead, whatever the language of the target and the words of its headings."""
    plain = [re.sub(r"#.*", "#", link).replace(".zh-CN.md", ".md") for link in links(text)]
    return Counter(plain)


def marked(text: str) -> Counter:
    return Counter(markers(text))


def target_of(words: list[str]) -> tuple[str, ...]:
    """What --help is asked of: the script, or the module and its sub-command."""
    length = 3 if words[1] == "-m" else 2
    if words[1] == "-m" and words[2] in ("course", "utils.datasets") and len(words) > 3:
        length += not words[3].startswith("-")
    return tuple(words[1:length])


@functools.cache
def help_of(target: tuple[str, ...]) -> str:
    """What `python TARGET --help` prints, asked in this process: each start would take seconds."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), started_as(target):
        try:
            if target[0] == "-m":
                runpy.run_module(target[1], run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(str(ROOT / target[0]), run_name="__main__")
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
    assert code == 0, f"{' '.join(target)} --help: {err.getvalue()[-2000:]}"
    return out.getvalue()


@contextlib.contextmanager
def started_as(target: tuple[str, ...]) -> Iterator[None]:
    """The command line and the path that `python TARGET --help` has; put back afterwards."""
    module = target[0] == "-m"
    path = [str(ROOT if module else (ROOT / target[0]).parent), *sys.path]
    argv = [*target[module:], "--help"]
    with (
        patch.object(sys, "argv", argv),
        patch.object(sys, "path", path),
        patch.dict(os.environ),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", RuntimeWarning)  # runpy's: another test has imported it
        yield


@pytest.mark.parametrize("english", TWO_LANGUAGES, ids=name_of)
@pytest.mark.parametrize(
    "part", [headings, code_blocks, images, formula_counts, bare_formulas, targets, marked]
)
def test_both_languages_have_the_same(english: Path, part):
    ours, theirs = (f.read_text(encoding="utf-8") for f in (english, chinese_of(english)))
    assert part(ours) == part(theirs)


def test_every_chinese_document_has_its_english_twin():
    chinese = {file for file in DOCUMENTS if file.name.endswith(".zh-CN.md")}
    assert chinese == {chinese_of(english) for english in TWO_LANGUAGES}


@pytest.mark.parametrize("file", EVERY_TEXT, ids=name_of)
def test_links_lead_somewhere(file: Path):
    for link in links(file.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):  # the web is not asked: the tests run without a network
            continue
        path, _, anchor = link.partition("#")
        target = file.parent / path if path else file
        assert target.exists(), f"{link} does not exist"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{link}: no such heading"


@pytest.mark.parametrize("file", DOCUMENTS, ids=name_of)
def test_links_stay_in_their_language(file: Path):
    """Only the twin of the text itself is linked in the other language."""
    chinese = file.name.endswith(".zh-CN.md")
    for link in links(file.read_text(encoding="utf-8")):
        target = (file.parent / link.partition("#")[0]).resolve()
        if re.match(r"[a-z]+:", link) or target.suffix != ".md":
            continue
        plain = target.name.replace(".zh-CN.md", ".md")
        if plain == file.name.replace(".zh-CN.md", ".md") and target.parent == file.parent:
            continue
        other = target.name.endswith(".zh-CN.md") != chinese
        twin = target.with_name(plain if not chinese else plain.removesuffix(".md") + ".zh-CN.md")
        assert not (other and twin.exists()), f"{link}: there is {twin.name}"


def test_generated_blocks_are_in_sync():
    assert sync(check=True) == [], "mend with: python -m course sync"


@pytest.mark.parametrize("file", DOCUMENTS, ids=name_of)
def test_flags_of_the_commands_exist(file: Path):
    for words in commands(file.read_text(encoding="utf-8")):
        flags = [word.split("=")[0] for word in words if word.startswith("--")]
        text = help_of(target_of(words)) if len(words) > 1 else ""
        missing = [flag for flag in flags if not re.search(rf"{flag}\b", text + " --help")]
        assert not missing, f"{shlex.join(words)}: no option {missing}"


def test_published_pictures_are_small():
    pictures = [p for p in ROOT.glob("*/results/*") if p.suffix in LIMITS]
    assert [name_of(p) for p in pictures if p.stat().st_size > LIMITS[p.suffix]] == []


def test_shipped_weights_are_small():
    sizes = [(c.folder / item.file).stat().st_size for c in CHAPTERS for item in c.checkpoints]
    assert max(sizes, default=0) < CHECKPOINT_LIMITS[0] and sum(sizes) < CHECKPOINT_LIMITS[1]


def test_no_paths_of_one_machine():
    notebooks = [c.folder / "walkthrough.ipynb" for c in CHAPTERS]
    files = [*DOCUMENTS, *ROOT.glob("*/results/*.json"), *ROOT.glob("*/chapter.toml"), *notebooks]
    texts = {name_of(f): f.read_text(encoding="utf-8") for f in files if f.exists()}
    assert {name: m[0] for name, text in texts.items() if (m := MACHINE_PATH.search(text))} == {}


def test_the_comparison_sees_differences():
    text = "# A\n\n$x$ and `$no$`\n\n$$y$$\n\n```bash\npython a.py  # run\n```\n## B\n![p](a.png)\n"
    assert headings(text) == ["#", "##"]
    assert formula_counts(text) == (1, 1)
    assert images(text) == ["a.png"]
    assert code_blocks(text) == [("bash", "python a.py")]
    assert code_blocks(text) != code_blocks(text.replace("a.py", "b.py"))
    assert code_blocks(text) == code_blocks(text.replace("# run", "# 运行"))
    assert anchors("## From `a` to b: c\n## 中文 标题！") == {"from-a-to-b-c", "中文-标题"}
    assert anchors("## Why\n## Why\n") == {"why", "why-1"}


def test_the_comparison_sees_other_formulas_links_and_markers():
    block = "\n<!-- scripts -->\n<!-- /scripts -->\n"
    text = f"$a \\text{{ if }} b$ and $c$, [p](docs/p.md#one), `[no](x.md)`{block}"
    chinese = f"$c$，$a \\text{{若}} b$，[页](docs/p.zh-CN.md#一)，`[no](x.md)`{block}"
    for part in (bare_formulas, targets, marked):
        assert part(text) == part(chinese) and part(text)
    assert bare_formulas(text) != bare_formulas(chinese.replace("$c$", "$d$"))
    assert targets(text) != targets(chinese.replace("docs/p", "docs/q"))
    assert targets(text) != targets(chinese.replace("#一", ""))
    assert marked(text) != marked(chinese.replace("scripts", "notation"))


def test_commands_are_found():
    text = "```\npython -m course tour \\\n  --quick  # all\n```\n`python chapter_01_a/b.py --x 1`"
    found = commands(text)
    assert found == [
        ["python", "-m", "course", "tour", "--quick"],
        ["python", "chapter_01_a/b.py", "--x", "1"],
    ]
    assert [target_of(words) for words in found] == [
        ("-m", "course", "tour"),
        ("chapter_01_a/b.py",),
    ]
    assert commands("see `python -m pytest`, or a python course's end") == []


def test_machine_paths_are_seen():
    assert MACHINE_PATH.search("saved to /home/ann/x") and MACHINE_PATH.search('"C:\\\\Users')
    assert not MACHINE_PATH.search("outputs/home/x and https://a.org/home/x")


@pytest.mark.parametrize("file", DOCUMENTS, ids=name_of)
def test_no_line_starts_with_a_value_marker(file: Path):
    """Markdown takes a line that starts with a comment for HTML and ends the paragraph there."""
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.lstrip().startswith("<!-- value")] == []


@pytest.mark.parametrize("file", DOCUMENTS, ids=name_of)
def test_folded_parts_are_closed_and_their_markdown_is_seen(file: Path):
    """GitHub takes what follows <details> for plain HTML up to the next blank line."""
    text = without_code(file.read_text(encoding="utf-8"))
    assert re.findall(r"</?details\b", text) == ["<details", "</details"] * text.count("</details>")
    assert re.findall(r"<details[^\n]*\n(?!\n)[^\n]*", text) == [], "a blank line must follow"
    assert re.findall(r"[^\n]*[^\n]\n</details>", text) == [], "a blank line must stand before"


def test_one_chinese_word_for_one_thing():
    files = [file for file in EVERY_TEXT if file.name.endswith(".zh-CN.md")]
    files += [*ROOT.glob("course/*.toml"), *ROOT.glob("*/chapter.toml")]
    files += [*ROOT.glob("*/walkthrough.py"), *ROOT.glob("*/results/*.json")]
    texts = {name_of(file): file.read_text(encoding="utf-8") for file in files}
    found = {
        f"{name}: {word}, the course says {ours}"
        for name, text in texts.items()
        for word, ours in OTHER_WORDS.items()
        if word in text
    }
    assert found == set()
