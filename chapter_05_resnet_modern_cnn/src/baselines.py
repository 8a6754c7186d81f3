"""What a network must beat: always the same answer, and a linear model on a tiny picture.

A number such as "94 % right" says little alone. If one class makes up 90 % of the pictures, or if
the mean colour gives the class away, it is poor. So every comparison stands beside two answers that
need no network: the most frequent class, and a linear classifier that sees 8 x 8 pixels.

    majority_accuracy(task)   {"val": 0.145, "test": 0.145}    shares; chapter 4's
    linear(task)              {"val": 73.2, "test": 70.4, "parameters": 1544, ...}    per cent
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from chapter_05_resnet_modern_cnn.src.dataset import ImageTask, majority_accuracy

__all__ = ["SIDE", "STRENGTHS", "averaged", "linear", "majority_accuracy"]

SIDE = 8  # pixels of the averaged picture
STRENGTHS = (0.001, 0.01, 0.1)  # C of scikit-learn: small is strong weight decay
CHUNK = 500  # pictures averaged at once, so that not all of them are floats


def linear(task: ImageTask, side: int = SIDE) -> dict[str, float]:
    """Accuracies in per cent of multinomial logistic regression on side x side averaged pixels.

    Of `STRENGTHS` the one with the highest validation accuracy is kept. `parameters` counts the
    weights and biases, `strength` is the C that was kept. The fit goes to the end, in float64: one
    that is stopped early ends elsewhere on another processor, and the baseline is one number.
    """
    from sklearn.linear_model import LogisticRegression

    pixels = {name: averaged(getattr(task, name)[0], side) for name in ("train", "val", "test")}
    mean, std = pixels["train"].mean(), pixels["train"].std()
    x = {name: ((values - mean) / std).double().numpy() for name, values in pixels.items()}
    y = {name: getattr(task, name)[1].numpy() for name in x}
    found = []
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=20_000, tol=1e-7)
        model.fit(x["train"], y["train"])
        row = {name: 100 * float(model.score(x[name], y[name])) for name in ("val", "test")}
        row |= {"strength": strength, "parameters": model.coef_.size + model.intercept_.size}
        found.append(row)
    return max(found, key=lambda row: row["val"])


def averaged(images: Tensor, side: int) -> Tensor:
    """(N, C, H, W) uint8 -> (N, C * side * side) means of equal parts of the picture, 0..255."""
    parts = [F.adaptive_avg_pool2d(part.float(), side).flatten(1) for part in images.split(CHUNK)]
    return torch.cat(parts)
