"""One number decides all randomness of a run.

from utils.seed import seed_everything, generator
seed_everything(42)
torch.rand(3, generator=generator(7))     # a stream of its own, untouched by other draws
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seed_everything(seed: int, with_torch: bool = True) -> None:
    """Seed Python's, NumPy's and (unless switched off) PyTorch's global generators.

    `with_torch=False` spares a script that does not use PyTorch the seconds of importing it.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    if with_torch:
        import torch

        torch.manual_seed(seed)  # seeds every device


def generator(seed: int, device: str | torch.device = "cpu") -> torch.Generator:
    """A PyTorch generator with its own state, for code that must not depend on call order."""
    import torch

    return torch.Generator(device=device).manual_seed(seed)
