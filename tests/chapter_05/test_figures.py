"""The chapter's figures: nothing cut or hidden, and no line told from another by colour alone."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from chapter_04_cnn_classic.predictions import Prediction
from chapter_05_resnet_modern_cnn.src import (
    cam_figures,
    comparison_figures,
    degradation_figures,
    gradient_figures,
    model_train,
    modern_figures,
    transfer_figures,
    unravelled_figures,
)
from utils.file_io_util import read_json

RESULTS = Path(model_train.__file__).parent.parent / "results"
KINDS = ("resnet", "plainnet")


def looks(ax):
    """How the labelled lines of an axis look when colours are taken away."""
    shown = [line for line in ax.lines if not line.get_label().startswith("_")]
    return [(str(line.get_linestyle()), line.get_marker()) for line in shown]


def told_apart(ax):
    found = looks(ax)
    return len(found) > 1 and len(set(found)) == len(found)


def compared(epochs, layers=31, seeds=2):
    """What model_train.py keeps of two networks: gradients shrink by epoch and by layer."""
    rng = np.random.default_rng(0)
    results = {}
    for kind in KINDS:
        norms = np.exp(-np.arange(epochs + 1)[:, None] - 0.1 * np.arange(layers))
        curves = {key: 1 + rng.random(epochs) for key in ("train_losses", "val_losses")}
        row = curves | {"val_accuracies_percent": 50 + rng.random(epochs), "gradients": norms}
        results[kind] = [row] * seeds
    return results


def depths(epochs, seeds=2):
    """What exp_degradation.py keeps."""
    rng = np.random.default_rng(1)
    results = {}
    for name in ("plainnet20", "resnet20", "plainnet32", "resnet32"):
        rows = []
        for _ in range(seeds):
            errors = {key: list(90 * rng.random(epochs)) for key in ("train_errors", "val_errors")}
            rows.append(errors | {"train_loss": rng.random(), "test_error": 90 * rng.random()})
        results[name] = rows
    return results


@pytest.mark.parametrize("epochs", [1, 2, 10])
def test_gradients_are_a_line_an_epoch_over_the_layers(epochs):
    results = compared(epochs)
    figure = comparison_figures.gradients(results, "31 layers")
    for ax in figure.axes:
        assert 1 < len(ax.lines) <= 4 and told_apart(ax) and len(looks(ax)) == len(ax.lines)
        for line in ax.lines:
            assert list(line.get_xdata()) == list(range(1, 32))
        expected = results["resnet"][0]["gradients"]
        assert ax.lines[0].get_ydata() == pytest.approx(expected[0])  # before training
        assert ax.lines[-1].get_ydata() == pytest.approx(expected[-1])  # at the end
    assert comparison_figures.shown_epochs(10) == [0, 1, 5, 10]


def test_two_epochs_are_drawn_run_by_run():
    few = comparison_figures.losses(compared(2), "toy")
    assert [len(ax.lines) for ax in few.axes] == [4, 4, 4]  # two networks, two seeds
    assert not any(ax.collections for ax in few.axes)  # no band between two points
    many = comparison_figures.losses(compared(10), "toy")
    assert [len(ax.lines) for ax in many.axes] == [2, 2, 2]
    assert told_apart(few.axes[0]) and told_apart(many.axes[0])


def test_two_points_are_no_curve():
    """Every run is a column: digits at its errors, in place of lines through means."""
    results = depths(epochs=2)
    figure = degradation_figures.curves(results, "toy")
    for ax, kind in zip(figure.axes, ("plainnet", "resnet"), strict=True):
        rows = [row for name, runs in results.items() if name.startswith(kind) for row in runs]
        errors = [row[key][e] for row in rows for key in ("train_errors", "val_errors")
                  for e in range(2)]  # fmt: skip
        assert sorted(t.get_position()[1] for t in ax.texts) == pytest.approx(sorted(errors))
        assert {t.get_text() for t in ax.texts} == {"1", "2"}
        assert all(len(set(line.get_xdata())) <= 1 for line in ax.lines)
        assert told_apart(ax)


def test_long_trainings_are_curves_and_depths_have_markers():
    figure = degradation_figures.curves(depths(epochs=20), "toy")
    for ax in figure.axes:
        assert not ax.texts and len(ax.lines) == 4 and told_apart(ax)
        assert {len(line.get_xdata()) for line in ax.lines} == {20}


def test_lines_differ_by_more_than_colour():
    flow = {name: [{"start": {"signal": [1, 2], "gradient": [2, 1], "singular_values": [2, 1]}}]
            for name in "abcde"}  # fmt: skip
    titles = {name: name for name in flow}
    found = {"a": {"one": [5, 6], "whole": 2, "several": {1: [5, 6]}},
             "b": {"one": [8, 9], "whole": 2, "several": {1: [8, 9]}}}  # fmt: skip
    tuned = {method: {10: [{"test": 50.0}], 30: [{"test": 60.0}]}
             for method in transfer_figures.NAMES}  # fmt: skip
    figures = [
        gradient_figures.flow(flow, titles, 32),
        gradient_figures.spectra(flow, titles, 32),
        unravelled_figures.deletions(found, "toy", 90),
        degradation_figures.by_depth(depths(2), "toy"),
        transfer_figures.curves(tuned, 20, "toy"),
    ]
    for figure in figures:
        assert all(told_apart(ax) for ax in figure.axes)


def test_equal_errors_of_whole_networks_do_not_hide_each_other():
    found = {name: {"one": [5, 6], "whole": 2, "several": {1: [5]}} for name in "ab"}
    left = unravelled_figures.deletions(found, "toy", 90).axes[0]
    whole = [line for line in left.lines if list(line.get_ydata()) == [2, 2]]
    # The dashes of one start where those of the other end.
    (first, _), (second, gaps) = (line._unscaled_dash_pattern for line in whole)
    assert len(whole) == 2 and second - first == gaps[0] == gaps[1]


@pytest.mark.parametrize("count", [1, 3])
def test_the_title_over_few_answers_is_not_cut(count):
    pixels = torch.zeros(3, 32, 32, dtype=torch.uint8)
    picture = SimpleNamespace(path=Path("airplane.png"), size=(32, 32), notes=())
    top = [("airplane", 0.9), ("car", 0.1)]
    prediction = Prediction(picture, pixels, top, truth="airplane")
    predictions = [prediction] * count
    figure = cam_figures.answers(
        predictions, [torch.zeros(32, 32)] * count, "resnet18 on natural_images96"
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box = figure._suptitle.get_window_extent(canvas.get_renderer())
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width
    assert "right" in figure.axes[0].get_title()  # and not only green


def test_a_name_does_not_lie_on_the_line_of_its_seeds():
    """With the published dots, one of which has no room to its right."""
    found = read_json(RESULTS / "modern_cifar10.json")["metrics"]
    points = {
        name: cost | {"test": [row["test"] for row in found["runs"][name]]}
        for name, cost in found["costs"].items()
    }
    figure = modern_figures.scatter(points, "toy", "1 CPU thread")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    for ax in figure.axes:
        spans = [line for line in ax.lines if line.get_marker() == "None"]
        assert len(spans) == len(ax.texts) == len(points)
        for text in ax.texts:
            box = text.get_window_extent(renderer)
            assert not any(box.overlaps(line.get_window_extent(renderer)) for line in spans)


def test_the_figure_of_the_intuition_is_of_the_depth_at_which_the_gap_opens():
    assert model_train.SHOWN == "compare_natural_images96_34"
