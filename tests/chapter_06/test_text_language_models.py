"""Page 5 on language models: its numbers by hand, and those of its pictures."""

import numpy as np
import pytest
import torch

from chapter_06_rnn_lstm_seq.figures import text_language_models as figures
from chapter_06_rnn_lstm_seq.language_model import LanguageModel, bits
from chapter_06_rnn_lstm_seq.sampling import filter_top_k, filter_top_p, with_temperature
from chapter_06_rnn_lstm_seq.tokenizer import BPETokenizer, CharTokenizer, WordTokenizer
from utils.datasets.text import TextData
from utils.model_summary import parameter_count


def test_four_tokens_by_hand():
    nats = -np.log([1 / 2, 1 / 4, 1 / 8, 1 / 8]).mean()
    assert nats == pytest.approx(1.56, abs=0.005)
    assert bits(nats) == pytest.approx(2.25)
    assert np.exp(nats) == pytest.approx(4.76, abs=0.005)


def test_a_word_model_beside_a_character_model():
    """Perplexity 40 a word, 5 characters a word with its space; perplexity 3 a character."""
    assert np.log2(40) / 5 == pytest.approx(1.06, abs=0.005)
    assert np.log2(3) == pytest.approx(1.58, abs=0.006)


def test_what_the_table_of_tokens_says():
    words = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
    characters = CharTokenizer.train(words)
    assert characters.vocab_size == 10
    assert len(characters.encode("lowest")) == 6
    assert WordTokenizer.train(words).vocab_size == 4 + 1
    assert WordTokenizer.train(words).decode(WordTokenizer.train(words).encode("lowest")) == "<unk>"
    bpe = BPETokenizer.train(words, merges=4)
    assert bpe.vocab_size == 260
    assert bpe.tokens("lowest") == ["low", "est"]


def test_sampling_by_hand():
    logits = torch.tensor([0.5, 0.2, 0.15, 0.1, 0.05], dtype=torch.float64).log()
    shown = [
        (with_temperature(logits, 0.5), [0.769, 0.123, 0.069, 0.031, 0.008]),
        (with_temperature(logits, 2.0), [0.340, 0.215, 0.186, 0.152, 0.107]),
        (filter_top_k(logits, 2), [0.714, 0.286, 0, 0, 0]),
        (filter_top_p(logits, 0.8), [0.588, 0.235, 0.176, 0, 0]),
    ]
    for scores, expected in shown:
        np.testing.assert_allclose(scores.softmax(0).numpy(), expected, atol=0.0012)


def test_tied_embeddings_save_a_matrix():
    sizes = {"hidden_size": 32, "embed_size": 32}
    free, tied = LanguageModel(500, **sizes), LanguageModel(500, tied=True, **sizes)
    assert parameter_count(free) - parameter_count(tied) == 500 * 32


def test_top_p_adapts_to_the_distribution_and_top_k_does_not():
    kept = {}
    for context in figures.CONTEXTS:
        names, logits = figures.next_characters(context)
        assert len(names) == figures.SHOWN
        assert logits.softmax(0).sum() == pytest.approx(1)
        assert logits.equal(logits.sort(descending=True).values)
        cuts = filter_top_k(logits, figures.TOP_K), filter_top_p(logits, figures.TOP_P)
        kept[context] = [int(cut.isfinite().sum()) for cut in cuts]
    (k_clear, p_clear), (k_open, p_open) = kept.values()
    assert k_clear == k_open == figures.TOP_K
    assert p_clear < figures.TOP_K < p_open


def test_context_helps_and_the_counted_text_looks_easier(monkeypatch):
    tokenizer, data = figures._inner_text()
    short = TextData("short", data.train[:60_000], data.train[60_000:70_000])
    monkeypatch.setattr(figures, "_inner_text", lambda: (tokenizer, short))
    monkeypatch.setattr(figures, "ORDERS", range(1, 5))
    held_out, counted = figures._bits_by_order(modified=False)
    assert held_out == sorted(held_out, reverse=True)
    assert counted[-1] < held_out[-1] - 0.1
    axes = figures.draw_context().axes[0]
    assert [line.get_label() for line in axes.lines][-1] == "the text that was counted"
    assert list(axes.lines[0].get_ydata()) == held_out
