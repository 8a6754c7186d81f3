"""What several tests of chapter 8 share."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from chapter_06_rnn_lstm_seq.experiments.translation import Task
from chapter_08_transformer_vanilla.experiments.tasks import load_data
from chapter_08_transformer_vanilla.experiments.writing import TASK
from chapter_08_transformer_vanilla.transformer import TranslationTransformer
from utils.checkpoint import save_checkpoint


@pytest.fixture(scope="session")
def small_lists() -> Task:
    """Number lists of one and two numbers below 1,000, 300 lines of training."""
    return load_data("numbers", most=2, lines=300, quick=True)


@pytest.fixture(scope="session")
def transformer_checkpoint(small_lists, tmp_path_factory) -> Callable[..., Path]:
    """transformer_checkpoint(positions="alibi"): an untrained network as train.py saves it.

    `facts` replaces what is saved beside the weights.
    """
    folder = tmp_path_factory.mktemp("checkpoints")

    def make(name: str = "a", facts: dict | None = None, **options) -> Path:
        sizes = {"width": 16, "heads": 2, "layers": 2, "ffn": 32, "dropout": 0.0}
        architecture = {"vocabulary": small_lists.target.vocab_size} | sizes | options
        torch.manual_seed(0)
        content = {
            "task": TASK, "languages": "en-de", "tokenizers": small_lists.state(), "longest": 12,
            "options": {"task": "numbers", "src": "en", "tgt": "de", "most": 2, "lines": 300,
                        "quick": True},
        } | (facts or {})  # fmt: skip
        path = folder / f"{name}.pth"
        state = TranslationTransformer(**architecture).state_dict()
        save_checkpoint(
            path, state, architecture=architecture, dataset="numbers_en_de", metrics={}, **content
        )
        return path

    return make
