"""Convolution arithmetic, matrices, kernels, shifts and costs: each against an independent way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from chapter_04_cnn_classic import demo_conv_math
from chapter_04_cnn_classic.conv_math import (
    animation,
    arithmetic,
    cost,
    drawings,
    equivariance,
    kernels,
)
from chapter_04_cnn_classic.conv_math import theory_figures as theory
from chapter_04_cnn_classic.conv_math.arithmetic import Case
from utils.seed import generator


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=generator(sum(shape)), dtype=torch.float64)


# --- sizes and matrices ---

GRID = [
    Case("", n, k, p, s, d)
    for n in (5, 8)
    for k in (1, 2, 3)
    for p in (0, 2)
    for s in (1, 2, 3)
    for d in (1, 2)
]


def options(case: Case) -> dict[str, int]:
    return {"stride": case.stride, "padding": case.padding, "dilation": case.dilation}


@pytest.mark.parametrize("case", GRID, ids=str)
def test_matrix_is_the_convolution_and_its_transpose_the_transposed_one(case: Case):
    x, w = random(case.size, case.size), random(case.kernel, case.kernel)
    matrix = arithmetic.convolution_matrix(w, case)
    expected = F.conv2d(x[None, None], w[None, None], **options(case))[0, 0]
    assert expected.shape == (case.output,) * 2
    torch.testing.assert_close((matrix @ x.flatten()).reshape(expected.shape), expected)
    y = random(case.output, case.output)
    back = F.conv_transpose2d(
        y[None, None],
        w[None, None],
        **options(case),
        output_padding=(case.size + 2 * case.padding - case.dilation * (case.kernel - 1) - 1)
        % case.stride,  # the pixels that no window began at
    )[0, 0]
    torch.testing.assert_close((matrix.T @ y.flatten()).reshape(case.size, case.size), back)


@pytest.mark.parametrize("s", [1, 2, 3])
@pytest.mark.parametrize(("k", "p", "d"), [(3, 0, 1), (3, 1, 1), (2, 0, 2), (3, 1, 2)])
def test_transposed_size_and_zero_stuffing(s: int, k: int, p: int, d: int):
    case = Case("", 3, k, p, s, d, transposed=True)
    x, w = random(3, 3)[None, None], random(k, k)[None, None]
    expected = F.conv_transpose2d(x, w, **options(case))
    assert expected.shape[-1] == case.output
    plain = arithmetic.zero_stuffed(case)
    stuffed = x.new_zeros(1, 1, plain.size, plain.size)
    stuffed[..., ::s, ::s] = x
    found = F.conv2d(stuffed, w.flip(2, 3), padding=plain.padding, dilation=d)
    torch.testing.assert_close(found, expected)


def test_drawn_toeplitz_matrix_has_constant_diagonals_in_and_between_blocks():
    numbers = arithmetic.weight_positions(drawings.TOEPLITZ).numpy()
    blocks = numbers.reshape(4, 4, 6, 6).transpose(0, 2, 1, 3)  # (row, column) of blocks of 4 x 6
    assert (numbers > 0).sum() == 144 and numbers.size == 576
    for i, j in np.ndindex(3, 5):
        np.testing.assert_array_equal(blocks[i, j], blocks[i + 1, j + 1])
        np.testing.assert_array_equal(blocks[i, j][:-1, :-1], blocks[i, j][1:, 1:])
    found = demo_conv_math.check_matrix(seed=1)
    assert found["difference"] == found["difference_transposed"] == 0


def test_im2col_drawing_is_the_convolution():
    numbers = drawings.im2col_numbers()
    x = torch.tensor(drawings.PICTURE, dtype=torch.float64)[None, None]
    w = torch.tensor(drawings.KERNELS, dtype=torch.float64)[:, None]
    np.testing.assert_array_equal(numbers["product"], F.conv2d(x, w)[0].flatten(1).numpy())


@pytest.mark.parametrize("case", animation.SHOWN, ids=lambda case: case.title)
def test_animation_shows_the_right_numbers(case: Case):
    x = animation.picture(case)
    tensor, w = (torch.tensor(a, dtype=torch.float64)[None, None] for a in (x, animation.KERNEL))
    function = F.conv_transpose2d if case.transposed else F.conv2d
    expected = function(tensor, w, **options(case))[0, 0].numpy()
    np.testing.assert_array_equal(animation.output_values(case, x), expected)
    assert f"= {case.output}" in case.formula


# --- theory drawings ---


@pytest.mark.parametrize(("kind", "side", "kernel", "stride"), theory.POOLS.values())
def test_pooling_and_its_gradient(kind: str, side: int, kernel: int, stride: int):
    x = torch.tensor(theory.POOL_INPUT[:side, :side], dtype=torch.float64, requires_grad=True)
    function = F.max_pool2d if kind == "max" else F.avg_pool2d
    g = np.array([[4.0, -8.0], [2.0, 6.0]])
    expected = function(x[None], kernel, stride)[0]
    expected.backward(torch.tensor(g))
    out, gradient, _ = theory.pool(x.detach().numpy(), g, kind, kernel, stride)
    np.testing.assert_array_equal(out, expected.detach().numpy())
    np.testing.assert_array_equal(gradient, x.grad.numpy())


def test_backward_of_convolution_is_a_convolution():
    x, w = (torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (theory.X, theory.W))
    y = F.conv1d(x[None, None], w[None, None])[0, 0]
    y.backward(torch.tensor(theory.G, dtype=torch.float64))
    numbers = theory.backward_numbers()
    for found, expected in (("y", y.detach()), ("dx", x.grad), ("dw", w.grad)):
        np.testing.assert_array_equal(numbers[found], expected.numpy())


def test_weight_counts_are_those_of_the_layers():
    counts = theory.weight_counts()
    with torch.device("meta"):
        conv = torch.nn.Conv2d(3, 16, 3, bias=False)
        dense = torch.nn.Linear(3 * 32 * 32, 16 * 32 * 32, bias=False)
    assert counts["shared"] == conv.weight.numel() and counts["dense"] == dense.weight.numel()
    assert counts["local"] == counts["shared"] * 32 * 32


# --- kernels ---


def test_convolution_is_numpy_convolution_along_a_line():
    x, w = random(9), random(4)
    found = kernels.convolve(x[None, None, None], w[None], 0)[0, 0, 0]
    np.testing.assert_allclose(found, np.convolve(x, w, "valid"))


def test_laws_hold_for_convolution_only():
    laws = kernels.algebra(random(8, 8), random(3, 3), random(2, 2), kernels.gaussian(3, 1.0))
    convolution, correlation = laws["convolution"], laws["correlation"]
    assert max(convolution[law] for law in ("commutative", "associative", "mixed")) < 1e-12
    assert min(correlation[law] for law in ("commutative", "associative", "flip")) > 0.01
    assert correlation["mixed"] < 1e-12 and correlation["flip_symmetric"] < 1e-12


def test_both_operations_learn_the_same_map():
    photo = kernels.load_photo("flower", 16)
    learnt = demo_conv_math.compare_operations(photo.repeat(1, 1, 2, 2), 0)["learnt"]
    assert max(learnt.values()) < 1e-8


@pytest.mark.parametrize("name", kernels.kernels())
def test_passes_of_rank_many_pairs_equal_the_kernel(name: str):
    kernel, x = kernels.kernels()[name], random(1, 1, 14, 13)
    pad = len(kernel) // 2
    found = kernels.correlate_separable(x, kernel, pad)
    torch.testing.assert_close(found, F.conv2d(x, kernel[None, None], padding=pad))


def test_ranks_and_sums_of_the_gallery():
    made = kernels.kernels()
    ranks = {name: kernels.rank(kernel) for name, kernel in made.items()}
    assert [ranks[n] for n in ("box blur", "Gaussian blur", "Sobel x", "Sobel y")] == [1] * 4
    assert ranks["Laplace"] == ranks["sharpen"] == 2
    for name, total in (("Gaussian blur", 1), ("sharpen", 1), ("Sobel x", 0), ("Gabor 45°", 0)):
        assert float(made[name].sum()) == pytest.approx(total, abs=1e-12)


def test_gabor_answers_to_its_own_direction():
    columns = torch.arange(32).double()
    stripes = torch.cos(2 * torch.pi * columns / 5).expand(1, 1, 32, 32)  # change along x
    answers = {
        angle: float(kernels.correlate(stripes, kernels.gabor(11, 5.0, angle, 2.2)).abs().max())
        for angle in (0, 45, 90)
    }
    assert answers[0] > 5 * answers[45] and answers[0] > 5 * answers[90]


def test_photo_is_whole_grey_levels():
    photo = kernels.load_photo("china", 20)
    assert photo.shape == (1, 1, 20, 20) and photo.dtype == torch.float64
    assert torch.equal(photo, photo.round()) and photo.min() >= 0 and 100 < photo.max() <= 255


# --- shifts ---


@pytest.fixture(scope="module")
def errors() -> dict[str, np.ndarray]:
    measured = equivariance.measure(kernels.load_photo("china", 16), [0])
    return {name: np.array(rows)[0] for name, rows in measured.items()}


def test_which_shifts_each_layer_keeps(errors: dict[str, np.ndarray]):
    assert np.all(errors["conv_circular"] == 0)
    for name, period in (("conv_stride2", 2), ("max_pool", 2), ("blur_pool", 2)):
        assert np.all(errors[name][::period] == 0) and np.all(errors[name][1::2] > 0.01)
    assert errors["three_stages"][0] == errors["three_stages"][8] == 0
    assert np.all(errors["three_stages"][1:8] > 0.01)
    for name in ("conv_zero", "dense"):
        assert errors[name][0] == 0 and np.all(errors[name][1:] > 0.01)
    assert np.all(errors["blur_pool"][1::2] < errors["max_pool"][1::2])


@pytest.mark.parametrize("depth", [1, 3])
def test_zero_padding_breaks_one_column_more_with_each_layer(depth: int):
    photo = kernels.load_photo("china", 24)
    found = equivariance.border_band(photo, depth, 12, generator(0))
    assert found["outside"] == 0
    assert found["broken_columns"] == 4 * depth  # both edges, where they are and where they were


# --- cost ---


@pytest.mark.parametrize("setting", [cost.Setting(3, 4, 6, 2), cost.Setting(5, 2, 8, 1)])
def test_counts_are_those_of_the_operations(setting: cost.Setting):
    from torch.utils.flop_counter import FlopCounterMode

    counts = cost.macs(setting)
    for name, step in cost.forms(setting, generator(0)).items():
        with FlopCounterMode(display=False) as counter:
            out = step()
        assert out.shape == (setting.batch, setting.channels, setting.side, setting.side)
        assert counter.get_total_flops() == 2 * counts[name]


def test_intensity_by_hand():
    setting = cost.Setting(3, 8, 10, 1)
    numbers = 2 * 8 * 100 + 8 * 9  # maps in and out, and the weights, of the depthwise form
    assert cost.intensity(setting)["depthwise"] == pytest.approx(8 * 9 * 100 / (4 * numbers))


def test_fft_equals_direct():
    x, w = random(2, 3, 9, 12), random(4, 3, 4, 3)
    torch.testing.assert_close(cost.fft_correlate(x, w), F.conv2d(x, w))


def test_crossover_ignores_a_lucky_small_kernel():
    kernels_, direct = (3, 5, 7, 9), [2.0, 1.0, 3.0, 4.0]
    assert cost.crossover(kernels_, direct, [1.0, 2.0, 2.0, 2.0]) == 7
    assert cost.crossover(kernels_, direct, [9.0] * 4) == 0


# --- the script ---


def test_script_writes_small_pictures_and_complete_tables(quick_run):
    done = quick_run("chapter_04_cnn_classic/demo_conv_math.py")
    assert done.returncode == 0, done.stderr
    sizes = {path.name: path.stat().st_size for path in done.folder.iterdir()}
    assert sizes["conv_arithmetic.gif"] < 2_000_000
    assert len([name for name in sizes if name.endswith(".svg")]) == 7
    assert max(size for name, size in sizes.items() if name.endswith(".svg")) < 500_000
    assert max(size for name, size in sizes.items() if name.endswith(".png")) < 200_000
    result = done.result("conv_math")
    assert set(result["tables"]) == {"main", "laws", "kernels", "border", "cost", "rates", "fft"}
    assert all(len(table["rows"]) >= 1 for table in result["tables"].values())
    assert result["metrics"]["fft"]["c1"]["difference"] < 1e-4
