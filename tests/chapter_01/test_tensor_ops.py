"""Every operation of the tensor engine against torch: value, gradient, second derivative.

Shapes come from hypothesis (0-d, zero-size and broadcasting ones included), and each operation is
also compared with finite differences, which know nothing of either library. Other examples:
`FUZZ_SEED=3 pytest tests/chapter_01/test_tensor_ops.py --hypothesis-seed=3`.
"""

import math
import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chapter_01_tensor_autograd import tensor as engine
from chapter_01_tensor_autograd.ops_activation import erf
from chapter_01_tensor_autograd.tensor import Tensor, grad

# The same examples every time; with FUZZ_SEED set, those of `--hypothesis-seed` (or random ones).
examples = settings(
    max_examples=25, deadline=None, database=None, derandomize="FUZZ_SEED" not in os.environ
)
TOLERANCE = {np.float64: {"rtol": 1e-7, "atol": 1e-9}, np.float32: {"rtol": 1e-4, "atol": 2e-5}}

dtypes = st.sampled_from([np.float64, np.float32])
seeds = st.integers(0, 2**16)
shapes = st.lists(st.integers(0, 3), min_size=0, max_size=3).map(tuple)
full_shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


def close(ours: Tensor, theirs: torch.Tensor, dtype, what: str) -> None:
    theirs = theirs.detach().clone().numpy()  # clone: torch 2.4 may return zeros without memory
    assert ours.shape == theirs.shape, f"{what}: shape {ours.shape}, torch {theirs.shape}"
    assert ours.dtype == theirs.dtype, f"{what}: dtype {ours.dtype}, torch {theirs.dtype}"
    np.testing.assert_allclose(ours.data, theirs, **TOLERANCE[dtype], err_msg=what)


def torch_grad(output: torch.Tensor, inputs: list, **options) -> list[torch.Tensor]:
    if not output.requires_grad:
        return [torch.zeros_like(x) for x in inputs]
    found = torch.autograd.grad(output, inputs, allow_unused=True, **options)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True)]


def assert_equals_torch(ours, theirs, arrays: list[np.ndarray], dtype=np.float64) -> None:
    """f, d(c . f)/dx and d(r . (d(c . f)/dx))/dx, for random c and r, here and in torch."""
    rng = np.random.default_rng(1)
    arrays = [np.asarray(array, dtype=dtype) for array in arrays]
    xs = [Tensor(array, requires_grad=True) for array in arrays]
    ts = [torch.tensor(array, requires_grad=True) for array in arrays]
    with np.errstate(all="ignore"):
        y, reference = ours(*xs), theirs(*ts)
        close(y, reference, dtype, "value")
        c = rng.standard_normal(y.shape).astype(dtype)
        dx = grad((y * Tensor(c)).sum(), xs, create_graph=True)
        dt = torch_grad((reference * torch.tensor(c)).sum(), ts, create_graph=True)
        for ours_d, theirs_d in zip(dx, dt, strict=True):
            close(ours_d, theirs_d, dtype, "gradient")
        rs = [rng.standard_normal(array.shape).astype(dtype) for array in arrays]
        s = sum(((d * Tensor(r)).sum() for d, r in zip(dx, rs, strict=True)), Tensor(dtype(0)))
        t = sum((d * torch.tensor(r)).sum() for d, r in zip(dt, rs, strict=True))
        second = grad(s, xs) if s.requires_grad else [x * 0.0 for x in xs]
        for ours_d, theirs_d in zip(second, torch_grad(t, ts), strict=True):
            close(ours_d, theirs_d, dtype, "second derivative")


def normal(shape, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def positive(shape, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.5, 2.0, shape)


# --- the operations -------------------------------------------------------------------------------

# name: (ours, torch's, what the numbers are drawn from)
UNARY = {
    "negative": (lambda x: -x, lambda x: -x, normal),
    "exp": (Tensor.exp, torch.exp, normal),
    "log": (Tensor.log, torch.log, positive),
    "sqrt": (Tensor.sqrt, torch.sqrt, positive),
    "tanh": (Tensor.tanh, torch.tanh, normal),
    "sigmoid": (Tensor.sigmoid, torch.sigmoid, normal),
    "relu": (Tensor.relu, torch.relu, normal),
    "gelu": (Tensor.gelu, F.gelu, normal),
    "gelu tanh": (
        lambda x: x.gelu(approximate="tanh"),
        lambda x: F.gelu(x, approximate="tanh"),
        normal,
    ),
    "erf": (erf, torch.erf, normal),
    "abs": (Tensor.abs, torch.abs, normal),
    "clip": (lambda x: x.clip(-0.5, 0.7), lambda x: x.clamp(-0.5, 0.7), normal),
    "clip below": (lambda x: x.clip(min=0.1), lambda x: x.clamp(min=0.1), normal),
    "square": (lambda x: x**2, lambda x: x**2, normal),
    "cube": (lambda x: x**3, lambda x: x**3, normal),
    "to the 1": (lambda x: x**1, lambda x: x**1, normal),
    "to the 0": (lambda x: x**0, lambda x: x**0, normal),
    "to the -1.5": (lambda x: x**-1.5, lambda x: x**-1.5, positive),
    "2 to the x": (lambda x: 2.0**x, lambda x: 2.0**x, normal),
    "number - x": (lambda x: 1.5 - x * 3, lambda x: 1.5 - x * 3, normal),
    "number / x": (lambda x: 2 / x, lambda x: 2 / x, positive),
    "x / number": (lambda x: x / 3 + 1, lambda x: x / 3 + 1, normal),
    "twice in one": (lambda x: x * x + x, lambda x: x * x + x, normal),
}

BINARY = {
    "add": (lambda a, b: a + b, torch.add, normal),
    "subtract": (lambda a, b: a - b, torch.sub, normal),
    "multiply": (lambda a, b: a * b, torch.mul, normal),
    "divide": (lambda a, b: a / b, torch.div, positive),
    "power": (lambda a, b: a**b, torch.pow, positive),
    "maximum": (engine.maximum, torch.maximum, normal),
    "minimum": (engine.minimum, torch.minimum, normal),
}

REDUCTIONS = {
    "sum": (Tensor.sum, lambda x, dim, keepdim: x.sum(dim, keepdim=keepdim)),
    "mean": (Tensor.mean, lambda x, dim, keepdim: x.mean(dim, keepdim=keepdim)),
    "var": (Tensor.var, lambda x, dim, keepdim: x.var(dim, keepdim=keepdim)),
    "var, biased": (
        lambda x, axis, keepdims: x.var(axis, keepdims, correction=0),
        lambda x, dim, keepdim: x.var(dim, correction=0, keepdim=keepdim),
    ),
    "max": (Tensor.max, lambda x, dim, keepdim: x.amax(() if dim is None else dim, keepdim)),
    "min": (Tensor.min, lambda x, dim, keepdim: x.amin(() if dim is None else dim, keepdim)),
}


@st.composite
def broadcastable(draw):
    """Two shapes that broadcast together: parts of one shape, with some axes at length 1."""
    whole = draw(shapes)

    def part():
        kept = whole[draw(st.integers(0, len(whole))) :]
        return tuple(draw(st.sampled_from([size, 1])) for size in kept)

    return part(), part()


@pytest.mark.parametrize("name", UNARY)
@examples
@given(shape=shapes, dtype=dtypes, seed=seeds)
def test_unary(name: str, shape, dtype, seed: int) -> None:
    ours, theirs, draw = UNARY[name]
    assert_equals_torch(ours, theirs, [draw(shape, seed)], dtype)


@pytest.mark.parametrize("name", BINARY)
@examples
@given(pair=broadcastable(), dtype=dtypes, seed=seeds)
def test_binary_with_broadcasting(name: str, pair, dtype, seed: int) -> None:
    ours, theirs, draw = BINARY[name]
    assert_equals_torch(ours, theirs, [draw(pair[0], seed), draw(pair[1], seed + 1)], dtype)


@examples
@given(pair=broadcastable(), seed=seeds)
def test_where(pair, seed: int) -> None:
    shape = np.broadcast_shapes(*pair)
    mask = normal(shape, seed) > 0
    assert_equals_torch(
        lambda a, b: engine.where(mask, a, b),
        lambda a, b: torch.where(torch.tensor(mask), a, b),
        [normal(pair[0], seed + 1), normal(pair[1], seed + 2)],
    )


@st.composite
def shape_and_axis(draw, sizes):
    shape = draw(sizes)
    axes = st.integers(-len(shape), len(shape) - 1)
    several = st.lists(axes, min_size=1, unique_by=lambda a: a % len(shape)).map(tuple)
    return shape, draw(st.one_of(st.none(), axes, several))


@pytest.mark.parametrize("name", REDUCTIONS)
@examples
@given(case=shape_and_axis(full_shapes), keepdims=st.booleans(), dtype=dtypes, seed=seeds)
def test_reduction(name: str, case, keepdims: bool, dtype, seed: int) -> None:
    shape, axis = case
    ours, theirs = REDUCTIONS[name]
    if name == "var":
        axes = range(len(shape)) if axis is None else np.atleast_1d(axis)
        assume(math.prod(shape[a] for a in axes) > 1)
    assert_equals_torch(
        lambda x: ours(x, axis=axis, keepdims=keepdims),
        lambda x: theirs(x, axis, keepdims),
        [normal(shape, seed)],
        dtype,
    )


@pytest.mark.parametrize("name", ["sum", "mean"])
@pytest.mark.parametrize(("shape", "axis"), [((), None), ((0,), None), ((0, 3), 0), ((3, 0), 0)])
def test_sum_and_mean_of_nothing(name: str, shape, axis) -> None:
    ours, theirs = REDUCTIONS[name]
    assert_equals_torch(lambda x: ours(x, axis), lambda x: theirs(x, axis, False), [normal(shape)])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@examples
@given(case=shape_and_axis(full_shapes), dtype=dtypes, seed=seeds)
def test_softmax(name: str, case, dtype, seed: int) -> None:
    shape, axis = case
    axis = axis if isinstance(axis, int) else -1
    ours, theirs = getattr(Tensor, name), getattr(torch, name)
    assert_equals_torch(
        lambda x: ours(x, axis), lambda x: theirs(x, axis), [3 * normal(shape, seed)], dtype
    )


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize(("shape", "axis"), [((3, 0), -1), ((3, 0), 0), ((0, 3), 0), ((0,), 0)])
def test_softmax_of_nothing(name: str, shape, axis) -> None:
    ours, theirs = getattr(Tensor, name), getattr(torch, name)
    assert_equals_torch(lambda x: ours(x, axis), lambda x: theirs(x, axis), [normal(shape)])


MATMUL_SHAPES = [
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((3,), (4, 3, 2)),
    ((4, 2, 3), (3,)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (1, 3, 4)),
    ((2, 1, 2, 3), (5, 3, 4)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((0, 2, 3), (3, 4)),
    ((2, 0, 3), (2, 3, 1)),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("a", "b"), MATMUL_SHAPES)
def test_matmul(a, b, dtype) -> None:
    assert_equals_torch(lambda x, y: x @ y, lambda x, y: x @ y, [normal(a), normal(b, 1)], dtype)


CONV2D = [  # x, weight, stride, padding
    ((2, 3, 5, 6), (4, 3, 3, 3), 1, 0),
    ((2, 3, 5, 6), (4, 3, 3, 2), 2, 1),
    ((1, 1, 7, 7), (2, 1, 1, 1), 3, 0),
    ((2, 2, 6, 5), (3, 2, 4, 3), (2, 1), (0, 2)),
    ((1, 2, 4, 4), (1, 2, 4, 4), 1, 0),
    ((0, 2, 4, 4), (3, 2, 3, 3), 1, 1),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize(("x", "weight", "stride", "padding"), CONV2D)
def test_conv2d(x, weight, stride, padding, with_bias: bool, dtype) -> None:
    arrays = [normal(x), normal(weight, 1)] + [normal(weight[0], 2)] * with_bias
    assert_equals_torch(
        lambda *tensors: engine.conv2d(*tensors, stride=stride, padding=padding),
        lambda *tensors: F.conv2d(*tensors, stride=stride, padding=padding),
        arrays,
        dtype,
    )


SHAPE_OPS = {
    "reshape": (lambda x: x.reshape(3, -1), lambda x: x.reshape(3, -1)),
    "reshape tuple": (lambda x: x.reshape((24,)), lambda x: x.reshape(24)),
    "transpose": (lambda x: x.transpose(0, -1), lambda x: x.transpose(0, -1)),
    "permute": (lambda x: x.permute(2, 0, -2), lambda x: x.permute(2, 0, -2)),
    "permuted, reshaped": (
        lambda x: x.permute(1, 2, 0).reshape(4, 6),
        lambda x: x.permute(1, 2, 0).reshape(4, 6),
    ),
    "expand": (lambda x: x[:, :1].expand(5, -1, 6, -1), lambda x: x[:, :1].expand(5, -1, 6, -1)),
    "unsqueeze": (lambda x: x.unsqueeze(1), lambda x: x.unsqueeze(1)),
    "unsqueeze last": (lambda x: x.unsqueeze(-1), lambda x: x.unsqueeze(-1)),
    "squeeze": (lambda x: x[:1, :, :1].squeeze(), lambda x: x[:1, :, :1].squeeze()),
    "squeeze dim": (lambda x: x[:1, :, :1].squeeze(-1), lambda x: x[:1, :, :1].squeeze(-1)),
    "squeeze nothing": (lambda x: x.squeeze(1), lambda x: x.squeeze(1)),
    "pad": (
        lambda x: engine.pad(x, ((0, 0), (1, 2), (0, 3)), value=7.0),
        lambda x: F.pad(x, (0, 3, 1, 2), value=7.0),
    ),
    "pad all": (lambda x: engine.pad(x, 2), lambda x: F.pad(x, (2,) * 6)),
}


@pytest.mark.parametrize("name", SHAPE_OPS)
def test_shape_operation(name: str) -> None:
    ours, theirs = SHAPE_OPS[name]
    assert_equals_torch(lambda x: ours(x) ** 2, lambda x: theirs(x) ** 2, [normal((2, 3, 4))])


INDICES = {
    "int": 1,
    "negative int": -1,
    "slice": slice(0, 3, 2),
    "nothing": slice(2, 2),
    "ellipsis": (..., 0),
    "new axis": (None, slice(None), None, 1),
    "all ints": (1, 2, 0),
    "repeated": np.array([2, 0, 2, 2]),
    "list": [0, 0, 1],
    "pairs, repeated": (np.array([0, 1, 0]), np.array([2, 2, 2])),
    "grid": (np.array([[0], [2]]), np.array([1, 1])),
    "mixed": (slice(None), np.array([1, 1, 0]), 2),
    "mask": np.arange(12).reshape(3, 4) % 3 == 0,
    "mask of one axis": np.array([True, False, True]),
    "mask of nothing": np.zeros(3, dtype=bool),
}


@pytest.mark.parametrize("name", INDICES)
def test_indexing(name: str) -> None:
    index = INDICES[name]
    reference = torch.tensor(index) if isinstance(index, np.ndarray) else index
    if isinstance(index, tuple):
        reference = tuple(torch.tensor(i) if isinstance(i, np.ndarray) else i for i in index)
    assert_equals_torch(lambda x: x[index] ** 2, lambda x: x[reference] ** 2, [normal((3, 4, 5))])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize(
    ("ours", "theirs"), [(engine.concatenate, torch.cat), (engine.stack, torch.stack)]
)
def test_concatenate_and_stack(ours, theirs, axis: int) -> None:
    parts = [normal((2, 3)), normal((2, 3), 1), normal((2, 3), 2)]
    assert_equals_torch(lambda *t: ours(t, axis) ** 2, lambda *t: theirs(t, axis) ** 2, parts)


def test_concatenate_of_different_lengths() -> None:
    parts = [normal((2, 0)), normal((2, 3), 1), normal((2, 1), 2)]
    assert_equals_torch(
        lambda *t: engine.concatenate(t, 1) ** 2, lambda *t: torch.cat(t, 1) ** 2, parts
    )


# --- ties, kinks and ends of the range ------------------------------------------------------------

TIED = np.array([[1.0, 3.0, 3.0], [3.0, 0.0, -1.0], [0.0, 0.0, 0.0]])


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("name", ["max", "min"])
def test_ties_share_the_gradient_equally(name: str, axis) -> None:
    ours, theirs = REDUCTIONS[name]
    assert_equals_torch(lambda x: ours(x, axis), lambda x: theirs(x, axis, False), [TIED])


@pytest.mark.parametrize("name", ["relu", "abs", "to the 0", "square", "cube", "gelu"])
def test_kinks(name: str) -> None:
    ours, theirs, _ = UNARY[name]
    assert_equals_torch(ours, theirs, [np.array([0.0, -0.5, 0.7, 2.0])])


SELECTIONS = {
    "relu": (Tensor.relu, torch.relu),
    "clip": (lambda x: x.clip(-0.5, 2.5), lambda x: x.clamp(-0.5, 2.5)),
    "maximum": (lambda x: engine.maximum(x, 1.0), lambda x: x.maximum(torch.ones(()).double())),
    "minimum": (lambda x: engine.minimum(x, 1.0), lambda x: x.minimum(torch.ones(()).double())),
    "where": (lambda x: engine.where(x > 0, x, 0.0), lambda x: torch.where(x > 0, x, 0.0)),
}


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("name", SELECTIONS)
def test_a_path_that_was_not_taken_has_gradient_zero(name: str, value: float) -> None:
    """0 times an infinite gradient would be nan."""
    ours, theirs = SELECTIONS[name]
    array = np.array([-1.0, 0.0, 2.0, 3.0, -np.inf, np.inf, 1.0])
    x, t = Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    y, reference = ours(x), theirs(t)
    y.backward(np.full(y.shape, value))
    reference.backward(torch.full(reference.shape, value, dtype=torch.float64))
    np.testing.assert_array_equal(x.grad.data, t.grad.numpy())
    assert (x.grad.data == 0).any()


def test_clip_has_no_gradient_at_its_bounds() -> None:  # torch's versions differ there
    x = Tensor(np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), requires_grad=True)
    x.clip(-1.0, 1.0).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [0, 0, 1, 0, 0])


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_equal_operands_share_the_gradient(name: str) -> None:
    ours, theirs, _ = BINARY[name]
    assert_equals_torch(ours, theirs, [TIED, np.zeros(3)])


@pytest.mark.parametrize("base", [0.0, 2.0])
def test_slope_of_a_power_in_its_exponent(base: float) -> None:
    array = np.array([-1.0, 0.0, 0.5, 2.0])  # 0^-1 falls infinitely fast
    x, t = Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    with np.errstate(all="ignore"):
        (base**x).backward(np.ones(4))
    (base**t).backward(torch.ones(4))
    np.testing.assert_allclose(x.grad.data, t.grad.numpy())


def test_numpy_integers_as_axes_and_sizes() -> None:
    one, two = np.int64(1), np.int32(2)
    array = normal((2, 3, 4))
    x = Tensor(array, requires_grad=True)
    for y, expected in (
        (x.sum(one), array.sum(1)),
        (x.mean(one, keepdims=True), array.mean(1, keepdims=True)),
        (x.var(two), array.var(2, ddof=1)),
        (x.max(one), array.max(1)),
        (x.min((one, two)), array.min((1, 2))),
        (x.softmax(one).sum(one), np.ones((2, 4))),
        (x.reshape(np.int64(6), np.int64(4)), array.reshape(6, 4)),
        (x.unsqueeze(one).squeeze(one), array),
    ):
        np.testing.assert_allclose(y.data, expected)
        (gradient,) = grad(y.sum(), x)
        assert gradient.shape == (2, 3, 4)
    image, kernel = Tensor(np.ones((1, 1, 5, 5))), Tensor(np.ones((1, 1, 3, 3)))
    assert engine.conv2d(image, kernel, None, np.int64(2), np.int64(1)).shape == (1, 1, 3, 3)


def test_power_at_zero() -> None:
    base, exponent = np.array([0.0, 0.0, 2.0]), np.array([2.0, 0.0, 0.0])
    xs = [Tensor(a, requires_grad=True) for a in (base, exponent)]
    ts = [torch.tensor(a, requires_grad=True) for a in (base, exponent)]
    with np.errstate(all="ignore"):
        (xs[0] ** xs[1]).sum().backward()
    torch.pow(*ts).sum().backward()
    for x, t in zip(xs, ts, strict=True):
        np.testing.assert_array_equal(x.grad.data, t.grad.numpy())


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softmax", "log_softmax", "gelu", "relu"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_large_arguments_stay_finite(name: str, dtype) -> None:
    x = np.array([-800.0, -30.0, 0.0, 30.0, 800.0])
    theirs = F.gelu if name == "gelu" else getattr(torch, name)
    options = {"dim": -1} if "softmax" in name else {}
    with np.errstate(over="raise", invalid="raise"):
        getattr(Tensor(x.astype(dtype)), name)()
    assert_equals_torch(getattr(Tensor, name), lambda t: theirs(t, **options), [x], dtype)


def test_sigmoid_keeps_its_relative_precision_in_the_tail() -> None:
    assert Tensor(np.float64(-700.0)).sigmoid().item() == pytest.approx(math.exp(-700), rel=1e-12)


def test_erf_to_the_last_digits() -> None:
    x = np.concatenate([np.linspace(-7, 7, 5001), [0.0, np.inf, -np.inf]])
    exact = [math.erf(number) for number in x]
    np.testing.assert_allclose(erf(Tensor(x)).data, exact, rtol=5e-16, atol=1e-15)
    tiny = np.array([1e-300, 1e-9, -1e-4])
    np.testing.assert_allclose(erf(Tensor(tiny)).data, [math.erf(n) for n in tiny], rtol=1e-15)
    assert np.isnan(erf(Tensor(np.array([np.nan]))).data).all()


# --- finite differences ---------------------------------------------------------------------------

ONE_OF_EACH = {
    **{name: (ours, [draw((2, 3))]) for name, (ours, _, draw) in UNARY.items()},
    **{name: (ours, [draw((2, 3)), draw(3, 1)]) for name, (ours, _, draw) in BINARY.items()},
    **{
        name: (lambda x, f=f: f(x, 1, False), [normal((2, 3))])
        for name, (f, _) in REDUCTIONS.items()
    },
    **{name: (ours, [normal((2, 3, 4))]) for name, (ours, _) in SHAPE_OPS.items()},
    "matmul": (lambda a, b: a @ b, [normal((2, 3, 4)), normal((4, 2), 1)]),
    "conv2d": (engine.conv2d, [normal((2, 2, 4, 4)), normal((3, 2, 3, 3), 1), normal(3, 2)]),
    "softmax": (Tensor.softmax, [normal((2, 3))]),
    "log_softmax": (Tensor.log_softmax, [normal((2, 3))]),
    "getitem": (lambda x: x[[0, 1, 0], [2, 2, 2]], [normal((2, 3))]),
    "concatenate": (lambda a, b: engine.concatenate([a, b], 1), [normal((2, 1)), normal((2, 2))]),
    "stack": (lambda a, b: engine.stack([a, b], 1), [normal(3), normal(3, 1)]),
    "where": (lambda a, b: engine.where(TIED > 0, a, b), [normal((3, 3)), normal(3, 1)]),
}


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_finite_differences(name: str) -> None:
    """Along a random direction v:  (f(x + h v) - f(x - h v)) / 2h  =  (df/dx) v"""
    function, arrays = ONE_OF_EACH[name]
    xs = [Tensor(array, requires_grad=True) for array in arrays]
    weights = Tensor(normal(function(*xs).shape, 5))
    directions = [normal(array.shape, 6) for array in arrays]

    def objective(step: float) -> float:
        moved = [Tensor(a + step * v) for a, v in zip(arrays, directions, strict=True)]
        return (function(*moved) * weights).sum().item()

    step = 1e-5
    numerical = (objective(step) - objective(-step)) / (2 * step)
    gradients = grad((function(*xs) * weights).sum(), xs)
    exact = sum((g.data * v).sum() for g, v in zip(gradients, directions, strict=True))
    assert exact == pytest.approx(numerical, rel=1e-6, abs=1e-8)
