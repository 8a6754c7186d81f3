"""LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998): convolve, subsample, repeat, then classify.

    (B, 1, 32, 32) -C1-> 6 @ 28 -S2-> 6 @ 14 -C3-> 16 @ 10 -S4-> 16 @ 5 -C5-> 120 -F6-> 84 -> K

The layer names are the paper's. Cx convolves with 5x5 kernels, Sx averages 2x2 fields, C5 reads the
whole 5x5 map (as a linear layer: the same sums), F6 is a linear layer.

Parameters for 10 classes: C1 6 (25 + 1) = 156, C3 16 (6 * 25 + 1) = 2,416, C5 120 (400 + 1) =
48,120, F6 84 (120 + 1) = 10,164, output 10 (84 + 1) = 850: together 61,706. The paper counts 60,000
because of three pieces that are left out here, as everywhere today:

- S2 and S4 scale and shift their averages with trainable numbers (12 + 32 = 44) and squash them;
  here the average is plain;
- C3 connects each of its maps to 3 to 6 of the 6 maps below by a table (1,516 parameters);
- the output is the distance to 84 fixed drawings of the digits, without trained weights.
  61,706 - 850 - (2,416 - 1,516) + 44 = 60,000.

    model = LeNet5(activation="sigmoid", image_size=28)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chapter_04_cnn_classic.architectures.common import check_size

KERNEL = 5
SMALLEST = 12  # px, with a border of 2: 12 -> 6 -> 2 -> 1


class ScaledTanh(nn.Module):
    """1.7159 tanh(2a / 3), the paper's (appendix A): about 1 at 1, steepest near 0."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * x)


ACTIVATIONS = {"tanh": ScaledTanh, "sigmoid": nn.Sigmoid, "relu": nn.ReLU}


class LeNet5(nn.Module):
    """LeNet-5 for square pictures of `image_size` px with `channels` channels.

    32 px is the original. Smaller pictures get a border of 2 zeros, which makes the maps of a
    28 px picture those of 32 px. Larger ones leave C5 a larger map and more weights. `activation`
    is "tanh" (the paper's scaled one), "sigmoid" or "relu". The first weights are torch's, uniform
    within 1 / sqrt(fan_in), close in kind to the paper's 2.4 / fan_in.
    """

    def __init__(
        self,
        num_classes: int = 10,
        channels: int = 1,
        image_size: int = 32,
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        check_size("lenet5", image_size, SMALLEST)
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation {activation!r} is not one of {', '.join(ACTIVATIONS)}")
        padding = 2 if image_size < 32 else 0
        map_c1 = image_size + 2 * padding - KERNEL + 1
        map_s4 = (map_c1 // 2 - KERNEL + 1) // 2  # px a side
        make = ACTIVATIONS[activation]
        self.c1 = nn.Conv2d(channels, 6, KERNEL, padding=padding)
        self.act1 = make()
        self.s2 = nn.AvgPool2d(2)
        self.c3 = nn.Conv2d(6, 16, KERNEL)
        self.act3 = make()
        self.s4 = nn.AvgPool2d(2)
        self.c5 = nn.Linear(16 * map_s4**2, 120)
        self.act5 = make()
        self.f6 = nn.Linear(120, 84)
        self.act6 = make()
        self.output = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.s2(self.act1(self.c1(x)))  # (B, C, 32, 32) -> (B, 6, 14, 14)
        x = self.s4(self.act3(self.c3(x)))  # (B, 16, 5, 5)
        x = self.act5(self.c5(x.flatten(1)))  # (B, 120)
        x = self.act6(self.f6(x))  # (B, 84)
        return self.output(x)  # (B, num_classes)
