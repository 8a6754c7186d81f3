"""What the README of chapter 1 says about its own code and numbers holds."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from chapter_01_tensor_autograd import jvp
from chapter_01_tensor_autograd.value import Value

FOLDER = Path(jvp.__file__).parent
READMES = ("README.md", "README.zh-CN.md")


@pytest.mark.parametrize("name", READMES)
def test_the_value_class_in_the_text_is_the_one_in_the_file(name):
    """Types and the sort are left out there; every other line stands in value.py."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(class Value:.*?)```", text, re.DOTALL)
    lines = [line for line in block.splitlines() if line.strip()]
    left_out = [line for line in lines if "def " in line or "sort(self)" in line]
    source = inspect.getsource(Value).splitlines()
    source = [line.rstrip(":") for line in source]
    assert [line for line in lines if line.rstrip(":") not in source] == left_out


def test_the_value_class_has_the_lines_that_the_text_counts():
    said = [re.search(r"class of eighty lines|八十行的类", (FOLDER / n).read_text("utf-8"))
            for n in READMES]  # fmt: skip
    assert all(said)
    assert 74 <= len(inspect.getsource(Value).splitlines()) <= 86


def test_times_faster_is_what_the_table_gives():
    """The quotient of the two numbers in a row, not a mean of quotients."""
    shapes = [(1, 4), (4, 1)]
    seconds = {
        "forward": np.array([[1.0, 9.0], [1.0, 10.0], [9.0, 90.0]]),
        "reverse": np.array([[30.0, 1.0], [40.0, 2.0], [41.0, 3.0]]),
    }
    first, last = jvp.result_table(shapes, seconds)["rows"]
    found = jvp.times_faster(seconds)
    assert found["many_outputs_reverse_over_forward"] == first[3][0] / first[2][0] == 40
    assert found["many_inputs_forward_over_reverse"] == last[2][0] / last[3][0] == 5
