"""Page 4 on the LSTM: the numbers of its pictures."""

import numpy as np
import pytest

from chapter_06_rnn_lstm_seq import draw_figures
from chapter_06_rnn_lstm_seq.figures import text_lstm
from course.manifest import load_chapters


def test_after_its_time_constant_a_gate_has_kept_one_part_in_e():
    for bias in text_lstm.BIASES:
        tau = text_lstm.time_constant(bias)
        assert text_lstm.kept(bias, np.array([tau])) == pytest.approx([1 / np.e])
    assert text_lstm.time_constant(0) == pytest.approx(1.44, abs=0.01)
    assert text_lstm.time_constant(5) == pytest.approx(149, abs=0.5)


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
