"""forecaster.py and what it is measured against: one step, free run, baselines, errors."""

import math

import pytest
import torch
from torch import Tensor

from chapter_06_rnn_lstm_seq.experiments.forecast import measure
from chapter_06_rnn_lstm_seq.experiments.forecast.baselines import (
    Persistence,
    Seasonal,
    ar_candidates,
    fit_ar,
)
from chapter_06_rnn_lstm_seq.forecaster import Forecaster, WindowMLP, one_step_loss, windows_of
from utils.errors import UserError

WINDOW = 4
MODELS = {
    "rnn": lambda columns: Forecaster(columns, 8, "rnn"),
    "lstm": lambda columns: Forecaster(columns, 8, "lstm"),
    "gru": lambda columns: Forecaster(columns, 8, "gru"),
    "mlp": lambda columns: WindowMLP(columns, WINDOW, 8),
}
each_model = pytest.mark.parametrize("name", MODELS)


def made(name: str, columns: int = 2) -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS[name](columns).double()


def rows(batch: int = 3, length: int = 10, columns: int = 2, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(batch, length, columns, generator=rng, dtype=torch.float64)


@each_model
def test_a_free_run_reads_its_own_answers(name):
    """Read again from the beginning, context and answers give the same answers."""
    model, context = made(name), rows()
    found = model.free_run(context, 5)
    again, _ = model(torch.cat([context, found[:, :-1]], dim=1))
    torch.testing.assert_close(found, again[:, -5:])
    assert found.shape == (3, 5, 2)


@each_model
def test_without_a_readout_the_forecast_is_as_now(name):
    model, context = made(name), rows()
    last = model.readout if name != "mlp" else model.layers[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    torch.testing.assert_close(model.free_run(context, 4), Persistence().free_run(context, 4))


@each_model
def test_no_prediction_knows_a_later_row(name):
    model, x = made(name), rows().requires_grad_()
    predicted, _ = model(x)
    offset = x.shape[1] - predicted.shape[1]
    (gradient,) = torch.autograd.grad(predicted[:, 2].sum(), x)
    assert gradient[:, 3 + offset :].abs().max() == 0 < gradient[:, 2 + offset].abs().max()


def test_only_the_window_is_blind_to_older_rows():
    x = rows()
    changed = torch.cat([x[:, :2] + 1, x[:, 2:]], dim=1)
    assert torch.equal(made("mlp").free_run(x, 3), made("mlp").free_run(changed, 3))
    assert not torch.allclose(made("gru").free_run(x, 3), made("gru").free_run(changed, 3))


def test_the_place_of_a_row_that_was_always_zero_is_never_trained():
    """The page's argument: dL/dW_k = sum of delta x_k^T. A recurrent weight gets every step's."""
    x = rows(columns=1, length=WINDOW)
    x[:, :2] = 0
    model = made("mlp", 1)
    model(x)[0].sum().backward()
    gradient = model.layers[0].weight.grad  # (8, WINDOW)
    assert gradient[:, :2].abs().max() == 0 < gradient[:, 2:].abs().min()


@pytest.mark.parametrize("skip", [0, 3])
def test_the_loss_is_the_mean_square_of_the_next_row(skip):
    model, x = made("gru"), rows()
    loss, metrics = one_step_loss(skip)(model, (x,))
    predicted, _ = model(x[:, :-1])
    expected = (predicted[:, skip:] - x[:, 1 + skip :]).square().mean()
    torch.testing.assert_close(loss, expected)
    assert metrics == {}


def test_the_mlp_s_loss_has_a_target_for_each_full_window():
    model, x = made("mlp"), rows()
    loss, _ = one_step_loss()(model, (x,))
    predicted = torch.stack([model(x[:, k : k + WINDOW])[0][:, 0] for k in range(6)], dim=1)
    torch.testing.assert_close(loss, (predicted - x[:, WINDOW:]).square().mean())


def test_windows_are_pieces_of_the_series():
    values = torch.arange(20.0).reshape(10, 2)
    found = windows_of(values, 4, 3)
    assert found.shape == (3, 4, 2) and torch.equal(found[1], values[3:7])


def test_a_small_forecaster_learns_a_wave():
    torch.manual_seed(0)
    time = torch.arange(400) * 0.3
    wave = torch.sin(time)[:, None]
    model, batch = Forecaster(1, 16), (windows_of(wave, 25, 7),)
    optimizer, loss_fn = torch.optim.Adam(model.parameters(), 2e-2), one_step_loss(8)
    for _ in range(60):
        loss, _ = loss_fn(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    context, truth = measure.cuts(wave, slice(300, 400), 40, 20, 9)
    ours, naive = (
        measure.over(measure.error_curve(m.free_run(context, 20), truth), 20)
        for m in (model, Persistence())
    )
    assert ours < 0.3 * naive


# --- Baselines ---


def process(length: int = 80) -> Tensor:
    """x_t = 1.2 x_{t-1} - 0.5 x_{t-2} + 0.1 without noise, (length, 1)."""
    x = [1.0, -1.0]
    for _ in range(length - 2):
        x.append(1.2 * x[-1] - 0.5 * x[-2] + 0.1)
    return torch.tensor(x, dtype=torch.float64)[:, None]


def test_autoregression_finds_the_process_and_goes_on_with_it():
    x = process()
    model = fit_ar(x[:20], 2)
    torch.testing.assert_close(model.weights[:, 0], torch.tensor([1.2, -0.5, 0.1]).double())
    found = model.free_run(x[None, :20], 30)
    torch.testing.assert_close(found[0], x[20:50])


def test_joint_autoregression_sees_the_other_column():
    first = torch.randn(60, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    second = torch.cat([torch.zeros(1, 1, dtype=torch.float64), first[:-1]])  # one step behind
    values = torch.cat([first, second], dim=1)
    joint, own = fit_ar(values, 1), fit_ar(values, 1, joint=False)
    context, truth = measure.cuts(values, slice(10, 60), 5, 1)
    errors = [(m.free_run(context, 1) - truth)[..., 1].abs().max() for m in (joint, own)]
    assert errors[0] < 1e-10 and errors[1] > 0.5
    assert own.weights[1, 0] == own.weights[0, 1] == 0
    assert [(c.order, c.joint) for c in ar_candidates(values, [1, 2])] == [
        (1, True), (1, False), (2, True), (2, False),
    ]  # fmt: skip


def test_seasonal_repeats_the_last_period():
    x = torch.arange(12.0).reshape(1, 12, 1)
    assert Seasonal(5).free_run(x, 7).flatten().tolist() == [7, 8, 9, 10, 11, 7, 8]


# --- Errors ---


def test_a_context_ends_where_its_truth_begins_and_truths_stay_in_their_part():
    values = torch.arange(100.0)[:, None]
    context, truth = measure.cuts(values, slice(50, 70), 30, 8, 3)
    assert context.shape == (5, 30, 1) and truth.shape == (5, 8, 1)
    assert torch.equal(context[:, -1] + 1, truth[:, 0])
    assert truth.min() >= 50 and truth.max() < 70
    with pytest.raises(UserError, match="too few for a forecast of 21 rows"):
        measure.cuts(values, slice(50, 70), 30, 21)


def test_errors_by_hand():
    truth = torch.zeros(2, 3, 1)
    predicted = torch.tensor([[0.0, 0.3, 3.0], [0.0, 0.5, 1.0]])[..., None]
    curve = measure.error_curve(predicted, truth)
    expected = [0, math.sqrt((0.09 + 0.25) / 2), math.sqrt(5)]
    assert curve.tolist() == pytest.approx(expected)
    assert measure.over(curve, 2) == pytest.approx(math.sqrt(0.17 / 2))
    assert measure.valid_steps(predicted, truth) == 1.5  # 2 steps, and 1
    assert measure.valid_steps(truth, truth) == 3
