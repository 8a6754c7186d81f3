"""Convolution arithmetic: output sizes, which inputs an output reads, and convolution as a matrix.

What you learn: with n inputs, kernel k, padding p, stride s and dilation d along an axis,
    o = floor((n + 2p - d(k - 1) - 1) / s) + 1          convolution
    o = (n - 1) s - 2p + d(k - 1) + 1                   transposed convolution
and, since a convolution is linear, y = T x with a sparse matrix T that holds each weight once per
output. Its transpose T' is the transposed convolution, which is also the backward pass.

Paper: Dumoulin & Visin 2016 (the arithmetic). Used by demo_conv_math.py and its drawings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """One setting along each of both axes of a square picture."""

    title: str
    size: int  # n, input side
    kernel: int = 3  # k
    padding: int = 0  # p
    stride: int = 1  # s
    dilation: int = 1  # d
    transposed: bool = False

    @property
    def output(self) -> int:
        """The side of the output."""
        reach = self.dilation * (self.kernel - 1)
        if self.transposed:
            return (self.size - 1) * self.stride - 2 * self.padding + reach + 1
        return (self.size + 2 * self.padding - reach - 1) // self.stride + 1

    @property
    def formula(self) -> str:
        """The formula with this case's numbers, as mathtext."""
        n, k, p, s, d = self.size, self.kernel, self.padding, self.stride, self.dilation
        if self.transposed:
            return rf"$({n} - 1)\cdot{s} - 2\cdot{p} + {d}\cdot({k} - 1) + 1 = {self.output}$"
        inner = rf"({n} + 2\cdot{p} - {d}\cdot({k} - 1) - 1)\,/\,{s}"
        return rf"$\lfloor {inner} \rfloor + 1 = {self.output}$"

    def taps(self, row: int, col: int) -> list[tuple[int, int]]:
        """The cells of the padded input that output (row, col) reads, in the kernel's order."""
        steps = [self.dilation * i for i in range(self.kernel)]
        return [(row * self.stride + i, col * self.stride + j) for i in steps for j in steps]


NO_PADDING = Case("no padding (valid)", 5)
SAME = Case("padding 1 (same)", 4, padding=1)
FULL = Case("padding 2 (full)", 4, padding=2)
STRIDED = Case("stride 2, padding 1", 5, padding=1, stride=2)
DILATED = Case("dilation 2", 7, dilation=2)
TRANSPOSED = Case("transposed, stride 2", 2, stride=2, transposed=True)
CASES = (NO_PADDING, SAME, FULL, STRIDED, DILATED, TRANSPOSED)


def weight_positions(case: Case) -> Tensor:
    """(o * o, n * n): which weight (1 to k * k) joins an input to an output; 0 for none.

    Row and column numbers count the pixels of the flattened output and input. Taps that fall on
    the padding have no column.
    """
    n, p = case.size, case.padding
    positions = torch.zeros(case.output**2, n * n, dtype=torch.int64)  # (o * o, n * n)
    for row in range(case.output):
        for col in range(case.output):
            for number, (i, j) in enumerate(case.taps(row, col), start=1):
                if p <= i < n + p and p <= j < n + p:
                    positions[row * case.output + col, (i - p) * n + (j - p)] = number
    return positions


def convolution_matrix(kernel: Tensor, case: Case) -> Tensor:
    """T with T @ x.flatten() = correlation of x (n, n) with `kernel` (k, k): (o * o, n * n)."""
    values = torch.cat([kernel.new_zeros(1), kernel.flatten()])  # entry 0: not connected
    return values[weight_positions(case)]


def zero_stuffed(case: Case) -> Case:
    """The plain convolution (kernel turned by 180 degrees) that gives a transposed one.

    s - 1 zeros go between the inputs and k - 1 - p (for d = 1) around them; then stride 1.
    """
    size = (case.size - 1) * case.stride + 1
    padding = case.dilation * (case.kernel - 1) - case.padding
    return Case(case.title, size, case.kernel, padding, 1, case.dilation)
