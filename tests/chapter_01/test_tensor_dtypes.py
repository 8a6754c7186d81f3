"""What goes into a tensor and what comes out: dtypes, NumPy arrays, comparisons, repr."""

import numpy as np
import pytest

from chapter_01_tensor_autograd.tensor import Tensor, concatenate


def leaf(*shape: int, dtype=np.float64) -> Tensor:
    numbers = np.linspace(0.5, 1.5, int(np.prod(shape))).reshape(shape)
    return Tensor(numbers.astype(dtype), requires_grad=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_python_numbers_do_not_upcast(dtype) -> None:
    for shape in [(), (2,)]:
        x = leaf(*shape, dtype=dtype)
        for y in (x + 1, 2.0 * x, 1 / x, x**2, x**0.5, 2.0**x, x - np.float64(1.0), x.clip(0, 1)):
            assert y.dtype == dtype
        y = (x.gelu() + x.sigmoid() + x.softmax() + x.var(correction=0) + x.max() + x.relu()).sum()
        y.backward()
        assert y.dtype == x.grad.dtype == dtype


def test_what_becomes_which_dtype() -> None:
    assert Tensor([1.0, 2.0]).dtype == np.float32
    assert Tensor([1, 2]).dtype == np.float32
    assert Tensor(np.arange(3)).dtype == np.float32
    assert Tensor(np.zeros(3)).dtype == np.float64
    assert (Tensor([1.0]) + Tensor(np.zeros(1))).dtype == np.float64


def test_mixed_dtypes_give_each_leaf_a_gradient_of_its_own_dtype() -> None:
    a, b = leaf(2, dtype=np.float32), leaf(2)
    (a * b + concatenate([a, b])[:2]).sum().backward()
    assert a.grad.dtype == np.float32
    assert b.grad.dtype == np.float64


def test_data_is_copied_on_the_way_in_and_shared_on_the_way_out() -> None:
    array = np.zeros(2)
    x = Tensor(array)
    assert not np.shares_memory(x.data, array)
    assert x.numpy() is x.data


def test_numpy_arrays_on_the_left_leave_the_operation_to_the_tensor() -> None:
    x = leaf(2)
    for y in (np.ones(2) + x, np.ones(2) * x, np.float64(2.0) - x, np.ones((2, 2)) @ x):
        assert isinstance(y, Tensor)
        assert y.requires_grad


def test_comparison_iteration_and_repr() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    np.testing.assert_array_equal(x > 1.5, [False, True])
    np.testing.assert_array_equal(x == x.detach(), [True, True])
    assert [row.item() for row in x] == [1.0, 2.0]
    with pytest.raises(TypeError):
        list(Tensor(1.0))
    assert repr(x) == "Tensor([1., 2.], requires_grad=True)"
    assert repr(x * 1.0) == "Tensor([1., 2.], op=multiply)"
    assert repr(x.detach()) == "Tensor([1., 2.])"
