"""Activation functions compared: slopes, gradients through depth, dead units, accuracy.

What you learn: backward, every layer multiplies the gradient by phi'(z). sigmoid' <= 1/4, so thirty
sigmoid layers leave nothing for the first one; ReLU' is 0 or 1, so the gradient lives, but a unit
whose input is negative for *every* training picture gets no gradient any more: it is dead.

    dL/dz_{l-1} = (dL/dz_l W_l) * phi'(z_{l-1})            z_l = h_{l-1} W_l^T + b_l, h_l = phi(z_l)

One thing changes at a time. Everywhere: digits (8x8 pictures, embedded), width 64, zero biases, 3
seeds, and the same random weights, scaled to Var(w) = gain^2 / n_in with gain^2 = 1 / E[phi(z)^2]
for normal z: the gain that keeps the forward variance at 1 (it is sqrt(2) for ReLU, Kaiming's).
So every signal arrives, and what differs is what the slope phi' does on the way back.

1. Gradient size by layer in a fresh network, over depth.
2. Test accuracy after Adam training, at depth 3 and at depth 20.
3. Dead ReLUs against the learning rate of plain SGD. LeakyReLU is the control: its silent units
   still get a slope of 0.01, and can come back. Runs that diverged have no units to count.
4. The identity: its layers collapse into one matrix (computed), so it stays a linear model.

    python chapter_02_nn_basics_mlp/exp_activations.py                    about 3 minutes, 2 cores

Papers: Glorot & Bengio 2010; Nair & Hinton 2010; Maas et al. 2013; Clevert et al. 2015;
Hendrycks & Gimpel 2016; Ramachandran et al. 2017.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chapter_02_nn_basics_mlp import initialization as init
from chapter_02_nn_basics_mlp.classify import accuracy, train
from chapter_02_nn_basics_mlp.classify_data import Task, load_task
from chapter_02_nn_basics_mlp.layers import Linear
from chapter_02_nn_basics_mlp.losses import CrossEntropyLoss
from chapter_02_nn_basics_mlp.model import ACTIVATIONS, MLP
from utils import cli, plotting
from utils.results import mean_std, table
from utils.run import Run

NAMES = [name for name in ACTIVATIONS if name != "sin"]
GRADIENT_DEPTHS = (2, 5, 10, 20, 30)
TRAIN_DEPTHS = (3, 20)
DEAD_RATES = (0.1, 0.2, 0.4, 0.6, 0.8)
WIDTH = 64
BATCH = 64


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_02_nn_basics_mlp/exp_activations.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --epochs 40"], device=True)
    parser.set_defaults(threads=1)  # the matrices are too small for two
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=cli.positive_int, default=20, help="passes over the digits")
    group.add_argument("--lr", type=cli.positive_float, default=1e-3, help="Adam's learning rate")
    group.add_argument("--seeds", type=cli.positive_int, default=3, help="first weights tried")
    return parser


def make_model(name: str, depth: int, task: Task, seed: int) -> MLP:
    """Only the activation and its gain differ: a seed gives the same random numbers to all."""
    torch.manual_seed(seed)
    model = MLP(task.train[0].shape[1], WIDTH, len(task.classes), depth, name)
    for layer in linear_layers(model):
        # The last layer gets gain 1, to start with modest logits whatever the activation.
        gain = 1.0 if layer is model.net[-1] else forward_gain(name)
        init.normal_(layer.weight, 0.0, gain / layer.in_features**0.5)
        init.zeros_(layer.bias)
    return model.to(task.train[0].device)


@torch.no_grad()
def forward_gain(name: str) -> float:
    """1 / sqrt(E[phi(z)^2]) for standard normal z, by summing over a fine grid."""
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    weight = torch.exp(-z.square() / 2)
    return float((weight.sum() / (weight * ACTIVATIONS[name]()(z).square()).sum()).sqrt())


def linear_layers(model: MLP) -> list[Linear]:
    return [layer for layer in model.net if isinstance(layer, Linear)]


def gradient_norms(name: str, depth: int, task: Task, seed: int) -> np.ndarray:
    """Norm of dL/dW_l for each Linear layer of a fresh network: (depth + 1,)."""
    model = make_model(name, depth, task, seed)
    x, y = task.train
    CrossEntropyLoss()(model(x), y).backward()
    return np.array([layer.weight.grad.norm().item() for layer in linear_layers(model)])


def trained_accuracy(name: str, depth: int, task: Task, seed: int, args: argparse.Namespace):
    """The trained network and its test accuracy."""
    model = make_model(name, depth, task, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)  # chapter 3 builds it
    train(model, *task.train, optimizer, epochs=args.epochs, batch_size=BATCH, seed=seed)
    return model, accuracy(model, task.test)


@torch.no_grad()
def dead_share(model: MLP, x: Tensor) -> float:
    """Share of hidden units whose input z is <= 0 for every row of x; nan after a divergence."""
    dead = total = 0
    for layer in model.net:
        x = layer(x)
        if isinstance(layer, Linear) and layer is not model.net[-1]:
            dead += int((x <= 0).all(dim=0).sum())
            total += x.shape[1]
    return dead / total if x.isfinite().all() else float("nan")


def dead_units(task: Task, args: argparse.Namespace) -> dict[str, dict[str, np.ndarray]]:
    """Dead share and test accuracy (%) over DEAD_RATES x seeds, plain SGD, depth 3."""
    result = {}
    for name in ("relu", "leaky_relu"):
        dead = np.zeros((len(DEAD_RATES), args.seeds))
        test = np.zeros_like(dead)
        for i, rate in enumerate(cli.progress(DEAD_RATES, f"dead units, {name}")):
            for s in range(args.seeds):
                model = make_model(name, 3, task, args.seed + s)
                optimizer = torch.optim.SGD(model.parameters(), lr=rate)
                train(
                    model, *task.train, optimizer, epochs=args.epochs, batch_size=BATCH,
                    seed=args.seed + s,
                )  # fmt: skip
                dead[i, s] = 100 * dead_share(model, task.train[0])
                test[i, s] = 100 * accuracy(model, task.test)
        result[name] = {"dead": dead, "accuracy_percent": test}
    return result


@torch.no_grad()
def collapse(model: MLP) -> Linear:
    """One Linear equal to a whole identity network: W = W_n .. W_1, b = W_n (.. b_1 ..) + b_n."""
    first, *others = linear_layers(model)
    weight, bias = first.weight.double(), first.bias.double()
    for layer in others:
        weight = layer.weight.double() @ weight  # (out, hidden) @ (hidden, in) -> (out, in)
        bias = layer.weight.double() @ bias + layer.bias.double()
    folded = Linear(weight.shape[1], weight.shape[0]).double()
    folded.weight.copy_(weight)
    folded.bias.copy_(bias)
    return folded


def identity_collapse(args: argparse.Namespace) -> dict[str, float]:
    """Train depth 3 on the spiral, with and without a non-linearity; fold the linear network."""
    task, metrics = load_task("spiral", None), {}
    for name in ("identity", "relu"):
        model, share = trained_accuracy(name, 3, task, args.seed, args)
        metrics[f"spiral_{name}"] = 100 * share
        if name == "identity":
            with torch.no_grad():
                x = task.test[0].double()
                difference = (collapse(model)(x) - model.double()(x)).abs().max()
            metrics["largest_difference"] = float(difference)
    return metrics


# --- figures ---


def functions_figure() -> Any:
    """Each function and its derivative; the derivative comes from autograd."""
    fig, axes = plotting.subplots(3, 3, width=9.0, height=6.6, sharex=True)
    for ax, name in zip(axes.flat, NAMES, strict=True):
        x = torch.linspace(-4, 4, 401, requires_grad=True)
        y = ACTIVATIONS[name]()(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        ax.plot(x.detach(), y.detach(), label=r"$\varphi(z)$")
        ax.plot(x.detach(), slope, "--", label=r"$\varphi'(z)$")
        ax.set(title=name, ylim=(-1.5, 2.5))
    axes[0, 0].legend(fontsize=8, loc="upper left")
    for ax in axes[-1]:
        ax.set_xlabel("z")
    return fig


def styled(axes_line: int) -> dict[str, Any]:
    """Nine lines from seven readable colours: the markers tell the last two from the first.

    ReLU's is wide, because leaky ReLU's lies on it.
    """
    marker = "" if axes_line < 7 else plotting.MARKERS[axes_line - 7]
    width = 4.0 if NAMES[axes_line] == "relu" else 1.6
    return {**plotting.look(axes_line % 7), "marker": marker, "ms": 4, "lw": width}


def gradient_figure(norms: dict[str, dict[int, np.ndarray]], depth: int) -> Any:
    """Left: by layer in the deepest network. Right: the first layer's, over depth."""
    fig, (left, right) = plotting.subplots(1, 2, width=10.0, height=4.3)
    for i, name in enumerate(NAMES):
        by_layer = norms[name][depth]  # (seeds, depth + 1)
        left.plot(range(1, depth + 2), gmean(by_layer), label=name, **styled(i))
        first = [gmean(norms[name][d])[0] for d in GRADIENT_DEPTHS]
        right.plot(GRADIENT_DEPTHS, first, label=name, **styled(i))
    left.set(yscale="log", xlabel="layer (1 is next to the input)", ylabel="norm of dL/dW")
    left.set_title(f"fresh network with {depth} hidden layers")
    right.set(yscale="log", xlabel="hidden layers", ylabel="norm of dL/dW in the first layer")
    right.set_title("what reaches the first layer")
    right.legend(fontsize=8, ncols=2, loc="lower left")
    return fig


def gmean(values: np.ndarray) -> np.ndarray:
    """Geometric mean over the seeds, (seeds, layers) -> (layers,): sizes span many decades."""
    return np.exp(np.log(np.maximum(values, 1e-40)).mean(axis=0))


def dead_figure(dead: dict[str, dict[str, np.ndarray]]) -> Any:
    """A dot a seed, a line through the means; a diverged run has no dot on the left."""
    fig, (left, right) = plotting.subplots(1, 2, width=8.8, height=3.6)
    for i, ((name, values), shift) in enumerate(zip(dead.items(), (-1, 1), strict=True)):
        look, marker = plotting.look(i), plotting.MARKERS[i]
        for ax, key in ((left, "dead"), (right, "accuracy_percent")):
            places = np.array(DEAD_RATES) + 0.008 * shift  # side by side
            ax.plot(places, np.nanmean(values[key], axis=1), label=name, **look)
            ax.plot(places, values[key], marker, color=look["color"], ms=3.5)
    left.set(ylabel="units <= 0 on every training picture (%)", ylim=(-2, None))
    right.set(ylabel="test accuracy (%)", ylim=(0, 103))
    for ax in (left, right):
        ax.set(xlabel="learning rate of SGD")
        ax.set_xticks(DEAD_RATES)
    left.legend(fontsize=8)
    right.legend(fontsize=8, loc="lower left")
    return fig


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.epochs, args.seeds = 6, 1
    task = load_task("digits", None).to(run.device)
    seeds = [args.seed + s for s in range(args.seeds)]
    norms = {
        name: {
            d: np.stack([gradient_norms(name, d, task, s) for s in seeds]) for d in GRADIENT_DEPTHS
        }
        for name in cli.progress(NAMES, "gradients by layer")
    }
    scores = {
        name: {
            d: [100 * trained_accuracy(name, d, task, s, args)[1] for s in seeds]
            for d in TRAIN_DEPTHS
        }
        for name in cli.progress(NAMES, "training")
    }
    dead = dead_units(task, args)
    metrics = collect(norms, scores, dead) | {"collapse": identity_collapse(args)}
    run.save_result("activations", metrics, result_tables(metrics), seeds)
    run.save_figure(functions_figure(), "activation_functions")
    run.save_figure(gradient_figure(norms, GRADIENT_DEPTHS[-1]), "activation_gradients")
    run.save_figure(dead_figure(dead), "dead_relus")
    shown = {
        f"{n}, depth 20 (%)": float(metrics[n]["accuracy_depth_20_mean_percent"]) for n in NAMES
    }
    shown |= {f"collapse: {key}": value for key, value in metrics["collapse"].items()}
    run.finish(shown, next_command="python chapter_02_nn_basics_mlp/exp_initialization.py")


def collect(norms: dict, scores: dict, dead: dict) -> dict[str, Any]:
    """Numbers by activation; first_gradient_D is the norm of dL/dW_1 at depth D."""
    metrics: dict[str, Any] = {}
    for name in NAMES:
        row: dict[str, Any] = {}
        for d in GRADIENT_DEPTHS:
            row[f"first_gradient_{d}"] = float(gmean(norms[name][d])[0])
        row["gain"] = forward_gain(name)
        for d, values in scores[name].items():
            pair = mean_std(values)
            row |= {
                f"accuracy_depth_{d}_mean_percent": pair[0],
                f"accuracy_depth_{d}_std_percent": pair[1],
            }
        metrics[name] = row
    diverged = {name: np.isnan(values["dead"]).sum(axis=1) for name, values in dead.items()}
    metrics["dead"] = {"learning_rates": DEAD_RATES, "diverged_runs": diverged, **dead}
    return metrics


def result_tables(metrics: dict[str, Any]) -> dict[str, Any]:
    columns = [("Activation", "激活函数", "s")]
    for d in (10, 30):
        columns.append((f"First layer's gradient, depth {d}", f"首层梯度范数，深度 {d}", ".1e"))
    for d in TRAIN_DEPTHS:
        columns.append((f"Test accuracy (%), depth {d}", f"测试准确率（%），深度 {d}", ".1f"))
    rows = []
    for name in NAMES:
        row = metrics[name]
        test = [
            (row[f"accuracy_depth_{d}_mean_percent"], row[f"accuracy_depth_{d}_std_percent"])
            for d in TRAIN_DEPTHS
        ]
        rows.append([name, row["first_gradient_10"], row["first_gradient_30"], *test])
    dead = metrics["dead"]
    dead_columns = [("Learning rate", "学习率", "g")]
    for name in ("relu", "leaky_relu"):
        dead_columns.append((f"{name}: silent units (%)", f"{name}：沉默单元（%）", ".1f"))
        dead_columns.append((f"{name}: accuracy (%)", f"{name}：准确率（%）", ".1f"))
    dead_rows = []
    for i, rate in enumerate(DEAD_RATES):
        keys = ("dead", "accuracy_percent")
        cells = [dead[n][key][i] for n in ("relu", "leaky_relu") for key in keys]
        dead_rows.append([rate, *((np.nanmean(c), np.nanstd(c)) for c in cells)])
    return {"main": table(columns, rows), "dead": table(dead_columns, dead_rows)}


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
