"""Is attention an explanation: every measure against an independent computation."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial import distance

from chapter_07_attention_mechanism import exp_explanation
from chapter_07_attention_mechanism.experiments import explanation as ex
from chapter_07_attention_mechanism.experiments import interventions as iv
from chapter_07_attention_mechanism.experiments import small
from chapter_07_attention_mechanism.experiments.explanation_tables import collect, tables
from chapter_07_attention_mechanism.experiments.number_lines import Lines
from chapter_07_attention_mechanism.seq2seq_attention import Seq2SeqAttention
from utils.seed import generator

BOS, EOS = 1, 2
SOURCE = torch.tensor([[3, 7, 5, 9, 4], [8, 3, 6, 0, 0]])
TARGET = torch.tensor([[BOS, 10, 11, 4, EOS], [BOS, 3, EOS, 0, 0]])


@torch.no_grad()
def walked(model):
    return iv.walk(model, SOURCE, TARGET)


def network(seed=0, scale=0.8):
    torch.manual_seed(seed)
    model = Seq2SeqAttention(12, 12, "additive", embed=6, hidden=8)
    for weights in model.parameters():
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=scale)
    return model.eval()


def deaf(model):
    """The network, with a decoder that takes no notice of what it looks at."""
    with torch.no_grad():
        for name, weights in model.decoder.rnn.named_parameters():
            if name.startswith("weight_ih"):
                weights[:, 6:] = 0
    return model


@torch.no_grad()
def test_with_its_own_weights_every_step_is_what_it_was():
    model = network()
    steps = iv.walk(model, SOURCE, TARGET)
    torch.testing.assert_close(steps.p, model(SOURCE, TARGET[:, :-1]).softmax(-1))
    torch.testing.assert_close(iv.again(model, steps, steps.weights), steps.p)
    other = iv.again(model, steps, iv.uniform(steps.weights, steps.read))
    assert not torch.allclose(other, steps.p, atol=1e-3)


def test_permuted_weights_are_the_same_weights():
    weights = torch.rand(2, 3, 5)
    read = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()
    weights = weights * read[:, None]
    other = iv.permuted(weights, read, generator(1))
    torch.testing.assert_close(other.sort(-1).values, weights.sort(-1).values)
    assert not torch.equal(other, weights) and (other[1, :, 3:] == 0).all()
    first = {tuple(iv.permuted(weights, read, generator(n))[0, 0].tolist()) for n in range(40)}
    assert len(first) > 20  # orders differ


def test_without_the_largest_the_rest_grows():
    weights = torch.tensor([[[0.6, 0.3, 0.1], [1.0, 0.0, 0.0]]])
    read = torch.ones(1, 3, dtype=torch.bool)
    expected = torch.tensor([[[0, 0.75, 0.25], [1 / 3, 1 / 3, 1 / 3]]])
    torch.testing.assert_close(iv.without_largest(weights, read), expected)
    torch.testing.assert_close(iv.uniform(weights, read).sum(-1), torch.ones(1, 2))


def test_distances_are_those_of_scipy():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(6), size=(2, 4))
    found = iv.divergence(torch.tensor(p), torch.tensor(q))
    expected = [distance.jensenshannon(a, b, base=2) ** 2 for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    one, other = torch.tensor([1.0, 0, 0]), torch.tensor([0, 0.5, 0.5])
    assert iv.variation(one, one) == 0 and iv.variation(one, other) == 1
    assert iv.divergence(one, other) == pytest.approx(1, abs=1e-5)


def test_kendall_is_that_of_scipy():
    a, b = torch.rand(2, 3, 9, generator=generator(0))
    expected = [stats.kendalltau(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(ex.kendall(a, b), expected, rtol=1e-5)


@torch.no_grad()
def test_deleting_a_word_is_reading_a_shorter_line():
    model, line, target = network(), SOURCE[0], TARGET[0]
    p = model(line[None], target[None, :-1]).softmax(-1)[0]
    change, other = iv.erased(model, line, target, p)
    assert change.shape == (4, 5) == other.shape
    for place in range(5):
        shorter = torch.cat([line[:place], line[place + 1 :]])
        q = model(shorter[None], target[None, :-1]).softmax(-1)[0]
        expected = 0.5 * (q - p).abs().sum(-1)
        torch.testing.assert_close(change[:, place], expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(other[:, place], q.argmax(-1) != p.argmax(-1))
    with pytest.raises(ValueError, match="nothing left"):
        iv.erased(model, line[:1], target, p)


def test_gradients_are_those_of_the_table():
    """Each word of the line stands in it once: the gradient of its row of the table is its own."""
    model = network()
    found = iv.gradients(model, SOURCE[:1], TARGET[:1])
    table = model.encoder.embedding.weight
    for step in range(4):
        said = model(SOURCE[:1], TARGET[:1, :-1]).log_softmax(-1)[0, step, TARGET[0, step + 1]]
        rows = torch.autograd.grad(said, table)[0][SOURCE[0]]  # (S, E)
        torch.testing.assert_close(found[0, step], rows.norm(dim=-1), rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_a_state_changes_less_the_further_the_exchanged_word_stands():
    model, line = network(scale=0.3), torch.arange(3, 12).repeat(2)[:14]
    values = iv.neighbours(model, line, generator(0))
    assert len(values) == iv.NEAR + 1 and len(values[0]) <= len(line)
    means = [float(v.mean()) for v in values]
    assert means[0] > means[1] > means[3] > 0
    for weights in model.encoder.rnn.parameters():  # without a memory nothing comes from others
        if weights.shape == (24, 8):
            weights.zero_()
    kept = iv.neighbours(model, line, generator(0))
    assert kept[0].mean() > 0.1  # the update gate alone still mixes the last state in
    assert kept[3].mean() < kept[1].mean() < kept[0].mean()


def test_an_adversary_succeeds_where_the_weights_do_not_matter():
    steps = walked(deaf(network()))
    best, away = iv.adversarial(deaf(network()), steps, generator(0))
    assert best[steps.words].min() > 0.3 and (away[steps.words] > 0).all()


def test_an_adversary_keeps_its_promise():
    """What is reported was reached by weights that change the output by at most `close`."""
    model = network(scale=2.0)
    steps = walked(model)
    loose = iv.adversarial(model, steps, generator(0), close=1.0)[0]
    model = network()
    strict = iv.adversarial(model, walked(model), generator(0), close=1e-9)[0]
    assert loose[steps.words].min() > 0.3 and (strict == 0).all()


def test_the_words_that_are_chosen():
    weights = torch.tensor([[0.1, 0.8, 0.1], [0.7, 0.2, 0.1]])
    gradient, change = weights.flip(1), torch.tensor([[0.0, 0.1, 0.9], [0.9, 0.0, 0.1]])
    found = ex.choices(weights, gradient, change, generator(0))
    assert found["looked"].tolist() == [1, 0] and found["gradient"].tolist() == [1, 2]
    assert found["best"].tolist() == [2, 0] and found["diagonal"].tolist() == [0, 2]
    assert (found["random"] != found["looked"]).all() and found["random"].max() < 3
    agrees = ex.agreement(weights, gradient, change, found)
    assert agrees["looked_is_best_percent"].tolist() == [0, 100]
    assert agrees["looked_near_best_percent"].tolist() == [100, 0]


@pytest.fixture(scope="module")
def measured():
    lines = Lines(
        [row[row != 0].tolist() for row in SOURCE] + [[5]],
        [row[row != 0].tolist() for row in TARGET] + [[BOS, EOS]],
        [1, 1, 1], (4, 4),
    )  # fmt: skip
    return ex.measure(network(), lines, 0), ex.measure(deaf(network()), lines, 0)


def test_one_network_measured(measured):
    hearing, not_hearing = measured
    far = [name for name, value in hearing.items() if not np.isfinite(value)]
    assert far == ["state_change_5", "state_change_6"]  # no line has words so far away
    for name in ex.WEIGHTS:  # the deaf one does not notice other weights
        assert hearing[name] > 0.01 > not_hearing[name] < 1e-6
    assert hearing["best"] >= max(hearing[name] for name in ex.ERASED)
    assert not_hearing["adversary_elsewhere_percent"] == 100
    percents = [value for name, value in hearing.items() if name.endswith("percent")]
    assert min(percents) >= 0 and max(percents) <= 100


def test_means_and_tables(measured):
    control = {"additive": [(99, 1)], "uniform": [(5, 2)], "lengths": [1], "seeds": 3}
    metrics = collect(list(measured))
    assert metrics["changes"]["looked"]["change"][1] > 0 and len(metrics["state_change"]) == 7
    made = tables(measured[:1], list(measured), control)
    assert [len(made[name]["rows"]) for name in ("main", "map", "control")] == [8, 10, 1]
    _, one, both = made["main"]["rows"][0]
    assert one == pytest.approx(measured[0]["permuted"]) and len(both) == 2
    alone = tables(measured[:1], [], None)
    assert "control" not in alone and len(alone["main"]["rows"][0]) == 2


def test_frozen_weights_are_uniform_and_stay_so(monkeypatch):
    monkeypatch.setattr(small, "DATA", {"below": 200, "most": 1, "train": 64, "held_out": 20})
    monkeypatch.setattr(small, "HIDDEN", 8)
    task = small.small_task()
    source, target = torch.tensor([[9, 8, 7]]), torch.tensor([[1, 9]])
    third = torch.full((1, 2, 3), 1 / 3)
    frozen, free = (small.train_one(task, kind, 0, 1) for kind in ("uniform", "additive"))
    torch.testing.assert_close(frozen.attend(source, target), third)
    assert not torch.allclose(free.attend(source, target), third, atol=1e-4)
    found = small.measure_control(task, {"additive": [free], "uniform": [frozen]})
    assert found["lengths"] == [1] and found["uniform"] == [(0, 0)]


def test_mistakes_are_one_sentence(tmp_path, capsys, number_checkpoint):
    heads = str(number_checkpoint("multihead"))
    cases = {("--weights", heads): "has multihead attention", ("--lines", "0"): "above 0"}
    for options, sentence in cases.items():
        try:
            code = exp_explanation.main([*options, "--output_dir", str(tmp_path)])
        except SystemExit as stopped:
            code = stopped.code
        assert code == 2 and sentence in capsys.readouterr().err, options
