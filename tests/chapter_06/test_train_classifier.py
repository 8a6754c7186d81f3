"""Languages by their prefixes, sentences by their words, and a trained network that is asked."""

from pathlib import Path

import numpy as np
import pytest
import torch

from chapter_06_rnn_lstm_seq import train_classifier
from chapter_06_rnn_lstm_seq.experiments import languages, sentiment
from chapter_06_rnn_lstm_seq.figures import text_lengths
from chapter_06_rnn_lstm_seq.tokenizer import PAD, CharTokenizer
from chapter_06_rnn_lstm_seq.variable_length import pack_padded_sequence
from utils.datasets.languages import LANGUAGES, NUMBERS, load_languages, words_of
from utils.datasets.sentences import Labelled, SentenceData
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / train_classifier.SHIPPED
OTHER_TASK = ROOT / "chapter_03_optimization_regularization/checkpoints/digits_cnn.pth"


@pytest.fixture(scope="module")
def words():
    tokenizer = languages.make_tokenizer()
    return tokenizer, *languages.load_data(100, tokenizer)


# --- the data ---


def test_no_number_stands_in_two_parts():
    data = load_languages(500)
    parts = [data.train, data.val, data.test]
    assert [len(part) for part in parts] == [4500, 900, 3600]
    norwegian = [{t for t, c in zip(p.texts, p.labels, strict=True) if c == 0} for p in parts]
    assert sum(map(len, norwegian)) == NUMBERS == len(set().union(*norwegian))
    assert load_languages(30).train.texts == data.train.texts[: 30 * 9]
    assert load_languages(30).test.texts == data.test.texts


def test_every_number_is_there_in_all_languages():
    part = words_of([13, 21])
    assert part.texts[:3] == ["tretten", "tretten", "tretton"]
    assert part.texts[9 + LANGUAGES.index("es")] == "veintiuno"
    assert part.labels.tolist() == [*range(9), *range(9)]


@pytest.mark.parametrize("count", [0, 501])
def test_numbers_that_are_not_there_are_refused(count):
    with pytest.raises(UserError, match="1 to 500"):
        load_languages(count)


# --- classifiers of prefixes ---


def test_accuracy_over_k_takes_the_whole_of_a_word_that_has_ended():
    predictions = np.array([[0, 1, 1], [1, 0, 9]])
    parts = (torch.zeros(2, 3), torch.tensor([3, 2]), torch.tensor([1, 0]))
    assert languages.over_lengths(predictions, parts, (1, 2, 3)).tolist() == [0, 1, 1]


def test_trigrams_by_hand():
    tokenizer = CharTokenizer.train("ab\n", specials=(PAD,))
    part = Labelled(["ab", "ab", "ba"], np.array([0, 0, 1]))
    parts = languages.encoded(part, tokenizer)
    model = languages.TrigramBayes(parts, tokenizer.vocab_size, 2, smoothing=1.0)
    a, b = tokenizer.encode("ab")
    beginning = model.log_shares[:, 0]  # after two paddings: 2 words a of class 0, 1 word b of 1
    np.testing.assert_allclose(np.exp(beginning[0, [a, b]]), [3 / 6, 1 / 6])
    np.testing.assert_allclose(np.exp(beginning[1, [a, b]]), [1 / 5, 2 / 5])
    assert model.predictions(parts[0])[:, 0].tolist() == [0, 0, 1]


def test_nothing_is_better_than_the_best_attainable(words):
    tokenizer, data, parts = words
    best = languages.over_lengths(
        languages.best_attainable(data.test, parts["test"]), parts["test"]
    )
    assert (np.diff(best) >= 0).all() and 0.98 < best[-1] < 1  # "tretten" is two languages' word
    trigrams = languages.choose_trigrams(parts["train"], parts["val"], tokenizer.vocab_size, 9)
    curve = languages.over_lengths(trigrams.predictions(parts["test"][0]), parts["test"])
    assert (curve <= best).all() and curve[-1] > 0.95


def test_the_prefix_network_learns_a_few_words(words):
    tokenizer, _, parts = words
    few = {name: tuple(part[:18] for part in parts["train"]) for name in ("train", "val")}
    model, history = languages.train_one("prefix", few, tokenizer, seed=0, epochs=30)
    assert history.epochs[-1]["train_loss"] < history.epochs[0]["train_loss"] / 2
    curve = languages.network_curve(model, few["train"])
    assert curve[-1] > 0.8 > curve[0]


def test_padding_rows_are_equal_where_the_network_packs(words):
    tokenizer, _, parts = words
    few = tuple(part[:150] for part in parts["test"])
    torch.manual_seed(0)
    model = languages.NETWORKS["packed"][0](tokenizer.vocab_size)
    assert len(set(languages.padding_row(model, few, pack=True).values())) == 1
    languages.padding_row(model, few, pack=False)
    assert model.pack is False


# --- sentences ---


@pytest.fixture(scope="module")
def reviews() -> SentenceData:
    """ "not good" and "not bad" mean what their pair says, not what their words say."""
    texts = ["good film", "bad film", "not good film", "not bad film"] * 30
    labels = np.array([1, 0, 0, 1] * 30)
    part = Labelled(texts, labels)
    return SentenceData("reviews", part, part, part.take(np.arange(40)), ("negative", "positive"))


def test_pairs_of_words_tell_what_words_do_not(reviews):
    found = sentiment.linear_classifiers(reviews)
    assert set(found) == set(sentiment.LINEAR)
    assert found["logistic regression, bigrams"]["test"] == 1
    assert found["naive Bayes, bigrams"]["features"] == 8  # 4 words, 4 pairs


def test_a_sentence_of_unknown_words_has_an_unknown_word(reviews):
    tokenizer = sentiment.make_tokenizer(reviews)
    part = Labelled(["", "splendid"], np.array([0, 1]))
    tokens, lengths, _ = sentiment.encoded(part, tokenizer)
    assert tokens.tolist() == [[1], [1]] and lengths.tolist() == [1, 1]


def test_a_network_is_trained_and_judged(reviews):
    tokenizer = sentiment.make_tokenizer(reviews)
    parts = [sentiment.encoded(part, tokenizer) for part in (reviews.train, reviews.test)]
    model, history = sentiment.train_one("Kim's CNN", tokenizer, parts[0], parts[1], 0, epochs=8)
    assert sentiment.accuracy_of(model, parts[1]) == history.best_row()["val_accuracy"] == 1
    assert len(sentiment.shortened(reviews, 30).train) == 30
    shares = sentiment.padding_shares(parts[0])
    assert shares["by_length"] <= shares["shuffled"] <= shares["longest"]


# --- a trained network is asked ---


def asked(text: str, tmp_path: Path, *more: str) -> int:
    words = ["--text", text, "--checkpoint", str(SHIPPED), "--output_dir", str(tmp_path), *more]
    return train_classifier.main(words)


def test_the_shipped_network_names_the_language_after_each_letter(tmp_path, capsys):
    assert asked("Veintiuno", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[0] for line in lines[:9]] == list("veintiuno") and lines[9].startswith("(end)")
    assert "language: es" in lines


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("veinti1", [], "'1' was not in the training text"),
        ("  ", [], "--text is empty"),
        ("tre", ["--checkpoint", "missing.pth"], "no checkpoint missing.pth"),
        ("tre", ["--checkpoint", str(OTHER_TASK)], "trained for another task"),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_sentence(tmp_path, capsys, text, more, said):
    assert asked(text, tmp_path, *more) == 2
    message = capsys.readouterr().err
    assert said in message and len(message.splitlines()) == 1


def test_missing_sentences_lead_to_the_embedded_words(tmp_path, capsys):
    words = [
        "--dataset",
        "sst2",
        "--data_dir",
        str(tmp_path),
        "--output_dir",
        str(tmp_path / "out"),
    ]
    assert train_classifier.main(words) == 2
    assert "--dataset languages" in capsys.readouterr().err


# --- the page's example ---


def test_the_packed_example_of_the_page():
    ids = {c: i for i, c in enumerate("ochtreum", start=1)}
    rows = [[ids[c] for c in word] for word in text_lengths.WORDS]
    tokens, lengths = text_lengths.padded(rows)
    packed = pack_padded_sequence(tokens, lengths, batch_first=True)
    letters = {i: c for c, i in ids.items()}
    assert "".join(letters[i] for i in packed.data.tolist()) == "otucrmheo"
    assert packed.batch_sizes.tolist() == [3, 3, 2, 1]
    drawn = {text.get_text() for text in text_lengths.draw_packing().axes[0].texts}
    assert {"3", "2", "1", "batch_sizes"} <= drawn
    titles = [ax.get_title() for ax in text_lengths.draw_batches().axes]
    shares = [int(title.split(": ")[1].split("%")[0]) for title in titles]
    assert shares[1] < 5 < 25 < shares[0]
