"""VGG (Simonyan & Zisserman 2014): only 3x3 convolutions, and depth as the one thing that varies.

    five stages of n convolutions 3x3 of 64, 128, 256, 512, 512 channels, each followed by a
    max-pool 2x2; then 25,088 -> 4,096 -> 4,096 -> K

Two 3x3 convolutions see 5x5 pixels, three see 7x7, with 18 and 27 instead of 25 and 49 weights a
channel pair and two more ReLUs in between. The number in the name counts the layers with weights.
`_bn` puts BatchNorm (2015, so not the paper's) between convolution and ReLU.

`VGG` is the ImageNet form with torchvision's state_dict: VGG-16 has 138,357,544 parameters, of them
123.6 M in the linear layers, and 15.5 G multiply-accumulates for a picture of 224 px, 99 % of them
in the convolutions. `SmallVGG` keeps the convolutions and replaces the three linear layers by the
average over the map and one linear layer: 14.7 M parameters, 0.31 G for 32 px.

    vgg("vgg16_bn")                    # 1,000 classes
    SmallVGG("vgg16_bn", image_size=32)
"""

from __future__ import annotations

from torch import Tensor, nn

from chapter_04_cnn_classic.architectures.common import check_size, he_initialise

DEPTHS = {  # convolutions in each of the five stages
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
WIDTHS = (64, 128, 256, 512, 512)
NAMES = (*DEPTHS, *(f"{name}_bn" for name in DEPTHS))
SMALLEST = 8  # px


class VGG(nn.Module):
    """The ImageNet form for pictures of at least 32 px; drop-in for torchvision's."""

    def __init__(
        self,
        features: nn.Module,
        num_classes: int = 1000,
        init_weights: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d(7)  # 224 px give 7x7 anyway; other sizes are fitted
        self.classifier = nn.Sequential(
            *(nn.Linear(512 * 7 * 7, 4096), nn.ReLU(inplace=True), nn.Dropout(dropout)),
            *(nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(dropout)),
            nn.Linear(4096, num_classes),
        )
        if init_weights:
            _initialise_as_torchvision(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))  # (B, 3, H, W) -> (B, 512, 7, 7)
        return self.classifier(x.flatten(1))  # (B, num_classes)


def _initialise_as_torchvision(model: nn.Module) -> None:
    """Convolutions: variance 2 / fan_out; linear layers: deviation 0.01; biases 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.zeros_(module.bias)


class SmallVGG(nn.Module):
    """The small-image form: `name`'s convolutions, average over the map, one linear layer.

    A pool that would leave fewer than 2 px a side is skipped: of the five, a picture of 8 px keeps
    two, of 28 px three, of 32 px four, and from 64 px on all. The layers in `features` keep their
    numbers, so that trained convolutions of the ImageNet form fit (with 3 channels and `width` 1).
    `width` scales all channels.
    """

    def __init__(
        self,
        name: str,
        num_classes: int = 10,
        channels: int = 3,
        image_size: int = 32,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        check_size(name, image_size, SMALLEST)
        widths = tuple(round(width * full) for full in WIDTHS)
        self.features = make_features(name, channels, widths, image_size)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(widths[-1], num_classes)
        he_initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))  # (B, C, H, W) -> (B, widths[-1], 1, 1)
        return self.classifier(x.flatten(1))  # (B, num_classes)


def make_features(
    name: str, channels: int = 3, widths: tuple[int, ...] = WIDTHS, image_size: int = 224
) -> nn.Sequential:
    """The five stages of `name`; a skipped pool leaves an Identity, which keeps the numbering."""
    batch_norm = name.endswith("_bn")
    layers: list[nn.Module] = []
    for depth, width in zip(DEPTHS[name.removesuffix("_bn")], widths, strict=True):
        for _ in range(depth):
            layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))
            layers += [nn.BatchNorm2d(width)] if batch_norm else []
            layers.append(nn.ReLU(inplace=True))
            channels = width
        pooled = image_size // 2 >= 2
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2) if pooled else nn.Identity())
        image_size = image_size // 2 if pooled else image_size
    return nn.Sequential(*layers)


def vgg(name: str, num_classes: int = 1000, init_weights: bool = True, dropout: float = 0.5) -> VGG:
    """The ImageNet form of "vgg11" ... "vgg19_bn"."""
    return VGG(make_features(name), num_classes, init_weights, dropout)
