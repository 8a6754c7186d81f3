"""A custom operation with a hand-written backward pass, and how to find out that it is wrong.

The operation is Swish with a slope for each channel (Ramachandran, Zoph and Le, 2017):

    y = x s,   s = sigmoid(beta x),            x: (B, C), beta: (C,), broadcast over the batch
    dL/dx    = dL/dy * (s + beta x s (1 - s))
    dL/dbeta = sum over the batch of dL/dy * x^2 s (1 - s)

As a `torch.autograd.Function` it saves its inputs only; the same formula typed with tensor
operations also keeps s, (B, C) numbers. The derivative is checked numerically,

    f'(x) ~ (f(x + h) - f(x)) / h            error h |f''| / 2     + eps |f| / h
    f'(x) ~ (f(x + h) - f(x - h)) / (2 h)    error h^2 |f'''| / 6  + eps |f| / h

(truncation + round-off), so the best h is about eps^(1/2) and eps^(1/3): no h is small enough in
one respect and large enough in the other, and this is why gradcheck wants float64.

    python chapter_01_tensor_autograd/custom_function.py            # 10 s
    python chapter_01_tensor_autograd/custom_function.py --quick    # 6 s

Expected: gradcheck accepts the right backward and refuses three wrong ones, naming the entries; a
fourth has right first derivatives and only gradgradcheck refuses it. gradgradcheck in turn accepts
the first three: it compares second derivatives with the first ones *as given*. Use both.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.gradcheck import GradcheckError

from utils import cli, plotting
from utils.errors import confirm
from utils.results import table
from utils.run import Run


class Swish(torch.autograd.Function):
    """y = x sigmoid(beta x); (B, C), (C,) -> (B, C)."""

    @staticmethod
    def forward(ctx, x: Tensor, beta: Tensor) -> Tensor:
        ctx.save_for_backward(x, beta)
        return x * torch.sigmoid(beta * x)

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, Tensor]:
        # Recomputing s costs one sigmoid and saves a (B, C) tensor. Everything here is made of
        # differentiable operations on saved tensors, so a second derivative exists as well.
        x, beta = ctx.saved_tensors
        s = torch.sigmoid(beta * x)
        slope = s * (1 - s)
        grad_x = g * (s + beta * x * slope)
        grad_beta = (g * x**2 * slope).sum(dim=0)  # (B, C) -> (C,)
        return grad_x, grad_beta


class MissingTerm(Swish):
    """Wrong: treats sigmoid(beta x) as a constant."""

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, Tensor]:
        x, beta = ctx.saved_tensors
        s = torch.sigmoid(beta * x)
        return g * s, (g * x**2 * s * (1 - s)).sum(dim=0)


class MissingChainRule(Swish):
    """Wrong: returns the local derivative, without the gradient that comes in."""

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, Tensor]:
        return Swish.backward(ctx, torch.ones_like(g))


class MeanInsteadOfSum(Swish):
    """Wrong: averages over the broadcast axis; the shape is right, the value is not."""

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, Tensor]:
        grad_x, grad_beta = Swish.backward(ctx, g)
        return grad_x, grad_beta / len(g)


class Detached(Swish):
    """First derivatives right, second ones wrong: the slope is cut out of the graph."""

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, Tensor]:
        x, beta = ctx.saved_tensors
        s = torch.sigmoid(beta * x).detach()
        slope = s * (1 - s)
        return g * (s + beta * x * slope), (g * x**2 * slope).sum(dim=0)


VARIANTS: dict[str, type[Swish]] = {
    "right": Swish,
    "missing_term": MissingTerm,
    "missing_chain_rule": MissingChainRule,
    "mean_instead_of_sum": MeanInsteadOfSum,
    "detached": Detached,
}


def composed(x: Tensor, beta: Tensor) -> Tensor:
    """The same function from tensor operations; PyTorch derives the backward pass."""
    return x * torch.sigmoid(beta * x)


def check_inputs(seed: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 2, dtype=torch.float64, generator=random, requires_grad=True)
    beta = torch.rand(2, dtype=torch.float64, generator=random, requires_grad=True)
    return x, beta


def verdict(check: Callable, function: Callable, inputs: tuple[Tensor, ...]) -> tuple[bool, str]:
    """Did gradcheck or gradgradcheck pass, and if not, what did it say?"""
    try:
        return check(function, inputs), ""
    except GradcheckError as error:
        return False, str(error)


def gradient_error(function: type[Swish], inputs: tuple[Tensor, ...]) -> float:
    """Largest error of a first derivative, relative to the largest true one."""
    weights = torch.linspace(0.5, 2.0, inputs[0].numel(), dtype=torch.float64).view_as(inputs[0])
    true = torch.autograd.grad((weights * composed(*inputs)).sum(), inputs)
    found = torch.autograd.grad((weights * function.apply(*inputs)).sum(), inputs)
    pairs = zip(found, true, strict=True)
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


def check_all(seed: int) -> dict[str, dict]:
    """What gradcheck and gradgradcheck say about each variant."""
    inputs = check_inputs(seed)
    results = {}
    for name, function in VARIANTS.items():
        first, message = verdict(gradcheck, function.apply, inputs)
        second, _ = verdict(gradgradcheck, function.apply, inputs)
        error = gradient_error(function, inputs)
        results[name] = {"gradcheck": first, "gradgradcheck": second, "relative_error": error}
        print(f"{name:20} gradcheck {'ok' if first else 'FAILED':7}", end="")
        print(f"gradgradcheck {'ok' if second else 'FAILED':7} error of the gradient {error:.1e}")
        if name == "missing_term":
            print(f"\nwhat gradcheck prints for it:\n{message.strip()}\n")
    return results


def saved_bytes(function: Callable, batch: int, channels: int) -> int:
    """Bytes that autograd keeps for the backward pass, beyond the inputs themselves."""
    x = torch.randn(batch, channels, requires_grad=True)
    beta = torch.ones(channels, requires_grad=True)
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = function(x, beta)  # kept alive, so that no address is used twice
    for tensor in (x, beta):
        storages.pop(tensor.untyped_storage().data_ptr(), None)
    del y
    return sum(storages.values())


# ------------------------------------------------------------- how large a step to check with


def numerical_derivative(
    f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, h: float, central: bool
) -> np.ndarray:
    """Difference quotient, all of it in the precision of x."""
    step = x.dtype.type(h)
    if central:
        return (f(x + step) - f(x - step)) / (2 * step)
    return (f(x + step) - f(x)) / step


def swish(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def swish_derivative(x: np.ndarray) -> np.ndarray:
    s = 1 / (1 + np.exp(-x))
    return s + x * s * (1 - s)


def step_size_errors(steps: np.ndarray, points: np.ndarray) -> dict[str, np.ndarray]:
    """Relative error |estimate - f'| / |f'| for each rule and precision: (points, steps)."""
    errors = {}
    for central in (False, True):
        for dtype in (np.float32, np.float64):
            x = points.astype(dtype)
            true = swish_derivative(x.astype(np.float64))
            name = f"{'central' if central else 'forward'}, {dtype.__name__}"
            rows = [numerical_derivative(swish, x, h, central) for h in steps]
            errors[name] = np.abs(np.array(rows) - true).T / np.abs(true)[:, None]
    return errors


def predicted_steps() -> dict[str, float]:
    """eps^(1/2) for the forward and eps^(1/3) for the central quotient."""
    return {
        f"{rule}, {dtype.__name__}": float(np.finfo(dtype).eps) ** power
        for rule, power in (("forward", 1 / 2), ("central", 1 / 3))
        for dtype in (np.float32, np.float64)
    }


def step_size_figure(steps: np.ndarray, errors: dict[str, np.ndarray]):
    figure, axes = plotting.subplots(1, 2, width=9.6, height=4.3, sharex=True, sharey=True)
    looks = {"forward": plotting.look(1), "central": plotting.look(0)}
    for name, runs in errors.items():
        rule, dtype = name.split(", ")
        ax = axes[0] if dtype == "float32" else axes[1]
        color = looks[rule]["color"]
        low, middle, high = np.quantile(np.maximum(runs, 1e-17), [0.1, 0.5, 0.9], axis=0)
        ax.plot(steps, middle, label=f"{rule} difference", **looks[rule])
        ax.fill_between(steps, low, high, color=color, alpha=0.18, linewidth=0)
        power, dots = {"forward": ("1/2", ":"), "central": ("1/3", "-.")}[rule]
        text = rf"predicted best h = $\varepsilon^{{{power}}}$"
        ax.axvline(predicted_steps()[name], color=color, linestyle=dots, label=text)
        ax.set_title(dtype)
        ax.set_xlabel("step h")
    axes[0].set_ylabel("relative error of the derivative")
    for ax in axes:
        ax.set(xscale="log", yscale="log", ylim=(1e-13, 1e2))
        ax.legend(fontsize=7, loc="lower left")
    return figure


def step_size_metrics(steps: np.ndarray, errors: dict[str, np.ndarray]) -> dict:
    """Best measured step (median over points) and its error, beside the predicted step."""
    metrics = {}
    for name, runs in errors.items():
        middle = np.median(runs, axis=0)
        best = int(np.argmin(middle))
        metrics[name.replace(", ", "_")] = {
            "best_step": steps[best],
            "predicted_step": predicted_steps()[name],
            "smallest_error": middle[best],
        }
    return metrics


def step_size_table(metrics: dict) -> dict:
    columns = [
        ("Rule", "差分公式", "s"),
        ("Precision", "精度", "s"),
        ("Best measured h", "实测最佳 h", ".0e"),
        ("Predicted h", "预测 h", ".0e"),
        ("Relative error there", "该处相对误差", ".0e"),
    ]
    rules = {"forward": {"en": "forward", "zh": "前向"}, "central": {"en": "central", "zh": "中心"}}
    rows = []
    for name, numbers in metrics.items():
        rule, dtype = name.split("_")
        rows.append([rules[rule], dtype, *numbers.values()])
    return table(columns, rows)


def verdict_table(results: dict[str, dict]) -> dict:
    titles = {
        "right": ("right", "正确"),
        "missing_term": ("a term is missing", "漏掉一项"),
        "missing_chain_rule": ("no chain rule", "漏乘传入的梯度"),
        "mean_instead_of_sum": ("mean over the batch, not sum", "对批次取平均而非求和"),
        "detached": ("slope detached from the graph", "斜率脱离了计算图"),
    }
    words = {True: {"en": "passes", "zh": "通过"}, False: {"en": "fails", "zh": "不通过"}}
    columns = [
        ("Backward pass", "反向传播的写法", "s"),
        ("gradcheck", "gradcheck", "s"),
        ("gradgradcheck", "gradgradcheck", "s"),
        ("Largest relative error of the gradient", "梯度的最大相对误差", ".1e"),
    ]
    rows = []
    for name, (english, chinese) in titles.items():
        result = results[name]
        first, second = words[result["gradcheck"]], words[result["gradgradcheck"]]
        rows.append([{"en": english, "zh": chinese}, first, second, result["relative_error"]])
    return table(columns, rows)


# ----------------------------------------------------------------------------- the script


def build_parser():
    parser = cli.make_parser(
        __doc__,
        examples=[
            "python chapter_01_tensor_autograd/custom_function.py",
            "python chapter_01_tensor_autograd/custom_function.py --points 1000",
        ],
    )
    add = parser.add_argument_group("step-size experiment").add_argument
    add("--points", type=cli.positive_int, default=400, help="points x at which f' is estimated")
    return parser


def experiment(args: Namespace, run: Run) -> None:
    checks = check_all(args.seed)
    right, detached = checks["right"], checks["detached"]
    confirm(right["gradcheck"] and right["gradgradcheck"], "the right backward fails a check")
    confirm(detached["gradcheck"], "gradcheck refuses a right first derivative")
    confirm(not detached["gradgradcheck"], "gradgradcheck passes a detached backward")
    wrong = ["missing_term", "missing_chain_rule", "mean_instead_of_sum"]
    confirm(not any(checks[name]["gradcheck"] for name in wrong), "gradcheck passes a wrong one")

    batch, channels = 1024, 256
    memory = {
        "custom_saved_bytes": saved_bytes(Swish.apply, batch, channels),
        "composed_saved_bytes": saved_bytes(composed, batch, channels),
        "input_bytes": batch * channels * 4,
    }
    points = np.random.default_rng(args.seed).uniform(0.5, 3.0, 50 if run.quick else args.points)
    steps = np.geomspace(1e-14, 1.0, 57 if run.quick else 113)
    errors = step_size_errors(steps, points)
    sizes = step_size_metrics(steps, errors)
    tables = {"main": verdict_table(checks), "steps": step_size_table(sizes)}
    run.save_result("custom_function", {"checks": checks, "steps": sizes} | memory, tables)
    run.save_figure(step_size_figure(steps, errors), "gradient_check_steps")
    print("\nbest step of the difference quotients (median over points)")
    for name, numbers in sizes.items():
        print("  {:16} h = {:.0e} (predicted {:.0e}), error {:.0e}".format(name, *numbers.values()))
    print()
    run.finish(memory, next_command="python chapter_01_tensor_autograd/train_digits.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
