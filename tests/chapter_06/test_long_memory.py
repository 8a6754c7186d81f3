"""The adding problem: its data, the gates' bias, one training, the script and its tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from chapter_06_rnn_lstm_seq import exp_long_memory as script
from chapter_06_rnn_lstm_seq.experiments import adding
from chapter_06_rnn_lstm_seq.experiments.adding import Setting, adding_batch, make_adder
from chapter_06_rnn_lstm_seq.experiments.tables.long_memory import collect, constant_of, tables
from chapter_06_rnn_lstm_seq.figures.long_memory import figure
from utils.errors import UserError
from utils.seed import generator

TINY = Setting(length=6, hidden=4, batch=8, steps=5, check_every=2)


@pytest.mark.parametrize("length", [2, 3, 20])
def test_two_marks_a_half_each_and_their_sum(length):
    x, y = adding_batch(300, length, generator(0))
    assert x.shape == (300, length, 2) and y.shape == (300,)
    numbers, marks = x.unbind(-1)
    assert marks[:, : length // 2].sum(1).eq(1).all() and marks[:, length // 2 :].sum(1).eq(1).all()
    assert numbers.min() >= 0 and numbers.max() < 1
    assert torch.equal(y, (numbers * marks).sum(1))


def test_always_answering_one_costs_the_baseline():
    _, y = adding_batch(50_000, 4, generator(1))
    assert float(((y - 1) ** 2).mean()) == pytest.approx(adding.BASELINE, rel=0.02)


def test_one_step_is_too_short():
    with pytest.raises(UserError, match="2 steps or more, not 1"):
        adding_batch(1, 1, generator(0))


@pytest.mark.parametrize(("cell", "blocks"), [("rnn", 1), ("lstm", 4), ("gru", 3)])
def test_recurrent_matrices_are_orthogonal_and_only_one_gate_has_a_bias(cell, blocks):
    model = make_adder(cell, "4", TINY, seed=3)
    net, size = model.recurrent, TINY.hidden
    for block in net.weight_hh_l0.detach().split(size):
        torch.testing.assert_close(block @ block.T, torch.eye(size))
    expected = torch.zeros(blocks * size)
    if cell != "rnn":
        expected[size : 2 * size] = 4
    assert torch.equal(net.bias_ih_l0, expected) and not net.bias_hh_l0.any()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bias", [0.0, 1.0, 4.0])
def test_the_bias_sets_what_the_state_keeps(cell, bias):
    """With zero input and zero weights, the state after t steps is sigmoid(b)^t of the first."""
    model = make_adder(cell, bias, TINY, seed=0).recurrent
    with torch.no_grad():
        model.weight_ih_l0.zero_()
        model.weight_hh_l0.zero_()
    first = torch.full((1, 1, TINY.hidden), 0.5)
    state = first if cell == "gru" else (torch.zeros_like(first), first)
    _, last = model(torch.zeros(1, 10, 2), state)
    kept = (last if cell == "gru" else last[1]).detach() / first
    torch.testing.assert_close(kept, torch.full_like(kept, (1 / (1 + math.exp(-bias))) ** 10))
    measured = -10 / math.log(float(kept[0, 0, 0]))
    assert adding.time_constant(bias) == pytest.approx(measured, rel=1e-4)


def test_chrono_spreads_the_time_constants_up_to_the_length():
    bias = adding.gate_bias("chrono", 4000, 200, generator(0)).double()
    constants = 1 / torch.log1p(torch.exp(-bias))  # about e^b + 1/2
    assert 1 < constants.min() < 5 and 190 < constants.max() < 201
    assert float(constants.mean()) == pytest.approx(100, rel=0.05)
    model = make_adder("lstm", "chrono", TINY, seed=0).recurrent
    assert torch.equal(model.bias_ih_l0[:4], -model.bias_ih_l0[4:8])


def test_a_second_number_is_for_the_input_gate_of_the_lstm():
    model = make_adder("lstm", "4/-4", TINY, seed=0).recurrent
    i, f, g, o = model.bias_ih_l0.detach().split(TINY.hidden)
    assert (i == -4).all() and (f == 4).all() and not g.any() and not o.any()
    args = script.build_parser().parse_args(["--biases", "4/-4", "1"])
    assert set(script.variants(args)) == {"rnn_0.001", "rnn_0.005", "lstm_4/-4", "lstm_1", "gru_1"}


def test_training_is_repeatable_and_ends_at_its_steps(monkeypatch):
    monkeypatch.setattr(adding, "HELD_OUT", 20)
    first, again = (adding.train_one("gru", "1", 0.01, 5, TINY) for _ in range(2))
    assert first["curve"] == again["curve"] and first["mse"] == again["mse"]
    assert [step for step, _ in first["curve"]] == [0, 2, 4, 5]
    assert (first["steps"], first["solved"]) == (5, False)


def test_training_stops_when_it_is_solved(monkeypatch):
    monkeypatch.setattr(adding, "SOLVED", 10.0)
    row = adding.train_one("rnn", None, 0.01, 0, TINY)
    assert row["solved"] and row["steps"] == 2


def fake(cell, bias, steps, mse, rate=0.01):
    curve = [[0, 1.0], [steps, mse]]
    facts = {"cell": cell, "bias": bias, "rate": rate, "cpu_seconds": 1.0}
    return facts | {"curve": curve, "steps": steps, "solved": mse < 0.005, "mse": mse}


ROWS = {
    "rnn_0.01": [fake("rnn", None, 100, 0.17), fake("rnn", None, 100, 0.19)],
    "lstm_4": [fake("lstm", "4", 60, 0.004), fake("lstm", "4", 80, 0.002)],
    "gru_chrono": [fake("gru", "chrono", 40, 0.003), fake("gru", "chrono", 100, 0.1)],
}


def test_the_table_counts_solved_seeds_and_ends_with_the_baseline():
    metrics = collect(ROWS, 50)
    rows = tables(metrics)["main"]["rows"]
    assert rows[0][:6] == ["RNN", "–", "–", 0.01, "0 / 2", "–"]
    assert rows[1][1:5] == ["4", "55.1", 0.01, "2 / 2"] and rows[1][5] == [70, 10]
    assert rows[2][4] == "1 / 2" and rows[2][5] == [40, 0]
    assert rows[-1][-1] == pytest.approx(1 / 6) and metrics["most_steps_to_solve"] == 80
    assert constant_of("chrono", 50) == "1 ... 50"


def test_the_figure_has_a_panel_a_cell_and_a_line_a_seed():
    fig = figure(collect(ROWS, 50))
    assert [ax.get_title() for ax in fig.axes] == [
        "RNN (no gate)", "LSTM, by forget bias", "GRU, by update bias",
    ]  # fmt: skip
    lines = [line for line in fig.axes[1].lines if len(line.get_xdata()) == 2]
    assert np.array_equal(lines[0].get_ydata(), [1.0, 0.004])


def test_a_stopped_run_goes_on_with_the_rows_that_are_left(tmp_path, monkeypatch, capsys):
    done = []

    def quick_row(cell, bias, rate, seed, setting):
        done.append((cell, seed))
        return fake(cell, bias, 10, 0.1, rate)

    monkeypatch.setattr(script, "train_one", quick_row)
    words = ["--cells", "gru", "--biases", "2", "--output_dir", str(tmp_path), "--run_name", "a"]
    assert script.main([*words, "--seeds", "1"]) == 0
    folder = tmp_path / "chapter_06_rnn_lstm_seq" / "exp_long_memory-a"
    assert script.main(["--resume", str(folder), "--seeds", "2"]) == 0
    assert done == [("gru", 42), ("gru", 43)]
    assert (folder / "long_memory_50.json").is_file() and (folder / "long_memory_50.png").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--biases", "much"], "'much' is neither a number nor chrono"),
        (["--biases", "nan"], "'nan' is neither a number nor chrono"),
        (["--biases", "4/x"], "'4/x' is neither a number nor chrono"),
        (["--length", "1"], "'1' is not a whole number of 2 or more"),
    ],
)
def test_bad_options_are_one_sentence(words, said, capsys):
    with pytest.raises(SystemExit) as stop:
        script.main(words)
    assert stop.value.code == 2 and said in capsys.readouterr().err
