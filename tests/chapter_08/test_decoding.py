"""Greedy and beam search: against every line there is, and against each other."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from chapter_08_transformer_vanilla.decoding import beam_search, greedy, length_penalty
from chapter_08_transformer_vanilla.kv_cache import CachedSteps
from chapter_08_transformer_vanilla.transformer import TranslationTransformer

PAD, BOS, EOS, WORDS = 0, 1, 2, 5


class Table:
    """A language model that knows every line: its logits are drawn once for each beginning."""

    device = torch.device("cpu")

    def __init__(self, batch, seed=0, ends=0.0):
        self.names = [(row,) for row in range(batch)]
        self.known, self.draw, self.ends = {}, torch.Generator().manual_seed(seed), ends
        self.rows_of_steps = []

    def logits(self, name):
        if name not in self.known:
            self.known[name] = 2 * torch.randn(WORDS, generator=self.draw, dtype=torch.float64)
            self.known[name][EOS] += self.ends
        return self.known[name]

    def step(self, tokens):
        self.rows_of_steps.append(len(tokens))
        pairs = zip(self.names, tokens.tolist(), strict=True)
        self.names = [(*name, token) for name, token in pairs]
        return torch.stack([self.logits(name) for name in self.names])

    def select(self, rows):
        self.names = [self.names[row] for row in rows.tolist()]


def every_line(table, row, limit):
    """{ids: (log p, tokens)} of all lines of at most `limit` tokens; no line contains padding."""
    found = {}
    for count in range(1, limit + 1):
        for line in itertools.product(range(1, WORDS), repeat=count):
            if EOS in line[:-1] or (count < limit and line[-1] != EOS):
                continue
            logs, name = 0.0, (row, BOS)
            for token in line:
                logs += float(table.logits(name).log_softmax(-1)[token])
                name = (*name, token)
            found[line] = (logs, count)
    return found


def as_lines(ids):
    """Rows without the padding behind their end."""
    return [tuple(token for token in row if token != PAD) for row in ids.tolist()]


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.5])
def test_a_beam_of_all_beginnings_is_exhaustive_search(alpha):
    limit, batch = 3, 2
    table = Table(batch)
    lines, scores = beam_search(table, batch, BOS, EOS, limit, WORDS**limit, alpha, PAD)
    for row in range(batch):
        true = every_line(table, row, limit)
        marks = {k: log / ((5 + n) / 6) ** alpha for k, (log, n) in true.items()}
        best = sorted(marks, key=marks.get, reverse=True)
        exists = scores[row] > -torch.inf
        assert as_lines(lines[row][exists]) == best  # all there are, each once, the best first
        assert_close(scores[row][exists], torch.tensor([marks[k] for k in best]).double())


def test_the_penalty_chooses_longer_lines():
    """Or the test above could pass with alpha ignored."""
    lengths = []
    for alpha in (0.0, 3.0):
        lines = [beam_search(Table(1, s), 1, BOS, EOS, 4, 300, alpha)[0][0] for s in range(6)]
        lengths.append(sum(len(as_lines(ids)[0]) for ids in lines))
    assert lengths[0] < lengths[1]


def test_a_narrow_beam_finds_more_than_greedy_and_less_than_all():
    found = dict.fromkeys((1, 3, 300), 0.0)
    for seed in range(12):
        for beams in found:
            found[beams] += float(beam_search(Table(1, seed), 1, BOS, EOS, 4, beams, 0.0)[1][0, 0])
    assert found[1] < found[3] < found[300]


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 5), seed=st.integers(0, 99), ends=st.floats(-2, 4), limit=st.integers(1, 7)
)
def test_a_beam_of_one_is_greedy(batch, seed, ends, limit):
    table = Table(batch, seed, ends)
    written = greedy(table, batch, BOS, EOS, limit, PAD)
    table.names = [(row,) for row in range(batch)]
    lines, scores = beam_search(table, batch, BOS, EOS, limit, 1, 0.6, PAD)
    assert torch.equal(lines[:, 0], written)
    assert written.shape[1] <= limit
    for row, line in enumerate(as_lines(written)):
        assert len(line) == limit or line[-1] == EOS
        name, logs = (row, BOS), 0.0
        for token in line:
            logits = table.logits(name).clone()
            logs += float(logits.log_softmax(-1)[token])
            logits[PAD] = -torch.inf
            assert token == int(logits.argmax())
            name = (*name, token)
        assert float(scores[row, 0]) == pytest.approx(logs / ((5 + len(line)) / 6) ** 0.6)


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 4), beams=st.integers(1, 6), ends=st.floats(-2, 4),
    limit=st.integers(0, 6), alpha=st.floats(0, 2),
)  # fmt: skip
def test_lines_are_sorted_distinct_and_stay_ended(batch, beams, ends, limit, alpha):
    table = Table(batch, 7, ends)
    ids, scores = beam_search(table, batch, BOS, EOS, limit, beams, alpha, PAD)
    assert ids.shape[:2] == scores.shape == (batch, beams) and ids.shape[2] <= limit
    assert (scores[:, :-1] >= scores[:, 1:]).all()
    for row in range(batch):
        lines = as_lines(ids[row][scores[row] > -torch.inf])
        assert len(set(lines)) == len(lines)
        for line, padded in zip(lines, ids[row].tolist(), strict=False):
            assert padded[len(line) :] == [PAD] * (ids.shape[2] - len(line))
            assert EOS not in line[:-1] and (len(line) == limit or line[-1] == EOS)
            logs = sum(
                float(table.logits((row, BOS, *line[:i])).log_softmax(-1)[line[i]])
                for i in range(len(line))
            )
            score = logs / ((5 + len(line)) / 6) ** alpha
            assert float(scores[row, lines.index(line)]) == pytest.approx(score, abs=1e-9)


def test_who_has_ended_is_no_longer_computed():
    table = Table(6, 1, ends=1.0)
    written = greedy(table, 6, BOS, EOS, 30, PAD)
    lengths = [len(line) for line in as_lines(written)]
    assert table.rows_of_steps == [sum(n > t for n in lengths) for t in range(max(lengths))]
    table = Table(6, 1, ends=1.0)
    beam_search(table, 6, BOS, EOS, 30, 3, 0.6, PAD)
    assert table.rows_of_steps[0] == 18 > table.rows_of_steps[-1]
    assert all(rows % 3 == 0 for rows in table.rows_of_steps)


def test_the_length_penalty_by_hand():
    """Wu et al. 2016, equation 14: |y| = 7 gives 12 / 6."""
    assert length_penalty(torch.tensor(7), 1.0) == 2
    assert float(length_penalty(torch.tensor(7), 0.6)) == pytest.approx(1.515717, abs=1e-6)
    assert length_penalty(torch.tensor([1, 13]), 0.0).tolist() == [1, 1]
    assert length_penalty(torch.tensor([1, 13]), 1.0).tolist() == [1, 3]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    model = TranslationTransformer(20, width=16, heads=2, layers=1, ffn=16).double().eval()
    with torch.no_grad():
        model.embedding.weight[EOS] *= 2  # or hardly a line ends
    return model


@settings(max_examples=15, deadline=None)
@given(data=st.data(), beams=st.sampled_from([None, 1, 3]))
def test_padding_and_company_never_change_a_translation(network, data, beams):
    rows = data.draw(st.lists(st.lists(st.integers(3, 19), min_size=1, max_size=6), min_size=2,
                              max_size=5))  # fmt: skip

    def written(sources, extra=0):
        longest = max(map(len, sources)) + extra
        ids = torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in sources])
        ask = (CachedSteps(network, ids), len(ids), BOS, EOS, 8)
        if beams is None:
            return as_lines(greedy(*ask))
        return as_lines(beam_search(*ask, beams=beams)[0][:, 0])

    together = written(rows, data.draw(st.integers(0, 4)))
    assert together == [written([row])[0] for row in rows]
    order = data.draw(st.permutations(range(len(rows))))
    assert written([rows[i] for i in order]) == [together[i] for i in order]
