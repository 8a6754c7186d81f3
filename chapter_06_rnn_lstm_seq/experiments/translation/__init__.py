"""Translation: from pairs of lines to ids and back, and how good the written lines are.

Read in this order:

    task.py       pairs and their tokenizers, batches by length, lines written by a network
    training.py   one training of a translator
    measures.py   exact match by length, teacher forcing against free running, BLEU and chrF
    tables.py     means over seeds, and the tables of train_seq2seq.py
"""

from chapter_06_rnn_lstm_seq.experiments.translation.measures import (
    measure_numbers,
    scores,
)
from chapter_06_rnn_lstm_seq.experiments.translation.task import (
    DATASETS,
    TASK,
    PairBatches,
    Task,
    check_source,
    load_task,
    load_translator,
    translate,
    written_ids,
)
from chapter_06_rnn_lstm_seq.experiments.translation.training import train_translator

__all__ = [
    "DATASETS",
    "TASK",
    "PairBatches",
    "Task",
    "check_source",
    "load_task",
    "load_translator",
    "measure_numbers",
    "scores",
    "train_translator",
    "translate",
    "written_ids",
]
