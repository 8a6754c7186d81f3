"""The grader of chapter 1: `python -m course check 1`.

Each function takes the learner's module `ex` and compares with brute force: the definition, spelt
out slowly. Messages say in words what is likely to be wrong.
"""

import itertools
import math
import tracemalloc

import numpy as np

from chapter_01_tensor_autograd.exercises.grading import (
    Node,
    check_number,
    check_sorted,
    jet_cases,
    peak,
    random_graphs,
    same,
    slowly,
    softmax_vjp_slowly,
    twice_differentiated,
    within,
    worst,
)
from utils.grading import check_order, usual_reason


def test_sum_to_shape(ex):
    gradient = np.arange(1.0, 13.0).reshape(4, 3)
    cases = [(4, 3), (3,), (1, 3), (4, 1), (1, 1), (1,), ()]
    for shape in cases:
        check_sum_to_shape(ex, gradient, shape)
    big = np.random.default_rng(0).normal(size=(2, 5, 4, 3))
    for shape in [(4, 3), (5, 1, 3), (1, 5, 1, 1), (2, 1, 4, 1), (3,)]:
        check_sum_to_shape(ex, big, shape)
    check_sum_to_shape(ex, np.zeros((0, 3)), (1, 3))  # a sum over nothing is 0
    check_sum_to_shape(ex, np.array(2.0), ())


def check_sum_to_shape(ex, gradient, shape):
    kept = gradient.copy()
    result = ex.sum_to_shape(kept, shape)
    unchanged = np.array_equal(kept, gradient)
    assert unchanged, "the gradient was changed in place: make a new array"
    assert result is not None, "sum_to_shape returned None: is the `return` missing?"
    assert np.shape(result) == shape, (
        f"the gradient has shape {np.shape(result)} but the input has shape {shape}: sum over the "
        "axes that broadcasting added, and keep those that it stretched (keepdims=True)"
    )
    # Brute force: broadcast the index of each entry of x, and add up what arrives at it.
    expected = np.zeros(math.prod(shape))
    index = np.broadcast_to(np.arange(expected.size).reshape(shape), gradient.shape)
    np.add.at(expected, index.reshape(-1), gradient.reshape(-1))
    expected = expected.reshape(shape)
    averaged = expected.size and np.allclose(
        result, expected * expected.size / max(gradient.size, 1)
    )
    assert not averaged or np.allclose(result, expected), (
        f"{gradient.shape} -> {shape}: this is the mean; the uses of an entry add up, take the sum"
    )
    same(result, expected, f"a gradient of shape {gradient.shape} summed to {shape}")


def test_numerical_gradient(ex):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 4))
    before = x.copy()
    result = ex.numerical_gradient(lambda t: np.sin(t).sum() + t[0, 1] * t[2, 3], x)
    assert np.array_equal(x, before), "x itself was changed: work on a copy, or put each entry back"
    expected = np.cos(x)
    expected[0, 1] += x[2, 3]
    expected[2, 3] += x[0, 1]
    check_slope(result, expected, "sin(x).sum() + x[0, 1] x[2, 3]")
    check_slope(
        ex.numerical_gradient(lambda t: math.exp(t[0]) + t[1] ** 4, np.array([1.0, -2.0])),
        np.array([math.e, -32.0]),
        "exp(x0) + x1^4 at [1, -2]",
    )
    large = ex.numerical_gradient(lambda t: (t**2).sum(), np.array([1e6, -3e5]))
    assert worst(large, np.array([2e6, -6e5])) < 2e-9, (
        f"(x^2).sum() at [1e6, -3e5]: relative error {worst(large, np.array([2e6, -6e5])):.0e}. "
        "Rounding takes over: make the step larger for large entries, h = eps^(1/3) * max(1, |x_i|)"
    )
    check_slope(
        ex.numerical_gradient(lambda t: float(t) ** 3, np.array(2.0)), np.array(12.0), "x^3"
    )
    empty = ex.numerical_gradient(lambda t: 1.0, np.zeros((0, 2)))
    assert np.shape(empty) == (0, 2), "for an x of shape (0, 2) the gradient has shape (0, 2) too"
    turned = rng.normal(size=(2, 3)).T  # not contiguous
    result = ex.numerical_gradient(lambda t: (t**3).sum(), turned)
    assert np.any(result), (
        "for a transposed x the gradient is 0 everywhere: x.reshape(-1) or x.ravel() of it is a "
        "copy, so f never sees the changed entries"
    )
    check_slope(result, 3 * turned**2, "(x^3).sum() of a transposed x")


def check_slope(result, expected, name):
    assert result is not None, "numerical_gradient returned None: is the `return` missing?"
    assert np.shape(result) == expected.shape, (
        f"{name}: x has shape {expected.shape}, the gradient has shape {np.shape(result)}"
    )
    error = worst(result, expected)
    reason = "the formula itself is off (forgotten 2 in 2 h? only one entry changed at a time?)"
    if usual := usual_reason(result, expected, 1e-4):
        reason = usual
    elif error < 1e-3:
        reason = (
            "the right idea, but not exact enough. A one-sided difference has an error of h; a "
            "central one of h^2, plus rounding, eps / h: h near eps^(1/3) = 6e-6 is best. "
            "Or is an entry not put back after its turn?"
        )
    assert error < 2e-9, f"{name}: relative error {error:.0e}; {reason}"


def test_topological_order(ex):
    a = Node("a")
    check_sorted(ex, a, 1)
    b, c = Node("b", a), Node("c", a)
    d = Node("d", b, c)
    check_sorted(ex, d, 4)
    check_sorted(ex, Node("square", a, a), 2)  # the same parent twice
    for swap in (False, True):  # a long and a short way to the same node
        x = Node("x")
        far = Node("y3", Node("y2", Node("y1", x)))
        check_sorted(ex, Node("end", *((x, far) if swap else (far, x))), 5)
        # Pushed early by one child, needed earlier by another one.
        u = Node("u")
        v = Node("v", u)
        w = Node("w", v)
        check_sorted(ex, Node("end", *((v, w, u) if swap else (u, w, v))), 4)
    node = Node("start")
    for i in range(66):
        node = Node(f"join{i}", Node(f"left{i}", node), Node(f"right{i}", node))
    check_sorted(ex, node, 199)
    random_graphs(ex, np.random.default_rng(2))
    node = Node("0")
    for i in range(1, 50_000):
        node = Node(str(i), node)
    check_sorted(ex, node, 50_000)


def test_softmax_vjp(ex):
    rng = np.random.default_rng(3)
    for shape, axis in [
        ((3,), -1),
        ((1,), 0),
        ((3, 3), -1),
        ((4, 5), -1),
        ((4, 5), 0),
        ((2, 3, 4), 1),
    ]:
        y = np.exp(rng.normal(size=shape))
        y /= y.sum(axis=axis, keepdims=True)
        gradient = rng.normal(size=shape)
        kept = gradient.copy()
        where = f"shape {shape}, axis {axis}"
        try:
            result = ex.softmax_vjp(y, gradient, axis)
        except ValueError as error:
            raise AssertionError(
                f"{where}: the shapes do not fit ({error}): keepdims=True keeps the axis of a sum"
            ) from None
        assert np.array_equal(gradient, kept), "the gradient was changed in place: make a new array"
        assert result is not None, "softmax_vjp returned None: is the `return` missing?"
        if y.size > 1 and np.shape(result) == shape:
            assert not np.allclose(result, gradient * y * (1 - y)), (
                f"{where}: this is only the Jacobian's diagonal, y_i (1 - y_i). Each x_j changes "
                "all the y_i, through the sum in the denominator"
            )
        last = softmax_vjp_slowly(y, gradient, -1)
        mistakes = [
            ("axis is not used: this is the result along the last axis", last),
            (
                "the sum runs along axis only, not over the whole array",
                y * (gradient - (y * gradient).sum()),
            ),
        ]
        if shape[0] == shape[-1]:
            lost = (gradient * y).sum(axis=axis)
            mistakes.append(("keepdims=True is missing in the sum", y * (gradient - lost)))
        same(result, softmax_vjp_slowly(y, gradient, axis), where, mistakes)
    y = np.full(1500, 1 / 1500)
    tracemalloc.start()
    ex.softmax_vjp(y, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * y.nbytes, (
        f"for 1,500 numbers {peak / 1e6:.0f} MB were used: that is the whole Jacobian; only its "
        "product with the gradient is asked for"
    )


def test_matmul_vjp(ex):
    rng = np.random.default_rng(4)
    shapes = [
        ((1, 2), (2, 1)),
        ((2, 3), (3, 4)),
        ((3, 3), (3, 3)),
        ((2, 3, 4), (2, 4, 3)),  # a stack each
        ((2, 3, 4), (4, 2)),  # one b for the whole stack
        ((3, 4), (2, 4, 2)),
        ((2, 1, 2, 3), (4, 3, 2)),  # both broadcast
        ((1, 2, 3), (3, 3, 2)),
        ((2, 0), (0, 3)),  # a sum over nothing
    ]
    for a_shape, b_shape in shapes:
        a, b = rng.normal(size=a_shape), rng.normal(size=b_shape)
        gradient = rng.normal(size=(a @ b).shape)
        where = f"a {a_shape} @ b {b_shape}"
        try:
            result = ex.matmul_vjp(a, b, gradient)
        except ValueError as error:
            raise AssertionError(f"{where}: the shapes in a product do not fit ({error})") from None
        assert isinstance(result, tuple) and len(result) == 2, "return the pair (dL/da, dL/db)"
        # The adjoint's definition: dL/da is what pairs with any change of a as dL/dy does with y's.
        da = slowly(a, lambda change, b=b, g=gradient: (g * (change @ b)).sum())
        db = slowly(b, lambda change, a=a, g=gradient: (g * (a @ change)).sum())
        check_order(result, (da, db), "(dL/da, dL/db)", where)
        for name, x, dx in zip("ab", (a, b), result, strict=True):
            assert np.shape(dx) == x.shape, (
                f"{where}: dL/d{name} has shape {np.shape(dx)}, but {name} has {x.shape}: swap "
                "the last two axes only, and sum over the leading axes that broadcasting changed"
            )
        same(result[0], da, f"{where}: dL/da")
        same(result[1], db, f"{where}: dL/db")


def test_Jet(ex):
    t, other = ex.Jet(2.0, 1.0, 0.0), ex.Jet(5.0, 3.0, 1.0)
    for name, use in {
        "a + b": lambda: t + other,
        "a * b": lambda: t * other,
        "a.reciprocal()": lambda: t.reciprocal(),
        "a.exp()": lambda: t.exp(),
    }.items():
        use()
        kept = (t.value, t.first, t.second, other.value) == (2.0, 1.0, 0.0, 5.0)
        assert kept, f"{name} changed its operand: make a new Jet"
    x = 1.7
    for name, f, value, slope, curvature in jet_cases(x):
        y = f(ex.Jet(x, 1.0, 0.0))
        assert isinstance(y, ex.Jet), f"{name} gives a {type(y).__name__}: operators return a Jet"
        where = f"{name} at x = {x}"
        check_number(y.value, value, f"{where}: the value")
        check_number(y.first, slope, f"{where}: the first derivative")
        check_number(y.second, curvature, f"{where}: the second derivative")
        # The same, for an x that itself depends on t: x' = 0.5, x'' = 3.
        y = f(ex.Jet(x, 0.5, 3.0))
        where = f"{name}, started with Jet({x}, 0.5, 3)"
        words = f"{where}: by the chain rule the first derivative is f' x', which"
        check_number(y.first, 0.5 * slope, words)
        words = f"{where}: by the chain rule the second derivative is f'' x'^2 + f' x'', which"
        check_number(y.second, 0.25 * curvature + 3 * slope, words)
    t, constant = ex.Jet(2.0, 1.0, 0.0), ex.Jet(5.0)
    assert (t * constant).first == 5, "Jet(5.0) is a constant: d(5 t)/dt = 5"


def test_hessian_vector_product(ex):
    rng = np.random.default_rng(5)
    m = rng.normal(size=(4, 4))
    x, v = rng.normal(size=4), rng.normal(size=4)
    bend = -2 * np.tanh(x) / np.cosh(x) ** 2  # the second derivative of tanh
    grown = np.full(4, np.exp(x.sum()))
    functions = [  # name, f, H v, H times ones, gradient
        ("sum of x^3", lambda t: (t * t * t).sum(), 6 * x * v, 6 * x, 3 * x**2),
        (
            "x . M x",
            lambda t: (t * (t @ m.T)).sum(),
            (m + m.T) @ v,
            (m + m.T).sum(1),
            (m + m.T) @ x,
        ),
        ("exp(sum of x)", lambda t: t.sum().exp(), grown * v.sum(), 4 * grown, grown),
        ("sum of tanh(x)", lambda t: t.tanh().sum(), bend * v, bend, np.cosh(x) ** -2),
    ]
    for name, f, expected, ones, slope in functions:
        calls = []
        result = twice_differentiated(
            ex, lambda t, f=f, calls=calls: calls.append(t) or f(t), x, v, f"f = {name}"
        )
        mistakes = [
            ("is create_graph=True missing in the first grad? Without it g is a constant", 0 * v),
            ("v is not used: this is the sum over each row of H", ones),
            ("this is the gradient of f; differentiate it once more", slope),
            ("this is gradient * v, not yet differentiated", slope * v),
        ]
        assert isinstance(result, np.ndarray), (
            f"return a NumPy array (the .data of a Tensor), not a {type(result).__name__}"
        )
        same(result, expected, f"f = {name}", mistakes, rtol=1e-6)
        assert len(calls) == 1, (
            f"f was called {len(calls)} times: differentiate the gradient itself, "
            "with grad(..., create_graph=True), instead of comparing gradients at two points"
        )
        same(result, expected, f"f = {name} (exact derivatives, not differences, are asked for)")
    check_linear(ex, x, v)
    w = rng.normal(size=(3, 2))
    same(
        ex.hessian_vector_product(lambda t: (t * t).sum() * 0.5, w, w),
        w,
        "f = |x|^2 / 2 of a (3, 2) array: H is the identity, so H v = v",
    )
    check_few_backward_passes(ex, rng)


def check_linear(ex, x, v):
    try:
        result = ex.hessian_vector_product(lambda t: (t * 3.0).sum(), x, v)
    except RuntimeError as error:
        raise AssertionError(
            "f(x) = sum(3 x) is linear: its gradient is the constant 3 and no longer depends on x, "
            f"so H v is zero, but the engine said: {error}"
        ) from None
    same(result, np.zeros(4), "f(x) = sum(3 x): H is zero")


def check_few_backward_passes(ex, rng):
    """Count the learner's calls of `grad`: building H row by row needs one for each number."""
    x, v = rng.normal(size=(2, 50))
    calls, real = [], getattr(ex, "grad", None)
    if real is None:
        return
    ex.grad = lambda *args, **options: calls.append(1) or real(*args, **options)
    try:
        ex.hessian_vector_product(lambda t: t.sum() ** 3.0, x, v)
    finally:
        ex.grad = real
    assert len(calls) < 10, (
        f"for 50 numbers grad was called {len(calls)} times: this builds H row by row; the "
        "gradient of (gradient * v).sum() gives H v at once"
    )


def test_checkpoint_plan(ex):
    check_plan(ex, [1] * 8, 4)
    check_plan(ex, [5, 1, 5, 1, 5], 7)
    check_plan(ex, [3], 3)
    rng = np.random.default_rng(6)
    for n in (1, 2, 3, 5, 6, 7, 8, 9):
        for high in (2, 10, 100):
            sizes = [int(size) for size in rng.integers(1, high + 1, n)]
            plans = itertools.chain.from_iterable(
                itertools.combinations(range(n), k) for k in range(n + 1)
            )
            check_plan(ex, sizes, min(peak(sizes, plan) for plan in plans))
    # With k of n equal layers kept, the others fall into k + 1 stretches.
    best = min(k + math.ceil((40 - k) / (k + 1)) for k in range(41))
    check_plan(ex, [1] * 40, best)


def check_plan(ex, sizes, best):
    plan = within(10, ex.checkpoint_plan, list(sizes))
    assert plan is not None, "checkpoint_plan returned None: is the `return` missing?"
    plan = list(plan)
    assert all(0 <= i < len(sizes) for i in plan), (
        f"sizes {sizes}: the plan {plan} names a layer outside 0 .. {len(sizes) - 1}"
    )
    assert plan == sorted(set(plan)), f"the plan {plan} is not an increasing list of layers"
    reached = peak(sizes, plan)
    everything = " (this keeps everything)" if len(plan) == len(sizes) else ""
    shifted = [i - 1 for i in plan]
    if reached != best and min(shifted, default=-1) >= 0 and peak(sizes, shifted) == best:
        everything = " (are the layers counted from 1? they start at 0)"
    nothing = " (this keeps nothing: all is one stretch)" if not plan else ""
    assert reached == best, (
        f"sizes {sizes}: the plan {plan} needs {reached}, but {best} is possible"
        f"{everything}{nothing}. Keep small outputs, where they cut the largest stretch"
    )
