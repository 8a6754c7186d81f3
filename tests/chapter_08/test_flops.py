"""Every formula of flops.py equals what PyTorch counts, and two networks of the literature."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from chapter_07_attention_mechanism.experiments.cost import kept_bytes
from chapter_08_transformer_vanilla import draw_figures, flops
from chapter_08_transformer_vanilla.experiments import counting
from chapter_08_transformer_vanilla.flops import BASE, GPT2, OURS, Sizes
from chapter_08_transformer_vanilla.kv_cache import CachedSteps
from chapter_08_transformer_vanilla.layers import EncoderLayer
from chapter_08_transformer_vanilla.transformer import Encoder, TranslationTransformer
from utils.model_summary import parameter_count, summary

SMALL = Sizes(vocabulary=50, width=12, heads=3, encoder=2, decoder=2, ffn=20)
SHAPES = [(3, 7, 9), (2, 8, 1), (4, 1, 6)]  # B, S, T


def translator(sizes: Sizes, dropout: float = 0.0, **options) -> TranslationTransformer:
    return TranslationTransformer(
        sizes.vocabulary, sizes.width, sizes.heads, sizes.encoder, sizes.ffn, dropout, **options
    )


def ids(batch: int, *lengths: int) -> list[torch.Tensor]:
    return [torch.ones(batch, n, dtype=torch.long) for n in lengths]


def counted(work) -> int:
    """Operations of `work()` by PyTorch's counter; attention as the products that it is."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


sizes_of_translators = st.builds(
    lambda heads, d, layers, **rest: Sizes(
        width=2 * heads * d, heads=heads, encoder=layers, decoder=layers, **rest
    ),
    heads=st.integers(1, 4),
    d=st.integers(1, 4),
    layers=st.integers(1, 3),
    vocabulary=st.integers(3, 60),
    ffn=st.integers(1, 40),
)


@settings(max_examples=5, deadline=None)
@given(sizes_of_translators, st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
def test_parameters_and_operations_of_a_translator(sizes, batch, source, target):
    with torch.device("meta"):  # shapes alone: nothing is computed
        model = translator(sizes)
        read, written = ids(batch, source, target)
        found = summary(model, input_data=(read, written), verbose=False)
    assert sum(flops.parameters(sizes).values()) == found.parameters
    operations = sum(flops.forward_flops(sizes, source, target, batch).values())
    assert operations == 2 * found.macs


def test_each_part_is_where_the_formula_says():
    parts, model = flops.parameters(SMALL), translator(SMALL)
    names = {
        "embedding": "embedding", "attention": "attn", "ffn": "linear", "norms": "norm",
    }  # fmt: skip
    for part, word in names.items():
        held = [p.numel() for name, p in model.named_parameters() if word in name]
        assert parts[part] == sum(held), part
    flat = {part: sum(flops.forward_flops(s, 7, 9).values()) for part, s in {
        "all": SMALL, "narrow": Sizes(50, 12, 3, 2, 2, 0), "wordless": Sizes(0, 12, 3, 2, 2, 20),
    }.items()}  # fmt: skip
    whole = flops.forward_flops(SMALL, 7, 9)
    assert flat["all"] - flat["narrow"] == whole["ffn"]
    assert flat["all"] - flat["wordless"] == whole["logits"]


@pytest.mark.parametrize(("batch", "source", "target"), SHAPES)
def test_backward_takes_twice_the_forward_pass(batch, source, target):
    model = translator(SMALL)
    read, written = ids(batch, source, target)
    operations = counted(lambda: model(read, written).sum().backward())
    assert operations == flops.training_flops(SMALL, source, target, batch)


@pytest.mark.parametrize(("batch", "source", "target"), SHAPES)
@pytest.mark.parametrize("tied", [True, False])
def test_pytorchs_transformer(batch, source, target, tied):
    """`nn.Transformer` between tables of our own, which ask for a gradient as ours do."""
    sizes = Sizes(50, 12, 2, 3, 1, 20, tables=1 if tied else 3)
    model = nn.Transformer(12, 2, 3, 1, 20, dropout=0.0, batch_first=True)
    tables = [nn.Embedding(50, 12) for _ in range(sizes.tables)]
    held = parameter_count(model) + sum(map(parameter_count, tables))
    assert held == sum(flops.parameters(sizes).values())
    read, written = ids(batch, source, target)

    def step(backward: bool) -> None:
        states = model(tables[0](read), tables[-1](written))
        logits = states @ tables[tied - 1].weight.T
        if backward:
            logits.sum().backward()

    assert counted(lambda: step(False)) == sum(
        flops.forward_flops(sizes, source, target, batch).values()
    )
    assert counted(lambda: step(True)) == flops.training_flops(sizes, source, target, batch)


# --- Known networks ---


def test_the_base_transformer_has_65_million_parameters():
    """Table 3 of Vaswani et al. 2017 says 65 million, section 5.1 "about 37000 tokens": within
    3.5 %. The rest is the word "about": each thousand words are half a million numbers.
    """
    total = sum(flops.parameters(BASE).values())
    assert total == pytest.approx(65e6, rel=0.035)
    assert total == 37_000 * 512 + 44_138_496
    assert flops.parameters(BASE)["ffn"] / (total - 37_000 * 512) == pytest.approx(0.57, abs=0.005)


def language_model(sizes: Sizes) -> nn.ModuleList:
    """GPT-2's parts: two tables, blocks, a norm. The output is the table of the tokens."""
    block = EncoderLayer(
        sizes.width, sizes.heads, sizes.ffn, 0.0, "gelu", batch_first=True, norm_first=True
    )
    tables = [nn.Embedding(n, sizes.width) for n in (sizes.vocabulary, sizes.places)]
    return nn.ModuleList([*tables, Encoder(block, sizes.encoder, nn.LayerNorm(sizes.width))])


@pytest.mark.parametrize("sizes", [GPT2, Sizes(30, 12, 2, 3, 0, 24, places=9, last_norms=1)])
def test_gpt2(sizes):
    """124,439,808 parameters of the published small model, exactly; its operations as counted."""
    with torch.device("meta"):
        tokens, places, blocks = model = language_model(sizes)
        (read,) = ids(2, 8)

        def step() -> None:
            x = tokens(read) + places(torch.arange(8))
            (blocks(x, is_causal=True) @ tokens.weight.T).sum().backward()

        assert counted(step) == flops.training_flops(sizes, 8, batch=2)
    assert parameter_count(model) == sum(flops.parameters(sizes).values())
    if sizes is GPT2:
        assert parameter_count(model) == 124_439_808


# --- The rule ---


def test_the_rule_is_right_for_short_texts_and_one_table():
    """There its faults are small: no long T x T products, few biases, one table for all."""
    wide = Sizes(1000, 2048, 16, 4, 0, 8192, last_norms=1)
    assert flops.rule_share(wide, 1) == pytest.approx(1, abs=2e-3)
    assert flops.rule_share(OURS, 1, 1) == pytest.approx(1.0, abs=0.01)


def test_the_rules_two_faults():
    shares = [flops.rule_share(OURS, n, n) for n in (16, 256, 1024, 4096)]
    assert shares == sorted(shares, reverse=True) and shares[-1] < 0.4  # the T x T products
    weights, table = sum(flops.parameters(OURS).values()), 4000 * 128
    missing = flops.rule_share(OURS, 16, 16, embedding=False)  # the logits are forgotten
    assert missing == pytest.approx(shares[0] * (1 - table / weights), rel=1e-12)
    three = Sizes(tables=3)  # two tables that take no operation
    assert flops.rule_share(three, 16, 16) == pytest.approx(
        shares[0] * (1 + 2 * table / weights), rel=1e-12
    )


@given(st.integers(1, 64), st.integers(1, 512), st.integers(1, 4), st.integers(0, 4))
def test_where_attention_costs_as_much_as_the_rest(heads, ffn, encoder, decoder):
    sizes = Sizes(0, 2 * heads, heads, encoder, decoder, ffn)
    at = flops.crossover(sizes)
    rest = {"ffn": ("ffn",), "projections": ("projections",), "both": ("ffn", "projections")}
    for name, parts in rest.items():
        found = flops.forward_flops(sizes, at[name], at[name])
        assert found["scores"] == pytest.approx(sum(found[part] for part in parts), rel=1e-12)


def test_seconds():
    assert flops.training_seconds(OURS, 1e6, 1e11) == pytest.approx(6 * 2_363_904e6 / 1e11)


# --- Bytes ---


def masks(sizes: Sizes, batch: int, source: int, target: int) -> int:
    """Bytes that the formula leaves out: boolean masks, and the weight of a mean."""
    padding = batch * (source + 1) * (sizes.encoder + sizes.decoder)
    return padding + (target**2 + target) * sizes.decoder + 4


@pytest.mark.parametrize(("batch", "source", "target"), [(3, 7, 9), (2, 30, 12)])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_what_a_step_keeps(batch, source, target, norm_first, dropout):
    model = translator(SMALL, dropout, norm_first=norm_first)
    read, written = ids(batch, source, target)

    def step() -> torch.Tensor:
        return F.cross_entropy(model(read, written).flatten(0, 1), written.flatten())

    kept = kept_bytes(step, [*model.parameters(), read, written])
    found = flops.activation_bytes(SMALL, source, target, batch, dropout > 0)
    assert kept == sum(found.values()) + masks(SMALL, batch, source, target)
    if not dropout:  # the course's summary runs the model in evaluation mode, without a loss
        saved = summary(model, input_data=(read, written), verbose=False).saved_bytes
        ours = sum(found.values()) - found["logits"] + masks(SMALL, batch, source, target) - 4
        assert saved == ours + 8 * (read.numel() + written.numel())  # the ids


def test_what_adamw_holds():
    model = translator(SMALL)
    optimizer = torch.optim.AdamW(model.parameters())
    model(*ids(2, 5, 4)).sum().backward()
    optimizer.step()
    weights = list(model.parameters())
    gradients = [p.grad for p in weights]
    moments = [s[name] for s in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    found = flops.state_bytes(parameter_count(model))
    for name, tensors in {"weights": weights, "gradients": gradients, "moments": moments}.items():
        assert found[name] == sum(x.numel() * x.element_size() for x in tensors)
    assert sum(found.values()) == 16 * parameter_count(model)


@torch.no_grad()
def test_the_cache_of_a_translator():
    (source,) = ids(3, 7)
    steps = CachedSteps(translator(SMALL).eval(), source)
    for _ in range(5):
        steps.step(source[:, 0])
    held = [x[:, :, :5] for cache in steps.caches for x in (cache.keys, cache.values)]
    held += [part for read in steps.read for part in read]
    assert sum(4 * x.numel() for x in held) == 3 * flops.cache_bytes(SMALL, 7, 5)
    assert flops.cache_bytes(GPT2, 1, number=2) == 36_864  # bytes a token


# --- The page ---


def test_the_pages_examples():
    """docs/07_counting.md, "By hand"."""
    one = Sizes(0, encoder=1, decoder=0, last_norms=0)
    assert sum(flops.parameters(one).values()) == 198_272 == 66_048 + 131_712 + 4 * 128
    one = Sizes(0, encoder=0, decoder=1, last_norms=0)
    assert sum(flops.parameters(one).values()) == 264_576
    state = flops.state_bytes(sum(flops.parameters(OURS).values()))
    assert sum(state.values()) == pytest.approx(37.8e6, rel=1e-3)
    tables = flops.activation_bytes(OURS, 64, 64, 32)["scores"]
    assert tables == 4 * 3 * 4 * 32 * 12 * 64**2 == pytest.approx(75.5e6, rel=1e-3)
    assert flops.cache_bytes(OURS, 1) == 4096
    assert 1024 * flops.cache_bytes(GPT2, 1) == pytest.approx(75.5e6, rel=1e-3)
    assert flops.training_seconds(OURS, 1e6, 1e11) == pytest.approx(142, abs=0.5)


def test_a_block_of_the_usual_shape():
    """12 D^2 weights, 24 T D^2 and 4 T^2 D operations; the rule forgets the second."""
    block = Sizes(0, 64, 4, 1, 0, 256, last_norms=0)
    held = sum(flops.parameters(block).values())
    assert held == pytest.approx(12 * 64**2, rel=0.02)  # and biases and norms
    assert sum(flops.forward_flops(block, 30).values()) == 24 * 30 * 64**2 + 4 * 30**2 * 64
    share = flops.rule_share(block, 30) * 12 * 64**2 / held
    assert 1 / share == pytest.approx(1 + 30 / (6 * 64), rel=1e-12)
    line = flops.activation_bytes(block, 30, batch=2, dropout=False)
    layer = 30 * (8 * 64 + 256) + 2 * 4 * 30**2 + 2 * 2 * 30  # two numbers a norm and place
    assert sum(line.values()) == 4 * 2 * (layer + 30 * (2 * 64 + 2))  # the last norm, the logits


def test_what_is_published_is_what_is_counted():
    metrics = counting.collect(counting.measure(42))
    assert all(row["counted"] == row["all"] for row in metrics["networks"].values())
    assert all(row["counted"] == row["formula"] for row in metrics["lengths"].values())
    for row in metrics["memory"].values():
        length = row["length"]
        assert row["counted"] - row["formula"] == masks(OURS, counting.BATCH, length, length)
    for name, found in counting.tables(metrics).items():
        assert len(found["rows"]) == len(metrics[name])
    assert draw_figures.MEASURED["counting"] is counting
    assert draw_figures.DRAWINGS["counting"](42).axes
