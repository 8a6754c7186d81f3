"""What page 6 says was measured: errors over the width, and the cost by count and by formula."""

import pytest
import torch

from chapter_07_attention_mechanism import draw_figures
from chapter_07_attention_mechanism.experiments import cost, kernel
from chapter_07_attention_mechanism.figures import text_kernel
from chapter_07_attention_mechanism.multi_head import MultiheadAttention


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(cost, "LENGTHS", (16, 64))
    monkeypatch.setattr(cost, "ROUNDS", 1)
    monkeypatch.setattr(kernel, "SEEDS", 1)
    monkeypatch.setattr(kernel, "WIDTHS", kernel.WIDTHS[::6])
    for module in (cost, kernel):
        module.measure.cache_clear()
    yield
    for module in (cost, kernel):
        module.measure.cache_clear()


@pytest.mark.parametrize(("length", "width", "heads"), [(7, 16, 2), (33, 32, 8), (64, 48, 1)])
def test_the_formulas_are_what_is_counted(length, width, heads):
    model = MultiheadAttention(width, heads, batch_first=True)
    x = torch.randn(1, length, width)

    def forward():
        return model(x, x, x, need_weights=False)[0]

    assert cost.counted_operations(forward) == sum(cost.operations(length, width).values())
    kept = cost.kept_bytes(forward, [x, *model.parameters()])
    assert kept == sum(cost.kept(length, width, heads).values())


def test_what_is_kept_is_counted_once_and_without_what_is_known():
    x, w = torch.randn(4, 4, requires_grad=True), torch.randn(4, 4)
    assert cost.kept_bytes(lambda: (x @ w).exp(), [x, w]) == 4 * 16  # the result of exp
    assert cost.kept_bytes(lambda: x.square() * w, []) == 2 * 4 * 16  # x and w
    assert cost.kept_bytes(lambda: x * x, []) == 4 * 16  # x, once


def test_both_halves_of_the_work_are_equal_at_twice_the_width():
    work = cost.operations(2 * cost.WIDTH)
    assert work["projections"] == work["attention"]
    metrics = cost.collect(cost.measure(0))
    row = metrics["rows"]["t_64"]
    assert row["operations"] == row["operations_formula"] and row["milliseconds"] > 0
    assert row["kept_bytes"] == row["kept_formula"]
    assert [line[0] for line in cost.tables(metrics)["main"]["rows"]] == [16, 64]


def test_widths_and_methods_show_the_lesson():
    found = kernel.measure(42)
    metrics = kernel.collect(found)
    curves, best = found["widths"], metrics["best_width"]
    assert kernel.WIDTHS[0] < best["leave_one_out"] < kernel.WIDTHS[-1]
    assert best["with_itself"] == kernel.WIDTHS[0]  # guessing oneself is no validation
    assert min(curves["leave_one_out"]) > 0.9 * kernel.NOISE**2 > max(curves["with_itself"][:1])
    errors = {name: row["error"][0] for name, row in metrics["methods"].items()}
    assert errors["both_learnt"] < 0.6 * errors["both"] < errors["both"] < errors["mean"] / 2
    assert errors["both_learnt"] == pytest.approx(errors["own_learnt"], rel=0.4)
    assert metrics["methods"]["both_learnt"]["other"][0] > 3
    assert len(kernel.tables(metrics)["main"]["rows"]) == len(kernel.METHODS)


def test_the_drawings_are_drawn_and_their_numbers_are_saved():
    for name in ("kernel_widths", "attention_cost"):
        assert draw_figures.DRAWINGS[name](42).axes
    assert {"kernel_regression": kernel, "attention_cost": cost} == draw_figures.MEASURED
    assert text_kernel.CURVES.keys() == kernel.measure(42)["widths"].keys()
