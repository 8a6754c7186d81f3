"""What the grader of chapter 1 compares with: brute force, and graphs, jets and plans to try."""

import itertools
import math
import threading

import numpy as np

from utils.grading import alike, because


def same(result, expected, words, mistakes=(), rtol=1e-9, atol=1e-12):
    """`result` has the shape and the numbers of `expected`; `mistakes`: pairs (reason, value)."""
    assert result is not None, "the function returned None: is the `return` missing?"
    result, expected = np.asarray(result), np.asarray(expected)
    reasons = [reason for reason, value in mistakes if alike(result, value)]
    why = because(result, expected, reasons)
    assert result.shape == expected.shape, (
        f"{words}: expected an array of shape {expected.shape}, got shape {result.shape}{why}"
    )
    assert np.allclose(result, expected, rtol=rtol, atol=atol), (
        f"{words}: expected {short(expected)}, got {short(result)}{why}"
    )


def short(array):
    return np.array2string(np.asarray(array), precision=4, threshold=12, edgeitems=2)


class Node:
    """A node of a graph. It counts how often its parents are asked for."""

    asked = 0

    def __init__(self, name, *parents):
        self.name, self._parents = name, parents

    @property
    def parents(self):
        Node.asked += 1
        assert Node.asked < 1_000_000, (
            "the parents of the nodes were asked for a million times in a graph of 200 nodes: "
            "there are 2^66 paths through it, so visit each node once and not each path"
        )
        return self._parents

    def __repr__(self):
        return self.name


def random_graphs(ex, rng):
    for _ in range(30):
        nodes = []
        for i in range(12):
            picked = rng.choice(i, size=min(i, rng.integers(1, 4)), replace=False) if i else []
            nodes.append(Node(f"n{i}", *(nodes[j] for j in picked)))
        reached, frontier = set(), [nodes[-1]]
        while frontier:
            node = frontier.pop()
            reached.add(node)
            frontier.extend(node._parents)
        check_sorted(ex, nodes[-1], len(reached))


def check_sorted(ex, result, count):
    Node.asked = 0
    try:
        order = ex.topological_order(result)
    except RecursionError:
        raise AssertionError(
            f"a graph of {count} nodes broke the recursion limit: replace the recursion by a loop "
            "with a stack of your own"
        ) from None
    assert order is not None, "topological_order returned None: is the `return` missing?"
    order = list(order)
    shown = order if len(order) < 13 else f"a list of {len(order)} nodes"
    assert len(order) == len(set(order)), f"a node stands in the list twice: {shown}"
    assert len(order) == count, f"{count} nodes lead to {result!r}, but the list is {shown}"
    place = {node: i for i, node in enumerate(order)}
    for node in order:
        late = [parent for parent in node._parents if place.get(parent, count) > place[node]]
        assert not late, (
            f"{node!r} stands before its parent {late[0]!r} in {shown}: append a node only when "
            "all of its parents have been appended"
            + (" (is the list the wrong way round?)" if order[0] is result and count > 1 else "")
        )


def softmax_vjp_slowly(y, gradient, axis):
    rows, gradients = np.moveaxis(y, axis, -1), np.moveaxis(gradient, axis, -1)
    result = np.empty(rows.shape)
    for index in np.ndindex(rows.shape[:-1]):
        jacobian = np.diag(rows[index]) - np.outer(rows[index], rows[index])  # (n, n)
        result[index] = gradients[index] @ jacobian
    return np.moveaxis(result, -1, axis)


def slowly(x, change_of_loss):
    """The gradient of a linear map: its value for a change of 1 in each entry of x in turn."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        unit = np.zeros(x.shape)
        unit[index] = 1.0
        gradient[index] = change_of_loss(unit)
    return gradient


def heron(x):
    """The square root of x by a loop that stops when it is good enough."""
    root = x
    for _ in range(50):
        root = (root + x / root) * 0.5
    return root


def jet_cases(x):
    """Name, function, and by hand: value, first and second derivative at x."""
    e, g, s, root = math.exp(x), math.exp(x * x), 1 / (1 + math.exp(-x)), math.sqrt(x)
    ds = s * (1 - s)
    return [
        ("x + 3", lambda t: t + 3, x + 3, 1, 0),
        ("3 - x", lambda t: 3 - t, 3 - x, -1, 0),
        ("x + x", lambda t: t + t, 2 * x, 2, 0),
        ("x * x", lambda t: t * t, x * x, 2 * x, 2),
        ("2 * x * x * x", lambda t: 2 * t * t * t, 2 * x**3, 6 * x**2, 12 * x),
        ("1 / x", lambda t: 1 / t, 1 / x, -1 / x**2, 2 / x**3),
        ("x / x", lambda t: t / t, 1, 0, 0),
        ("(1 + x) / x", lambda t: (1 + t) / t, 1 + 1 / x, -1 / x**2, 2 / x**3),
        ("exp(x)", lambda t: t.exp(), e, e, e),
        ("exp(x * x)", lambda t: (t * t).exp(), g, 2 * x * g, (2 + 4 * x * x) * g),
        ("x * exp(-x)", lambda t: t * (-t).exp(), x / e, (1 - x) / e, (x - 2) / e),
        ("1 / (1 + exp(-x))", lambda t: 1 / (1 + (-t).exp()), s, ds, ds * (1 - 2 * s)),
        ("the square root of x, found by a loop", heron, root, 0.5 / root, -0.25 / root**3),
        ("x * x if x > 1 else -x", lambda t: t * t if t > 1 else -t, x * x, 2 * x, 2),
    ]


def check_number(result, expected, words):
    right = math.isclose(result, expected, rel_tol=1e-9, abs_tol=1e-9)
    assert right, f"{words} is {expected:.6g}, but the Jet has {result:.6g}"


def twice_differentiated(ex, f, x, v, where):
    """H v; an engine that finds no graph of the gradient is explained."""
    try:
        return ex.hessian_vector_product(f, x, v)
    except NotImplementedError:  # not solved yet; it is a RuntimeError too
        raise
    except RuntimeError as error:
        raise AssertionError(
            f"{where}: the gradient cannot be differentiated: is create_graph=True missing in the "
            f"first grad? ({error})"
        ) from None


def peak(sizes, plan):
    """The memory that a plan needs, from the definition."""
    kept = sum(sizes[i] for i in plan)
    edges = [-1, *plan, len(sizes)]
    return kept + max(sum(sizes[i + 1 : j]) for i, j in itertools.pairwise(edges))


def within(seconds, function, *args):
    """function(*args), given up after some seconds."""
    outcome = {}

    def target():
        try:
            outcome["result"] = function(*args)
        except Exception as error:
            outcome["error"] = error

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join(seconds)
    layers = len(args[0])
    assert not thread.is_alive() or layers > 20, (
        f"not done after {seconds} s with {layers} layers: a loop that never ends?"
    )
    assert not thread.is_alive(), (
        f"not done after {seconds} s with {layers} layers: if it tries all plans, there are "
        f"2^{layers} of them, and hint 1 shows the way; if not, it is very slow: some n^4 steps do"
    )
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


def worst(result, expected):
    return np.max(np.abs(np.asarray(result) - expected) / np.maximum(np.abs(expected), 1))
