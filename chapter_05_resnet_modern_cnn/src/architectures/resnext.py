"""ResNeXt (Xie et al. 2016): many narrow paths side by side, as one grouped convolution.

    y = S(x) + sum over i = 1 .. g of  T_i(x),    T_i: 1x1 to d channels, 3x3, 1x1 back

The g paths have the same shape, so their first convolutions are one 1x1 to g d channels, the 3x3
ones are a convolution with g groups, and the sum of the last ones is one 1x1 (the block of section
3.3, figure 3c). A convolution with g groups has 1/g of the weights of a full one with as many
channels: ResNet-50's bottleneck with 64 inner channels has 9 * 64^2 = 36,864 weights in its 3x3,
32 groups of 4 channels have 9 * 128 * 4 = 4,608 and twice the channels. At equal cost the paper
finds more groups better than more width or depth.

    resnext50_32x4d   25,028,904 parameters   4.230 G MACs    (torchvision's counts)
    resnext101_32x8d  88,791,336             16.414 G
    resnext101_64x4d  83,455,272             15.460 G
"""

from __future__ import annotations

from chapter_05_resnet_modern_cnn.src.architectures.resnet import DEEP, Bottleneck, resnet

NETWORKS = {
    "resnext50_32x4d": resnet(Bottleneck, DEEP[50], groups=32, width_per_group=4),
    "resnext101_32x8d": resnet(Bottleneck, DEEP[101], groups=32, width_per_group=8),
    "resnext101_64x4d": resnet(Bottleneck, DEEP[101], groups=64, width_per_group=4),
}
