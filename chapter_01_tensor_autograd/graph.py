"""The graph under a tensor, and the walk that differentiates it.

What you learn: how a framework records a computation and runs it backwards. Each operation
`y = f(a, b, ...)` stores one *edge* per input: the input, and its vector-Jacobian product (VJP)

    VJP_a : dL/dy  ->  dL/da = (dy/da)^T dL/dy ,

a function from the gradient of the result to the gradient of that input; the Jacobian dy/da itself
is never built. `propagate` sorts the graph so that each tensor comes after all of its uses, and
pushes gradients along the edges, adding them where paths meet.

Three things make this an engine rather than a sketch:

- VJPs are written with tensor operations. Recorded in their turn (`create_graph=True`), they are a
  graph as well, which can be differentiated again.
- A value that a VJP will read must still be what it was. Every in-place change raises a version
  counter, and `propagate` compares.
- Nothing recurses, so depth is limited by memory only.

Survey: Baydin et al., "Automatic differentiation in machine learning: a survey" (2018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

ndarray = np.ndarray
T = TypeVar("T", bound="Node")

# (input, VJP[, values that the VJP reads ...]). A VJP is called as vjp(gradient, y): its own output
# is handed to it, because a VJP that captured y would make the cycle y -> edges -> VJP -> y, and
# memory in cycles is not released until the garbage collector looks for it.
Edge = tuple
OUTPUT = object()  # stands for "the operation's own output" among the values that a VJP reads

_recording = True


@contextmanager
def _record_graph(enabled: bool) -> Iterator[None]:
    global _recording
    before, _recording = _recording, enabled
    try:
        yield
    finally:
        _recording = before


def no_grad():
    """Compute without recording a graph: `with no_grad(): ...`, or as a decorator."""
    return _record_graph(False)


class Node:
    """An array, and edges to what it was computed from. `tensor.Tensor` adds the operators."""

    __slots__ = ("_edges", "_reads", "_version", "data", "grad", "op", "requires_grad")

    data: np.ndarray
    requires_grad: bool
    grad: Node | None  # filled by backward(), on leaves only
    op: str  # the operation that made it; "" for a leaf
    _edges: tuple[Edge, ...] | None  # None once the graph has been freed
    _reads: list[tuple[list[int], int]]  # (counter, its state at recording) of each saved value
    _version: list[int]  # a one-element list, so that views can share the counter

    @property
    def parents(self) -> tuple[Node, ...]:
        """The tensors this one was computed from, of those that require a gradient."""
        return tuple(edge[0] for edge in self._edges or ())

    @property
    def version(self) -> int:
        """How often this tensor's memory has been changed in place."""
        return self._version[0]

    def detach(self: T) -> T:
        """The same memory, cut from the graph."""
        out = constant(self.data, self)
        out._version = self._version
        return out

    def zero_grad(self) -> None:
        self.grad = None

    def backward(self, grad=None, retain_graph: bool = False) -> None:
        """Add d(self)/d(leaf) to `.grad` of every leaf; `grad` is dL/d(self), 1 for a scalar."""
        found = propagate([self], [_seed(self, grad, "backward()")], None, retain_graph, False)
        with no_grad():
            for leaf, gradient in found.items():
                # A copy: one array may be the gradient of several leaves, or a read-only view.
                first = leaf.grad is None
                leaf.grad = constant(gradient.data.copy(), leaf) if first else leaf.grad + gradient


def constant(data, like: T) -> T:
    """A tensor of the class of `like` around `data` (not copied), with no graph."""
    cls = like.__class__
    out = cls.__new__(cls)
    out.data = data if data.__class__ is ndarray else np.asarray(data)
    out.requires_grad = False
    out.grad = None
    out.op = ""
    out._edges = ()
    out._reads = ()
    out._version = [0]
    return out


def record(op: str, data, *edges: Edge):
    """The output of an operation, with the edges to those inputs that require a gradient."""
    out = constant(data, edges[0][0])
    if not _recording:
        return out
    kept = [edge for edge in edges if edge[0].requires_grad]
    if not kept:
        return out
    out.requires_grad = True
    out.op = op
    out._edges = kept
    reads = out._reads = []
    for edge in kept:
        for value in edge[2:]:
            version = out._version if value is OUTPUT else value._version
            reads.append((version, version[0]))
    return out


def record_view(op: str, data: np.ndarray, source: T, vjp: Callable) -> T:
    """As `record`, for an output that may share memory with `source`, hence also its counter."""
    out = record(op, data, (source, vjp))
    out._version = source._version
    return out


def change_in_place(tensor: T, function: Callable, other) -> T:
    """tensor.data = function(tensor.data, other) in the same memory, and counted."""
    if _recording and (tensor.requires_grad or getattr(other, "requires_grad", False)):
        raise RuntimeError(
            "in-place change of (or with) a tensor that requires grad cannot be recorded: "
            "do it inside `with no_grad():`, or use the out-of-place operation"
        )
    if not tensor.data.flags.writeable:  # expand and unfold make such views
        raise RuntimeError(
            f"in-place change of a view of shape {tensor.data.shape} in which several numbers are "
            "one place in memory: copy it first, Tensor(x)"
        )
    other = other.data if isinstance(other, Node) else np.asarray(other)
    try:
        function(tensor.data, other, out=tensor.data, casting="same_kind")
    except ValueError:
        raise ValueError(
            f"in-place {function.__name__}: shape {other.shape} does not broadcast to the shape "
            f"{tensor.data.shape} of the tensor that is changed"
        ) from None
    tensor._version[0] += 1
    return tensor


def grad(
    outputs: Node | Sequence[Node],
    inputs: Node | Sequence[Node],
    grad_outputs=None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> tuple[Node, ...]:
    """d(outputs)/d(input) for each input, as a tuple; `.grad` is left alone.

    `grad_outputs` holds dL/d(output) for each output (default: 1, for scalars). With `create_graph`
    the result can be differentiated again. An input that the outputs do not depend on gets zeros.
    """
    outputs = [outputs] if isinstance(outputs, Node) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Node) else list(inputs)
    if grad_outputs is None or not isinstance(grad_outputs, (list, tuple)):
        grad_outputs = [grad_outputs] * len(outputs)
    if len(grad_outputs) != len(outputs):
        raise ValueError(f"grad(): {len(outputs)} outputs but {len(grad_outputs)} grad_outputs")
    if not all(tensor.requires_grad for tensor in inputs):
        raise RuntimeError("grad(): an input does not require grad")
    seeds = [_seed(y, seed, "grad()") for y, seed in zip(outputs, grad_outputs, strict=True)]
    keep = create_graph if retain_graph is None else retain_graph
    found = propagate(outputs, seeds, set(inputs), keep, create_graph)
    return tuple(
        found[tensor] if tensor in found else constant(np.zeros_like(tensor.data), tensor)
        for tensor in inputs
    )


def _seed(output: T, gradient, caller: str) -> T:
    """The gradient that the walk starts from, checked."""
    if not output.requires_grad:
        raise RuntimeError(
            f"{caller} of a tensor that does not require grad: it was not computed from a "
            "Tensor(..., requires_grad=True), or under no_grad()"
        )
    if gradient is None:
        if output.data.size != 1:
            raise RuntimeError(
                f"{caller} of a tensor of shape {output.data.shape} needs the gradient to start "
                "from: only a scalar's is known to be 1. Reduce it (.sum(), .mean()) or pass one"
            )
        return constant(np.ones_like(output.data), output)
    if not isinstance(gradient, Node):
        gradient = constant(np.asarray(gradient, dtype=output.data.dtype), output)
    if gradient.data.shape != output.data.shape:
        raise ValueError(
            f"{caller}: the gradient has shape {gradient.data.shape}, "
            f"the tensor has shape {output.data.shape}"
        )
    return gradient


def topological_order(outputs: Sequence[Node], targets: set[Node] | None = None) -> list[Node]:
    """All tensors that `outputs` were computed from, each one after its own parents."""
    order, seen, stack = [], set(), [(output, False) for output in outputs]
    while stack:
        tensor, parents_done = stack.pop()
        if parents_done:
            order.append(tensor)
        elif tensor not in seen:
            seen.add(tensor)
            stack.append((tensor, True))
            if tensor._edges:
                stack.extend([(edge[0], False) for edge in tensor._edges])
            elif tensor._edges is None and tensor not in (targets or ()):
                raise RuntimeError(
                    f"the graph behind this '{tensor.op}' was freed by an earlier backward pass; "
                    "give that one retain_graph=True to walk the graph again"
                )
    return order


def propagate(
    outputs: Sequence[Node],
    seeds: Sequence[Node],
    targets: set[Node] | None,
    retain_graph: bool,
    create_graph: bool,
) -> dict[Node, Node]:
    """Push the seeds back through the graph; the gradients of `targets` (None: of all leaves)."""
    order = topological_order(outputs, targets)
    wanted = None if targets is None else _on_a_path(order, targets)
    grads: dict[Node, Node] = {}  # complete when its tensor is popped from `order`
    found: dict[Node, Node] = {}
    with _record_graph(create_graph):
        for output, seed in zip(outputs, seeds, strict=True):
            grads[output] = grads[output] + seed if output in grads else seed
        while order:
            tensor = order.pop()
            gradient = grads.pop(tensor, None)
            if gradient is not None:
                if not tensor._edges if targets is None else tensor in targets:
                    found[tensor] = gradient
                _push(tensor, gradient, grads, wanted)
            if not retain_graph and tensor._edges:
                # Cutting link by link here also spares Python a deep recursion of destructors.
                tensor._edges = None
                tensor._reads = ()
    return found


def _push(tensor: Node, gradient: Node, grads: dict[Node, Node], wanted: set[Node] | None) -> None:
    """One step of the chain rule: the gradient of a tensor, on to its parents."""
    for version, recorded in tensor._reads:
        if version[0] != recorded:
            raise RuntimeError(
                f"a value saved for the backward pass of '{tensor.op}' (output of shape "
                f"{tensor.data.shape}) was changed in place: it is at version {version[0]}, "
                f"but version {recorded} was saved"
            )
    for edge in tensor._edges or ():
        parent = edge[0]
        if wanted is None or parent in wanted:
            contribution = edge[1](gradient, tensor)
            grads[parent] = grads[parent] + contribution if parent in grads else contribution


def _on_a_path(order: Sequence[Node], targets: set[Node]) -> set[Node]:
    """The tensors that depend on a target; the others need no gradient."""
    wanted = set(targets)
    for tensor in order:  # parents first
        if any(edge[0] in wanted for edge in tensor._edges or ()):
            wanted.add(tensor)
    return wanted
