"""The chain rule, step by step: a graph is built, walked backward, and compared with PyTorch.

Part 1 is one training example of a linear model with weight decay, on numbers (`value.py`):

    L = (w x + b - t)^2 + 0.5 w^2

The weight w is used twice, and its two contributions add up. Part 2 is a two-layer network on
arrays (`tensor.py`): the gradient of every intermediate result has the shape of that result, and
each step is a vector-Jacobian product, in which no Jacobian is ever built.

    python chapter_01_tensor_autograd/autograd.py            # 3 s
    python chapter_01_tensor_autograd/autograd.py --quick    # the same

Expected: a trace of both walks, and gradients equal to PyTorch's up to rounding; otherwise the
script fails.
"""

from __future__ import annotations

import sys
from argparse import Namespace

import numpy as np

from chapter_01_tensor_autograd.graph import topological_order
from chapter_01_tensor_autograd.tensor import Tensor, no_grad
from chapter_01_tensor_autograd.value import Value
from utils import cli, plotting
from utils.errors import confirm
from utils.results import table
from utils.run import Run

# What the vector-Jacobian product of an operation computes; g is dL/d(output), y the output.
VJP_FORMULAS = {
    "add": "g, summed over broadcast axes",
    "subtract": "g (left) or -g (right)",
    "matmul": "g @ B^T (left) or A^T @ g (right)",
    "tanh": "g * (1 - y^2)",
    "power": "g * n x^(n-1)",
    "sum": "g, copied to every summand",
    "divide": "g / n",
}


# ---------------------------------------------------------------- part 1: a graph of numbers


def scalar_example() -> dict[str, Value]:
    """The named nodes of L = (w x + b - t)^2 + 0.5 w^2, in the order of computation."""
    x, w, b, t = Value(2.0), Value(3.0), Value(1.0), Value(4.0)
    p = w * x
    q = p + b
    minus_t = -t
    e = q + minus_t
    s = e**2
    r = w**2
    m = r * 0.5
    loss = s + m
    names = ("x", "w", "b", "t", "p = w x", "q = p + b", "-t", "e = q - t")
    nodes = (x, w, b, t, p, q, minus_t, e, s, r, m, loss)
    return dict(zip((*names, "s = e^2", "r = w^2", "m = r / 2", "L = s + m"), nodes, strict=True))


def walk_scalars(nodes: dict[str, Value]) -> list[list]:
    """Backward pass by hand over named nodes, results first: a row for each edge of the graph.

    `Value.backward()` does the same; this one writes down what it does.
    """
    names = {value: name for name, value in nodes.items()}
    gradient = dict.fromkeys(nodes.values(), 0.0)
    gradient[nodes["L = s + m"]] = 1.0  # dL/dL
    rows = []
    for name, value in reversed(nodes.items()):  # computed later = visited earlier
        for parent, slope in zip(value.parents, value.slopes, strict=True):
            if parent not in names:
                continue  # a constant such as the 0.5: nobody asks for its gradient
            contribution = gradient[value] * slope
            gradient[parent] += contribution
            short = names[parent].split(" ")[0]
            rows.append([name, gradient[value], short, slope, contribution, gradient[parent]])
    for name, value in nodes.items():
        value.grad = gradient[value]
        confirm(bool(value.parents) or name in "xwbt", f"{name} was computed from nothing")
    return rows


def print_scalar_walk(nodes: dict[str, Value], rows: list[list]) -> None:
    print("Part 1. Forward: " + ", ".join(f"{n} = {v.data:g}" for n, v in nodes.items()))
    print("\nBackward, from the result to the inputs; one line for each edge:\n")
    print(f"{'node':12}{'dL/dnode':>9}   {'parent':8}{'dnode/dparent':>14}", end="")
    print(f"{'product':>9}{'dL/dparent so far':>20}")
    for name, grad, parent, slope, contribution, total in rows:
        more = "" if contribution == total else "   <- a second use: the sum"
        print(f"{name:12}{grad:9g}   {parent:8}{slope:14g}{contribution:9g}{total:20g}{more}")


def compare_scalars(walked: dict[str, Value]) -> list[list]:
    """dL/d(leaf) from the walk above, from Value.backward() and from PyTorch; all equal."""
    import torch

    engine = scalar_example()
    engine["L = s + m"].backward()
    numbers = {n: torch.tensor(walked[n].data, requires_grad=True) for n in "xwbt"}
    x, w, b, t = numbers.values()
    ((w * x + b - t) ** 2 + 0.5 * w**2).backward()
    rows = [[n, walked[n].grad, engine[n].grad, numbers[n].grad.item()] for n in "xwbt"]
    print("\nleaf     this walk  Value.backward()    PyTorch")
    for name, *grads in rows:
        print(f"{name:6}{grads[0]:12g}{grads[1]:18g}{grads[2]:11g}")
        confirm(grads[0] == grads[1] == grads[2], f"dL/d{name} differs: {grads}")
    return rows


# ----------------------------------------------------------------- part 2: a graph of arrays


def make_arrays(batch: int, hidden: int, seed: int) -> dict[str, np.ndarray]:
    """Inputs, targets and parameters of a network 3 -> hidden -> 2, in float64."""
    rng = np.random.default_rng(seed)
    shapes = {
        "x": (batch, 3),
        "target": (batch, 2),
        "W1": (3, hidden),
        "b1": (hidden,),
        "W2": (hidden, 2),
        "b2": (2,),
    }
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def network_loss(a: dict):
    """Mean squared error; `a` holds our tensors or torch's, the expression is the same."""
    h = (a["x"] @ a["W1"] + a["b1"]).tanh()  # (B, hidden)
    y = h @ a["W2"] + a["b2"]  # (B, 2)
    return ((y - a["target"]) ** 2).mean()


def walk_tensors(loss: Tensor, names: dict[Tensor, str]) -> dict[str, np.ndarray]:
    """Backward pass by hand over our engine's graph, printing each vector-Jacobian product.

    `Tensor.backward()` does the same in `graph.propagate`. Returns the gradients of the leaves.
    """
    order = topological_order([loss])
    label = {tensor: names.get(tensor, f"{tensor.op} #{i}") for i, tensor in enumerate(order)}
    gradients = {loss: Tensor(np.ones_like(loss.data))}
    while order:
        tensor = order.pop()  # all of its uses have been visited: its gradient is complete
        g = gradients[tensor]
        for edge in tensor._edges:
            parent, vjp = edge[0], edge[1]
            with no_grad():
                contribution = vjp(g, tensor)
                seen = gradients.get(parent)
                gradients[parent] = contribution if seen is None else seen + contribution
            print_step(label[tensor], tensor, label[parent], gradients[parent])
    return {names[tensor]: g.data for tensor, g in gradients.items() if tensor in names}


def print_step(name: str, tensor: Tensor, parent: str, gradient: Tensor) -> None:
    size = np.linalg.norm(gradient.data)
    formula = VJP_FORMULAS.get(tensor.op, "")
    print(f"{name:12} {tensor.shape!s:9} -> {parent:12} {gradient.shape!s:9}", end="")
    print(f"|gradient| = {size:<10.4g} {tensor.op}: {formula}")


def compare_tensors(arrays: dict[str, np.ndarray]) -> list[list]:
    """Gradients from the walk, from Tensor.backward() and from PyTorch: a row for each leaf."""
    import torch

    leaves = [name for name in arrays if name != "target"]
    ours = {name: Tensor(a, requires_grad=name in leaves) for name, a in arrays.items()}
    theirs = {name: torch.tensor(a, requires_grad=name in leaves) for name, a in arrays.items()}
    walked = walk_tensors(network_loss(ours), {ours[name]: name for name in leaves})
    network_loss(ours).backward()
    network_loss(theirs).backward()
    rows = []
    for name in leaves:
        reference = theirs[name].grad.numpy()
        np.testing.assert_allclose(walked[name], ours[name].grad.data, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(ours[name].grad.data, reference, rtol=1e-10, atol=1e-14)
        rows.append([name, reference.shape, ours[name].grad.data, reference])
    return rows


def print_tensor_comparison(rows: list[list]) -> None:
    print("\nleaf   shape      largest |gradient|   largest difference from PyTorch")
    for name, shape, mine, reference in rows:
        difference = np.abs(mine - reference).max()
        print(f"{name:6} {shape!s:10} {np.abs(reference).max():18.6f} {difference:33.1e}")
    print("\nAll gradients are equal.")


def gradient_figure(rows: list[list]):
    """The gradients of W1 and W2: ours, PyTorch's, and their difference."""
    chosen = [row for row in rows if row[0] in ("W1", "W2")]
    figure, axes = plotting.subplots(2, 3, width=8.8, height=4.0)
    for line, (name, _, mine, reference) in zip(axes, chosen, strict=True):
        mine, reference = (a if a.shape[0] < a.shape[1] else a.T for a in (mine, reference))
        limit = np.abs(reference).max()
        difference = mine - reference
        last = f"difference (at most {np.abs(difference).max():.0e})"
        panels = {"our engine": mine, "PyTorch": reference, last: difference}
        for ax, (title, values) in zip(line, panels.items(), strict=True):
            image = ax.imshow(values, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit)
            ax.set_title(f"dL/d{name}: {title}", fontsize=8)
            ax.grid(False)
            ax.set_xlabel("hidden neuron")
            ax.set_ylabel("input" if name == "W1" else "output")
            ax.set_xticks(range(values.shape[1]))
            ax.set_yticks(range(values.shape[0]))
        figure.colorbar(image, ax=line)
    return figure


# ----------------------------------------------------------------------------- the script


def result_tables(scalar_walk: list[list], tensors: list[list]) -> dict:
    walk = [
        ("Node", "节点", "s"),
        ("dL/dnode", "dL/d节点", "g"),
        ("Parent", "父节点", "s"),
        ("Local derivative", "局部导数", "g"),
        ("Product", "乘积", "g"),
        ("dL/dparent so far", "dL/d父节点（累计）", "g"),
    ]
    gradients = [
        ("Leaf", "叶节点", "s"),
        ("Shape", "形状", "s"),
        ("Largest gradient", "最大梯度", ".4f"),
        ("Largest difference from PyTorch", "与 PyTorch 的最大差", ".0e"),
    ]
    rows = [[n, str(s), np.abs(b).max(), np.abs(a - b).max()] for n, s, a, b in tensors]
    return {"main": table(walk, scalar_walk), "tensors": table(gradients, rows)}


def build_parser():
    parser = cli.make_parser(
        __doc__,
        examples=[
            "python chapter_01_tensor_autograd/autograd.py",
            "python chapter_01_tensor_autograd/autograd.py --batch_size 1 --hidden 12",
        ],
    )
    add = parser.add_argument_group("the network of part 2").add_argument
    add("--batch_size", type=cli.positive_int, default=4, help="examples")
    add("--hidden", type=cli.positive_int, default=8, help="hidden neurons")
    return parser


def experiment(args: Namespace, run: Run) -> None:
    nodes = scalar_example()
    walk = walk_scalars(nodes)
    print_scalar_walk(nodes, walk)
    scalars = compare_scalars(nodes)

    print("\n\nPart 2. tanh(x W1 + b1) W2 + b2, mean squared error; one line for each edge:\n")
    rows = compare_tensors(make_arrays(args.batch_size, args.hidden, args.seed))
    print_tensor_comparison(rows)
    metrics = {
        "scalar_gradients": {name: theirs for name, _, _, theirs in scalars},
        "largest_difference": max(float(np.abs(a - b).max()) for *_, a, b in rows),
    }
    run.save_result("autograd", metrics, result_tables(walk, rows))
    run.save_figure(gradient_figure(rows), "autograd_gradients")
    print()
    run.finish(
        {"largest_difference": metrics["largest_difference"]},
        next_command="python chapter_01_tensor_autograd/graph_visualization.py",
    )


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
