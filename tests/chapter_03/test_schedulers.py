"""The learning rate schedules against torch.optim.lr_scheduler, and against their formulas."""

from __future__ import annotations

import copy
import io
import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as reference

from chapter_03_optimization_regularization import optimizers, schedulers
from chapter_03_optimization_regularization.lr_finder import RangeTest, range_test
from chapter_03_optimization_regularization.schedulers import (
    WSD,
    CosineWithWarmup,
    cosine_warmup_multiplier,
    wsd_multiplier,
)

# The schedules that torch has, each with several settings.
SETTINGS = [
    ("StepLR", {"step_size": 7}),
    ("StepLR", {"step_size": 1, "gamma": 0.9}),
    ("StepLR", {"step_size": 100, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [5, 20, 21]}),
    ("MultiStepLR", {"milestones": [30, 10, 10], "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [], "gamma": 0.5}),
    ("ExponentialLR", {"gamma": 0.95}),
    ("ExponentialLR", {"gamma": 1.01}),
    ("CosineAnnealingLR", {"T_max": 40}),
    ("CosineAnnealingLR", {"T_max": 13, "eta_min": 0.003}),  # several periods
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 60}),
    ("OneCycleLR", {"max_lr": [0.5, 0.1], "epochs": 6, "steps_per_epoch": 10}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 60, "anneal_strategy": "linear"}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 61, "three_phase": True, "pct_start": 0.25}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 60, "pct_start": 0.0, "div_factor": 10.0}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 60, "cycle_momentum": False}),
    (
        "OneCycleLR",
        {
            "max_lr": 0.5,
            "total_steps": 60,
            "base_momentum": [0.6, 0.7],
            "max_momentum": 0.8,
            "final_div_factor": 7.0,
        },
    ),
]
STEPS = 60
OPTIMIZERS = [
    (torch.optim.SGD, {"momentum": 0.9}),
    (torch.optim.AdamW, {}),
    (optimizers.SGD, {"momentum": 0.9}),
    (optimizers.AdamW, {}),
]


def make_optimizer(kind=torch.optim.SGD, momentum: float | None = 0.9) -> torch.optim.Optimizer:
    """Two parameter groups with their own learning rates."""
    options = {} if momentum is None else {"momentum": momentum}
    groups = [{"params": [nn.Parameter(torch.ones(2))]}]
    groups.append({"params": [nn.Parameter(torch.ones(3))], "lr": 0.02})
    return kind(groups, lr=0.1, **options)


def watched(optimizer) -> list[float]:
    """Learning rate and momentum (or beta_1) of each group."""
    numbers = []
    for group in optimizer.param_groups:
        numbers.append(group["lr"])
        numbers.append(group["betas"][0] if "betas" in group else group["momentum"])
    return numbers


def course(optimizer, scheduler, steps: int) -> list[list[float]]:
    """What each of `steps` updates would see; the parameters get no gradient."""
    seen = []
    for _ in range(steps):
        seen.append(watched(optimizer))
        assert scheduler.get_last_lr() == [g["lr"] for g in optimizer.param_groups]
        optimizer.step()
        scheduler.step()
    return seen


def assert_same(ours: list[list[float]], theirs: list[list[float]]) -> None:
    torch.testing.assert_close(
        torch.tensor(ours, dtype=torch.float64),
        torch.tensor(theirs, dtype=torch.float64),
        rtol=1e-9,
        atol=1e-13,
    )


@pytest.mark.parametrize("kind", [kind for kind, _ in OPTIMIZERS])
@pytest.mark.parametrize(("name", "options"), SETTINGS)
def test_same_course_as_torch(name, options, kind):
    momentum = 0.9 if kind.__name__ == "SGD" else None
    ours, theirs = make_optimizer(kind, momentum), make_optimizer(kind, momentum)
    a = getattr(schedulers, name)(ours, **options)
    b = getattr(reference, name)(theirs, **options)
    assert_same(course(ours, a, STEPS), course(theirs, b, STEPS))
    assert a.last_epoch == b.last_epoch == STEPS


@pytest.mark.parametrize("to_torch", [True, False], ids=["ours to torch", "torch to ours"])
@pytest.mark.parametrize(("name", "options"), SETTINGS)
def test_state_goes_over_in_mid_run(name, options, to_torch):
    """25 steps with one, then its state (and the optimizer's) goes on in the other."""
    first, second = (schedulers, reference) if to_torch else (reference, schedulers)
    whole_optimizer = make_optimizer()
    expected = course(whole_optimizer, getattr(reference, name)(whole_optimizer, **options), STEPS)
    old = make_optimizer()
    scheduler = getattr(first, name)(old, **options)
    seen = course(old, scheduler, 25)
    file = io.BytesIO()
    torch.save({"optimizer": old.state_dict(), "scheduler": scheduler.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)  # plain numbers only
    new = make_optimizer()
    successor = getattr(second, name)(new, **options)
    new.load_state_dict(state["optimizer"])
    successor.load_state_dict(state["scheduler"])
    assert successor.last_epoch == 25
    assert_same(seen + course(new, successor, STEPS - 25), expected)


OWN = [
    (CosineWithWarmup, {"warmup_steps": 5, "total_steps": 60}),
    (WSD, {"warmup_steps": 5, "total_steps": 60, "decay_steps": 20, "shape": "1-sqrt"}),
]
CLOSED = [(getattr(schedulers, name), options) for name, options in SETTINGS] + OWN


@pytest.mark.parametrize(("kind", "options"), CLOSED)
def test_resume_is_exact(kind, options):
    """From the state, and from `last_epoch` with the optimizer's state: the same floats."""
    optimizer = make_optimizer()
    scheduler = kind(optimizer, **options)
    course(optimizer, scheduler, 25)
    state, optimizer_state = scheduler.state_dict(), optimizer.state_dict()
    resumed_optimizer = make_optimizer()
    resumed = kind(resumed_optimizer, **options)
    resumed_optimizer.load_state_dict(optimizer_state)
    resumed.load_state_dict(state)
    restarted_optimizer = make_optimizer()
    restarted_optimizer.load_state_dict(optimizer_state)
    restarted = kind(restarted_optimizer, **options, last_epoch=24)
    expected = course(optimizer, scheduler, 30)
    assert course(resumed_optimizer, resumed, 30) == expected
    assert course(restarted_optimizer, restarted, 30) == expected


def test_last_epoch_without_initial_lr_is_refused():
    with pytest.raises(KeyError, match="initial_lr"):
        schedulers.StepLR(make_optimizer(), 5, last_epoch=3)


@pytest.mark.parametrize(("kind", "options"), CLOSED)
def test_any_object_with_groups_will_do(kind, options):
    groups = [{"lr": 0.1, "momentum": 0.9}, {"lr": 0.02, "momentum": 0.9}]
    thing = SimpleNamespace(param_groups=groups, step=lambda: None)
    real = make_optimizer()
    assert course(thing, kind(thing, **options), 20) == course(real, kind(real, **options), 20)


# --- the two that torch does not have ---


@pytest.mark.parametrize(("warmup", "total", "ratio"), [(10, 100, 0.0), (1, 7, 0.1), (0, 20, 0.0)])
def test_cosine_with_warmup_is_torchs_composition(warmup, total, ratio):
    """LinearLR, then CosineAnnealingLR; one group, as eta_min is absolute in torch."""
    ours = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.3)
    theirs = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.3)
    a = CosineWithWarmup(ours, warmup, total, ratio)
    b = reference.CosineAnnealingLR(theirs, total - warmup, eta_min=0.3 * ratio)
    if warmup:
        theirs = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.3)
        rise = reference.LinearLR(theirs, 1 / (warmup + 1), 1.0, total_iters=warmup)
        fall = reference.CosineAnnealingLR(theirs, total - warmup, eta_min=0.3 * ratio)
        b = reference.SequentialLR(theirs, [rise, fall], milestones=[warmup])
    for _ in range(total):
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-9)
        for thing in (ours, theirs, a, b):
            thing.step()


def test_cosine_with_warmup_by_hand():
    values = [cosine_warmup_multiplier(t, 3, 11, 0.2) for t in (0, 1, 2, 3, 7, 11, 500)]
    assert values == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.6, 0.2, 0.2])


@pytest.mark.parametrize("shape", ["linear", "1-sqrt", "cosine"])
def test_wsd_phases(shape):
    course = [wsd_multiplier(t, 4, 100, 20, 0.1, shape) for t in range(101)]
    assert course[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert course[4:81] == [1.0] * 77
    assert all(a > b for a, b in pairwise(course[80:]))
    assert course[100] == pytest.approx(0.1)
    left = {"linear": 0.75, "1-sqrt": 0.5, "cosine": (1 + math.cos(math.pi / 4)) / 2}[shape]
    assert course[85] == pytest.approx(0.1 + 0.9 * left)  # a quarter of the decay is over


def test_wsd_before_the_decay_does_not_know_the_total():
    """The property that lets one run be decayed from several points."""
    for t in range(80):
        assert wsd_multiplier(t, 4, 100, 20) == wsd_multiplier(t, 4, 500, 20)
    assert cosine_warmup_multiplier(50, 4, 100) != cosine_warmup_multiplier(50, 4, 500)


@pytest.mark.parametrize(
    ("kind", "options", "word"),
    [
        ("CosineWithWarmup", {"warmup_steps": 10, "total_steps": 10}, "warmup_steps"),
        ("WSD", {"warmup_steps": 10, "total_steps": 20, "decay_steps": 11}, "fit"),
        ("WSD", {"warmup_steps": 1, "total_steps": 9, "decay_steps": 1, "shape": "x"}, "shape"),
        ("OneCycleLR", {"max_lr": 1.0}, "total_steps"),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "pct_start": 1.5}, "pct_start"),
        ("OneCycleLR", {"max_lr": [1.0], "total_steps": 9}, "max_lr needs 2"),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "anneal_strategy": "x"}, "strategy"),
        ("ReduceLROnPlateau", {"factor": 1.0}, "factor"),
        ("ReduceLROnPlateau", {"mode": "x"}, "mode"),
        ("ReduceLROnPlateau", {"threshold_mode": "x"}, "threshold_mode"),
        ("ReduceLROnPlateau", {"min_lr": [0.1]}, "min_lr needs 2"),
    ],
)
def test_wrong_arguments_are_named(kind, options, word):
    with pytest.raises(ValueError, match=word):
        getattr(schedulers, kind)(make_optimizer(), **options)


def test_one_cycle_needs_a_momentum_and_ends():
    with pytest.raises(ValueError, match="momentum"):
        schedulers.OneCycleLR(torch.optim.Adagrad([nn.Parameter(torch.ones(2))]), 1.0, 9)
    optimizer = make_optimizer()
    scheduler = schedulers.OneCycleLR(optimizer, 1.0, total_steps=9)
    course(optimizer, scheduler, 9)  # torch allows one step more than there are updates
    with pytest.raises(ValueError, match="step 10"):
        scheduler.step()


def test_one_cycle_with_an_empty_first_phase():
    """pct_start * total_steps = 1: torch divides by zero here, ours starts to come down at once."""
    optimizer = make_optimizer()
    rates = course(optimizer, schedulers.OneCycleLR(optimizer, 1.0, 10, pct_start=0.1), 10)
    assert rates[0][0] == pytest.approx(1 / 25)
    assert all(math.isfinite(number) for row in rates for number in row)


# --- ReduceLROnPlateau ---

PLATEAU = [
    {},
    {"mode": "max"},
    {"patience": 2, "factor": 0.5},
    {"patience": 2, "mode": "max", "factor": 0.5, "cooldown": 3},
    {"patience": 1, "threshold": 0.05, "threshold_mode": "abs"},
    {"patience": 1, "threshold": 0.05, "threshold_mode": "abs", "mode": "max"},
    {"patience": 1, "threshold": 0.1, "cooldown": 2, "min_lr": 0.005},
    {"patience": 0, "threshold": 0.1, "mode": "max", "min_lr": [0.01, 0.015]},
    {"patience": 0, "eps": 1e-3, "factor": 0.7},
]


def metric_course() -> list[float]:
    """Falls, wobbles, stands still, has a nan, falls again."""
    noise = torch.rand(80, generator=torch.Generator().manual_seed(0)).tolist()
    values = [1 / (1 + 0.1 * min(t, 30)) + 0.05 * noise[t] for t in range(80)]
    values[40] = math.nan
    return values


@pytest.mark.parametrize("options", PLATEAU)
def test_plateau_as_torch(options):
    ours, theirs = make_optimizer(), make_optimizer()
    a = schedulers.ReduceLROnPlateau(ours, **options)
    b = reference.ReduceLROnPlateau(theirs, **options)
    for value in metric_course():
        a.step(torch.tensor(value, dtype=torch.float64))
        b.step(value)
        assert watched(ours) == watched(theirs)
        assert (a.best, a.num_bad_epochs, a.cooldown_counter, a.last_epoch) == (
            (b.best, b.num_bad_epochs, b.cooldown_counter, b.last_epoch)
        )
        assert a.get_last_lr() == b.get_last_lr() == [g["lr"] for g in ours.param_groups]
    if "patience" in options:
        assert ours.param_groups[0]["lr"] < 0.1  # it did cut: the comparison is not empty


@pytest.mark.parametrize("to_torch", [True, False], ids=["ours to torch", "torch to ours"])
@pytest.mark.parametrize("options", PLATEAU)
def test_plateau_state_goes_over(options, to_torch):
    first, second = (schedulers, reference) if to_torch else (reference, schedulers)
    old, whole, new = make_optimizer(), make_optimizer(), make_optimizer()
    scheduler = first.ReduceLROnPlateau(old, **options)
    complete = reference.ReduceLROnPlateau(whole, **options)
    for value in metric_course()[:37]:
        scheduler.step(value)
        complete.step(value)
    successor = second.ReduceLROnPlateau(new)  # the state brings the options along
    new.load_state_dict(old.state_dict())
    successor.load_state_dict(scheduler.state_dict())
    for value in metric_course()[37:]:
        successor.step(value)
        complete.step(value)
        assert watched(new) == watched(whole)


# --- the learning rate range test ---


def line_problem(kind, **options):
    """A linear model on a regression; the loss explodes at a rate that is too large."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    x = torch.randn(64, 5)
    batches = [(x[i : i + 16], x[i : i + 16].sum(dim=1)) for i in range(0, 64, 16)]

    def loss_fn(model, batch):
        return (model(batch[0]).squeeze(1) - batch[1]).square().mean(), {}

    return model, loss_fn, kind(model.parameters(), lr=0.123, **options), batches


@pytest.mark.parametrize(("kind", "options"), OPTIMIZERS)
def test_range_test_leaves_everything_as_it_was(kind, options):
    model, loss_fn, optimizer, batches = line_problem(kind, **options)
    loss, _ = loss_fn(model, batches[0])
    loss.backward()
    optimizer.step()  # so that the optimizer has a state to restore
    model.eval()
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    before = copy.deepcopy(optimizer.state_dict())
    result = range_test(model, loss_fn, optimizer, batches, lowest=1e-4, highest=1e3, steps=80)
    after = optimizer.state_dict()
    for new, old in zip(after["param_groups"], before["param_groups"], strict=True):
        assert {key: new[key] for key in old} == old  # torch's base class may add its own options
    torch.testing.assert_close(after["state"], before["state"], rtol=0, atol=0)
    assert not model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, weights[key]), key
    assert all(p.grad is None for p in model.parameters())
    assert len(result.rates) > 10


def test_range_test_rates_grow_by_a_constant_factor_and_stop_on_divergence():
    model, loss_fn, optimizer, batches = line_problem(torch.optim.SGD)
    result = range_test(model, loss_fn, optimizer, batches, lowest=1e-4, highest=1e4, steps=81)
    ratios = [b / a for a, b in pairwise(result.rates)]
    assert ratios == pytest.approx([10 ** (8 / 80)] * len(ratios))
    assert result.rates[0] == pytest.approx(1e-4)
    assert result.rates[-1] < result.diverged_at < 1e4  # it stopped before the end
    assert len(result.rates) == len(result.losses) == len(result.smoothed)
    assert 1e-4 < result.steepest < result.diverged_at
    assert result.tenth_of_minimum < result.diverged_at / 10
    calm = range_test(model, loss_fn, optimizer, batches, lowest=1e-5, highest=1e-3, steps=20)
    assert calm.diverged_at is None and len(calm.rates) == 20


def test_range_test_suggestions_on_a_known_curve():
    """Losses that fall fastest around 1e-2 and are least at 1e-1."""
    rates = [10 ** (-4 + 0.1 * i) for i in range(41)]
    losses = [2 - math.tanh(2 * (math.log10(r) + 2)) + max(0, math.log10(r) + 1) for r in rates]
    result = RangeTest(rates, losses, losses, diverged_at=None)
    assert result.steepest == pytest.approx(1e-2, rel=0.3)
    assert result.tenth_of_minimum == pytest.approx(1e-2, rel=0.3)


# --- a parameter group that is added after the schedule was made ---


def course_with_new_group(module, name, options, added_at, group, steps=STEPS):
    """What each update sees; before update `added_at` a third group is added."""
    optimizer = make_optimizer()
    scheduler = getattr(module, name)(optimizer, **options)
    seen = []
    for step in range(steps):
        if step == added_at:
            optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], **group})
        seen.append(watched(optimizer)[4:])  # the new group only
        optimizer.step()
        scheduler.step()
    seen.append(watched(optimizer))  # all three
    return seen


@pytest.mark.parametrize("added_at", [0, 1, 12])
@pytest.mark.parametrize(("name", "options"), [s for s in SETTINGS if s[0] != "OneCycleLR"])
def test_a_group_added_later_is_scheduled_as_by_torch(name, options, added_at):
    # The recursion of torch's cosine loses the new group's rate where it turns: stop before.
    steps = options.get("T_max", STEPS)
    for group in ({"lr": 0.7}, {}):
        ours, theirs = (
            course_with_new_group(module, name, options, added_at, group, steps)
            for module in (schedulers, reference)
        )
        assert len(ours[-1]) == 6
        for a, b in zip(ours, theirs, strict=True):
            assert a == pytest.approx(b, rel=1e-9, abs=1e-13)


ENDS = {"initial_lr": 0.02, "max_lr": 0.5, "min_lr": 1e-6}
MOMENTA = {"base_momentum": 0.8, "max_momentum": 0.9}


@pytest.mark.parametrize("cycle_momentum", [True, False])
def test_a_group_added_to_a_one_cycle_schedule_brings_its_ends(cycle_momentum):
    options = {"max_lr": 0.5, "total_steps": 60, "cycle_momentum": cycle_momentum}
    group = {"lr": 0.1, **ENDS, **MOMENTA}
    ours, theirs = (
        course_with_new_group(module, "OneCycleLR", options, 12, group)
        for module in (schedulers, reference)
    )
    for a, b in zip(ours, theirs, strict=True):
        assert a == pytest.approx(b, rel=1e-9, abs=1e-13)


def test_a_group_that_cannot_be_scheduled_changes_nothing():
    """OneCycleLR without the ends, ReduceLROnPlateau with a list of least rates: as in torch."""
    for module in (schedulers, reference):
        optimizer = make_optimizer()
        scheduler = module.OneCycleLR(optimizer, max_lr=0.5, total_steps=60)
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
        before = watched(optimizer)
        optimizer.step()
        with pytest.raises(KeyError, match="initial_lr"):
            scheduler.step()
        if module is schedulers:
            assert (watched(optimizer), scheduler.last_epoch) == (before, 0)
    for module in (schedulers, reference):
        optimizer = make_optimizer()
        scheduler = module.ReduceLROnPlateau(optimizer, patience=0, min_lr=[1e-3, 1e-4])
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
        before = watched(optimizer)
        with pytest.raises(RuntimeError, match="min_lrs"):
            for _ in range(3):
                scheduler.step(1.0)
        assert watched(optimizer) == before


def test_a_group_added_where_the_others_rate_has_vanished_keeps_its_own():
    """Nothing can be in proportion to 0, or to 1e-310."""
    for kind, options, steps in (
        (schedulers.CosineAnnealingLR, {"T_max": 7}, 7),
        (schedulers.ExponentialLR, {"gamma": 0.1}, 310),
        (schedulers.ExponentialLR, {"gamma": 0.1}, 400),
    ):
        optimizer = make_optimizer()
        scheduler = kind(optimizer, **options)
        for _ in range(steps):
            scheduler.step()
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": 0.3})
        scheduler.step()
        assert scheduler.base_lrs[2] == 0.3 and 0 <= optimizer.param_groups[2]["lr"] <= 0.3


def test_plateau_with_a_group_added_later_equals_torch():
    seen = []
    for module in (schedulers, reference):
        optimizer = make_optimizer()
        scheduler = module.ReduceLROnPlateau(optimizer, patience=1, factor=0.5, min_lr=0.02)
        for step in range(12):
            if step == 3:
                optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": 0.3})
            scheduler.step(1.0)
        seen.append(watched(optimizer))
    assert seen[0] == seen[1] and seen[0][4] < 0.3


@pytest.mark.parametrize(("kind", "options"), OWN)
def test_the_rate_of_a_group_added_to_a_schedule_with_warm_up_is_its_peak(kind, options):
    optimizer = make_optimizer()
    scheduler = kind(optimizer, **options)
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": 0.3})
    rates = []
    for _ in range(STEPS):
        scheduler.step()
        rates.append([group["lr"] for group in optimizer.param_groups])
    for rate in rates:
        assert rate[2] == pytest.approx(3 * rate[0], rel=1e-12)
    assert max(rate[2] for rate in rates) == pytest.approx(0.3)


@pytest.mark.parametrize(("kind", "options"), [case for case in CLOSED if "max_lr" not in case[1]])
def test_a_schedule_with_an_added_group_resumes(kind, options):
    """Also in a process that makes all groups at once."""

    def start(groups: int):
        optimizer = make_optimizer()
        scheduler = kind(optimizer, **options)
        if groups == 3:
            optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": 0.3})
        return optimizer, scheduler

    optimizer, scheduler = start(3)
    for _ in range(10):
        scheduler.step()
    states = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    new_optimizer, new_scheduler = start(3)
    new_optimizer.load_state_dict(states[0])
    new_scheduler.load_state_dict(states[1])
    for _ in range(10):
        scheduler.step()
        new_scheduler.step()
        assert watched(new_optimizer) == watched(optimizer)
