"""Batches by tokens, Noam's schedule, averaged checkpoints."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chapter_08_transformer_vanilla.training_recipe import (
    MULTIPLE,
    NoamLR,
    TokenBatches,
    average_checkpoints,
)
from utils.checkpoint import save_checkpoint

LENGTHS = st.lists(st.tuples(st.integers(1, 12), st.integers(2, 12)), min_size=1, max_size=120)


def lines(lengths):
    """Ids that name their line, so that a row of a batch can be found again."""
    sources = [[i + 1] * s for i, (s, _) in enumerate(lengths)]
    return sources, [[i + 1] * t for i, (_, t) in enumerate(lengths)]


@settings(deadline=None, max_examples=60)
@given(LENGTHS, st.integers(24, 200), st.integers(0, 5), st.booleans())
def test_every_line_comes_once_and_no_batch_is_too_large(lengths, tokens, epoch, shuffle):
    sources, targets = lines(lengths)
    batches = TokenBatches(sources, targets, tokens, shuffle=shuffle, seed=3)
    found = list(batches.epoch(epoch))
    assert len(found) == len(batches)
    seen = []
    for source, target in found:
        assert source.numel() + target.numel() <= tokens
        assert source[:, 0].equal(target[:, 0])
        seen += source[:, 0].tolist()
        for row, (s, t) in enumerate(zip(source, target, strict=True)):
            name = int(source[row, 0]) - 1
            assert (int((s != 0).sum()), int((t != 0).sum())) == lengths[name]
    assert sorted(seen) == list(range(1, len(lengths) + 1))
    rows = [len(source) for source, _ in found]
    assert sum(count > MULTIPLE and count % MULTIPLE for count in rows) <= 1  # the last


def test_an_order_is_a_function_of_seed_and_epoch():
    sources, targets = lines([(1 + i % 7, 2 + i % 5) for i in range(200)])
    batches = TokenBatches(sources, targets, 100, shuffle=True, seed=1)

    def names(epoch, start=0, of=batches):
        return [source[:, 0].tolist() for source, _ in of.epoch(epoch, start)]

    assert names(2) == names(2) and names(2) != names(3)
    assert names(2, 4) == names(2)[4:]  # a resumed epoch
    assert names(2) != names(2, of=TokenBatches(sources, targets, 100, shuffle=True, seed=2))
    assert len(names(2)) == len(names(3)) == len(batches)


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_a_batch_evenly(world):
    sources, targets = lines([(1 + i % 7, 2 + i % 5) for i in range(200)])
    batches = TokenBatches(sources, targets, 300, shuffle=True, seed=1)
    parts = [list(batches.epoch(1, 0, rank, world)) for rank in range(world)]
    for whole, *shares in zip(batches.epoch(1), *parts, strict=True):
        rows = [set(source[:, 0].tolist()) for source, _ in shares]
        assert len({len(row) for row in rows}) == 1
        missing = set(whole[0][:, 0].tolist()) - set().union(*rows)
        assert len(missing) < world


def test_a_line_longer_than_a_batch_is_named():
    with pytest.raises(ValueError, match="a line of 30 tokens in batches of 40"):
        TokenBatches([[1] * 30], [[1, 2]], 40)


def test_noam_is_the_papers_formula_at_its_height():
    width, warmup = 512, 4000
    weight = torch.nn.Parameter(torch.zeros(1))
    peak = (width * warmup) ** -0.5
    schedule = NoamLR(torch.optim.SGD([weight], lr=peak), warmup)
    for step in (0, 1, 100, 3999, 4000, 20_000):
        t = step + 1
        paper = width**-0.5 * min(t**-0.5, t * warmup**-1.5)
        assert math.isclose(schedule.lr_at(peak, step), paper, rel_tol=1e-12)
    rates = [schedule.lr_at(peak, step) for step in range(10_000)]
    assert max(rates) == rates[warmup - 1] == pytest.approx(peak)
    with pytest.raises(ValueError, match="warmup_steps must be at least 1"):
        NoamLR(torch.optim.SGD([weight], lr=1.0), 0)


def test_an_average_is_the_mean_of_every_weight(tmp_path):
    paths = []
    for n in range(3):
        state = {"w": torch.full((2, 2), float(n)), "steps": torch.tensor(n)}
        paths.append(tmp_path / f"{n}.pth")
        save_checkpoint(paths[-1], state, architecture={}, dataset="none", metrics={})
    found = average_checkpoints(paths)
    torch.testing.assert_close(found["w"], torch.ones(2, 2))
    assert found["steps"] == 2
    with pytest.raises(ValueError, match="no checkpoint"):
        average_checkpoints([])
