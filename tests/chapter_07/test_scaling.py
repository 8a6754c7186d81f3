"""Scores of random vectors follow the theory, and the lookup is measured as described."""

from __future__ import annotations

import math

import pytest
import torch

from chapter_07_attention_mechanism.experiments.scaling import lookup, random_vectors
from chapter_07_attention_mechanism.experiments.scaling.tables import collect, summary, tables
from chapter_07_attention_mechanism.figures.scaling import WAYS, draw_lookup, scaling_figure
from utils import plotting
from utils.seed import generator


@pytest.fixture(scope="module")
def random():
    return random_vectors.measure((4, 64, 1024), range(2))


def test_a_dot_product_of_d_numbers_has_variance_d(random):
    for name, power in {"none": 1, "root": 0, "inverse": -1}.items():
        for width, row in random[name].items():
            assert row["variance"][0] == pytest.approx(int(width) ** power, rel=0.1)


def test_unscaled_scores_leave_most_queries_without_a_gradient(random):
    wide, scaled = random["none"]["1024"], random["root"]["1024"]
    assert wide["largest"][0] > 0.9 > 0.2 > scaled["largest"][0]
    assert wide["entropy"][0] < 0.1 < 0.8 < scaled["entropy"][0]
    assert wide["little_percent"][0] > 60 and scaled["little_percent"][0] == 0
    assert 100 * wide["softmax_median"][0] < scaled["softmax_median"][0]
    assert wide["query_mean"][0] > 100 * wide["query_median"][0]
    assert wide["top_tenth_percent"][0] > 50 > 2 * scaled["top_tenth_percent"][0]


def test_the_scale_matters_little_where_d_is_small(random):
    narrow, scaled = random["none"]["4"], random["root"]["4"]
    assert narrow["little_percent"][0] < 1
    assert 0.5 < narrow["softmax_median"][0] / scaled["softmax_median"][0] < 2


def test_scaled_by_the_root_nothing_depends_on_d(random):
    for key in ("entropy", "largest", "softmax_median", "query_median"):
        values = [row[key][0] for row in random["root"].values()]
        assert max(values) < 1.25 * min(values)


# --- The lookup ---

SEEDS = (0, 1)


def lines_and_turn(count=5):
    turn = torch.stack([lookup.rotation(seed) for seed in SEEDS])
    return lookup.draw(count, turn, [generator(seed) for seed in SEEDS]), turn


def test_a_line_asks_for_one_of_its_keys():
    lines, turn = lines_and_turn()
    back = lines.question @ turn.mT[:, None]  # (R, B, 1, N)
    place = (back - lines.keys).norm(dim=-1).argmin(-1)  # (R, B)
    torch.testing.assert_close(
        back.squeeze(2), lines.keys.gather(2, place[..., None, None].expand(-1, -1, 1, 32))[:, :, 0]
    )
    assert torch.equal(lines.classes.gather(2, place[..., None])[..., 0], lines.answer)


def test_a_small_start_is_the_very_function_of_the_root():
    lines, _ = lines_and_turn()
    root, small, none = (lookup.Lookup(way, 64, SEEDS) for way in ("root", "small start", "none"))
    torch.testing.assert_close(root(lines), small(lines))
    assert not torch.allclose(root(lines), none(lines))


def test_normalised_scores_do_not_see_lengths():
    lines, _ = lines_and_turn()
    model = lookup.Lookup("normalised", 64, SEEDS)
    longer = lines._replace(keys=5 * lines.keys, question=3 * lines.question)
    torch.testing.assert_close(model.weights(lines), model.weights(longer))
    root = lookup.Lookup("root", 64, SEEDS)
    assert not torch.allclose(root.weights(lines), root.weights(longer))


def test_seeds_side_by_side_are_trained_as_alone():
    both = lookup.train("root", 8, 0.03, SEEDS, 20)
    alone = [lookup.train("root", 8, 0.03, [seed], 20) for seed in SEEDS]
    for part in ("val", "test"):
        for mine, run in zip(both[part], alone, strict=True):
            assert mine == pytest.approx(run[part][0], abs=0.009)  # two lines of 250


def test_the_rate_is_chosen_on_other_lines_than_the_reported_ones():
    rows = {
        0.1: {"val": [[0.2, 0.95, 1.0]], "test": [[0.2, 0.5, 0.91]]},
        0.2: {"val": [[0.1, 0.2, 0.3]], "test": [[1.0, 1.0, 1.0]]},
    }
    found = summary(rows)
    assert found["rate"] == 0.1 and found["steps_mean"] == 3 * lookup.CHECK and found["learnt"] == 1
    assert found["final_percent_mean"] == pytest.approx(91)
    assert lookup.steps_needed([0.1, 0.89]) == math.inf
    assert summary({1: {"test": [[0.0, 0.1]], "val": [[0.0, 0.1]]}})["learnt"] == 0


def test_who_cannot_look_guesses():
    assert 1 / lookup.CLASSES < lookup.guess(SEEDS) < 0.25


def test_tables_and_figure_have_all_rows(random):
    rows = {"val": [[0.5, 0.95], [0.5, 0.4]], "test": [[0.5, 0.95], [0.5, 0.4]]}
    learnt = {w: {way: {0.01: rows} for way in lookup.WAYS} for w in (4, 64)}
    metrics = collect(random, learnt, 0.2)
    made = tables(metrics, 20)
    assert len(made["random"]["rows"]) == 9
    assert made["steps"]["rows"][0][1] == {"en": "1 / 2 learnt it", "zh": "1 / 2 学会"}
    assert made["final"]["rows"][0][0]["en"] == "no scale"
    assert len(scaling_figure(metrics, 20).axes) == 4


@pytest.mark.parametrize("ways", [list(WAYS), ["none", "root", "normalised"], ["small_start"]])
def test_a_way_keeps_its_look_whatever_is_drawn_beside_it(ways):
    _, ax = plotting.subplots()
    row = {"steps_mean": 50, "steps_std": 5}
    draw_lookup(ax, {width: dict.fromkeys(ways, row) for width in ("16", "256")}, 100)
    handles, labels = ax.get_legend_handles_labels()
    assert labels == [WAYS[way] for way in ways]
    for handle, way in zip(handles, ways, strict=True):
        index = list(WAYS).index(way)
        assert handle.lines[0].get_marker() == plotting.MARKERS[index]
        assert handle.lines[0].get_color() == plotting.COLORS[index]
