"""Backpropagation by hand: the gradients of an MLP as matrix formulas, in NumPy.

What you learn: the backward pass of a network is as short as its forward pass, and autograd does
nothing else. With H_0 = X, a batch of B rows, and layers l = 1 .. L:

    forward    Z_l = H_(l-1) W_l^T + b_l        (B, n_l)     W_l (n_l, n_(l-1)), b_l (n_l,)
               H_l = phi(Z_l), but H_L = Z_L                 the last layer is linear
    start      D_L = dloss/dZ_L                 (B, n_L)
                   = 2 (Z_L - Y) / (B n_L)                   mean squared error
                   = (softmax(Z_L) - onehot(y)) / B          softmax cross-entropy
    backward   dW_l = D_l^T H_(l-1)             (n_l, n_(l-1))   a sum over the batch
               db_l = sum of the rows of D_l    (n_l,)
               D_(l-1) = (D_l W_l) * phi'(Z_(l-1))   (B, n_(l-1))

The script prints one such pass with all shapes, compares its gradients with PyTorch's and with the
engine of chapter 1 (equal to about 1e-15), repeats that for networks of up to 32 layers, and trains
on handwritten digits with the hand-derived gradients and with PyTorch's, side by side.

Papers: Linnainmaa 1970; Rumelhart, Hinton & Williams 1986.
Command: `python chapter_02_nn_basics_mlp/backprop_numpy.py` (about five seconds).
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from chapter_01_tensor_autograd.tensor import Tensor
from utils import cli, datasets, plotting
from utils.cli import UserError
from utils.results import table
from utils.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray
Layer = tuple[Array, Array]  # weight (out, in), bias (out,)

# phi, and phi'(Z) from Z and H = phi(Z): tanh' is cheapest from its own output.
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]] = {
    "tanh": (np.tanh, lambda z, h: 1 - h**2),
    "relu": (lambda z: np.maximum(z, 0), lambda z, h: (z > 0).astype(z.dtype)),
}


def init_layers(sizes: Sequence[int], rng: np.random.Generator) -> list[Layer]:
    """Weights for layers sizes[0] -> sizes[1] -> ...; Kaiming's std keeps the signal alive."""
    return [
        (rng.normal(0, np.sqrt(2 / n_in), (n_out, n_in)), rng.normal(0, 0.1, n_out))
        for n_in, n_out in itertools.pairwise(sizes)
    ]


def forward(layers: list[Layer], x: Array, activation: str) -> tuple[list[Array], list[Array]]:
    """H_0 .. H_L and Z_1 .. Z_L: all that the backward pass needs; H_L is the output (B, n_L)."""
    phi, _ = ACTIVATIONS[activation]
    hidden, pre = [x], []
    for number, (weight, bias) in enumerate(layers, start=1):
        pre.append(hidden[-1] @ weight.T + bias)  # (B, n_(l-1)) -> (B, n_l)
        hidden.append(phi(pre[-1]) if number < len(layers) else pre[-1])
    return hidden, pre


def backward(
    layers: list[Layer], hidden: list[Array], pre: list[Array], delta: Array, activation: str
) -> list[Layer]:
    """(dW_l, db_l) for every layer from delta = dloss/dZ_L (B, n_L)."""
    _, derivative = ACTIVATIONS[activation]
    gradients = []
    for index in reversed(range(len(layers))):
        gradients.append((delta.T @ hidden[index], delta.sum(axis=0)))  # (n_l, n_(l-1)), (n_l,)
        if index > 0:  # the gradient of the input X is not needed
            delta = delta @ layers[index][0]  # (B, n_l) -> (B, n_(l-1))
            delta = delta * derivative(pre[index - 1], hidden[index])
    return gradients[::-1]


def mean_squared_error(output: Array, target: Array) -> tuple[float, Array]:
    """Mean of (Z - Y)^2 over all elements, and its derivative (B, n_L)."""
    difference = output - target
    return float((difference**2).mean()), 2 * difference / difference.size


def softmax_cross_entropy(logits: Array, labels: Array) -> tuple[float, Array]:
    """Mean of -log softmax(Z)[y] over the batch, and its derivative (B, K).

    The largest logit of each row is subtracted first: exp of it would overflow above 709.
    """
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # (B, K)
    delta = np.exp(log_probs)
    delta[rows, labels] -= 1
    return float(-log_probs[rows, labels].mean()), delta / len(labels)


LOSSES = {"mse": mean_squared_error, "cross_entropy": softmax_cross_entropy}


def gradients_by_hand(
    layers: list[Layer], x: Array, target: Array, activation: str, loss: str
) -> tuple[float, list[Layer]]:
    """Loss and gradients by the formulas above."""
    hidden, pre = forward(layers, x, activation)
    value, delta = LOSSES[loss](hidden[-1], target)
    return value, backward(layers, hidden, pre, delta, activation)


def gradients_by_torch(
    layers: list[Layer], x: Array, target: Array, activation: str, loss: str
) -> tuple[float, list[Layer]]:
    """The same from PyTorch's autograd."""
    leaves = [torch.tensor(a, requires_grad=True) for layer in layers for a in layer]
    phi = {"tanh": torch.tanh, "relu": torch.relu}[activation]
    h = torch.tensor(x)
    for index in range(0, len(leaves), 2):
        h = h @ leaves[index].T + leaves[index + 1]
        h = phi(h) if index + 2 < len(leaves) else h
    loss_function = {"mse": F.mse_loss, "cross_entropy": F.cross_entropy}[loss]
    value = loss_function(h, torch.tensor(target))
    value.backward()
    return value.item(), _in_pairs([leaf.grad.numpy() for leaf in leaves])


def gradients_by_engine(
    layers: list[Layer], x: Array, target: Array, activation: str, loss: str
) -> tuple[float, list[Layer]]:
    """The same from the engine of chapter 1."""
    leaves = [Tensor(a, requires_grad=True) for layer in layers for a in layer]
    h = Tensor(x)
    for index in range(0, len(leaves), 2):
        h = h @ leaves[index].transpose(0, 1) + leaves[index + 1]
        h = getattr(h, activation)() if index + 2 < len(leaves) else h
    if loss == "mse":
        value = ((h - target) ** 2).mean()
    else:
        value = -h.log_softmax(axis=1)[np.arange(len(target)), target].mean()
    value.backward()
    return value.item(), _in_pairs([leaf.grad.data for leaf in leaves])


def _in_pairs(arrays: list[Array]) -> list[Layer]:
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def relative_difference(ours: list[Layer], theirs: list[Layer]) -> float:
    """Largest difference of an element, as a part of the largest element of its matrix."""
    return max(
        float(np.abs(a - b).max() / max(np.abs(b).max(), np.finfo(b.dtype).tiny))
        for pair_a, pair_b in zip(ours, theirs, strict=True)
        for a, b in zip(pair_a, pair_b, strict=True)
    )


def random_problem(
    sizes: Sequence[int], batch_size: int, loss: str, seed: int
) -> tuple[list[Layer], Array, Array]:
    """Layers, inputs (B, n_0), and targets (B, n_L) or class numbers (B,)."""
    rng = np.random.default_rng(seed)
    layers, x = init_layers(sizes, rng), rng.normal(size=(batch_size, sizes[0]))
    if loss == "mse":
        return layers, x, rng.normal(size=(batch_size, sizes[-1]))
    return layers, x, rng.integers(0, sizes[-1], batch_size)


def print_pass(layers: list[Layer], x: Array, target: Array, activation: str, loss: str) -> None:
    """One forward and backward pass, with the shape of everything."""
    hidden, pre = forward(layers, x, activation)
    value, delta = LOSSES[loss](hidden[-1], target)
    gradients = backward(layers, hidden, pre, delta, activation)
    print(f"forward ({activation}, batch of {len(x)})")
    for number, (weight, bias) in enumerate(layers, start=1):
        last = number == len(layers)
        print(
            f"  Z{number} {pre[number - 1].shape} = H{number - 1} {hidden[number - 1].shape} "
            f"@ W{number}^T {weight.T.shape} + b{number} {bias.shape}"
            + ("" if last else f"   H{number} = {activation}(Z{number})")
        )
    print(f"  {loss} = {value:.6f}")
    print(f"backward\n  D{len(layers)} {delta.shape} = dloss/dZ{len(layers)}")
    for number in range(len(layers), 0, -1):
        rows = f"D{number}^T {(layers[number - 1][1].size, len(x))}"
        print(
            f"  dW{number} {gradients[number - 1][0].shape} = {rows} @ H{number - 1} "
            f"{hidden[number - 1].shape}   db{number} {gradients[number - 1][1].shape} = "
            f"sum of the rows of D{number}"
        )
        if number > 1:
            shape = hidden[number - 1].shape
            print(f"  D{number - 1} {shape} = (D{number} @ W{number}) * phi'(Z{number - 1})")
    print(f"dW1, first row: {np.array2string(gradients[0][0][0], precision=6)}\n")


def compare_over_depth(depths: Sequence[int], seeds: Sequence[int]) -> dict[str, Array]:
    """Difference to PyTorch for each activation and loss: (seeds, depths)."""
    differences = {}
    for activation, loss in itertools.product(ACTIVATIONS, LOSSES):
        rows = []
        for seed in seeds:
            problems = [random_problem([6, *[16] * (d - 1), 4], 8, loss, seed) for d in depths]
            rows.append(
                [
                    relative_difference(
                        gradients_by_hand(*problem, activation, loss)[1],
                        gradients_by_torch(*problem, activation, loss)[1],
                    )
                    for problem in problems
                ]
            )
        differences[f"{activation}, {loss}"] = np.array(rows)
    return differences


def plot_depths(depths: Sequence[int], differences: dict[str, Array]) -> Figure:
    fig, ax = plotting.subplots()
    for name, runs in differences.items():
        plotting.band(ax, depths, runs, name.replace("_", "-"))
    ax.axhline(np.finfo(float).eps, color="0.4", lw=1, label="float64 spacing at 1")
    ax.set(xscale="log", yscale="log", xticks=depths, xticklabels=depths, ylim=(1e-17, 1e-12))
    ax.minorticks_off()
    ax.set(xlabel="depth (layers)", ylabel="largest relative difference of a gradient")
    ax.set_title("Hand-derived gradients against PyTorch's")
    ax.legend(fontsize="small", ncols=2)
    return fig


def train_digits(gradients: Callable, steps: int, seed: int) -> tuple[list[float], float]:
    """Gradient descent on the digits, 64-32-10 tanh: losses, and test accuracy in percent."""
    data = datasets.load("digits")
    x = data.standardise(data.train.images).reshape(-1, 64).astype(np.float64)  # (N, 64)
    rng = np.random.default_rng(seed)
    layers, losses = init_layers([64, 32, 10], rng), []
    for _ in range(steps):
        batch = rng.integers(0, len(x), 64)
        loss, steepest = gradients(
            layers, x[batch], data.train.labels[batch], "tanh", "cross_entropy"
        )
        losses.append(loss)
        layers = [
            (weight - 0.2 * d_weight, bias - 0.2 * d_bias)
            for (weight, bias), (d_weight, d_bias) in zip(layers, steepest, strict=True)
        ]
    test = data.standardise(data.test.images).reshape(-1, 64).astype(np.float64)
    predicted = forward(layers, test, "tanh")[0][-1].argmax(axis=1)
    return losses, 100 * float((predicted == data.test.labels).mean())


def build_parser() -> argparse.ArgumentParser:
    command = "python chapter_02_nn_basics_mlp/backprop_numpy.py"
    parser = cli.make_parser(
        __doc__, examples=[command, f"{command} --sizes 2 8 8 8 3 --activation relu --loss mse"]
    )
    parser.set_defaults(threads=1)  # the matrices are too small for two
    group = parser.add_argument_group("the pass that is printed")
    group.add_argument(
        "--sizes", type=cli.positive_int, nargs="+", default=[3, 4, 4, 2], help="units per layer"
    )
    group.add_argument("--batch_size", type=cli.positive_int, default=5, help="rows of X")
    group.add_argument("--activation", choices=sorted(ACTIVATIONS), default="tanh", help="phi")
    group.add_argument("--loss", choices=sorted(LOSSES), default="cross_entropy", help="loss")
    return parser


def experiment(args: argparse.Namespace, run: Run) -> None:
    if len(args.sizes) < 2:
        raise UserError("--sizes needs two numbers or more: inputs, hidden units, outputs.")
    problem = random_problem(args.sizes, args.batch_size, args.loss, args.seed)
    print_pass(*problem, args.activation, args.loss)
    _, by_hand = gradients_by_hand(*problem, args.activation, args.loss)
    metrics = {}
    for name, other in (("torch", gradients_by_torch), ("chapter_1", gradients_by_engine)):
        theirs = other(*problem, args.activation, args.loss)[1]
        metrics[f"difference_to_{name}"] = relative_difference(by_hand, theirs)

    depths, seeds = [1, 2, 4, 8, 16, 32], list(range(3))
    differences = compare_over_depth(depths, seeds)
    metrics["largest_difference_over_depth"] = max(float(d.max()) for d in differences.values())

    steps = 200 if args.quick else 1000
    losses, percent = train_digits(gradients_by_hand, steps, args.seed)
    torch_losses, torch_percent = train_digits(gradients_by_torch, steps, args.seed)
    for step, pair in enumerate(zip(losses, torch_losses, strict=True)):
        run.log(step=step, loss_by_hand=pair[0], loss_by_torch=pair[1])
    metrics["digits_test_accuracy_percent"] = percent
    metrics["digits_test_accuracy_torch_percent"] = torch_percent
    metrics["digits_largest_loss_difference"] = float(
        np.abs(np.subtract(losses, torch_losses)).max()
    )
    columns = [("Activation, loss", "激活函数与损失", "s")]
    columns += [(f"depth {depth}", f"{depth} 层", ".1e") for depth in depths]
    rows = [[name, *runs.max(axis=0)] for name, runs in differences.items()]
    run.save_result("backprop_numpy", metrics, {"main": table(columns, rows)}, seeds)
    run.save_figure(plot_depths(depths, differences), "backprop_difference")
    run.finish(metrics, next_command="python chapter_02_nn_basics_mlp/mlp.py --mode standard")


def main(argv: Sequence[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
