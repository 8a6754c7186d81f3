"""Masked words and next sentences: what is hidden, what is asked, what counting reaches."""

import argparse

import pytest
import torch

from chapter_08_transformer_vanilla import train_bert
from chapter_08_transformer_vanilla.bert import Bert, PretrainingModel
from chapter_08_transformer_vanilla.experiments import masked_words, pretraining, word_counts
from chapter_08_transformer_vanilla.experiments.masked_words import NOTHING, Windows
from chapter_08_transformer_vanilla.experiments.starts import begun
from chapter_08_transformer_vanilla.experiments.word_counts import UNKNOWN, GapCounts
from chapter_08_transformer_vanilla.wordpiece import SPECIALS, WordPiece
from utils.checkpoint import load_checkpoint
from utils.errors import UserError
from utils.file_io_util import read_json
from utils.seed import generator

FIRST = len(SPECIALS)  # the first id that is a word
TEXT = "\n".join(f"the cat number {i} sat on the mat {i % 7} and slept ." for i in range(200))
TINY = ["--width", "16", "--heads", "2", "--layers", "1", "--ffn", "16", "--longest", "24",
        "--vocab_size", "200", "--threads", "1"]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return masked_words.vocabulary_of(TEXT, 120)


@pytest.fixture(scope="module")
def chunks(tokenizer):
    return masked_words.chunks_of(TEXT, tokenizer, 12)


# --- what is hidden ---


def test_shares_of_hidden_tokens():
    ids = torch.randint(0, 1_000, (200, 500), generator=generator(1))
    before = ids.clone()
    hidden, targets = masked_words.mask(ids, 1_000, 4, generator(2))
    assert torch.equal(ids, before)  # the text itself stays
    words, chosen = ids >= FIRST, targets != NOTHING
    assert not chosen[~words].any()  # no special token is asked for ...
    assert torch.equal(hidden[~chosen], ids[~chosen])  # ... and where nothing is asked all stays
    assert torch.equal(targets[chosen], ids[chosen])
    assert chosen[words].float().mean() == pytest.approx(0.15, abs=0.005)
    asked, shown = ids[chosen], hidden[chosen]
    assert (shown == 4).float().mean() == pytest.approx(0.8, abs=0.01)
    assert (shown == asked).float().mean() == pytest.approx(0.1, abs=0.01)
    assert shown[shown != 4].min() >= FIRST  # a random token is a word


def test_to_measure_every_chosen_token_is_a_mask():
    ids = torch.randint(FIRST, 1_000, (50, 100), generator=generator(1))
    hidden, targets = masked_words.mask(ids, 1_000, 4, generator(2), only_masks=True)
    assert (hidden[targets != NOTHING] == 4).all()


def test_windows_hold_two_chunks_and_tell_which_follows(chunks, tokenizer):
    windows = Windows(chunks, tokenizer)
    first = torch.arange(len(chunks) - 1)
    ids, segments = windows.joined(first, first + 1)
    for row in (0, 7, len(first) - 1):
        real = ids[row][ids[row] != tokenizer.pad].tolist()
        a, b = (chunks.tokens[c][: chunks.lengths[c]].tolist() for c in (row, row + 1))
        assert real == [tokenizer.cls, *a, tokenizer.sep, *b, tokenizer.sep]
        assert segments[row].sum() == len(b) + 1 and not segments[row, : len(a) + 2].any()
    _, _, _, other = windows((first.repeat(20),), generator(3))
    assert other.float().mean() == pytest.approx(0.5, abs=0.03)


def test_another_chunk_is_never_the_next_one(chunks, tokenizer):
    windows = Windows(chunks, tokenizer, only_masks=True)
    first = torch.arange(len(chunks) - 1).repeat(30)
    seen = []

    class Spy(Windows):
        def joined(self, a, b):
            seen.append((a, b))
            return super().joined(a, b)

    _, _, _, other = Spy(windows.chunks, tokenizer)((first,), generator(3))
    a, b = seen[0]
    assert torch.equal(b == a + 1, other == 0)


def test_training_windows_are_new_and_validation_windows_the_same(chunks, tokenizer):
    train, val = (masked_words.batches_of(chunks, tokenizer, 8, 0, new) for new in (True, False))
    for batches, same in ((train, False), (val, True)):
        first, second = (next(iter(batches.epoch(number))) for number in (0, 1))
        again = next(iter(batches.epoch(0)))
        assert torch.equal(first[0], again[0])
        if not same:
            assert not torch.equal(first[0], second[0])
    # `fit` validates on epoch 0 of these, whatever the epoch of the training
    assert torch.equal(next(iter(val))[0], next(iter(val.epoch(0)))[0])


def test_chunks_are_whole_words_and_rules_are_no_words(tokenizer):
    assert masked_words.without_rules("a\n======\nb --- c") == "a\n=\nb --- c"
    chunks = masked_words.chunks_of(TEXT, tokenizer, 12)
    pieces = [p for word in masked_words.word_ids(TEXT, tokenizer) for p in word]
    assert chunks.stream().tolist() == pieces
    starts = {tokenizer.vocabulary[int(row[0])] for row in chunks.tokens}
    assert not any(token.startswith("##") for token in starts)
    with pytest.raises(UserError, match="chunks of 12 tokens"):
        masked_words.chunks_of("too short", tokenizer, 12)


# --- counting ---


def test_counts_by_hand():
    a, b, c, d = range(FIRST, FIRST + 4)
    stream = torch.tensor([a, b, c, a, b, c, a, d, c, b, b])
    ask = torch.tensor([[UNKNOWN, a, c, UNKNOWN], [UNKNOWN, a, UNKNOWN, UNKNOWN], [c, a, c, b],
                        [UNKNOWN, d, a, UNKNOWN], [UNKNOWN] * 4])  # fmt: skip
    counts = GapCounts(stream, ask)
    guesses = {name: [counts.guess(name, tuple(row)) for row in ask.tolist()]
               for name in word_counts.MODELS}  # fmt: skip
    assert guesses["unigram"] == [b] * 5
    assert guesses["left"] == [b, b, b, c, b]
    assert guesses["both"] == [b, b, b, c, b]  # d _ a was never seen: c follows d, and a follows c
    assert guesses["wide"][2] == d  # c a _ c b stood there with d


def test_questions_hold_what_the_network_sees(tokenizer):
    pad, cls, sep, mask = tokenizer.pad, tokenizer.cls, tokenizer.sep, tokenizer.mask
    ids = torch.tensor([[cls, 9, mask, mask, 8, sep, pad]])
    targets = torch.tensor([[NOTHING, NOTHING, 7, 6, NOTHING, NOTHING, NOTHING]])
    asked, answers = word_counts.questions_of([(ids, ids, targets, ids)], tokenizer)
    assert asked.tolist() == [[UNKNOWN, 9, UNKNOWN, 8], [9, UNKNOWN, 8, UNKNOWN]]
    assert answers.tolist() == [7, 6]


def test_sharing_rare_words_tells_what_follows():
    rarity = torch.tensor([0.0] * FIRST + [0.1, 5.0, 5.0, 5.0, 5.0])
    a, b, c, d, e = range(FIRST, FIRST + 5)

    def window(first, second, label):
        ids = torch.tensor([[2, *first, 3, *second, 3]])
        segments = torch.tensor([[0] * (len(first) + 2) + [1] * (len(second) + 1)])
        return ids, segments, ids, torch.tensor([label])

    train = [window([a, b], [a, b], 0), window([a, b], [a, c], 1), window([d, a], [d, e], 0)]
    assert word_counts.overlap_accuracy(train, train, rarity) == 1.0


# --- training ---


def test_it_learns_32_windows_by_heart(chunks, tokenizer):
    torch.manual_seed(0)
    windows = Windows(chunks, tokenizer, only_masks=True)
    batch = windows((torch.arange(32),), generator(5))
    size = {"width": 64, "heads": 4, "layers": 2, "ffn": 128, "longest": 32, "dropout": 0.0}
    model = PretrainingModel(Bert(tokenizer.vocab_size, **size))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(120):
        loss, found = pretraining.pretraining_loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert found["accuracy"] > 0.95 and found["next_accuracy"] == 1.0


def test_the_loss_asks_at_chosen_places_only(chunks, tokenizer):
    torch.manual_seed(0)
    windows = Windows(chunks, tokenizer)
    ids, segments, targets, follows = windows((torch.arange(8),), generator(5))
    model = PretrainingModel(Bert(tokenizer.vocab_size, 16, 2, 1, 16, 32)).eval()
    loss, found = pretraining.pretraining_loss(model, (ids, segments, targets, follows))
    logits, _ = model(ids, segments, ids == tokenizer.pad)  # (B, T, V)
    by_hand = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=NOTHING
    )
    torch.testing.assert_close(found["words"], by_hand.detach())
    assert loss > found["words"]
    nothing = torch.full_like(targets, NOTHING)  # of a short last batch nothing may be asked
    loss, found = pretraining.pretraining_loss(model, (ids, segments, nothing, follows))
    assert loss.isfinite() and found["words"] == found["accuracy"] == 0


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "cats.txt"
    path.write_text(TEXT * 3, encoding="utf-8")
    return str(path)


def test_a_run_beats_no_mark_unseen_and_its_file_starts_a_classifier(tmp_path, text, capsys):
    from chapter_08_transformer_vanilla.experiments.starts import load_start

    words = [*TINY, "--dataset", text, "--epochs", "2", "--output_dir", str(tmp_path)]
    assert train_bert.main([*words, "--run_name", "a"]) == 0
    folder = tmp_path / "chapter_08_transformer_vanilla" / "train_bert-a"
    metrics = read_json(folder / "bert_cats.json")["metrics"]
    assert set(metrics["marks"]) >= {"unigram", "left", "both", "wide", "overlap"}
    assert metrics["marks"]["questions"] > 100
    checkpoint = load_checkpoint(folder / "bert_cats.pth")
    start = load_start(str(folder / "bert_cats.pth"), ())
    bert = start.pretrained()
    assert torch.equal(bert.tokens.weight, checkpoint["state"]["bert.tokens.weight"])
    assert start.tokenizer.vocabulary == checkpoint["vocabulary"]
    assert not torch.equal(start.fresh().tokens.weight, bert.tokens.weight)
    assert (start.deviation, start.places) == (0.06, "waves")  # as that training began
    found = pretraining.evaluate_checkpoint
    model, tokenizer, _ = pretraining.load_pretrained(folder / "bert_cats.pth")
    assert isinstance(tokenizer, WordPiece) and not model.training and callable(found)


def test_controls_change_one_choice_each(tmp_path, text):
    words = [*TINY, "--dataset", text, "--epochs", "1", "--output_dir", str(tmp_path)]
    assert train_bert.main([*words, "--run_name", "a", "--controls"]) == 0
    folder = tmp_path / "chapter_08_transformer_vanilla" / "train_bert-a"
    result = read_json(folder / "bert_cats.json")
    assert list(result["metrics"]["controls"]) == ["none", "hidden", "optimizer", "places"]
    assert len(result["tables"]["controls"]["rows"]) == 4
    ends = [load_checkpoint(folder / f"seed_42{name}" / "last.pth")["state"]
            for name in ("", *(f"_{name}" for name in pretraining.CONTROLS))]  # fmt: skip
    for one in range(4):  # no two trainings are the same
        for other in range(one):
            assert not torch.equal(ends[one]["dense.weight"], ends[other]["dense.weight"])


def test_keys_that_copy_queries_look_nearby(tokenizer):
    torch.manual_seed(0)
    bert = begun(Bert(tokenizer.vocab_size, 64, 1, 1, 16, 24, dropout=0.0), 0.06, "waves")
    ids = torch.randint(FIRST, tokenizer.vocab_size, (200, 24), generator=generator(1))

    def share_nearby():
        kept = []
        bert.eval()(ids, kept=kept)
        near = (torch.arange(24)[:, None] - torch.arange(24)).abs() <= 1  # (T, T)
        return float((kept[0] * near).sum(-1).mean())

    before = share_nearby()
    pretraining.look_nearby(bert)
    assert share_nearby() > before + 0.05


def test_resumed_as_if_never_stopped(tmp_path, text):
    words = [*TINY, "--dataset", text, "--output_dir", str(tmp_path), "--epochs", "2"]
    assert train_bert.main([*words, "--run_name", "whole"]) == 0

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "chapter_08_transformer_vanilla" / "train_bert-cut"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, "save", stop)  # trained, but not yet written down
        assert train_bert.main([*words, "--run_name", "cut"]) == 130
    assert train_bert.main(["--resume", str(folder)]) == 0
    ends = [load_checkpoint(f / "bert_cats.pth")["state"]
            for f in (folder, folder.with_name("train_bert-whole"))]  # fmt: skip
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--width", "30", "--heads", "4"], "must divide --width"),
        (["--width", "15", "--heads", "1"], "needs an even --width, not 15"),
        (["--hidden", "0"], "asks for no token"),
        (["--dataset", "nothing.txt"], "no text set and no file"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, capsys, words, said):
    assert train_bert.main([*words, "--output_dir", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_the_figure_and_the_minutes_to_beat_a_mark():
    curve = [{"val_accuracy": 0.1 * k, "val_next_accuracy": 0.5, "seconds": 60.0 * k}
             for k in range(1, 4)]  # fmt: skip
    assert pretraining.first_beyond(curve, 15.0) == 2.0
    assert pretraining.first_beyond(curve, 90.0) is None
    assert isinstance(train_bert.build_parser(), argparse.ArgumentParser)
