"""WordPiece: BERT's way from text to numbers. A word is one token, or a few pieces of it.

    "Tokenization, naïve!"  ->  tokenization , naive !         clean up, lower case, no accents
                            ->  token ##ization , naive !      the longest piece first
    encode(text)            ->  [CLS] token ##ization , naive ! [SEP]

A piece that goes on with a word begins with ##. A word whose pieces are not all known is one
[UNK]. The ids are those of Hugging Face's `BertTokenizer` for the same vocabulary, in its fast
form, which is the only one since transformers 5. Two things follow from that:

- Special tokens in the text are special: "[MASK]" is one token, in this spelling only. (So text
  from strangers can hold them; who does not want that, takes the brackets out first.)
- That library's list of accents and signs is that of Unicode 8. Of about 450 characters that
  scripts got later it keeps the accents; we take them off.

Papers: Schuster & Nakajima 2012; Wu et al. 2016; Devlin et al. 2019.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from chapter_06_rnn_lstm_seq.tokenizer import learn_merges
from utils.datasets.text import decoded
from utils.errors import UserError

PAD, UNK, CLS, SEP, MASK = SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LONGEST_WORD = 100  # characters; a longer one is [UNK]
Encoded = tuple[list[int], list[int]]  # ids and segments

# Characters that are words of their own: Chinese, and what Japanese and Korean share with it.
IDEOGRAPHS = re.compile(
    "([\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f"
    "\U0002b740-\U0002b81f\U0002b920-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f])"
)


class WordPiece:
    """A vocabulary and what it makes of texts. vocabulary: the tokens in the order of their ids."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = list(vocabulary)
        self.ids = {token: i for i, token in enumerate(self.vocabulary)}
        if lacking := [token for token in SPECIALS if token not in self.ids]:
            raise UserError(f"the vocabulary has no {lacking[0]}.")
        self.pad, self.unknown, self.cls, self.sep, self.mask = (self.ids[s] for s in SPECIALS)
        self._pieces: dict[str, list[int]] = {}

    @classmethod
    def read(cls, path: str | Path) -> WordPiece:
        """From a file vocab.txt: one token a line. UserError: not UTF-8, or a token is lacking."""
        text = decoded(Path(path).read_bytes(), str(path)).replace("\r\n", "\n")
        return cls(text.rstrip("\n").split("\n"))

    @classmethod
    def train(cls, lines: Iterable[str], size: int) -> WordPiece:
        """A vocabulary of `size` tokens at most: special ones, characters, and merges of them.

        All characters stay, at the beginning of a word and within it (##): if these are more than
        `size`, so are the tokens.

        Google's own trainer was never published. As in Hugging Face's `WordPieceTrainer`, pieces
        are learnt as in byte-pair encoding: of neighbours in words the most frequent pair becomes
        one piece, again and again. What differs from chapter 6 is how words are cut with them.
        """
        counts = Counter(word for line in lines for word in split_words(line))
        words = [[word[0], *(f"##{c}" for c in word[1:])] for word in counts]
        pieces = sorted({piece for word in words for piece in word})
        ids = {piece: i for i, piece in enumerate(pieces)}
        coded = [[ids[piece] for piece in word] for word in words]
        merges = max(size - len(SPECIALS) - len(pieces), 0)
        for a, b in learn_merges(coded, list(counts.values()), merges, len(pieces)):
            pieces.append(pieces[a] + pieces[b].removeprefix("##"))
        return cls(list(dict.fromkeys((*SPECIALS, *pieces))))

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    def pieces(self, word: str) -> list[int]:
        """A clean word in the longest pieces, from the left; [UNK] where one is not known."""
        if word not in self._pieces:
            self._pieces[word] = self._cut(word)
        return self._pieces[word]

    def _cut(self, word: str) -> list[int]:
        found: list[int] = []
        begin = 0
        while begin < len(word) <= LONGEST_WORD:
            for end in range(len(word), begin, -1):  # the longest piece first
                piece = ("##" if begin else "") + word[begin:end]
                if piece in self.ids:
                    break
            else:
                return [self.unknown]
            found.append(self.ids[piece])
            begin = end
        return found or [self.unknown]

    def text_ids(self, text: str) -> list[int]:
        """The ids of a text alone, without [CLS] and [SEP]."""
        ids: list[int] = []
        for part in SPECIAL.split(text):  # before anything else, in their exact spelling
            if part in SPECIALS:
                ids.append(self.ids[part])
            else:
                ids += [i for word in split_words(part) for i in self.pieces(word)]
        return ids

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text alone: "naïve tokenizers" -> naive token ##izer ##s."""
        return [self.vocabulary[i] for i in self.text_ids(text)]

    def encode(self, text: str, pair: str | None = None, longest: int | None = None) -> Encoded:
        """[CLS] text [SEP], or [CLS] text [SEP] pair [SEP] -> ids and segments, of one length.

        The segment is 0 up to the first [SEP], then 1. longest: of both texts together with the
        special tokens; the end of the longer text is cut off, and of both where they are equally
        long. ValueError where `longest` has no place for the special tokens.
        """
        first = self.text_ids(text)
        second = None if pair is None else self.text_ids(pair)
        if longest is not None:
            first, second = shortened(first, second, longest)
        ids = [self.cls, *first, self.sep]
        segments = [0] * len(ids)
        if second is not None:
            ids += [*second, self.sep]
            segments += [1] * (len(second) + 1)
        return ids, segments

    def decode(self, ids: Iterable[int], specials: bool = False) -> str:
        """Tokens with spaces, pieces joined. What `encode` took away does not come back."""
        tokens = [self.vocabulary[i] for i in ids]
        shown = [token for token in tokens if specials or token not in SPECIALS]
        return " ".join(shown).replace(" ##", "")

    def batch(self, encoded: Sequence[Encoded]) -> tuple[Tensor, Tensor, Tensor]:
        """Padded to the longest: ids, segments and hidden (True = padding), (B, T) each."""
        steps = max(len(ids) for ids, _ in encoded)
        ids = torch.full((len(encoded), steps), self.pad)  # (B, T)
        segments = torch.zeros_like(ids)
        hidden = torch.ones_like(ids, dtype=torch.bool)
        for row, (tokens, kinds) in enumerate(encoded):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            segments[row, : len(tokens)] = torch.tensor(kinds)
            hidden[row, : len(tokens)] = False
        return ids, segments, hidden


SPECIAL = re.compile("(" + "|".join(map(re.escape, SPECIALS)) + ")")


def shortened(
    first: list[int], second: list[int] | None, longest: int
) -> tuple[list[int], list[int] | None]:
    """Both texts, so that with [CLS] and one [SEP] each they are no longer than `longest`."""
    room = longest - (2 if second is None else 3)
    if room < 0:
        raise ValueError(f"longest is {longest}, which has no place for [CLS] and [SEP]")
    if second is None:
        return first[:room], None
    short, long = sorted((len(first), len(second)))
    if short + long > room:
        long = max(short, room - short)  # the longer one alone, as far as the other's length
        if short + long > room:
            short, long = room // 2, room - room // 2
    a, b = (short, long) if len(first) <= len(second) else (long, short)
    return first[:a], second[:b]


def split_words(text: str) -> list[str]:
    """Clean words and signs: "Naïve,  isn't it?" -> naive , isn ' t it ?"""
    spaced = IDEOGRAPHS.sub(r" \1 ", "".join(map(clean, text)))
    letters = unicodedata.normalize("NFD", spaced)  # é -> e and its accent
    return "".join(map(lowered, letters)).split()


@lru_cache(maxsize=1 << 16)
def clean(character: str) -> str:
    """A space for every white one, nothing for a control character; others stay."""
    if character in " \t\n\r":
        return " "
    if character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs"):
        return ""
    return " " if character.isspace() else character


@lru_cache(maxsize=1 << 16)
def lowered(character: str) -> str:
    """Lower case; no accent; spaces around a sign, so that it is a word of its own."""
    kind = unicodedata.category(character)
    if kind == "Mn":
        return ""
    if kind.startswith("P") or character in "$+<=>^`|~":  # BERT counts all of ASCII's signs
        return f" {character} "
    return character.lower()
