"""The gradient before the first step: what page 3 derives of it holds."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from chapter_08_transformer_vanilla.experiments import start_gradients
from chapter_08_transformer_vanilla.experiments.start_gradients import (
    FFN,
    WIDTH,
    alike,
    measure,
    stack,
    tables,
)
from chapter_08_transformer_vanilla.figures.start_gradients import draw_start_gradients


@pytest.fixture(scope="module")
def found() -> dict:
    return measure((2, 16), (0, 1))


def mean(row: dict, key: str, layer: int) -> float:
    return row[key][layer][0]


def test_the_last_layer_over_depth(found):
    """Post-norm: not smaller in 16 layers than in 2. Pre-norm: less than 0.7 times as large."""
    last = {n: [mean(found[n][d], "gradient", -1) for d in ("2", "16")] for n in found}
    assert last["post"][1] > last["post"][0]
    assert last["pre"][1] < 0.7 * last["pre"][0]
    assert last["pre"][1] < 0.5 * last["post"][1]
    for key, most in {"path": 1.02, "w2": 1.4}.items():  # the stream's is the same, to 2 %
        shallow, deep = (mean(found["post"][depth], key, -1) for depth in ("2", "16"))
        assert 1 / most < deep / shallow < most


def test_the_first_layer_hardly_depends_on_the_depth(found):
    for name in found:
        shallow, deep = (mean(found[name][d], "gradient", 0) for d in ("2", "16"))
        assert 0.75 < deep / shallow < 1.25


def test_the_stream_grows_in_pre_norm_only(found):
    """Each layer adds its own: close to a straight line. Post-norm starts anew each time."""
    pre = [layer[0] for layer in found["pre"]["16"]["stream"]]
    assert all(b > a + 0.2 for a, b in pairwise(pre))
    assert 8 < pre[-1] < 16
    for square, _ in found["post"]["16"]["stream"]:
        assert square == pytest.approx(1, abs=1e-3)


def test_the_path_falls_as_the_stream_grows(found):
    """path * sqrt(stream) is the same in every layer of pre-norm, to a third."""
    row = found["pre"]["16"]
    scaled = [p[0] * s[0] ** 0.5 for p, s in zip(row["path"], row["stream"], strict=True)]
    assert max(scaled) < 1.34 * min(scaled)
    assert row["path"][0][0] > 2 * row["path"][-1][0]


def test_places_become_alike_and_queries_learn_nothing_in_post_norm(found):
    post, pre = found["post"]["16"]["last"], found["pre"]["16"]["last"]
    assert post["alike"][0] > 0.9 > pre["alike"][0] + 0.1
    assert post["query_key"][0] < 0.3 * pre["query_key"][0]


def test_how_far_the_output_moves(found):
    """Post-norm: in step with the depth, 8 times. Pre-norm: far less."""
    post, pre = ([found[n][d]["moved"][0] for d in ("2", "16")] for n in ("post", "pre"))
    assert post[1] / post[0] > 8 > pre[1] / pre[0]
    assert pre[1] < 0.7 * post[1]


def test_the_feed_forward_adds_what_page_3_says():
    """2 D F / (D + F)^2 of the mean square that it reads, and as much of a gradient: 0.32."""
    gain = 2 * WIDTH * FFN / (WIDTH + FFN) ** 2
    assert gain == pytest.approx(0.32)
    forward, backward = [], []
    for seed in range(4):
        (layer,) = stack(1, True, seed).layers
        for linear in (layer.linear1, layer.linear2):
            torch.nn.init.zeros_(linear.bias)
        x = torch.randn(500, WIDTH, requires_grad=True)
        out = layer.feed_forward(x)
        forward.append(out.detach().square().mean())
        (given,) = torch.autograd.grad(out, x, torch.randn_like(out))
        backward.append(given.square().mean())
    for measured in (forward, backward):
        assert float(torch.stack(measured).mean()) == pytest.approx(gain, rel=0.05)


def test_attention_adds_and_hands_back_what_page_3_says():
    """Forward (c + (1 - c) / T) / 2, backward 1 / 2 T: alike places add, their gradients do not."""
    lines, places = 40, 16
    for common in (0.0, 1.0):
        forward, backward = [], []
        for seed in range(4):
            (layer,) = stack(1, True, seed).layers
            x = torch.randn(lines, places, WIDTH)
            x = common * torch.randn(lines, 1, WIDTH) + (1 - common) * x  # c is 0 or 1
            x.requires_grad_()
            out = layer.self_attn(x / 10, x / 10, x)[0]  # small scores: even weights
            forward.append(out.detach().square().mean())
            (given,) = torch.autograd.grad(out, x, torch.randn_like(out))
            backward.append(given.square().mean())
        expected = 0.5 * (common + (1 - common) / places)
        assert float(torch.stack(forward).mean()) == pytest.approx(expected, rel=0.15)
        assert float(torch.stack(backward).mean()) == pytest.approx(0.5 / places, rel=0.15)


def test_the_mean_cosine_of_two_places():
    states = torch.tensor([[[1.0, 0], [2, 0], [0, 3]]])  # cosines 1, 0, 0
    assert alike(states) == pytest.approx(1 / 3)


def test_seeds_give_the_same_numbers_and_spread(found):
    again = start_gradients.measure_one(2, True, 0)
    other = start_gradients.measure_one(2, True, 1)
    assert again == start_gradients.measure_one(2, True, 0) != other
    expected = (again["gradient"][0] + other["gradient"][0]) / 2
    assert mean(found["pre"]["2"], "gradient", 0) == pytest.approx(expected)


def test_tables_and_figure(found):
    rows = tables(found)["start_gradients"]["rows"]
    assert [row[1] for row in rows] == [2, 16, 2, 16]
    assert rows[3][3] == list(found["pre"]["16"]["last"]["gradient"])
    figure = draw_start_gradients(found)
    assert [len(ax.containers) for ax in figure.axes] == [2] * 6
