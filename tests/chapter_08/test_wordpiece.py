"""WordPiece's ids are those of Hugging Face's BertTokenizer, whatever the text is."""

import random
import string
from pydoc_data.topics import topics

import pytest

from chapter_08_transformer_vanilla.wordpiece import (
    SPECIALS,
    WordPiece,
    clean,
    lowered,
    shortened,
    split_words,
)
from utils.errors import UserError

LETTERS = string.ascii_lowercase + string.digits + string.punctuation + "äßøþоλжשع中文数あ한ㅏµﬁ"
WORDS = ["token", "##ization", "##ize", "##r", "un", "##able", "##s", "naive", "the", "##ing",
         "istanbul", "mask", "don", "##ing", "中文", "##ᅡ", "ᄒ", "##ᆫ"]  # fmt: skip
VOCABULARY = list(
    dict.fromkeys(
        [
            *SPECIALS,
            *LETTERS,
            *(f"##{c}" for c in LETTERS if c.isalnum() and c not in "xyz文"),
            *WORDS,
        ]
    )
)
# What is hard: control characters, spaces of all kinds, accents of both forms, signs, other
# scripts, emoji, halves of ligatures, capital letters with unusual small ones, special tokens.
HARD = [*map(chr, range(0x250)), *map(chr, range(0x2000, 0x2070)), *"İıẞßΣςΟΔΟΣǅﬁ", "e\u0301",
        "\u0301", "\u0345", "한국어", "각", "中文", "𠀀", "𪜀", "豈", "日本語", "カ\u3099", "。",
        "„", "«", "😀", "👩‍👩‍👧", "🇨🇳", "❤️", "\ufeff", "\ufffd", "\u00ad", "\ue000", "\U000e0041",
        "\U0010ffff", "שלום", "مرحبا", "नमस्ते", "ไทย", "\u2028", "\u3000", "\u180e",
        *SPECIALS, "[mask]", "[MASK", "##", "[PAD][SEP]", "[CLS] "]  # fmt: skip


@pytest.fixture(scope="module")
def both():
    """Ours, and theirs as `BertTokenizer` builds it (test_bert.py compares with that itself)."""
    lib = pytest.importorskip("tokenizers")
    ids = {token: i for i, token in enumerate(VOCABULARY)}
    theirs = lib.Tokenizer(lib.models.WordPiece(ids, unk_token="[UNK]"))
    theirs.normalizer = lib.normalizers.BertNormalizer()
    theirs.pre_tokenizer = lib.pre_tokenizers.BertPreTokenizer()
    theirs.add_special_tokens(list(SPECIALS))
    ends = [(token, ids[token]) for token in ("[CLS]", "[SEP]")]
    theirs.post_processor = lib.processors.TemplateProcessing(
        "[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", ends
    )
    return WordPiece(VOCABULARY), theirs


def fuzzed(count: int, seed: int = 0) -> list[str]:
    """Texts of words, pieces and hard characters; a tenth with a word near 100 characters."""
    draw = random.Random(seed)
    clear = [w.removeprefix("##") for w in WORDS]
    clear += ["Tokenization", "NAÏVE", "unable", "tokenizers", "don't", "3.5%", "a" * 5, "zzxy"]
    texts = []
    for _ in range(count):
        parts = [
            draw.choice(draw.choice((clear, HARD, LETTERS))) for _ in range(draw.randrange(25))
        ]
        if draw.random() < 0.1:
            letter = draw.choice(("a", "é", "e\u0301", "𝒳", "ß"))
            parts.insert(draw.randrange(len(parts) + 1), letter * draw.randrange(97, 104))
        texts.append(draw.choice(("", " ")).join(parts))
    return texts


def test_ids_are_hugging_faces_on_fuzzed_texts(both):
    ours, theirs = both
    texts = fuzzed(6000)
    expected = theirs.encode_batch(texts)
    for text, wanted in zip(texts, expected, strict=True):
        ids, segments = ours.encode(text)
        assert ids == wanted.ids, text
        assert segments == wanted.type_ids
    seen = {i for wanted in expected for i in wanted.ids}
    assert len(seen) > 0.9 * len(VOCABULARY), "the fuzz reaches the vocabulary"


def test_pairs_and_what_is_cut_off_are_hugging_faces(both):
    ours, theirs = both
    texts = fuzzed(1000, seed=1)
    for n, (text, pair) in enumerate(zip(texts[::2], texts[1::2], strict=True)):
        longest = 3 + n % 60
        theirs.enable_truncation(longest)
        expected = theirs.encode(text, pair)
        ids, segments = ours.encode(text, pair, longest)
        assert ids == expected.ids, (text, pair, longest)
        assert segments == expected.type_ids
        assert ours.encode(text, longest=longest)[0] == theirs.encode(text).ids
    theirs.no_truncation()


def test_characters_are_treated_as_theirs_but_for_late_marks(both):
    """A third of the code points below U+20000: the normaliser and the cutting at signs."""
    backend = both[1]
    differ = 0
    for begin in range(0, 0x20000, 1024):
        points = (chr(o) for o in range(begin, begin + 1024, 3) if not 0xD800 <= o < 0xE000)
        joined = " ".join(f"a{c}a" for c in points)
        clean_text = backend.normalizer.normalize_str(joined)
        words = [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(clean_text)]
        differ += len(set(words) ^ set(split_words(joined)))
    assert 0 < differ < 600  # two words and one or three for each of about 190 characters


def test_examples_by_hand():
    tokenizer = WordPiece([*SPECIALS, "token", "##ization", "##iz", "naive", ",", "!", "a", "##a"])
    assert tokenizer.tokens("Tokenization, naïve!") == ["token", "##ization", ",", "naive", "!"]
    assert tokenizer.tokens("tokenizb") == ["[UNK]"]  # b is unknown: so is the whole word
    assert tokenizer.tokens("a" * 100) == ["a", *["##a"] * 99]
    assert tokenizer.tokens("a" * 101) == ["[UNK]"]
    assert tokenizer.tokens("[MASK] a") == ["[MASK]", "a"]
    assert tokenizer.encode("a", "naive") == ([2, 11, 3, 8, 3], [0, 0, 0, 1, 1])
    assert tokenizer.decode([2, 5, 6, 9, 3]) == "tokenization ,"
    assert tokenizer.decode([2, 5, 3], specials=True) == "[CLS] token [SEP]"
    assert split_words("Isn't it中文\x00?\u200b") == ["isn", "'", "t", "it", "中", "文", "?"]
    assert clean("\ud800") == ""  # half a character is none
    assert lowered("Σ") == "σ"


def test_the_longer_text_is_cut_first():
    assert shortened([1] * 9, [2] * 3, 13) == ([1] * 7, [2] * 3)
    assert shortened([1] * 9, [2] * 8, 13) == ([1] * 5, [2] * 5)
    assert shortened([1] * 4, [2] * 9, 14) == ([1] * 4, [2] * 7)
    assert shortened([1] * 9, [2] * 9, 12) == ([1] * 4, [2] * 5)
    assert shortened([1] * 9, None, 6) == ([1] * 4, None)
    with pytest.raises(ValueError, match="no place"):
        shortened([1], [2], 2)


def test_a_batch_is_padded_and_says_where():
    tokenizer = WordPiece([*SPECIALS, "a", "b"])
    ids, segments, hidden = tokenizer.batch([tokenizer.encode("a b a"), tokenizer.encode("a", "b")])
    assert ids.tolist() == [[2, 5, 6, 5, 3], [2, 5, 3, 6, 3]]
    assert segments.tolist() == [[0] * 5, [0, 0, 0, 1, 1]] and not hidden.any()
    ids, segments, hidden = tokenizer.batch([tokenizer.encode("a"), tokenizer.encode("a b")])
    assert ids[0].tolist() == [2, 5, 3, 0] and hidden[0].tolist() == [False] * 3 + [True]


def test_a_trained_vocabulary_cuts_its_own_text_without_unknown_words():
    lines = ["low lower lowest", "new newer newest", "wide wider widest", "Low, new; wide!"] * 3
    tokenizer = WordPiece.train(lines, 40)
    assert tokenizer.vocabulary[:5] == list(SPECIALS) and tokenizer.vocab_size <= 40
    assert len(set(tokenizer.vocabulary)) == tokenizer.vocab_size
    for line in lines:
        assert "[UNK]" not in tokenizer.tokens(line)
        joined = tokenizer.decode(tokenizer.text_ids(line)).replace(" ", "")
        assert joined == line.lower().replace(" ", "")
    assert tokenizer.tokens("newest lowest")[0].startswith("new")
    small = WordPiece.train(lines, 5)
    assert all(len(t.removeprefix("##")) == 1 for t in small.vocabulary[5:])  # characters alone


def test_pieces_are_learnt_as_hugging_faces_trainer_does():
    tokenizers = pytest.importorskip("tokenizers")
    lines = topics["formatstrings"].split("\n")
    theirs = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    theirs.normalizer = tokenizers.normalizers.BertNormalizer()
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=list(SPECIALS), show_progress=False
    )
    theirs.train_from_iterator(lines, trainer)
    ours = WordPiece.train(lines, 200)
    shared = set(ours.vocabulary) & set(theirs.get_vocab())
    assert len(shared) >= 190  # of pairs with equal counts each takes another one first


def test_a_vocabulary_without_special_tokens_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no \[PAD\]"):
        WordPiece(["a", "b"])
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*SPECIALS, "a"]) + "\n", encoding="utf-8")
    assert WordPiece.read(path).vocabulary == [*SPECIALS, "a"]
    path.write_bytes("\r\n".join([*SPECIALS, "a"]).encode())
    assert WordPiece.read(path).vocabulary == [*SPECIALS, "a"]
    path.write_bytes(b"[PAD]\n\xff\xfe")
    with pytest.raises(UserError, match="is not UTF-8"):
        WordPiece.read(path)
