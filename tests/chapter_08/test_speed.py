"""exp_speed.py: both ways and Hugging Face's model write the same, and the tables say what was
measured. No test asserts a speed."""

import pytest
import torch

from chapter_08_transformer_vanilla import exp_speed
from chapter_08_transformer_vanilla.experiments import speed
from chapter_08_transformer_vanilla.figures.speed import speed_figure

SMALL = {"vocabulary": 60, "width": 16, "heads": 2, "layers": 2, "ffn": 24}
ROW = {"slow": 10.0, "fast": 30.0, "ratio": 3.0, "spread": 0.1}


def test_every_way_writes_the_same_and_exactly_so_many_tokens():
    model, source = speed.network(0, SMALL), speed.sources(0, 3, 60)
    for beams in (1, 4):
        found = [speed.write(model, source, 9, beams, cached) for cached in (True, False)]
        assert found[0].shape == (3, 9) and torch.equal(*found)
        assert found[0].ne(speed.PAD).all()


def test_sources_have_different_lengths():
    lengths = (speed.sources(0, 32) != speed.PAD).sum(1)
    assert lengths.max() == speed.SOURCE and lengths.min() >= speed.SOURCE // 2
    assert lengths.unique().numel() > 3


def test_the_twin_of_hugging_face_writes_the_same_tokens():
    """Its weights are ours under other names, strictly loaded; logits and lines are compared."""
    pytest.importorskip("transformers")
    model, source = speed.network(0, SMALL).double(), speed.sources(0, 4, 60)
    twin = speed.marian_twin(model, longest=40).double()
    target = torch.randint(3, 60, (4, 6))
    with torch.no_grad():
        out = twin(source, attention_mask=(source != 0).long(), decoder_input_ids=target)
        ours = model(source, target)
    torch.testing.assert_close(out.logits[..., 1:], ours[..., 1:], rtol=1e-5, atol=1e-5)
    for beams in (1, 3):
        ours = speed.write(model, source, 8, beams)
        assert torch.equal(speed.generated(twin, source, 8, beams), ours)


def test_everyone_takes_turns_and_starts_first_once():
    calls = []
    names = ("a", "b", "c")
    seconds = speed.in_turns({k: lambda k=k: calls.append(k) for k in names}, 3)
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab"
    assert [len(values) for values in seconds.values()] == [3, 3, 3]


def test_a_comparison_counts_tokens_by_the_second(monkeypatch):
    times = {"slow": [2.0, 4.0, 6.0], "fast": [1.0, 2.0, 2.0]}
    monkeypatch.setattr(speed, "in_turns", lambda works, rounds: times)
    found = speed.compared(None, None, 8, 3)
    assert found == {"slow": 2.0, "fast": 4.0, "ratio": 2.0, "spread": 0.5}


def test_tables_and_figure_hold_the_numbers():
    case = {"batch": 1, "beams": 5, "same": 1.0, **ROW}
    metrics = {"cache": {"16": ROW, "32": ROW}, "generate": {"1x5": case}, "batch": 8}
    found = speed.tables(metrics)
    assert found["main"]["rows"][1] == ["32", 10.0, 30.0, [3.0, 0.1], 16.5]
    assert found["generate"]["rows"] == [[1, 5, 10.0, 30.0, [3.0, 0.1]]]
    assert set(speed.tables(metrics | {"generate": {}})) == {"main"}
    left, right = speed_figure(metrics).axes
    assert [len(line.get_xdata()) for line in left.lines + right.lines] == [2, 2, 2, 2]


@pytest.mark.parametrize("present", [True, False])
def test_without_transformers_one_line_says_so(present, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(speed, "measure_cache", lambda *a: {"16": ROW, "32": ROW})
    case = {"batch": 1, "beams": 5, "same": 1.0, **ROW}
    monkeypatch.setattr(speed, "measure_generate", lambda *a: {"1x5": case})
    monkeypatch.setattr(speed, "has_transformers", lambda: present)
    assert exp_speed.main(["--output_dir", str(tmp_path), "--run_name", "x"]) == 0
    said = capsys.readouterr().out
    assert (exp_speed.NO_PACKAGE in said) != present
    assert ("times as fast as Hugging Face: 3" in said) == present
    assert len(list(tmp_path.rglob("speed.*"))) == 2
