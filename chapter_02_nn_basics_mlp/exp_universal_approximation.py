"""Universal approximation: the proof drawn for real, then width and depth measured.

Question: how does the error fall with the number of units, by construction and by training?

1. Construction (Cybenko 1989 and Hornik et al. 1989, for one input). Cut [a, b] into N cells of
   width h with middles m_i and borders t_i. One hidden layer of N - 1 sigmoid steps,

       net(x) = f(m_0) + sum_i (f(m_i) - f(m_{i-1})) sigmoid(k (x - t_i)),      k = 20 / h

   has every weight computed and none trained (a step up and a step down make a bump, so this is
   a row of N bumps with the heights f(m_i)). With the modulus of continuity
   w(h) = max |f(x) - f(y)| over |x - y| <= h, its error has the bound

       sup |net - f| <= w(h) (1 + e),   e = (exp(-kh/2) + exp(-kh)) / (1 - exp(-kh)) = 4.5e-5.

   Because: next to the border nearest to x, net mixes the two neighbouring heights, each taken at
   most h away from x: at most w(h). The other steps are at least h/2, h, 3h/2, .. away, hence
   wrong by less than exp(-k distance) times a jump, which is at most w(h).
2. The same with ReLU: N + 1 equally spaced values joined by straight lines, error ~ N^-2.
3. Training: error against width (depth 1) and against depth at one parameter count. The target has
   no noise, so all error is approximation or optimisation error. L-BFGS (a quasi-Newton method,
   all points at once, float64) keeps the second small; with 1,500 steps of Adam instead, all
   widths up to 32 stayed at an RMSE above 0.1.

    python chapter_02_nn_basics_mlp/exp_universal_approximation.py       about a minute, 2 cores
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chapter_02_nn_basics_mlp.layers import Linear, ReLU, Sequential, Sigmoid
from chapter_02_nn_basics_mlp.losses import MSELoss
from chapter_02_nn_basics_mlp.model import MLP
from utils import cli, plotting
from utils.datasets.toy import CURVE_RANGE, true_curve
from utils.model_summary import parameter_count
from utils.results import mean_std, table
from utils.run import Run

STEEPNESS = 20.0  # k h: how much steeper than a cell the sigmoid steps are
BUMPS = (4, 8, 16, 32, 64, 128, 256)
WIDTHS = (4, 8, 16, 32, 64, 128)
DEPTHS = (1, 2, 3, 4, 6)
PARAMETERS = 600


def build_parser() -> argparse.ArgumentParser:
    path = "python chapter_02_nn_basics_mlp/exp_universal_approximation.py"
    parser = cli.make_parser(__doc__, [path, f"{path} --steps 2000"])
    parser.set_defaults(threads=1)  # the matrices are too small for two
    group = parser.add_argument_group("training")
    group.add_argument("--steps", type=cli.positive_int, default=500, help="L-BFGS iterations")
    group.add_argument("--seeds", type=cli.positive_int, default=3, help="first weights tried")
    return parser


# --- 1 and 2: networks built by hand ---


@torch.no_grad()
def step_network(bumps: int, low: float, high: float) -> Sequential:
    """N - 1 sigmoid steps with computed weights that approximate true_curve on [low, high]."""
    h = (high - low) / bumps
    middles = low + h * (np.arange(bumps) + 0.5)  # (N,)
    borders = low + h * np.arange(1, bumps)  # (N - 1,)
    heights = true_curve(middles)
    net = Sequential(Linear(1, bumps - 1), Sigmoid(), Linear(bumps - 1, 1)).double()
    k = STEEPNESS / h
    net[0].weight.fill_(k)
    net[0].bias.copy_(torch.from_numpy(-k * borders))
    net[2].weight.copy_(torch.from_numpy(np.diff(heights))[None])  # (1, N - 1): the jumps
    net[2].bias.fill_(heights[0])
    return net


@torch.no_grad()
def polyline_network(pieces: int, low: float, high: float) -> Sequential:
    """N ReLU units with computed weights: straight lines between N + 1 values of true_curve."""
    knots = np.linspace(low, high, pieces + 1)
    slopes = np.diff(true_curve(knots)) / np.diff(knots)  # (N,)
    net = Sequential(Linear(1, pieces), ReLU(), Linear(pieces, 1)).double()
    net[0].weight.fill_(1.0)
    net[0].bias.copy_(torch.from_numpy(-knots[:-1]))
    net[2].weight.copy_(torch.from_numpy(np.diff(slopes, prepend=0.0))[None])  # changes of slope
    net[2].bias.fill_(float(true_curve(knots[0])))
    return net


def modulus_of_continuity(values: np.ndarray, spacing: float, delta: float) -> float:
    """max |f(x) - f(y)| over |x - y| <= delta, from values on an even grid."""
    largest = 0.0
    for shift in range(1, int(np.ceil(delta / spacing)) + 1):
        largest = max(largest, float(np.abs(values[shift:] - values[:-shift]).max()))
    return largest


def step_bound(bumps: int, grid: np.ndarray) -> float:
    """The bound of the docstring: w(h) (1 + e)."""
    h = (grid[-1] - grid[0]) / bumps
    tail = (np.exp(-STEEPNESS / 2) + np.exp(-STEEPNESS)) / (1 - np.exp(-STEEPNESS))
    return modulus_of_continuity(true_curve(grid), grid[1] - grid[0], h) * (1 + tail)


@torch.no_grad()
def errors(net: nn.Module, grid: np.ndarray) -> tuple[float, float]:
    """Sup and root-mean-square error on the grid."""
    dtype = next(net.parameters()).dtype
    values = net(torch.tensor(grid[:, None], dtype=dtype))[:, 0].double().numpy()
    difference = values - true_curve(grid)
    return float(np.abs(difference).max()), float(np.sqrt(np.mean(difference**2)))


def constructions(grid: np.ndarray) -> dict[str, list[float]]:
    """Errors of the hand-built networks over N, with the bound."""
    rows: dict[str, list[float]] = {name: [] for name in ("bumps", "sup", "bound", "relu_sup")}
    rows["relu_rmse"] = []
    for bumps in BUMPS:
        relu_sup, relu_rmse = errors(polyline_network(bumps, *CURVE_RANGE), grid)
        sup, _ = errors(step_network(bumps, *CURVE_RANGE), grid)
        row = (bumps, sup, step_bound(bumps, grid), relu_sup, relu_rmse)
        for name, value in zip(rows, row, strict=True):
            rows[name].append(value)
    return rows


# --- 3: trained networks ---


def train(model: MLP, x: Tensor, y: Tensor, steps: int) -> MLP:
    """L-BFGS with line search on all points. The optimiser is torch's: it is not the lesson."""
    loss_fn = MSELoss()
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=steps, history_size=20, line_search_fn="strong_wolfe",
        tolerance_grad=1e-9, tolerance_change=1e-12,
    )  # fmt: skip

    def loss_and_gradient() -> Tensor:  # called several times in one line search
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        return loss

    optimizer.step(loss_and_gradient)
    return model


def trained_rmse(models: list[dict[str, Any]], args: argparse.Namespace, grid: np.ndarray):
    """RMSE (models, seeds) of networks trained on 200 noise-free points."""
    points = np.linspace(*CURVE_RANGE, 200)[:, None]
    x, y = torch.tensor(points), torch.tensor(true_curve(points))
    rmse = np.zeros((len(models), args.seeds))
    jobs = [(i, s) for i in range(len(models)) for s in range(args.seeds)]
    for i, s in cli.progress(jobs, f"training {len(jobs)} networks"):
        torch.manual_seed(args.seed + s)
        rmse[i, s] = errors(train(MLP(**models[i]).double(), x, y, args.steps), grid)[1]
    return rmse


def width_for(depth: int, parameters: int = PARAMETERS) -> int:
    """The hidden width whose MLP(1, width, 1, depth) has closest to `parameters` parameters."""
    count = {w: 3 * w + 1 + (depth - 1) * (w * w + w) for w in range(2, parameters)}
    return min(count, key=lambda w: abs(count[w] - parameters))


def slope(x: Any, y: Any) -> float:
    """Exponent p of y ~ x^p: the slope of the least-squares line in log-log axes."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


# --- figures ---


def construction_figure(grid: np.ndarray, rows: dict[str, list[float]]) -> Any:
    fig, axes = plotting.subplots(2, 2, width=9.4, height=6.6)
    bump_panel(axes[0, 0])
    for ax, bumps in ((axes[0, 1], 8), (axes[1, 0], 32)):
        with torch.no_grad():
            net = step_network(bumps, *CURVE_RANGE)(torch.tensor(grid[:, None]))[:, 0]
        ax.plot(grid, true_curve(grid), "--", color="black", label="f(x)")
        ax.plot(grid, net, label=f"{bumps} bumps, no training")
        ax.set(title=f"{bumps - 1} sigmoid units with computed weights", xlabel="x", ylabel="y")
        ax.legend(fontsize=8, loc="upper left")
    ax = axes[1, 1]
    ax.loglog(rows["bumps"], rows["bound"], "k--", label=r"bound $\omega(h)(1 + \epsilon)$")
    ax.loglog(rows["bumps"], rows["sup"], "o-", label="sigmoid steps")
    ax.loglog(rows["bumps"], rows["relu_sup"], "s-", label="ReLU polyline")
    ax.set(title="built by hand", xlabel="number of cells N", ylabel=r"$\sup\,|\mathrm{net} - f|$")
    ax.legend(fontsize=8, loc="lower left")
    return fig


def bump_panel(ax: Any) -> None:
    x = torch.linspace(-1, 2, 400)
    up, down = Sigmoid()(STEEPNESS * x), -Sigmoid()(STEEPNESS * (x - 1))
    ax.plot(x, up, ":", label="step up at 0")
    ax.plot(x, down, "--", label="step down at 1")
    ax.plot(x, up + down, color="black", label="their sum: a bump")
    ax.set(title="two sigmoids make a bump", xlabel="x / h", ylabel="y")
    ax.legend(fontsize=8, loc="lower left")


def training_figure(rows: dict[str, list[float]], wide: dict[str, np.ndarray], deep: np.ndarray):
    fig, (left, right) = plotting.subplots(1, 2, width=9.6, height=4.2, sharey=True)
    for name, rmse in wide.items():
        label = f"{name}, trained (slope {slope(WIDTHS, rmse.mean(axis=1)):.1f})"
        plotting.band(left, WIDTHS, rmse.T, label)
    keep = [i for i, n in enumerate(rows["bumps"]) if n <= max(WIDTHS)]
    bumps, by_hand = (np.array(rows[name])[keep] for name in ("bumps", "relu_rmse"))
    label = f"relu, built by hand (slope {slope(bumps, by_hand):.1f})"
    left.plot(bumps, by_hand, "k--", label=label)
    left.set(xscale="log", yscale="log", xlabel="hidden units (depth 1)", ylabel="RMSE")
    left.set_ylim(bottom=5e-5)  # room for the legend
    left.set_xticks(WIDTHS, WIDTHS, minor=False)
    left.minorticks_off()
    left.legend(fontsize=8, loc="lower left")
    for name, rmse in deep.items():
        label = f"{name} (slope {slope(DEPTHS, rmse.mean(axis=1)):.1f})"
        plotting.band(right, DEPTHS, rmse.T, label)
    right.set(xscale="log", xlabel=f"hidden layers (about {PARAMETERS} parameters each)")
    right.set_xticks(DEPTHS, [f"{d}\n({width_for(d)} wide)" for d in DEPTHS], fontsize=8)
    right.minorticks_off()
    right.legend(fontsize=8)
    return fig


def tables(rows: dict, wide: dict[str, np.ndarray], deep: dict[str, np.ndarray]) -> dict[str, Any]:
    number = ("Units N", "单元数 N", "d")
    built = table(
        [
            number,
            ("Sigmoid steps: sup error", "sigmoid 阶跃：最大误差", ".4f"),
            ("Bound", "理论上界", ".4f"),
            ("ReLU polyline: sup error", "ReLU 折线：最大误差", ".2e"),
        ],
        list(zip(*(rows[k] for k in ("bumps", "sup", "bound", "relu_sup")), strict=True)),
    )
    error = [(f"{name} RMSE", f"{name} 的 RMSE", ".2e") for name in wide]

    def cells(results: dict[str, np.ndarray], i: int) -> list[tuple[float, float]]:
        return [mean_std(r[i]) for r in results.values()]

    width = table([number, *error], [[w, *cells(wide, i)] for i, w in enumerate(WIDTHS)])
    columns = [
        ("Depth", "深度", "d"),
        ("Width", "宽度", "d"),
        ("Parameters", "参数量", "d"),
        *error,
    ]
    sizes = [parameter_count(MLP(hidden_dim=width_for(d), depth=d)) for d in DEPTHS]
    depth = [[d, width_for(d), sizes[i], *cells(deep, i)] for i, d in enumerate(DEPTHS)]
    return {"main": built, "width": width, "depth": table(columns, depth)}


def experiment(args: argparse.Namespace, run: Run) -> None:
    if args.quick:
        args.steps, args.seeds = 150, 1
    grid = np.linspace(*CURVE_RANGE, 4001)
    rows = constructions(grid)
    names = ("relu", "tanh")
    wide = {
        name: trained_rmse(
            [{"hidden_dim": w, "depth": 1, "activation": name} for w in WIDTHS], args, grid
        )
        for name in names
    }
    deep = {
        name: trained_rmse(
            [{"hidden_dim": width_for(d), "depth": d, "activation": name} for d in DEPTHS],
            args,
            grid,
        )
        for name in names
    }
    slopes = {f"width_{n}": slope(WIDTHS, r.mean(axis=1)) for n, r in wide.items()}
    slopes |= {f"depth_{n}": slope(DEPTHS, r.mean(axis=1)) for n, r in deep.items()}
    slopes |= {n: slope(rows["bumps"], rows[n]) for n in ("sup", "bound", "relu_sup", "relu_rmse")}
    slack = max(s / b for s, b in zip(rows["sup"], rows["bound"], strict=True))
    metrics = {"construction": rows, "slopes": slopes, "largest_error_over_bound": slack}
    metrics |= {"width": wide, "depth": deep, "widths": WIDTHS, "depths": DEPTHS}
    seeds = [args.seed + s for s in range(args.seeds)]
    run.save_result("universal_approximation", metrics, tables(rows, wide, deep), seeds)
    run.save_figure(construction_figure(grid, rows), "universal_construction")
    run.save_figure(training_figure(rows, wide, deep), "universal_training")
    run.finish(
        {"sup error / bound, at most": slack} | {f"slope, {k}": v for k, v in slopes.items()},
        next_command="python chapter_02_nn_basics_mlp/exp_activations.py",
    )


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
