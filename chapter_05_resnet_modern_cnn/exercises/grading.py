"""What the grader of chapter 5 compares with: right results, and those of the usual mistakes.

Comparing and naming a mistake (`same`, `number`) are those of chapters 3 and 4. The results here
come from torch or from a formula other than that of the hints.
"""

import itertools

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from chapter_03_optimization_regularization.exercises.grading import normal


def fill(module, seed=0):
    """The module in float64 with reproducible weights and running statistics, none of them 0 or 1.

    Convolutions and linear layers are scaled so that their outputs stay near size 1.
    """
    module = module.double()
    for number, (name, value) in enumerate(module.state_dict().items()):
        if value.is_floating_point():
            draw = normal(*value.shape, seed=seed + number)
            if value.ndim > 1:
                draw = draw / value[0].numel() ** 0.5
            value.copy_(draw.abs() + 0.5 if name.endswith("running_var") else draw)
    return module


class Wrapped(nn.Module):
    """A network whose layers are only reached by hooks; `broken`: it raises behind its layers."""

    def __init__(self, body, broken=False):
        super().__init__()
        self.body, self.broken = body, broken

    def forward(self, x):
        logits = self.body(x)
        if self.broken:
            raise ArithmeticError("this network fails on purpose")
        return logits


def network(seed=0, broken=False):
    """(B, 2, H, W) -> logits (B, 3), in evaluation mode; smooth, and with negative maps."""
    layers = [nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh()]
    layers += [nn.Conv2d(4, 5, 3, stride=2, padding=1), nn.GELU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)]
    return Wrapped(fill(nn.Sequential(*layers), seed), broken).eval()


def hooks(model):
    """How many hooks there are in the model's modules."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(m, kind, ())) for m in model.modules() for kind in kinds)


# --- block_cost ---


def block(kind, in_channels, width, stride, mistake=""):
    """(branch, shortcut) of torch's modules on the meta device; the identity has no layers."""

    def step(channels, filters, kernel, stride=1):
        conv = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False, device="meta")
        return [conv, nn.BatchNorm2d(filters, device="meta")]

    out = 4 * width if kind == "bottleneck" and mistake != "narrow" else width
    if kind == "basic":
        branch = step(in_channels, width, 3, stride) + step(width, width, 3)
    else:
        first, second = (stride, 1) if mistake == "v1" else (1, stride)
        branch = step(in_channels, width, 1, first) + step(width, width, 3, second)
        branch += step(width, out, 1)
    changes = stride > 1 or in_channels != out
    changes = {"never": False, "always": True, "only strided": stride > 1}.get(mistake, changes)
    short = step(in_channels, out, 1, stride) if changes else []
    return [nn.Sequential(*layers).eval() for layers in (branch, short)]


def torchs_block(kind, in_channels, width, stride, size, mistake=""):
    """(parameters, MACs), and as a third the number of the convolutions' weights."""
    parts = block(kind, in_channels, width, stride, mistake)
    x = torch.empty(1, in_channels, size, size, device="meta")
    with FlopCounterMode(display=False) as counter:
        for part in parts:
            part(x)
    parameters = [p for part in parts for p in part.parameters()]
    weights = sum(p.numel() for p in parameters if p.ndim == 4)
    return sum(p.numel() for p in parameters), counter.get_total_flops() // 2, weights


# --- drop_path ---


def check_dropped(branch, result, p, where):
    """Each picture of a large batch is either zeros or branch / (1 - p), and 1 - p of them stay."""
    alive = (result != 0).flatten(1)  # (B, ...); branch has no zeros
    mixed = alive.any(1) != alive.all(1)
    assert not mixed.any(), (
        f"{where}: single values were dropped, that is dropout; the branch of a picture stays or "
        "goes as a whole"
    )
    alive = alive[:, 0]
    share = alive.double().mean().item()
    if 0 < p < 1:
        assert 0 < share < 1, (
            f"{where}: the whole batch met one fate (kept: {share:.0%}); draw for each picture"
        )
    swapped = " (p is the probability to drop, not to keep)" if abs(share - p) < 0.05 else ""
    assert abs(share - (1 - p)) < 0.05, (
        f"{where}: {share:.0%} of the branches were kept, expected about {1 - p:.0%}{swapped}"
    )
    return alive


# --- squeeze-and-excitation ---


def gated(x, module, mistake=""):
    """x times the gate that the module's own weights make, by matrix products."""
    summary = {"max": x.amax((2, 3)), "sum": x.sum((2, 3))}.get(mistake, x.mean((2, 3)))
    hidden = summary @ module.fc1.weight.flatten(1).T + module.fc1.bias  # (B, C / r)
    hidden = hidden if mistake == "linear" else hidden.clamp(min=0)
    score = hidden @ module.fc2.weight.flatten(1).T + module.fc2.bias  # (B, C)
    score = score.clamp(min=0) if mistake == "relu twice" else score
    gates = {"open": score, "softmax": score.softmax(1)}
    gate = gates.get(mistake, 1 / (1 + (-score).exp()))[:, :, None, None]
    if mistake == "only gate":
        return gate.expand_as(x)
    return x + x * gate if mistake == "added" else x * gate


GATE_MISTAKES = {
    "max": "the summary is the mean over H and W, not the maximum",
    "sum": "the summary is the mean over H and W, not the sum",
    "linear": "the relu between fc1 and fc2 is missing",
    "relu twice": "there is no relu behind fc2, only the sigmoid",
    "open": "the sigmoid is missing",
    "softmax": "the gates are independent of one another: sigmoid, not softmax",
    "only gate": "this is the gate alone; it has to scale x",
    "added": "x itself is not added here: y = s * x",
}


# --- fold_batchnorm ---


def convolutions(seed=0):
    """(options, nn.Conv2d, nn.BatchNorm2d, picture), in float64 and evaluation mode."""
    options = [
        {"in_channels": 1, "out_channels": 1, "kernel_size": 1, "bias": False},
        {"in_channels": 3, "out_channels": 4, "kernel_size": 3, "padding": 1},
        {"in_channels": 2, "out_channels": 2, "kernel_size": (2, 3), "stride": (2, 1)},
        {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "groups": 2, "bias": False},
        {"in_channels": 3, "out_channels": 3, "kernel_size": 3, "dilation": 2, "padding": 2},
        {"in_channels": 4, "out_channels": 4, "kernel_size": 3, "padding": 1, "groups": 4},
    ]
    for number, option in enumerate(options):
        pair = nn.Sequential(nn.Conv2d(**option), nn.BatchNorm2d(option["out_channels"], eps=0.1))
        conv, norm = fill(pair, seed + 10 * number).eval()
        yield option, conv, norm, normal(2, conv.in_channels, 7, 6, seed=seed + number)


def folded_mistakes(conv, norm, x):
    """What the usual slips in the two formulas give: pairs (reason, output)."""
    settings = (conv.stride, conv.padding, conv.dilation, conv.groups)
    mean, var, eps = norm.running_mean, norm.running_var, norm.eps
    bias = torch.zeros_like(mean) if conv.bias is None else conv.bias
    scale = norm.weight / (var + eps).sqrt()

    def output(scale, shift, weight=conv.weight):
        return F.conv2d(x, weight * scale[:, None, None, None], shift, *settings)

    plain = output(torch.ones_like(scale), bias)
    statistics = F.batch_norm(plain, None, None, norm.weight, norm.bias, True, 0.1, eps)
    yield "the batch's statistics are used: take the running ones", statistics
    slim = norm.weight / var.sqrt()
    yield "eps is missing in the root", output(slim, norm.bias + (bias - mean) * slim)
    outside = norm.weight / (var.sqrt() + eps)
    yield "eps stands inside the root", output(outside, norm.bias + (bias - mean) * outside)
    whole = norm.weight / (var + eps)
    yield "divide by the root of the variance", output(whole, norm.bias + (bias - mean) * whole)
    unit = 1 / (var + eps).sqrt()
    yield "norm.weight is missing", output(unit, norm.bias + (bias - mean) * unit)
    yield "norm.bias is missing", output(scale, (bias - mean) * scale)
    yield "running_mean is missing", output(scale, norm.bias + bias * scale)
    yield "running_mean is scaled like the rest", output(scale, norm.bias + bias * scale - mean)
    yield "conv's bias is missing", output(scale, norm.bias - mean * scale)
    yield "conv's bias has to be scaled too", output(scale, norm.bias + bias - mean * scale)
    yield "this is conv alone: norm is not folded in", plain


# --- ResidualBlock ---


def block_output(state, x, stride, training, mistake=""):
    """The block by the weights of its state_dict; or with one thing wrong, None if impossible."""

    def layer(h, number, stride=1):
        h = F.conv2d(h, state[f"conv{number}.weight"], None, stride, padding=1)
        mean, var, weight, bias = (
            state[f"bn{number}.{name}"].clone()
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(h, mean, var, weight, bias, training)

    change = layer(x, 1, stride)
    change = layer(change if mistake == "linear" else change.clamp(min=0), 2)
    if mistake == "late stride":
        change = layer(layer(x, 1).clamp(min=0)[:, :, ::stride, ::stride], 2)
    short = shortcut(x, change.shape, stride, mistake)
    if short is None:
        return None
    short = short.detach() if mistake == "detached" else short
    change = change.clamp(min=0) if mistake in ("relu inside", "relu before") else change
    total = short + change
    return total if mistake in ("no relu", "relu before") else total.clamp(min=0)


def shortcut(x, shape, stride, mistake=""):
    """Option A, written by index into a map of zeros of this shape."""
    short = x.new_zeros(shape)
    if mistake == "none":
        return short
    if mistake == "mean":
        small = F.avg_pool2d(x, stride, ceil_mode=True)
    else:
        start = min(1, stride - 1) if mistake == "second" else 0
        small = x[:, :, start::stride, start::stride]
    if small.shape[2:] != shape[2:]:
        return None
    missing = shape[1] - x.shape[1]
    first = {"behind": 0, "before": missing, "rounded up": -(-missing // 2)}.get(
        mistake, missing // 2
    )
    short[:, first : first + x.shape[1]] = small.clamp(min=0) if mistake == "relu" else small
    return short


BLOCK_MISTAKES = {
    "no relu": "the relu after the sum is missing",
    "relu before": "the relu comes after the sum, not before it",
    "none": "there is no shortcut: x is not added",
    "relu inside": "no relu at the end of F: the branch must be able to subtract",
    "linear": "the relu between bn1 and conv2 is missing",
    "behind": "all zero channels stand behind those of x; m // 2 belong before them",
    "before": "all zero channels stand before those of x; only m // 2 do",
    "rounded up": "m // 2 zero channels before x, the larger half behind",
    "mean": "the shortcut takes every stride-th pixel, not a mean",
    "second": "the shortcut takes pixels 0, s, 2 s, ...: start with the first",
    "relu": "the shortcut passes x as it is, without a relu",
    "late stride": "the stride belongs to conv1",
}


# --- maps ---


def slopes_between(model, x, baseline, labels, points):
    """The mean of the logits' gradients at the given t, picture by picture."""
    total = torch.zeros_like(x)
    for t, n in itertools.product(points, range(len(x))):
        point = torch.lerp(baseline[n], x[n], t)[None].requires_grad_()
        total[n] += torch.autograd.grad(model(point)[0, labels[n]], point)[0][0]
    return total / len(points)


def attribution_mistakes(model, x, baseline, labels, steps):
    """Pairs (reason, attributions) of the usual mistakes in integrated gradients."""

    def slopes(points, x=x, baseline=baseline, labels=labels, model=model):
        return slopes_between(model, x, baseline, labels, points)

    middles = [(i + 0.5) / steps for i in range(steps)]
    way, zero = x - baseline, torch.zeros_like(x)
    right = slopes(middles)
    classes = model(x).detach()

    def softmax(x):
        return model(x).softmax(1)

    yield "t starts at 0: take the middles", way * slopes([i / steps for i in range(steps)])
    yield "t ends at 1: take the middles", way * slopes([(i + 1) / steps for i in range(steps)])
    if steps > 1:
        ends = torch.linspace(0, 1, steps, dtype=torch.float64).tolist()
        yield "t runs from 0 to 1 with both ends: take the middles", way * slopes(ends)
    yield "`steps` is not used: there is a single point", way * slopes([0.5])
    yield "the factor x - baseline is missing", right
    yield "the factor is x - baseline, not x", x * right
    yield "this is the sum over t, not the mean", way * right * steps
    yield "the way starts at zeros, not at the baseline", x * slopes(middles, baseline=zero)
    yield "these are the slopes at x alone", way * slopes([1.0])
    yield "keep the signs", (way * right).abs()
    yield "these are probabilities: take the logits", way * slopes(middles, model=softmax)
    yield "all pictures got labels[0]", way * slopes(middles, labels=labels[:1].expand(len(x)))
    yield "the most likely class, not labels", way * slopes(middles, labels=classes.argmax(1))
    for start, end in ((zero, way), (zero, x)):
        points = way * slopes(middles, end, start)
        yield "the points are baseline + t * (x - baseline)", points
    yield "add the chosen logits up; their mean divides by B", way * right / len(x)


def heat_of(model, number, x, labels, mistake=""):
    """Grad-CAM at layer `number` of model.body by cutting the network in two there."""
    maps = model.body[: number + 1](x).detach().requires_grad_()  # (B, M, h, w)
    logits = model.body[number + 1 :](maps)
    labels = {"likely": logits.argmax(1), "first": labels[:1].expand(len(x))}.get(mistake, labels)
    scores = {"softmax": logits.softmax(1), "log": logits.log_softmax(1)}.get(mistake, logits)
    chosen = F.one_hot(labels, logits.shape[1]) * scores
    (slope,) = torch.autograd.grad(chosen.sum() / (len(x) if mistake == "batch" else 1), maps)
    maps = maps.detach()
    weights = slope.relu() if mistake == "positive" else slope
    weights = {
        "sum": weights.sum((2, 3), keepdim=True),
        "places": slope,
        "together": slope.mean((0, 2, 3), keepdim=True),
    }.get(mistake, weights.mean((2, 3), keepdim=True))
    shares = weights * maps
    if mistake == "early":
        return shares.relu().sum(1)
    heat = shares.mean(1) if mistake == "mean" else shares.sum(1)
    if mistake == "scaled":
        heat = heat.relu()
        return heat / heat.amax((1, 2), keepdim=True).clamp(min=1e-12)
    return heat if mistake == "signed" else heat.relu()


HEAT_MISTAKES = {
    "signed": "the relu is missing",
    "early": "first the sum over the maps, then the relu",
    "positive": "the slopes are averaged with their signs",
    "sum": "a_m is the mean of the slopes, not their sum",
    "mean": "sum over the maps, do not average",
    "places": "each map gets one number: average the slopes over the places before multiplying",
    "together": "each picture has its own a_m: do not average over the batch",
    "batch": "add the chosen logits up; their mean divides every slope by B",
    "softmax": "the score is the logit, not the probability",
    "log": "the score is the logit, not the log-probability",
    "first": "all pictures got the map of labels[0]",
    "likely": "these are the maps of the most likely class, not of labels",
    "scaled": "do not scale the map",
}


# --- paths_by_length ---


def path_sums(jacobians, grad):
    """The parts by interpolation: sum of parts[k] t^k = the product of all (I + t J)^T, times grad.

    Taken at the n + 1 roots of unity, so that an inverse Fourier transform gives the coefficients.
    """
    n = len(jacobians)
    roots = torch.exp(-2j * torch.pi * torch.arange(n + 1, dtype=torch.float64) / (n + 1))
    values = grad.to(torch.complex128).repeat(n + 1, 1)  # (n + 1, D)
    for jacobian in jacobians.flip(0):
        values = values + roots[:, None] * (values @ jacobian.to(values.dtype))
    return torch.fft.ifft(values, dim=0).real  # (n + 1, D)
