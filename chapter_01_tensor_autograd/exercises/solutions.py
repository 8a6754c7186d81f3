"""Solutions of chapter 1's exercises. Try first: `exercises.py` has the tasks and the hints.

They pass the same grader: `python -m course check 1 --solutions`.
"""

import math
from itertools import accumulate

import numpy as np

from chapter_01_tensor_autograd.tensor import Tensor, grad


def sum_to_shape(gradient, shape):
    added = gradient.ndim - len(shape)
    gradient = gradient.sum(axis=tuple(range(added)))  # now as many axes as `shape`
    stretched = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return gradient.sum(axis=stretched, keepdims=True)


def numerical_gradient(f, x):
    x = np.array(x)  # a copy: the caller's array stays as it is
    slope = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        here = x[index]
        # The cube root of eps balances the two errors; scaled, as the spacing of floats grows.
        h = np.finfo(x.dtype).eps ** (1 / 3) * max(1.0, abs(here))
        x[index] = here + h
        above = f(x)
        x[index] = here - h
        below = f(x)
        x[index] = here
        slope[index] = (above - below) / (2 * h)
    return slope


def topological_order(result):
    order, seen, stack = [], set(), [(result, False)]
    while stack:
        node, parents_done = stack.pop()
        if parents_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))  # comes by again below its parents
            stack.extend((parent, False) for parent in node.parents)
    return order


def softmax_vjp(y, gradient, axis=-1):
    s = (gradient * y).sum(axis=axis, keepdims=True)
    return y * (gradient - s)


def matmul_vjp(a, b, gradient):
    da = gradient @ np.swapaxes(b, -1, -2)  # (..., n, m) @ (..., m, k) -> (..., n, k)
    db = np.swapaxes(a, -1, -2) @ gradient  # (..., k, n) @ (..., n, m) -> (..., k, m)
    return sum_to_shape(da, a.shape), sum_to_shape(db, b.shape)


class Jet:
    def __init__(self, value, first=0.0, second=0.0):
        self.value = value
        self.first = first
        self.second = second

    def __add__(self, other):
        other = as_jet(other)
        return Jet(self.value + other.value, self.first + other.first, self.second + other.second)

    def __mul__(self, other):
        other = as_jet(other)
        first = self.first * other.value + self.value * other.first
        second = self.second * other.value + self.value * other.second
        return Jet(self.value * other.value, first, second + 2 * self.first * other.first)

    def reciprocal(self):
        r = 1 / self.value
        return Jet(r, -self.first * r**2, (2 * self.first**2 * r - self.second) * r**2)

    def exp(self):
        value = math.exp(self.value)
        return Jet(value, value * self.first, value * (self.second + self.first**2))

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    def __radd__(self, other):
        return self + other

    def __rmul__(self, other):
        return self * other

    def __truediv__(self, other):
        return self * (other.reciprocal() if isinstance(other, Jet) else 1.0 / other)

    def __rtruediv__(self, other):
        return self.reciprocal() * other

    def __lt__(self, other):
        return self.value < (other.value if isinstance(other, Jet) else other)

    def __gt__(self, other):
        return self.value > (other.value if isinstance(other, Jet) else other)


def as_jet(number):
    return number if isinstance(number, Jet) else Jet(number)


def hessian_vector_product(f, x, v):
    t = Tensor(x, requires_grad=True)
    (g,) = grad(f(t), t, create_graph=True)
    if not g.requires_grad:  # f is linear: its gradient is a constant
        return np.zeros_like(x)
    (hv,) = grad((g * v).sum(), t)
    return hv.data


def checkpoint_plan(sizes):
    padded = [0, *sizes, 0]  # an imaginary layer at either end, always kept
    total = [0, *accumulate(padded)]  # total[j] - total[i + 1]: what lies between i and j
    n = len(padded)
    limits = {total[j] - total[i + 1] for i in range(n) for j in range(i + 1, n)}
    best_peak, best_plan = math.inf, []
    for limit in sorted(limits):
        if limit >= best_peak:
            break
        kept, plan = cheapest_plan(padded, total, limit)
        if kept + limit < best_peak:
            best_peak, best_plan = kept + limit, plan
    return best_plan


def cheapest_plan(padded, total, limit):
    """The plan that keeps least, among those with at most `limit` between neighbours."""
    cost, came_from = [0], [None]
    for j in range(1, len(padded)):
        near = [i for i in range(j) if total[j] - total[i + 1] <= limit]
        best = min(near, key=cost.__getitem__)  # never empty: nothing lies between j - 1 and j
        cost.append(padded[j] + cost[best])
        came_from.append(best)
    plan, i = [], came_from[-1]
    while i:  # until the imaginary layer 0
        plan.append(i - 1)
        i = came_from[i]
    return cost[-1], plan[::-1]
