"""What several tests of chapter 7 share."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from chapter_06_rnn_lstm_seq.experiments.translation import load_task
from chapter_07_attention_mechanism.experiments.translation.task import TASK
from chapter_07_attention_mechanism.seq2seq_attention import Seq2SeqAttention
from utils.checkpoint import save_checkpoint


@pytest.fixture(scope="session")
def number_checkpoint(tmp_path_factory) -> Callable[..., Path]:
    """number_checkpoint("additive", heads=2): an untrained translator of number lists, as
    train_translation.py writes it.
    """
    folder = tmp_path_factory.mktemp("checkpoints")
    task = load_task("numbers", "en", "de", "bpe", most=2, train=300, held_out=20)

    def make(attention: str, **options: int) -> Path:
        path = folder / f"{attention}{options.get('heads', '')}.pth"
        sizes = {"source_vocabulary": task.source.vocab_size, "joint": True}
        sizes |= {"target_vocabulary": task.target.vocab_size, "embed": 8, "hidden": 16}
        architecture = {"attention": attention} | sizes | options
        torch.manual_seed(0)
        save_checkpoint(
            path,
            Seq2SeqAttention(**architecture).state_dict(),
            architecture=architecture,
            dataset="numbers_en_de",
            metrics={},
            task=TASK,
            languages="en-de",
            tokenizers=task.state(),
            options={"most": 2, "quick": False},
        )
        return path

    return make
