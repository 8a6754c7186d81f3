"""The block `code`: real lines of the chapter's code inside a text, so that they cannot drift.

    <!-- code:optimizers/classic.py:Adam.rule -->       a method; FILE is relative to the chapter
    <!-- code:training/loop.py:fit:body -->             without its signature
    <!-- code:training/loop.py:fit:3-12 -->             lines 3 to 12 of it
    <!-- /code -->

NAME is a function, a class, a constant of the module, or one of these inside another
(`Class.method`). It is looked up in the syntax tree, so it may move within its file. Docstrings are
left out, the text around the block says it better; lines are counted from the first line of the
thing, decorators included, after that. What is left has 1 to 15 lines.
"""

import ast
import difflib
import re

from course.document import BlockError, Document

LONGEST = 15
HOW = "write code:FILE:NAME, code:FILE:NAME:body or code:FILE:NAME:3-12"
RANGE = re.compile(r"(\d+)-(\d+)")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def code(document: Document, spec: str) -> str:
    """`code:FILE:NAME[:PART]`: a link to the file and the lines as a Python fence."""
    file, name, part = (*spec.split(":"), "", "")[:3]
    if not file or not name or spec.count(":") > 2:
        raise BlockError(HOW + ".")
    folder = document.own_chapter("code").folder
    path = folder / file
    if not path.is_file():
        same = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob(path.name))]
        hint = f" Did you mean {' or '.join(same)}?" if same else ""
        raise BlockError(f"looked for {folder.name}/{file}, which does not exist.{hint}")
    lines = excerpt(path.read_text(encoding="utf-8"), name, part, file)
    text = "\n".join(lines)
    if "<!--" in text:
        raise BlockError(f"{file}: the lines of '{name}' hold a comment of Markdown, '<!--'.")
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    note = document.choose(" (excerpt)", "（节选）") if part else ""
    link = f"[`{file}`]({document.link(path)}) · `{name}`{note}"
    return f"{link}\n\n{fence}python\n{text}\n{fence}"


def excerpt(source: str, name: str, part: str, shown: str) -> list[str]:
    """The lines of a thing in a module's source; `part` is "", "body" or "3-12".

    BlockError, with `shown` for the file, if there is no such thing or its lines are too many.
    """
    try:
        module = ast.parse(source)
    except SyntaxError as error:
        raise BlockError(f"{shown}, line {error.lineno}: {error.msg}.") from None
    node, lines = _find(module, name, shown), source.splitlines()
    first = _body_start(node, lines, f"{shown}: '{name}'") if part == "body" else _start(node)
    without = _docstring_lines(node, lines)
    kept = [lines[n - 1] for n in range(first, node.end_lineno + 1) if n not in without]
    if part not in ("", "body"):
        kept = _chosen(kept, part, f"{shown}: '{name}'")
    kept = _dedented(kept, node.col_offset)
    if len(kept) > LONGEST:
        parts = [f"{name}.{inner}" for inner in names_in(node.body)] if _is_class(node) else []
        raise BlockError(
            f"{shown}: '{name}' has {len(kept)} lines (docstrings left out), a page shows at most "
            f"{LONGEST}: choose some of them, as in code:{shown}:{name}:1-{LONGEST}"
            + (f", or one of {', '.join(parts)}." if parts else ".")
        )
    return kept


def _find(module: ast.Module, name: str, shown: str) -> ast.stmt:
    node: ast.stmt | ast.Module = module
    for part in name.split("."):
        known = names_in(getattr(node, "body", []))
        if part not in known:
            inside = shown if node is module else f"{shown}: '{name.rpartition('.')[0]}'"
            near = difflib.get_close_matches(part, known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise BlockError(f"{inside} has no '{part}'; there is: {', '.join(known)}.{hint}")
        node = known[part]
    return node


def names_in(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """What the statements define, by name; of several with one name (a property and its setter,
    the branches of an `if`) the first."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, Definition):
            found.setdefault(node.name, node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for leaf in ast.walk(node):
                if isinstance(leaf, ast.Name) and isinstance(leaf.ctx, ast.Store):
                    found.setdefault(leaf.id, node)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            for part in ("body", "orelse", "finalbody"):
                found |= names_in(getattr(node, part, [])) | found
    return found


def _start(node: ast.stmt) -> int:
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def _body_start(node: ast.stmt, lines: list[str], where: str) -> int:
    """The first line behind the signature and the docstring, comments included."""
    if not isinstance(node, Definition):
        raise BlockError(f"{where} is no function or class and has no body.")
    inner = node.body[1:] if _has_docstring(node) else node.body
    start = _start(inner[0])
    while not lines[start - 2].strip() or lines[start - 2].lstrip().startswith("#"):
        start -= 1
    return start


def _has_docstring(node: Definition) -> bool:
    return ast.get_docstring(node, clean=False) is not None and len(node.body) > 1


def _docstring_lines(node: ast.stmt, lines: list[str]) -> set[int]:
    """The numbers of the lines of all docstrings inside, and of the blank lines behind them.

    A docstring that is a whole body stays, and so does one that shares its line with the signature.
    """
    found: set[int] = set()
    for inner in ast.walk(node):
        if isinstance(inner, Definition) and _has_docstring(inner):
            text = inner.body[0]
            if not lines[text.lineno - 1][: text.col_offset].strip():
                end = text.end_lineno
                while not lines[end].strip():
                    end += 1
                found |= set(range(text.lineno, end + 1))
    return found


def _chosen(lines: list[str], part: str, where: str) -> list[str]:
    match = RANGE.fullmatch(part)
    if match is None:
        raise BlockError(f"'{part}' is neither 'body' nor lines as '3-12'; {HOW}.")
    first, last = int(match[1]), int(match[2])
    if not 1 <= first <= last <= len(lines):
        raise BlockError(f"{where} has the lines 1-{len(lines)} (docstrings left out), not {part}.")
    return lines[first - 1 : last]


def _dedented(lines: list[str], level: int) -> list[str]:
    """Without the indentation that all share, and without blank lines at the ends.

    A line left of the thing's own `level` is inside a text of several lines and stays as it is.
    """
    indents = [len(line) - len(line.lstrip()) for line in lines]
    inside = [n for line, n in zip(lines, indents, strict=True) if line.strip() and n >= level]
    cut = min(inside, default=0)
    cut_lines = [line[cut:] if n >= level else line for line, n in zip(lines, indents, strict=True)]
    return "\n".join(cut_lines).strip("\n").split("\n")


def _is_class(node: ast.stmt) -> bool:
    return isinstance(node, ast.ClassDef)
