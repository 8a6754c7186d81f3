"""The block `code`: the real lines of a thing in a chapter's code."""

import pytest

from course.excerpt import LONGEST
from course.sync import sync
from utils.errors import UserError

SHAPES = '''
"""Shapes."""

from functools import lru_cache

CORNERS = {"square": 4,
           "triangle": 3}  # of each
if CORNERS:
    SIDES: int = 2
else:
    SIDES = 3


@lru_cache
def area(a, b):
    """The area of a rectangle.

    Of floats.
    """

    # both sides
    product = a * b  # (N,)

    return product


class Square:
    """Four equal sides."""

    sides = 4

    def __init__(self, a):
        self.a = a

    @property
    def area(self):
        """a squared"""
        text = """
two lines"""
        return self.a ** 2

    @area.setter
    def area(self, value):
        self.a = value ** 0.5

    def perimeter(self):
        return 4 * self.a


class Empty:
    """Only words."""


def long(n):
    """Too long."""
'''
SHAPES += "".join(f"    n += {k}\n" for k in range(1, LONGEST + 1)) + "    return n\n"
AREA = """@lru_cache
def area(a, b):
    # both sides
    product = a * b  # (N,)

    return product"""


@pytest.fixture(autouse=True)
def shapes(root):
    """A module with a bit of everything, in a folder of the chapter."""
    file = root / "chapter_01_tiny" / "shapes" / "flat.py"
    file.parent.mkdir()
    file.write_text(SHAPES.lstrip(), encoding="utf-8")
    (root / "chapter_01_tiny" / "docs").mkdir()
    return file


def fill(root, spec, name="docs/01_dots.md"):
    """The page after one sync."""
    file = root / "chapter_01_tiny" / name
    file.write_text(f"Text.\n\n<!-- code:{spec} -->\n<!-- /code -->\n", encoding="utf-8")
    sync(root)
    return file.read_text(encoding="utf-8")


def lines(root, spec):
    """What stands in the fence."""
    return fill(root, spec).split("```python\n")[1].split("\n```\n")[0]


def test_a_function_in_a_page_and_in_a_readme(root):
    assert fill(root, "shapes/flat.py:area") == (
        "Text.\n\n<!-- code:shapes/flat.py:area -->\n\n"
        "[`shapes/flat.py`](../shapes/flat.py) · `area`\n\n"
        f"```python\n{AREA}\n```\n\n<!-- /code -->\n"
    )
    assert "[`shapes/flat.py`](shapes/flat.py) · `area`" in fill(
        root, "shapes/flat.py:area", "README.md"
    )


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("CORNERS", 'CORNERS = {"square": 4,\n           "triangle": 3}  # of each'),
        ("SIDES", "SIDES: int = 2"),
        ("Square.sides", "sides = 4"),
        ("Square.__init__", "def __init__(self, a):\n    self.a = a"),
        ("Square.__init__:body", "self.a = a"),
        ("Empty", 'class Empty:\n    """Only words."""'),
        ("area:body", "# both sides\nproduct = a * b  # (N,)\n\nreturn product"),
        ("area:3-4", "# both sides\nproduct = a * b  # (N,)"),
        ("area:6-6", "return product"),
        ("long:2-4", "n += 1\nn += 2\nn += 3"),
        (
            "Square:1-5",
            "class Square:\n    sides = 4\n\n    def __init__(self, a):\n        self.a = a",
        ),
    ],
)
def test_what_is_shown(root, spec, shown):
    assert lines(root, f"shapes/flat.py:{spec}") == shown


def test_of_a_property_the_getter_is_shown_and_texts_keep_their_lines(root):
    shown = lines(root, "shapes/flat.py:Square.area")
    assert shown.startswith("@property\ndef area(self):\n    text = ")
    assert "\ntwo lines" in shown and "setter" not in shown


def test_it_may_move_within_its_file(root, shapes):
    before = fill(root, "shapes/flat.py:area")
    shapes.write_text("import os\n\n\n" + shapes.read_text("utf-8") + "\n\nX = 1\n", "utf-8")
    assert sync(root, check=True) == [] and fill(root, "shapes/flat.py:area") == before


def test_a_change_of_the_code_makes_the_page_stale(root, shapes):
    fill(root, "shapes/flat.py:area")
    shapes.write_text(shapes.read_text("utf-8").replace("a * b", "b * a"), "utf-8")
    place = "chapter_01_tiny/docs/01_dots.md:3 code:shapes/flat.py:area"
    assert sync(root, check=True) == [place] and sync(root) == [place] and sync(root) == []


def test_a_fence_left_open_by_hand_hides_nothing(root):
    """Neither the closing marker, nor the next block, nor the text behind it."""
    file = root / "chapter_01_tiny" / "README.md"
    block = "<!-- code:shapes/flat.py:SIDES -->\n\n```python\nold\n\n<!-- /code -->\n"
    file.write_text(f"{block}\nText `a`.\n\n{block}\n```\nend\n```\n", encoding="utf-8")
    sync(root)
    text = file.read_text(encoding="utf-8")
    assert text.count("```python\nSIDES: int = 2\n```\n\n<!-- /code -->\n") == 2
    assert "\nText `a`.\n" in text and text.endswith("\n```\nend\n```\n") and "old" not in text
    assert sync(root) == []


def test_fences_in_the_code_are_inside_a_longer_one(root, shapes):
    shapes.write_text('TEXT = """\n```\n"""\n', encoding="utf-8")
    assert '````python\nTEXT = """\n```\n"""\n````' in fill(root, "shapes/flat.py:TEXT")
    assert sync(root) == []


def test_a_part_is_called_an_excerpt(root):
    assert "`area` (excerpt)\n" in fill(root, "shapes/flat.py:area:2-3")
    assert "`area`（节选）\n" in fill(root, "shapes/flat.py:area:2-3", "docs/01_dots.zh-CN.md")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("shapes/flat.py", "write code:FILE:NAME"),
        ("shapes/flat.py:area:1-2:3", "write code:FILE:NAME"),
        ("shapes/flat.py:aera", "shapes/flat.py has no 'aera'; there is: CORNERS, SIDES, area, "),
        ("shapes/flat.py:aera", "Did you mean 'area'?"),
        ("shapes/flat.py:Square.b", "'Square' has no 'b'; there is: sides, __init__, area, per"),
        ("flat.py:area", "chapter_01_tiny/flat.py, which does not exist. Did you mean shapes/flat"),
        ("shapes/no.py:area", "looked for chapter_01_tiny/shapes/no.py, which does not exist."),
        ("shapes/flat.py:long", f"'long' has {LONGEST + 2} lines (docstrings left out)"),
        ("shapes/flat.py:long", f"as in code:shapes/flat.py:long:1-{LONGEST}"),
        ("shapes/flat.py:Square", "or one of Square.sides, Square.__init__, Square.area, Square"),
        ("shapes/flat.py:area:5-7", "has the lines 1-6 (docstrings left out), not 5-7"),
        ("shapes/flat.py:area:3", "'3' is neither 'body' nor lines as '3-12'"),
        ("shapes/flat.py:SIDES:body", "is no function or class"),
    ],
)
def test_wrong_markers(root, spec, message):
    with pytest.raises(UserError) as caught:
        fill(root, spec)
    assert f"docs/01_dots.md:3: code:{spec}: " in str(caught.value)
    assert message in str(caught.value)


def test_a_file_that_is_no_python(root, shapes):
    shapes.write_text("def area(:\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"shapes/flat.py, line 1: "):
        fill(root, "shapes/flat.py:area")
