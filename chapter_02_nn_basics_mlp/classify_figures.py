"""The figures of classify.py: decision boundaries, training curves, confusion, worst mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from chapter_02_nn_basics_mlp.classify_data import SPIRAL_NOISE, SPIRAL_TURNS, Task
from utils import plotting
from utils.datasets import toy

if TYPE_CHECKING:
    from utils.run import Run

Predict = Callable[[nn.Module, Tensor], Tensor]
REACH = 1.25  # the spiral's pictures show [-REACH, REACH]^2


def save_all(
    run: Run, task: Task, models: Sequence[nn.Module], records: list, frames: list, predict: Predict
) -> None:
    """All figures of one run."""
    probabilities = predict(models[0], task.test[0]).cpu().numpy()  # (N, K)
    if task.name == "spiral":
        run.save_figure(boundary_figure(task, models[0], predict, "trained"), "spiral_boundary")
        if frames:
            run.save_gif(frames, "spiral", fps=6)
    else:
        confusion, mistakes = (
            confusion_figure(task, probabilities),
            mistakes_figure(task, probabilities),
        )
        run.save_figure(confusion, f"{task.name}_confusion")
        run.save_figure(mistakes, f"{task.name}_mistakes")
    if records:
        run.save_figure(curves_figure(task, records), f"{task.name}_curves")


def boundary_figure(task: Task, model: nn.Module, predict: Predict, title: str) -> Any:
    """The colour of the most probable class, paler where the network is unsure."""
    from matplotlib.colors import to_rgb

    axis = np.linspace(-REACH, REACH, 160)
    places = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # (G, 2)
    x, y = task.train
    share = predict(model, torch.from_numpy(places).float().to(x.device)).cpu().numpy()  # (G, K)
    colors = np.array([to_rgb(c) for c in plotting.COLORS[: len(task.classes)]])  # (K, 3)
    image = 1 - 0.6 * (1 - share @ colors)  # mixed by probability, then lightened
    fig, ax = plotting.subplots(width=4.4, height=4.5)
    extent = (-REACH, REACH, -REACH, REACH)
    ax.imshow(image.reshape(160, 160, 3), origin="lower", extent=extent)
    x, y = x.cpu().numpy(), y.cpu().numpy()
    for k, color in enumerate(plotting.COLORS[: len(task.classes)]):
        ax.plot(*x[y == k].T, plotting.MARKERS[k], ms=3.8, color=color, mec="white", mew=0.4)
    ax.grid(False)
    ax.set(title=f"spiral, {title}", xlabel="x", ylabel="y")
    return fig


def boundary_frame(task: Task, model: nn.Module, predict: Predict, title: str) -> np.ndarray:
    """The same as pixels, for the animation."""
    return plotting.figure_to_array(boundary_figure(task, model, predict, title))


def curves_figure(task: Task, records: list[list[dict]]) -> Any:
    """Training loss and validation accuracy over the epochs: mean and range of the seeds."""
    fig, (left, right) = plotting.subplots(1, 2, width=8.6, height=3.4)
    epochs = [record["epoch"] for record in records[0]]
    for ax, key, scale in ((left, "loss", 1), (right, "val_accuracy", 100)):
        values = np.array([[scale * record[key] for record in run] for run in records])  # (R, E)
        plotting.band(ax, epochs, values, "mean and range of the seeds")
        ax.set(xlabel="epoch", title=task.name)
        ax.xaxis.get_major_locator().set_params(integer=True)
    left.set(ylabel="training loss (nats)")
    right.set(ylabel="validation accuracy (%)")
    left.legend(fontsize=8)
    return fig


def confusion_figure(task: Task, probabilities: np.ndarray) -> Any:
    """Counts of true against predicted classes on the test split."""
    labels, size = task.test[1].cpu().numpy(), len(task.classes)
    pairs = labels * size + probabilities.argmax(axis=1)  # (N,)
    counts = np.bincount(pairs, minlength=size * size).reshape(size, size)
    fig, ax = plotting.subplots(width=6.2, height=5.8)
    plotting.confusion_matrix(ax, counts, task.classes)
    ax.set_title(f"{task.name}: {len(labels):,} test images")
    return fig


def mistakes_figure(task: Task, probabilities: np.ndarray) -> Any:
    """The twelve test images whose true class the network finds least probable."""
    labels = task.test[1].cpu().numpy()
    given = probabilities[np.arange(len(labels)), labels]  # (N,): probability of the truth
    worst = np.argsort(given)[:12]
    fig, axes = plotting.subplots(2, 6, width=10.2, height=4.3)
    for ax, i in zip(axes.flat, worst, strict=True):
        guess = int(probabilities[i].argmax())
        ax.imshow(task.images[i], cmap="gray_r")
        ax.set_axis_off()
        sure = f"{100 * probabilities[i, guess]:.1f} %"
        text = f"true: {task.classes[labels[i]]}\nguess: {task.classes[guess]}\n({sure} sure)"
        ax.set_title(text, fontsize=8)
    fig.suptitle(
        f"{task.name}: the test images whose true class it finds least probable", fontsize="medium"
    )
    return fig


def spiral_bayes_accuracy(task: Task) -> float:
    """Share right on the test split for one who knows the arms and the noise.

    p(x | arm) is the average of a normal density around the arm's points, over t in [0.05, 1].
    """
    t = np.linspace(0.05, 1, 2000)
    x, y = (part.cpu().numpy() for part in task.test)
    density = []
    for arm in range(len(task.classes)):
        centres = toy.spiral_arm(t, arm, len(task.classes), turns=SPIRAL_TURNS)  # (T, 2)
        squared = ((x[:, None, :] - centres[None]) ** 2).sum(axis=-1)  # (N, T)
        density.append(np.exp(-squared / (2 * SPIRAL_NOISE**2)).mean(axis=1))
    return float(np.mean(np.argmax(density, axis=0) == y))
