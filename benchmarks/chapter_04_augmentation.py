"""Chapter 4: augmentation of a whole batch against torchvision, one picture after the other.

`augmentation_rows(quick)` is a part of the chapter's rows. Both sides start from 512 colour
pictures of 32 x 32 pixels in memory, theirs as PIL images, ours as one uint8 tensor, and end with a
float batch (512, 3, 32, 32). Theirs is the usual pipeline, `Compose` with `ToTensor`, then
`torch.stack`. The operations and their distributions are the same.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.harness import Row, compare

BATCH, SIDE = 512, 32
JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
SQUARE = {"p": 1.0, "scale": (0.25, 0.25), "ratio": (1.0, 1.0)}  # 16 x 16 of 32 x 32 pixels


def augmentation_rows(quick: bool) -> list[Row]:
    """Four pipelines, 512 pictures a call."""
    pictures = torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8)
    rows = []
    for (name, name_zh, ours), theirs in zip(our_pipelines(), their_pipelines(), strict=True):
        row = compare(
            f"augmentation, 512 pictures of 32 px, {name}",
            batched(ours, pictures),
            per_image(theirs, pictures),
            min_seconds=0.2 if quick else 3.0,
            rounds=3 if quick else 7,
            against="torchvision, per image",
            name_zh=f"数据增强，512 张 32 像素图片，{name_zh}",
        )
        rows.append(row)
    return rows


def our_pipelines() -> list[tuple[str, str, Callable]]:
    """(name, Chinese name, operation on a batch)."""
    from chapter_04_cnn_classic import augmentation as ours

    shift = [ours.RandomCrop(4, "reflect"), ours.RandomHorizontalFlip()]
    erasing, jitter = ours.RandomErasing(**SQUARE), ours.ColorJitter(**JITTER)
    return [
        ("crop + flip", "裁剪 + 翻转", ours.Compose(shift)),
        ("crop + flip + erasing", "裁剪 + 翻转 + 擦除", ours.Compose([*shift, erasing])),
        (
            "crop + flip + jitter + erasing",
            "裁剪 + 翻转 + 颜色抖动 + 擦除",
            ours.Compose([*shift, jitter, erasing]),
        ),
        (
            "crop + flip + RandAugment",
            "裁剪 + 翻转 + RandAugment",
            ours.Compose([*shift, ours.RandAugmentLite(2, 9)]),
        ),
    ]


def their_pipelines() -> list[Callable]:
    """The same, with torchvision's classes; each takes a PIL image and gives (3, H, W) floats."""
    from torchvision import transforms as theirs

    shift = [theirs.RandomCrop(SIDE, 4, padding_mode="reflect"), theirs.RandomHorizontalFlip()]
    tensor, erasing = theirs.ToTensor(), theirs.RandomErasing(**SQUARE)
    jitter, rand_augment = theirs.ColorJitter(**JITTER), theirs.RandAugment(2, 9)
    return [
        theirs.Compose([*shift, tensor]),
        theirs.Compose([*shift, tensor, erasing]),
        theirs.Compose([*shift, jitter, tensor, erasing]),
        theirs.Compose([*shift, rand_augment, tensor]),
    ]


def batched(operation: Callable, pictures: Tensor) -> Callable[[], Tensor]:
    """The whole batch in one call, from uint8."""
    generator = torch.Generator().manual_seed(0)
    return lambda: operation(pictures / 255, generator)


def per_image(operation: Callable, pictures: Tensor) -> Callable[[], Tensor]:
    """One picture after the other, as a DataLoader's worker does it."""
    from PIL import Image

    images = [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in pictures]
    return lambda: torch.stack([operation(image) for image in images])
