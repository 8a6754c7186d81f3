"""How a marked block and how code look in a document; what sync writes between the markers."""

import re

from course.blocks import RENDERERS

KINDS = "|".join(RENDERERS)
CODE = (
    r"^(?P<fence>```+|~~~+).*?^(?P=fence)[ \t]*$|(?<!`)(?P<tick>`+)(?!`)[^\n]+?(?<!`)(?P=tick)(?!`)"
)
# What stands between the markers is replaced, whatever it is: a fence that a hand left open there
# hides nothing. Only another marker cannot be in it: the closing one is then missing.
BLOCK = (
    rf"<!-- (?P<kind>{KINDS})(?::(?P<spec>\S+))? -->"
    rf"(?:(?!<!--\s*/?(?:{KINDS})\b).)*<!-- /(?P=kind) -->"
)
MARKER = re.compile(rf"<!--\s*/?({KINDS})\b.*?-->")
PART = re.compile(f"{CODE}|{BLOCK}", re.DOTALL | re.MULTILINE)  # code or block: what comes first


def markers(text: str) -> list[str]:
    """The blocks of a text, as "results:NAME"."""
    blocks = [match for match in PART.finditer(text) if match["kind"]]
    return [f"{m['kind']}:{m['spec']}" if m["spec"] else m["kind"] for m in blocks]


def without_tables(text: str) -> str:
    """The text without generated tables and lists; numbers in sentences and code stay."""
    kept = (None, "value", "code")
    return PART.sub(lambda match: match[0] if match["kind"] in kept else "", text)
