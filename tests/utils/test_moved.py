"""Modules that have moved: the same objects under both names."""

import importlib
import sys

import pytest

import chapter_03_optimization_regularization as chapter
from utils.moved import _Moved

PACKAGE = chapter.__name__
NAMES = {
    old: new
    for finder in sys.meta_path
    if isinstance(finder, _Moved)
    for old, new in finder.names.items()
}


@pytest.mark.parametrize("old", NAMES)
def test_an_old_name_is_the_module_at_its_new_place(old):
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=NAMES[old]):
        module = importlib.import_module(old)
    assert module is importlib.import_module(NAMES[old])


def test_names_can_be_taken_from_the_old_module():
    with pytest.warns(DeprecationWarning):
        sys.modules.pop(f"{PACKAGE}.batches", None)
        from chapter_03_optimization_regularization.batches import Batches as old
    from chapter_03_optimization_regularization.training import Batches

    assert old is Batches


def test_a_name_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{PACKAGE}.no_such_module")
