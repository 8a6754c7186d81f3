"""The functions of minimal.py: the steps of our classes, of torch.optim, and of each other.

Each function adds to the last one; where the addition is off, the two take the same steps.
"""

from pathlib import Path

import pytest
import torch

from chapter_03_optimization_regularization import optimizers as ours
from chapter_03_optimization_regularization.optimizers import minimal
from utils.seed import generator

PAGES = Path(ours.__file__).parents[1] / "docs"
STEPS = 50
SHAPES = [(3, 4), (4,), ()]  # a matrix, a bias, a number
HUGE = 1e30  # as eps, next to which sqrt(v^) is nothing in float64: Adam's scale is off


def draw(seed):
    """A tensor of each shape, in float64."""
    rng = generator(seed)
    return [torch.randn(shape, dtype=torch.float64, generator=rng) for shape in SHAPES]


def zeros():
    return [torch.zeros(shape, dtype=torch.float64) for shape in SHAPES]


def gradients_at(parameters, t):
    """They depend on the place and on the step, so that a wrong step changes all that follow."""
    return [p.detach().cos() + noise for p, noise in zip(parameters, draw(t), strict=True)]


def walk(step):
    """The places after each step; step(parameters, gradients, t) changes the parameters."""
    parameters, places = draw(0), []
    for t in range(1, STEPS + 1):
        step(parameters, gradients_at(parameters, t), t)
        places.append([p.clone() for p in parameters])
    return places


def walk_of(kind, **options):
    """The same with an optimiser's class."""
    parameters = [torch.nn.Parameter(p) for p in draw(0)]
    optimizer, places = kind(parameters, **options), []
    for t in range(1, STEPS + 1):
        for p, g in zip(parameters, gradients_at(parameters, t), strict=True):
            p.grad = g
        optimizer.step()
        places.append([p.detach().clone() for p in parameters])
    return places


def descend(lr):
    return walk(lambda p, g, t: minimal.gradient_descent(p, g, lr))


def roll(lr, beta):
    sums = zeros()
    return walk(lambda p, g, t: minimal.momentum(p, g, sums, lr, beta))


def adapt(**options):
    means, squares = zeros(), zeros()
    return walk(lambda p, g, t: minimal.adam(p, g, means, squares, t, **options))


def assert_same(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("library", [ours, torch.optim], ids=["ours", "torch"])
def test_gradient_descent_takes_the_steps_of_sgd(library):
    assert_same(descend(0.1), walk_of(library.SGD, lr=0.1))


@pytest.mark.parametrize("library", [ours, torch.optim], ids=["ours", "torch"])
@pytest.mark.parametrize("beta", [0.5, 0.9])
def test_momentum_takes_the_steps_of_sgd_with_momentum(library, beta):
    assert_same(roll(0.03, beta), walk_of(library.SGD, lr=0.03, momentum=beta))


@pytest.mark.parametrize("library", [ours, torch.optim], ids=["ours", "torch"])
@pytest.mark.parametrize("options", [{}, {"lr": 0.1, "eps": 1e-3}])
def test_adam_takes_the_steps_of_adam(library, options):
    assert_same(adapt(**options), walk_of(library.Adam, **options))
    others = adapt(lr=0.02, beta1=0.8, beta2=0.95)
    assert_same(others, walk_of(library.Adam, lr=0.02, betas=(0.8, 0.95)))


def test_momentum_zero_is_gradient_descent():
    torch.testing.assert_close(roll(0.1, 0.0), descend(0.1), rtol=0, atol=0)


def test_adam_without_its_scale_is_momentum_with_a_mean_for_the_sum():
    """m^ = (1 - beta) / (1 - beta^t) b: the momentum whose rate is that much smaller."""
    beta, lr, sums = 0.9, 0.03, zeros()

    def with_a_mean(p, g, t):
        minimal.momentum(p, g, sums, lr * (1 - beta) / (1 - beta**t), beta)

    assert_same(adapt(lr=lr * HUGE, beta1=beta, eps=HUGE), walk(with_a_mean))


def test_adam_without_memory_and_scale_is_gradient_descent():
    assert_same(adapt(lr=0.1 * HUGE, beta1=0.0, eps=HUGE), descend(0.1))


def test_adam_without_memory_steps_by_the_sign():
    def by_sign(parameters, gradients, t):
        for p, g in zip(parameters, gradients, strict=True):
            p -= 0.01 * g.sign()

    assert_same(adapt(lr=0.01, beta1=0.0, beta2=0.0, eps=0.0), walk(by_sign))


def test_they_change_a_model_in_place_and_leave_its_gradients():
    weight = torch.nn.Parameter(torch.ones(2, 3))
    gradients = torch.autograd.grad((weight**2).sum(), [weight])
    before = [g.clone() for g in gradients]
    minimal.gradient_descent([weight], gradients, 0.25)
    minimal.momentum([weight], gradients, [torch.zeros(2, 3)], 0.25)
    assert torch.equal(weight, torch.zeros(2, 3))
    minimal.adam([weight], gradients, [torch.zeros(2, 3)], [torch.zeros(2, 3)], 1, lr=0.5)
    torch.testing.assert_close(weight.detach(), torch.full((2, 3), -0.5))
    assert torch.equal(gradients[0], before[0]) and weight.requires_grad


def test_a_list_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="shorter"):
        minimal.momentum([torch.zeros(2)] * 2, [torch.zeros(2)] * 2, [torch.zeros(2)], 0.1)


def test_the_step_counts_in_its_docstring_and_on_page_3_are_what_it_prints(capsys):
    minimal.main()
    lines = capsys.readouterr().out.splitlines()
    counts = [int(line.split()[-2]) for line in lines]
    english, chinese = "{}, {} and {} steps".format(*counts), "{}、{} 和 {} 步".format(*counts)
    assert english in minimal.__doc__
    assert english in (PAGES / "03_adaptive_methods.md").read_text(encoding="utf-8")
    assert chinese in (PAGES / "03_adaptive_methods.zh-CN.md").read_text(encoding="utf-8")
    assert counts[1] < counts[2] < counts[0]
