"""Text to numbers and back: characters, words, byte-pair encoding.

    tokenizer = BPETokenizer.train(lines, merges=4000, specials=SPECIALS)
    ids = tokenizer.encode("Zwei Hunde")        # list of ints
    tokenizer.decode(ids)                       # "Zwei Hunde"
    tokenizer.save("bpe.json"); load_tokenizer("bpe.json")

Read `CharTokenizer` (short vocabulary, long sequences), `WordTokenizer` (short sequences, never all
words, spaces lost), `BPETokenizer` (between them: any text exactly, a vocabulary of chosen size).

Special tokens have the first ids: 0, 1, ... Text never becomes one of them, whatever it says.

Papers: Sennrich, Haddow & Birch 2016 (byte-pair encoding of words); Radford et al. 2019 (of bytes).
"""

from __future__ import annotations

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from utils.errors import UserError
from utils.file_io_util import read_json, write_json

PAD, BOS, EOS, UNK = SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
Pair = tuple[int, int]
# What is never merged across, as in GPT-2: a word, a number or signs, with the space before it;
# other spaces. Every character of a text is in exactly one piece.
PIECES = re.compile(r" ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
WORDS = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


def as_texts(texts: str | Iterable[str]) -> Iterable[str]:
    return [texts] if isinstance(texts, str) else texts


class Tokenizer:
    """Special tokens, the file and the checkpoint's state; `vocabulary` holds what follows them."""

    kind: ClassVar[str]

    def __init__(self, vocabulary: Sequence[Any], specials: Sequence[str] = ()) -> None:
        self.specials = tuple(specials)
        self.vocabulary = list(vocabulary)

    @property
    def vocab_size(self) -> int:
        return len(self.specials) + len(self.vocabulary)

    def id_of(self, special: str) -> int:
        """The id of a special token; UserError if this tokenizer was trained without it."""
        if special not in self.specials:
            raise UserError(f"the tokenizer has no {special}, only {self.specials}.")
        return self.specials.index(special)

    def encode(self, text: str) -> list[int]:
        raise NotImplementedError

    def decode(self, ids: Iterable[int]) -> str:
        """The text of these ids; special tokens are left out."""
        raise NotImplementedError

    def tokens(self, text: str) -> list[str]:
        """The pieces that `encode` cuts a text into."""
        return [self.decode([i]) for i in self.encode(text)]

    def state(self) -> dict[str, Any]:
        """Plain values, for a checkpoint or JSON; `from_state` makes the tokenizer again."""
        facts = {"specials": list(self.specials), "vocabulary": self.vocabulary}
        return {"kind": self.kind} | facts

    def save(self, path: str | Path) -> None:
        """Write a JSON file, which `load_tokenizer` reads."""
        write_json(path, self.state())


class CharTokenizer(Tokenizer):
    """One id for each character of the training text, in the order of their code points."""

    kind = "characters"

    def __init__(self, vocabulary: Sequence[str], specials: Sequence[str] = ()) -> None:
        super().__init__(vocabulary, specials)
        self._ids = {c: i for i, c in enumerate(self.vocabulary, start=len(self.specials))}

    @classmethod
    def train(cls, texts: str | Iterable[str], specials: Sequence[str] = ()) -> CharTokenizer:
        return cls(sorted(set().union(*as_texts(texts))), specials)

    def encode(self, text: str) -> list[int]:
        """UserError names a character that training did not see, unless there is `<unk>`."""
        try:
            return [self._ids[c] for c in text]
        except KeyError as error:
            if UNK in self.specials:
                return [self._ids.get(c, self.id_of(UNK)) for c in text]
            words = f"the character {error.args[0]!r} was not in the training text, which has"
            raise UserError(f"{words} {''.join(self.vocabulary[:100])!r}.") from None

    def decode(self, ids: Iterable[int]) -> str:
        first = len(self.specials)
        return "".join(self.vocabulary[i - first] for i in ids if i >= first)


class WordTokenizer(Tokenizer):
    """One id for each frequent word or sign; any other becomes `<unk>`.

    Spaces are not kept; `decode` puts one between any two words.
    """

    kind = "words"

    def __init__(
        self, vocabulary: Sequence[str], specials: Sequence[str] = (UNK,), lower: bool = True
    ) -> None:
        if UNK not in specials:
            raise ValueError("words never seen need the special token <unk>")
        super().__init__(vocabulary, specials)
        self.lower = lower
        self._ids = {w: i for i, w in enumerate(self.vocabulary, start=len(self.specials))}

    @classmethod
    def train(
        cls,
        texts: str | Iterable[str],
        size: int | None = None,
        min_count: int = 1,
        specials: Sequence[str] = (UNK,),
        lower: bool = True,
    ) -> WordTokenizer:
        """Keep words seen `min_count` times, the `size` most frequent; equal ones by alphabet."""
        counts = Counter(w for text in as_texts(texts) for w in split_words(text, lower))
        ranked = sorted(counts, key=lambda w: (-counts[w], w))
        return cls([w for w in ranked if counts[w] >= min_count][:size], specials, lower)

    def encode(self, text: str) -> list[int]:
        unknown = self.id_of(UNK)
        return [self._ids.get(w, unknown) for w in split_words(text, self.lower)]

    def decode(self, ids: Iterable[int]) -> str:
        first, unknown = len(self.specials), self.id_of(UNK)
        shown = [i for i in ids if i >= first or i == unknown]
        return " ".join(UNK if i == unknown else self.vocabulary[i - first] for i in shown)

    def state(self) -> dict[str, Any]:
        return super().state() | {"lower": self.lower}


def split_words(text: str, lower: bool = True) -> list[str]:
    """Words (with an inner apostrophe: don't) and single signs."""
    return WORDS.findall(text.lower() if lower else text)


class BPETokenizer(Tokenizer):
    """The 256 bytes, and the merges of two neighbours that training found, in their order.

    Nothing is unknown: every character is one to four bytes in UTF-8. Merge number r makes the
    token with id len(specials) + 256 + r from two tokens with smaller ids.
    """

    kind = "bpe"

    def __init__(self, vocabulary: Sequence[Sequence[int]], specials: Sequence[str] = ()) -> None:
        super().__init__([list(pair) for pair in vocabulary], specials)
        self._first = len(self.specials)  # the id of byte 0
        self._made = {(a, b): i for i, (a, b) in enumerate(self.vocabulary, self._first + 256)}
        self._bytes = {self._first + byte: bytes([byte]) for byte in range(256)}
        for (a, b), made in self._made.items():
            self._bytes[made] = self._bytes[a] + self._bytes[b]
        self._cache: dict[str, list[int]] = {}

    @property
    def vocab_size(self) -> int:
        return len(self.specials) + 256 + len(self.vocabulary)

    @classmethod
    def train(
        cls, texts: str | Iterable[str], merges: int, specials: Sequence[str] = ()
    ) -> BPETokenizer:
        """At most `merges` merges: fewer where no pair occurs twice any more."""
        pieces = Counter(piece for text in as_texts(texts) for piece in PIECES.findall(text))
        first, counts = len(specials), list(pieces.values())
        words = [[first + byte for byte in to_bytes(piece)] for piece in pieces]
        return cls(learn_merges(words, counts, merges, first + 256), specials)

    def encode(self, text: str) -> list[int]:
        """UserError if the text is no Unicode (half a surrogate pair)."""
        ids: list[int] = []
        for piece in PIECES.findall(text):
            if piece not in self._cache:
                self._cache[piece] = self._encode_piece(piece)
            ids += self._cache[piece]
        return ids

    def _encode_piece(self, piece: str) -> list[int]:
        """Do the earliest merge that applies, as often as one does: in the order of training."""
        ids = [self._first + byte for byte in to_bytes(piece)]
        while len(ids) > 1:
            earliest = min(self._made.get(pair, self.vocab_size) for pair in pairwise(ids))
            if earliest == self.vocab_size:
                break
            a, b = self.vocabulary[earliest - self._first - 256]
            ids = merged(ids, (a, b), earliest)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Bytes that are no text, such as a character cut in half, show as U+FFFD."""
        joined = b"".join(self._bytes[i] for i in ids if i >= self._first)
        return joined.decode("utf-8", errors="replace")


def to_bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"{text[error.start]!r} is half a character (a lone surrogate), not text."
        raise UserError(half) from None


def merged(ids: Sequence[int], pair: Pair, made: int) -> list[int]:
    """`ids` with `made` in place of every `pair`, from the left: in "aaa", aa is found once."""
    out: list[int] = []
    for i in ids:
        if out and (out[-1], i) == pair:
            out[-1] = made
        else:
            out.append(i)
    return out


class _PairCounts:
    """How often each pair of neighbours occurs in words that occur `counts` times."""

    def __init__(self, words: list[list[int]], counts: list[int]) -> None:
        self.words, self.counts = words, counts
        self.totals: Counter[Pair] = Counter()
        self.where: defaultdict[Pair, set[int]] = defaultdict(set)  # pair -> numbers of words
        for number, ids in enumerate(words):
            self._add(number, ids, 1)

    def _add(self, number: int, ids: list[int], sign: int) -> None:
        for pair in pairwise(ids):
            self.totals[pair] += sign * self.counts[number]
            self.where[pair].add(number)

    def merge(self, pair: Pair, made: int) -> set[Pair]:
        """Count anew the words that hold the pair; returns the pairs whose totals changed."""
        changed: set[Pair] = set()
        for number in self.where.pop(pair):
            old, new = self.words[number], merged(self.words[number], pair, made)
            self._add(number, old, -1)
            self._add(number, new, 1)
            self.words[number] = new
            changed.update(pairwise(old), pairwise(new))
        return changed - {pair}


def learn_merges(words: list[list[int]], counts: list[int], merges: int, first_id: int) -> list:
    """Merge the most frequent pair of neighbours, again and again; of equal ones the smallest.

    The heap has an entry for every total that a pair ever had; an old one is thrown away when it
    comes up. Training stops early where no pair occurs twice.
    """
    pairs = _PairCounts(words, counts)
    heap = [(-total, pair) for pair, total in pairs.totals.items()]
    heapq.heapify(heap)
    found: list[Pair] = []
    while heap and len(found) < merges:
        total, pair = heapq.heappop(heap)
        if -total < 2:
            break
        if -total == pairs.totals[pair]:
            for other in pairs.merge(pair, first_id + len(found)):
                heapq.heappush(heap, (-pairs.totals[other], other))
            found.append(pair)
    return found


KINDS = {cls.kind: cls for cls in (CharTokenizer, WordTokenizer, BPETokenizer)}


def from_state(state: dict[str, Any]) -> Tokenizer:
    """The tokenizer whose `state()` this was; UserError if it is none."""
    try:
        options = dict(state)
        return KINDS[options.pop("kind")](**options)
    except (KeyError, TypeError, ValueError):
        raise UserError("this is not the state of a tokenizer.") from None


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Read what `Tokenizer.save` wrote; UserError names a file that is no tokenizer."""
    try:
        return from_state(read_json(path))
    except UserError as error:
        raise UserError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
