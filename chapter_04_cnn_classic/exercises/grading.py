"""What the grader of chapter 4 compares with: random cases, right results, and usual mistakes.

Comparing and naming a mistake (`same`, `close`) are chapter 3's. The results here come from torch
or from a formula other than that of the hints.
"""

import random

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from chapter_03_optimization_regularization.exercises.grading import normal
from utils.grading import because
from utils.model_summary import parameter_count


def number(result, expected, words, mistakes=()):
    """A whole number that has to be exact; `mistakes`: pairs (reason, value)."""
    assert result is not None, f"{words}: got None; is the `return` missing?"
    if result == expected:
        assert isinstance(result, int), f"{words}: return an int, not {result!r} (// instead of /)"
        return
    reasons = [reason for reason, value in mistakes if value == result]
    why = because(result, expected, reasons, most=2)  # different slips may give one number
    raise AssertionError(f"{words}: expected {expected:,}, got {result!r}{why}")


def tensors(result, count, names):
    """`result` is a tuple of `count` values."""
    assert isinstance(result, tuple) and len(result) == count, f"return the tuple {names}"
    return result


class CountOperations(TorchDispatchMode):
    """with CountOperations() as counter: ...; counter.count is how many tensor operations ran."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


def operations(call, *args):
    """How many tensor operations call(*args) takes."""
    with CountOperations() as counter:
        call(*args)
    return counter.count


# --- output_size ---


def size_cases(count=150, seed=0):
    """Options (size, kernel, stride, padding, dilation, transposed, output_padding) that fit."""
    draw = random.Random(seed)
    cases = [(28, 5, 1, 0, 1, False, 0), (224, 7, 2, 3, 1, False, 0), (112, 4, 2, 1, 1, True, 0)]
    while len(cases) < count:
        size, kernel, stride = draw.randint(1, 40), draw.randint(1, 7), draw.randint(1, 4)
        padding, dilation, transposed = draw.randint(0, 4), draw.randint(1, 3), draw.random() < 0.4
        extra = draw.randrange(stride) if transposed else 0
        covered = dilation * (kernel - 1) + 1
        if transposed and (size - 1) * stride + covered - 2 * padding + extra < 1:
            continue
        if transposed or size + 2 * padding >= covered:
            cases.append((size, kernel, stride, padding, dilation, transposed, extra))
    return cases


def torchs_size(size, kernel, stride, padding, dilation, transposed, extra):
    """What torch makes of zeros of this size."""
    x, weight = torch.zeros(1, 1, size), torch.zeros(1, 1, kernel)
    if transposed:
        y = F.conv_transpose1d(x, weight, None, stride, padding, extra, 1, dilation)
    else:
        y = F.conv1d(x, weight, None, stride, padding, dilation)
    return y.shape[2]


def size_mistakes(size, kernel, stride, padding, dilation, transposed, extra):
    covered = dilation * (kernel - 1) + 1
    if transposed:
        full = (size - 1) * stride + covered
        yield "output_padding is missing", full - 2 * padding
        yield "the padding makes the output of a transposed convolution smaller", full + extra
        yield "padding is cut off on both sides", full - padding + extra
        yield "dilation is missing", (size - 1) * stride + kernel - 2 * padding + extra
        yield "stride is not used", size - 1 + covered - 2 * padding + extra
        yield "size * stride: n windows are only n - 1 steps apart", full + stride + extra
        yield "this is the convolution's size", (size + 2 * padding - covered) // stride + 1
    else:
        room = size + 2 * padding
        yield "dilation is missing", (room - kernel) // stride + 1
        yield "stride is not used", room - covered + 1
        yield "padding is not used", (size - covered) // stride + 1
        yield (
            "a dilated kernel covers dilation * (kernel - 1) + 1",
            (room - dilation * kernel) // stride + 1,
        )
        yield "n steps make n + 1 windows: + 1 is missing", (room - covered) // stride
        yield "padding comes on both sides", (size + padding - covered) // stride + 1
        yield (
            "rounded up: a window that reaches over the end does not count",
            -(-(room - covered) // stride) + 1,
        )
        yield (
            "the + 1 belongs behind the division: (room - covered) // stride + 1",
            (room - covered + 1) // stride,
        )


# --- receptive_field ---


def seen_pixels(layers, length=4001):
    """(size, jump, start) found by asking autograd which pixels two units in the middle depend on.

    All weights are 1, so that no path cancels another.
    """
    x = torch.zeros(1, 1, length, dtype=torch.float64, requires_grad=True)
    y = x
    for kernel, stride, padding, dilation in layers:
        y = F.conv1d(y, y.new_ones(1, 1, kernel), None, stride, padding, dilation)
    middle = y.shape[2] // 2
    pixels = []
    for unit in (middle, middle + 1):
        (slope,) = torch.autograd.grad(y[0, 0, unit], x, retain_graph=True)
        pixels.append(slope[0, 0].nonzero().squeeze(1))
    (first, last), jump = pixels[0][[0, -1]].tolist(), (pixels[1][0] - pixels[0][0]).item()
    return last - first + 1, jump, first - middle * jump


def field_mistakes(layers):
    """The recursion with one mistake each: pairs (reason, (size, jump, start))."""
    for mistake, reason in {
        "stride": "stride is not used: behind a layer `jump` grows by its stride",
        "padding": "padding is not used",
        "early": "multiply the jump last: size and start count in units of the layer below",
        "dilation": "dilation is not used",
        "kernel": "it is kernel - 1 steps from the first weight to the last",
        "plain": "multiply by the jump: behind a stride every step is several pixels",
        "sign": "padding moves unit 0 to the left: subtract",
        "start": "start has to move by padding * jump: one unit below is `jump` pixels",
    }.items():
        size, jump, start = 1, 1, 0
        for kernel, stride, padding, dilation in layers:
            stride = 1 if mistake == "stride" else stride
            padding = 0 if mistake == "padding" else padding
            jump = jump * stride if mistake == "early" else jump
            step = 1 if mistake == "plain" else jump
            steps = kernel if mistake == "kernel" else kernel - 1
            size += (1 if mistake == "dilation" else dilation) * steps * step
            move = padding * (1 if mistake in ("plain", "start") else jump)
            start += move if mistake == "sign" else -move
            jump = jump if mistake == "early" else jump * stride
        yield reason, (size, jump, start)


# --- count_cost ---


def build(layers, shape):
    """The layers as torch's modules on the meta device, and the output's shape."""
    modules, x = [], torch.empty(1, *shape, device="meta")
    for kind, *options in layers:
        if kind == "conv":
            filters, kernel, stride, padding, groups = options
            new = nn.Conv2d(x.shape[1], filters, kernel, stride, padding, groups=groups)
        elif kind == "pool":
            new = nn.MaxPool2d(*options)
        else:
            new = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), *options))
        modules.append(new.to("meta"))
        x = modules[-1](x)
        x = x[..., None, None] if kind == "linear" else x
        modules += [nn.Unflatten(1, (options[0], 1, 1))] if kind == "linear" else []
    return nn.Sequential(*modules)


def torchs_cost(layers, shape):
    """Parameters, and half of the floating-point operations that torch counts."""
    model = build(layers, shape)
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, *shape, device="meta"))
    return parameter_count(model), counter.get_total_flops() // 2


def ungrouped(layers):
    return [(*layer[:5], 1) if layer[0] == "conv" else layer for layer in layers]


# --- conv1d_backward ---


def torchs_backward(x, weight, grad, stride, padding):
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    bias = torch.zeros(len(weight), dtype=x.dtype, requires_grad=True)
    y = F.conv1d(x, weight, bias, stride, padding)
    return torch.autograd.grad(y, (x, weight, bias), grad)


def last_share(weight, grad, dx, stride, padding):
    """dL/dx if each tap of the kernel overwrites what the earlier ones have added."""
    padded = F.pad(torch.zeros_like(dx), (padding, padding))
    for k in range(weight.shape[2]):
        part = slice(k, k + stride * (grad.shape[2] - 1) + 1, stride)
        padded[:, :, part] = torch.einsum("bol,oc->bcl", grad, weight[:, :, k])
    return padded[:, :, padding : padding + dx.shape[2]]


# --- pooling ---


def pooled(x, blur=True, largest="same", wrap=True, mixed=False, gain=1.0):
    """blur_pool by padding, max_pool2d and conv2d; or with one thing wrong."""
    mode = "circular" if wrap else "constant"
    if largest == "stride 2":
        return F.max_pool2d(x, 2)
    before = {"same": (0, 1, 0, 1), "left": (1, 0, 1, 0)}.get(largest)
    y = x if before is None else F.max_pool2d(F.pad(x, before, mode=mode), 2, stride=1)
    if not blur:
        return y[..., ::2, ::2]
    channels, line = x.shape[1], torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype) / 4
    kernel = gain * torch.outer(line, line)
    weight = kernel.expand(channels, channels if mixed else 1, 3, 3)
    return F.conv2d(
        F.pad(y, (1, 1, 1, 1), mode=mode), weight, stride=2, groups=1 if mixed else channels
    )


POOLING_MISTAKES = {
    "this is ordinary max pooling: the blur is missing": {"blur": False},
    "the blur's edges are not joined (circular)": {"wrap": False},
    "the maximum is taken over i - 1 and i instead of i and i + 1": {"largest": "left"},
    "there is only the blur: the maximum is missing": {"largest": "none"},
    "the blur mixes the channels: each by itself": {"mixed": True},
    "the blur's weights add up to 4, divide by 16 in all": {"gain": 4.0},
    "the blur's weights are not divided: they have to add up to 1": {"gain": 16.0},
}


def mean_change(pool, x):
    """The most by which the mean of pool(x) changes when x is shifted, down or across."""
    plain = pool(x).mean()
    shifted = [x.roll(shift, dim) for shift in (1, 2, 3) for dim in (2, 3)]
    return max((pool(picture).mean() - plain).abs().item() for picture in shifted)


def pool_gradient(x, grad, kernel, stride, ties="first", overwrite=False):
    """Max pooling's gradient; `ties`: first, last, all, shared, everyone or smallest."""
    dx = torch.zeros_like(x)
    for i in range(grad.shape[2]):
        for j in range(grad.shape[3]):
            rows, columns = (slice(n * stride, n * stride + kernel) for n in (i, j))
            window = x[:, :, rows, columns].flatten(2)  # (B, C, K K)
            best = (torch.amin if ties == "smallest" else torch.amax)(window, dim=2, keepdim=True)
            winners = window == best
            if ties == "first":
                winners = winners & (winners.cumsum(2) == 1)
            elif ties == "last":
                winners = winners & (winners.flip(2).cumsum(2).flip(2) == 1)
            elif ties == "everyone":
                winners = torch.ones_like(winners)
            share = winners / (winners.sum(2, keepdim=True) if ties == "shared" else 1)
            part = (share * grad[:, :, i, j, None]).reshape(*x.shape[:2], kernel, kernel)
            target = dx[:, :, rows, columns]
            added = torch.where(part != 0, part, target) if overwrite else target + part
            dx[:, :, rows, columns] = added
    return dx


# --- separable ---


def nearest_separable(weight):
    """The nearest weight (O, C, kh, kw) of the form p[o, c] d[c, u, v]: a projection onto d."""
    nearest = torch.zeros_like(weight)
    for c in range(weight.shape[1]):
        matrix = weight[:, c].flatten(1)  # (O, kh kw)
        d = torch.linalg.eigh(matrix.T @ matrix).eigenvectors[:, -1]  # of the largest eigenvalue
        nearest[:, c] = torch.outer(matrix @ d, d).reshape(weight[:, c].shape)
    return nearest


def convolutions(seed=0):
    """nn.Conv2d of several options in float64, each with a picture for it."""
    options = [
        {"in_channels": 3, "out_channels": 4, "kernel_size": 3, "padding": 1},
        {"in_channels": 2, "out_channels": 5, "kernel_size": 3, "stride": 2, "bias": False},
        {"in_channels": 1, "out_channels": 3, "kernel_size": (2, 3), "padding": (0, 1)},
        {"in_channels": 4, "out_channels": 2, "kernel_size": 3, "dilation": 2, "padding": 2},
        {"in_channels": 3, "out_channels": 1, "kernel_size": 1, "stride": (1, 2)},
    ]
    for number, option in enumerate(options):
        conv = nn.Conv2d(**option).double()
        with torch.no_grad():
            for index, p in enumerate(conv.parameters()):
                p.copy_(normal(*p.shape, seed=seed + 10 * number + index))
        yield option, conv, normal(2, conv.in_channels, 8, 7, seed=seed + number)
