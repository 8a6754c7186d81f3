"""The three problems of mlp.py: noisy points of a function that we know, and its true values.

    standard      y = sin(x) + 0.4 sin(3x) + 0.2 e         x in [-pi, pi]
    2d_surface    z = four Gaussian hills + 0.1 e          (x, y) in [-3, 3]^2
    extrapolate   the curve of `standard`, learnt on [-pi, pi], judged on [-3 pi, 3 pi]

One point in ten is kept for validation. The points are rounded to six decimals, so that the text
files in data/ hold them exactly; `read_points` proves that a file and the generator still agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from utils.cli import UserError
from utils.datasets import toy
from utils.file_io_util import atomic_write

VALIDATION_SHARE = 0.1
MODES = ("standard", "2d_surface", "extrapolate")


@dataclass(frozen=True)
class Points:
    """Noisy training and validation points: x (N, D), y (N, 1)."""

    x: np.ndarray
    y: np.ndarray

    @property
    def cut(self) -> int:
        """Rows before this one are for training, the others for validation."""
        return round(len(self.x) * (1 - VALIDATION_SHARE))


@dataclass(frozen=True)
class Problem:
    """One mode of mlp.py."""

    mode: str
    n: int
    noise: float
    columns: str

    @property
    def is_surface(self) -> bool:
        return self.mode == "2d_surface"

    def sample(self, seed: int) -> Points:
        """The noisy points of one seed."""
        make = toy.noisy_surface if self.is_surface else toy.sine_curve
        x, y = make(self.n, self.noise, seed)
        return Points(np.round(x, 6), np.round(y, 6))

    def truth(self, x: np.ndarray) -> np.ndarray:
        """Noise-free values at x (N, D): (N,)."""
        return toy.true_surface(x[:, 0], x[:, 1]) if self.is_surface else toy.true_curve(x[:, 0])

    def grid(self, side: int = 33) -> np.ndarray:
        """Evenly spaced places (G, D) over the range of the training points."""
        if not self.is_surface:
            return np.linspace(*toy.CURVE_RANGE, 401)[:, None]
        axis = np.linspace(*toy.SURFACE_RANGE, side)
        return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # (side^2, 2)

    def outside(self) -> np.ndarray:
        """Places (G, 1) up to one period beyond the range of the training points, both sides."""
        right = np.linspace(np.pi, 3 * np.pi, 402)[1:]
        return np.concatenate([-right[::-1], right])[:, None]

    def write_points(self, folder: Path, points: Points) -> Path:
        """Write the points as text, `columns` under a comment that says what they are."""
        path = folder / f"{self.mode}.txt"
        header = (
            f"# {self.mode}: noisy points of mlp.py, noise {self.noise}; "
            f"the first {points.cut} rows are for training, the others for validation\n"
            f"# {self.columns}\n"
        )
        with atomic_write(path) as file:
            file.write(header)
            np.savetxt(file, np.hstack([points.x, points.y]), fmt="%.6f")
        return path

    def read_points(self, folder: Path, seed: int) -> Points:
        """Read the text file; UserError if it is not what the generator makes from `seed`."""
        path = folder / f"{self.mode}.txt"
        expected = self.sample(seed)
        try:
            rows = np.loadtxt(path, ndmin=2)  # (N, D + 1)
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read the points {path}: {error}.") from None
        wanted = np.hstack([expected.x, expected.y])
        if rows.shape != wanted.shape or not np.allclose(rows, wanted, rtol=0, atol=2e-6):
            raise UserError(
                f"{path} does not hold the points of seed {seed}; restore it with git checkout."
            )
        return Points(rows[:, :-1], rows[:, -1:])


PROBLEMS = {
    "standard": Problem("standard", 300, 0.2, "x y"),
    "2d_surface": Problem("2d_surface", 800, 0.1, "x y z"),
    "extrapolate": Problem("extrapolate", 300, 0.2, "x y"),
}


def as_input(x: np.ndarray, input_dim: int) -> Tensor:
    """float32 (N, input_dim): x itself, or the powers x/pi, (x/pi)^2 .. of a curve's x (N, 1)."""
    if input_dim > x.shape[1]:
        x = (x / np.pi) ** np.arange(1, input_dim + 1)  # (N, 1) -> (N, input_dim)
    return torch.tensor(x, dtype=torch.float32)


@torch.no_grad()
def predict(model: nn.Module, x: np.ndarray, input_dim: int) -> np.ndarray:
    """Predictions (N,) as float64 at places x (N, D)."""
    device = next(model.parameters()).device
    return model(as_input(x, input_dim).to(device))[:, 0].double().cpu().numpy()


def rmse(problem: Problem, model: nn.Module, x: np.ndarray, input_dim: int) -> float:
    """Error against the noise-free truth."""
    return float(np.sqrt(np.mean((predict(model, x, input_dim) - problem.truth(x)) ** 2)))
