"""Page 4 on Muon: its numbers by hand, and what its picture shows."""

import numpy as np
import pytest
import torch

from chapter_03_optimization_regularization.figures import text_muon
from chapter_03_optimization_regularization.optimizers.muon import MuonWithAdamW, newton_schulz


@pytest.fixture(scope="module")
def momentum() -> torch.Tensor:
    return text_muon.momentum_matrix(seed=0)


def test_ten_directions_hold_the_momentum(momentum):
    """Page 4: "more than 99 % of its squared length"; below 0.002 less than a thousandth."""
    shares = torch.linalg.svdvals(momentum / momentum.norm()).square()  # (H,), they add up to 1
    assert momentum.shape == (128, 128) and shares.sum() == pytest.approx(1, abs=1e-5)
    assert shares[:10].sum() > 0.99 > shares[:8].sum()
    assert 0 < shares[shares < 0.002**2].sum() < 1e-3


def test_five_steps_lift_half_of_the_directions(momentum):
    after = torch.linalg.svdvals(newton_schulz(momentum, dtype=torch.float32))
    assert 0.4 < ((after > 0.68) & (after < 1.21)).float().mean() < 0.6 and after.max() < 1.21
    classical = torch.linalg.svdvals(
        newton_schulz(momentum, text_muon.CLASSICAL, dtype=torch.float32)
    )
    assert (classical > 0.68).sum() < 12


def test_the_bands_of_the_polynomial():
    """The page: 0.68 to 1.14 from 0.01, to 1.21 from 0.002; and its table, row by row."""
    for start, low, high in ((0.01, 0.68, 1.14), (0.002, 0.68, 1.21)):
        after = text_muon.iterate(np.geomspace(start, 1, 20_001), text_muon.MUON)
        assert after.min() >= low and after.max() <= high
    starts = np.array([1, 0.1, 0.01, 0.001])
    rows = np.stack([text_muon.iterate(starts, text_muon.MUON, n) for n in range(1, 6)], axis=1)
    table = [[0.701, 1.114, 0.721, 1.090, 0.696], [0.340, 0.992, 0.707, 1.107, 0.712]]
    table += [[0.034, 0.118, 0.400, 1.093, 0.699], [0.003, 0.012, 0.041, 0.140, 0.471]]
    assert np.abs(rows - table).max() < 1e-3
    classical = text_muon.iterate(starts, text_muon.CLASSICAL)
    assert np.abs(classical - [1, 0.659, 0.076, 0.008]).max() < 6e-4


def test_tables_of_embeddings_and_the_classifier_stay_with_adamw():
    model = torch.nn.Sequential(
        torch.nn.Embedding(9, 4), torch.nn.Linear(4, 6), torch.nn.Linear(6, 3)
    )
    hidden = MuonWithAdamW(model, lr=0.1).hidden
    assert len(hidden) == 1 and hidden[0] is model[1].weight
