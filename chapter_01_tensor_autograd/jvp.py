"""Forward mode with dual numbers, and when it beats reverse mode.

A dual number x + v e with e^2 = 0 carries a value and a *tangent* v = dx/dt. Arithmetic on duals
applies the chain rule as it goes, from the inputs to the outputs, with no graph and no memory:

    f(x + v e) = f(x) + (J v) e              J: (m, n), v: (n,)      a Jacobian-vector product

Reverse mode gives the other product, u^T J (VJP). For the whole Jacobian of f: R^n -> R^m forward
mode needs n passes, one a column, and reverse mode m passes, one a row. A loss has m = 1: one
reverse pass whatever n is. That is why networks are trained in reverse.

Paper: Wengert, "A simple automatic derivative evaluation program" (1964).

    python chapter_01_tensor_autograd/jvp.py            # 25 s
    python chapter_01_tensor_autograd/jvp.py --quick    # 4 s

Expected: values equal to torch.func.jvp, jacfwd and jacrev; time proportional to n (forward)
and to m (reverse), crossing near n = m.
"""

from __future__ import annotations

import math
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np

from chapter_01_tensor_autograd.tensor import Tensor, grad
from utils import cli, plotting
from utils.errors import confirm
from utils.results import table
from utils.run import Run

HIDDEN = 256  # width of the network whose Jacobian is measured


class Dual:
    """A NumPy array and its tangent, of the same shape."""

    __array_ufunc__ = None  # array * dual: NumPy leaves the operation to __rmul__

    def __init__(self, value: Any, tangent: Any = None) -> None:
        self.value = np.asarray(value, dtype=np.float64)
        self.tangent = np.zeros_like(self.value) if tangent is None else np.asarray(tangent)

    def __add__(self, other: Dual | np.ndarray | float) -> Dual:
        other = as_dual(other)
        return Dual(self.value + other.value, self.tangent + other.tangent)

    def __mul__(self, other: Dual | np.ndarray | float) -> Dual:
        other = as_dual(other)
        tangent = self.tangent * other.value + self.value * other.tangent
        return Dual(self.value * other.value, tangent)

    def __pow__(self, exponent: float) -> Dual:
        slope = exponent * self.value ** (exponent - 1) if exponent else 0.0  # x^0 is flat at 0 too
        return Dual(self.value**exponent, slope * self.tangent)

    def __matmul__(self, other: Dual | np.ndarray) -> Dual:
        if not isinstance(other, Dual):  # a constant: its tangent is zero, skip that product
            return Dual(self.value @ other, self.tangent @ other)
        tangent = self.tangent @ other.value + self.value @ other.tangent
        return Dual(self.value @ other.value, tangent)

    def __rmatmul__(self, other: np.ndarray) -> Dual:
        return Dual(other @ self.value, other @ self.tangent)

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.tangent)

    def __sub__(self, other: Dual | np.ndarray | float) -> Dual:
        return self + -as_dual(other)

    def __rsub__(self, other: np.ndarray | float) -> Dual:
        return -self + other

    def __truediv__(self, other: Dual | np.ndarray | float) -> Dual:
        return self * as_dual(other) ** -1

    def __rtruediv__(self, other: np.ndarray | float) -> Dual:
        return self**-1 * other

    __radd__ = __add__
    __rmul__ = __mul__

    def exp(self) -> Dual:
        value = np.exp(self.value)
        return Dual(value, value * self.tangent)

    def log(self) -> Dual:
        return Dual(np.log(self.value), self.tangent / self.value)

    def tanh(self) -> Dual:
        value = np.tanh(self.value)
        return Dual(value, (1 - value**2) * self.tangent)

    def sin(self) -> Dual:
        return Dual(np.sin(self.value), np.cos(self.value) * self.tangent)

    def sum(self) -> Dual:
        return Dual(self.value.sum(), self.tangent.sum())


def as_dual(value: Dual | np.ndarray | float) -> Dual:
    return value if isinstance(value, Dual) else Dual(value)


def jvp(
    function: Callable[[Dual], Dual], x: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """f(x) and J(x) v, in one pass."""
    out = function(Dual(x, v))
    return out.value, out.tangent


def jacobian_forward(function: Callable[[Dual], Dual], x: np.ndarray) -> np.ndarray:
    """The Jacobian (m, n), a column for each of the n inputs."""
    columns = [jvp(function, x, unit)[1] for unit in np.eye(len(x))]
    return np.stack(columns, axis=1)  # (m, n)


def jacobian_reverse(function: Callable[[Tensor], Tensor], x: np.ndarray) -> np.ndarray:
    """The Jacobian (m, n), a row for each of the m outputs: one graph, walked m times."""
    inputs = Tensor(x, requires_grad=True)
    outputs = function(inputs)
    units = np.eye(len(outputs.data))
    rows = [grad(outputs, inputs, grad_outputs=u, retain_graph=True)[0].data for u in units]
    return np.stack(rows)  # (m, n)


# --------------------------------------------------------------------------- the experiment


def make_function(n: int, m: int, seed: int) -> Callable:
    """A four-layer tanh network R^n -> R^m. Duals, our tensors and torch's all run through it.

    The hidden layers dominate, so that a pass costs nearly the same whatever n and m are.
    """
    rng = np.random.default_rng(seed)
    widths = [n, HIDDEN, HIDDEN, HIDDEN, m]
    weights = [rng.normal(size=(a, b)) / math.sqrt(a) for a, b in pairwise(widths)]

    def function(x):
        for weight in weights:
            # torch multiplies by torch tensors only; the other two take NumPy arrays
            if not isinstance(x, (Dual, Tensor)):
                import torch

                weight = torch.from_numpy(weight)
            x = (x @ weight).tanh()  # (inputs of the layer,) -> (outputs,)
        return x

    return function


def compare_with_torch(seed: int) -> dict[str, float]:
    """Largest absolute difference from torch.func on a function R^7 -> R^5 (float64)."""
    import torch

    function = make_function(n=7, m=5, seed=seed)
    rng = np.random.default_rng(seed)
    x, v = rng.normal(size=7), rng.normal(size=7)
    x_torch, v_torch = torch.from_numpy(x), torch.from_numpy(v)
    with warnings.catch_warnings():  # torch.func loads parts of PyTorch that PyTorch deprecates
        warnings.simplefilter("ignore", FutureWarning)
        _, reference_jvp = torch.func.jvp(function, (x_torch,), (v_torch,))
        jacfwd, jacrev = (f(function)(x_torch) for f in (torch.func.jacfwd, torch.func.jacrev))
    pairs = {
        "jvp": (jvp(function, x, v)[1], reference_jvp),
        "jacobian_forward": (jacobian_forward(function, x), jacfwd),
        "jacobian_reverse": (jacobian_reverse(function, x), jacrev),
    }
    return {name: float(np.abs(a - b.numpy()).max()) for name, (a, b) in pairs.items()}


def fastest(call: Callable[[], object], calls: int = 3) -> float:
    """Seconds of the fastest of a few calls: the one least disturbed by other programs."""
    times = []
    for _ in range(calls):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times)


def measure(shapes: list[tuple[int, int]], repeats: int, seed: int) -> dict[str, np.ndarray]:
    """Seconds for the Jacobian of f: R^n -> R^m, forward and reverse: (repeats, shapes)."""
    methods = {"forward": jacobian_forward, "reverse": jacobian_reverse}
    seconds = {name: np.zeros((repeats, len(shapes))) for name in methods}
    for column, (n, m) in enumerate(cli.progress(shapes, "Jacobians")):
        function = make_function(n, m, seed)
        x = np.random.default_rng(seed).normal(size=n)
        for repeat in range(-1, repeats):  # round -1 warms up and is overwritten
            for name, jacobian in methods.items():
                seconds[name][repeat, column] = fastest(partial(jacobian, function, x))
    return seconds


def crossing(ratios: np.ndarray, seconds: dict[str, np.ndarray]) -> float:
    """The n/m at which both modes take equally long (interpolated on logarithmic axes)."""
    medians = {name: np.log(np.median(runs, axis=0)) for name, runs in seconds.items()}
    difference = medians["forward"] - medians["reverse"]  # grows with n/m
    return float(np.exp(np.interp(0.0, difference, np.log(ratios))))


def figure(ratios: np.ndarray, seconds: dict[str, np.ndarray], shapes: list[tuple[int, int]]):
    fig, ax = plotting.subplots(width=7.2, height=4.4)
    labels = {"forward": "forward mode (n passes)", "reverse": "reverse mode (m passes)"}
    for name, runs in seconds.items():
        plotting.band(ax, ratios, runs * 1e3, labels[name])
    middle = int(np.argmin(np.abs(np.log(ratios))))
    level = np.median(seconds["forward"], axis=0)[middle] * 1e3
    ax.plot(ratios, level * np.sqrt(ratios), ":", color="gray", label="proportional to n, to m")
    ax.plot(ratios, level / np.sqrt(ratios), ":", color="gray")
    product = shapes[0][0] * shapes[0][1]
    ax.set(xscale="log", yscale="log")
    ax.set_xticks(ratios, [f"{n}:{m}" for n, m in shapes], fontsize=7)
    ax.minorticks_off()
    ax.set_xlabel(f"inputs : outputs  ($n : m$, with $n m$ = {product})")
    ax.set_ylabel("time of the whole Jacobian (ms)")
    ax.set_title(
        r"Jacobian of a four-layer network $\mathbb{R}^n \to \mathbb{R}^m$ (mean, range of repeats)"
    )
    ax.legend(fontsize=8, loc="upper center")
    return fig


def result_table(shapes: list[tuple[int, int]], seconds: dict[str, np.ndarray]) -> dict:
    columns = [
        ("Inputs n", "输入 n", "d"),
        ("Outputs m", "输出 m", "d"),
        ("Forward mode (ms, median ± IQR)", "前向模式（毫秒，中位数 ± 四分位距）", ".2f"),
        ("Reverse mode (ms, median ± IQR)", "反向模式（毫秒，中位数 ± 四分位距）", ".2f"),
    ]
    rows = []
    for i, (n, m) in enumerate(shapes):
        quartiles = [np.quantile(1e3 * runs[:, i], (0.25, 0.5, 0.75)) for runs in seconds.values()]
        rows.append([n, m, *((middle, high - low) for low, middle, high in quartiles)])
    return table(columns, rows)


def times_faster(seconds: dict[str, np.ndarray]) -> dict[str, float]:
    """The ratio of the medians at both ends: what one reads off the first and the last row."""
    forward, reverse = (np.median(seconds[name], axis=0) for name in ("forward", "reverse"))
    return {
        "many_inputs_forward_over_reverse": forward[-1] / reverse[-1],
        "many_outputs_reverse_over_forward": reverse[0] / forward[0],
    }


def build_parser():
    parser = cli.make_parser(
        __doc__,
        examples=[
            "python chapter_01_tensor_autograd/jvp.py",
            "python chapter_01_tensor_autograd/jvp.py --log2_product 8",
        ],
    )
    add = parser.add_argument_group("measurement").add_argument
    add("--log2_product", type=cli.positive_int, default=10, help="n m = 2 to this power")
    add("--repeats", type=cli.positive_int, default=7, help="repetitions of each timing")
    parser.set_defaults(threads=1)  # small matrices are fastest, and timings steadiest, on one
    return parser


def experiment(args: Namespace, run: Run) -> None:
    differences = compare_with_torch(args.seed)
    print("largest difference from torch.func (float64)")
    for name, difference in differences.items():
        print(f"  {name:18} {difference:.1e}")
    confirm(max(differences.values()) < 1e-12, "our derivatives differ from torch.func's")

    power, repeats = (4, 3) if run.quick else (args.log2_product, args.repeats)
    shapes = [(2**i, 2 ** (power - i)) for i in range(0, power + 1)]
    ratios = np.array([n / m for n, m in shapes])
    seconds = measure(shapes, repeats, args.seed)
    metrics = {
        "difference": differences,
        "crossing_ratio": crossing(ratios, seconds),
        **times_faster(seconds),
        "n_of_many_inputs": shapes[-1][0],
    }
    run.save_result("jvp", metrics, {"main": result_table(shapes, seconds)})
    run.save_figure(figure(ratios, seconds, shapes), "jvp_cost")
    run.finish(metrics, next_command="python chapter_01_tensor_autograd/checkpointing.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
