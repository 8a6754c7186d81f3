"""A network that reads handwritten digits, trained with our own engine: PyTorch is not imported.

    logits = relu(relu(x W1 + b1) W2 + b2) W3 + b3          x: (B, pixels), logits: (B, 10)
    loss   = -mean over the batch of log_softmax(logits)[true class]

The loop is written out: take a batch, forward, backward, one step of Adam (Kingma and Ba, 2015)
with a learning rate that falls to zero along a cosine. After each epoch the validation split is
scored; the weights of the best epoch are kept, and the test split is used once, at the end.

    python chapter_01_tensor_autograd/train_digits.py                     # 10 s: 8x8 digits
    python chapter_01_tensor_autograd/train_digits.py --dataset mnist     # 1 min: 28x28 digits
    python chapter_01_tensor_autograd/train_digits.py --quick             # 3 s

and `--load chapter_01_tensor_autograd/checkpoints/mnist_mlp.npz` to evaluate shipped weights.

Expected test accuracy, mean of three seeds: 97 % on the 8x8 digits, 98 % on MNIST. Chance is 10 %,
the nearest class mean reaches 89 and 82 %, the same loop without hidden layers 92 and 93 %.
"""

from __future__ import annotations

import itertools
import math
import shlex
import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chapter_01_tensor_autograd.digits_figures import (
    confusion_figure,
    curves_figure,
    mistakes_figure,
)
from chapter_01_tensor_autograd.tensor import Tensor, no_grad
from utils import cli, datasets
from utils.checkpoint import CheckpointError, evaluator, load_checkpoint
from utils.cli import UserError
from utils.datasets import ImageData, Split
from utils.results import mean_std, named_mean_std, table
from utils.run import Run

# What --hidden, --epochs and --batch_size are if they are not given.
DEFAULTS = {
    "digits": {"hidden": [128, 64], "epochs": 40, "batch_size": 64},
    "mnist": {"hidden": [256, 128], "epochs": 10, "batch_size": 128},
}

# -------------------------------------------------------------------------------- the model


def make_parameters(widths: list[int], rng: np.random.Generator) -> list[Tensor]:
    """[W1, b1, W2, b2, ...]: weights with variance 2 / inputs (He et al., 2015), zero biases."""
    parameters = []
    for inputs, outputs in itertools.pairwise(widths):
        weight = rng.normal(0.0, math.sqrt(2.0 / inputs), (inputs, outputs)).astype(np.float32)
        bias = np.zeros(outputs, dtype=np.float32)
        parameters += [Tensor(weight, requires_grad=True), Tensor(bias, requires_grad=True)]
    return parameters


def forward(parameters: list[Tensor], x: Tensor) -> Tensor:
    """(B, pixels) -> (B, classes)."""
    layers = list(zip(parameters[::2], parameters[1::2], strict=True))
    for depth, (weight, bias) in enumerate(layers):
        x = x @ weight + bias  # (B, outputs of this layer)
        if depth < len(layers) - 1:
            x = x.relu()
    return x


def cross_entropy(logits: Tensor, labels: np.ndarray) -> Tensor:
    """Mean of -log p(true class); logits (B, K), labels (B,)."""
    log_p = logits.log_softmax(axis=1)
    return -log_p[np.arange(len(labels)), labels].mean()  # (B, K) -> (B,) -> ()


class Adam:
    """Each number gets its own step size: lr * average gradient / root of its average square."""

    def __init__(self, parameters: list[Tensor], beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.parameters, self.beta1, self.beta2 = parameters, beta1, beta2
        self.m = [np.zeros_like(p.data) for p in parameters]  # average gradient
        self.v = [np.zeros_like(p.data) for p in parameters]  # average squared gradient
        self.t = 0

    def step(self, lr: float) -> None:
        self.t += 1
        # Both averages start at zero; dividing by 1 - beta^t takes that start out of them.
        scale = lr / (1 - self.beta1**self.t)
        correction = 1 - self.beta2**self.t
        with no_grad():
            for p, m, v in zip(self.parameters, self.m, self.v, strict=True):
                g = p.grad.data
                m += (1 - self.beta1) * (g - m)
                v += (1 - self.beta2) * (g * g - v)
                p -= scale * m / (np.sqrt(v / correction) + 1e-8)


# ----------------------------------------------------------------------------- the training


@dataclass
class Fit:
    """What one training run leaves."""

    seed: int
    weights: list[np.ndarray]  # of the best epoch
    best_epoch: int
    history: dict[str, list[float]]  # train_loss, val_loss, val_accuracy: a number an epoch


def pixels(data: ImageData, split: Split) -> np.ndarray:
    """Standardised pixels in a row: (N, H, W) uint8 -> (N, H * W) float32."""
    return data.standardise(split.images).reshape(len(split), -1)


def predict(parameters: list[Tensor], x: np.ndarray) -> np.ndarray:
    """Log-probabilities (N, K), computed in blocks to bound the memory."""
    with no_grad():
        blocks = [
            forward(parameters, Tensor(x[i : i + 1000])).log_softmax(axis=1).data
            for i in range(0, len(x), 1000)
        ]
    return np.concatenate(blocks)


def accuracy(log_p: np.ndarray, labels: np.ndarray) -> float:
    return float((log_p.argmax(axis=1) == labels).mean())


def train_epoch(
    parameters: list[Tensor],
    optimizer: Adam,
    x: np.ndarray,
    labels: np.ndarray,
    order: np.ndarray,
    args: Namespace,
) -> float:
    """One pass over the training split in the given order; the mean loss."""
    total = 0.0
    for start in range(0, len(x), args.batch_size):
        batch = order[start : start + args.batch_size]
        loss = cross_entropy(forward(parameters, Tensor(x[batch])), labels[batch])
        for parameter in parameters:
            parameter.zero_grad()  # backward() adds to what is there
        loss.backward()
        done = optimizer.t / (args.epochs * math.ceil(len(x) / args.batch_size))
        optimizer.step(lr=args.lr * 0.5 * (1 + math.cos(math.pi * done)))
        total += loss.item() * len(batch)
    return total / len(x)


def train(data: ImageData, hidden: list[int], args: Namespace, seed: int, run: Run) -> Fit:
    """Train one network; keep the weights of the epoch with the best validation accuracy."""
    rng = np.random.default_rng(seed)
    x, labels = pixels(data, data.train), data.train.labels
    x_val, labels_val = pixels(data, data.val), data.val.labels
    parameters = make_parameters([x.shape[1], *hidden, len(data.classes)], rng)
    optimizer = Adam(parameters)
    fit = Fit(seed, [], -1, {"train_loss": [], "val_loss": [], "val_accuracy": []})
    epochs = cli.progress(range(args.epochs), f"{data.name}, hidden {hidden}, seed {seed}")
    for epoch in epochs:
        loss = train_epoch(parameters, optimizer, x, labels, rng.permutation(len(x)), args)
        if not math.isfinite(loss):
            raise UserError(f"the loss is {loss} in epoch {epoch}; try --lr {args.lr / 10:g}.")
        log_p = predict(parameters, x_val)
        val_loss = -log_p[np.arange(len(labels_val)), labels_val].mean()
        score = accuracy(log_p, labels_val)
        if score > max(fit.history["val_accuracy"], default=-1.0):
            fit.weights, fit.best_epoch = [p.data.copy() for p in parameters], epoch
        for name, value in zip(fit.history, (loss, val_loss, score), strict=True):
            fit.history[name].append(float(value))
        run.log(seed=seed, hidden=hidden, epoch=epoch, **{k: v[-1] for k, v in fit.history.items()})
        epochs.set_postfix(loss=f"{loss:.3f}", val_accuracy=f"{score:.3f}")
    return fit


def nearest_mean_accuracy(data: ImageData) -> float:
    """Baseline without training: the class whose mean training image is closest."""
    x, x_test = pixels(data, data.train), pixels(data, data.test)
    classes = range(len(data.classes))
    means = np.stack([x[data.train.labels == k].mean(axis=0) for k in classes])  # (K, pixels)
    # |x - mean|^2 = |x|^2 - 2 x.mean + |mean|^2, and |x|^2 is the same for all classes
    return accuracy(2 * x_test @ means.T - (means**2).sum(axis=1), data.test.labels)


def majority_accuracy(data: ImageData) -> float:
    """Chance level: always the most frequent class of the training split."""
    return float((data.test.labels == np.bincount(data.train.labels).argmax()).mean())


# ----------------------------------------------------------------------------- the weights


def state_of(weights: list[np.ndarray]) -> dict[str, np.ndarray]:
    """[W1, b1, W2, ...] -> {"layers.0.weight": W1, "layers.0.bias": b1, ...}."""
    return {f"layers.{i // 2}.{'bias' if i % 2 else 'weight'}": w for i, w in enumerate(weights)}


def load_weights(path: str | Path) -> tuple[list[Tensor], dict]:
    """The network in a checkpoint, and the checkpoint; CheckpointError if they do not fit."""
    checkpoint = load_checkpoint(path)
    widths = checkpoint["architecture"].get("widths", [])
    shapes = [shape for a, b in itertools.pairwise(widths) for shape in ((a, b), (b,))]
    state = checkpoint["state"]
    names = state_of(shapes)
    if not shapes or {name: a.shape for name, a in state.items()} != names:
        raise CheckpointError(f"{path} does not hold the weights of an MLP of widths {widths}.")
    return [Tensor(state[name]) for name in names], checkpoint


def accuracy_on_test(parameters: list[Tensor], data: ImageData) -> float:
    return accuracy(predict(parameters, pixels(data, data.test)), data.test.labels)


evaluate_checkpoint = evaluator(load_weights, datasets.load, accuracy_on_test)


# ------------------------------------------------------------------------------ the script


def save_test_figures(run: Run, data: ImageData, log_p: np.ndarray) -> None:
    run.save_figure(confusion_figure(data, log_p.argmax(axis=1)), f"{data.name}_confusion")
    run.save_figure(mistakes_figure(data, log_p), f"{data.name}_mistakes")


def build_parser():
    parser = cli.make_parser(
        __doc__,
        examples=[
            "python chapter_01_tensor_autograd/train_digits.py --hidden 32 --epochs 100",
            "python chapter_01_tensor_autograd/train_digits.py --dataset mnist --seeds 1",
        ],
    )
    add = parser.add_argument_group("training").add_argument
    add("--dataset", choices=list(DEFAULTS), default="digits", help="which images")
    add(
        "--hidden",
        type=cli.positive_int,
        nargs="+",
        help="neurons of the hidden layers (default: 128 64 for digits, 256 128 for mnist)",
    )
    add("--epochs", type=cli.positive_int, help="passes over the images (default: 40; mnist: 10)")
    add("--batch_size", type=cli.positive_int, help="images a step (default: 64; mnist: 128)")
    add("--lr", type=cli.positive_float, default=2e-3, help="largest learning rate")
    add("--seeds", type=cli.positive_int, default=3, help="training runs, from --seed upwards")
    add("--load", type=cli.path, metavar="FILE", help="evaluate these weights instead of training")
    return parser


def fill_defaults(args: Namespace) -> None:
    """Options not given follow from the data set; --quick takes fewer epochs and one seed."""
    for name, value in DEFAULTS[args.dataset].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.quick:
        args.epochs, args.seeds = {"digits": 15, "mnist": 1}[args.dataset], 1


def evaluate_only(args: Namespace, run: Run) -> None:
    parameters, checkpoint = load_weights(args.load)
    data = datasets.load(checkpoint["dataset"], run.data_dir)
    log_p = predict(parameters, pixels(data, data.test))
    save_test_figures(run, data, log_p)
    metrics = {"dataset": data.name, "test_accuracy": accuracy(log_p, data.test.labels)}
    print(f"accuracy on the model card: {checkpoint['metrics']['test_accuracy']:.4f}")
    run.finish(metrics, next_command="python -m course verify")


def collect(data: ImageData, scores: dict[str, list[float]]) -> tuple[dict, dict]:
    """Metrics and table: test accuracy of the networks and of simpler rules."""
    metrics = {"chance": majority_accuracy(data), "nearest_mean": nearest_mean_accuracy(data)}
    for name, values in scores.items():
        metrics[name] = named_mean_std(values) | {"values": values}
    columns = [("Method", "方法", "s"), ("Test accuracy (%)", "测试准确率（%）", ".2f")]
    pairs = {name: mean_std(100 * value for value in v) for name, v in scores.items()}
    rows = [
        [{"en": "most frequent class", "zh": "总猜最多的类"}, 100 * metrics["chance"]],
        [{"en": "nearest class mean", "zh": "最近类均值"}, 100 * metrics["nearest_mean"]],
        [
            {"en": "softmax regression, our engine", "zh": "softmax 回归（本课引擎）"},
            pairs["linear"],
        ],
        [{"en": "MLP, our engine", "zh": "多层感知机（本课引擎）"}, pairs["mlp"]],
    ]
    return metrics, table(columns, rows)


def experiment(args: Namespace, run: Run) -> None:
    if args.load:
        return evaluate_only(args, run)
    fill_defaults(args)
    data = datasets.load(args.dataset, run.data_dir)
    seeds = [args.seed + i for i in range(args.seeds)]
    print(f"{data.name}: hidden {args.hidden}, {args.epochs} epochs, batch {args.batch_size}")
    fits = {
        "linear": [train(data, [], args, seed, run) for seed in seeds],
        "mlp": [train(data, args.hidden, args, seed, run) for seed in seeds],
    }
    # From here on nothing is chosen any more, and the test split may be used.
    x_test, labels = pixels(data, data.test), data.test.labels
    log_p = {
        name: [predict([Tensor(w) for w in fit.weights], x_test) for fit in group]
        for name, group in fits.items()
    }
    scores = {name: [accuracy(p, labels) for p in group] for name, group in log_p.items()}
    metrics, results = collect(data, scores)
    # The shipped network is the best of the seeds on the validation split.
    best = int(np.argmax([max(fit.history["val_accuracy"]) for fit in fits["mlp"]]))
    shipped = scores["mlp"][best]
    name = {"digits": "train_digits", "mnist": "train_mnist"}[data.name]
    run.save_result(name, metrics | {"shipped": shipped}, {"main": results}, seeds)
    save_weights(run, data, args, fits["mlp"][best], shipped)
    run.save_figure(
        curves_figure(data, [fit.history for fit in fits["mlp"]]), f"{data.name}_curves"
    )
    save_test_figures(run, data, log_p["mlp"][best])
    final = {
        "test_accuracy_mean": metrics["mlp"]["mean"],
        "test_accuracy_std": metrics["mlp"]["std"],
    }
    path = run.folder / f"{data.name}_mlp.npz"
    next_command = (
        f"python chapter_01_tensor_autograd/train_digits.py --load {shlex.quote(str(path))}"
    )
    return run.finish(final, next_command)


def save_weights(run: Run, data: ImageData, args: Namespace, fit: Fit, score: float) -> None:
    pixel_count = data.train.images[0].size
    run.save_checkpoint(
        f"{data.name}_mlp.npz",
        state_of(fit.weights),
        architecture={"widths": [pixel_count, *args.hidden, len(data.classes)]},
        dataset=data.name,
        metrics={"test_accuracy": score},
        task={
            "en": "handwritten digit, MLP on our engine",
            "zh": "手写数字识别（本课引擎的多层感知机）",
        },
        classes=list(data.classes),
        pixel_mean=data.mean,
        pixel_std=data.std,
        training_seed=fit.seed,
        card_note={
            "en": f"epoch {fit.best_epoch + 1} of {args.epochs}, seed {fit.seed}; "
            "both chosen on the validation split",
            "zh": f"第 {fit.best_epoch + 1} 轮（共 {args.epochs} 轮），种子 {fit.seed}；"
            "两者均按验证集选出",
        },
    )


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv, uses_torch=False)


if __name__ == "__main__":
    sys.exit(main())
