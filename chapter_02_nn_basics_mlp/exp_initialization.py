"""Initialisation: the size of signals and gradients, layer by layer, against the formula.

What you learn: a layer sums n_in products, so with zero biases the variances obey

    forward     v_l     = n_in  Var(w) E[phi(z_{l-1})^2],     z ~ N(0, v_{l-1})
    backward    g_{l-1} = n_out Var(w) E[phi'(z_{l-1})^2] g_l

v_l is the variance of the pre-activations z_l, g_l that of dL/dz_l. For ReLU both expectations are
halves (v/2 and 1/2), so each layer multiplies by n Var(w) / 2: Kaiming's Var(w) = 2/n keeps it 1.
For tanh the expectation is an integral, done here by Gauss-Hermite quadrature. The network is
random, so the dots scatter around the line; how much is itself a law: about 5/n per ReLU layer in
the relative variance, which adds up over the depth.

Five choices of Var(w), in units of 1/n_in: zero 0, too small 1/2, Xavier 1, Kaiming 2, too large 4.
Then each is trained on digits with the same plain SGD: what the theory predicts is what happens.

    python chapter_02_nn_basics_mlp/exp_initialization.py                 about 80 seconds, 2 cores

Papers: Glorot & Bengio 2010; He et al. 2015; Poole et al. 2016 (mean-field theory of depth).
"""

from __future__ import annotations

import argparse
import math
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
from chapter_02_nn_basics_mlp.model import MLP
from utils import cli, plotting
from utils.results import mean_std, named_mean_std, table
from utils.run import Run

# name -> n_in Var(w), the factor that the layer's sum applies
SCHEMES = {"zero": 0.0, "too small": 0.5, "Xavier": 1.0, "Kaiming": 2.0, "too large": 4.0}
ZH = {"zero": "全零", "too small": "过小", "too large": "过大"}
MEASURE_WIDTH, TRAIN_WIDTH = 256, 128
TOP = 4.0  # a loss above this, or one that is no number, is drawn at this height


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_02_nn_basics_mlp/exp_initialization.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --depth 30 --lr 0.01"], device=True)
    parser.set_defaults(threads=1)  # the matrices are too small for two
    add = parser.add_argument_group("network and training").add_argument
    add("--depth", type=cli.positive_int, default=20, help="hidden layers")
    add("--epochs", type=cli.positive_int, default=30, help="passes over the digits")
    add("--lr", type=cli.positive_float, default=0.02, help="learning rate of plain SGD")
    add(
        "--seeds", type=cli.positive_int, default=5, help="networks measured; 3 of them are trained"
    )
    return parser


def make_model(activation: str, scheme: str, depth: int, width: int, seed: int, task: Task) -> MLP:
    """Weights N(0, factor / n_in), biases 0."""
    torch.manual_seed(seed)
    model = MLP(task.train[0].shape[1], width, len(task.classes), depth, activation)
    for layer in linear_layers(model):
        fan_in, _ = init.calculate_fan_in_and_fan_out(layer.weight)
        init.normal_(layer.weight, 0.0, math.sqrt(SCHEMES[scheme] / fan_in))
        init.zeros_(layer.bias)
    return model.to(task.train[0].device)


def linear_layers(model: MLP) -> list[Linear]:
    return [layer for layer in model.net if isinstance(layer, Linear)]


def measure(model: MLP, x: Tensor, y: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean square of z_l and of dL/dz_l, for each Linear layer: (depth + 1,) each.

    dL/dz_l is taken for the summed loss, so that it does not depend on the batch size.
    """
    pre_activations = []
    h = x
    for layer in model.net:
        h = layer(h)
        if isinstance(layer, Linear):
            pre_activations.append(h)  # (B, width)
    loss = CrossEntropyLoss(reduction="sum")(h, y)
    gradients = torch.autograd.grad(loss, pre_activations)
    return (
        np.array([z.double().square().mean().item() for z in pre_activations]),
        np.array([g.double().square().mean().item() for g in gradients]),
    )


# --- the formula ---


def gaussian_mean(function: Any, variance: float) -> float:
    """E[function(z)] for z ~ N(0, variance): Gauss-Hermite quadrature with 80 nodes."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    return float(weights @ function(np.sqrt(variance) * nodes) / math.sqrt(2 * math.pi))


def mean_square(activation: str, variance: float) -> float:
    """E[phi(z)^2] for z ~ N(0, variance)."""
    if activation == "relu":
        return variance / 2  # half of the values, by symmetry
    return gaussian_mean(lambda z: np.tanh(z) ** 2, variance)


def mean_square_slope(activation: str, variance: float) -> float:
    """E[phi'(z)^2] for z ~ N(0, variance)."""
    if activation == "relu":
        return 0.5
    return gaussian_mean(lambda z: (1 - np.tanh(z) ** 2) ** 2, variance)


def predicted_forward(activation: str, factor: float, first: float, depth: int) -> np.ndarray:
    """v_1 .. v_depth from v_1 = `first`, with factor = n_in Var(w)."""
    values = [first]
    for _ in range(depth - 1):
        values.append(factor * mean_square(activation, values[-1]))
    return np.array(values)


def predicted_backward(activation: str, factor: float, v: np.ndarray, last: float) -> np.ndarray:
    """g_1 .. g_depth from g_depth = `last` and the forward variances (square matrices)."""
    values = [last]
    for variance in v[-2::-1]:
        values.append(factor * mean_square_slope(activation, variance) * values[-1])
    return np.array(values[::-1])


def measure_all(task: Task, activation: str, args: argparse.Namespace) -> dict[str, dict]:
    """Per scheme: measured variances (seeds, depth) and the predicted ones (depth,)."""
    x, y = (part[:256] for part in task.train)
    result = {}
    for scheme, factor in SCHEMES.items():
        pairs = []
        for s in range(args.seeds):
            model = make_model(activation, scheme, args.depth, MEASURE_WIDTH, args.seed + s, task)
            pairs.append(measure(model, x, y))
        forward = np.stack([v[:-1] for v, _ in pairs])  # (seeds, depth): hidden layers only
        backward = np.stack([g[:-1] for _, g in pairs])
        v = predicted_forward(activation, factor, forward[:, 0].mean(), args.depth)
        g = predicted_backward(activation, factor, v, backward[:, -1].mean())
        result[scheme] = {"forward": forward, "backward": backward, "v": v, "g": g}
        result[scheme] |= growth(result[scheme])
    return result


def growth(row: dict[str, np.ndarray]) -> dict[str, float]:
    """Factor a layer, measured and predicted, forward and backward; 0 where nothing flows."""
    factors = {}
    for kind, theory in (("forward", "v"), ("backward", "g")):
        values = row[kind].mean(axis=0)
        for name, line in (("measured", values), ("predicted", row[theory])):
            steps = len(line) - 1
            ratio = line[-1] / line[0] if kind == "forward" and line[0] > 0 else 0.0
            if kind == "backward" and line[-1] > 0:
                ratio = line[0] / line[-1]
            factors[f"{kind}_{name}"] = float(ratio ** (1 / max(steps, 1)))
    return factors


# --- training ---


def train_all(task: Task, args: argparse.Namespace) -> dict[str, dict[str, np.ndarray]]:
    """Per scheme, ReLU: the loss of each step (seeds, steps), the test accuracy in % (seeds,)."""
    result = {}
    for scheme in cli.progress(SCHEMES, "training"):
        curves, scores = [], []
        for s in range(min(args.seeds, 3)):
            model = make_model("relu", scheme, args.depth, TRAIN_WIDTH, args.seed + s, task)
            optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)  # chapter 3 builds it
            curves.append(
                train(model, *task.train, optimizer, epochs=args.epochs, batch_size=64,
                      seed=args.seed + s)
            )  # fmt: skip
            scores.append(100 * accuracy(model, task.test))
        result[scheme] = {"loss": np.array(curves), "accuracy_percent": np.array(scores)}
    return result


def smoothed(losses: np.ndarray, window: int) -> np.ndarray:
    """Means of `window` steps, (seeds, steps) -> (seeds, steps / window), capped at TOP."""
    capped = np.clip(np.nan_to_num(losses, nan=TOP, posinf=TOP), 0, TOP)
    whole = capped[:, : capped.shape[1] // window * window]
    return whole.reshape(len(losses), -1, window).mean(axis=2)


# --- figures ---


def variance_figure(measured: dict[str, dict[str, dict]], depth: int) -> Any:
    """Rows: activations and gradients. Columns: ReLU and tanh. Dots measured, lines predicted."""
    fig, axes = plotting.subplots(2, 2, width=10.0, height=7.0, sharex=True)
    layers = np.arange(1, depth + 1)
    for column, (activation, schemes) in enumerate(measured.items()):
        for row, (kind, theory) in enumerate((("forward", "v"), ("backward", "g"))):
            ax = axes[row, column]
            for number, (scheme, values) in enumerate(schemes.items()):
                if SCHEMES[scheme] == 0:
                    continue  # 0 has no logarithm; the legend says so
                label = f"{scheme}: n Var(w) = {SCHEMES[scheme]:g}"
                look, marker = plotting.look(number), plotting.MARKERS[number]
                ax.plot(layers, values[theory], lw=1, label=label, **look)
                dots = {"color": look["color"], "ms": 2.5, "alpha": 0.7}
                ax.plot(layers, values[kind].T, marker, **dots)
            ax.set(yscale="log")
            if row == 0:
                ax.set_title(f"{activation}, {MEASURE_WIDTH} units a layer")
    axes[0, 0].plot([], [], " ", label="zero: variance 0 everywhere")
    axes[0, 0].legend(fontsize=8, loc="lower left")
    axes[0, 0].set_ylabel("variance of z (activations)")
    axes[1, 0].set_ylabel("variance of dL/dz (gradients)")
    for ax in axes[1]:
        ax.set_xlabel("layer (1 is next to the input)")
        ax.xaxis.get_major_locator().set_params(integer=True)
    return fig


def training_figure(trained: dict[str, dict[str, np.ndarray]], depth: int) -> Any:
    fig, ax = plotting.subplots(height=4.2)
    window = 19  # steps: one epoch of the digits has 18
    for i, (scheme, values) in enumerate(trained.items()):
        curve = smoothed(values["loss"], min(window, values["loss"].shape[1]))
        steps = window * (np.arange(curve.shape[1]) + 0.5)
        broken = not np.isfinite(values["loss"]).all()
        label = f"{scheme}{': no number any more' if broken else ''}"
        plotting.band(ax, steps, curve, label, color=plotting.COLORS[i])
        ax.lines[-1].set_linewidth(max(1.6, 5 - 1.7 * i))  # the first three lie on one another
    ax.axhline(math.log(10), color="black", lw=0.8, ls=":", label="guessing: ln 10")
    ax.set(ylim=(0, TOP + 0.1), xlabel="step", ylabel="training loss (nats)")
    ax.set_title(f"digits, {depth} ReLU layers, SGD: mean and range of 3 seeds")
    ax.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 0.1))
    return fig


def result_tables(measured: dict, trained: dict) -> dict[str, Any]:
    columns = [
        ("Initialisation", "初始化", "s"),
        ("n Var(w)", "n Var(w)", "g"),
        ("Factor a layer, forward: measured", "每层前向倍数：实测", ".3f"),
        ("predicted", "预测", ".3f"),
        ("backward: measured", "反向：实测", ".3f"),
        ("predicted", "预测", ".3f"),
        ("Test accuracy (%)", "测试准确率（%）", ".1f"),
    ]
    rows = []
    for scheme, row in measured["relu"].items():
        test = trained[scheme]["accuracy_percent"]
        keys = [
            f"{kind}_{what}"
            for kind in ("forward", "backward")
            for what in ("measured", "predicted")
        ]
        name = {"en": scheme, "zh": ZH.get(scheme, scheme)}
        rows.append([name, SCHEMES[scheme], *(row[key] for key in keys), mean_std(test)])
    return {"main": table(columns, rows)}


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.epochs, args.seeds = 8, 1
    task = load_task("digits", None).to(run.device)
    measured = {name: measure_all(task, name, args) for name in ("relu", "tanh")}
    trained = train_all(task, args)
    metrics = {
        "growth": {
            name: {s: {k: v for k, v in row.items() if "_" in k} for s, row in schemes.items()}
            for name, schemes in measured.items()
        },
        "accuracy_percent": {s: named_mean_std(t["accuracy_percent"]) for s, t in trained.items()},
        "first_loss": {s: t["loss"][:, 0].mean() for s, t in trained.items()},
        "last_loss": {s: t["loss"][:, -5:].mean() for s, t in trained.items()},
        "depth": args.depth,
    }
    seeds = [args.seed + s for s in range(args.seeds)]
    run.save_result("initialization", metrics, result_tables(measured, trained), seeds)
    run.save_figure(variance_figure(measured, args.depth), "initialization_variance")
    run.save_figure(training_figure(trained, args.depth), "initialization_training")
    shown = {f"{s}: accuracy (%)": float(t["accuracy_percent"].mean()) for s, t in trained.items()}
    run.finish(shown, next_command="python chapter_02_nn_basics_mlp/classify.py --dataset spiral")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
