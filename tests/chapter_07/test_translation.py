"""Behind train_translation.py and translate.py: data, looks, checkpoints, and clear errors."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from chapter_06_rnn_lstm_seq import train_seq2seq
from chapter_06_rnn_lstm_seq.experiments.translation import load_task, translate
from chapter_06_rnn_lstm_seq.tokenizer import BOS
from chapter_07_attention_mechanism import train_translation
from chapter_07_attention_mechanism import translate as script
from chapter_07_attention_mechanism.experiments.translation.looks import (
    Looks,
    crossing_counts,
    letters,
    look_at,
    looks_of,
)
from chapter_07_attention_mechanism.experiments.translation.task import (
    TASK,
    load_looking,
    with_longer_lists,
)
from chapter_07_attention_mechanism.seq2seq_attention import Seq2SeqAttention
from utils.checkpoint import CheckpointError, save_checkpoint

CHECKPOINTS = Path(train_translation.__file__).parent / "checkpoints"
SHIPPED = CHECKPOINTS / "translation_numbers.pth"
shipped = pytest.mark.skipif(not SHIPPED.is_file(), reason="no shipped weights")
LETTERS = "abcdefghijklmnopqrstuvwxyzäöüß, "  # an untrained network writes broken ones as well
OPTIONS = {"below": 1000, "most": 2, "train": 400, "held_out": 60}


@pytest.fixture(scope="module")
def task():
    return load_task("numbers", "en", "de", "bpe", **OPTIONS)


def untrained(task, attention):
    torch.manual_seed(0)
    size = task.source.vocab_size
    return Seq2SeqAttention(size, size, attention, embed=6, hidden=8, joint=True).eval()


@pytest.fixture(scope="module")
def saved(task, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "a.pth"
    model, size = untrained(task, "luong"), task.source.vocab_size
    architecture = {"source_vocabulary": size, "target_vocabulary": size, "attention": "luong",
                    "embed": 6, "hidden": 8, "joint": True}  # fmt: skip
    save_checkpoint(
        path, model.state_dict(), architecture=architecture, dataset="numbers_en_de", metrics={},
        task=TASK, languages="en-de", tokenizers=task.state(), longest=12,
    )  # fmt: skip
    return path


def test_the_tested_lists_are_longer_and_their_numbers_new():
    base = load_task("numbers", "en", "de", "bpe", below=1_000_000, most=2, train=400, held_out=60)
    longer = with_longer_lists(base, 2)
    assert set(longer.data.counts.test) == {1, 2, 3, 4}
    assert longer.data.train == base.data.train and longer.source is base.source
    known = {n for source, _ in base.data.train for n in source.split(", ")}
    tested = {n for source, _ in longer.data.test for n in source.split(", ")}
    assert not tested & known


@pytest.mark.parametrize("attention", ["additive", "luong", "multihead"])
def test_looks_are_what_attend_says_of_the_line_written(task, attention):
    model = untrained(task, attention)
    sources = [source for source, _ in task.data.test[:3]]
    heads = 4 if attention == "multihead" else 1
    for source, look in zip(sources, look_at(model, task, sources, 7), strict=True):
        line = translate(model, task, [source], limit=7)[0]
        assert [c for c in "".join(look.written[:-1]) if c in LETTERS] == [
            c for c in line if c in LETTERS
        ]
        assert "".join(look.read) == source
        assert look.weights.shape == (heads, len(look.written), len(look.read))
        torch.testing.assert_close(look.weights.sum(-1), torch.ones_like(look.weights[..., 0]))


def test_a_look_is_the_weight_at_its_token(task):
    model, source = untrained(task, "additive"), task.data.test[0][0]
    ids = task.target.encode("zwei, acht")
    looks = looks_of(model, task, source, ids)
    read = torch.tensor([task.source.encode(source)])
    spoken = torch.tensor([[task.target.id_of(BOS), *ids]])
    torch.testing.assert_close(looks.mean, model.attend(read, spoken)[0].detach())


def test_bytes_of_one_letter_are_one_token(task):
    ids = [i for byte in "ü" for i in task.target.encode(byte)]
    ids = task.target.encode("a") + ids + task.target.encode("b")
    runs = letters(task.target, ids)
    assert "".join(text for text, _ in runs) == "aüb"
    assert [text for text, _ in runs][-1] == "b" and runs[-1][1].stop == len(ids)


def by_path(written, path, places=6):
    return Looks(["w"] * places, written, torch.eye(places)[torch.tensor(path)][None])


def test_crossings_are_counted_at_units_and_elsewhere():
    """ein|und|zwanzig looks back; hundert, tausend in order; the comma and <eos> count nowhere."""
    crossed = by_path(["ein", "undzwanzig", ",", " drei", "hundert", "<eos>"], [2, 0, 3, 4, 5, 5])
    assert crossing_counts([crossed]) == {"units": [1, 1], "control": [0, 1]}
    straight = by_path(["ein", "undzwanzig", ",", " drei", "hundert", "<eos>"], [0, 2, 3, 5, 4, 5])
    assert crossing_counts([straight]) == {"units": [0, 1], "control": [1, 1]}
    both = crossing_counts([crossed, straight])
    assert both == {"units": [1, 2], "control": [1, 2]}


def test_a_checkpoint_translates_and_draws(saved, tmp_path, capsys):
    words = ["--checkpoint", str(saved), "--output_dir", str(tmp_path), "--text", "twenty, six"]
    assert script.main([*words, "--beams", "2", "--run_name", "a"]) == 0
    out = capsys.readouterr().out
    assert "en-de: " in out and "note:" not in out
    folder = next(tmp_path.rglob("translate-a"))
    assert {"translate.json", "translate.png"} <= {path.name for path in folder.iterdir()}


def test_a_longer_text_works_with_a_word_of_warning(saved, tmp_path, capsys):
    text = ", ".join(["seventy-one"] * 4) + ", qwertz \N{SNOWMAN}"
    words = ["--checkpoint", str(saved), "--output_dir", str(tmp_path), "--text", text]
    assert script.main(words) == 0
    assert "no line of the training had more than 12" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--text", "  "], "is empty"),
        (["--text", "one " * 2000], "more than the 1000"),
        (["--checkpoint", "nowhere.pth"], "no checkpoint"),
    ],
)
def test_wrong_use_of_translate_is_one_sentence(words, said, saved, tmp_path, capsys):
    words = ["--checkpoint", str(saved), "--output_dir", str(tmp_path), *words]
    assert script.main(words) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and "\n" not in error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--target", "tlh"], "known are"),
        (["--attention", "multihead", "--heads", "3"], "must divide"),
        (["--dataset", "multi30k", "--data_dir", "/nowhere"], "--dataset numbers"),
    ],
)
def test_wrong_use_of_the_training_is_one_sentence(words, said, tmp_path, capsys):
    assert train_translation.main([*words, "--output_dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and "\n" not in error


def test_checkpoints_of_the_two_chapters_are_told_apart(saved, tmp_path, capsys):
    theirs = Path(train_seq2seq.__file__).parent / "checkpoints" / "seq2seq_numbers.pth"
    with pytest.raises(CheckpointError, match="not for translation with attention"):
        load_looking(theirs)
    words = ["--text", "one", "--checkpoint", str(saved), "--output_dir", str(tmp_path)]
    assert train_seq2seq.main(words) == 2
    assert "trained for translation with attention" in capsys.readouterr().err


@shipped
def test_shipped_weights_cross_units_and_tens_and_little_else():
    """The crossing, on lines of the test part; the control: neighbours said in the same order."""
    model, task, _ = load_looking(SHIPPED)
    task = with_longer_lists(replace(task, data=load_task("numbers", "en", "de", "bpe", train=50,
                                                          held_out=60).data), 6)  # fmt: skip
    pairs = zip(task.data.test, task.data.counts.test, strict=True)
    lines = [source for (source, _), k in pairs if k <= 3]
    counts = crossing_counts(look_at(model, task, lines, 100))
    units, control = counts["units"], counts["control"]
    assert units[1] >= 10 and control[1] >= 10
    assert units[0] / units[1] > 0.9 > 0.1 > control[0] / control[1]


@shipped
def test_shipped_weights_translate_the_command_of_the_text(tmp_path, capsys):
    assert script.main(["--output_dir", str(tmp_path)]) == 0
    assert "en-de: einundzwanzig, dreihundertfünf" in capsys.readouterr().out
