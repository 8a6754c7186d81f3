"""Backpropagation through time by hand equals autograd, whole and truncated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from chapter_06_rnn_lstm_seq import bptt_numpy as by_hand
from chapter_06_rnn_lstm_seq.figures import text_bptt

CASES = [(cell, loss) for cell in ("rnn", "lstm") for loss in ("mse", "cross_entropy")]
T, B, INPUTS, H, K = 7, 3, 2, 5, 4


def case(cell, loss, steps=T, seed=0):
    """Weights, x, target and a state that is not zero."""
    rng = np.random.default_rng(seed)
    w = by_hand.init_weights(cell, INPUTS, H, K, rng)
    w["bias"] += 0.1 * rng.normal(size=w["bias"].shape)
    x = rng.normal(size=(steps, B, INPUTS))
    labels = rng.integers(0, K, size=(steps, B))
    target = labels if loss == "cross_entropy" else rng.normal(size=(steps, B, K))
    state = tuple(0.5 * rng.normal(size=(B, H)) for _ in by_hand.zero_state(cell, B, H))
    return w, x, target, state


def by_autograd(cell, w, x, target, state, loss, cut=None):
    """The same from torch.nn and autograd, the state detached behind every `cut` steps."""
    net = (torch.nn.RNN if cell == "rnn" else torch.nn.LSTM)(INPUTS, H).double()
    head = torch.nn.Linear(H, K).double()
    with torch.no_grad():
        for parameter, name in [
            (net.weight_ih_l0, "weight_ih"), (net.weight_hh_l0, "weight_hh"),
            (net.bias_ih_l0, "bias"), (head.weight, "weight_out"), (head.bias, "bias_out"),
        ]:  # fmt: skip
            parameter.copy_(torch.tensor(w[name]))
        net.bias_hh_l0.zero_()
    now = tuple(torch.tensor(part)[None] for part in state)
    outputs = []
    for part in torch.tensor(x).split(cut or len(x)):
        out, last = net(part, now[0] if cell == "rnn" else now)
        outputs.append(out)
        now = tuple(s.detach() for s in ((last,) if cell == "rnn" else last))
    y = head(torch.cat(outputs)).flatten(0, 1)
    goal = torch.tensor(target).flatten(0, 1)
    value = F.mse_loss(y, goal) if loss == "mse" else F.cross_entropy(y, goal)
    value.backward()
    gradients = {
        "weight_ih": net.weight_ih_l0.grad, "weight_hh": net.weight_hh_l0.grad,
        "bias": net.bias_ih_l0.grad, "weight_out": head.weight.grad, "bias_out": head.bias.grad,
    }  # fmt: skip
    return value.item(), {name: g.numpy() for name, g in gradients.items()}, now


def assert_same(ours, theirs):
    assert ours[0] == pytest.approx(theirs[0], rel=1e-10)
    for name, gradient in theirs[1].items():
        np.testing.assert_allclose(ours[1][name], gradient, rtol=1e-9, atol=1e-12, err_msg=name)
    for mine, other in zip(ours[2], theirs[2], strict=True):
        np.testing.assert_allclose(mine, other[0].numpy(), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(("cell", "loss"), CASES)
@pytest.mark.parametrize("steps", [1, 2, 7, 40])
def test_by_hand_equals_autograd(cell, loss, steps):
    given = case(cell, loss, steps)
    assert_same(by_hand.loss_and_gradients(cell, *given, loss), by_autograd(cell, *given, loss))


@pytest.mark.parametrize(("cell", "loss"), CASES)
@pytest.mark.parametrize("k", [1, 2, 3, 7, 100])
def test_truncated_equals_autograd_with_detached_states(cell, loss, k):
    """7 steps in chunks of 2 or 3 leave a shorter last one."""
    given = case(cell, loss, seed=k)
    ours = by_hand.truncated_gradients(cell, *given, k, loss)
    assert_same(ours, by_autograd(cell, *given, loss, cut=k))


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_truncating_changes_the_gradient_and_nothing_else(cell):
    given = case(cell, "mse")
    full = by_hand.loss_and_gradients(cell, *given)
    cut = by_hand.truncated_gradients(cell, *given, 2)
    assert cut[0] == pytest.approx(full[0])
    np.testing.assert_allclose(cut[2][0], full[2][0])
    np.testing.assert_allclose(cut[1]["weight_out"], full[1]["weight_out"])
    error, cosine = by_hand.difference(cut[1], full[1])
    assert error > 0.01 and cosine < 1 - 1e-5
    assert by_hand.difference(full[1], full[1]) == pytest.approx((0, 1))


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_gradients_equal_finite_differences(cell):
    """Independent of autograd: two-sided differences of the loss."""
    w, x, target, state = case(cell, "mse", steps=4)
    _, gradients, _ = by_hand.loss_and_gradients(cell, w, x, target, state)
    for name, place in [("weight_hh", (1, 2)), ("weight_ih", (H - 1, 0)), ("bias", (2,))]:
        values = []
        for change in (1e-5, -1e-5):
            moved = {**w, name: w[name].copy()}
            moved[name][place] += change
            values.append(by_hand.loss_and_gradients(cell, moved, x, target, state)[0])
        slope = (values[0] - values[1]) / 2e-5
        assert gradients[name][place] == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_the_gradient_that_the_page_works_out_by_hand():
    """One unit, W_hh = 0.5, W_ih = 1, inputs 1, 0, 0, the loss on the last output alone."""
    h = [0.0]
    for x in (1.0, 0.0, 0.0):
        h.append(np.tanh(x + 0.5 * h[-1]))
    np.testing.assert_allclose(h[1:], [0.7616, 0.3634, 0.1797], atol=5e-5)
    w = {"weight_hh": np.array([[0.5]])}
    d_above = np.array([0.0, 0.0, 1.0]).reshape(3, 1, 1)
    da = by_hand.rnn_backward(w, np.array(h).reshape(4, 1, 1), d_above)
    np.testing.assert_allclose(da.ravel(), [0.0882, 0.4200, 0.9677], atol=5e-5)
    dw = sum(da.ravel()[t] * h[t] for t in range(3))
    assert dw == pytest.approx(0.6715, abs=5e-4)


def test_a_chunk_has_a_step():
    given = case("rnn", "mse")
    with pytest.raises(ValueError, match="1 step or more, not 0"):
        by_hand.truncated_gradients("rnn", *given, 0)


def test_the_sigmoid_does_not_overflow():
    with np.errstate(over="raise"):
        np.testing.assert_allclose(by_hand.sigmoid(np.array([-900.0, 0, 900])), [0, 0.5, 1])


def test_the_drawing_has_both_directions_and_one_cut():
    axes = text_bptt.draw_errors().axes[0]
    arrows = [text.arrow_patch for text in axes.texts if getattr(text, "arrow_patch", None)]
    dashed = [arrow for arrow in arrows if arrow.get_linestyle() == "--"]
    assert len(dashed) == 6 + 5 and len(arrows) == 3 * 6 + len(dashed)
    assert sum(line.get_marker() == "x" for line in axes.lines) == 1
