"""MobileNetV1 (Howard et al. 2017): a convolution split into looking and mixing.

    full convolution:  k x k, C -> N                    k^2 C N  MACs a pixel
    separable:         k x k on each channel by itself  k^2 C    (depthwise: where)
                       then 1x1, C -> N                 C N      (pointwise: what)
    separable / full:  1 / N + 1 / k^2, that is 1/9 and a little more for 3x3 kernels

A full convolution looks at the neighbourhood and mixes the channels in one step, and pays for the
product of the two. Two steps pay for their sum, at the price of fewer functions: on the way from
channel i to channel o the kernel is a number p[o, i] times the one kernel d[i]. Table 4 of the
paper, in multiply-accumulates (MACs) for a picture of 224 px:

    convolutions     parameters      MACs    ImageNet accuracy
    full                 29.3 M   4,866 M    71.7 %               separable=False
    separable             4.2 M     569 M    70.6 %               counted here: 4,231,976; 568.7 M

Of the 569 M, 95 % are in the 1x1 convolutions, which are matrix products. The width multiplier
scales all channels, and the MACs by about its square; smaller pictures save MACs, not parameters.

torchvision has no MobileNetV1; the parts are named after the paper. The paper's table 1 prints
stride 2 for the last depthwise layer, but the same map size before and after it: the stride is 1.

`initialise` also serves MobileNetV2, MobileNetV3 and ShuffleNetV2.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from chapter_05_resnet_modern_cnn.src.architectures.common import (
    conv_bn,
    divisible,
    strides,
)

STEM = 32
# Output channels of each separable convolution, and whether it halves the map.
PLAN = (
    *((64, False), (128, True), (128, False), (256, True), (256, False), (512, True)),
    *((512, False),) * 5,
    *((1024, True), (1024, False)),
)


def initialise(model: nn.Module) -> None:
    """Convolutions: variance 2 / fan_out (He et al. 2015); linear layers: 0.01^2; biases 0.

    fan_out = k^2 C_out / groups counts what a value really feeds. A depthwise convolution feeds
    k^2, not k^2 C as `nn.init.kaiming_normal_` takes it, whose first weights would be so small
    that BatchNorm's eps would be felt (960 channels, 5x5, eps 0.001: deviation 0.55, not 1).
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] ** 2 * module.out_channels / module.groups
            nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            nn.init.zeros_(module.bias)


class DepthwiseSeparable(nn.Module):
    """3x3 on each channel by itself, then 1x1 over all channels; BatchNorm and ReLU after both."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = conv_bn(in_channels, in_channels, 3, stride, groups=in_channels)
        self.pointwise = conv_bn(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(x)  # (B, C, H, W) -> (B, C, H / stride, W / stride)
        return self.pointwise(x)  # (B, N, H / stride, W / stride)


class MobileNetV1(nn.Module):
    """Logits (B, num_classes) of pictures (B, channels, H, W).

    `width_mult` scales all channels (the paper: 1, 0.75, 0.5, 0.25), rounded to multiples of 8.
    `separable=False` puts a full 3x3 convolution in the place of each separable one. The first
    `skip` of the five halvings are left out. The paper has no dropout.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        channels: int = 3,
        skip: int = 0,
        *,
        width_mult: float = 1.0,
        separable: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        block = DepthwiseSeparable if separable else conv_bn
        halvings = iter(strides(skip))
        width = divisible(STEM * width_mult)
        layers: list[nn.Module] = [conv_bn(channels, width, stride=next(halvings))]
        for full_width, halves in PLAN:
            out_channels = divisible(full_width * width_mult)
            layers.append(block(width, out_channels, stride=next(halvings) if halves else 1))
            width = out_channels
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (B, 3, 224, 224) -> (B, 1024, 7, 7)
        x = x.mean(dim=(2, 3))  # (B, 1024)
        return self.fc(self.dropout(x))  # (B, num_classes)


NETWORKS: dict[str, Callable[..., nn.Module]] = {"mobilenet_v1": MobileNetV1}
