"""Toy problems: reproducible, around their noise-free function, with the noise asked for."""

import numpy as np
import pytest

from utils.datasets import toy

GENERATORS = [toy.sine_curve, toy.noisy_surface, toy.spiral, toy.two_moons]


@pytest.mark.parametrize("generate", GENERATORS)
def test_the_seed_alone_decides(generate):
    np.random.seed(1)
    first = generate(50, seed=3)
    np.random.seed(2)
    for a, b in zip(first, generate(50, seed=3), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], generate(50, seed=4)[0])


def test_sine_curve():
    x, y = toy.sine_curve(20_000, noise=0.2, seed=0, low=-1, high=2)
    assert x.shape == y.shape == (20_000, 1)
    assert x.min() >= -1 and x.max() <= 2
    assert (y - toy.true_curve(x)).std() == pytest.approx(0.2, rel=0.03)
    np.testing.assert_allclose(toy.true_curve(np.pi / 2), 1 - 0.4)  # sin 90° + 0.4 sin 270°
    np.testing.assert_allclose(toy.true_curve(x), toy.true_curve(x + 2 * np.pi), atol=1e-12)


def test_noisy_surface():
    points, z = toy.noisy_surface(20_000, noise=0.1, seed=0)
    assert points.shape == (20_000, 2) and z.shape == (20_000, 1)
    truth = toy.true_surface(points[:, :1], points[:, 1:])
    assert (z - truth).std() == pytest.approx(0.1, rel=0.03)
    for height, u, v, _ in toy.HILLS:  # each hill stands where it is said to
        assert toy.true_surface(u, v) == pytest.approx(height, abs=0.25)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_spiral(classes):
    points, labels = toy.spiral(80, classes, noise=0, seed=0)
    assert points.shape == (80 * classes, 2)
    np.testing.assert_array_equal(np.bincount(labels), [80] * classes)
    for k in range(classes):
        own = points[labels == k]
        radius = np.linalg.norm(own, axis=1)
        np.testing.assert_allclose(own, toy.spiral_arm(radius, k, classes), atol=1e-12)


def test_two_moons():
    points, labels = toy.two_moons(100, noise=0)
    np.testing.assert_allclose(np.linalg.norm(points[labels == 0], axis=1), 1)
    np.testing.assert_allclose(np.linalg.norm(points[labels == 1] - [1, 0.5], axis=1), 1)
    noisy, _ = toy.two_moons(20_000, noise=0.1)
    clean, _ = toy.two_moons(20_000, noise=0)
    assert (noisy - clean).std() == pytest.approx(0.1, rel=0.03)
