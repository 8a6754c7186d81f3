"""The viewer's script on a small network: the page, what it says of the map, mistakes."""

import json
import re

import pytest
import torch

from chapter_07_attention_mechanism import view_attention
from chapter_07_attention_mechanism.alignment import argmax_path, coverage, crossings, entropy
from chapter_07_attention_mechanism.experiments.translation.looks import Looks
from utils.file_io_util import read_json


def test_the_page_shows_the_text_and_all_heads(tmp_path, number_checkpoint, capsys):
    weights = str(number_checkpoint("multihead", heads=2))
    words = ["--weights", weights, "--text", "seven, two hundred and one", "--lang", "zh"]
    words += ["--output_dir", str(tmp_path), "--run_name", "a"]
    assert view_attention.main(words) == 0
    page = next(tmp_path.glob("*/view_attention-a")) / "attention.html"
    content = page.read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', content, re.DOTALL)[1])
    assert "".join(data["sources"]) == "seven,twohundredandone"
    assert [data["layers"], data["heads"]] == [1, 2] and len(content.encode()) < 1_000_000
    assert page.as_uri() in capsys.readouterr().out
    result = read_json(page.with_name("view_attention.json"))
    assert list(result["metrics"]["heads"]) == ["1", "2", "mean"]
    assert len(result["tables"]["main"]["rows"]) == 3


def test_a_network_with_one_look_has_one_row(tmp_path, number_checkpoint):
    words = ["--weights", str(number_checkpoint("additive")), "--output_dir", str(tmp_path)]
    assert view_attention.main([*words, "--run_name", "b"]) == 0
    result = read_json(next(tmp_path.glob("*/view_attention-b")) / "view_attention.json")
    assert list(result["metrics"]["heads"]) == ["1"]


def test_what_is_said_of_a_map():
    """Three words and the end of the line, which is left out; the path is 1, 0, 2."""
    weights = torch.tensor([[[0, 1.0, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]]])
    (row,) = view_attention.measure(Looks(list("abc"), list("xyz."), weights))
    assert row == {"head": "1", "entropy": 0, "crossings": 1, "least_coverage": 1}
    both = torch.cat([weights, torch.full_like(weights, 1 / 3)])
    rows = view_attention.measure(Looks(list("abc"), list("xyz."), both))
    assert rows[1]["entropy"] == pytest.approx(1.0986, abs=1e-4) and rows[2]["head"] == "mean"


def test_the_example_of_page_7():
    """ein and undzwanzig over twenty, -, one."""
    weights = torch.tensor([[0.1, 0.1, 0.8], [0.7, 0.2, 0.1]])
    assert argmax_path(weights).tolist() == [2, 0] and crossings(argmax_path(weights)) == 1
    assert entropy(weights).tolist() == pytest.approx([0.64, 0.80], abs=0.005)
    assert coverage(weights).tolist() == pytest.approx([0.8, 0.3, 0.9])


def test_mistakes_are_one_sentence(tmp_path, capsys, number_checkpoint):
    weights = str(number_checkpoint("additive"))
    cases = {
        ("--weights", str(number_checkpoint("none"))): "has no attention",
        ("--weights", weights, "--text", ""): "empty",
        ("--weights", weights, "--text", "one, " * 100): "the page shows 120",
        ("--weights", str(tmp_path / "none.pth")): "there is no checkpoint",
    }
    for options, sentence in cases.items():
        assert view_attention.main([*options, "--output_dir", str(tmp_path)]) == 2
        assert sentence in capsys.readouterr().err, options
