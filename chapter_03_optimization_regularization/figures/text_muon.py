"""The figure of the text on Muon: the singular values of a momentum matrix, before and after.

The matrix is a real one: the momentum of the hidden layer of the digits MLP, after a few steps of
training. `draw_figures.py` writes the figure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from chapter_03_optimization_regularization.experiments.tasks import load_task, small_mlp
from chapter_03_optimization_regularization.optimizers.muon import MuonWithAdamW, newton_schulz
from utils import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray

BATCH, RATE, STEPS = 64, 0.003, 50
MUON = (3.4445, -4.775, 2.0315)
CLASSICAL = (1.5, -0.5, 0.0)
POLYNOMIALS = {"Muon's polynomial": MUON, "the classical 1.5 s − 0.5 s³": CLASSICAL}


def momentum_matrix(seed: int, steps: int = STEPS) -> Tensor:
    """Muon's momentum of the weight between the two hidden layers after `steps` steps, (H, H)."""
    torch.manual_seed(seed)
    model = small_mlp()
    optimizer = MuonWithAdamW(model, lr=RATE)
    x, y = load_task("digits").train
    for batch in torch.randint(len(x), (steps, BATCH)):  # (steps, B)
        optimizer.zero_grad()
        F.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
    square = next(w for w in optimizer.matrices if w.shape[0] == w.shape[1])
    return optimizer.muon.state[square]["momentum_buffer"]


def iterate(s: Array, coefficients: tuple[float, float, float], steps: int = 5) -> Array:
    """What the iteration does to a singular value: s <- a s + b s^3 + c s^5, `steps` times."""
    a, b, c = coefficients
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    return s


def draw_singular_values(seed: int, steps: int = STEPS) -> Figure:
    """Singular values of the momentum before and after, and the function that maps them."""
    figure, (left, right) = plotting.subplots(1, 2, width=9.6, height=3.8)
    matrix = momentum_matrix(seed, steps)
    before = torch.linalg.svdvals(matrix / matrix.norm()).numpy()  # (H,), largest first
    number = np.arange(1, len(before) + 1)
    left.semilogy(number, before, color="black", linestyle=":", label="momentum / its norm")
    for i, (name, coefficients) in enumerate(POLYNOMIALS.items()):
        after = newton_schulz(matrix, coefficients, dtype=torch.float32)  # (H, H)
        values = torch.linalg.svdvals(after).numpy()
        left.semilogy(number, values, label=f"5 steps of {name}", **plotting.look(i))
    left.set(title=f"hidden layer, {len(before)} x {len(before)}, after {steps} training steps")
    left.set(xlabel="number of the singular value", ylabel="singular value", ylim=(1e-4, 4))
    left.legend(fontsize=8, loc="lower left")
    _draw_map(right)
    return figure


def _draw_map(ax: Axes) -> None:
    """Five steps as one function of the singular value they start from."""
    start = np.geomspace(1e-4, 1, 2001)
    for i, coefficients in enumerate(POLYNOMIALS.values()):
        ax.loglog(start, iterate(start, coefficients), **plotting.look(i))
    ax.loglog(start, start, color="black", linestyle=":")
    ax.axhspan(0.68, 1.21, color="0.88", zorder=0)
    ax.set(title="five steps as a function", xlabel="singular value before", ylabel="after")
    ax.set(xlim=(1e-4, 1), ylim=(1e-4, 4))
    ax.text(4e-4, 0.91, "0.68 to 1.21", fontsize=9, ha="center", va="center")
    along = {"fontsize": 9, "ha": "center", "va": "center", "rotation": 33}  # of the lines
    ax.text(8e-4, 0.19, "Muon: slope 3.44⁵ = 485", **along)
    ax.text(4e-3, 0.047, "classical: slope 1.5⁵ = 7.6", **along)
    ax.text(1.2e-2, 0.0078, "unchanged", **along)
