"""The three cuts of a text hold what they say, and the leak is measured as described."""

import numpy as np
import pytest

from chapter_06_rnn_lstm_seq.experiments import leak
from chapter_06_rnn_lstm_seq.experiments.leak import (
    STRIDES,
    WINDOW,
    Cut,
    collect,
    copied_share,
    cut_text,
    each_paragraph_once,
    measure,
    put_aside,
    tables,
)

IDS = np.arange(WINDOW * 40)  # every character is another one: what was cut can be seen


def test_each_tenth_is_put_aside_once():
    aside = [put_aside(IDS, run, 10)[1] for run in range(10)]
    assert np.array_equal(np.concatenate(aside), IDS)
    assert [put_aside(IDS, run, 2)[1][0] for run in range(2)] == [0, IDS.size // 2]
    tenths, unseen = put_aside(IDS, 3, 10)
    assert len(tenths) == 9 and not np.isin(unseen, np.concatenate(tenths)).any()


def test_a_contiguous_part_is_one_piece():
    held_out = []
    for run in range(10):
        tenths, unseen = put_aside(IDS, run, 10)
        cut = cut_text(tenths, "contiguous", run, 0)
        assert np.array_equal(cut.val.ravel(), np.arange(cut.val.min(), cut.val.max() + 1))
        assert len(cut.val) == 4 and len(cut.train) == 32
        for part in (cut.train, unseen):
            assert not np.isin(cut.val, part).any()
        held_out.append(int(cut.val.min()))
    assert len(set(held_out)) == 10  # spread over the text, as what is put aside
    tenth = [first * 10 // IDS.size for first in held_out]
    assert all(tenth[tenth[run]] != run for run in range(10))  # no two runs are each other's mirror


def test_windows_share_characters_only_where_they_overlap():
    tenths, unseen = put_aside(IDS, 0, 10)
    apart = cut_text(tenths, "windows", 0, 1)
    assert not np.isin(apart.val, apart.train).any() and len(apart.val) == 4
    over = cut_text(tenths, "overlapping windows", 0, 1)
    assert np.isin(over.val, over.train).mean() > 0.7 and len(over.train) == 56
    assert not np.isin(over.train, unseen).any()
    other = cut_text(tenths, "overlapping windows", 0, 2)
    assert not np.array_equal(over.val, other.val)


def test_a_repeated_paragraph_is_left_out():
    long = "A paragraph of more than sixty characters, which the text says more than once."
    assert (
        each_paragraph_once(f"{long}\n\nNote:\n\n {long}\n\nNote:") == f"{long}\n\nNote:\n\nNote:"
    )


def test_copies_are_strings_of_twenty():
    same = np.arange(WINDOW)[None]
    assert copied_share(Cut(same, same)) == 1.0
    half = same.copy()
    half[:, WINDOW // 2 :] += 1000
    assert copied_share(Cut(same, half)) == pytest.approx(45 / 109)
    assert copied_share(Cut(same + 1000, same)) == 0.0


@pytest.fixture
def noise():
    """Characters at random: nobody can predict them, so 3 bits each, but for copies."""
    return np.random.default_rng(0).integers(0, 8, 60_000)


def test_on_noise_only_copies_can_be_predicted(noise):
    found = measure(noise, "5-gram", 1, 0, range(1))
    metrics = collect(found)["5_gram"]
    for kind in ("contiguous", "windows"):
        assert metrics[kind]["claimed_mean"] > 2.9 and metrics[kind]["copied_percent_mean"] < 1
    leaky = metrics["overlapping_windows"]
    assert leaky["claimed_mean"] < metrics["contiguous"]["claimed_mean"] - 0.2
    assert leaky["true_mean"] > 2.9 and leaky["copied_percent_mean"] > 60


def test_the_lstm_is_measured_in_the_same_way(noise, monkeypatch):
    monkeypatch.setattr(leak, "LSTM_STEPS", 2)
    found = measure(noise[:4_000], "LSTM", 1, 0, range(1))
    assert [row["kind"] for row in found] == list(STRIDES)
    assert all(2.8 < row["true"] < 3.6 for row in found)  # untrained: as good as guessing
    rows = tables(collect(found), ["LSTM"])["main"]["rows"]
    assert len(rows) == 3 and rows[1][1] == {"en": "windows", "zh": "窗口打乱"}
