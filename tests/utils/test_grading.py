"""What graders say about any wrong array."""

import numpy as np
import pytest
import torch

from utils.grading import alike, because, check_order, usual_reason

RIGHT = np.array([[1.0, 2.0, 4.0], [0.0, -1.0, 3.0], [5.0, 1.0, 1.0]])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (-RIGHT, "the sign is the other way round"),
        (RIGHT.T, "the last two axes are exchanged"),
        (0 * RIGHT, "all of it is 0"),
        (RIGHT / 3, "everything is 0.3333 times the right value"),
        (RIGHT * np.nan, "there is nan or inf in it"),
        (RIGHT + 1, ""),
        (RIGHT[:2], ""),
        (None, ""),
        ("text", ""),
    ],
)
def test_usual_reasons(wrong, words):
    assert usual_reason(wrong, RIGHT) == words
    known = because(wrong, RIGHT, ["this", "that", "more"], most=2)
    assert known == " (this; or else that)"


def test_the_last_two_axes_of_another_shape():
    assert usual_reason(torch.ones(2, 3), torch.ones(3, 2)) == "the last two axes are exchanged"


def test_alike_takes_tensors_arrays_and_numbers():
    assert alike(torch.ones(2, requires_grad=True), np.ones(2)) and alike(3, 3.0)
    assert not alike(np.ones(2), np.ones((2, 1))) and not alike(None, 1.0)


def test_a_wrong_order_is_named_and_only_that():
    right = (np.ones(2), np.zeros(3), 4)
    check_order(right, right, "(a, b, c)")
    check_order((np.ones(2), np.ones(3), 4), right, "(a, b, c)")  # wrong in another way
    check_order(None, right, "(a, b, c)")
    with pytest.raises(AssertionError, match=r"here: the right values in the wrong order"):
        check_order((4, np.ones(2), np.zeros(3)), right, "(a, b, c)", "here")
