"""scan.py: loop, doubling, tree and logarithms give one h; gradients; work and depth."""

import math

import pytest
import torch

from chapter_06_rnn_lstm_seq import scan

PARALLEL = [scan.scan_doubling, scan.scan_tree, scan.linear_scan]
LENGTHS = [1, 2, 3, 4, 5, 8, 13, 33]


def drawn(length: int, shape: tuple = (2, 3), seed: int = 0) -> tuple[torch.Tensor, ...]:
    """a in (-1, 1), b, and a start: float64."""
    rng = torch.Generator().manual_seed(seed)
    batch, *rest = shape
    a = 2 * torch.rand(batch, length, *rest, generator=rng, dtype=torch.float64) - 1
    b = torch.randn(batch, length, *rest, generator=rng, dtype=torch.float64)
    return a, b, torch.randn(batch, *rest, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("form", PARALLEL, ids=lambda f: f.__name__)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("start", [False, True])
def test_the_scans_are_the_loop_gradients_too(form, length, start):
    a, b, h0 = drawn(length)
    inputs = [x.requires_grad_() for x in ((a, b, h0) if start else (a, b))]
    expected, found = scan.scan_loop(*inputs), form(*inputs)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-10)
    upstream = torch.randn(expected.shape, dtype=torch.float64)
    wanted = torch.autograd.grad(expected, inputs, upstream, materialize_grads=True)
    given = torch.autograd.grad(found, inputs, upstream, materialize_grads=True)
    torch.testing.assert_close(given, wanted, rtol=1e-7, atol=1e-10)


def test_the_loop_is_the_formula_by_hand():
    a, b = torch.tensor([[0.5, 0.5, 2.0]]), torch.tensor([[1.0, 2.0, -1.0]])
    assert scan.scan_loop(a, b).tolist() == [[1.0, 2.5, 4.0]]
    assert scan.scan_loop(a, b, torch.tensor([4.0])).tolist() == [[3.0, 3.5, 6.0]]


def test_the_own_backward_passes_gradcheck():
    a, b, h0 = (x.requires_grad_() for x in drawn(6))
    assert torch.autograd.gradcheck(scan.linear_scan, (a, b, h0))


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 3, 5)])
def test_any_number_of_dimensions(shape):
    a, b, h0 = drawn(9, shape)
    torch.testing.assert_close(scan.linear_scan(a, b, h0), scan.scan_loop(a, b, h0))


def test_logarithms_give_the_logarithm_of_the_loop():
    a, b, _ = drawn(40)
    a, b = a.abs() + 1e-3, b.abs() + 1e-3
    found = scan.scan_log(a.log(), b.log()).exp()
    torch.testing.assert_close(found, scan.scan_loop(a, b), rtol=1e-7, atol=0)


def test_logarithms_keep_what_underflows():
    """400 factors of 0.1: the product is 0 in float32, its logarithm is not."""
    log_a = torch.full((1, 400), math.log(0.1))
    log_b = torch.cat([torch.zeros(1, 1), torch.full((1, 399), -2000.0)], dim=1)
    found = scan.scan_log(log_a, log_b)
    assert found[0, -1].item() == pytest.approx(399 * math.log(0.1), rel=1e-5)
    assert scan.scan_loop(log_a.exp(), log_b.exp())[0, -1] == 0


def test_combining_is_associative_and_not_commutative():
    (a, b, _), (c, d, _), (e, f, _) = (drawn(1, seed=seed) for seed in range(3))
    one, two, three = (a, b), (c, d), (e, f)
    left = scan.combine(scan.combine(one, two), three)
    right = scan.combine(one, scan.combine(two, three))
    torch.testing.assert_close(left, right)
    assert not torch.allclose(scan.combine(one, two)[1], scan.combine(two, one)[1])


@pytest.mark.parametrize("length", [2, 3, 16, 100, 1024])
def test_work_and_depth(length):
    rounds = math.ceil(math.log2(length))
    work, depth = scan.work_and_depth(scan.scan_doubling, length)
    assert depth == rounds and work == sum(length - 2**k for k in range(rounds))
    work, depth = scan.work_and_depth(scan.scan_tree, length)
    assert work < 2 * length and depth <= 2 * rounds


def test_a_state_never_depends_on_a_later_step():
    a, b, _ = drawn(16)
    b.requires_grad_()
    for form in PARALLEL:
        (gradient,) = torch.autograd.grad(form(a, b)[:, 5].sum(), b)
        assert gradient[:, 6:].abs().max() == 0 and gradient[:, 5].abs().min() > 0


@pytest.mark.parametrize("form", [scan.scan_loop, *PARALLEL], ids=lambda f: f.__name__)
def test_shapes_that_do_not_fit_are_refused(form):
    with pytest.raises(ValueError, match="T of 1 or more"):
        form(torch.ones(2, 0), torch.ones(2, 0))
    with pytest.raises(ValueError, match="must both be"):
        form(torch.ones(2, 3), torch.ones(2, 4))
