"""Solutions of chapter 5's exercises. Try first: `exercises.py` has the tasks and the hints.

They pass the same grader: `python -m course check 5 --solutions`.
"""

import torch
from torch import nn
from torch.nn import functional as F


def channel_shuffle(x, groups):
    x = x.unflatten(1, (groups, -1))  # (B, C, H, W) -> (B, groups, n, H, W), a row for each group
    return x.transpose(1, 2).flatten(1, 2)  # read by columns: (B, n, groups, H, W) -> (B, C, H, W)


def drop_path(branch, p, training, generator):
    if not training or p == 0:
        return branch
    kept = torch.rand(len(branch), generator=generator) >= p  # (B,), true with probability 1 - p
    scale = kept.to(branch) / (1 - p if p < 1 else 1)  # at p = 1 nothing is kept: no 0 / 0
    return branch * scale.reshape(-1, *[1] * (branch.ndim - 1))  # (B, 1, 1, 1)


def block_cost(kind, in_channels, width, stride, size):
    small = size // stride  # rows behind the layer with the stride
    if kind == "basic":
        out = width
        layers = [(in_channels, width, 3, small), (width, width, 3, small)]
    else:
        out = 4 * width
        layers = [(in_channels, width, 1, size)]  # still on the large map
        layers += [(width, width, 3, small), (width, out, 1, small)]
    if stride > 1 or in_channels != out:
        layers.append((in_channels, out, 1, small))
    parameters = macs = 0
    for channels, filters, kernel, rows in layers:
        weights = channels * filters * kernel**2
        parameters += weights + 2 * filters  # BatchNorm's scale and shift
        macs += weights * rows**2
    return parameters, macs


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, reduction):
        super().__init__()
        self.fc1 = nn.Linear(channels, channels // reduction)
        self.fc2 = nn.Linear(channels // reduction, channels)

    def forward(self, x):
        squeezed = x.mean(dim=(2, 3))  # (B, C, H, W) -> (B, C)
        scale = torch.sigmoid(self.fc2(F.relu(self.fc1(squeezed))))  # (B, C)
        return x * scale[:, :, None, None]


@torch.no_grad()
def fold_batchnorm(conv, norm):
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()  # (O,)
    before = 0 if conv.bias is None else conv.bias
    folded = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        conv.dilation,
        conv.groups,
    ).to(conv.weight)
    folded.weight.copy_(conv.weight * scale[:, None, None, None])  # (O, C / groups, kh, kw)
    folded.bias.copy_(norm.bias + (before - norm.running_mean) * scale)
    return folded


class ResidualBlock(nn.Module):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.missing = stride, channels - in_channels

    def shortcut(self, x):
        x = x[:, :, :: self.stride, :: self.stride]  # (B, C, H, W) -> (B, C, H / s, W / s)
        before = self.missing // 2
        return F.pad(x, (0, 0, 0, 0, before, self.missing - before))  # (B, channels, H / s, W / s)

    def forward(self, x):
        change = F.relu(self.bn1(self.conv1(x)))
        change = self.bn2(self.conv2(change))
        return F.relu(self.shortcut(x) + change)


def integrated_gradients(model, x, baseline, labels, steps):
    total = torch.zeros_like(x)
    for i in range(steps):
        point = baseline + (i + 0.5) / steps * (x - baseline)
        point = point.detach().requires_grad_()
        logits = model(point)[torch.arange(len(x)), labels]  # (B,)
        total += torch.autograd.grad(logits.sum(), point)[0]
    return ((x - baseline) * total / steps).detach()


def grad_cam(model, layer, x, labels):
    seen = []
    handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    try:
        logits = model(x.detach().requires_grad_())  # (B, K)
    finally:
        handle.remove()
    maps = seen[-1]  # (B, M, h, w)
    chosen = logits[torch.arange(len(x)), labels]
    (slope,) = torch.autograd.grad(chosen.sum(), maps)  # (B, M, h, w)
    weights = slope.mean(dim=(2, 3), keepdim=True)  # (B, M, 1, 1)
    return (weights * maps.detach()).sum(dim=1).relu()  # (B, h, w)


def paths_by_length(jacobians, grad):
    n = len(jacobians)
    counts = [1] + [0] * n
    parts = grad.new_zeros(n + 1, len(grad))
    parts[0] = grad
    for jacobian in reversed(jacobians):
        through = parts[:-1] @ jacobian  # J^T v for each row v: one branch more
        parts = torch.cat([parts[:1], parts[1:] + through])
        counts = [1] + [past + more for past, more in zip(counts[1:], counts[:-1], strict=True)]
    return counts, parts
