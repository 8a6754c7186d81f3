"""Induction heads: the scores on weights made by hand, and two attentions that need no training."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chapter_08_transformer_vanilla.experiments import induction as experiment
from chapter_08_transformer_vanilla.figures.induction import induction_figure
from chapter_08_transformer_vanilla.gpt2 import GPT2
from chapter_08_transformer_vanilla.induction import (
    ByHand,
    behind_a_match,
    copying,
    ov_circuit,
    prefix_matching,
    previous_token,
    without_head,
)
from utils.seed import generator

ABCA = torch.tensor([[0, 1, 2, 0]])


def looking_at(places: list[int]) -> torch.Tensor:
    """Weights (1, 1, T, T) of a head that at place t looks at places[t] alone."""
    return torch.eye(len(places))[places][None, None]


def test_the_place_behind_the_first_a_is_behind_a_match():
    expected = torch.zeros(1, 4, 4, dtype=torch.bool)
    expected[0, 3, 1] = True  # the second A, at place 3, finds B at place 1
    assert torch.equal(behind_a_match(ABCA), expected)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_matches_are_those_of_a_loop(tokens):
    found = behind_a_match(torch.tensor([tokens]))[0]
    for t, token in enumerate(tokens):
        for s in range(len(tokens)):
            assert bool(found[t, s]) == (1 <= s <= t and tokens[s - 1] == token)


def test_scores_of_heads_made_by_hand():
    induction, previous = looking_at([0, 0, 0, 1]), looking_at([0, 0, 1, 2])
    assert prefix_matching(induction, ABCA).tolist() == [1.0]
    assert prefix_matching(previous, ABCA).tolist() == [0.0]
    assert previous_token(previous).tolist() == [1.0]
    assert previous_token(induction)[0] == pytest.approx(1 / 3)  # place 1 looks at 0
    both = torch.cat([induction, previous], dim=1)  # (1, 2, T, T)
    assert prefix_matching(both, ABCA).tolist() == [1.0, 0.0]


def test_texts_without_a_repetition_have_no_score():
    with pytest.raises(ValueError, match="stands twice"):
        prefix_matching(looking_at([0, 0, 1]), torch.tensor([[0, 1, 2]]))


def test_copying_counts_tokens_that_raise_themselves():
    assert copying(torch.eye(5)) == 1.0
    assert copying(-torch.eye(5)) == 0.0
    assert copying(torch.eye(4)[[0, 1, 3, 2]]) == 0.5


def test_the_circuit_is_what_the_head_adds_to_the_logits():
    torch.manual_seed(0)
    model = GPT2(7, width=8, heads=2, layers=2, longest=4)
    attention = model.layers[1].self_attn
    with torch.no_grad():
        model.norm.weight.uniform_(0.5, 2.0)
        model.layers[1].norm1.weight.uniform_(0.5, 2.0)
        attention.out_proj.weight[:, 4:] = 0.0  # the other head says nothing
    seen = model.layers[1].norm1(model.tokens.weight)[:, None]  # (V, 1, D): one place each
    said = attention(seen, seen, seen)[0][:, 0].detach()  # (V, D)
    logits = (said - said.mean(-1, keepdim=True)) * model.norm.weight @ model.tokens.weight.mT
    torch.testing.assert_close(ov_circuit(model, 1, 0), logits.detach())
    assert not ov_circuit(model, 1, 1).any()


def test_a_head_that_copies_is_found():
    model = GPT2(6, width=12, heads=2, layers=1, longest=4)
    attention = model.layers[0].self_attn
    with torch.no_grad():
        model.tokens.weight.copy_(torch.eye(6, 12))  # tokens live in the first head's half
        attention.in_proj_weight[24:].copy_(torch.eye(12))  # W_V
        attention.out_proj.weight.copy_(torch.diag(torch.tensor([1.0] * 6 + [-1.0] * 6)))
    assert copying(ov_circuit(model, 0, 0)) == 1.0
    assert copying(ov_circuit(model, 0, 1)) < 1.0


def test_without_a_head_the_model_itself_stays():
    torch.manual_seed(0)
    model = GPT2(7, width=8, heads=2, layers=2, longest=5)
    ids = torch.randint(7, (2, 5), generator=generator(0))
    before = model(ids)
    silent = without_head(model, 0, 1)
    assert not torch.allclose(silent(ids), before)
    torch.testing.assert_close(model(ids), before)
    with torch.no_grad():  # the same by another road: this head's values are zero
        attention = model.layers[0].self_attn
        attention.in_proj_weight[16 + 4 : 24] = 0.0
        attention.in_proj_bias[16 + 4 : 24] = 0.0
    torch.testing.assert_close(silent(ids), model(ids))


def repeated(period: int, length: int, seed: int, texts: int = 8, vocabulary: int = 12):
    """Different tokens, then the same again: (texts, length)."""
    order = torch.rand(texts, vocabulary, generator=generator(seed)).argsort(-1)
    return order[:, torch.arange(length) % period]


@pytest.mark.parametrize("period", [1, 2, 5, 11])
def test_two_attentions_set_by_hand_continue_every_repetition(period):
    ids = repeated(period, length=24, seed=period)
    model, kept = ByHand(12, longest=24), []
    shares = model(ids[:, :-1], kept)
    said = shares[:, period:].argmax(-1)
    assert torch.equal(said, ids[:, period + 1 :])
    assert shares[:, period:].max(-1).values.min() > 0.999
    assert previous_token(kept[0])[0] > 0.999
    assert prefix_matching(kept[1], ids[:, :-1])[0] > 0.999


def test_by_hand_does_not_see_the_future():
    ids = repeated(5, length=16, seed=0)
    model = ByHand(12, longest=16)
    changed = ids.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % 12
    torch.testing.assert_close(model(ids)[:, :9], model(changed)[:, :9])


@pytest.mark.parametrize("layer", [0, 1])
def test_by_hand_needs_both_layers(layer):
    ids = repeated(6, length=20, seed=1)
    model = ByHand(12, longest=20)
    model.layers[layer].out_proj.weight.zero_()
    said = model(ids[:, :-1])[:, 6:].argmax(-1)
    assert (said == ids[:, 7:]).float().mean() < 0.5


def test_known_tokens_stand_behind_a_match_and_others_are_random():
    ids, known = experiment.texts(200, generator(0))
    assert ids.shape == (200, experiment.LENGTH + 1) and known.shape == (200, experiment.LENGTH)
    behind = behind_a_match(ids[:, :-1])  # (B, T, T)
    says = (behind & (ids[:, None, :-1] == ids[:, 1:, None])).any(-1)  # (B, T)
    assert says[known].all()
    assert 0.3 < known.float().mean() < 0.6 and says[~known].float().mean() < 0.4
    places = (ids[:, None, :-1] == ids[:, 1:, None])[known].float().mean(0)  # (T,)
    assert places.max() < 0.2  # no fixed place is right


def test_steps_and_roles_come_from_the_scores():
    def point(step, known, matching):
        return {"step": step, "known": known, "other": 3.0, "matching": [[0.1, 0.1], matching],
                "previous": [[0.1, 0.9], [0.2, 0.2]]}  # fmt: skip

    curve = [point(0, 3.5, [0.1, 0.1]), point(20, 2.4, [0.3, 0.1]), point(40, 0.4, [0.8, 0.1])]
    heads = [
        {"layer": layer, "head": head, "previous": p, "matching": m, "copying": 0.5, "without": w}
        for layer, head, p, m, w in
        [(1, 1, 0.1, 0.1, 0.4), (1, 2, 0.9, 0.1, 3.0), (2, 1, 0.2, 0.8, 2.9), (2, 2, 0.2, 0.1, 0.5)]
    ]  # fmt: skip
    row = {"layers": 2, "seed": 0, "curve": curve, "heads": heads}
    assert experiment.found_heads(row) == [(1, 2), (2, 1)]
    metrics = experiment.collect([row])
    assert metrics["steps"]["matching"][0] == 40 and metrics["steps"]["loss"][0] == 40
    assert metrics["heads"]["induction"]["without"][0] == 2.9
    shown = experiment.tables(metrics, seeds=1)
    assert len(shown["main"]["rows"]) == 1 and len(shown["heads"]["rows"]) == 4


def longest_not_read(ids: torch.Tensor) -> torch.Tensor:
    """The token of those read up to each place that stood there the longest ago: (B, T)."""
    said = torch.zeros_like(ids)
    for b, row in enumerate(ids.tolist()):
        last: dict[int, int] = {}
        for t, token in enumerate(row):
            last[token] = t
            said[b, t] = min(last, key=last.get)
    return said


def test_a_text_that_goes_round_has_a_shortcut_and_ours_has_none():
    round_and_round = repeated(9, length=30, seed=3)
    said = longest_not_read(round_and_round[:, :-1])
    assert torch.equal(said[:, 9:], round_and_round[:, 10:])  # always right, no match needed
    ids, known = experiment.texts(100, generator(1))
    right = (longest_not_read(ids[:, :-1]) == ids[:, 1:])[known]
    assert right.float().mean() < 0.3


def test_uniform_weights_have_a_score_too():
    ids, _ = experiment.texts(50, generator(2))
    steps = ids.shape[1]
    uniform = torch.ones(steps, steps).tril()
    uniform = (uniform / uniform.sum(-1, keepdim=True)).expand(len(ids), 1, -1, -1)
    assert 0.03 < prefix_matching(uniform, ids)[0] < 0.2
    assert 0.03 < previous_token(uniform)[0] < 0.2


@pytest.mark.parametrize("layers", [(1,), (2, 1)])
def test_a_training_is_measured_and_drawn(layers, monkeypatch):
    monkeypatch.setattr(experiment, "MEASURED", 8)
    rows = [{"layers": n, "seed": 0} | experiment.train_one(n, 0, steps=4, every=3) for n in layers]
    metrics = experiment.collect(rows)
    assert [row["curve"][-1]["step"] for row in rows] == [4] * len(layers)
    assert set(metrics["layers"]) == set(map(str, layers))
    assert ("heads" in metrics) == (2 in layers)
    assert len(experiment.tables(metrics, seeds=1)["main"]["rows"]) == len(layers)
    assert induction_figure(rows).axes[0].lines
