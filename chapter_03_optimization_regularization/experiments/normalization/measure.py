"""What exp_normalization.py measures: activations by layer, and wrong running statistics.

What you learn: two habits of looking into a network. The mean and the spread of every layer's
output say whether signals arrive; and a BatchNorm network in doubt is evaluated
twice, with its running statistics and with those of the pictures at hand. If the two differ, the
weights are fine and the statistics are wrong: `reestimate` computes them again, without labels.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from chapter_03_optimization_regularization.experiments.tasks import Examples
from chapter_03_optimization_regularization.normalization import BatchNorm2d
from chapter_03_optimization_regularization.regularization import update_bn


@torch.no_grad()
def activation_statistics(model: nn.Sequential, x: Tensor) -> dict[str, list[float]]:
    """For each convolution: std and mean of its channels, before and after the normalisation.

    std: mean over the channels of the standard deviation over (batch, pixels); shift: root mean
    square over the channels of mean / std. In training mode, on a copy: nothing is left behind.
    """
    result: dict[str, list[float]] = {"std_before": [], "shift_before": [], "std_after": []}
    h = x
    for layer in copy.deepcopy(model).train():
        before, h = h, layer(h)
        if isinstance(layer, nn.Conv2d):
            std, mean = h.std((0, 2, 3)), h.mean((0, 2, 3))  # (B, C, H, W) -> (C,)
            result["std_before"].append(float(std.mean()))
            result["shift_before"].append(float((mean / (std + 1e-30)).square().mean().sqrt()))
        elif isinstance(layer, nn.ReLU):  # its input has passed the normalisation, if any
            result["std_after"].append(float(before.std((0, 2, 3)).mean()))
    return result


def batch_norms(model: nn.Module) -> list[BatchNorm2d]:
    return [layer for layer in model.modules() if isinstance(layer, BatchNorm2d)]


def reestimate(model: nn.Module, x: Tensor, batch_size: int = 64) -> nn.Module:
    """A copy whose running statistics are the equal average over the batches of x; no labels."""
    model = copy.deepcopy(model)
    update_bn(x.split(batch_size), model)  # every batch counts the same
    return model.eval()


@torch.no_grad()
def training_mode_accuracy(model: nn.Module, examples: Examples, batch_size: int) -> float:
    """Accuracy if nobody calls model.eval(): each batch is normalised by itself.

    The model is changed as it would be: its running statistics follow the pictures it sees.
    """
    x, y = examples
    model.train()
    parts = zip(x.split(batch_size), y.split(batch_size), strict=True)
    correct = sum(int((model(a).argmax(dim=1) == b).sum()) for a, b in parts)
    return correct / len(y)


def by_class(examples: Examples) -> Examples:
    """The same examples, sorted by label: a batch then holds one class, or two."""
    order = examples[1].argsort(stable=True)
    return examples[0][order], examples[1][order]


def brightened(x: Tensor, contrast: float = 0.5, shift: float = 1.0) -> Tensor:
    """Standardised pictures as another camera might take them: flatter and brighter."""
    return contrast * x + shift
