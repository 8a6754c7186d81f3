"""The pointer network: its weights, its mask, what it is judged by, and its script."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from chapter_07_attention_mechanism import train_sort as script
from chapter_07_attention_mechanism.experiments import sorting
from chapter_07_attention_mechanism.experiments.sorting import Setting
from chapter_07_attention_mechanism.figures.train_sort import sort_figure
from chapter_07_attention_mechanism.pointer import (
    PointerNetwork,
    chosen_before,
    pointer_loss,
    sorting_order,
)
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.seed import generator

TINY = Setting(hidden=8, batch=8, steps=3, lengths=(5, 10, 20), lists=20)


def numbers(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, size, generator=generator(seed))


def network(masked: bool, hidden: int = 8) -> PointerNetwork:
    torch.manual_seed(1)
    return PointerNetwork(hidden, masked)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("size", [2, 5, 13])
def test_weights_are_a_distribution_over_the_places_however_many(masked, size):
    places, weights = network(masked).point(numbers(4, size))
    assert places.shape == (4, size) and weights.shape == (4, size, size)
    torch.testing.assert_close(weights.sum(-1), torch.ones(4, size))
    assert torch.equal(places, weights.argmax(-1))


def test_with_the_mask_every_place_is_chosen_once():
    x = numbers(50, 9)
    places, weights = network(True).point(x)
    assert torch.equal(places.sort(dim=1).values, torch.arange(9).expand(50, 9))
    assert weights[chosen_before(places, 9)].eq(0).all()
    free, _ = network(False).point(x)
    assert sorting.judge(free, x)["repeats_percent"] > 50  # before training, without it


def test_what_was_chosen_before_is_counted_step_by_step():
    taken = chosen_before(torch.tensor([[2, 0, 2, 1]]), 4)[0]
    assert taken.int().tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [1, 0, 1, 0], [1, 0, 1, 0]]


@pytest.mark.parametrize("masked", [True, False])
def test_teacher_forcing_and_pointing_agree_on_the_networks_own_choices(masked):
    model, x = network(masked), numbers(6, 7)
    places, weights = model.point(x)
    if not masked:  # a path that the mask would forbid as well
        assert sorting.judge(places, x)["repeats_percent"] > 0
    torch.testing.assert_close(model(x, places).softmax(-1), weights)


def test_scores_are_the_papers_formula():
    """v . tanh(W_1 e + W_2 d) from the states, place by place, in float64."""
    model, x = network(False).double(), numbers(2, 4).double()
    order = sorting_order(x)
    states, first = model.encode(x)
    scores = model(x, order)
    state = first
    for t in range(4):
        read = model.first.expand(2, 1) if t == 0 else x.gather(1, order[:, t - 1 : t])
        output, state = model.decoder(read.unsqueeze(-1), state)
        for j in range(4):
            pair = model.score(output, states[:, j : j + 1])[:, 0, 0]  # one place alone
            torch.testing.assert_close(scores[:, t, j], pair, rtol=1e-7, atol=1e-12)


def test_a_later_answer_never_changes_an_earlier_one():
    model, x = network(True), numbers(1, 6)
    order = sorting_order(x)
    other = order.clone()
    other[:, -2:] = other[:, -2:].flip(1)
    before, after = model(x, order), model(x, other)
    torch.testing.assert_close(before[:, :-1], after[:, :-1])


def test_the_loss_of_blind_weights_is_chance():
    model = network(True)
    for parameter in model.score.parameters():
        parameter.data.zero_()
    loss = pointer_loss(model, numbers(10, 6)).item()
    assert loss == pytest.approx(sum(math.log(k) for k in range(1, 7)) / 6, rel=1e-5)
    model.masked = False
    assert pointer_loss(model, numbers(10, 6)).item() == pytest.approx(math.log(6), rel=1e-5)


@pytest.mark.parametrize("masked", [True, False])
def test_the_loss_has_a_gradient_everywhere_and_none_is_nan(masked):
    model = network(masked)
    pointer_loss(model, numbers(4, 5)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_it_learns_a_handful_of_lists():
    model, x = network(True, 16), numbers(16, 4)
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(60):
        optimizer.zero_grad()
        pointer_loss(model, x).backward()
        optimizer.step()
    assert sorting.judge(model.point(x)[0], x)["exact_percent"] > 70  # chance: 4.2


# --- the experiment ---


def test_judging_counts_lists_places_and_repeats():
    x = torch.tensor([[0.3, 0.1, 0.2], [0.3, 0.1, 0.2]])
    found = sorting.judge(torch.tensor([[1, 2, 0], [1, 2, 2]]), x)
    assert found["exact_percent"] == 50 and found["repeats_percent"] == 50
    assert found["place_percent"] == pytest.approx(100 * 5 / 6)


def test_chance_is_the_share_of_orders():
    orders = torch.tensor(list(itertools.permutations(range(4))))  # every one, once
    x = numbers(1, 4).expand(24, 4)
    found = sorting.judge(orders, x)
    marks = sorting.baselines(Setting(lengths=(4,), lists=2000))
    assert found["exact_percent"] == pytest.approx(marks["chance"]["4"]["exact_percent"])
    assert found["place_percent"] == pytest.approx(marks["chance"]["4"]["place_percent"])
    guess = marks["guess"]["4"]
    assert marks["chance"]["4"]["place_percent"] < guess["place_percent"] < 90


def test_the_guess_by_value_points_at_the_nearest_quantile():
    assert sorting.guess_by_value(torch.tensor([[0.8, 0.2, 0.5]])).tolist() == [[1, 2, 0]]
    assert sorting.guess_by_value(torch.tensor([[0.95, 0.85, 0.72]])).tolist() == [[2, 2, 2]]


def test_training_is_repeatable_and_measuring_leaves_the_mask():
    first, losses = sorting.train(False, 5, TINY)
    again, others = sorting.train(False, 5, TINY)
    assert losses == others and len(losses) == 3
    found = sorting.measure(first, True, TINY)
    assert found == sorting.measure(again, True, TINY) and first.masked is False
    assert found["10"]["repeats_percent"] == 0 and set(found) == {"5", "10", "20"}


def fake(masked: bool, exact: float) -> dict:
    row = {
        n: {"exact_percent": exact, "place_percent": exact, "repeats_percent": 0.0}
        for n in ("5", "10", "20")
    }
    names = ["masked"] if masked else ["mask_in_use", "free"]
    return {"losses": [1.0], "cpu_seconds": 2.0} | dict.fromkeys(names, row)


def test_the_table_marks_lengths_that_were_not_trained():
    metrics = sorting.collect([fake(True, 90), fake(True, 80), fake(False, 10)], TINY)
    rows = sorting.tables(metrics)["main"]
    assert [column["en"] for column in rows["columns"]][1:] == ["n = 5", "n = 10", "n = 20 *"]
    assert rows["rows"][0][1] == [85, 5] and rows["rows"][2][3] == [10, 0]
    assert rows["rows"][-1][1] == pytest.approx(100 / 120)
    metrics["example"] = {"numbers": [0.2, 0.1], "weights": [[0.1, 0.9], [1.0, 0.0]]}
    left, right = sort_figure(metrics).axes
    assert right.images[0].get_array().shape == (2, 2)
    assert len(left.lines) >= 4


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sort")
    words = ["--steps", "2", "--hidden", "4", "--batch", "4", "--seeds", "1"]
    assert script.main([*words, "--output_dir", str(folder), "--run_name", "a"]) == 0
    return folder / "chapter_07_attention_mechanism" / "train_sort-a"


def test_a_run_ships_weights_that_are_measured_again(tiny_run):
    checkpoint = load_checkpoint(tiny_run / "sort_pointer.pth")
    again = script.evaluate_checkpoint(tiny_run / "sort_pointer.pth")
    assert again == checkpoint["metrics"] and set(again) == {
        "exact_5_percent", "exact_10_percent", "exact_20_percent",
    }  # fmt: skip


def test_a_finished_run_is_extended_by_another_seed(tiny_run, monkeypatch):
    done = []

    def row(masked, seed, setting, run):
        done.append((masked, seed))
        lengths = ("5", "8", "10", "12", "15", "20")
        found = fake(masked, 1.0)
        return {
            k: dict.fromkeys(lengths, v["5"]) if isinstance(v, dict) else v
            for k, v in found.items()
        }

    monkeypatch.setattr(script, "train_one", row)
    assert script.main(["--resume", str(tiny_run), "--seeds", "2"]) == 0
    assert done == [(True, 43), (False, 43)]


def test_numbers_are_sorted_with_a_checkpoint(tiny_run, tmp_path, capsys):
    where = ["--checkpoint", str(tiny_run / "sort_pointer.pth"), "--output_dir", str(tmp_path)]
    assert script.main(["--numbers", "0.4", "0.1", "0.9", *where]) == 0
    said = capsys.readouterr().out
    assert said.count("weights") == 3 and "sorted: 0." in said


def test_the_shipped_weights_sort_the_pages_example(tmp_path, capsys):
    words = ["--numbers", "0.42", "0.17", "0.9", "0.55", "--output_dir", str(tmp_path)]
    assert script.main(words) == 0
    said = capsys.readouterr().out
    assert "sorted: 0.17 0.42 0.55 0.9" in said and "right: True" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--numbers", "0.4", "1.5"], "'1.5' is not a number from 0 to below 1"),
        (["--numbers"], "expected at least one argument"),
        (["--steps", "0"], "'0' is not a whole number above 0"),
    ],
)
def test_bad_options_are_one_sentence(words, said, capsys):
    with pytest.raises(SystemExit) as stop:
        script.main(words)
    assert stop.value.code == 2 and said in capsys.readouterr().err


def test_a_checkpoint_of_another_task_or_without_numbers_is_one_sentence(tmp_path, capsys):
    path = tmp_path / "other.pth"
    save_checkpoint(path, {}, architecture={}, dataset="x", metrics={}, task="translation")
    where = ["--output_dir", str(tmp_path), "--checkpoint", str(path)]
    assert script.main([*where, "--numbers", "0.1", "0.2"]) == 2
    assert "was trained for translation, not for sorting" in capsys.readouterr().err
    assert script.main(where) == 2
    assert "--checkpoint needs something to sort" in capsys.readouterr().err
