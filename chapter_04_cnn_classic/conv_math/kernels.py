"""Classical kernels, convolution against cross-correlation, and which kernels are separable.

What you learn: a deep learning "convolution" is a cross-correlation,
    correlate(x, k)[i, j] = sum_uv k[u, v] x[i + u, j + v]
    convolve(x, k)[i, j]  = sum_uv k[u, v] x[i - u, j - v] = correlate(x, k turned by 180 degrees),
and a kernel of rank R (as a matrix) costs R pairs of 1-D passes instead of one 2-D pass.

Papers: Sobel & Feldman 1968 (edge operator); Gabor 1946; Daugman 1985 (Gabor filters in 2-D).
Used by demo_conv_math.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from chapter_04_cnn_classic.conv_im2col import conv2d_im2col as conv2d
from utils.datasets import sample_photos

Operation = Callable[..., Tensor]


def load_photo(name: str, size: int) -> Tensor:
    """The middle square of a sample photo as whole grey levels 0..255, (1, 1, size, size) float64.

    Whole numbers in float64 add up without rounding, so that "equal" can mean equal to the bit.
    """
    image = Image.fromarray(sample_photos()[name]).convert("L")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    pixels = np.array(square.resize((size, size), Image.Resampling.LANCZOS))  # (size, size)
    return torch.from_numpy(pixels).double()[None, None]  # (1, 1, size, size)


def correlate(x: Tensor, kernel: Tensor, padding: int = 0) -> Tensor:
    """Cross-correlation of one grey picture (1, 1, H, W) with a kernel (K, L)."""
    return conv2d(x, kernel[None, None], padding=padding)


def convolve(x: Tensor, kernel: Tensor, padding: int = 0) -> Tensor:
    """Convolution as mathematicians define it: the kernel is turned by 180 degrees first."""
    return correlate(x, kernel.flip(0, 1), padding)


def full(operation: Operation, x: Tensor, kernel: Tensor) -> Tensor:
    """`operation` of two square 2-D arrays with every overlap: (N, N), (K, K) -> (N + K - 1)^2."""
    return operation(x[None, None], kernel, len(kernel) - 1)[0, 0]


def gaussian_1d(size: int, sigma: float) -> Tensor:
    """(size,), adds up to 1."""
    t = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weights = torch.exp(-(t**2) / (2 * sigma**2))
    return weights / weights.sum()


def gaussian(size: int, sigma: float) -> Tensor:
    """(size, size): exp(-(x^2 + y^2)) is a product, so the kernel is an outer product."""
    line = gaussian_1d(size, sigma)
    return torch.outer(line, line)


def gabor(size: int, wavelength: float, degrees: float, sigma: float) -> Tensor:
    """A cosine wave under a round Gaussian, (size, size); answers to stripes across `degrees`.

    0 degrees: the wave runs along x, so the kernel looks for vertical stripes. The mean is taken
    off, so that a flat area gives 0, and the absolute weights add up to 1.
    """
    t = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = torch.meshgrid(t, t, indexing="ij")  # (size, size) each
    angle = math.radians(degrees)
    along = x * math.cos(angle) + y * math.sin(angle)
    envelope = torch.exp(-(x**2 + y**2) / (2 * sigma**2))
    wave = torch.cos(2 * math.pi * along / wavelength)
    wave = wave - (wave * envelope).sum() / envelope.sum()
    kernel = envelope * wave
    return kernel / kernel.abs().sum()


def kernels() -> dict[str, Tensor]:
    """The gallery: name -> (K, K) float64."""
    sobel = torch.outer(torch.tensor([1.0, 2, 1]), torch.tensor([-1.0, 0, 1]))
    named = {
        "identity": torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]),
        "box blur": torch.ones(5, 5, dtype=torch.float64) / 25,
        "Gaussian blur": gaussian(9, 1.8),
        "sharpen": torch.tensor([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
        "emboss": torch.tensor([[-2.0, -1, 0], [-1, 1, 1], [0, 1, 2]]),
        "Laplace": torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]),
        "Sobel x": sobel,
        "Sobel y": sobel.T,
        "Gabor 0°": gabor(11, 5.0, 0, 2.2),
        "Gabor 45°": gabor(11, 5.0, 45, 2.2),
        "Gabor 90°": gabor(11, 5.0, 90, 2.2),
    }
    return {name: kernel.double() for name, kernel in named.items()}


def rank(kernel: Tensor) -> int:
    """Number of column x row products the kernel is made of; 1 means separable."""
    return int(torch.linalg.matrix_rank(kernel, rtol=1e-9))


def factors(kernel: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Pairs (column (K,), row (L,)) with sum of outer products = kernel, from the SVD."""
    u, s, vh = torch.linalg.svd(kernel)
    return [(u[:, i] * s[i], vh[i]) for i in range(rank(kernel))]


def correlate_separable(x: Tensor, kernel: Tensor, padding: int = 0) -> Tensor:
    """The same as correlate(), by a vertical and a horizontal pass for each pair of factors."""
    total = torch.zeros(())
    for column, row in factors(kernel):
        vertical = conv2d(x, column[None, None, :, None], padding=(padding, 0))
        total = total + conv2d(vertical, row[None, None, None, :], padding=(0, padding))
    return total  # (1, 1, H', W')


def is_point_symmetric(kernel: Tensor) -> bool:
    """Unchanged by a turn of 180 degrees: convolution and correlation are then the same."""
    return torch.allclose(kernel, kernel.flip(0, 1), atol=1e-12)


def relative(a: Tensor, b: Tensor) -> float:
    """Largest difference, as a share of the largest value."""
    return float((a - b).abs().max() / b.abs().max())


def algebra(x: Tensor, k1: Tensor, k2: Tensor, symmetric: Tensor) -> dict[str, dict[str, float]]:
    """How far each operation is from each law, on (N, N) and kernels (K, K): relative differences.

    `mixed` is what correlation has in place of associativity: (a ⋆ b) ⋆ c = a ⋆ (b ∗ c).
    """
    laws: dict[str, dict[str, float]] = {}
    for name, op in (("convolution", convolve), ("correlation", correlate)):
        twice = full(op, full(op, x, k1), k2)
        laws[name] = {
            "commutative": relative(full(op, x, k1), full(op, k1, x)),
            "associative": relative(full(op, x, full(op, k1, k2)), twice),
            "mixed": relative(full(op, x, full(convolve, k1, k2)), twice),
            "flip": relative(full(op, x, k1), full(op, x, k1.flip(0, 1))),
            "flip_symmetric": relative(full(op, x, symmetric), full(op, x, symmetric.flip(0, 1))),
        }
    return laws


def learnt_kernel(operation: Operation, x: Tensor, target: Tensor, size: int) -> Tensor:
    """The (size, size) kernel for which operation(x, kernel) is nearest to `target`.

    Least squares with one column for each weight: the output that this weight alone would give.
    """
    columns = []
    for index in range(size * size):
        one = torch.zeros(size * size, dtype=x.dtype)
        one[index] = 1
        columns.append(operation(x, one.reshape(size, size)).flatten())
    solution = torch.linalg.lstsq(torch.stack(columns, 1), target.reshape(-1, 1)).solution
    return solution.reshape(size, size)  # (size * size, 1) -> (size, size)
