"""Pairs to batches and back, what is measured of a translator, and the script's clear errors."""

from dataclasses import replace

import pytest
import torch

from chapter_06_rnn_lstm_seq import train_seq2seq
from chapter_06_rnn_lstm_seq.experiments.translation import (
    TASK,
    PairBatches,
    check_source,
    load_task,
    load_translator,
    measure_numbers,
    scores,
    translate,
)
from chapter_06_rnn_lstm_seq.experiments.translation.measures import forced_ids
from chapter_06_rnn_lstm_seq.experiments.translation.task import readable, written_ids
from chapter_06_rnn_lstm_seq.seq2seq import Seq2Seq
from utils.checkpoint import CheckpointError, save_checkpoint
from utils.errors import MissingDataError, UserError

OPTIONS = {"below": 1000, "most": 2, "train": 400, "held_out": 60}
SIZES = {"embed": 6, "hidden": 8}


@pytest.fixture(scope="module")
def task():
    return load_task("numbers", **OPTIONS)


@pytest.fixture(scope="module")
def model(task):
    torch.manual_seed(0)
    return Seq2Seq(task.source.vocab_size, task.target.vocab_size, **SIZES)


def test_lines_come_back_from_their_ids(task):
    for _, target in task.data.train + task.data.test:
        assert readable(task.target, task.target.encode(target)) == target


def test_held_out_numbers_have_no_unknown_word(task):
    sources, targets = task.encoded(task.data.test)
    unknown = task.source.id_of("<unk>")
    assert not any(unknown in ids for ids in [*sources, *targets])
    assert targets[0][0] == task.target.id_of("<bos>") and targets[0][-1] == task.target.id_of(
        "<eos>"
    )


def test_batches_hold_every_pair_once_and_little_padding(task):
    sources, targets = task.encoded(task.data.train)
    batches = PairBatches(sources, targets, 32, shuffle=True, seed=3)
    seen = []
    for source, target in batches.epoch(1):
        assert source[:, -1].any() and target[:, -1].any()  # cut to the longest row
        seen += [
            (tuple(i for i in s if i), tuple(i for i in t if i))
            for s, t in zip(source.tolist(), target.tolist(), strict=True)
        ]
    assert sorted(seen) == sorted(
        (tuple(s), tuple(t)) for s, t in zip(sources, targets, strict=True)
    )
    padding = sum(int((source == 0).sum()) for source, _ in batches.epoch(1))
    shuffled = sum(max(map(len, sources)) - len(s) for s in sources)
    assert padding < 0.3 * shuffled


def test_translations_stand_in_the_order_of_their_sources(task, model):
    sources = [source for source, _ in task.data.test[:9]]
    together = translate(model, task, sources, batch_size=4)
    assert together == [translate(model, task, [source])[0] for source in sources]


def test_a_line_is_right_where_teacher_forcing_makes_no_mistake(task):
    """Both ways see the same until the first mistake; a network that has learned a little."""
    torch.manual_seed(0)
    model = Seq2Seq(task.source.vocab_size, task.target.vocab_size, embed=16, hidden=32)
    pairs = [pair for pair in task.data.test if "," not in pair[0]][:8]
    small = replace(task, data=replace(task.data, test=pairs, counts=replace(
        task.data.counts, test=(1,) * len(pairs))))  # fmt: skip
    sources, targets = small.encoded(pairs)
    batch = next(iter(PairBatches(sources, targets, len(pairs))))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    shares = set()
    for step in range(61):
        if step % 15 == 0:
            row = measure_numbers(model, small, "test")[1]
            forced = forced_ids(model, sources, targets)
            right = sum(ids == target[1:] for ids, target in zip(forced, targets, strict=True))
            assert row["exact_percent"] == 100 * right / len(pairs)
            assert row["forced_percent"] >= row["free_percent"] >= row["exact_percent"]
            shares.add(row["exact_percent"])
        loss = torch.nn.functional.cross_entropy(
            model(batch[0], batch[1][:, :-1]).flatten(0, 1), batch[1][:, 1:].flatten(),
            ignore_index=0,
        )  # fmt: skip
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert {0.0, 100.0} <= shares


def test_written_lines_end_before_eos(task, model):
    sources, _ = task.encoded(task.data.test[:5])
    for rows, lines in written_ids(model, task, sources, 2, 7):
        assert len(rows) == len(lines)
        assert all(task.target.id_of("<eos>") not in line and len(line) <= 7 for line in lines)


def test_bleu_is_sacrebleus_and_says_how():
    lines = ["Ein Hund läuft über die grüne Wiese.", "Zwei Männer spielen Fußball."]
    same = scores(lines, lines)
    assert same["bleu"] == pytest.approx(100) and same["chrf"] == pytest.approx(100)
    assert "tok:13a" in same["signature"] and "case:mixed" in same["signature"]
    lower = scores([line.lower() for line in lines], lines)
    assert 0 < lower["bleu"] < 60  # cased: the capital letters count


def test_a_language_of_long_words_needs_pieces():
    with pytest.raises(UserError, match="--tokens bpe"):
        load_task("numbers", "en", "de", train=3000, held_out=60)
    pieces = load_task("numbers", "en", "de", "bpe", **OPTIONS)
    assert pieces.joint and pieces.source.vocab_size == 400
    line = pieces.data.test[0][1]
    assert readable(pieces.target, pieces.target.encode(line)) == line


@pytest.mark.parametrize(
    ("text", "words"), [("", "is empty"), ("  ", "is empty"), ("seven foo", "lacks the word 'foo'")]
)
def test_a_text_that_cannot_be_read_is_one_sentence(task, text, words):
    with pytest.raises(UserError, match=words) as caught:
        check_source(task.source, text)
    assert "\n" not in str(caught.value)


def saved(path, task, model, kind=TASK):
    facts = {
        "architecture": {"source_vocabulary": task.source.vocab_size, **SIZES}
        | {"target_vocabulary": task.target.vocab_size},
        "dataset": task.data.name, "metrics": {}, "task": kind, "tokenizers": task.state(),
        "languages": "en-fr", "options": {"most": 2, "lines": 400},
    }  # fmt: skip
    save_checkpoint(path, model.state_dict(), **facts)
    return path


def test_a_checkpoint_translates_as_the_network_did(task, model, tmp_path, capsys):
    path = saved(tmp_path / "a.pth", task, model)
    again, read, _ = load_translator(path)
    text = task.data.test[0][0]
    assert translate(again, read, [text]) == translate(model, task, [text])
    words = ["--text", text, "--checkpoint", str(path), "--output_dir", str(tmp_path)]
    assert train_seq2seq.main(words) == 0
    assert f"en-fr: {translate(model, task, [text])[0]}" in capsys.readouterr().out


def test_a_checkpoint_of_another_task_is_refused(task, model, tmp_path):
    path = saved(tmp_path / "a.pth", task, model, "forecasting")
    with pytest.raises(CheckpointError, match=r"trained for forecasting, not for sequence"):
        load_translator(path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--target", "tlh"], "known are"),
        (["--source", "xx"], "known are"),
        (["--text", "seven", "--checkpoint", "nowhere.pth"], "no checkpoint"),
        (["--checkpoint", "a.pth"], "add --text"),
        (["--dataset", "multi30k", "--target", "it", "--data_dir", "/nowhere"], "'it'"),
    ],
)
def test_wrong_use_is_one_sentence(words, said, tmp_path, capsys):
    assert train_seq2seq.main([*words, "--output_dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and "\n" not in error


def test_missing_sentences_name_the_embedded_lists(tmp_path):
    with pytest.raises(MissingDataError, match="--dataset numbers"):
        load_task("multi30k", data_dir=str(tmp_path))
