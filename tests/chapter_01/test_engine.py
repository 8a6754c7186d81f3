"""The engine itself: depth, memory, accumulation, errors and their words, in-place changes."""

import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest

from chapter_01_tensor_autograd.tensor import Tensor, concatenate, conv2d, grad, no_grad, where


def leaf(*shape: int, dtype=np.float64) -> Tensor:
    numbers = np.linspace(0.5, 1.5, int(np.prod(shape))).reshape(shape)
    return Tensor(numbers.astype(dtype), requires_grad=True)


# --- depth and memory -----------------------------------------------------------------------------


def test_chain_of_50_000_operations() -> None:
    x = Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(25_000):
        y = (y * 1.0) + 0.001
    y.backward()
    assert x.grad.item() == 1.0


@pytest.mark.process
@pytest.mark.parametrize("end", ["pass", "y.backward(retain_graph=True)", "z = grad(y, x)"])
def test_a_dropped_deep_graph_does_not_overflow_the_stack(end: str) -> None:
    """In a process of its own: a stack overflow of destructors would kill the interpreter."""
    program = f"""
from chapter_01_tensor_autograd.tensor import Tensor, grad
x = Tensor(1.0, requires_grad=True)
y = x
for _ in range(20_000):
    y = (y * 1.0).exp().log()
{end}
del y
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "alive", done.stderr


def test_backward_frees_the_graph() -> None:
    x = leaf(3)
    hidden = x.exp()
    alive = weakref.ref(hidden)
    loss = hidden.sum()
    del hidden
    assert alive() is not None
    loss.backward()
    assert alive() is None


def test_a_graph_dropped_without_backward_is_freed_without_the_garbage_collector() -> None:
    gc.disable()
    try:
        x = leaf(3, 3)
        hidden = (x @ x).tanh()
        alive = weakref.ref(hidden)
        loss = (hidden.softmax() * hidden.sqrt()).max().sum()
        del hidden, loss
        assert alive() is None, "the graph holds a reference cycle"
    finally:
        gc.enable()


def test_second_backward_names_retain_graph() -> None:
    x = leaf(3)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match=r"freed.*retain_graph=True"):
        loss.backward()


def test_a_freed_part_of_another_graph_is_an_error_not_a_zero() -> None:
    x = leaf(3)
    shared = x.exp()
    first, second = shared.sum(), (shared * 2.0).sum()
    first.backward()
    with pytest.raises(RuntimeError, match="'exp' was freed"):
        second.backward()
    with pytest.raises(RuntimeError, match="'exp' was freed"):
        grad((shared * 2.0).sum(), x)
    np.testing.assert_array_equal(grad((shared * 2.0).sum(), shared)[0].data, [2, 2, 2])


def test_retained_graph_gives_the_same_gradient_again() -> None:
    x = leaf(3)
    loss = (x**3).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    np.testing.assert_allclose(x.grad.data, 2 * 3 * x.data**2)


# --- accumulation and grad() ----------------------------------------------------------------------


def test_gradients_accumulate_until_zero_grad() -> None:
    x = leaf(2)
    (x * 2.0).sum().backward()
    (x * 3.0).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [5, 5])
    x.zero_grad()
    assert x.grad is None


def test_two_leaves_do_not_share_one_gradient_array() -> None:
    a, b = leaf(2), leaf(2)
    (a + b).sum().backward()
    a.grad.mul_(10.0)
    np.testing.assert_array_equal(b.grad.data, [1, 1])


def test_only_leaves_keep_grad_and_constants_get_none() -> None:
    x, constant = leaf(2), Tensor([1.0, 2.0])
    hidden = x * constant
    hidden.sum().backward()
    assert hidden.grad is None
    assert constant.grad is None
    assert hidden.op == "multiply"


def test_backward_of_a_leaf_itself() -> None:
    x = Tensor(2.0, requires_grad=True)
    x.backward()
    assert x.grad.item() == 1.0


def test_grad_returns_a_tuple_and_leaves_grad_alone() -> None:
    x, y = leaf(2), leaf(2)
    dx, dy = grad([(x * y).sum(), x.sum()], [x, y])
    np.testing.assert_allclose(dx.data, y.data + 1)
    np.testing.assert_allclose(dy.data, x.data)
    assert x.grad is None
    assert y.grad is None
    assert not dx.requires_grad


def test_grad_with_respect_to_an_intermediate_and_an_unrelated_tensor() -> None:
    x, unrelated = leaf(2), leaf(3)
    hidden = x * 2.0
    d_hidden, d_x, d_unrelated = grad((hidden**2).sum(), [hidden, x, unrelated])
    np.testing.assert_allclose(d_hidden.data, 2 * hidden.data)
    np.testing.assert_allclose(d_x.data, 4 * hidden.data)
    np.testing.assert_array_equal(d_unrelated.data, [0, 0, 0])


def test_fourth_derivative() -> None:
    x = Tensor(np.float64(2.0), requires_grad=True)
    y = x**4
    for expected in (32.0, 48.0, 48.0, 24.0):
        (y,) = grad(y, x, create_graph=True)
        assert y.item() == expected


def test_backward_through_a_gradient_gives_the_gradient_penalty() -> None:
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    (slope,) = grad((x**3).sum(), x, create_graph=True)
    (slope**2).sum().backward()  # d/dx (3x^2)^2 = 36 x^3
    np.testing.assert_allclose(x.grad.data, 36 * x.data**3)


def test_grad_outputs_is_a_vector_jacobian_product() -> None:
    x = leaf(3)
    (product,) = grad(x**2, x, grad_outputs=Tensor(np.array([1.0, 10.0, 100.0])))
    np.testing.assert_allclose(product.data, 2 * x.data * [1, 10, 100])


# --- no_grad and detach ---------------------------------------------------------------------------


def test_no_grad_records_nothing_and_is_restored_after_an_error() -> None:
    x = leaf(2)
    with pytest.raises(KeyError), no_grad():
        assert not (x * 2.0).requires_grad
        raise KeyError
    assert (x * 2.0).requires_grad


def test_no_grad_is_a_decorator() -> None:
    @no_grad()
    def double(x: Tensor) -> Tensor:
        return x * 2.0

    assert not double(leaf(2)).requires_grad
    assert not double(leaf(2)).requires_grad


def test_detach_shares_memory_and_the_version_counter() -> None:
    x = leaf(2)
    cut = x.detach()
    assert not cut.requires_grad
    cut.mul_(3.0)
    assert x.version == 1
    assert np.shares_memory(cut.data, x.data)


# --- in-place changes -----------------------------------------------------------------------------


def test_in_place_change_of_a_saved_value_is_detected() -> None:
    x = leaf(2)
    y = x * x
    with no_grad():
        x.add_(1.0)
    with pytest.raises(RuntimeError, match=r"'multiply'.*shape \(2,\).*version 1.*version 0"):
        y.sum().backward()


@pytest.mark.parametrize("name", ["exp", "sqrt", "tanh", "sigmoid", "relu", "softmax", "max"])
def test_in_place_change_of_a_saved_output_is_detected(name: str) -> None:
    y = getattr(leaf(2, 2), name)()
    loss = y.sum()
    with no_grad():
        y.mul_(2.0)
    with pytest.raises(RuntimeError, match=f"'{name}'.*changed in place"):
        loss.backward()


def test_in_place_change_through_a_view_is_detected() -> None:
    x = leaf(2, 3)
    y = x.exp()
    with no_grad():
        y.reshape(6)[2:4].copy_(0.0)
    with pytest.raises(RuntimeError, match="'exp'"):
        y.sum().backward()


def test_a_value_that_no_vjp_reads_may_change() -> None:
    x, w = Tensor([1.0, 2.0]), leaf(2, dtype=np.float32)
    loss = (w * x + w).sum()  # reads x (for w), never w
    with no_grad():
        w -= 1.0
    loss.backward()
    np.testing.assert_array_equal(w.grad.data, [2, 3])


def test_an_optimiser_step_works_in_the_same_memory() -> None:
    w = leaf(3)
    memory, before = w.data, w.data.copy()
    (w * w).sum().backward()
    with no_grad():
        w -= 0.1 * w.grad
    assert w.data is memory
    assert w.requires_grad
    assert w.version == 1
    np.testing.assert_allclose(w.data, before * 0.8)


def test_a_single_number_of_a_row_is_a_view() -> None:
    x = Tensor([1.0, 2.0, 3.0])
    x[0].add_(10.0)
    x[np.int64(1)].mul_(2.0)
    x[..., -1].copy_(7.0)
    for number in x:
        number.sub_(1.0)
    np.testing.assert_array_equal(x.data, [10, 3, 6])
    matrix = Tensor(np.zeros((2, 2)))
    matrix[1, 0].add_(5.0)
    matrix[0][1].add_(4.0)
    np.testing.assert_array_equal(matrix.data, [[0, 4], [5, 0]])
    assert x[[0]].add_(1.0).data == 11 and x.data[0] == 10, "a list of indices gives a copy"


def test_in_place_change_of_a_single_number_is_detected() -> None:
    x = leaf(3)
    y = x * x
    with no_grad():
        x[1].add_(1.0)
    with pytest.raises(RuntimeError, match="'multiply'"):
        y.sum().backward()


def test_gradient_of_a_single_number() -> None:
    x = leaf(3)
    (x[1] * x[1] + x[0, ...]).backward()
    np.testing.assert_allclose(x.grad.data, [1, 2 * x.data[1], 0])


def test_in_place_change_of_an_expanded_tensor_says_why() -> None:
    x = Tensor([[1.0], [2.0]])
    for change in (
        lambda: x.expand(2, 3).add_(1.0),
        lambda: x.expand(4, 2, 1).copy_(0.0),
        lambda: x.expand(2, 3)[0].mul_(2.0),
    ):
        with pytest.raises(RuntimeError, match=r"one place in memory.*copy"):
            change()
    np.testing.assert_array_equal(x.data, [[1], [2]])
    assert Tensor(x.expand(2, 3)).add_(1.0).data.sum() == 15
    with pytest.raises(ValueError, match="does not broadcast"):
        x.add_(np.zeros(5))


def test_in_place_change_that_would_be_lost_is_refused() -> None:
    x = leaf(2)
    with pytest.raises(RuntimeError, match="no_grad"):
        x += 1.0
    with pytest.raises(RuntimeError, match="no_grad"):
        Tensor([1.0, 2.0]).add_(x)


# --- clear errors ---------------------------------------------------------------------------------


def test_backward_of_a_non_scalar_needs_a_gradient() -> None:
    with pytest.raises(RuntimeError, match=r"shape \(2, 3\).*scalar"):
        (leaf(2, 3) * 2.0).backward()
    x = leaf(2)
    (x * 2.0).backward(np.array([1.0, 5.0]))
    np.testing.assert_array_equal(x.grad.data, [2, 10])


def test_backward_without_requires_grad() -> None:
    with pytest.raises(RuntimeError, match="does not require grad"):
        Tensor([1.0]).sum().backward()
    with pytest.raises(RuntimeError, match="input does not require grad"):
        grad(leaf(2).sum(), Tensor([1.0]))


def test_wrong_shape_of_the_first_gradient() -> None:
    with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)"):
        (leaf(2) * 1.0).backward(np.ones(3))


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (lambda a, b: a + b, r"add: shapes \(2, 3\) and \(4,\)"),
        (lambda a, b: a - b, r"subtract: shapes \(2, 3\) and \(4,\)"),
        (lambda a, b: a * b, r"multiply: shapes \(2, 3\) and \(4,\)"),
        (lambda a, b: a / b, r"divide: shapes \(2, 3\) and \(4,\)"),
        (lambda a, b: a**b, r"power: shapes \(2, 3\) and \(4,\)"),
        (lambda a, b: a @ b.reshape(4, 1), r"matmul: shapes \(2, 3\) and \(4, 1\)"),
        (lambda a, b: where(np.ones((2, 3)), a, b), r"where: .*\(2, 3\) and \(4,\)"),
        (lambda a, b: a.reshape(b.shape), r"reshape: shape \(2, 3\).*\(4,\)"),
        (lambda a, b: a.expand(4, 5), r"expand: shape \(2, 3\).*\(4, 5\)"),
        (lambda a, b: concatenate([a, b]), r"concatenate: shapes \(2, 3\), \(4,\)"),
        (
            lambda a, b: conv2d(a.reshape(1, 2, 3, 1), b.reshape(1, 4, 1, 1)),
            r"conv2d: .*\(1, 2, 3, 1\) and \(1, 4, 1, 1\)",
        ),
        (
            lambda a, b: conv2d(a.reshape(1, 1, 2, 3), b.reshape(1, 1, 4, 1)),
            r"kernel of weight \(1, 1, 4, 1\) is larger than x \(1, 1, 2, 3\)",
        ),
        (lambda a, b: a.detach().copy_(b.detach()), r"in-place copy: shape \(4,\).*\(2, 3\)"),
        (lambda a, b: a.detach().add_(b.detach()), r"in-place add: shape \(4,\).*\(2, 3\)"),
    ],
)
def test_shape_errors_name_the_operation_and_both_shapes(operation, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        operation(leaf(2, 3), leaf(4))


def test_assignment_to_an_item_is_refused() -> None:
    with pytest.raises(TypeError):
        leaf(2)[0] = 1.0


# --- it learns ------------------------------------------------------------------------------------


def test_tiny_mlp_overfits_32_samples() -> None:
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((32, 8)).astype(np.float32))  # (B, D)
    labels = rng.integers(0, 4, 32)
    w1 = Tensor((rng.standard_normal((8, 32)) / 2).astype(np.float32), requires_grad=True)
    w2 = Tensor((rng.standard_normal((32, 4)) / 4).astype(np.float32), requires_grad=True)
    b1, b2 = Tensor(np.zeros(32), requires_grad=True), Tensor(np.zeros(4), requires_grad=True)
    for _ in range(400):
        logits = (x @ w1 + b1).relu() @ w2 + b2  # (B, 4)
        loss = -logits.log_softmax(axis=1)[np.arange(32), labels].mean()
        loss.backward()
        with no_grad():
            for parameter in (w1, b1, w2, b2):
                parameter -= 0.3 * parameter.grad
                parameter.zero_grad()
    assert loss.item() < 0.05
    assert (logits.data.argmax(axis=1) == labels).all()
