"""Says a grader's message in Chinese.

Graders are written in English. `messages.zh.toml`, one beside each grader and one here, has a line
for every message, with {0}, {1} ... where the grader puts in a value:

    "{0}: expected the shape {1}, got {2}" = "{0}：形状应为 {1}，得到的是 {2}"

A finished message is matched with these lines; what stands in its places is a message in turn. A
text that none of them fits is cut at ": ", "; ", ", ", ". " or " (...)", and its parts are said.
No value and no part has a bracket without its partner.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from course.manifest import ROOT, load_chapters
from utils.file_io_util import read_toml

PLACE = re.compile(r"\{(\d+)\}")
WORD = re.compile(r"[A-Za-z]{2,}")
BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}")
SHORT = 26  # characters: a shorter pattern must not swallow a whole sentence
LONGEST = 2000  # characters of a message
MOST_CUTS = 15
CUTS = {
    "; or else ": "；或者",
    "; ": "；",
    ". ": "。",
    " (": "（",
    ": ": "：",
    ", ": "，",
}


class Chinese:
    """The messages of some tables."""

    def __init__(self, tables: list[Path]) -> None:
        lines = {en: zh for table in tables for en, zh in read_toml(table)["messages"].items()}
        self.exact = {en: zh for en, zh in lines.items() if not PLACE.search(en)}
        # the more letters of its own a template has, the more surely it is the right one
        patterns = sorted(set(lines) - set(self.exact), key=lambda en: -len(PLACE.sub("", en)))
        self.templates = [(as_patterns(en), lines[en]) for en in patterns]
        self.say = lru_cache(maxsize=4096)(self._say)

    def _say(self, text: str) -> str:
        """`text` in Chinese; what is not in the tables stays as it is."""
        if text in self.exact or not WORD.search(text):
            return self.exact.get(text, text)
        if len(text) > LONGEST:
            lines = text.split("\n")
            return "\n".join(map(self.say, lines)) if len(lines) > 1 else text
        for patterns, chinese in self.templates:
            for pattern in patterns:
                match = pattern.fullmatch(text)
                if match and all(is_value(value, pattern) for value in match.groups()):
                    values = [self.say(value) for value in match.groups()]
                    return PLACE.sub(lambda place, v=values: v[int(place[1])], chinese)
        return min([text, *self.cut(text)], key=lambda said: len(WORD.findall(said)))

    def cut(self, text: str) -> Iterator[str]:
        if "\n" in text:
            yield "\n".join(map(self.say, text.split("\n")))
        if sum(map(text.count, CUTS)) > MOST_CUTS:  # not ours: an exception that lists things
            return
        for cut, chinese in CUTS.items():
            for place in re.finditer(re.escape(cut), text):
                left, right, end = text[: place.start()], text[place.end() :], ""
                if not balanced(left):
                    continue
                if cut == " (":
                    if not right.endswith(")"):
                        continue
                    right, end = right[:-1], "）"
                yield self.say(left) + chinese + self.say(right) + end


def balanced(text: str) -> bool:
    """Does each bracket have its partner?"""
    return all(text.count(a) == text.count(b) for a, b in ("()", "[]", "{}"))


def is_value(text: str, pattern: re.Pattern) -> bool:
    """Can this be what stands in a place of the template?"""
    outside = BRACKETS.sub("", BRACKETS.sub("", text))
    sentence = ": " in outside or "; " in outside
    return balanced(text) and not (sentence and len(pattern.pattern) < SHORT)


def as_patterns(template: str) -> list[re.Pattern]:
    """A template as regular expressions with a group for each place: short values first."""
    literals = [re.escape(text) for text in PLACE.split(template)[::2]]
    return [re.compile(group.join(literals), re.DOTALL) for group in ("(.*?)", "(.*)")]


def chinese_of(number: int, root: Path = ROOT) -> Chinese:
    """The messages of chapter `number`, with those of the earlier ones that its grader uses."""
    folders = [c.folder / "exercises" for c in load_chapters(root) if c.number <= number]
    tables = [folder / "messages.zh.toml" for folder in folders]
    own = Path(__file__).with_name("messages.zh.toml")
    return Chinese([own, *(table for table in tables if table.is_file())])
