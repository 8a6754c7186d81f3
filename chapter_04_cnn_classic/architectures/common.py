"""What the small-image forms of all architectures share: He's first weights and the size check."""

from __future__ import annotations

from torch import nn

from utils.errors import UserError

LARGE = 64  # px; from here on the small forms halve the picture in their first convolution


class PictureTooSmall(UserError, ValueError):
    """A network whose pools would leave nothing of the picture."""


def check_size(name: str, image_size: int, smallest: int) -> None:
    """PictureTooSmall, a ValueError that names the smallest picture, if `image_size` is below."""
    if image_size < smallest:
        raise PictureTooSmall(
            f"{name} needs pictures of at least {smallest} px; got {image_size} px"
        )


def he_initialise(model: nn.Module) -> None:
    """First weights that keep the signal's variance through ReLU layers (He et al. 2015), in place.

    Convolutions and linear layers: normal, variance 2 / fan_in. The last linear layer is small
    (deviation 0.01): all classes start equally likely, whatever the width. Biases are 0.
    Normalisation layers keep torch's first values, 1 and 0.
    """
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if linears:
        nn.init.normal_(linears[-1].weight, std=0.01)
