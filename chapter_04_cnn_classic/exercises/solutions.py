"""Solutions of chapter 4's exercises. Try first: `exercises.py` has the tasks and the hints.

They pass the same grader: `python -m course check 4 --solutions`.
"""

import torch
from torch import nn
from torch.nn import functional as F


def output_size(size, kernel, stride=1, padding=0, dilation=1, transposed=False, output_padding=0):
    covered = dilation * (kernel - 1) + 1
    if transposed:  # the formula below solved for `size`
        return (size - 1) * stride + covered - 2 * padding + output_padding
    return (size + 2 * padding - covered) // stride + 1


def class_activation_map(features, weight, bias, labels):
    logits = features.mean(dim=(2, 3)) @ weight.T + bias  # (B, C, H, W) -> (B, C) -> (B, K)
    maps = torch.einsum("bc,bchw->bhw", weight[labels], features)
    return logits, maps


def receptive_field(layers):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding, dilation in layers:
        size += dilation * (kernel - 1) * jump
        start -= padding * jump
        jump *= stride  # last: the two lines above count in units of the layer below
    return size, jump, start


def count_cost(layers, shape):
    (channels, height, width), parameters, macs = shape, 0, 0
    for kind, *options in layers:
        if kind == "conv":
            filters, kernel, stride, padding, groups = options
            height, width = (output_size(n, kernel, stride, padding) for n in (height, width))
            weights = filters * (channels // groups) * kernel**2
            channels, parameters = filters, parameters + weights + filters
            macs += weights * height * width  # each weight once at every output position
        elif kind == "pool":
            height, width = (output_size(n, *options) for n in (height, width))
        else:
            weights = channels * height * width * options[0]
            channels, height, width = options[0], 1, 1
            parameters, macs = parameters + weights + options[0], macs + weights
    return parameters, macs


def conv2d(x, weight, bias=None, stride=1, padding=0):
    kh, kw = weight.shape[2:]
    height, width = (
        output_size(n, k, stride, padding) for n, k in zip(x.shape[2:], (kh, kw), strict=True)
    )
    x = F.pad(x, (padding,) * 4)  # (B, C, H + 2P, W + 2P)
    y = x.new_empty(len(x), len(weight), height, width)
    for i in range(height):
        for j in range(width):
            top, left = i * stride, j * stride
            window = x[:, :, top : top + kh, left : left + kw]  # (B, C, kh, kw)
            y[:, :, i, j] = window.flatten(1) @ weight.flatten(1).T  # (B, O)
    return y if bias is None else y + bias[:, None, None]


def im2col(x, kernel, stride=1, padding=0):
    padded = F.pad(x, (padding,) * 4)
    # unfold is a view: it only says which pixels belong to which window
    windows = padded.unfold(2, kernel[0], stride).unfold(3, kernel[1], stride)
    windows = windows.permute(0, 1, 4, 5, 2, 3)  # (B, C, Ho, Wo, kh, kw) -> (B, C, kh, kw, Ho, Wo)
    return windows.flatten(1, 3).flatten(2)  # (B, C kh kw, Ho Wo), the copy


def blur_pool(x):
    for dim in (2, 3):  # the maximum over 2x2 is one over two rows, then over two columns
        x = torch.maximum(x, x.roll(-1, dim))
    for dim in (2, 3):
        x = (x.roll(1, dim) + 2 * x + x.roll(-1, dim)) / 4
    return x[:, :, ::2, ::2]  # (B, C, H, W) -> (B, C, H/2, W/2)


def max_pool_backward(x, grad, kernel, stride):
    width = x.shape[3]
    dx = torch.zeros_like(x).flatten(2)  # (B, C, H W)
    for i in range(grad.shape[2]):
        for j in range(grad.shape[3]):
            top, left = i * stride, j * stride
            window = x[:, :, top : top + kernel, left : left + kernel].flatten(2)  # (B, C, K K)
            best = window.argmax(dim=2)  # (B, C); the first one of equal values
            place = (top + best // kernel) * width + left + best % kernel
            dx.scatter_add_(2, place[..., None], grad[:, :, i, j, None])  # adds: windows overlap
    return dx.reshape(x.shape)


class PhotoClassifier(nn.Module):
    def __init__(self, train_images, num_classes):
        super().__init__()
        height, width = train_images.shape[1:3]
        self.conv = nn.Conv2d(3, 8, kernel_size=5, padding=2)  # 1: (5 - 1) / 2 keeps the size
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(8 * (height // 2) * (width // 2), num_classes)
        pixels = train_images.float() / 255
        # 2: the training split's statistics, once; as buffers they are saved with the weights
        self.register_buffer("mean", pixels.mean(dim=(0, 1, 2))[:, None, None])  # (3, 1, 1)
        self.register_buffer("std", pixels.std(dim=(0, 1, 2))[:, None, None])

    def prepare(self, images):
        x = images.permute(0, 3, 1, 2).float() / 255  # 3: (N, H, W, 3) -> (N, 3, H, W)
        return (x - self.mean) / self.std

    def forward(self, images):
        x = F.relu(self.norm(self.conv(self.prepare(images))))
        x = F.max_pool2d(x, 2).flatten(1)
        return self.head(self.dropout(x))  # 4: logits, cross_entropy takes the softmax itself

    def loss(self, images, labels):
        return F.cross_entropy(self(images), labels)

    @torch.no_grad()
    def predict(self, images):
        was_training = self.training
        self.eval()  # 5: no dropout, and running statistics instead of the batch's
        classes = self(images).argmax(dim=1)
        self.train(was_training)
        return classes


def random_shift(x, padding, generator):
    batch, _, height, width = x.shape
    padded = F.pad(x, (padding,) * 4)
    start = torch.randint(0, 2 * padding + 1, (2, batch, 1, 1), generator=generator)
    rows = start[0] + torch.arange(height)[:, None]  # (B, H, 1)
    columns = start[1] + torch.arange(width)  # (B, 1, W)
    pictures = torch.arange(batch)[:, None, None]  # (B, 1, 1)
    return padded[pictures, :, rows, columns].permute(0, 3, 1, 2)  # (B, H, W, C) -> (B, C, H, W)


def conv1d_backward(x, weight, grad, stride=1, padding=0):
    padded = F.pad(x, (padding, padding))
    dpadded, dweight = torch.zeros_like(padded), torch.zeros_like(weight)
    for k in range(weight.shape[2]):
        part = slice(k, k + stride * (grad.shape[2] - 1) + 1, stride)  # the Lo pixels under tap k
        dweight[:, :, k] = torch.einsum("bol,bcl->oc", grad, padded[:, :, part])
        dpadded[:, :, part] += torch.einsum("bol,oc->bcl", grad, weight[:, :, k])
    dx = dpadded[:, :, padding : padding + x.shape[2]]
    return dx, dweight, grad.sum(dim=(0, 2))


def separable(conv):
    weight = conv.weight.detach()
    filters, channels, kh, kw = weight.shape
    matrices = weight.transpose(0, 1).flatten(2)  # (O, C, kh, kw) -> (C, O, kh kw)
    u, s, vh = torch.linalg.svd(matrices, full_matrices=False)
    options = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation}
    depthwise = nn.Conv2d(channels, channels, (kh, kw), groups=channels, bias=False, **options)
    pointwise = nn.Conv2d(channels, filters, 1, bias=conv.bias is not None)
    pair = nn.Sequential(depthwise, pointwise).to(weight)
    with torch.no_grad():
        depthwise.weight.copy_(vh[:, :1].reshape(channels, 1, kh, kw))
        pointwise.weight.copy_((u[:, :, 0] * s[:, :1]).T[:, :, None, None])  # (O, C, 1, 1)
        if conv.bias is not None:
            pointwise.bias.copy_(conv.bias)
    return pair
