"""Behind train.py, translate.py and evaluate.py: data, training, checkpoints, clear errors."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from chapter_06_rnn_lstm_seq.experiments.translation import translate
from chapter_08_transformer_vanilla import evaluate, train
from chapter_08_transformer_vanilla import translate as script
from chapter_08_transformer_vanilla.experiments.maps import maps_of
from chapter_08_transformer_vanilla.experiments.measures import exact_by_count
from chapter_08_transformer_vanilla.experiments.tasks import LONGER, SHORTEST, load_data
from chapter_08_transformer_vanilla.experiments.writing import load_transformer, writer
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.file_io_util import read_json, read_jsonl

ROOT = Path(train.__file__).parents[1]
TINY = ["--task", "reverse", "--most", "5", "--lines", "600", "--width", "16", "--ffn", "16",
        "--layers", "1", "--heads", "2", "--tokens", "600", "--threads", "1"]  # fmt: skip


@pytest.mark.parametrize("name", ["sort", "reverse"])
def test_letters_are_new_in_every_part_and_right(name):
    task = load_data(name, most=6, lines=2_000)
    parts = [dict(part) for part in (task.data.train, task.data.val, task.data.test)]
    assert not parts[0].keys() & parts[1].keys() and not parts[0].keys() & parts[2].keys()
    for source, target in task.data.test[:50]:
        letters = source.split()
        right = sorted(letters) if name == "sort" else letters[::-1]
        assert target.split() == right
    assert set(task.data.counts.test) == set(range(SHORTEST, 6 + LONGER + 1))
    assert max(task.data.counts.train) == 6


def test_lines_right_are_counted_by_length(small_lists, transformer_checkpoint):
    model, task, _ = load_transformer(transformer_checkpoint())
    task = type(task)(task.source, task.target, small_lists.data)
    found = exact_by_count(model, task)
    assert sum(found["lines"].values()) == len(small_lists.data.test)
    assert set(found["exact_percent"]) == {"1", "2", "3", "4"}
    assert all(0 <= share <= 100 for share in found["exact_percent"].values())


@pytest.mark.parametrize("positions", ["sinusoidal", "alibi"])
def test_batches_and_the_cache_never_change_a_line(small_lists, transformer_checkpoint, positions):
    model, task, _ = load_transformer(transformer_checkpoint(positions, positions=positions))
    sources = [source for source, _ in small_lists.data.test[:12]]
    for beams in (1, 3):
        together = translate(model, task, sources, limit=15, write=writer(model, beams))
        alone = [
            translate(model, task, [s], limit=15, write=writer(model, beams, cached=False))[0]
            for s in sources
        ]
        assert together == alone


def test_maps_belong_to_the_tokens_shown(small_lists, transformer_checkpoint):
    model, task, _ = load_transformer(transformer_checkpoint())
    ids = task.target.encode("zwei, acht")
    maps = maps_of(model, task, "two, eight", ids)
    assert "".join(maps.read) == "two, eight" and "".join(maps.written) == "zwei, acht<eos>"
    assert maps.fed[0] == "<bos>" and len(maps.fed) == len(maps.written)
    rows, columns = len(maps.written), len(maps.read)
    assert maps.cross.shape == (2, 2, rows, columns)
    assert maps.encoder.shape == (2, 2, columns, columns)
    assert maps.decoder.shape == (2, 2, rows, rows)
    for weights in (maps.cross, maps.encoder, maps.decoder):
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert float(maps.decoder.triu(1).abs().max()) == 0  # nothing of the future


def test_resumed_as_if_never_killed(tmp_path, monkeypatch):
    """Ctrl-C in the second epoch, then --resume: the bits of a training without a stop."""
    words = [*TINY, "--epochs", "3", "--average", "2", "--output_dir", str(tmp_path)]
    assert train.main([*words, "--run_name", "whole"]) == 0
    real, calls = train.train_transformer, []

    def killed(architecture, task, seed, args, run, folder):
        from chapter_08_transformer_vanilla.experiments import training

        translated = training.translate

        def stop(*options, **more):
            calls.append(1)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGINT)
            return translated(*options, **more)

        monkeypatch.setattr(training, "translate", stop)
        return real(architecture, task, seed, args, run, folder)

    monkeypatch.setattr(train, "train_transformer", killed)
    # a shell that starts the tests in the background has SIGINT ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    assert train.main([*words, "--run_name", "cut"]) == 130
    signal.signal(signal.SIGINT, before)
    monkeypatch.setattr(train, "train_transformer", real)
    folder = tmp_path / "chapter_08_transformer_vanilla" / "train-cut"
    assert train.main(["--resume", str(folder)]) == 0
    for file in ("last.pth", "epochs/epoch_2.pth", "epochs/epoch_3.pth"):
        ends = [
            load_checkpoint(f / "sinusoidal" / "seed_42" / file)["state"]
            for f in (folder, folder.with_name("train-whole"))
        ]
        assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.process
def test_two_processes_give_the_curve_of_one(tmp_path):
    words = [*TINY, "--epochs", "2", "--output_dir", str(tmp_path)]
    assert train.main([*words, "--run_name", "one"]) == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [train.__file__, *words, "--run_name", "two"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    curves = []
    for name in ("one", "two"):
        folder = tmp_path / "chapter_08_transformer_vanilla" / f"train-{name}"
        curves.append(read_jsonl(folder / "sinusoidal" / "seed_42" / "metrics.jsonl"))
    for one, two in zip(*curves, strict=True):
        assert one["val_loss"] == pytest.approx(two["val_loss"], rel=0.01)
        assert one["train_loss"] == pytest.approx(two["train_loss"], rel=0.02)


def test_the_best_lines_are_sorted_and_shown(tmp_path, capsys, transformer_checkpoint):
    words = ["--text", "two, eight", "--checkpoint", str(transformer_checkpoint()), "--beam", "4"]
    words += ["--best", "3", "--limit", "8", "--output_dir", str(tmp_path), "--run_name", "a"]
    assert script.main(words) == 0
    folder = tmp_path / "chapter_08_transformer_vanilla" / "translate-a"
    metrics = read_json(folder / "translate.json")["metrics"]
    assert len(metrics["lines"]) == 3 and metrics["scores"] == sorted(metrics["scores"])[::-1]
    assert len(set(metrics["lines"])) > 1 and capsys.readouterr().out.count("en-de  ") == 3
    for page in ("encoder", "decoder", "cross"):
        text = (folder / f"{page}.html").read_text(encoding="utf-8")
        assert len(text) < 1_000_000
        assert "https:" not in text and "http:" not in text.replace(
            "http://www.w3.org/2000/svg", ""
        )


def said(capsys) -> str:
    return capsys.readouterr().err


def test_bad_input_gets_one_sentence(tmp_path, capsys, transformer_checkpoint):
    out = ["--output_dir", str(tmp_path)]
    good = ["--checkpoint", str(transformer_checkpoint())]
    for words, message in (
        ([*good, "--text", "  "], "the text to translate is empty"),
        ([*good, "--text", "one, " * 2_500], "tokens, more than the 1000"),
        ([*good, "--best", "9"], "--best 9 needs as many beams"),
        (["--checkpoint", str(tmp_path / "none.pth")], "none.pth"),
    ):
        assert script.main([*words, *out]) == 2
        assert message in said(capsys)
    other = transformer_checkpoint("other", {"task": "sequence to sequence"})
    broken = transformer_checkpoint("broken", {"tokenizers": {"source": {"kind": "runes"}}})
    for path, message in ((other, "was trained for sequence to sequence"), (broken, "")):
        for of in (script, evaluate):
            assert of.main(["--checkpoint", str(path), *out]) == 2
            error = said(capsys)
            assert message in error and "Traceback" not in error
    assert train.main(["--tgt", "xx", *out]) == 2
    assert "'xx'" in said(capsys)
    assert train.main(["--task", "multi30k", "--tgt", "xx", *out]) == 2
    assert "'xx'" in said(capsys)
    assert train.main(["--width", "30", *out]) == 2
    assert "must divide --width 30" in said(capsys)


def test_another_script_is_translated_somehow(tmp_path, transformer_checkpoint):
    words = ["--checkpoint", str(transformer_checkpoint()), "--text", "二十一，三百零五", "--limit"]
    assert script.main([*words, "6", "--output_dir", str(tmp_path)]) == 0


def test_a_longer_line_than_trained_is_named(tmp_path, capsys, transformer_checkpoint):
    words = ["--checkpoint", str(transformer_checkpoint()), "--text", "one, " * 20 + "two"]
    assert script.main([*words, "--limit", "5", "--output_dir", str(tmp_path)]) == 0
    assert "no line of the training had more than 12" in capsys.readouterr().out


def test_the_best_weights_of_a_run_can_be_evaluated_and_translated_with(tmp_path, capsys):
    words = [*TINY, "--epochs", "1", "--output_dir", str(tmp_path), "--run_name", "run"]
    assert train.main(words) == 0
    best = tmp_path / "chapter_08_transformer_vanilla/train-run/sinusoidal/seed_42/best.pth"
    out = ["--checkpoint", str(best), "--output_dir", str(tmp_path)]
    assert evaluate.main([*out, "--run_name", "e"]) == 0
    found = read_json(best.parents[3] / "evaluate-e" / "evaluate.json")["metrics"]
    said_before = read_json(best.parents[2] / "train_reverse.json")["metrics"]
    exact = said_before["kinds"]["sinusoidal"]["exact_percent"]
    assert found["exact_percent"] == {k: value[0] for k, value in exact.items()}
    assert script.main([*out, "--text", "a d b"]) == 0
    capsys.readouterr()
    nothing = load_checkpoint(best) | {"options": None}
    state, architecture = nothing.pop("state"), nothing.pop("architecture")
    facts = {k: nothing[k] for k in ("task", "languages", "tokenizers")}
    path = tmp_path / "no_options.pth"
    save_checkpoint(path, state, architecture=architecture, dataset="letters", metrics={}, **facts)
    assert evaluate.main(["--checkpoint", str(path), "--output_dir", str(tmp_path)]) == 2
    assert "does not say its data" in said(capsys)


def test_evaluate_says_what_train_said(tmp_path, capsys, transformer_checkpoint):
    path = transformer_checkpoint()
    assert train.evaluate_checkpoint(path).keys() == {f"exact_{k}_percent" for k in range(1, 5)}
    words = ["--checkpoint", str(path), "--output_dir", str(tmp_path), "--run_name", "e"]
    assert evaluate.main(words) == 0
    folder = tmp_path / "chapter_08_transformer_vanilla" / "evaluate-e"
    metrics = read_json(folder / "evaluate.json")["metrics"]
    assert metrics["loss"] > 0 and set(metrics["exact_percent"]) == {"1", "2", "3", "4"}
