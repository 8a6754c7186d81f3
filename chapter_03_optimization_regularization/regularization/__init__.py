"""Regularisation: what keeps a network from learning its training set by heart.

Read in this order:

    penalties.py   limits on the weights and on a step: L1, L2, max-norm, DropPath, clipping,
                   early stopping
    mixing.py      changed targets and changed data: label smoothing, mixup, cutmix, augmentation
    averaging.py   averages of the weights along the way: EMA, SWA, and `update_bn`

Dropout is chapter 2's; it can be imported from here too.

    from chapter_03_optimization_regularization.regularization import EMA, clip_grad_norm_
"""

from chapter_02_nn_basics_mlp.layers import Dropout
from chapter_03_optimization_regularization.regularization.averaging import (
    EMA,
    SWA,
    WeightAverage,
    update_bn,
)
from chapter_03_optimization_regularization.regularization.mixing import (
    augment_transform,
    cutmix,
    cutmix_transform,
    label_smoothing,
    mixup,
    mixup_transform,
    random_affine,
)
from chapter_03_optimization_regularization.regularization.penalties import (
    DropPath,
    EarlyStopping,
    clip_grad_norm_,
    clip_grad_value_,
    decay_groups,
    is_weight_matrix,
    l1_penalty,
    l2_penalty,
    max_norm_,
    soft_threshold_,
)

__all__ = [
    "EMA",
    "SWA",
    "DropPath",
    "Dropout",
    "EarlyStopping",
    "WeightAverage",
    "augment_transform",
    "clip_grad_norm_",
    "clip_grad_value_",
    "cutmix",
    "cutmix_transform",
    "decay_groups",
    "is_weight_matrix",
    "l1_penalty",
    "l2_penalty",
    "label_smoothing",
    "max_norm_",
    "mixup",
    "mixup_transform",
    "random_affine",
    "soft_threshold_",
    "update_bn",
]
