"""The mathematics of convolution, measured and drawn.

1. Convolution against cross-correlation: which algebraic laws each obeys, and why a network does
   not care which of the two its library computes.
2. Classical kernels (blur, sharpen, emboss, Laplace, Sobel, Gabor) on a real photo; which of them
   are separable (rank 1) and what that saves.
3. Padding, stride, dilation and transposition, one output value a frame (conv_arithmetic.gif).
4. Convolution as a doubly blocked Toeplitz matrix, its transpose as the transposed convolution.
5. im2col: patches as columns, so that one matrix product does it all.
6. Shift equivariance measured, in whole numbers, so that 0 means equal to the bit.
7. Multiply-adds against milliseconds of full, separable and depthwise convolutions.
8. FFT against direct: from which kernel size does the detour pay?
It also draws the line art of the chapter's text (conv_sharing, conv_cases, conv_backward,
pooling_backward). The photo is scikit-learn's (CC BY 2.0), nothing is downloaded.

    python chapter_04_cnn_classic/demo_conv_math.py                     about a minute, one core

Papers: Dumoulin & Visin 2016 (arithmetic), Zhang 2019 (shifts), Howard et al. 2017 (depthwise).
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chapter_04_cnn_classic.conv_im2col import conv2d_im2col, conv_transpose2d
from chapter_04_cnn_classic.conv_math import (
    animation,
    cost,
    drawings,
    equivariance,
    figures,
    kernels,
)
from chapter_04_cnn_classic.conv_math import theory_figures as theory
from chapter_04_cnn_classic.conv_math.arithmetic import convolution_matrix
from chapter_04_cnn_classic.conv_math.results import result_tables
from utils import cli
from utils.run import Run
from utils.seed import generator

SIDE, SHIFT_SIDE = 112, 48  # of the photo: for the gallery, for the shifts (three halvings)
DEPTHS = (1, 2, 4, 8, 12)
SETTINGS = [cost.Setting(k, c) for c in (32, 128) for k in (3, 5, 7)]
FFT_KERNELS, FFT_SIDE = (3, 5, 7, 9, 11, 15, 21, 31), 128
PICTURED_SHIFT = 5


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_04_cnn_classic/demo_conv_math.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --photo flower --rounds 100"])
    parser.set_defaults(threads=1)  # steadier clocks
    add = parser.add_argument_group("measurements").add_argument
    add("--photo", choices=["china", "flower"], default="china", help="picture that is filtered")
    add("--rounds", type=cli.positive_int, default=30, help="times each operation is clocked")
    add("--seeds", type=cli.positive_int, default=3, help="random weights for the shift errors")
    return parser


def compare_operations(photo: Tensor, seed: int) -> dict[str, Any]:
    """The laws on a crop of the photo, and the kernel each operation learns from the same target.

    The target is a correlation with an emboss kernel: a layer that correlates finds that kernel,
    a layer that convolves finds it turned by 180 degrees, and both fit equally well.
    """
    patch = photo[0, 0, :24, :24]
    k1, k2 = torch.randn(2, 3, 3, generator=generator(seed), dtype=torch.float64)
    laws = kernels.algebra(patch, k1, k2, kernels.gaussian(5, 1.0))
    emboss = kernels.kernels()["emboss"]
    target = kernels.correlate(photo, emboss)
    by_correlation = kernels.learnt_kernel(kernels.correlate, photo, target, 3)
    by_convolution = kernels.learnt_kernel(kernels.convolve, photo, target, 3)
    learnt = {
        "correlation_finds_kernel": float((by_correlation - emboss).abs().max()),
        "convolution_finds_turned": float((by_convolution - emboss.flip(0, 1)).abs().max()),
    }
    return {"laws": laws, "learnt": learnt}


def describe_kernels(photo: Tensor) -> dict[str, dict[str, Any]]:
    """Sum, symmetry, rank; `difference`: 1-D passes against one 2-D pass on the photo."""
    described = {}
    for name, kernel in kernels.kernels().items():
        pad = len(kernel) // 2
        direct = kernels.correlate(photo, kernel, pad)
        described[name.lower().replace(" ", "_").removesuffix("°")] = {
            "name": name,
            "side": len(kernel),
            "sum": float(kernel.sum()),
            "symmetric": kernels.is_point_symmetric(kernel),
            "rank": kernels.rank(kernel),
            "difference": kernels.relative(kernels.correlate_separable(photo, kernel, pad), direct),
        }
    return described


def check_matrix(seed: int) -> dict[str, float]:
    """T x against the convolution, T' y against the transposed one; whole numbers: 0 is exact."""
    case, numbers = drawings.TOEPLITZ, generator(seed)
    x, kernel, y = (
        torch.randint(-9, 10, (side, side), generator=numbers).double()
        for side in (case.size, case.kernel, case.output)
    )
    matrix = convolution_matrix(kernel, case)  # (16, 36)
    forward = conv2d_im2col(x[None, None], kernel[None, None]).flatten()
    backward = conv_transpose2d(y[None, None], kernel[None, None]).flatten()
    return {
        "rows": matrix.shape[0],
        "columns": matrix.shape[1],
        "filled": case.output**2 * case.kernel**2,
        "difference": float((matrix @ x.flatten() - forward).abs().max()),
        "difference_transposed": float((matrix.T @ y.flatten() - backward).abs().max()),
    }


def measure_shifts(photo: Tensor, seeds: list[int]) -> dict[str, Any]:
    """Errors of all layers and seeds, and the border's part for growing depth."""
    errors = equivariance.measure(photo, seeds)
    border = {}
    for depth in DEPTHS:
        half = photo.shape[-1] // 2  # the old border lands farthest from the new one
        found = equivariance.border_band(photo, depth, half, generator(seeds[0]))
        border[f"d{depth}"] = {"depth": depth, "columns": photo.shape[-1], **found}
    means = {name: {"mean": np.mean(rows, axis=0)} for name, rows in errors.items()}
    return {"errors": errors, "border": border, "equivariance": means}


def difference_maps(photo: Tensor, seed: int) -> dict[str, Tensor]:
    """Where zero padding and max pooling break a shift, (H, W) each; mean over the channels."""
    made = equivariance.layers(photo.shape[-1], torch.Generator().manual_seed(seed))
    maps = {}
    for title, name in (("zero padding", "conv_zero"), ("max pool 2 × 2", "max_pool")):
        difference = equivariance.shift_difference(made[name], photo, PICTURED_SHIFT)
        maps[f"{title}, shift {PICTURED_SHIFT}"] = difference[0].abs().mean(0)
    return maps


def measure_cost(args: argparse.Namespace) -> dict[str, Any]:
    """Times of the forms and of the FFT."""
    numbers = generator(args.seed)
    settings = [cost.Setting(3, 16, 16, 2)] if args.quick else SETTINGS
    sizes, side = ((3, 9), 32) if args.quick else (FFT_KERNELS, FFT_SIDE)
    bar = cli.progress(settings, "cost")
    forms = {setting.key: cost.measure(setting, args.rounds, numbers) for setting in bar}
    channels = cli.progress((1, 4), "FFT")
    fft = {f"c{c}": cost.fft_against_direct(sizes, c, side, args.rounds, numbers) for c in channels}
    return {"cost": forms, "fft": fft}


def save_line_art(run: Run) -> None:
    """The drawings that need no photo and no clock."""
    stamp = torch.zeros(1, 1, 5, 5)
    stamp[0, 0, 2, 2] = 1
    kernel = torch.arange(1.0, 10).reshape(3, 3)
    turned, same = (
        op(stamp, kernel, 1)[0, 0].numpy() for op in (kernels.correlate, kernels.convolve)
    )
    made = {
        "conv_flip": drawings.flip_figure(kernel.numpy(), turned, same),
        "conv_toeplitz": drawings.toeplitz_figure(),
        "conv_im2col": drawings.im2col_figure(),
        "conv_sharing": theory.sharing_figure(),
        "conv_cases": theory.cases_figure(),
        "conv_backward": theory.backward_figure(),
        "pooling_backward": theory.pooling_figure(),
    }
    for name, figure in made.items():
        run.save_figure(figure, name, svg=True)


def experiment(args: argparse.Namespace, run: Run) -> None:
    side, shift_side, seeds = SIDE, SHIFT_SIDE, [args.seed + s for s in range(args.seeds)]
    if args.quick:
        side, shift_side, seeds, args.rounds = 64, 16, seeds[:1], 2
    photo = kernels.load_photo(args.photo, side)
    small = kernels.load_photo(args.photo, shift_side)
    small -= small.mean().round()  # centred as a network's input is: zero padding is middle grey
    metrics: dict[str, Any] = {"dataset": f"sample_photos: {args.photo}"}
    metrics |= measure_cost(args)  # first, while nothing else fills the caches
    metrics |= compare_operations(photo, args.seed)
    metrics["kernels"] = describe_kernels(photo)
    metrics["matrix"] = check_matrix(args.seed)
    shifts = measure_shifts(small, seeds)
    metrics |= {key: shifts[key] for key in ("border", "equivariance")}
    metrics["weights"] = theory.weight_counts()
    maps = difference_maps(small, seeds[0])
    frames = animation.frames(1 if args.quick else None)
    run.save_result("conv_math", metrics, result_tables(metrics), seeds)
    run.save_figure(figures.gallery_figure(photo, kernels.kernels(), args.photo), "conv_kernels")
    run.save_figure(
        figures.equivariance_figure(shifts["errors"], maps, args.photo), "conv_equivariance"
    )
    run.save_figure(figures.cost_figure(metrics["cost"], metrics["fft"]), "conv_cost")
    save_line_art(run)
    run.save_gif(list(cli.progress(frames, "animation")), "conv_arithmetic", animation.FPS)
    shown = {
        "circular convolution, error at shift 1": metrics["equivariance"]["conv_circular"]["mean"][
            1
        ],
        "max pool, error at shift 1": metrics["equivariance"]["max_pool"]["mean"][1],
        "FFT pays from kernel side (1 channel)": metrics["fft"]["c1"]["crossover"],
    }
    run.finish(shown, "python chapter_04_cnn_classic/train.py --dataset digits")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
