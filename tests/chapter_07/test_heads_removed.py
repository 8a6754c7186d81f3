"""Heads removed from a translator: what the hook does, what is said of a head, the orders."""

import math

import pytest
import torch

from chapter_07_attention_mechanism import exp_heads
from chapter_07_attention_mechanism.experiments import heads as pruned
from chapter_07_attention_mechanism.experiments.number_lines import (
    Lines,
    right_lines,
    right_percent,
)
from chapter_07_attention_mechanism.multi_head import MultiheadAttention, split_heads
from chapter_07_attention_mechanism.seq2seq_attention import Seq2SeqAttention

BOS, EOS, COMMA = 1, 2, 5


def network(attention="multihead", seed=0, **options):
    torch.manual_seed(seed)
    options = {"embed": 6, "hidden": 8, "heads": 4} | options
    model = Seq2SeqAttention(12, 12, attention, **options)
    for weights in model.parameters():  # larger than at the start: the outputs differ
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=0.7)
    return model.eval()


def some(rows=5, seed=0):
    random = torch.Generator().manual_seed(seed)

    def line(n):
        return torch.randint(3, 12, (n,), generator=random).tolist()

    sources = [line(3 + n) for n in range(rows)]
    targets = [[BOS, *line(2 + n), EOS] for n in range(rows)]
    return Lines(sources, targets, [1 + n % 2 for n in range(rows)], (COMMA, COMMA))


def outputs(model, lines):
    with torch.no_grad():
        return [model(source, target[:, :-1]) for source, target in lines.batches()]


@pytest.mark.parametrize("gone", [(), (1,), (0, 3)])
@pytest.mark.parametrize("constant", [False, True])
def test_removing_heads_is_deleting_columns(gone, constant):
    model, lines = network(), some()
    attention = pruned.attention_of(model)
    instead = torch.randn(8) if constant else None
    with pruned.removed(attention, gone, instead):
        found = outputs(model, lines)
    columns = [head * 2 + n for head in gone for n in range(2)]
    with torch.no_grad():
        if constant:
            attention.out_proj.bias += attention.out_proj.weight[:, columns] @ instead[columns]
        attention.out_proj.weight[:, columns] = 0
    for a, b in zip(found, outputs(model, lines), strict=True):
        torch.testing.assert_close(a, b)


def test_the_heads_come_back():
    model, lines = network(), some()
    before = outputs(model, lines)
    with pytest.raises(KeyError), pruned.removed(pruned.attention_of(model), [0]):
        changed = outputs(model, lines)
        raise KeyError
    assert not torch.equal(changed[0], before[0])
    assert torch.equal(outputs(model, lines)[0], before[0])
    with pytest.raises(ValueError, match="0 multi-head attentions"):
        pruned.attention_of(network("additive"))


@torch.no_grad()
def test_the_mean_is_that_of_the_written_words():
    """By hand, line by line, without padding: weights times projected states."""
    model, lines = network(), some()
    attention, said = pruned.attention_of(model), []
    for source, target in zip(lines.sources, lines.targets, strict=True):
        source, target = torch.tensor([source]), torch.tensor([target])
        weights = model.attend(source, target[:, :-1])  # (1, h, T, S)
        bias = attention.in_proj_bias.chunk(3)[2]
        values = model.encoder(source).states @ attention.v_proj_weight.T + bias  # (1, S, D)
        heads = weights @ split_heads(values, 4)  # (1, h, T, d)
        said.append(heads.transpose(1, 2).flatten(2)[0])  # (T, D)
    torch.testing.assert_close(pruned.mean_outputs(model, lines), torch.cat(said).mean(0))


def test_right_lines_are_those_of_greedy_decoding():
    """Half of the targets are what the network writes itself; each of the others has one error."""
    model, lines = network(), some(8)
    written = model.greedy(torch.tensor(lines.sources[3:4]), BOS, EOS, 6)[0].tolist()
    targets = [[BOS, *written], [BOS, *written[:-1], (written[-1] + 1) % 9 + 3]]
    mine = Lines([lines.sources[3]] * 2, targets, [1, 2], lines.commas)
    assert right_lines(model, mine).tolist() == [True, False]
    assert right_percent(right_lines(model, mine), mine) == [100.0, 0.0]


class Looker(torch.nn.Module):
    """Two heads: the first looks at all places alike, the second at the places that are given."""

    def __init__(self, path, read):
        super().__init__()
        one_hot = torch.nn.functional.one_hot(torch.tensor(path), read).float()
        self.table = torch.stack([torch.full_like(one_hot, 1 / read), one_hot])  # (h, T, S)

    def attend(self, source, target):
        return self.table.unsqueeze(0)


def test_what_a_head_looks_at():
    source = [7, 8, COMMA, 9]  # two numbers
    target = [BOS, 8, 7, COMMA, 9, EOS]
    lines = Lines([source], [target], [2], (COMMA, COMMA))
    found = pruned.looks(Looker([1, 0, 2, 2, 0], 4), lines)
    assert found["entropy"].tolist() == pytest.approx([math.log(4), 0], abs=1e-6)
    assert found["comma_percent"].tolist() == pytest.approx([25, 40])
    # the first number is written (with its comma) in three steps, the second in two
    assert found["own_percent"].tolist() == pytest.approx([(3 * 50 + 2 * 25) / 5, 40])
    assert found["other_percent"].tolist() == pytest.approx([(3 * 25 + 2 * 50) / 5, 20])
    assert found["back_percent"].tolist() == pytest.approx([0, 20])  # from place 1 to place 0
    numbers = pruned.number_of(torch.tensor([source]), COMMA)
    assert numbers.tolist() == [[0, 0, 0, 1]]


def table_of(importance):
    """A network whose right lines are 100 minus what its removed heads are worth."""
    subsets = pruned.subsets_of(len(importance))
    lines = {frozenset(s): [100.0 - sum(importance[h] for h in s)] * 2 for s in subsets}
    order = sorted(range(len(importance)), key=lambda head: -importance[head])
    looks = {name: [float(h) for h in order] for name in pruned.LOOKS}
    return {"order": order, "by_length": {"zero": lines, "mean": lines}, "looks": looks,
            "lengths": [1, 2]}  # fmt: skip


def test_three_orders_of_pruning():
    found = pruned.pruning(table_of([10, 40, 20]), "zero")
    assert found["least"] == [100, 90, 70, 30] and found["most"] == [100, 60, 40, 30]
    assert found["random"] == pytest.approx([100, 100 - 70 / 3, 100 - 140 / 3, 30])


def test_means_over_networks_are_by_rank():
    """Head 2 of one network and head 1 of the other are the most important ones."""
    metrics = pruned.collect([table_of([10, 40, 20]), table_of([50, 0, 20])])
    first, last = metrics["heads"][0], metrics["heads"][2]
    assert first["without_zero"] == (55, 5) and last["without_mean"] == (95, 5)
    assert first["entropy"] == (0.5, 0.5) and metrics["all_heads_by_length"][1] == (100, 0)
    tables = pruned.tables(metrics)
    assert tables["main"]["rows"][0][:2] == ["1", [55, 5]]
    assert [row[0] for row in tables["pruning"]["rows"]] == [0, 1, 2, 3]
    one = pruned.tables(pruned.collect([table_of([10, 40, 20])]))
    assert one["main"]["rows"][0][1] == 60  # of one network no deviation


def test_a_useless_head_is_ranked_last():
    """Its columns of out_proj are zero from the start: removing it changes no line."""
    model, lines = network(), some(6)
    with torch.no_grad():
        pruned.attention_of(model).out_proj.weight[:, 4:6] = 0  # head 3
    said = [
        model.greedy(torch.tensor([source]), BOS, EOS, 5)[0].tolist() for source in lines.sources
    ]
    mine = Lines(lines.sources, [[BOS, *line] for line in said], lines.counts, lines.commas)
    found = pruned.measure(model, mine, mine)
    assert found["by_length"]["zero"][frozenset()] == [100, 100]
    assert found["by_length"]["zero"][frozenset({2})] == [100, 100]
    assert len(found["by_length"]["mean"]) == 16 and sorted(found["order"]) == [0, 1, 2, 3]
    everything = [min(rows) for rows in found["by_length"]["zero"].values()]
    assert min(everything) < 100  # other heads do matter


def test_a_network_has_its_attention_once():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = MultiheadAttention(4, 2), MultiheadAttention(4, 2)

    with pytest.raises(ValueError, match="2 multi-head attentions"):
        pruned.attention_of(Two())


def test_mistakes_are_one_sentence(tmp_path, capsys, number_checkpoint):
    additive = str(number_checkpoint("additive"))
    many = str(number_checkpoint("multihead", heads=8))
    cases = {
        ("--weights", additive): "has additive attention",
        ("--weights", str(tmp_path / "none.pth")): "there is no checkpoint",
        ("--weights", many): "has 8 heads",
    }
    for options, sentence in cases.items():
        assert exp_heads.main([*options, "--output_dir", str(tmp_path)]) == 2
        assert sentence in capsys.readouterr().err, options
