"""Tokenizers: exact round trips, merges by hand, what a user may do wrong."""

import json
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chapter_06_rnn_lstm_seq.tokenizer import (
    PIECES,
    SPECIALS,
    UNK,
    BPETokenizer,
    CharTokenizer,
    Tokenizer,
    WordTokenizer,
    from_state,
    learn_merges,
    load_tokenizer,
    merged,
)
from utils.errors import UserError

TEXT = "the cat sat on the mat, the cat! Über die Straße läuft eine Katze. 猫坐在垫子上。\n"
BPE = BPETokenizer.train(TEXT * 3, merges=60, specials=SPECIALS)
ALL = [CharTokenizer.train(TEXT), WordTokenizer.train(TEXT), BPE]


@settings(max_examples=60, deadline=None)
@given(st.text())
@example("   two  spaces, a tab\t\n\n  ")
@example("e\u0301 \U0001f469\u200d\U0001f469 <eos>\x00")
def test_bpe_gives_any_text_back_exactly(text: str):
    assert BPE.decode(BPE.encode(text)) == text
    assert "".join(PIECES.findall(text)) == text


@settings(deadline=None)
@given(st.text())
def test_characters_give_their_own_text_back(text: str):
    tokenizer = CharTokenizer.train(text, specials=SPECIALS)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert len(ids) == len(text)
    assert all(len(SPECIALS) <= i < tokenizer.vocab_size for i in ids)


@settings(deadline=None)
@given(st.text())
def test_text_never_becomes_a_special_token_of_bpe(text: str):
    ids = BPE.encode(text + "<pad><eos>")
    assert min(ids) >= len(SPECIALS)
    assert BPE.decode(ids) == text + "<pad><eos>"


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "ab", "aab", "bab", "abab", "aaaa", "ba"]), max_size=8))
def test_counting_only_what_changed_finds_the_merges_of_counting_everything(texts: list[str]):
    words = [[ord(c) for c in text] for text in texts]
    fast = learn_merges([list(w) for w in words], [1] * len(words), 5, 256)
    assert fast == merges_by_brute_force(words, 5, 256)


def merges_by_brute_force(words: list[list[int]], merges: int, first_id: int) -> list:
    found = []
    for made in range(first_id, first_id + merges):
        pairs = [pair for ids in words for pair in pairwise(ids)]
        best = min(set(pairs), key=lambda pair: (-pairs.count(pair), pair), default=None)
        if best is None or pairs.count(best) < 2:
            break
        words = [merged(ids, best, made) for ids in words]
        found.append(best)
    return found


def test_the_merges_of_the_page_by_hand():
    """low x5, lower x2, newest x6, widest x3: the example of Sennrich et al. 2016.

    es 9, then est 9 (it had 9 with es gone), lo 7, low 7; of equal pairs the smaller ids.
    """
    words = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
    tokenizer = BPETokenizer.train(words, merges=4)
    shown = [tokenizer.decode([256 + rank]) for rank in range(4)]
    assert shown == ["es", "est", "lo", "low"]
    assert tokenizer.tokens("lowest") == ["low", "est"]  # never seen, two tokens


def test_bpe_is_not_longest_match():
    """bc was the first merge: in "abcd" it is taken, though ab + cd would be one token fewer."""
    tokenizer = BPETokenizer.train(["bc"] * 4 + ["ab"] * 3 + ["cd"] * 2, merges=3)
    assert tokenizer.tokens("ab") == ["ab"]
    assert tokenizer.tokens("cd") == ["cd"]
    assert tokenizer.tokens("abcd") == ["a", "bc", "d"]


def test_merges_shorten_a_text_and_stop_where_no_pair_occurs_twice():
    assert len(BPE.encode("the cat")) < len("the cat")
    assert BPETokenizer.train("abcdef", merges=10).vocabulary == []
    assert BPETokenizer.train("", merges=10).vocab_size == 256


def test_half_a_character_is_shown_and_does_not_fail():
    ids = BPETokenizer.train("", merges=0).encode("猫")
    assert len(ids) == 3
    assert BPETokenizer.train("", merges=0).decode(ids[:2]) == "\ufffd"


def test_words_keep_the_most_frequent_and_map_the_rest_to_unk():
    tokenizer = WordTokenizer.train(["The cat, the dog.", "don't the cat"], size=3)
    assert tokenizer.vocabulary == ["the", "cat", ","]
    assert tokenizer.decode(tokenizer.encode("The bird, THE cat")) == "the <unk> , the cat"
    assert WordTokenizer.train("a a b", min_count=2).vocabulary == ["a"]
    with pytest.raises(ValueError, match="<unk>"):
        WordTokenizer([], specials=())


@pytest.mark.parametrize("tokenizer", ALL, ids=lambda tokenizer: tokenizer.kind)
def test_file_and_state_make_the_same_tokenizer(tokenizer: Tokenizer, tmp_path):
    tokenizer.save(tmp_path / "t.json")
    again = [
        load_tokenizer(tmp_path / "t.json"),
        from_state(json.loads(json.dumps(tokenizer.state()))),
    ]
    for other in again:
        assert type(other) is type(tokenizer)
        assert other.state() == tokenizer.state()
        assert other.encode("the cat") == tokenizer.encode("the cat")
        assert other.vocab_size == tokenizer.vocab_size


def test_special_tokens_have_the_first_ids_and_are_left_out_of_text():
    assert [BPE.id_of(name) for name in SPECIALS] == [0, 1, 2, 3]
    assert BPE.decode([1, *BPE.encode("cat"), 2, 0, 0]) == "cat"
    with pytest.raises(UserError, match=r"no <eos>, only \(\)"):
        CharTokenizer.train("abc").id_of("<eos>")


def test_an_unknown_character_is_named_or_becomes_unk():
    with pytest.raises(UserError, match="the character 'é' was not in the training text"):
        CharTokenizer.train("cafe").encode("café")
    tokenizer = CharTokenizer.train("cafe", specials=[UNK])
    assert tokenizer.encode("é") == [tokenizer.id_of(UNK)]


def test_users_mistakes_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match="lone surrogate"):
        BPE.encode("\ud800")
    for content in (
        '{"kind": "runes", "specials": [], "vocabulary": []}',
        "[1]",
        '{"kind": "bpe"}',
    ):
        (tmp_path / "t.json").write_text(content)
        with pytest.raises(UserError, match=r"t\.json: this is not the state of a tokenizer"):
            load_tokenizer(tmp_path / "t.json")
    with pytest.raises(UserError, match="no file"):
        load_tokenizer(tmp_path / "missing.json")
