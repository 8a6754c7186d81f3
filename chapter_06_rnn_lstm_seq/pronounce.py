"""Spell out how words sound, with the real weights of g2p-en in this chapter's GRU.

What you learn: the encoder-decoder is no toy. The network with which the package g2p-en pronounces
words that stand in no dictionary is that of seq2seq.py, with 256 units. Its
weights fit our GRU and GRUCell, name by name. And it has the same limit: a long word is too much
for one vector, and its end comes out garbled.

    make weights                                                      once: the package of weights
    python chapter_06_rnn_lstm_seq/pronounce.py transformer recurrent
    python chapter_06_rnn_lstm_seq/pronounce.py antidisestablishmentarianism

Expected: "transformer" is T R AE0 N S F AO1 R M ER0 (ARPAbet; the digit of a vowel is its stress).
Without the package the script ends with the command that installs it.
"""

from __future__ import annotations

import argparse
import sys

from chapter_06_rnn_lstm_seq.experiments.pronunciation import checked, load_speller
from utils import cli
from utils.model_summary import parameter_count
from utils.results import table
from utils.run import Run

WORDS = ("transformer", "recurrent", "backpropagation", "antidisestablishmentarianism")


def experiment(args: argparse.Namespace, run: Run) -> None:
    words = [checked(word) for word in args.words]
    speller = load_speller()
    spoken = {word: speller.pronounce(word) for word in words}
    for word, phonemes in spoken.items():
        print(f"{word}: {' '.join(phonemes)}")
    metrics = {"phonemes": spoken, "parameters": parameter_count(speller)}
    columns = [("Word", "单词", "s"), ("Letters", "字母数", "d"), ("Phonemes", "音素", "s")]
    rows = [[word, len(word), " ".join(phonemes)] for word, phonemes in spoken.items()]
    run.save_result("pronounce", metrics, {"main": table(columns, rows)})
    run.finish(next_command="python chapter_06_rnn_lstm_seq/train_seq2seq.py")


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_06_rnn_lstm_seq/pronounce.py"
    parser = cli.make_parser(__doc__, [f"{path} transformer", f"{path} gradient descent"])
    parser.add_argument("words", nargs="*", metavar="WORD", default=list(WORDS), help="words")
    return parser


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
