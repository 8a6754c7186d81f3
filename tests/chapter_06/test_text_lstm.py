"""Page 4 on the LSTM: the numbers of its pictures."""

import numpy as np
import pytest
import torch

from chapter_06_rnn_lstm_seq import draw_figures
from chapter_06_rnn_lstm_seq.cells import LSTMCell
from chapter_06_rnn_lstm_seq.figures import text_lstm
from chapter_06_rnn_lstm_seq.recurrent import GRU, LSTM, RNN
from course.manifest import load_chapters
from utils.model_summary import parameter_count


def test_after_its_time_constant_a_gate_has_kept_one_part_in_e():
    for bias in text_lstm.BIASES:
        tau = text_lstm.time_constant(bias)
        assert text_lstm.kept(bias, np.array([tau])) == pytest.approx([1 / np.e])
    shown = {0: 1.44, 1: 3.19, 4: 55.1, 6: 404}
    for bias, steps in shown.items():
        assert text_lstm.time_constant(bias) == pytest.approx(steps, rel=3e-3)


@pytest.mark.parametrize(
    ("bias", "states"),
    [
        (1, {1: 0.9467, 2: 0.6921, 11: 0.0413, 201: 5.8e-28}),
        (4, {1: 0.9467, 2: 0.9297, 11: 0.7896, 201: 0.0251}),
        (6, {1: 0.9467, 2: 0.9443, 11: 0.9235, 201: 0.5770}),
    ],
)
def test_the_cell_by_hand(bias, states):
    """Page 4: one unit sees a 1 and then nothing but zeros; W_hh = 0."""
    cell = LSTMCell(1, 1, dtype=torch.float64)
    weights = {"weight_ih": [[8.0], [0], [2], [0]], "weight_hh": [[0.0]] * 4}
    weights |= {"bias_ih": [-4.0, bias, 0, 2], "bias_hh": [0.0] * 4}
    cell.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    h = c = torch.zeros(1, dtype=torch.float64)
    for t in range(1, 202):
        h, c = cell(torch.tensor([float(t == 1)], dtype=torch.float64), (h, c))
        if t == 1:
            assert h.item() == pytest.approx(0.650, abs=5e-4)
        if t in states:
            assert c.item() == pytest.approx(states[t], rel=5e-3)


def test_the_parameters_that_page_4_counts():
    counts = {kind: parameter_count(kind(256, 256)) for kind in (RNN, GRU, LSTM)}
    assert list(counts.values()) == [131_584, 394_752, 526_336]


def test_the_picture_names_every_bias_and_every_gate():
    labels = [line.get_label() for line in text_lstm.draw_gate_memory().axes[0].lines]
    assert sum(label.startswith("b = ") for label in labels) == len(text_lstm.BIASES)
    words = {text.get_text() for text in text_lstm.draw_cell().axes[0].texts}
    assert {f"${name}$" for name in text_lstm.GATES} <= words


def test_every_drawing_is_promised_described_and_published():
    (chapter,) = [one for one in load_chapters() if one.number == 6]
    (script,) = [one for one in chapter.scripts if one.file == "draw_figures.py"]
    files = [f"{name}.svg" for name in draw_figures.DRAWINGS]
    assert sorted(script.writes) == sorted(files)
    assert not [name for name in files if name not in draw_figures.__doc__]
    assert not [name for name in files if not (chapter.folder / "results" / name).is_file()]


def test_the_whole_jacobian_of_page_4():
    """d c_t / d c_{t-1}, folded part: the carousel and the way through W_hh."""
    torch.manual_seed(0)
    size, cell = 5, LSTMCell(3, 5, dtype=torch.float64)
    x, a = torch.randn(1, 3, dtype=torch.float64), torch.randn(1, size, dtype=torch.float64)
    before_o = torch.rand(size, dtype=torch.float64)  # o_{t-1}

    def state(c):
        return cell(x, (before_o * torch.tanh(c), c))[1]

    measured = torch.autograd.functional.jacobian(state, a)[0, :, 0]  # (H, H)
    c, h = a[0], before_o * torch.tanh(a[0])
    gates = cell.weight_ih @ x[0] + cell.bias_ih + cell.weight_hh @ h + cell.bias_hh
    i, f, g, _ = gates.chunk(4)
    i, f, g = i.sigmoid(), f.sigmoid(), g.tanh()
    w_i, w_f, w_g, _ = cell.weight_hh.chunk(4)  # (H, H) each
    inner = (c * f * (1 - f)).diag() @ w_f + (g * i * (1 - i)).diag() @ w_i
    inner = inner + (i * (1 - g**2)).diag() @ w_g
    slope = before_o * (1 - torch.tanh(c) ** 2)  # s_{t-1}
    torch.testing.assert_close(measured, f.diag() + inner @ slope.diag())
