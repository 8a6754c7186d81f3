"""The last checks of `random_shift` and `separable`: which shift it is, how near a weight is."""

import itertools

import torch
from torch.nn import functional as F

from chapter_03_optimization_regularization.exercises.grading import close, same
from chapter_04_cnn_classic.exercises import grading


def check_shifts(x, result, padding, where):
    """Each picture is a shift of its own; for a large batch all shifts are equally frequent."""
    height, width = x.shape[2:]
    padded = F.pad(x, (padding,) * 4)
    steps = range(-padding, padding + 1)
    counts, found = {}, torch.zeros(len(x), dtype=torch.bool)
    for dy, dx in itertools.product(steps, steps):
        top, left = padding - dy, padding - dx
        moved = padded[:, :, top : top + height, left : left + width]
        hits = (moved == result).flatten(1).all(1)
        joined = (x.roll((dy, dx), (2, 3)) == result).flatten(1).all(1) & ~hits
        assert not joined.any(), f"{where}: what leaves comes back on the other side; fill with 0"
        counts[dy, dx] = int(hits.sum())
        found |= hits
    assert bool(found.all()), (
        f"{where}: picture {int((~found).nonzero()[0])} is none of the {len(counts)} shifts by up "
        f"to {padding} (all channels together, zeros at the border)"
    )
    if len(x) >= 100:
        expected = len(x) / len(counts)
        for shift, count in counts.items():
            assert 0.5 * expected < count < 1.6 * expected, (
                f"{where}: the shift {shift} came {count} times of {len(x)}, about {expected:.0f} "
                "are expected: uniform from -padding to +padding, both ends included, "
                "independently down and across, anew for each picture"
            )


def check_nearest(conv, pair, x, where):
    """The pair acts as the convolution with the nearest weight of its form."""
    depthwise, pointwise = pair
    together = torch.einsum("oc,cuv->ocuv", pointwise.weight[:, :, 0, 0], depthwise.weight[:, 0])
    nearest = grading.nearest_separable(conv.weight.detach())
    errors = [(w - conv.weight).square().sum().item() for w in (together, nearest)]
    s = torch.linalg.matrix_norm(nearest.transpose(0, 1).flatten(2), 2)[:, None, None]  # (C, 1, 1)
    wrong = {
        "the singular value is missing": nearest / s,
        "the singular value is in both layers": nearest * s,
    }
    mistakes = [
        (words, (weight - conv.weight).square().sum().item()) for words, weight in wrong.items()
    ]
    close(errors[0], errors[1], f"{where}: sum of (V - weight)^2", mistakes, 1e-6)
    options = (conv.stride, conv.padding, conv.dilation)
    right = F.conv2d(x, nearest, conv.bias, *options)
    plain = F.conv2d(x, nearest, None, *options)
    mistakes = [("the bias is missing", plain)]
    for i, (name, default) in enumerate((("stride", 1), ("padding", 0), ("dilation", 1))):
        lacking = F.conv2d(x, nearest, conv.bias, *options[:i], default, *options[i + 1 :])
        mistakes.append((f"{name} is missing in the depthwise layer", lacking))
    same(pair(x), right, f"{where}: output", mistakes, 1e-6)
