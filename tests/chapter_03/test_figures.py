"""Lines that lie on one another can still be told apart, and an optimiser keeps its colour."""

from types import SimpleNamespace

import numpy as np
import pytest

from chapter_03_optimization_regularization import lr_finder
from chapter_03_optimization_regularization.experiments.optimization.choices import FAMILIES, NAMES
from chapter_03_optimization_regularization.experiments.optimization.networks import Outcome
from chapter_03_optimization_regularization.figures import optimization as shown
from chapter_03_optimization_regularization.figures import schedules
from chapter_03_optimization_regularization.figures import text_optimisation as figures


def drawn(ax) -> list:
    return [line for line in ax.lines if len(line.get_xdata()) > 1]


def told_apart(lines) -> bool:
    """Whether each has a dash pattern of its own, and what is drawn later is not wider."""
    patterns = [str(line._dash_pattern[1]) for line in lines]  # matplotlib's getter hides them
    widths = [line.get_linewidth() for line in lines]
    return len(set(patterns)) == len(patterns) and widths == sorted(widths, reverse=True)


@pytest.fixture
def same() -> dict[str, Outcome]:
    """Thirteen optimisers with one and the same curve: the worst case."""
    losses = np.geomspace(2, 0.1, 30)[None].repeat(2, axis=0)  # (seeds, T)
    return {
        name: Outcome(0.1, {0.01: 1.0, 0.1: 0.5, 1.0: 2.0}, False, losses, milliseconds=1.0)
        for name in NAMES
    }


def test_equal_optimisers_are_all_seen(same):
    training = shown.training_figure(same, window=5, network="MLP")
    sensitivity = shown.sensitivity_figure({"MLP": same})
    for ax, names in zip(training.axes[:4], FAMILIES.values(), strict=True):
        lines = {line.get_label(): line for line in drawn(ax)}
        assert told_apart([lines[name] for name in names])
        assert ("(Adam)" in lines) == ("Adam" not in names)  # no grey twin under Adam itself
    for ax, names in zip(sensitivity.axes, FAMILIES.values(), strict=True):
        assert told_apart(drawn(ax))
        rings = [line.get_markersize() for line in ax.lines if len(line.get_xdata()) == 1]
        assert len(set(rings)) == len(names)  # rings around one point, one inside the other


def test_an_optimiser_has_one_colour_in_all_figures(same):
    colors = {}
    for figure in (
        shown.training_figure(same, window=5, network="MLP"),
        shown.sensitivity_figure({"MLP": same}),
    ):
        for ax in figure.axes:
            for line in drawn(ax):
                colors.setdefault(line.get_label(), set()).add(line.get_color())
    assert all(len(colors[name]) == 1 for name in NAMES)
    assert len({next(iter(colors[name])) for name in NAMES}) == len(NAMES)


def test_a_legend_stands_above_every_column(same):
    for figure in (
        shown.training_figure(same, window=5, network="MLP"),
        shown.sensitivity_figure({"MLP": same}),
    ):
        titles = [ax.get_legend().get_title().get_text() for ax in figure.axes[:4]]
        assert titles == list(FAMILIES)


def test_a_plateau_that_never_acts_does_not_hide_the_constant_rate():
    val = np.ones((1, 2, 3))  # (rates, seeds, epochs)
    sweeps = {name: {"val": val, "best": 0, "rates": [1.0]} for name in map(str, range(8))}
    figure = schedules.course_figure(sweeps, {name: np.ones(12) for name in sweeps})
    for ax in figure.axes[:2]:
        lines = drawn(ax)
        assert lines[0].get_linewidth() > 2 * lines[7].get_linewidth()
        assert len({(line.get_color(), str(line._dash_pattern[1])) for line in lines}) == 8


def test_two_suggestions_at_one_rate_are_both_seen():
    test = SimpleNamespace(
        rates=[0.1, 1.0], losses=[2, 1], smoothed=[2, 1], steepest=0.3, tenth_of_minimum=0.3
    )
    checks = {name: np.ones((len(rates), 2)) for name, rates in lr_finder.GRIDS.items()}
    figure = lr_finder.figure({name: [test] for name in lr_finder.GRIDS}, checks)
    for ax in figure.axes:
        first, second = (line for line in ax.lines if line.get_xdata()[0] == line.get_xdata()[-1])
        assert first.get_linewidth() > 2 * second.get_linewidth()
        assert first.get_linestyle() != second.get_linestyle()


def test_the_best_line_of_the_heavy_ball_is_named_where_it_runs():
    left = figures.draw_momentum_regions().axes[0]
    assert left.get_legend() is None  # its grey sample stood for a white line
    assert any("best" in text.get_text() for text in left.texts)
