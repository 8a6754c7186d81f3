"""The two blocks against PyTorch's, over a grid; what the residual path and the norm do."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_08_transformer_vanilla.layers import Block, DecoderLayer, EncoderLayer, looking
from utils.model_summary import parameter_count

B, T, S, D, HEADS, FFN = 2, 3, 4, 6, 2, 10
LAYOUTS = ("steps first", "batch first", "no batch")
PAIRS: dict[str, tuple[type[nn.Module], type[Block]]] = {
    "encoder": (nn.TransformerEncoderLayer, EncoderLayer),
    "decoder": (nn.TransformerDecoderLayer, DecoderLayer),
}
VARIANTS = [  # activation, bias, layer_norm_eps: each value meets each mask within the grid
    ("relu", True, 1e-5),
    ("gelu", False, 1e-3),
    (F.silu, True, 1e-3),
    ("gelu", True, 1e-5),
    ("relu", False, 1e-5),
]
MASKS = ("none", "bool", "bool 3-D", "float", "float 3-D", "padding", "float padding", "both",
         "both float", "causal")  # fmt: skip


def pair(kind: str, dtype: torch.dtype = torch.float64, **options) -> tuple[nn.Module, nn.Module]:
    """PyTorch's layer and ours with the same weights; biases and gains are not 0 and 1."""
    made = [layer(D, HEADS, FFN, 0.0, dtype=dtype, **options) for layer in PAIRS[kind]]
    with torch.no_grad():
        for name, weight in made[0].named_parameters():
            weight.copy_(torch.randn_like(weight) * 0.5 + ("norm" in name and "weight" in name))
    made[1].load_state_dict(made[0].state_dict(), strict=True)
    return tuple(made)


def inputs(kind: str, layout: str, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """src, or tgt and memory, in one of the three layouts."""

    def made(steps: int) -> Tensor:
        x = torch.randn(B, steps, D, dtype=dtype)
        x = {"steps first": x.transpose(0, 1), "batch first": x, "no batch": x[0]}[layout]
        return x.contiguous().requires_grad_()

    return [made(T)] if kind == "encoder" else [made(T), made(S)]


def mask_pair(kind: str, queries: int, keys: int, batch: int, dtype=torch.float64) -> tuple:
    """(attention mask, padding mask) of one of MASKS, True = hidden; every query sees a key."""
    wide = "3-D" in kind or kind.startswith("both")
    hidden = torch.rand((batch * HEADS, queries, keys) if wide else (queries, keys)) < 0.5
    if kind == "causal":
        hidden = torch.ones(queries, keys, dtype=torch.bool).triu(1)
    hidden[..., 0] = False
    padding = torch.arange(keys) >= torch.tensor([keys, 2])[:, None]  # (B, S)
    padding = padding if batch > 1 else padding[1]
    if "float" in kind:
        values = torch.randn(hidden.shape, dtype=dtype)
        hidden = values.masked_fill(hidden, -torch.inf)
        padding = torch.zeros(padding.shape, dtype=dtype).masked_fill(padding, -torch.inf)
    attention = None if kind == "none" or "padding" in kind else hidden
    return attention, padding if "padding" in kind or kind.startswith("both") else None


def options_of(kind: str, mask: str, batch: int, dtype=torch.float64) -> dict:
    """The masks of `mask` as the layer's arguments, its own and, in a decoder, the memory's."""
    attention, padding = mask_pair(mask, T, T, batch, dtype)
    own = "src" if kind == "encoder" else "tgt"
    found = {f"{own}_mask": attention, f"{own}_key_padding_mask": padding}
    found["is_causal" if kind == "encoder" else "tgt_is_causal"] = mask == "causal"
    if kind == "decoder":
        attention, padding = mask_pair("none" if mask == "causal" else mask, T, S, batch, dtype)
        found |= {"memory_mask": attention, "memory_key_padding_mask": padding}
    return found


def results(layer: nn.Module, given: list[Tensor], **options) -> list[Tensor]:
    """The output and the gradients of a random weighting of it: of inputs and parameters."""
    out = layer(*given, **options)
    draw = torch.Generator().manual_seed(5)
    loss = (out * torch.randn(out.shape, generator=draw, dtype=torch.float64).to(out)).sum()
    return [out, *torch.autograd.grad(loss, [*given, *layer.parameters()])]


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", PAIRS)
def test_equal_to_torch_over_a_grid(kind, layout, norm_first):
    """Output and every gradient; every mask with every activation, bias on and off, two eps."""
    torch.manual_seed(3)
    for mask, (activation, bias, eps) in itertools.product(MASKS, VARIANTS):
        options = {"activation": activation, "bias": bias, "layer_norm_eps": eps}
        options |= {"norm_first": norm_first, "batch_first": layout == "batch first"}
        theirs, ours = pair(kind, **options)
        given = inputs(kind, layout)
        masks = options_of(kind, mask, 1 if layout == "no batch" else B)
        expected, found = (results(layer, given, **masks) for layer in (theirs, ours))
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("kind", PAIRS)
def test_single_precision(kind, norm_first):
    torch.manual_seed(0)
    for mask in MASKS:
        theirs, ours = pair(kind, torch.float32, norm_first=norm_first, batch_first=True)
        given = inputs(kind, "batch first", torch.float32)
        masks = options_of(kind, mask, B, torch.float32)
        expected, found = (results(layer, given, **masks) for layer in (theirs, ours))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_evaluation_equals_torchs_fast_path(norm_first, activation, monkeypatch):
    """Without gradients PyTorch runs the whole layer as one kernel. It counts only if it ran."""
    ran = []
    kernel = torch._transformer_encoder_layer_fwd
    monkeypatch.setattr(
        torch, "_transformer_encoder_layer_fwd", lambda *args: ran.append(1) or kernel(*args)
    )
    torch.manual_seed(0)
    theirs, ours = pair(
        "encoder", torch.float32, norm_first=norm_first, activation=activation, batch_first=True
    )
    masks = ("none", "bool", "padding", "causal")
    with torch.no_grad():
        for mask in masks:
            (x,) = inputs("encoder", "batch first", torch.float32)
            options = options_of("encoder", mask, B)
            expected, found = (layer.eval()(x, **options) for layer in (theirs, ours))
            real = ~options["src_key_padding_mask"] if mask == "padding" else ...
            torch.testing.assert_close(found[real], expected[real], rtol=1e-4, atol=1e-5)
    assert len(ran) == len(masks)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("kind", PAIRS)
def test_dropout_draws_torchs_numbers(kind, norm_first):
    """In training the same units fall out under the same seed; in evaluation none.

    Without a batch: with one, PyTorch's attention leaves its output in another order in memory,
    and dropout draws in that order.
    """
    theirs, ours = pair(kind, norm_first=norm_first)
    for layer in (theirs, ours):
        for module in layer.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.3
            elif hasattr(module, "dropout") and hasattr(module, "num_heads"):
                module.dropout = 0.3
    given, found = inputs(kind, "no batch"), []
    for layer in (theirs, ours, theirs, ours):
        layer.train(len(found) < 2)
        torch.manual_seed(1)
        found.append(layer(*given))
    torch.testing.assert_close(found[1], found[0], rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(found[3], found[2], rtol=1e-7, atol=1e-9)
    assert not torch.allclose(found[1], found[3])


def test_dropout_drops_the_expected_share():
    """Of what a sublayer adds, in pre-norm: a unit that is dropped leaves the stream as it was."""
    share, drawn = 0.25, 40_000
    layer = EncoderLayer(4, 1, 4, dropout=share, norm_first=True)
    x = torch.randn(1, drawn // 4, 4)
    added = layer.around(x, 2, lambda normed: torch.ones_like(normed)) - x
    dropped = added.abs() < 1e-6
    torch.testing.assert_close(added[~dropped], torch.full_like(added[~dropped], 1 / (1 - share)))
    deviation = (share * (1 - share) / drawn) ** 0.5
    assert abs(float(dropped.float().mean()) - share) < 5 * deviation
    assert torch.equal(layer.eval().around(x, 2, torch.ones_like), x + 1)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", PAIRS)
def test_the_same_seed_gives_torchs_starting_weights(kind, bias):
    states = []
    for layer in PAIRS[kind]:
        torch.manual_seed(7)
        states.append(layer(D, HEADS, FFN, bias=bias).state_dict())
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    PAIRS[kind][0](D, HEADS, FFN, bias=bias).load_state_dict(states[1], strict=True)


@pytest.mark.parametrize("kind", PAIRS)
def test_the_default_arguments_are_torchs(kind):
    """2048 units, dropout 0.1, ReLU, post-norm: only the two sizes are given."""
    theirs, ours = (layer(D, HEADS) for layer in PAIRS[kind])
    ours.load_state_dict(theirs.state_dict(), strict=True)
    given = inputs(kind, "no batch", torch.float32)  # dropout draws alike, see above
    outputs = []
    for layer in (theirs, ours):
        torch.manual_seed(0)
        outputs.append(layer(*given))
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm_first", [False, True])
def test_is_causal_alone_is_the_causal_mask(norm_first):
    """PyTorch wants the mask beside it; here the flag is enough."""
    torch.manual_seed(0)
    theirs, ours = pair("decoder", norm_first=norm_first, batch_first=True)
    tgt, memory = inputs("decoder", "batch first")
    mask = torch.ones(T, T, dtype=torch.bool).triu(1)
    expected = theirs(tgt, memory, tgt_mask=mask, tgt_is_causal=True)
    torch.testing.assert_close(ours(tgt, memory, tgt_is_causal=True), expected)
    assert not torch.allclose(ours(tgt, memory), expected)
    mask = torch.ones(T, S, dtype=torch.bool).triu(1)  # of the memory: top left
    expected = theirs(tgt, memory, memory_mask=mask, memory_is_causal=True)
    torch.testing.assert_close(ours(tgt, memory, memory_is_causal=True), expected)
    assert not torch.allclose(ours(tgt, memory), expected)


# --- What page 3 says ---


def test_the_example_of_page_3_by_hand():
    """x = (1, 3), a sublayer that adds (2, -2): the sum (3, 1) as it is, or normalised."""
    x = torch.tensor([1.0, 3.0])
    seen: list[Tensor] = []

    def sublayer(read: Tensor) -> Tensor:
        seen.append(read)
        return torch.tensor([2.0, -2.0])

    expected = {False: ([1.0, 3.0], [1.0, -1.0]), True: ([-1.0, 1.0], [3.0, 1.0])}
    for norm_first, (read, out) in expected.items():
        layer = EncoderLayer(2, 1, 2, dropout=0.0, layer_norm_eps=0.0, norm_first=norm_first)
        torch.testing.assert_close(layer.around(x, 1, sublayer), torch.tensor(out))
        torch.testing.assert_close(seen.pop(), torch.tensor(read))


def test_the_feed_forward_is_a_lookup_without_softmax():
    """W2 f(W1 x + b1) + b2 = sum_i f(k_i x + b_i) v_i + b2: rows of W1, columns of W2."""
    torch.manual_seed(0)
    layer = EncoderLayer(D, HEADS, FFN, dropout=0.0, dtype=torch.float64)
    x = torch.randn(T, D, dtype=torch.float64)
    keys, values = layer.linear1.weight, layer.linear2.weight.T  # (F, D) each
    found = torch.zeros(T, D, dtype=torch.float64)
    for key, shift, value in zip(keys, layer.linear1.bias, values, strict=True):
        found += F.relu(x @ key + shift)[:, None] * value
    torch.testing.assert_close(layer.feed_forward(x), found + layer.linear2.bias)


def test_the_feed_forward_sees_one_place_at_a_time():
    torch.manual_seed(0)
    layer = EncoderLayer(D, HEADS, FFN, dropout=0.0)
    x = torch.randn(B, T, D)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(layer.feed_forward(x[:, order]), layer.feed_forward(x)[:, order])
    torch.testing.assert_close(layer.feed_forward(x)[0, 1], layer.feed_forward(x[0, 1]))


def test_the_path_of_pre_norm_is_the_identity():
    """Sublayers that add nothing: pre-norm hands on x, post-norm its normalised form."""
    x = torch.randn(B, T, D, dtype=torch.float64)
    for norm_first in (False, True):
        layer = EncoderLayer(D, HEADS, FFN, 0.0, norm_first=norm_first, dtype=torch.float64)
        nothing = torch.zeros_like
        found = layer.around(layer.around(x, 1, nothing), 2, nothing)
        normed = F.layer_norm(x, (D,))
        torch.testing.assert_close(found, x if norm_first else normed, rtol=1e-4, atol=1e-4)
        assert torch.equal(found, x) == norm_first


def test_the_jacobian_of_the_norm_on_the_path():
    """(I - 11'/D - xx'/D) / s, with x the normalised sum and s its deviation: page 3's formula."""
    torch.manual_seed(0)
    z = 3 * torch.randn(D, dtype=torch.float64)
    found = torch.autograd.functional.jacobian(lambda given: F.layer_norm(given, (D,), eps=0), z)
    spread = z.std(unbiased=False)
    normed, ones = (z - z.mean()) / spread, torch.ones(D, dtype=torch.float64)
    taken = torch.outer(ones, ones) / D + torch.outer(normed, normed) / D
    torch.testing.assert_close(found, (torch.eye(D, dtype=torch.float64) - taken) / spread)
    assert torch.linalg.matrix_rank(found) == D - 2


@pytest.mark.parametrize(("width", "ffn"), [(6, 24), (16, 64), (128, 512)])
def test_the_parameter_shares(width, ffn):
    """4 D^2 + 4 D an attention, 2 D F + F + D the feed-forward, 2 D a norm."""
    attention, norm = 4 * width**2 + 4 * width, 2 * width
    feed_forward = 2 * width * ffn + ffn + width
    encoder, decoder = EncoderLayer(width, 2, ffn), DecoderLayer(width, 2, ffn)
    assert parameter_count(encoder) == attention + feed_forward + 2 * norm
    assert parameter_count(decoder) == 2 * attention + feed_forward + 3 * norm
    if width == 128:  # page 7's numbers
        assert (parameter_count(encoder), parameter_count(decoder)) == (198_272, 264_576)


# --- Looks ---


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_look_that_keeps_its_weights_gives_the_same_output(norm_first):
    torch.manual_seed(0)
    _, ours = pair("decoder", norm_first=norm_first, batch_first=True)
    tgt, memory = inputs("decoder", "batch first")
    own, read = [], []
    found = ours.through(
        tgt,
        looking(ours.self_attn, kept=own, is_causal=True),
        looking(ours.multihead_attn, memory, kept=read),
    )
    torch.testing.assert_close(found, ours(tgt, memory, tgt_is_causal=True))
    assert [w.shape for w in own] == [(B, HEADS, T, T)]
    assert [w.shape for w in read] == [(B, HEADS, T, S)]
    for weights in (*own, *read):
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert not own[0].triu(1).any()


@pytest.mark.parametrize("layer", [EncoderLayer, DecoderLayer])
def test_wrong_arguments(layer):
    with pytest.raises(ValueError, match=r"activation must be one of .*'relu', 'gelu'.*'tanh'"):
        layer(D, HEADS, activation="tanh")
    with pytest.raises(ValueError, match="num_heads 4 must divide embed_dim 6"):
        layer(D, 4)


def test_wrong_shapes():
    layer = DecoderLayer(D, HEADS, FFN, batch_first=True)
    tgt = torch.zeros(B, T, D)
    with pytest.raises(ValueError, match="do not fit together"):
        layer(tgt, torch.zeros(B + 1, S, D))
    with pytest.raises(ValueError, match="the last 6, 6 and 6"):
        layer(tgt, torch.zeros(B, S, D + 1))
    with pytest.raises(ValueError, match=r"attn_mask must be \(3, 4\)"):
        layer(tgt, torch.zeros(B, S, D), memory_mask=torch.zeros(S, T, dtype=torch.bool))
