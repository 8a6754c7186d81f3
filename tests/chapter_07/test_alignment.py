"""What a table of weights says: path, entropy, coverage, crossings."""

import math

import pytest
import torch

from chapter_07_attention_mechanism.alignment import argmax_path, coverage, crossings, entropy


def test_a_table_worked_by_hand():
    weights = torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0], [0.1, 0.8, 0.1]])
    assert argmax_path(weights).tolist() == [0, 2, 1]
    expected = [1.5 * math.log(2), 0.0, 0.2 * math.log(10) - 0.8 * math.log(0.8)]
    torch.testing.assert_close(entropy(weights), torch.tensor(expected))
    torch.testing.assert_close(coverage(weights), torch.tensor([0.6, 1.05, 1.35]))
    assert crossings(argmax_path(weights)) == 1


def test_axes_in_front_are_tables_of_their_own():
    weights = torch.rand(2, 4, 5, 6).softmax(-1)
    for measure in (argmax_path, entropy, coverage):
        assert torch.equal(measure(weights)[1, 2], measure(weights[1, 2]))


def test_entropy_lies_between_one_place_and_all_alike():
    assert entropy(torch.full((1, 8), 1 / 8)).item() == pytest.approx(math.log(8))
    assert entropy(torch.eye(3)).tolist() == [0, 0, 0]
    assert entropy(torch.zeros(1, 3)).tolist() == [0]


def brute_force(path):
    return sum(path[t] > path[u] for t in range(len(path)) for u in range(t + 1, len(path)))


@pytest.mark.parametrize("size", [0, 1, 2, 7, 20])
def test_crossings_are_pairs_the_other_way_round(size):
    path = torch.randint(0, 9, (size,), generator=torch.Generator().manual_seed(size))
    assert crossings(path) == brute_force(path.tolist())
    assert crossings(torch.arange(size)) == 0 == crossings(torch.zeros(size))
    assert crossings(torch.arange(size).flip(0)) == size * (size - 1) // 2


def test_a_path_is_one_row():
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        crossings(torch.zeros(2, 3))
