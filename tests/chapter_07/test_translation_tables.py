"""Means over seeds, the tables of train_translation.py, and what a resumed run reads again."""

import json

import pytest

from chapter_07_attention_mechanism.experiments.translation.tables import (
    numbers_metrics,
    numbers_tables,
    sentences_metrics,
    sentences_tables,
    thread_row,
)
from utils.file_io_util import plain


def number_row(kind, seed, exact):
    return {
        "attention": kind, "seed": seed, "exact_percent": dict(zip("123", exact, strict=True)),
        "lines": dict.fromkeys("123", 50), "tokens": {"1": 6.0, "2": 12.0, "3": 19.0},
        "crossings": {} if kind == "none" else {"units": 100.0, "control": 2.0 * seed},
        "parameters": 7, "minutes": 1.0 + seed, "seconds": 70.0,
    }  # fmt: skip


def test_a_table_has_a_row_a_length_and_a_column_a_network():
    rows = [number_row("none", 0, (90, 4, 0)), number_row("additive", 0, (100, 98, 60)),
            number_row("additive", 2, (100, 100, 40))]  # fmt: skip
    metrics = numbers_metrics(json.loads(json.dumps(rows)), trained=2)
    assert metrics["kinds"]["additive"]["exact_percent"]["3"] == (50.0, 10.0)
    tables = numbers_tables(metrics)
    assert plain(tables["main"]["rows"][1]) == ["2", 12.0, 4.0, [99.0, 1.0]]
    assert tables["main"]["rows"][2][0] == {"en": "3 (never trained)", "zh": "3（未训练过）"}
    none, additive = tables["networks"]["rows"]
    assert none[2:] == [1.0, {"en": "-", "zh": "-"}, {"en": "-", "zh": "-"}]
    assert plain(additive[2:]) == [2.0, [100.0, 0.0], [2.0, 2.0]]


def sentence_row(kind, seed):
    scores = {"bleu": 20.0 + seed, "chrf": 40.0, "beam_bleu": 22.0 + seed, "beam_chrf": 41.0}
    return scores | {"attention": kind, "seed": seed, "parameters": 9, "minutes": 30.0,
                     "examples": [], "signature": "tok:13a", "beams": 5}  # fmt: skip


def test_sentences_are_reported_by_beam_search():
    rows = [sentence_row("luong", seed) for seed in (0, 2)]
    metrics = sentences_metrics(rows)
    table = sentences_tables(metrics)["main"]
    assert plain(table["rows"][0][1:]) == [9, [21.0, 1.0], [23.0, 1.0], [41.0, 0.0], 30.0]
    assert table["columns"][3]["en"] == "BLEU, beam 5"
    row = thread_row(rows, [0, 2])
    assert row["bleu"] == pytest.approx((23.0, 1.0)) and row["chapter"] == 7
    assert "beam 5" in row["model"]["en"] and "束宽 5" in row["model"]["zh"]
    longer = thread_row(rows, [0, 2], epochs=24)["model"]  # never to be taken for the usual one
    assert longer["en"].endswith("beam 5, 24 epochs") and longer["zh"].endswith("，24 轮")
