"""Jacobians over time, truncation and clipping: known answers, and what the script reports."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from chapter_06_rnn_lstm_seq.experiments import clipping, truncation
from chapter_06_rnn_lstm_seq.experiments import gradient_flow as flow
from chapter_06_rnn_lstm_seq.experiments.adding import Setting
from chapter_06_rnn_lstm_seq.experiments.tables import gradient_flow as numbers
from chapter_06_rnn_lstm_seq.figures import gradient_flow as figures

SMALL = Setting(length=6, hidden=5, batch=8, steps=4, check_every=2)


@pytest.mark.parametrize(("cell", "value"), [("rnn", 0.9), ("lstm", 1), ("gru", "chrono")])
def test_the_norm_is_that_of_the_unrolled_network(cell, value):
    """One sequence, all steps at once: autograd through recurrent.py to its initial state."""
    net = flow.start(cell, value, SMALL, seed=1).double()
    x = flow.probe(SMALL.length, count=1)

    def last_output(s: torch.Tensor) -> torch.Tensor:  # (S,) -> (H,)
        parts = tuple(part[None, None] for part in s.split(SMALL.hidden))
        return net.recurrent(x.double(), parts if cell == "lstm" else parts[0])[0][0, -1]

    zero = torch.zeros(flow.PARTS[cell] * SMALL.hidden, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(last_output, zero)  # (H, S)
    measured = flow.norms(net, x)
    assert measured.shape == (SMALL.length + 1,) and measured[0] == pytest.approx(1)
    assert measured[-1] == pytest.approx(float(torch.linalg.matrix_norm(jacobian, ord=2)))


def test_without_input_an_orthogonal_start_attains_the_bound():
    """h = 0 stays 0 where there is no bias, and tanh'(0) = 1."""
    net, x = flow.start("rnn", 0.7, SMALL, seed=0), torch.zeros(2, 6, 2)
    expected = 0.7 ** torch.arange(7, dtype=torch.float64)
    torch.testing.assert_close(flow.norms(net, x), expected, rtol=1e-5, atol=0)
    assert flow.bound(net) == pytest.approx(0.7, rel=1e-5)


@pytest.mark.parametrize("value", [0.5, 1.0, 1.5, "default"])
def test_the_bound_is_never_passed(value):
    net = flow.start("rnn", value, SMALL, seed=2)
    limit = flow.bound(net) ** torch.arange(7, dtype=torch.float64)
    assert bool((flow.norms(net, flow.probe(6)) <= limit * (1 + 1e-5)).all())


def test_before_and_after_a_training():
    row = flow.before_and_after("gru", 1, 0, 0.01, SMALL)
    assert len(row["before"]) == len(row["after"]) == 7 and row["before"] != row["after"]


def test_an_echo_comes_late():
    x, target = truncation.echo(30, np.random.default_rng(0))
    assert np.array_equal(target[truncation.DELAY :], x[: -truncation.DELAY])
    assert not target[: truncation.DELAY].any()


@pytest.mark.parametrize(("cell", "value"), [("rnn", 0.9), ("lstm", 4.0)])
def test_longer_chunks_are_nearer_to_the_whole(cell, value):
    pairs = truncation.differences(cell, value, [1, 10, 40], steps=40, seed=0)
    errors, cosines = zip(*pairs, strict=True)
    assert errors[0] > errors[1] > errors[2] == pytest.approx(0, abs=1e-12)
    assert cosines[0] < cosines[1] < cosines[2] == pytest.approx(1)


def test_clipping_saves_a_training_that_diverges_without_it():
    free = clipping.train_echo(0.3, math.inf, 40, seed=0)
    clipped = clipping.train_echo(0.3, 1.0, 40, seed=0)
    assert free["diverged"] and max(free["lengths"]) > 1e6
    assert not clipped["diverged"] and len(clipped["losses"]) == 40
    assert clipped["losses"][-1] < clipping.BASELINE
    assert free["losses"][0] == clipped["losses"][0]  # the same start


def test_numbers_of_a_geometric_decay():
    curves = [[0.5**k for k in range(21)], [0.5**k for k in range(21)]]
    row = numbers.flow_numbers(curves, 0.6, "rnn")
    assert row["factor"] == pytest.approx(0.5) and row["bound"] == 0.6
    assert list(row["log10"]) == ["4", "20"]
    assert row["log10"]["4"] == pytest.approx((4 * math.log10(0.5), 0))
    assert numbers.flow_numbers(curves, 0.6, "gru")["bound"] is None


def made() -> tuple:
    """Results of each part, as small as they come."""
    curve = [0.5**k for k in range(11)]
    flows = {"rnn": {"0.5": ([curve, curve], 0.5)}, "lstm": {"default": ([curve], 1.0)}}
    trained = {"gru": [{"before": curve, "after": curve, "solved": True, "steps": 50}]}
    network = {"cell": "rnn", "value": 0.9, "error": [(0.5, 0.1)], "cosine": [(0.8, 0.1)]}
    cut = {"k": [5], "networks": {"rnn_0_9": network}}
    facts = {"rate": 0.3, "lengths": [1.0, 2e5], "losses": [1.0, 3e5]}
    clipped = {
        "free": [facts | {"clip": None, "diverged": True}],
        "clipped": [facts | {"clip": 1.0, "diverged": False, "losses": [1.0, 0.5]}],
    }
    return flows, trained, cut, clipped


def test_tables_of_all_parts():
    tables = numbers.tables(numbers.collect(*made()))
    rows = {name: table["rows"] for name, table in tables.items()}
    assert [row[2] for row in rows["main"]] == [0.5, "–"]
    assert [row[1]["en"] for row in rows["main"]] == ["radius 0.5", "PyTorch's start"]
    assert rows["trained"][0][3:] == ["1 / 1", 50]
    assert rows["truncation"][0][1] == [0.5, 0.1]
    assert [row[2] for row in rows["clipping"]] == ["1 / 1", "0 / 1", "–"]
    assert rows["clipping"][0][4] == "–" and rows["clipping"][1][4] == [0.75, 0]


def test_figures_of_all_parts():
    flows, trained, cut, clipped = made()
    labels = [line.get_label() for line in figures.flow_figure(flows).axes[0].lines]
    assert any("≤ 0.50" in str(label) for label in labels)
    assert figures.trained_figure(trained, {"gru": "GRU"}).axes[0].get_title() == "GRU"
    assert len(figures.truncation_figure(cut).axes) == 2
    crosses = [line for line in figures.clipping_figure(clipped, 1 / 3).axes[0].lines
               if line.get_marker() == "X"]  # fmt: skip
    assert len(crosses) == 1


def test_the_two_units_that_the_page_works_out_by_hand():
    w = np.array([[0.9, 1.0], [0.0, 0.9]])
    norm = {k: np.linalg.norm(np.linalg.matrix_power(w, k), ord=2) for k in range(1, 51)}
    assert norm[1] == pytest.approx(1.53, abs=5e-3) and norm[50] == pytest.approx(0.29, abs=5e-3)
    assert max(norm, key=norm.get) in (9, 10) and max(norm.values()) == pytest.approx(3.9, abs=0.05)
    assert np.trace(w.T @ w) == pytest.approx(2.62) and np.linalg.det(w.T @ w) == pytest.approx(
        0.656, abs=5e-4
    )
