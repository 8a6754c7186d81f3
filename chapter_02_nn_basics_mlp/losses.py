"""Loss functions: how wrong is a prediction, as one number with useful gradients.

What you learn: most losses are negative log-likelihoods. Say which distribution you believe in,
and the loss follows:

    normal with fixed variance    -> squared error          MSELoss
    Laplace                       -> absolute error         L1Loss
    Bernoulli with logit x        -> binary cross-entropy   BCEWithLogitsLoss
    categorical with logits x     -> softmax cross-entropy  CrossEntropyLoss

The last two have the same short gradient, (predicted probability - target), and must be computed
from logits: log(sigmoid(-200)) is log(0) = -inf in float32, while -softplus(200) = -200 is right.

Drop-ins for `torch.nn`, except that `size_average` and `reduce`, which torch has deprecated in
favour of `reduction`, do not exist here, and that options are passed by keyword. Half precision
inputs are computed, and returned, in float32, as torch does under autocast.

Shape notation: N samples, C classes, `...` further dimensions, such as pixels.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from chapter_02_nn_basics_mlp.activations import log_softmax, softplus


def _reduce(losses: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.mean()


def _wide(x: Tensor) -> Tensor:
    """A sum of many terms in 8 (bf16) or 11 (fp16) bits is too coarse for a loss; bool: 0 or 1."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16, torch.bool) else x


def _in_type_of(x: Tensor, weight: Tensor) -> Tensor:
    """Weights of another type must not change the type of a loss (float32 for integers x)."""
    return weight.to(torch.promote_types(x.dtype, torch.float32))


def _warn_if_broadcast(input: Tensor, target: Tensor) -> None:
    # (N, 1) against (N,) makes an (N, N) table of differences: a classic silent bug.
    if input.shape != target.shape:
        shapes = f"{tuple(input.shape)} and target {tuple(target.shape)}"
        warnings.warn(f"input {shapes} differ in shape and are broadcast", stacklevel=3)


class _Loss(nn.Module):
    """Holds `reduction`: "mean", "sum", or "none" for one loss per element."""

    reductions = ("none", "mean", "sum")

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in self.reductions:
            raise ValueError(f"reduction must be one of {self.reductions}, got {reduction!r}")
        self.reduction = reduction


class MSELoss(_Loss):
    """(x - y)^2. Gradient 2 (x - y). (*), (*) -> () or (*)."""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        _warn_if_broadcast(input, target)
        return _reduce((_wide(input) - _wide(target)) ** 2, self.reduction)


class L1Loss(_Loss):
    """|x - y|. Gradient sign(x - y), 0 where they are equal. (*), (*) -> () or (*)."""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        _warn_if_broadcast(input, target)
        return _reduce((_wide(input) - _wide(target)).abs(), self.reduction)


class SmoothL1Loss(_Loss):
    """d^2 / (2 beta) for |d| < beta, else |d| - beta / 2, with d = x - y (Girshick 2015).

    Squared near 0 (smooth), linear far out (an outlier pulls with force 1 at most). Huber's loss
    (1964) is beta times this one. beta = 0 is L1Loss.
    """

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        if beta < 0:
            raise ValueError(f"beta must not be negative, got {beta}")
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        _warn_if_broadcast(input, target)
        distance = (_wide(input) - _wide(target)).abs()
        if self.beta == 0:
            return _reduce(distance, self.reduction)
        near = distance**2 / (2 * self.beta)
        far = distance - self.beta / 2
        return _reduce(torch.where(distance < self.beta, near, far), self.reduction)


class BCEWithLogitsLoss(_Loss):
    """-[p y log s(x) + (1 - y) log(1 - s(x))], s the sigmoid, p = pos_weight.

    Shapes: (*), (*) -> () or (*).
    With -log s(x) = softplus(-x) and -log(1 - s(x)) = x + softplus(-x) it is
    (1 - y) x + (1 + (p - 1) y) softplus(-x), finite for every finite logit.
    Gradient for p = 1: s(x) - y. `weight` multiplies each element's loss, `pos_weight` the
    positive part (fewer positives than negatives: p = negatives / positives). Both broadcast.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        if input.shape != target.shape:
            raise ValueError(
                f"target {tuple(target.shape)} must have the shape of input {tuple(input.shape)}"
            )
        x, y = _wide(input), _wide(target)
        positive = 1
        if self.pos_weight is not None:
            positive = 1 + (self._stretched(self.pos_weight, x) - 1) * y
        losses = (1 - y) * x + positive * softplus(-x)
        if self.weight is not None:
            losses = losses * self._stretched(self.weight, x)
        return _reduce(losses, self.reduction)

    @staticmethod
    def _stretched(weight: Tensor, x: Tensor) -> Tensor:
        """In the shape of x: plain broadcasting could stretch x to the weights as well."""
        return _in_type_of(x, weight).expand_as(x)


class _ClassLoss(_Loss):
    """What NLLLoss and CrossEntropyLoss share: class weights and an ignored label."""

    def __init__(self, weight: Tensor | None, ignore_index: int, reduction: str) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def _negative_log_likelihood(
        self, log_probs: Tensor, target: Tensor, smoothing: float = 0.0
    ) -> Tensor:
        """-w_y log p_y for class indices y; with smoothing, a part is spread over all classes.

        (N, C, ...), (N, ...) -> (N, ...) or (). The mean divides by the sum of the w_y, so that
        it is a weighted average, and ignored labels count in neither sum.
        """
        classes = _class_dim(log_probs)
        expected = log_probs.shape[:classes] + log_probs.shape[classes + 1 :]
        if target.shape != expected:
            raise ValueError(
                f"input {tuple(log_probs.shape)} wants class indices of shape {tuple(expected)}, "
                f"got {tuple(target.shape)}"
            )
        if target.is_floating_point() or target.dtype == torch.bool:
            raise RuntimeError(f"class indices must be integers, got {target.dtype}")
        target = target.long()  # uint8, as pictures are stored, would be read as a mask
        kept = target != self.ignore_index
        index = target.where(kept, 0)  # any valid class: its loss is masked out below
        weights = torch.where(kept, self._weights(log_probs, classes)[index], 0)  # (N, ...)
        picked = log_probs.gather(classes, index.unsqueeze(classes)).squeeze(classes)  # (N, ...)
        losses = -picked.where(kept, 0) * weights
        if smoothing > 0:
            spread = -self._weighted_sum(log_probs, classes).where(kept, 0)  # (N, ...)
            uniform = smoothing / log_probs.shape[classes]
            losses = (1 - smoothing) * losses + uniform * spread
        if self.reduction == "mean":
            return losses.sum() / weights.sum()
        return _reduce(losses, self.reduction)

    def _weighted_sum(self, values: Tensor, classes: int) -> Tensor:
        """sum_c w_c values_c over the class dimension: (N, C, ...) -> (N, ...)."""
        weights = self._weights(values, classes)
        return (values * weights.view(-1, *[1] * (values.ndim - 1 - classes))).sum(classes)

    def _weights(self, values: Tensor, classes: int) -> Tensor:
        """The class weights (C,), 1 by default, in the type of `values`."""
        number = values.shape[classes]
        if self.weight is None:
            return values.new_ones(number)
        if self.weight.shape != (number,):
            shape = tuple(self.weight.shape)
            raise RuntimeError(f"one weight for each of {number} classes is needed, got {shape}")
        return _in_type_of(values, self.weight)


def _class_dim(logits: Tensor) -> int:
    return 0 if logits.ndim == 1 else 1  # (C,) is one sample without a batch dimension


class NLLLoss(_ClassLoss):
    """-w_y log p_y from log-probabilities (N, C, ...) and class indices (N, ...).

    LogSoftmax followed by NLLLoss is CrossEntropyLoss.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, ignore_index, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return self._negative_log_likelihood(_wide(input), target)


class CrossEntropyLoss(_ClassLoss):
    """-sum_c w_c q_c log softmax(x)_c for logits x, the target distribution q.

    Logits (N, C), (N, C, ...) or (C,). Targets: class indices (N, ...) or (), that is q = one-hot,
    or probabilities of the logits' shape. Gradient without weights: softmax(x) - q.
    Label smoothing e replaces q by (1 - e) q + e / C (Szegedy et al. 2016), which stops the logits
    of a perfect fit from growing for ever. The mean is over samples, each counted with its w_y
    (class indices) or once (probabilities).
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, ignore_index, reduction)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must be between 0 and 1, got {label_smoothing}")
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        classes = _class_dim(input)
        log_probs = log_softmax(_wide(input), classes)
        if target.shape != input.shape:
            return self._negative_log_likelihood(log_probs, target, self.label_smoothing)
        if not target.is_floating_point():
            raise ValueError(
                f"a target of the logits' shape {tuple(input.shape)} holds probabilities and must "
                f"be floating point, got {target.dtype}"
            )
        if self.ignore_index >= 0:
            raise RuntimeError("ignore_index names a class; probabilities have no label to ignore")
        return self._from_probabilities(log_probs, _wide(target), classes)

    def _from_probabilities(self, log_probs: Tensor, target: Tensor, classes: int) -> Tensor:
        smooth = self.label_smoothing
        target = (1 - smooth) * target + smooth / log_probs.shape[classes]
        losses = -self._weighted_sum(log_probs * target, classes)  # (N, C, ...) -> (N, ...)
        return _reduce(losses, self.reduction)


class KLDivLoss(_Loss):
    """sum y (log y - x): the divergence KL(y || e^x) (Kullback & Leibler 1951).

    Shapes: (*), (*) -> () or (*).
    `input` x is a log-probability, the target y a probability, or log y with log_target=True.
    reduction="batchmean" (sum / N) is the divergence per sample; "mean" divides by the number of
    classes as well, which is no divergence, but torch's default.
    """

    reductions = (*_Loss.reductions, "batchmean")

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        x, y = _wide(input), _wide(target)
        # xlogy(y, y) is y log y, with the limit 0 at y = 0 instead of nan.
        losses = y.exp() * (y - x) if self.log_target else torch.xlogy(y, y) - y * x
        if self.reduction == "batchmean":
            return losses.sum() / (len(input) if input.ndim else 1)
        return _reduce(losses, self.reduction)


class HingeEmbeddingLoss(_Loss):
    """x where y = 1, max(0, margin - x) where y = -1, their sum for any y else, as torch has it.

    x is a distance: similar pairs (1) are pulled together, dissimilar ones (-1) pushed apart until
    `margin` (Hadsell, Chopra & LeCun 2006 use the squared form). (*), (*) -> () or (*).
    """

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        x = _wide(input)
        pushed = (self.margin - x).clamp(min=0)
        return _reduce(x.where(target != -1, 0) + pushed.where(target != 1, 0), self.reduction)
