"""The versions of minimal.py: each equals the one before where both apply, the last one the
network of transformer.py; what each part is for; and the numbers of page 1."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from chapter_08_transformer_vanilla import minimal
from chapter_08_transformer_vanilla.positions import sinusoids
from chapter_08_transformer_vanilla.transformer import TranslationTransformer

B, T, S, D, HEADS, FFN = 2, 5, 4, 8, 2, 12


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def weights_of(layer: nn.Module) -> dict[str, Tensor]:
    """Random everywhere: no gain of 1, no bias of 0 that could hide a fault."""
    return {name: normal(*value.shape) for name, value in layer.state_dict().items()}


@pytest.fixture
def w() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return weights_of(nn.TransformerEncoderLayer(D, HEADS, FFN))


@pytest.fixture
def asking() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return weights_of(nn.TransformerDecoderLayer(D, HEADS, FFN))


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(1)
    return normal(B, T, D)


def without(w: dict[str, Tensor], *parts: str) -> dict[str, Tensor]:
    """The weights with zeros for those whose name begins with one of `parts`."""
    return {name: 0 * value if name.startswith(parts) else value for name, value in w.items()}


def renamed(w: dict[str, Tensor]) -> dict[str, Tensor]:
    """A decoder's weights for a block that does not ask: its third norm becomes the second."""
    kept = {name: value for name, value in w.items() if not name.startswith("norm2")}
    return {name.replace("norm3", "norm2"): value for name, value in kept.items()}


# --- Each version equals the one before where both apply ---


def test_version_1_is_torchs_attention(w, x):
    module = nn.MultiheadAttention(D, HEADS, batch_first=True, dtype=torch.float64)
    module.load_state_dict(minimal.under(w, "self_attn"))
    hidden = torch.tensor([[False] * T, [False] * (T - 2) + [True] * 2])  # (B, T)
    for mask, padding in ((None, None), (~hidden[:, None, None], hidden)):
        found = minimal.block_v1(x, w, HEADS, mask)
        torch.testing.assert_close(found, module(x, x, x, key_padding_mask=padding)[0])


def test_version_2_adds_to_what_was_there(w, x):
    found = minimal.block_v2(x, w, HEADS) - x
    torch.testing.assert_close(found, minimal.block_v1(x, w, HEADS))


def test_version_3_with_a_silent_feed_forward_is_version_2(w, x):
    silent = without(w, "linear2")
    found = minimal.block_v3(x, silent, HEADS)
    torch.testing.assert_close(found, minimal.block_v2(x, w, HEADS))
    assert not torch.allclose(minimal.block_v3(x, w, HEADS), found)


def test_version_4_equals_version_3_where_a_norm_has_nothing_to_do(w, x):
    """Rows of mean 0 and variance 1 - eps come out of a norm as they went in. The second norm
    is held against the function: its row is the sum of two."""
    w = w | {"norm1.weight": torch.ones(D).double(), "norm1.bias": torch.zeros(D).double()}
    x = nn.functional.layer_norm(x, (D,), eps=0) * math.sqrt(1 - 1e-5)
    silent = without(w, "linear2")
    found = minimal.block_v4(x, silent, HEADS)
    torch.testing.assert_close(found, minimal.block_v3(x, silent, HEADS))
    more = minimal.feed_forward(minimal.norm(found, minimal.under(w, "norm2")), w)
    torch.testing.assert_close(minimal.block_v4(x, w, HEADS), found + more)


@pytest.mark.parametrize("padded", [False, True])
def test_version_4_is_torchs_encoder_layer(w, x, padded):
    layer = nn.TransformerEncoderLayer(
        D, HEADS, FFN, 0.0, batch_first=True, norm_first=True, dtype=torch.float64
    )
    layer.load_state_dict(w)
    hidden = torch.tensor([[False] * T, [False] * (T - 2) + [True] * 2]) if padded else None
    mask = None if hidden is None else ~hidden[:, None, None]
    expected = layer(x, src_key_padding_mask=hidden)
    torch.testing.assert_close(minimal.block_v4(x, w, HEADS, mask), expected)


def test_version_5_at_place_t_is_version_4_of_the_first_t_places(w, x):
    found = minimal.block_v5(x, w, HEADS)
    for t in range(1, T + 1):
        expected = minimal.block_v4(x[:, :t], w, HEADS)[:, -1]
        torch.testing.assert_close(found[:, t - 1], expected)
    assert not torch.allclose(found[:, 0], minimal.block_v4(x, w, HEADS)[:, 0])


def test_version_6_with_a_silent_look_at_memory_is_version_5(asking, x):
    memory = normal(B, S, D)
    silent = without(asking, "multihead_attn.out_proj")
    found = minimal.block_v6(x, memory, silent, HEADS)
    torch.testing.assert_close(found, minimal.block_v5(x, renamed(asking), HEADS))
    assert not torch.allclose(minimal.block_v6(x, memory, asking, HEADS), found)


def test_version_6_is_torchs_decoder_layer(asking, x):
    layer = nn.TransformerDecoderLayer(
        D, HEADS, FFN, 0.0, batch_first=True, norm_first=True, dtype=torch.float64
    )
    layer.load_state_dict(asking)
    memory, hidden = normal(B, S, D), torch.tensor([[False] * S, [False, False, True, True]])
    causal = torch.ones(T, T, dtype=torch.bool).triu(1)  # True = hidden
    expected = layer(x, memory, causal, memory_key_padding_mask=hidden)
    found = minimal.block_v6(x, memory, asking, HEADS, ~hidden[:, None, None])
    torch.testing.assert_close(found, expected)


def test_version_7_with_one_layer_is_versions_4_and_6(w, asking, x):
    stack = {f"encoder.layers.0.{name}": value for name, value in w.items()}
    stack |= {f"decoder.layers.0.{name}": value for name, value in asking.items()}
    stack |= {f"{part}.norm.weight": normal(D) for part in ("encoder", "decoder")}
    stack |= {f"{part}.norm.bias": normal(D) for part in ("encoder", "decoder")}
    y = normal(B, 3, D)
    memory = minimal.norm(minimal.block_v4(x, w, HEADS), minimal.under(stack, "encoder.norm"))
    out = minimal.block_v6(y, memory, asking, HEADS)
    expected = minimal.norm(out, minimal.under(stack, "decoder.norm"))
    torch.testing.assert_close(minimal.stacks_v7(x, y, stack, HEADS, 1), expected)


def translator(layers: int, heads: int, dtype: torch.dtype) -> TranslationTransformer:
    model = TranslationTransformer(11, 8, heads, layers, 16, dropout=0.3).to(dtype).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith(("bias", "norm.weight", "norm1.weight", "norm2.weight")):
                value += 0.3 * torch.randn_like(value)
    return model


def padded_ids() -> tuple[Tensor, Tensor]:
    """Three pairs of different lengths, 0 is padding; both sides have some."""
    source, target = torch.randint(1, 11, (3, 6)), torch.randint(1, 11, (3, 5))
    source[1, 4:] = source[2, 2:] = 0
    target[0, 3:] = target[2, 1:] = 0
    return source, target


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (2, 4), (3, 2)])
def test_version_8_is_the_translator_with_its_weights(layers, heads, dtype):
    torch.manual_seed(layers)
    model = translator(layers, heads, dtype)
    source, target = padded_ids()
    tolerance = (1e-7, 1e-9) if dtype == torch.float64 else (1e-4, 1e-5)
    close = {"rtol": tolerance[0], "atol": tolerance[1]}
    w = dict(model.named_parameters())
    expected = model(source, target)
    found = minimal.transformer_v8(source, target, w, heads, layers)
    torch.testing.assert_close(found, expected, **close)
    weighing = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad((found * weighing).sum(), w.values()),
        torch.autograd.grad((expected * weighing).sum(), w.values()),
        strict=True,
    ):  # `nn.Embedding` keeps reading its padding out of that row's gradient
        rows = slice(1, None) if ours.shape == w["embedding.weight"].shape else slice(None)
        torch.testing.assert_close(ours[rows], theirs[rows], **close)


def test_version_8_is_version_7_between_tables():
    torch.manual_seed(0)
    w = translator(2, 2, torch.float64).state_dict()
    table = w["embedding.weight"]
    source, target = torch.randint(1, 11, (2, 6)), torch.randint(1, 11, (2, 5))
    x, y = (
        8**0.5 * table[ids] + sinusoids(torch.arange(ids.shape[1]), 8) for ids in (source, target)
    )
    states = minimal.stacks_v7(x, y, minimal.under(w, "transformer"), 2, 2)
    found = minimal.transformer_v8(source, target, w, 2, 2)
    torch.testing.assert_close(found, states @ table.T)


# --- What each part is for ---


def test_only_attention_lets_places_exchange(w, x):
    """Another token at place 2: with attention every place hears of it, without only place 2."""
    other = x.clone()
    other[:, 2] = normal(B, D)
    for weights, hears in ((w, range(T)), (without(w, "self_attn.out_proj"), [2])):
        change = minimal.block_v4(other, weights, HEADS) - minimal.block_v4(x, weights, HEADS)
        heard = change.abs().amax((0, 2)) > 1e-9  # (T,)
        assert heard.tolist() == [t in hears for t in range(T)]


def test_a_silent_block_changes_nothing_thanks_to_its_residual(w, x):
    silent = without(w, "self_attn.out_proj", "linear2")
    torch.testing.assert_close(minimal.block_v4(x, silent, HEADS), x, rtol=0, atol=0)
    assert minimal.block_v1(x, silent, HEADS).abs().max() == 0


def test_a_norm_hides_the_size_of_the_path_from_the_parts(w, x):
    """What block 4 adds depends on the direction of x alone; what block 3 adds grows with x."""
    kept = without(w, "linear2")  # the attention's part: it reads x itself
    added = [minimal.block_v4(c * x, kept, HEADS) - c * x for c in (1e3, 1e4)]
    torch.testing.assert_close(added[0], added[1], rtol=1e-6, atol=1e-6)
    grown = [minimal.block_v3(c * x, kept, HEADS) - c * x for c in (1e3, 1e4)]
    assert grown[1].norm() > 5 * grown[0].norm()
    plain = {"weight": torch.ones(D).double(), "bias": torch.zeros(D).double()}
    sizes = minimal.norm(1e3 * x, plain).square().mean(-1)
    torch.testing.assert_close(sizes, torch.ones_like(sizes))


def test_without_positions_order_is_not_seen(w, x):
    turned = torch.tensor([3, 0, 4, 2, 1])
    found = minimal.block_v4(x[:, turned], w, HEADS)
    torch.testing.assert_close(found, minimal.block_v4(x, w, HEADS)[:, turned])
    p = minimal.places(T, D).double()
    placed = minimal.block_v4(x[:, turned] + p, w, HEADS)
    assert not torch.allclose(placed, minimal.block_v4(x + p, w, HEADS)[:, turned])


def layers_to_the_end(size: int, sees) -> int:
    """How many layers until the last place depends on the first: sees(place, seen, layer)."""
    reached = {0}
    for layer in range(size):
        if size - 1 in reached:
            return layer
        reached = {t for t in range(size) if any(sees(t, s, layer) for s in reached)}
    raise AssertionError("the last place never hears of the first")


def test_the_table_of_ways_on_page_1():
    """S = 64. Width 9: four places to either side. Dilated: three taps, 1, 2, 4 ... apart."""
    window = layers_to_the_end(64, lambda t, s, _: abs(t - s) <= 4)
    dilated = layers_to_the_end(64, lambda t, s, layer: abs(t - s) in (0, 2**layer))
    attention = layers_to_the_end(64, lambda t, s, _: True)
    assert (window, dilated, attention) == (16, 6, 1)
    assert window == math.ceil((64 - 1) / 4)
    assert dilated == math.log2(64)


def test_the_sizes_of_tokens_and_places():
    """Pages 2 and 4: a place has length sqrt(D / 2) exactly, a row of E about 1."""
    lengths = minimal.places(50, 128).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((50,), 8.0))
    torch.manual_seed(0)
    table = TranslationTransformer(500, 128, 4, 1).embedding.weight.detach()[1:]
    assert 0.95 < float(table.norm(dim=1).mean()) < 1.05


# --- The numbers of page 1 ---


def by_hand() -> tuple[Tensor, dict[str, Tensor]]:
    """Three tokens of width 4; projections that change nothing; a feed-forward that takes |x|."""
    table = torch.tensor([[1, -1, 1, -1], [1, 1, -1, -1], [-1, 1, 1, -1]]).double() / 2
    x = 2 * table + minimal.places(3, 4)
    same, none = torch.eye(4).double(), torch.zeros(4).double()
    w = {
        "self_attn.in_proj_weight": same.repeat(3, 1),
        "self_attn.in_proj_bias": none.repeat(3),
        "self_attn.out_proj.weight": same,
        "self_attn.out_proj.bias": none,
        "linear1.weight": torch.cat([same, -same]),
        "linear1.bias": none.repeat(2),
        "linear2.weight": torch.cat([same, same], dim=1),
        "linear2.bias": none,
    }
    w |= {f"norm{n}.weight": torch.ones(4).double() for n in (1, 2)}
    return x[None], w | {f"norm{n}.bias": none for n in (1, 2)}


def rows(x: Tensor) -> list[list[str]]:
    return [[f"{number:.2f}".replace("-0.00", "0.00") for number in row] for row in x.tolist()]


def test_one_block_by_hand():
    x, w = by_hand()
    assert rows(x[0]) == [
        ["1.00", "0.00", "1.00", "0.00"],
        ["1.84", "1.54", "-0.99", "0.00"],
        ["-0.09", "0.58", "1.02", "0.00"],
    ]
    n = minimal.norm(x, minimal.under(w, "norm1"))
    assert rows(n[0]) == [
        ["1.00", "-1.00", "1.00", "-1.00"],
        ["1.08", "0.82", "-1.38", "-0.52"],
        ["-1.04", "0.45", "1.42", "-0.84"],
    ]
    heads = n[0].unflatten(-1, (2, 2)).transpose(0, 1)  # (h, S, d)
    scores = heads @ heads.mT / math.sqrt(2)
    assert rows(scores[:, 0]) == [["1.41", "0.18", "-1.06"], ["1.41", "-0.61", "1.60"]]
    assert rows(scores[:, 0].softmax(-1)) == [["0.73", "0.21", "0.06"], ["0.43", "0.06", "0.51"]]
    found = minimal.attention(n, n, minimal.under(w, "self_attn"), 2, None)
    assert rows(found[0])[0] == ["0.89", "-0.52", "1.08", "-0.89"]
    between = x + found
    assert rows(between[0])[0] == ["1.89", "-0.52", "2.08", "-0.89"]
    n = minimal.norm(between, minimal.under(w, "norm2"))
    assert rows(n[0])[0] == ["0.92", "-0.86", "1.06", "-1.13"]
    torch.testing.assert_close(minimal.feed_forward(n, w), n.abs())
    out = minimal.block_v4(x, w, 2)
    torch.testing.assert_close(out, between + n.abs())
    assert rows(out[0]) == [
        ["2.82", "0.34", "3.14", "0.24"],
        ["3.83", "2.67", "-0.64", "0.00"],
        ["0.24", "1.38", "3.62", "0.17"],
    ]


def test_the_table_of_shapes_of_page_1():
    """B = 1, S = 3, T = 2, D = 4, h = 2, F = 8, V = 9, from the network itself."""
    model = TranslationTransformer(9, 4, 2, 1, 8).eval()
    seen: dict[str, tuple[int, ...]] = {}
    for part in ("encoder", "decoder"):
        layer = getattr(model.transformer, part).layers[0]
        for name in ("linear1", "linear2"):
            getattr(layer, name).register_forward_hook(
                lambda _, __, out, name=f"{part}.{name}": seen.update({name: tuple(out.shape)})
            )
    own, read, kept = [], [], []
    memory, hidden = model.encode(torch.tensor([[2, 3, 4]]), kept)
    states = model.decode(torch.tensor([[1, 5]]), memory, hidden, own, read)
    assert kept[0].shape == (1, 2, 3, 3)
    assert (own[0].shape, read[0].shape) == ((1, 2, 2, 2), (1, 2, 2, 3))
    assert (memory.shape, states.shape) == ((1, 3, 4), (1, 2, 4))
    assert model.logits(states).shape == (1, 2, 9)
    assert (seen["encoder.linear1"], seen["decoder.linear1"]) == ((1, 3, 8), (1, 2, 8))
    assert (seen["encoder.linear2"], seen["decoder.linear2"]) == ((1, 3, 4), (1, 2, 4))
