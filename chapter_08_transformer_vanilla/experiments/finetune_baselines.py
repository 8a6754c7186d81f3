"""What a tuned BERT is measured against: counted words, one sentence alone, frozen vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from chapter_06_rnn_lstm_seq.experiments.sentiment import LINEAR, linear_classifiers
from chapter_08_transformer_vanilla.experiments import sentence_tasks as tasks
from chapter_08_transformer_vanilla.experiments.fine_tuning import (
    features,
    last_layer,
    logistic_head,
    part_vectors,
    spearman,
)
from chapter_08_transformer_vanilla.experiments.starts import Start
from chapter_08_transformer_vanilla.wordpiece import split_words
from utils.datasets.sentences import SentenceData

HEAD = "frozen_head.pth"  # in the run folder
PARTS = ("train", "val", "test")
SIDES = {"first_alone": "texts", "second_alone": "seconds"}
NAIVE_BAYES, LOGISTIC = LINEAR


def counting_rows(data: SentenceData) -> dict[str, list[dict[str, Any]]]:
    """Chapter 6's linear classifiers on words and neighbours; of pairs also on one side alone."""
    pairs = tasks.seconds_of(data.train) is not None
    found = linear_classifiers(tasks.marked(data) if pairs else data)
    rows = {"naive_bayes": found[NAIVE_BAYES], "logistic": found[LOGISTIC]}
    for name, side in SIDES.items() if pairs else ():
        rows[name] = linear_classifiers(tasks.side(data, side))[LOGISTIC]
    return {
        name: [
            {
                "val": 100 * row["val"],
                "test": 100 * row["test"],
                "parameters": row["features"],
                "chosen": row["chosen"],
            }
        ]
        for name, row in rows.items()
    }


def frozen_rows(
    data: SentenceData, start: Start, pooling: str, longest: int, folder: Path
) -> dict[str, Any]:
    """{"rows": {name: row}}: logistic regression on vectors of a pretrained network.

    Of one sentence also on the vectors of all its layers. Of pairs also on one sentence alone, and
    how well the cosine of the two vectors orders the test pairs by their relatedness. The head on
    the last layer's vectors is saved in `folder`.
    """
    bert = start.pretrained()
    vectors = {
        part: part_vectors(getattr(data, part), bert, start.tokenizer, pooling, longest)
        for part in PARTS
    }
    row, head = logistic_head(data, {part: features(found) for part, found in vectors.items()})
    torch.save(head, folder / HEAD)
    rows = {"frozen": row}
    if len(vectors["test"]) == 1:
        layers = {part: side.reshape(len(side), -1) for part, (side,) in vectors.items()}
        rows["frozen_layers"] = logistic_head(data, layers)[0]
    else:
        alone = [
            logistic_head(data, {part: last_layer(found[place]) for part, found in vectors.items()})
            for place in (0, 1)
        ]
        rows["frozen_alone"] = max((row for row, _ in alone), key=lambda row: row["val"])
    scores = getattr(data.test, "scores", None)
    if scores is not None:
        u, v = map(last_layer, vectors["test"])
        rows["frozen"]["relatedness"] = spearman((u * v).sum(1), scores)
        rows["frozen"]["relatedness_words"] = spearman(shared_words(data), scores)
    return {"rows": rows}


def shared_words(data: SentenceData) -> np.ndarray:
    """(N,): of the words of both sentences of a test pair, the share that stands in both."""
    shares = []
    for first, second in zip(data.test.texts, data.test.seconds, strict=True):
        a, b = set(split_words(first)), set(split_words(second))
        shares.append(len(a & b) / max(1, len(a | b)))
    return np.array(shares)
