"""The READMEs: two languages of one structure, links that lead somewhere, commands that exist."""

import functools
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from course.manifest import ROOT, load_chapters
from course.sync import documents, sync

CHAPTERS = load_chapters()
READMES = documents(ROOT)
# Folders whose README exists in both languages: the top level and the chapters.
BILINGUAL = [f for f in [ROOT, *(c.folder for c in CHAPTERS)] if list(f.glob("README*.md"))]
LIMITS = {".png": 200 * 1024, ".svg": 500 * 1024, ".gif": 2 * 2**20}
CHECKPOINT_LIMITS = (32 * 2**20, 200 * 2**20)  # one file, all of them

FENCE = re.compile(r"^```+[ ]*(\w*)[^\n]*\n(.*?)^```+[ \t]*$", re.DOTALL | re.MULTILINE)
INLINE_CODE = re.compile(r"(?<![`$])(`+)(?!`)[^\n]+?(?<!`)\1(?![`$])")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)|<img[^>]*src=\"([^\"]+)\"")
COMMAND = re.compile(r"\bpython (?:-m )?(chapter_\d\d_\w+|course|benchmarks|utils)\b[^`\n|&;#]*")
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


def without_code(text: str) -> str:
    return INLINE_CODE.sub("", FENCE.sub("", text))


def headings(text: str) -> list[str]:
    """The levels: ["#", "##", ...]."""
    return re.findall(r"^(#{1,6}) ", FENCE.sub("", text), re.MULTILINE)


def code_blocks(text: str) -> list[tuple[str, str]]:
    """(language, code without comments); the labels of a diagram may be translated."""
    blocks = []
    for language, code in FENCE.findall(text):
        lines = [re.sub(r"(^|\s+)(#|//) .*$", "", line).rstrip() for line in code.splitlines()]
        kept = "" if language in ("mermaid", "text") else "\n".join(line for line in lines if line)
        blocks.append((language, kept))
    return blocks


def images(text: str) -> list[str]:
    return [a or b for a, b in IMAGE.findall(without_code(text))]


def formulas(text: str) -> tuple[int, int]:
    """How many display and inline formulas."""
    text = without_code(text)
    display = re.findall(r"\$\$.+?\$\$", text, re.DOTALL)
    inline = re.findall(
        r"(?<![\\$])\$[^$\n]+?\$", re.sub(r"\$\$.+?\$\$", "", text, flags=re.DOTALL)
    )
    return len(display), len(inline)


def anchors(text: str) -> set[str]:
    """The link targets GitHub makes from the headings, and explicit ones."""
    titles = re.findall(r"^#{1,6} (.+?)\s*$", FENCE.sub("", text), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", title).lower() for title in titles]
    slugs = {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}
    return slugs | set(re.findall(r"(?:id|name)=\"([^\"]+)\"", text))


def commands(text: str) -> list[list[str]]:
    """Every `python ...` command of the course, in a code block or in backticks, as words."""
    code = [block for _, block in FENCE.findall(text)]
    code += [match[0] for match in INLINE_CODE.finditer(FENCE.sub("", text))]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(code))  # a line that goes on with a backslash
    return [shlex.split(match[0]) for match in COMMAND.finditer(joined)]


@functools.cache
def help_of(target: tuple[str, ...]) -> str:
    done = subprocess.run(
        [sys.executable, *target, "--help"], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, f"{' '.join(target)} --help: {done.stderr[-2000:]}"
    return done.stdout


def target_of(words: list[str]) -> tuple[str, ...]:
    """What --help is asked of: the script, or the module and its sub-command."""
    length = 3 if words[1] == "-m" else 2
    if words[1] == "-m" and words[2] in ("course", "utils.datasets") and len(words) > 3:
        length += not words[3].startswith("-")
    return tuple(words[1:length])


@pytest.mark.parametrize("folder", BILINGUAL, ids=name_of)
@pytest.mark.parametrize("part", [headings, code_blocks, images, formulas])
def test_both_languages_have_the_same(folder: Path, part):
    english, chinese = (folder / name for name in ("README.md", "README.zh-CN.md"))
    assert part(english.read_text("utf-8")) == part(chinese.read_text("utf-8"))


@pytest.mark.parametrize("readme", READMES, ids=name_of)
def test_links_lead_somewhere(readme: Path):
    text = without_code(readme.read_text(encoding="utf-8"))
    for link in [unquote(a or b) for a, b in LINK.findall(text)]:
        if re.match(r"[a-z]+:", link):  # the web is not asked: the tests run without a network
            continue
        path, _, anchor = link.partition("#")
        target = readme.parent / path if path else readme
        assert target.exists(), f"{link} does not exist"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{link}: no such heading"


def test_generated_blocks_are_in_sync():
    assert sync(check=True) == [], "mend with: python -m course sync"


@pytest.fixture(scope="session")
def help_text(help_of_scripts) -> Callable[[tuple[str, ...]], str]:
    """help_text(target): from the chapter's answers where it is a script of a manifest."""
    chapters = {script.path: chapter for chapter in CHAPTERS for script in chapter.scripts}

    def get(target: tuple[str, ...]) -> str:
        path = target[-1].replace(".", "/") + ".py" if target[0] == "-m" else target[0]
        if path not in chapters:
            return help_of(target)
        code, out, err = help_of_scripts(chapters[path])[path]
        assert code == 0, f"{path} --help: {err[-2000:]}"
        return out

    return get


@pytest.mark.parametrize("folder", BILINGUAL, ids=name_of)
def test_flags_of_the_commands_exist(folder: Path, help_text):
    for readme in folder.glob("README*.md"):
        for words in commands(readme.read_text(encoding="utf-8")):
            flags = [word.split("=")[0] for word in words if word.startswith("--")]
            text = help_text(target_of(words)) if len(words) > 1 else ""
            missing = [flag for flag in flags if not re.search(rf"{flag}\b", text + " --help")]
            assert not missing, f"{readme.name}: {shlex.join(words)}: no option {missing}"


def test_published_pictures_are_small():
    pictures = [p for p in ROOT.glob("*/results/*") if p.suffix in LIMITS]
    assert [name_of(p) for p in pictures if p.stat().st_size > LIMITS[p.suffix]] == []


def test_shipped_weights_are_small():
    sizes = [(c.folder / item.file).stat().st_size for c in CHAPTERS for item in c.checkpoints]
    assert max(sizes, default=0) < CHECKPOINT_LIMITS[0] and sum(sizes) < CHECKPOINT_LIMITS[1]


def test_no_paths_of_one_machine():
    notebooks = [c.folder / "walkthrough.ipynb" for c in CHAPTERS]
    files = [*READMES, *ROOT.glob("*/results/*.json"), *ROOT.glob("*/chapter.toml"), *notebooks]
    texts = {name_of(f): f.read_text(encoding="utf-8") for f in files if f.exists()}
    assert {name: m[0] for name, text in texts.items() if (m := MACHINE_PATH.search(text))} == {}


def test_the_comparison_sees_differences():
    text = "# A\n\n$x$ and `$no$`\n\n$$y$$\n\n```bash\npython a.py  # run\n```\n## B\n![p](a.png)\n"
    assert headings(text) == ["#", "##"]
    assert formulas(text) == (1, 1)
    assert images(text) == ["a.png"]
    assert code_blocks(text) == [("bash", "python a.py")]
    assert code_blocks(text) != code_blocks(text.replace("a.py", "b.py"))
    assert code_blocks(text) == code_blocks(text.replace("# run", "# 运行"))
    assert anchors("## From `a` to b: c\n## 中文 标题！") == {"from-a-to-b-c", "中文-标题"}


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


@pytest.mark.parametrize("readme", READMES, ids=name_of)
def test_no_line_starts_with_a_value_marker(readme: Path):
    """Markdown takes a line that starts with a comment for HTML and ends the paragraph there."""
    lines = readme.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.lstrip().startswith("<!-- value")] == []


def test_one_chinese_word_for_one_thing():
    files = [*ROOT.rglob("*.zh-CN.md"), *ROOT.glob("course/*.toml"), *ROOT.glob("*/chapter.toml")]
    files += [*ROOT.glob("*/walkthrough.py"), *ROOT.glob("*/results/*.json")]
    files = [file for file in files if "outputs" not in file.parts and ".venv" not in file.parts]
    texts = {name_of(file): file.read_text(encoding="utf-8") for file in files}
    found = {
        f"{name}: {word}, the course says {ours}"
        for name, text in texts.items()
        for word, ours in OTHER_WORDS.items()
        if word in text
    }
    assert found == set()
