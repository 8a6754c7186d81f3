"""Model cards: what is known about each file of shipped weights, read from the file itself.

`python -m course sync` writes them into `checkpoints/README.md` of each chapter, in both languages,
and a shorter table into the chapter's README.
"""

import functools
from pathlib import Path
from typing import Any

from course.card_words import in_chinese
from course.document import relative
from course.manifest import Chapter
from course.tables import markdown_table, show
from utils.errors import UserError

HEADERS = {
    "en": "File|Task|Data set|Parameters|Size|Metrics",
    "zh": "文件|任务|数据集|参数量|大小|指标",
}
FACTS = [  # (key in the checkpoint, English, Chinese)
    ("task", "Task", "任务"),
    ("dataset", "Data set", "数据集"),
    ("origin", "Pixels", "像素"),
    ("architecture", "Architecture", "结构"),
    ("recipe", "Recipe", "训练配方"),
    ("metrics", "Metrics", "指标"),
    ("card_note", "Note", "说明"),
    ("seed", "Seed", "随机种子"),
]
HINTS = {
    "en": "`python -m course sync` made this page from the files themselves;"
    " `python -m course verify` measures them again.",
    "zh": "本页由 `python -m course sync` 根据权重文件生成；"
    "`python -m course verify` 会重新评估它们。",
}


def card_table(chapter: Chapter, language: str, beside: Path) -> str:
    """A row for each checkpoint; links are relative to the folder `beside`."""
    rows = []
    for name, path, content in _read(chapter):
        rows.append(
            [
                f"[`{name}`]({relative(path, beside)})",
                in_words(content.get("task", ""), language),
                str(content["dataset"]),
                f"{content['parameters']:,}",
                _size(path),
                metrics_text(content["metrics"], language),
            ]
        )
    return markdown_table(HEADERS[language].split("|"), rows, "lllrrl")


def cards(chapter: Chapter) -> str:
    """The whole text of the checkpoint folder's README.md."""
    folder = chapter.folder / chapter.checkpoint_folder
    parts = []
    for language, title in (
        ("en", f"# Model cards: {chapter.title}"),
        ("zh", f"# 模型卡片：{chapter.title_zh}"),
    ):
        parts += [title, HINTS[language], card_table(chapter, language, folder)]
        for checkpoint, (name, _, content) in zip(chapter.checkpoints, _read(chapter), strict=True):
            parts += [f"## {name}" if language == "en" else f"## {name}（中文）"]
            parts += [_facts(content, checkpoint.command, language)]
    return "\n\n".join(parts) + "\n"


def number_count(state: Any) -> int:
    """Number of elements in all tensors or arrays of a (nested) state."""
    if isinstance(state, dict):
        return sum(number_count(part) for part in state.values())
    if isinstance(state, list | tuple):
        return sum(number_count(part) for part in state)
    count = getattr(state, "numel", None)  # a torch tensor; an array has .size
    return count() if callable(count) else int(getattr(state, "size", 0))


def metrics_text(metrics: dict[str, Any], language: str) -> str:
    """test_accuracy 0.9731, val_accuracy 0.98"""
    parts = [
        f"{in_words(name, language)} {show(value, '.4g', language)}"
        for name, value in metrics.items()
    ]
    return ("，" if language == "zh" else ", ").join(parts)


def in_words(fact: Any, language: str) -> str:
    """A fact as the file has it, or in Chinese: its own translation, else that of a rule."""
    text = show(fact, "s", language)
    return in_chinese(text) if language == "zh" else text


def _read(chapter: Chapter) -> list[tuple[str, Path, dict[str, Any]]]:
    """(file name, path, facts) of each checkpoint in the manifest."""
    found = []
    for checkpoint in chapter.checkpoints:
        path = chapter.folder / checkpoint.file
        if not path.is_file():
            raise UserError(f"{chapter.name}/chapter.toml: {checkpoint.file} does not exist.")
        found.append((path.name, path, _known(path, path.stat().st_mtime_ns)))
    return found


@functools.cache
def _known(path: Path, changed: int) -> dict[str, Any]:
    """All but the weights, read once although four tables show it; `changed` is the file's time."""
    from utils.checkpoint import load_checkpoint

    content = load_checkpoint(path)
    state = content.pop("state")
    return content | {"parameters": content.get("parameters") or number_count(state)}


def _facts(content: dict[str, Any], command: str, language: str) -> str:
    """The card of one file, as a list."""
    lines = []
    for key, en, zh in FACTS:
        if content.get(key) not in (None, "", {}):
            fact = content[key]
            if key == "metrics":
                fact = metrics_text(fact, language)
            elif isinstance(fact, dict) and set(fact) != {"en", "zh"}:
                fact = ", ".join(f"{name} = {part}" for name, part in fact.items())
            lines.append((en if language == "en" else zh, in_words(fact, language)))
    lines.append(("Command", f"`{command}`") if language == "en" else ("命令", f"`{command}`"))
    lines.append(_made_on(content, language))
    mark = ": " if language == "en" else "："
    return "\n".join(f"- {title}{mark}{text}" for title, text in lines)


def _made_on(content: dict[str, Any], language: str) -> tuple[str, str]:
    """Wall time, processor and versions of the run that made the file."""
    machine = content.get("environment", {})
    versions = machine.get("versions", {})
    seconds = content.get("seconds", content.get("wall_seconds"))  # a resumed training gives both
    parts = [] if seconds is None else [f"{seconds:.0f} s"]
    parts += [machine["processor"]] if machine.get("processor") else []
    parts += [
        f"{name} {versions[name]}" for name in ("python", "numpy", "torch") if name in versions
    ]
    return ("Made in" if language == "en" else "训练环境", ", ".join(parts) or "–")


def _size(path: Path) -> str:
    """KiB with one digit: the same text on every machine."""
    return f"{path.stat().st_size / 1024:,.1f} KiB"
