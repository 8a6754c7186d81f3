"""With a cache the decoder writes what it writes without: for every kind of position, for rows of
different lengths, and whatever rows are repeated, reordered or left out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from chapter_08_transformer_vanilla.decoding import beam_search, greedy
from chapter_08_transformer_vanilla.kv_cache import GROWTH, CachedSteps, FullSteps, KVCache
from chapter_08_transformer_vanilla.positions import KINDS
from chapter_08_transformer_vanilla.transformer import TranslationTransformer

PAD, BOS, EOS, WORDS = 0, 1, 2, 23


def network(kind="sinusoidal", norm_first=True, **sizes):
    sizes = {"width": 16, "heads": 4, "layers": 2, "ffn": 24, "longest": 64} | sizes
    torch.manual_seed(3)
    model = TranslationTransformer(WORDS, positions=kind, norm_first=norm_first, **sizes)
    return model.double().eval()


def words(*shape, seed=0):
    return torch.randint(3, WORDS, shape, generator=torch.Generator().manual_seed(seed))


def sources(batch, length=7):
    """Rows of different lengths, padded."""
    lengths = torch.arange(batch)[:, None] % length + 1
    return words(batch, length).masked_fill(torch.arange(length) >= lengths, PAD)


@torch.no_grad()
def true_logits(model, source, lines):
    """What follows each line (of any length), one by one and without padding: (B, V)."""
    found = []
    for row, line in zip(source, lines, strict=True):
        row = row[row != PAD][None]
        found.append(model(row, torch.as_tensor(line)[None])[0, -1])
    return torch.stack(found)


CASES = [(kind, True) for kind in KINDS] + [("sinusoidal", False)]


@pytest.mark.parametrize(("kind", "norm_first"), CASES)
def test_every_step_gives_the_logits_of_the_whole_line(kind, norm_first):
    model, source = network(kind, norm_first), sources(5)
    line = words(5, 2 * GROWTH + 3, seed=1)  # more places than are reserved at once
    cached, full = CachedSteps(model, source), FullSteps(model, source)
    for step in range(line.shape[1]):
        logits = cached.step(line[:, step])
        assert_close(logits, full.step(line[:, step]), rtol=1e-9, atol=1e-9)
    assert_close(logits, true_logits(model, source, line), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beams", [None, 3])
def test_both_ways_write_the_same_tokens(kind, beams):
    model, source, found = network(kind), sources(6), []
    for way in (CachedSteps, FullSteps):
        ask = (way(model, source), len(source), BOS, EOS, 20)
        found.append(greedy(*ask) if beams is None else beam_search(*ask, beams=beams))
    assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_different_lengths_go_on_together(kind):
    model, source, counts = network(kind), sources(4), torch.tensor([5, 1, 12, 3])
    begun = words(4, 12, seed=2)  # behind its count a row has other words, which must not matter
    steps = CachedSteps(model, source)
    logits = steps.extend(begun, counts)
    lines = [row[:n].tolist() for row, n in zip(begun, counts, strict=True)]
    assert_close(logits, true_logits(model, source, lines), rtol=1e-9, atol=1e-9)
    more, lengths = words(4, 13, seed=4), torch.tensor([1, 3, 2, 1])
    for step in range(10):
        logits = steps.step(more[:, step])
        lines = [[*line, int(word)] for line, word in zip(lines, more[:, step], strict=True)]
    assert_close(logits, true_logits(model, source, lines), rtol=1e-9, atol=1e-9)
    logits = steps.extend(more[:, 10:], lengths)  # several a row, again not as many in each
    for line, row, n in zip(lines, more[:, 10:].tolist(), lengths, strict=True):
        line += row[:n]
    assert_close(logits, true_logits(model, source, lines), rtol=1e-9, atol=1e-9)
    assert steps.lengths.tolist() == [len(line) for line in lines]


def test_a_wrong_length_would_show():
    model, source = network(), sources(2)
    steps = CachedSteps(model, source)
    steps.extend(words(2, 6), torch.tensor([6, 2]))
    steps.lengths = torch.tensor([6, 6])  # one position for the whole batch: the bug
    first, second = words(2, 6).tolist()
    lines = [[*first, 5], [*second[:2], 5]]
    wrong = steps.step(torch.tensor([5, 5])) - true_logits(model, source, lines)
    assert wrong[0].abs().max() < 1e-9 < 1e-3 < wrong[1].abs().max()


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_rows_may_be_repeated_reordered_and_left_out(data):
    model, count = network(), data.draw(st.integers(1, 4))  # rows
    source = sources(4)[:count]
    steps, full = CachedSteps(model, source), FullSteps(model, source)
    for seed in range(data.draw(st.integers(1, 4))):
        token = words(count, seed=seed)
        steps.step(token), full.step(token)
        if data.draw(st.booleans()):  # each as often, as a beam does
            chosen = torch.arange(count).repeat_interleave(data.draw(st.integers(1, 3)))
        else:
            any_row = st.integers(0, count - 1)
            chosen = torch.tensor(data.draw(st.lists(any_row, min_size=1, max_size=6)))
        steps.select(chosen), full.select(chosen)
        count = len(chosen)
    last = words(count, seed=9)
    assert_close(steps.step(last), full.step(last), rtol=1e-9, atol=1e-9)


def test_lines_of_one_source_share_its_keys():
    model, source = network(), sources(3)
    steps = CachedSteps(model, source)
    steps.select(torch.arange(3).repeat_interleave(4))  # a beam of 4
    steps.step(words(12))
    keys = steps.read[0][0]
    assert len(keys) == 3
    steps.select(torch.tensor([3, 0, 0, 1, 7, 6, 5, 4, 8, 8, 8, 8]))  # within each source
    assert steps.read[0][0] is keys
    steps.select(torch.tensor([8, 9, 10, 11, 0, 1, 2, 3]))  # source 2, then source 0
    assert torch.equal(steps.read[0][0], keys[[2, 0]])
    steps.select(torch.tensor([0, 4, 5]))  # no equal number each
    assert torch.equal(steps.read[0][0], keys[[2, 0, 0]])


def test_a_source_of_padding_alone_is_read_as_without_a_cache():
    model, source = network(), sources(3)
    source[1] = PAD
    cached, full = CachedSteps(model, source), FullSteps(model, source)
    logits = cached.step(torch.tensor([BOS] * 3))
    assert_close(logits, full.step(torch.tensor([BOS] * 3)), rtol=1e-9, atol=1e-9)
    assert logits.isfinite().all()


def test_padding_and_company_change_nothing():
    model, source = network(), sources(7)
    together = CachedSteps(model, torch.nn.functional.pad(source, (0, 5)))
    logits = together.step(torch.tensor([BOS] * 7))
    for row in range(7):
        alone = source[row : row + 1]
        alone = CachedSteps(model, alone[:, alone[0] != PAD]).step(torch.tensor([BOS]))
        assert_close(logits[row : row + 1], alone, rtol=1e-9, atol=1e-9)


def test_places_are_reserved_and_kept():
    cache = KVCache(2, 3, 4, torch.zeros(1))
    cache.reserve(1)
    assert cache.keys.shape == cache.values.shape == (2, 3, GROWTH, 4)
    keys, values = torch.randn(2, 3, 2, 4), torch.randn(2, 3, 2, 4)
    cache.write(keys, values, torch.tensor([[0, 1], [3, 4]]))
    cache.reserve(GROWTH + 1)
    assert cache.keys.shape[2] == 2 * GROWTH
    assert torch.equal(cache.keys[0, :, :2], keys[0])
    assert torch.equal(cache.values[1, :, 3:5], values[1])
    assert cache.keys[1, :, 5:].eq(0).all()
    cache.write(keys, values, 5)
    assert torch.equal(cache.keys[:, :, 5:7], keys)


def test_nothing_of_writing_is_kept_for_gradients():
    steps = CachedSteps(network(), sources(2))
    assert not steps.step(torch.tensor([BOS, BOS])).requires_grad
    assert not steps.caches[0].keys.requires_grad and not steps.read[0][0].requires_grad
