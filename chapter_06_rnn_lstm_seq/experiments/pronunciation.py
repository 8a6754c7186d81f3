"""From spelling to phonemes with real weights: the GRU encoder-decoder of the package g2p-en.

    letters -> embedding -> GRU over the letters and </s> -> its last state
    last state -> GRUCell, fed with the phoneme it wrote last -> a score for each phoneme

g2p-en 2.1.0 (Park and Kim, Apache-2.0) was trained on the CMU pronouncing dictionary. Its file of
weights is found by the package's place and read; nothing of the package is imported. It has the
parameters of our GRU under names of its own, `NAMES`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from chapter_06_rnn_lstm_seq.cells import GRUCell
from chapter_06_rnn_lstm_seq.recurrent import GRU
from utils.checkpoint import load_state
from utils.errors import UserError

PACKAGE, FILE = "g2p_en", "checkpoint20.npz"
LONGEST = 20  # phonemes, as in the package: a network that never says </s> must stop somewhere
LETTERS = ("<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz")
VOWELS = ("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW").split()  # noqa: SIM905
CONSONANTS = ("B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH").split()  # noqa: SIM905
# ARPAbet; a vowel's digit is its stress: 0 none, 1 main, 2 second.
PHONEMES = (
    "<pad>", "<unk>", "<s>", "</s>",
    *sorted([*CONSONANTS, "UW", *(vowel + stress for vowel in VOWELS for stress in "012")]),
)  # fmt: skip
NAMES = {
    "enc_emb": "letters.weight",
    "dec_emb": "phonemes.weight",
    "fc_w": "output.weight",
    "fc_b": "output.bias",
    **{f"enc_{a}": f"encoder.{b}_l0" for a, b in (("w_ih", "weight_ih"), ("w_hh", "weight_hh"))},
    **{f"enc_{a}": f"encoder.{b}_l0" for a, b in (("b_ih", "bias_ih"), ("b_hh", "bias_hh"))},
    **{f"dec_{a}": f"decoder.{b}" for a, b in (("w_ih", "weight_ih"), ("w_hh", "weight_hh"))},
    **{f"dec_{a}": f"decoder.{b}" for a, b in (("b_ih", "bias_ih"), ("b_hh", "bias_hh"))},
}


class Speller(nn.Module):
    """The encoder-decoder of g2p-en, of our GRU and GRUCell; 256 units everywhere."""

    def __init__(self, hidden: int = 256) -> None:
        super().__init__()
        self.letters = nn.Embedding(len(LETTERS), hidden)
        self.phonemes = nn.Embedding(len(PHONEMES), hidden)
        self.encoder = GRU(hidden, hidden, batch_first=True)
        self.decoder = GRUCell(hidden, hidden)
        self.output = nn.Linear(hidden, len(PHONEMES))

    @torch.no_grad()
    def scores(self, word: str) -> Tensor:
        """Greedy decoding: the scores of every step, (T, 74); UserError for other than letters."""
        ids = torch.tensor([[LETTERS.index(c) for c in checked(word)] + [LETTERS.index("</s>")]])
        _, state = self.encoder(self.letters(ids))  # (1, 1, H): the one vector
        state, said, steps = state[0], PHONEMES.index("<s>"), []
        while len(steps) < LONGEST and said != PHONEMES.index("</s>"):
            state = self.decoder(self.phonemes(torch.tensor([said])), state)  # (1, H)
            steps.append(self.output(state)[0])  # (74,)
            said = int(steps[-1].argmax())
        return torch.stack(steps)

    def pronounce(self, word: str) -> list[str]:
        """The phonemes of a word: "transformer" -> T R AE0 N S F AO1 R M ER0."""
        said = [PHONEMES[i] for i in self.scores(word).argmax(1).tolist()]
        return said[:-1] if said[-1] == "</s>" else said


def checked(word: str) -> str:
    """The word in small letters; UserError names what is no letter."""
    strange = sorted(set(word.lower()) - set(LETTERS[3:]))
    if strange or not word:
        what = f"has {' '.join(map(repr, strange))}" if word else "is empty"
        raise UserError(
            f"the word {word!r} {what}, but the network knows the letters a to z only; "
            "give one word without accents, hyphens or digits."
        )
    return word.lower()


def weights_file() -> Path:
    """Where the package's weights lie; UserError with the command that installs it."""
    spec = importlib.util.find_spec(PACKAGE)  # looks for the package; does not run it
    places = list(spec.submodule_search_locations or []) if spec else []
    for place in places:
        if (path := Path(place) / FILE).is_file():
            return path
    raise UserError(
        "the weights of g2p-en are not here: install them with `make weights`, or with "
        "`python -m pip install --no-deps g2p-en==2.1.0`."
    )


def load_speller(path: Path | None = None) -> Speller:
    """The network with the package's weights, every one of them and no other."""
    path = path or weights_file()
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {NAMES.get(name, name): torch.from_numpy(arrays[name]) for name in arrays}
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path} is no file of weights ({error}); install g2p-en==2.1.0 again."
        ) from None
    speller = Speller()
    load_state(speller, found, path)
    return speller.eval()
