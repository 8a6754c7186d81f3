"""Normalisation: one formula over different sets of numbers; drop-ins for `torch.nn`'s layers.

Read in this order:

    functions.py   mean, variance, x^: batch_norm and layer_norm in a few lines, then the same
                   with the gradient derived by hand (NormalizeFunction), which the layers use
    batch.py       BatchNorm and InstanceNorm, with the running statistics for evaluation
    layers.py      LayerNorm, GroupNorm, RMSNorm, and `make_norm`, which chooses one by name
    weights.py     weight and spectral normalisation: of the weights in place of the activations

    from chapter_03_optimization_regularization.normalization import BatchNorm2d, make_norm
"""

from chapter_03_optimization_regularization.normalization.batch import (
    BatchNorm1d,
    BatchNorm2d,
    InstanceNorm1d,
    InstanceNorm2d,
)
from chapter_03_optimization_regularization.normalization.functions import (
    BatchNormFunction,
    LayerNormFunction,
    NormalizeFunction,
    batch_norm,
    batch_norm_by_hand,
    layer_norm,
    layer_norm_by_hand,
    rms_norm,
    rms_norm_by_hand,
)
from chapter_03_optimization_regularization.normalization.layers import (
    ChannelRMSNorm,
    GroupNorm,
    LayerNorm,
    RMSNorm,
    make_norm,
)
from chapter_03_optimization_regularization.normalization.weights import (
    SpectralNorm,
    WeightNorm,
    spectral_norm,
    weight_norm,
)

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNormFunction",
    "ChannelRMSNorm",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LayerNorm",
    "LayerNormFunction",
    "NormalizeFunction",
    "RMSNorm",
    "SpectralNorm",
    "WeightNorm",
    "batch_norm",
    "batch_norm_by_hand",
    "layer_norm",
    "layer_norm_by_hand",
    "make_norm",
    "rms_norm",
    "rms_norm_by_hand",
    "spectral_norm",
    "weight_norm",
]
