"""How good is a Transformer? Loss, exact lines, BLEU and chrF, by the length of the line.

What you learn: one number hides much. BLEU has an interval (other test sentences would have given
another number), depends on how the lines are cut into words (hence the signature), and falls with
the length of the sentence.

    python chapter_08_transformer_vanilla/evaluate.py
    python chapter_08_transformer_vanilla/evaluate.py --checkpoint RUN/best.pth --beam 5

Expected: half a minute with the shipped number lists; two for the sentences of Multi30k.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from chapter_03_optimization_regularization.training import evaluate
from chapter_06_rnn_lstm_seq.experiments.translation import Task, scores
from chapter_06_rnn_lstm_seq.seq2seq import sequence_loss
from chapter_08_transformer_vanilla.experiments.bleu import bootstrap
from chapter_08_transformer_vanilla.experiments.measures import bleu, exact_by_count
from chapter_08_transformer_vanilla.experiments.writing import load_transformer, shipped_task
from chapter_08_transformer_vanilla.training_recipe import TokenBatches
from chapter_08_transformer_vanilla.transformer import TranslationTransformer
from utils import cli
from utils.results import table
from utils.run import Run

SHIPPED = Path(__file__).parent / "checkpoints" / "train_numbers.pth"
GROUPS = ((1, 9), (10, 12), (13, 16), (17, 1000))  # words of a source sentence
SAMPLES = 1000  # of the bootstrap


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_08_transformer_vanilla/evaluate.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --checkpoint RUN/best.pth --beam 5"])
    group = parser.add_argument_group("measuring")
    group.add_argument("--checkpoint", type=cli.path, help="a .pth file (default: the shipped one)")
    group.add_argument("--beam", type=cli.positive_int, default=5, help="of sentences")
    return parser


def measure(
    model: TranslationTransformer, task: Task, beam: int, quick: bool, seed: int
) -> dict[str, Any]:
    """Loss a token; of lists the lines all right by count; of sentences BLEU by their length."""
    pairs = task.data.test[:100] if quick else task.data.test
    batches = TokenBatches(*task.encoded(pairs), 8_000)
    found: dict[str, Any] = {"loss": evaluate(model, sequence_loss(), batches)["loss"]}
    if hasattr(task.data, "counts"):
        return found | exact_by_count(model, task)
    whole = bleu(model, task, beam, pairs)
    written, references = whole.pop("written"), [reference for _, reference in pairs]
    found |= whole | {"interval": bootstrap(written, references, SAMPLES, seed), "groups": {}}
    for least, most in GROUPS:
        rows = [i for i, (s, _) in enumerate(pairs) if least <= len(s.split()) <= most]
        if rows:
            part = scores([written[i] for i in rows], [references[i] for i in rows])
            found["groups"][f"{least}-{most}"] = {"bleu": part["bleu"], "lines": len(rows)}
    return found


def tables(found: dict[str, Any]) -> dict[str, Any]:
    if "groups" in found:
        columns = [("Words of the source", "源句词数", "s"), ("Sentences", "句数", "d"),
                   ("BLEU", "BLEU", ".1f")]  # fmt: skip
        rows = [[name.replace("-1000", "+"), part["lines"], part["bleu"]]
                for name, part in found["groups"].items()]  # fmt: skip
    else:
        columns = [("Numbers or letters", "数字或字母个数", "s"), ("Lines", "行数", "d"),
                   ("Lines right (%)", "整行正确（%）", ".1f")]  # fmt: skip
        rows = [[k, found["lines"][k], value] for k, value in found["exact_percent"].items()]
    return {"main": table(columns, rows)}


def experiment(args: argparse.Namespace, run: Run) -> None:
    model, task, checkpoint = load_transformer(args.checkpoint or SHIPPED)
    task = shipped_task(task, checkpoint, args.data_dir)
    found = measure(model, task, args.beam, args.quick, args.seed)
    found["dataset"] = checkpoint["dataset"]
    run.save_result("evaluate", found, tables(found), [args.seed])
    shown = {"loss (nats a token)": found["loss"]}
    if "bleu" in found:
        low, high = found["interval"]
        shown |= {"BLEU": found["bleu"], "BLEU, 95 % from": low, "to": high}
        shown |= {"chrF": found["chrf"], "signature": found["signature"]}
    else:
        shown |= {f"exact, {k} (%)": value for k, value in found["exact_percent"].items()}
    run.finish(shown, "python chapter_08_transformer_vanilla/translate.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
