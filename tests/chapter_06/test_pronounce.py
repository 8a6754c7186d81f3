"""Real weights in our cells: the phonemes of the package's own formula."""

import importlib.util

import numpy as np
import pytest
import torch

from chapter_06_rnn_lstm_seq import pronounce
from chapter_06_rnn_lstm_seq.experiments import pronunciation
from chapter_06_rnn_lstm_seq.experiments.pronunciation import (
    LETTERS,
    NAMES,
    PHONEMES,
    load_speller,
    weights_file,
)
from utils.errors import UserError

HERE = importlib.util.find_spec("g2p_en") is not None
weights = pytest.mark.skipif(not HERE, reason="needs the package g2p-en: make weights")
KNOWN = {
    "transformer": "T R AE0 N S F AO1 R M ER0",
    "sequence": "S IY1 K W AH0 N S",
    "gradient": "G R EY1 D IY0 AH0 N T",
}


@pytest.fixture(scope="module")
def speller():
    return load_speller()


def gru(x, h, w_ih, w_hh, b_ih, b_hh):
    """A GRU step in NumPy: x (I,), h (H,) -> (H,); gates in the order r, z, n."""
    a, b = w_ih @ x + b_ih, w_hh @ h + b_hh  # (3 H,)
    size = len(h)
    r, z = 1 / (1 + np.exp(-(a[: 2 * size] + b[: 2 * size]).reshape(2, size)))
    n = np.tanh(a[2 * size :] + r * b[2 * size :])
    return (1 - z) * n + z * h


def numpy_scores(word, arrays):
    """The scores of every decoder step by the formula, in float64: (T, 74)."""
    p = {name: array.astype(np.float64) for name, array in arrays.items()}
    encoder, decoder = (
        [p[f"{side}_{name}"] for name in ("w_ih", "w_hh", "b_ih", "b_hh")]
        for side in ("enc", "dec")
    )
    h = np.zeros(256)
    for letter in [*word, "</s>"]:
        h = gru(p["enc_emb"][LETTERS.index(letter)], h, *encoder)
    said, steps = 2, []
    while said != 3 and len(steps) < 20:
        h = gru(p["dec_emb"][said], h, *decoder)
        steps.append(p["fc_w"] @ h + p["fc_b"])
        said = int(steps[-1].argmax())
    return np.array(steps)


@weights
@pytest.mark.needs_weights
@pytest.mark.parametrize("word", ["a", "transformer", "antidisestablishmentarianism", "qxz"])
def test_scores_are_those_of_the_formula(speller, word):
    with np.load(weights_file(), allow_pickle=False) as arrays:
        expected = numpy_scores(word, arrays)
    np.testing.assert_allclose(speller.scores(word).numpy(), expected, rtol=1e-4, atol=1e-4)


@weights
@pytest.mark.needs_weights
@pytest.mark.parametrize("word", list(KNOWN))
def test_known_words_sound_as_they_should(speller, word):
    assert " ".join(speller.pronounce(word)) == KNOWN[word]
    assert speller.pronounce(word.upper()) == speller.pronounce(word)


@weights
@pytest.mark.needs_weights
def test_every_weight_has_its_place_and_is_torchs(speller):
    """The names are bijective, and torch's own GRU gives the encoder's state."""
    with np.load(weights_file(), allow_pickle=False) as arrays:
        assert set(arrays) == set(NAMES)
    assert set(NAMES.values()) == set(speller.state_dict())
    theirs = torch.nn.GRU(256, 256, batch_first=True)
    theirs.load_state_dict(speller.encoder.state_dict(), strict=True)
    x = torch.randn(2, 5, 256, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(speller.encoder(x)[1], theirs(x)[1], rtol=1e-4, atol=1e-5)


@weights
@pytest.mark.needs_weights
def test_the_script_prints_the_phonemes(tmp_path, capsys):
    assert pronounce.main(["Transformer", "--output_dir", str(tmp_path)]) == 0
    assert "transformer: T R AE0 N S F AO1 R M ER0" in capsys.readouterr().out


def test_the_alphabets_are_complete():
    assert len(LETTERS) == 29 and len(PHONEMES) == len(set(PHONEMES)) == 74
    assert PHONEMES[:5] == ("<pad>", "<unk>", "<s>", "</s>", "AA0") and PHONEMES[-1] == "ZH"


def test_without_the_package_the_script_says_how_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(pronunciation, "PACKAGE", "no_such_package_of_weights")
    assert pronounce.main(["word", "--output_dir", str(tmp_path)]) == 2
    said = capsys.readouterr().err.strip()
    assert "make weights" in said and "g2p-en==2.1.0" in said and "\n" not in said


@pytest.mark.parametrize("word", ["naïve", "two words", "3d", ""])
def test_what_is_no_word_is_one_sentence(word, tmp_path, capsys):
    assert pronounce.main([word, "--output_dir", str(tmp_path)]) == 2
    said = capsys.readouterr().err.strip()
    assert repr(word) in said and "\n" not in said


def test_a_damaged_or_foreign_file_is_one_sentence(tmp_path):
    damaged = tmp_path / "checkpoint20.npz"
    damaged.write_bytes(b"PK damaged")
    with pytest.raises(UserError, match="no file of weights"):
        load_speller(damaged)
    np.savez(tmp_path / "other.npz", fc_w=np.zeros((3, 3), np.float32))
    with pytest.raises(UserError, match="does not fit"):
        load_speller(tmp_path / "other.npz")
