"""From ResNet-50 to ConvNeXt-Tiny, one switch at a time (Liu et al. 2022, section 2).

Both ends are exact: step 0 computes what ResNet-50 does (stride in the 3x3 layer, as torchvision),
step 13 what `convnext.ConvNeXt` does. Counted here at 224 px and 1,000 classes, beside the GFLOPs
and the ImageNet accuracy (mean of three seeds) of the paper's Table 10:

                                        parameters   G MACs   paper: GFLOPs   top-1 (%)
     0  ResNet-50                       25,557,032    4.089            4.09        78.8
     1  stage ratio 3:3:9:3             28,628,520    4.526            4.53        79.4
     2  patchify stem, 4x4 / 4          28,622,184    4.418            4.42        79.5
     3  depthwise 3x3                   15,722,664    2.350            2.35        78.3
     4  width 64 -> 96                  33,761,032    5.268            5.27        80.5
     5  inverted bottleneck             25,851,496    4.644            4.64        80.6
     6  depthwise layer moved up        25,625,512    4.065            4.07        79.9
     7  kernel 7x7                      25,863,592    4.146            4.15        80.6
     8  GELU                            25,863,592    4.146            4.15        80.6
     9  fewer activations               25,863,592    4.146            4.15        81.3
    10  fewer norms                     25,829,128    4.146            4.15        81.4
    11  LayerNorm                       25,835,176    4.146            4.46        81.5
    12  separate downsampling           28,582,504    4.456            4.49        82.0
    13  LayerScale                      28,589,128    4.456               -           -

The accuracies are with the paper's recipe of 300 epochs, which alone takes ResNet-50 from 76.1 to
78.8. LayerScale belongs to that recipe (its Table 5), not to its path; it stands last here. Steps 3
and 6 cost accuracy and pay later: 3 makes room for the width, 6 for the kernel.

Two counts differ. LayerNorm costs no multiply-accumulates here; the paper's Figure 2 has 4.2 for
this step where its Table 10 has 4.46. For the finished network Table 10 has 4.49; torchvision
counts 4.456.

What the paper leaves open is chosen so that the counts fit: a halving block that begins with the
depthwise layer halves there, on the narrower map of the stage before; with fewer norms the
shortcut's goes too; with fewer activations the stem's goes too; the norm after the stem stays
throughout. All steps start from ConvNeXt's first weights, so that they differ in one thing only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from chapter_05_resnet_modern_cnn.src.architectures.common import strides
from chapter_05_resnet_modern_cnn.src.architectures.convnext import (
    Downsample,
    LayerNorm2d,
    initialise,
    patchify,
)
from chapter_05_resnet_modern_cnn.src.architectures.stochastic_depth import (
    StochasticDepth,
    linear_rates,
)


@dataclass(frozen=True)
class Design:
    """The choices of one network; the defaults are ResNet-50's. Any combination can be built."""

    depths: tuple[int, ...] = (3, 4, 6, 3)  # blocks in each stage
    width: int = 64  # of the first stage's narrow layers; doubles from stage to stage
    patchify: bool = False  # stem: 4x4 patches instead of 7x7 / 2 and a max-pool
    depthwise: bool = False  # the kxk convolution of a block reads each channel alone
    inverted: bool = False  # blocks are wide (4x) inside and narrow outside, not the reverse
    spatial_first: bool = False  # the kxk convolution is the first of a block, not the second
    kernel_size: int = 3
    gelu: bool = False  # instead of ReLU
    fewer_activations: bool = False  # one in a block, none in the stem
    fewer_norms: bool = False  # one in a block, after the kxk convolution
    layer_norm: bool = False  # instead of BatchNorm
    separate_downsampling: bool = False  # norm and 2x2 / 2 between stages; a norm at the end
    layer_scale: float | None = None  # first value of a branch's trained factors; None: no factors

    def norm(self, channels: int) -> nn.Module:
        return LayerNorm2d(channels) if self.layer_norm else nn.BatchNorm2d(channels)

    def activation(self) -> nn.Module:
        return nn.GELU() if self.gelu else nn.ReLU(inplace=True)

    def outer(self, stage: int) -> int:
        """Channels between the blocks of a stage."""
        return self.width * 2**stage * (1 if self.inverted else 4)

    def hidden(self, stage: int) -> int:
        """Channels inside the blocks of a stage."""
        return self.width * 2**stage * (4 if self.inverted else 1)


STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ResNet-50", {}),
    ("stage ratio", {"depths": (3, 3, 9, 3)}),
    ("patchify stem", {"patchify": True}),
    ("depthwise convolution", {"depthwise": True}),
    ("width", {"width": 96}),
    ("inverted bottleneck", {"inverted": True}),
    ("depthwise convolution first", {"spatial_first": True}),
    ("kernel 7x7", {"kernel_size": 7}),
    ("GELU", {"gelu": True}),
    ("fewer activations", {"fewer_activations": True}),
    ("fewer norms", {"fewer_norms": True}),
    ("LayerNorm", {"layer_norm": True}),
    ("separate downsampling", {"separate_downsampling": True}),
    ("LayerScale", {"layer_scale": 1e-6}),
)


def design(step: int) -> Design:
    """All switches up to and including `step` (0 to 13). IndexError beyond."""
    if not 0 <= step < len(STEPS):
        raise IndexError(f"the path has the steps 0 to {len(STEPS) - 1}, not {step}")
    options: dict[str, Any] = {}
    for _, change in STEPS[: step + 1]:
        options |= change
    return Design(**options)


def _layers(
    plan: Design, convolution: Callable[..., nn.Conv2d], norm: bool, activation: bool
) -> list[nn.Module]:
    """A convolution and what follows it.

    It has no bias where BatchNorm follows, which would take each channel's mean away again.
    LayerNorm takes away the mean over the channels of a place; there a bias counts.
    """
    layers: list[nn.Module] = [convolution(bias=plan.layer_norm or not norm)]
    if norm:
        layers.append(plan.norm(layers[0].out_channels))
    return [*layers, *([plan.activation()] if activation else [])]


class Block(nn.Module):
    """One residual block: (B, in, H, W) -> (B, out, H / stride, W / stride).

    Its convolutions are 1x1, kxk, 1x1 or, with `spatial_first`, kxk, 1x1, 1x1; the kxk one has the
    stride. What stays when norms and activations are left out: the norm after the kxk convolution,
    the activation after the second convolution.
    """

    def __init__(
        self, plan: Design, in_channels: int, stage: int, stride: int, drop: float
    ) -> None:
        super().__init__()
        hidden, out_channels = plan.hidden(stage), plan.outer(stage)
        middle = in_channels if plan.spatial_first else hidden  # of the kxk convolution
        padding, groups = plan.kernel_size // 2, middle if plan.depthwise else 1
        spatial = partial(
            nn.Conv2d, middle, middle, plan.kernel_size, stride, padding, groups=groups
        )
        if plan.spatial_first:
            order = [spatial, partial(nn.Conv2d, middle, hidden, 1)]
        else:
            order = [partial(nn.Conv2d, in_channels, hidden, 1), spatial]
        order.append(partial(nn.Conv2d, hidden, out_channels, 1))
        layers = []
        for i, convolution in enumerate(order):
            norm = convolution is spatial or not plan.fewer_norms
            activation = i == 1 or (i == 0 and not plan.fewer_activations)
            layers += _layers(plan, convolution, norm, activation)
        self.branch = nn.Sequential(*layers)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            projection = partial(nn.Conv2d, in_channels, out_channels, 1, stride)
            self.shortcut = nn.Sequential(*_layers(plan, projection, not plan.fewer_norms, False))
        self.layer_scale = None
        if plan.layer_scale is not None:
            self.layer_scale = nn.Parameter(torch.full((out_channels, 1, 1), plan.layer_scale))
        self.stochastic_depth = StochasticDepth(drop)
        self.activation = nn.Identity() if plan.fewer_activations else plan.activation()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.branch(x)  # (B, in, H, W) -> (B, out, H / stride, W / stride)
        if self.layer_scale is not None:
            branch = self.layer_scale * branch
        return self.activation(self.shortcut(x) + self.stochastic_depth(branch))


class PathNetwork(nn.Module):
    """The network of a `Design`: (B, channels, H, W) -> logits (B, num_classes)."""

    def __init__(
        self,
        plan: Design,
        num_classes: int = 1000,
        stochastic_depth_prob: float = 0.0,
        *,
        channels: int = 3,
        skip: int = 0,
    ) -> None:
        super().__init__()
        self.stem = _stem(plan, channels, skip)
        rates = iter(linear_rates(stochastic_depth_prob, sum(plan.depths)))
        self.stages = nn.Sequential()
        width, halvings = plan.width, [1, *strides(skip)[2:]]
        for stage, (depth, stride) in enumerate(zip(plan.depths, halvings, strict=True)):
            layers: list[nn.Module] = []
            if plan.separate_downsampling and stage > 0:
                layers.append(_downsample(plan, width, plan.outer(stage), stride))
                width, stride = plan.outer(stage), 1
            for _ in range(depth):
                layers.append(Block(plan, width, stage, stride, next(rates)))
                width, stride = plan.outer(stage), 1
            self.stages.append(nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.norm = plan.norm(width) if plan.separate_downsampling else nn.Identity()
        self.fc = nn.Linear(width, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.stem(x))  # (B, 3, 224, 224) -> (B, C, 7, 7)
        x = self.norm(self.avgpool(x))  # (B, C, 1, 1)
        return self.fc(x.flatten(1))  # (B, num_classes)


def _stem(plan: Design, channels: int, skip: int) -> nn.Sequential:
    """(B, channels, H, W) -> (B, width, H / 4, W / 4), without the halvings skipped."""
    if plan.patchify:
        convolution = partial(patchify, channels, plan.width, skip)
    else:
        kernel, stride = (3, 1) if skip else (7, 2)
        convolution = partial(nn.Conv2d, channels, plan.width, kernel, stride, padding=kernel // 2)
    layers = _layers(plan, convolution, True, not plan.fewer_activations)
    if not plan.patchify and skip < 2:
        layers.append(nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
    return nn.Sequential(*layers)


def _downsample(plan: Design, in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """ConvNeXt's layer between stages, with the plan's kind of norm."""
    layer = Downsample(in_channels, out_channels, stride)
    layer[0] = plan.norm(in_channels)
    return layer


def build(step: int, num_classes: int = 1000, scale: float = 1.0, **options: Any) -> nn.Module:
    """The network after `step` switches; `scale` multiplies its width of 64 or 96."""
    plan = design(step)
    plan = replace(plan, width=round(scale * plan.width))
    return PathNetwork(plan, num_classes, **options)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    f"convnext_path_{step}": partial(build, step) for step in range(len(STEPS))
}
