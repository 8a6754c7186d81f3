"""The fixture `ex` for the exercise graders: `pytest chapter_01_tensor_autograd/exercises`.

It is the learner's `exercises.py` beside the grader, or with `DL_COURSE_EXERCISES=solutions` in the
environment the solutions.
"""

import os
from types import ModuleType

import pytest

from course.loading import keep_asserts, load_module

keep_asserts()  # under `python -O -m pytest` as well


@pytest.fixture
def ex(request: pytest.FixtureRequest) -> ModuleType:
    name = os.environ.get("DL_COURSE_EXERCISES", "exercises")
    return load_module(request.path.parent / f"{name}.py")
