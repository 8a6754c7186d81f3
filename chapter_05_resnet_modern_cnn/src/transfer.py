"""Transfer learning in small parts: a new head, what stays fixed, rates by depth, few labels.

    replace_head(model, 5)                            the last linear layer, with fresh weights
    freeze(model, stages(model))                      features as they are; the head learns
    fit_head(head(model), *features(model, batches))  its best weights for features that stay fixed
    parameter_groups(model, lr=1e-3, factor=2.6)      the nearer to the picture, the smaller a step

What the first layers have learnt (edges, colours, textures) suits most pictures; what the last ones
have learnt suits the classes of the source. So a new task needs small changes early and large ones
late (Yosinski et al. 2014). Discriminative rates (Howard and Ruder 2018) say that in numbers: the
rate of stage k is that of stage k + 1 divided by a factor, 2.6 in the paper,

    lr_k = lr / factor^(K + 1 - k)        stages k = 1 ... K, and the head with lr

BatchNorm has two states, and freezing must stop both: gamma and beta are parameters; the running
mean and variance move in every forward pass of training mode, with or without a gradient.
`thaw(model, parts)` is the way back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from chapter_04_cnn_classic.exp_data_size import balanced_order
from chapter_04_cnn_classic.image_tasks import Examples, ImageTask
from utils.device import autocast
from utils.errors import UserError
from utils.modes import evaluating

STAGES = 5
FACTOR = 2.6  # Howard and Ruder 2018, section 3.2
# Children of a network that only hold its stages: they are looked into.
HOLDERS = ("features", "trunk_output", "stages", "classifier")


def head_name(model: nn.Module) -> str:
    """Where the classifier is: the last linear layer. ValueError if there is none."""
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not names:
        raise ValueError(f"{type(model).__name__} has no linear layer to be replaced")
    return names[-1]


def head(model: nn.Module) -> nn.Linear:
    """The classifier."""
    return model.get_submodule(head_name(model))


def replace_head(model: nn.Module, num_classes: int) -> nn.Linear:
    """Put a new classifier in place of the old one: weights of standard deviation 0.01, bias 0.

    Small weights make small logits: the first loss is ln(num_classes), and the first gradients do
    not throw the features about.
    """
    outer, _, name = head_name(model).rpartition(".")
    parent = model.get_submodule(outer)
    old = getattr(parent, name)
    new = nn.Linear(old.in_features, num_classes).to(old.weight)
    nn.init.normal_(new.weight, std=0.01)
    nn.init.zeros_(new.bias)
    setattr(parent, name, new)
    return new


def stages(model: nn.Module, most: int = STAGES) -> list[list[nn.Module]]:
    """The modules with parameters before the head, from the picture on, in at most `most` parts.

    A ResNet gives its stem and its four stages; a network of many small modules is cut into parts
    of about as many modules each. A normalisation belongs to the module before it.
    """
    last, found = head(model), []
    for name, child in model.named_children():
        for module in child.children() if name in HOLDERS else [child]:
            parameters = list(module.parameters())
            if module is last or not parameters:
                continue
            if found and all(p.ndim <= 1 for p in parameters):
                found[-1].append(module)
            else:
                found.append([module])
    size = math.ceil(len(found) / most)
    cuts = (found[i : i + size] for i in range(0, len(found), size))
    return [[module for part in cut for module in part] for cut in cuts]


class Freezing:
    """What `freeze` gives back; `.remove()` ends its hold on the modes, once."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.guards = [module.__dict__.get("train") or _Evaluation(module) for module in modules]
        for guard in self.guards:
            guard.holds += 1

    def remove(self) -> None:
        for guard in self.guards:
            guard.release()
        self.guards = []


class _Evaluation:
    """Stands in for the `train` of a frozen module: whatever is asked for, it is evaluation mode.

    A plain attribute that refers to its own module: a copy of the module, be it made by `deepcopy`,
    `pickle` or `torch.save`, has a copy of this that refers to the copy. It takes no part in a
    forward pass, so that compiling is not disturbed. Nested freezings add up in `holds`.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module, self.holds = module, 0
        module.train = self

    def __call__(self, mode: bool = True) -> nn.Module:
        self.module.training = False
        for child in self.module.children():  # frozen too, but for what was thawed or put in later
            child.train(mode)
        return self.module

    def release(self) -> None:
        self.holds -= 1
        if self.holds == 0 and self.module.__dict__.get("train") is self:
            del self.module.train


def freeze(model: nn.Module, parts: Sequence[Sequence[nn.Module]]) -> Freezing:
    """Stop all change in these modules: no gradients, and evaluation mode for good.

    `model.train()`, which a training loop calls in every epoch, would let BatchNorm's running
    means move again and dropout drop. So the modules no longer obey it, nor do those inside them,
    nor those of a copy of the model. `thaw` ends that, and on the way back lets gradients flow;
    `.remove()` of what is returned ends it for the modes alone.
    """
    modules = _inside(parts)
    for module in modules:
        module.training = False
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
            parameter.grad = None  # one left over would let an optimiser move the weight once more
    return Freezing(modules)


def thaw(model: nn.Module, parts: Sequence[Sequence[nn.Module]]) -> None:
    """Let these modules learn again, however often they were frozen; in the mode of the model."""
    for module in _inside(parts):
        module.__dict__.pop("train", None)
        module.requires_grad_(True)
        module.training = model.training


def _inside(parts: Sequence[Sequence[nn.Module]]) -> list[nn.Module]:
    """The modules and all that they hold, each once."""
    found = (inner for part in parts for module in part for inner in module.modules())
    return list(dict.fromkeys(found))


@torch.no_grad()
def features(
    model: nn.Module, batches: Iterable[Examples], *, device: Any = "cpu", precision: str = "fp32"
) -> Examples:
    """What the head sees of each picture in evaluation mode, (N, D), and the labels, (N,)."""
    seen, labels = [], []
    hook = head(model).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        with evaluating(model), autocast(torch.device(device), precision):
            for x, y in batches:
                model(x.to(device))
                labels.append(y)
    finally:
        hook.remove()
    return torch.cat(seen), torch.cat(labels)


def fit_head(linear: nn.Linear, x: Tensor, y: Tensor, decay: float = 0.01) -> dict[str, float]:
    """Give a linear layer the best weights over fixed features: logistic regression.

    The mean cross-entropy plus decay / 2 times the squared weights (not the bias) is convex and has
    one minimum (section 14), so no number of steps has to be chosen: L-BFGS goes on until the slope
    is 0 but for rounding. Returns the cross-entropy there, and the largest slope that is left.

    x: (N, D) features, y: (N,) labels
    """
    new = nn.Linear(linear.in_features, linear.out_features, dtype=torch.float64)
    nn.init.zeros_(new.weight)
    nn.init.zeros_(new.bias)
    x, y = x.detach().cpu().double(), y.cpu()
    limits = {"max_iter": 5_000, "max_eval": 10_000}
    limits |= {"tolerance_grad": 1e-7, "tolerance_change": 1e-14}
    optimizer = torch.optim.LBFGS(new.parameters(), line_search_fn="strong_wolfe", **limits)
    loss = 0.0

    def objective() -> Tensor:
        nonlocal loss
        optimizer.zero_grad()
        entropy = functional.cross_entropy(new(x), y)
        penalised = entropy + decay / 2 * new.weight.square().sum()
        penalised.backward()
        loss = entropy.item()
        return penalised

    optimizer.step(objective)
    objective()
    with torch.no_grad():
        linear.weight.copy_(new.weight)
        linear.bias.copy_(new.bias)
    slope = max(float(p.grad.abs().max()) for p in new.parameters())
    return {"loss": loss, "slope": slope}


def stage_rates(lr: float, count: int, factor: float) -> list[float]:
    """Rates of `count` stages, from the picture on: each is the next one's divided by `factor`."""
    return [lr / factor ** (count - k) for k in range(count)]


def parameter_groups(
    model: nn.Module, lr: float, *, factor: float = 1.0, weight_decay: float = 0.0
) -> list[dict[str, Any]]:
    """Groups for an optimiser: the stages in order, then the head with `lr`; no frozen weights.

    factor: 1 gives all the same rate. As everywhere in the course, biases and normalisations get no
    weight decay. Each group has "params", "lr", "weight_decay" and "stage", 0 to K (the head).
    """
    parts = stages(model)
    rates = [*stage_rates(lr, len(parts), factor), lr]
    groups = []
    for number, (modules, rate) in enumerate(zip([*parts, [head(model)]], rates, strict=True)):
        parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
        for decay, params in (
            (weight_decay, [p for p in parameters if p.ndim > 1]),
            (0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            if params:
                facts = {"lr": rate, "weight_decay": decay, "stage": number}
                groups.append({"params": params, **facts})
    return groups


def only_classes(task: ImageTask, labels: Sequence[int]) -> ImageTask:
    """The part of a task with these classes, which are numbered 0, 1, ... in the order given."""
    new = torch.full((len(task.classes),), -1)
    new[list(labels)] = torch.arange(len(labels))

    def keep(examples: Examples) -> Examples:
        x, y = examples
        rows = (new[y] >= 0).nonzero().flatten()
        return x[rows], new[y[rows]]

    parts = (keep(getattr(task, split)) for split in ("train", "val", "test"))
    classes = tuple(task.classes[label] for label in labels)
    return ImageTask(task.name, classes, *parts, task.mean, task.std, task.origin)


def rows_with_labels(task: ImageTask, count: int, seed: int) -> Tensor:
    """Numbers of training pictures, `count` of each class; a larger count adds to a smaller one's.

    UserError names the class that has too few.
    """
    y = task.train[1]
    sizes = y.bincount(minlength=len(task.classes))
    if sizes.min() < count:
        short = task.classes[int(sizes.argmin())]
        raise UserError(
            f"{task.name} has only {int(sizes.min())} training pictures of {short!r}: "
            f"--labels {count} a class is too many."
        )
    return balanced_order(y, seed)[: count * len(task.classes)]
