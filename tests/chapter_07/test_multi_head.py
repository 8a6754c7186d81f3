"""Multi-head attention against PyTorch's, over a grid; empty rows, masks, heads, shapes."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from chapter_07_attention_mechanism.multi_head import MultiheadAttention, merge_heads, split_heads
from utils.model_summary import parameter_count

B, T, S, D, HEADS = 2, 3, 4, 6, 2
LAYOUTS = ("steps first", "batch first", "no batch")
INPUTS = {  # which tensors are one, and the widths of keys and values
    "self": (True, True, D, D),
    "cross": (False, True, D, D),
    "three": (False, False, D, D),
    "other widths": (False, False, 5, 3),
}
EXTRAS = [
    {"add_bias_kv": a, "add_zero_attn": b} for a, b in itertools.product((False, True), repeat=2)
]
MASKS = ("none", "bool 2-D", "bool 3-D", "float 2-D", "float 3-D", "padding", "float padding",
         "both", "both float")  # fmt: skip


def inputs(kind: str, layout: str, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """query, key, value in one of the three layouts; S = T in self-attention."""
    query_is_key, key_is_value, kdim, vdim = INPUTS[kind]

    def made(steps: int, width: int) -> Tensor:
        x = torch.randn(B, steps, width, dtype=dtype)
        x = {"steps first": x.transpose(0, 1), "batch first": x, "no batch": x[0]}[layout]
        return x.contiguous().requires_grad_()

    query = made(T, D)
    key = query if query_is_key else made(S, kdim)
    return [query, key, key if key_is_value else made(S, vdim)]


def masks(kind: str, keys: int, batch: int, dtype: torch.dtype = torch.float64) -> dict:
    """attn_mask and key_padding_mask of a kind, as PyTorch wants them; no row is left empty."""
    shape = (batch * HEADS, T, keys) if "3-D" in kind or kind.startswith("both") else (T, keys)
    hidden = torch.rand(shape) < 0.5
    hidden[..., 0] = False
    padded = torch.arange(keys) >= torch.tensor([keys, 2])[:batch, None]  # (B, S)
    attention, padding = hidden, padded if batch > 1 else padded[0]
    if "float" in kind:
        attention = torch.randn(shape, dtype=dtype).masked_fill(hidden, -torch.inf)
        padding = torch.zeros(padding.shape, dtype=dtype).masked_fill(padding, -torch.inf)
    found = {"attn_mask": attention, "key_padding_mask": padding}
    if kind == "none":
        return {}
    return found if kind.startswith("both") else {
        name: mask for name, mask in found.items() if (name[0] == "k") == ("padding" in kind)
    }  # fmt: skip


def pair(kind: str, layout: str, **options) -> tuple[nn.Module, nn.Module]:
    """PyTorch's module and ours with the same weights, biases not zero."""
    _, _, kdim, vdim = INPUTS[kind]
    options |= {"kdim": kdim, "vdim": vdim, "batch_first": layout == "batch first"}
    theirs = nn.MultiheadAttention(D, HEADS, dtype=torch.float64, **options)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter)
    ours = MultiheadAttention(D, HEADS, dtype=torch.float64, **options)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def results(module: nn.Module, given: list[Tensor], **options) -> list[Tensor]:
    """Output, weights if asked for, and the gradients of a random weighting of both."""
    values = [value for value in module(*given, **options) if value is not None]
    draw = torch.Generator().manual_seed(5)
    loss = sum(
        (value * torch.randn(value.shape, generator=draw, dtype=torch.float64)).sum()
        for value in values
    )
    wanted = list({id(x): x for x in given}.values()) + list(module.parameters())
    return values + list(torch.autograd.grad(loss, wanted))


@pytest.mark.filterwarnings("ignore:Support for mismatched")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", INPUTS)
def test_equal_to_torch_over_a_grid(kind, layout):
    """Values and all gradients; every mask with every pair of extra keys, weights on and off."""
    torch.manual_seed(3)
    for index, (extra, mask) in enumerate(itertools.product(EXTRAS, MASKS)):
        theirs, ours = pair(kind, layout, bias=index % 3 > 0, **extra)
        given = inputs(kind, layout)
        batch, keys = (1 if layout == "no batch" else B), (T if kind == "self" else S)
        options = masks(mask, keys, batch)
        for weights in ({"need_weights": False}, {"average_attn_weights": bool(index % 2)}):
            expected = results(theirs, given, **options, **weights)
            found = results(ours, given, **options, **weights)
            torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", INPUTS)
def test_single_precision(kind):
    torch.manual_seed(0)
    theirs, ours = pair(kind, "batch first")
    theirs, ours = theirs.float(), ours.float()
    given = inputs(kind, "batch first", torch.float32)
    for mask in MASKS:
        options = masks(mask, T if kind == "self" else S, B, torch.float32)
        found, expected = ours(*given, **options), theirs(*given, **options)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_half_precision_is_as_near_as_torchs_own():
    """bf16, every dimension below 64: both are compared with the same numbers in float64."""
    torch.manual_seed(0)
    theirs, ours = pair("self", "batch first")
    given = inputs("self", "batch first")
    exact = theirs(*given)[0].detach()
    half = [given[0].detach().to(torch.bfloat16)] * 3
    errors = [
        float((module.to(torch.bfloat16)(*half)[0].detach().double() - exact).abs().max())
        for module in (theirs, ours)
    ]
    assert 0 < max(errors) < 0.03 * float(exact.abs().max())


def test_evaluation_equals_torchs_fast_path():
    """Without gradients PyTorch runs another kernel (self-attention, batch first)."""
    torch.manual_seed(0)
    theirs, ours = pair("self", "batch first")
    theirs, ours = theirs.eval(), ours.eval()
    given = inputs("self", "batch first")
    with torch.no_grad():
        for mask in ("none", "bool 2-D", "padding"):
            options = masks(mask, T, B)
            torch.testing.assert_close(ours(*given, **options), theirs(*given, **options))


@pytest.mark.parametrize("need_weights", [True, False])
def test_dropout_draws_torchs_numbers(need_weights):
    """Of the weights, in training only, and the same ones under the same seed."""
    theirs, ours = pair("cross", "batch first", dropout=0.5)
    given = inputs("cross", "batch first")
    outputs = []
    for module in (theirs, ours, ours.eval(), theirs.eval()):
        torch.manual_seed(1)
        outputs.append(module(*given, need_weights=need_weights))
        module.train()
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(outputs[2], outputs[3], rtol=1e-7, atol=1e-9)
    assert not torch.allclose(outputs[1][0], outputs[2][0])


@pytest.mark.parametrize("kind", INPUTS)
def test_the_same_seed_gives_torchs_starting_weights(kind):
    states = []
    for module in (nn.MultiheadAttention, MultiheadAttention):
        torch.manual_seed(7)
        _, _, kdim, vdim = INPUTS[kind]
        states.append(module(D, HEADS, kdim=kdim, vdim=vdim, add_bias_kv=True).state_dict())
    assert set(states[0]) == set(states[1])
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    theirs = nn.MultiheadAttention(D, HEADS, kdim=kdim, vdim=vdim, add_bias_kv=True)
    theirs.load_state_dict(states[1], strict=True)


@pytest.mark.parametrize("mask", MASKS)
def test_weights_on_and_off_give_the_same_output(mask):
    """Not only nearly, also with dropout; averaged weights are the mean of the single ones."""
    _, ours = pair("cross", "batch first", dropout=0.3)
    given, options = inputs("cross", "batch first"), masks(mask, S, B)
    found = []
    for wish in ({"need_weights": False}, {}, {"average_attn_weights": False}):
        torch.manual_seed(2)
        found.append(ours(*given, **options, **wish))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][0], found[2][0])
    assert found[0][1] is None
    assert found[1][1].shape == (B, T, S) and found[2][1].shape == (B, HEADS, T, S)
    torch.testing.assert_close(found[1][1], found[2][1].mean(1))


@pytest.mark.parametrize("way", ["attn_mask", "key_padding_mask", "together", "float"])
def test_a_query_that_sees_nothing_gets_zeros_and_finite_gradients(way):
    """PyTorch with need_weights=True: NaN, forward and in every gradient."""
    theirs, ours = pair("cross", "batch first")
    given = inputs("cross", "batch first")
    options = empty_row(way)
    for need_weights in (True, False):
        values = ours(*given, **options, need_weights=need_weights)
        torch.testing.assert_close(values[0][0, 1], ours.out_proj.bias)  # zeros, then W^O and b
        if need_weights:
            assert torch.equal(values[1][0, 1], torch.zeros(S, dtype=torch.float64))
        found = results(ours, given, **options, need_weights=need_weights)
        assert all(value.isfinite().all() for value in found)
    if all(value.isfinite().all() for value in results(theirs, given, **options)):
        pytest.skip("this PyTorch has mended pytorch#41508: say so in multi_head.py and on page 5")


def empty_row(way: str) -> dict[str, Tensor]:
    """Masks under which query 1 of the first sequence may look nowhere."""
    hidden = torch.zeros(B * HEADS, T, S, dtype=torch.bool)
    padded = torch.zeros(B, S, dtype=torch.bool)
    if way == "key_padding_mask":
        padded[0] = True
        return {"key_padding_mask": padded}
    if way == "together":  # the row is empty in neither of the two alone
        hidden[:, 1, 2:], padded[0, :2] = True, True
        return {"attn_mask": hidden, "key_padding_mask": padded}
    hidden[:HEADS, 1] = True
    bias = torch.zeros(hidden.shape, dtype=torch.float64).masked_fill(hidden, -torch.inf)
    return {"attn_mask": bias if way == "float" else hidden}


def test_is_causal_with_and_without_a_mask():
    theirs, ours = pair("self", "batch first")
    given = inputs("self", "batch first")
    hidden = torch.ones(T, T, dtype=torch.bool).triu(1)
    for need_weights in (True, False):
        wish = {"need_weights": need_weights, "is_causal": True}
        expected = theirs(*given, attn_mask=hidden, **wish)
        torch.testing.assert_close(ours(*given, attn_mask=hidden, **wish), expected)
        torch.testing.assert_close(ours(*given, **wish), expected)  # PyTorch refuses
        with pytest.raises(RuntimeError, match="Need attn_mask"):
            theirs(*given, **wish)


def test_a_mask_is_removal():
    """Hiding keys gives what attention over the other keys alone gives."""
    _, ours = pair("cross", "batch first")
    query, key, _ = inputs("cross", "batch first")
    hidden = torch.tensor([False, True, False, True])
    rest = key[:, ~hidden]
    expected, weights = ours(query, rest, rest)
    found, masked = ours(query, key, key, key_padding_mask=hidden.expand(B, S))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(masked[..., ~hidden], weights)
    assert not masked[..., hidden].any()


def test_heads_are_columns():
    x = torch.arange(24.0).view(1, 4, 6)
    heads = split_heads(x, 3)
    assert heads.shape == (1, 3, 4, 2) and heads.data_ptr() == x.data_ptr()
    assert torch.equal(heads[0, 1], x[0, :, 2:4])
    assert torch.equal(merge_heads(heads), x)


# --- Properties that page 5 proves ---


def test_the_example_of_page_5_by_hand():
    """One head blends the two values; each of two heads finds its own key."""
    q, k = torch.tensor([[3.0, 0, 0, 3]]), torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1]])
    v = torch.tensor([[1.0] * 4, [2.0] * 4])
    expected = {
        1: ([[0.5, 0.5]], [1.5] * 4),
        2: ([[0.893, 0.107], [0.107, 0.893]], [1.107, 1.107, 1.893, 1.893]),
    }
    for heads, (weights, output) in expected.items():
        module = MultiheadAttention(4, heads, bias=False)
        module.in_proj_weight.data = torch.eye(4).repeat(3, 1)
        module.out_proj.weight.data = torch.eye(4)
        found, found_weights = module(q, k, v, average_attn_weights=False)
        torch.testing.assert_close(found[0], torch.tensor(output), atol=5e-4, rtol=0)
        torch.testing.assert_close(found_weights[:, 0], torch.tensor(weights), atol=5e-4, rtol=0)


@pytest.mark.parametrize("heads", [1, 2, 6])
def test_the_parameter_count(heads):
    """4 D^2 + 4 D, whatever the number of heads; D (2 D + kdim + vdim) + 4 D with other widths."""
    count = parameter_count(MultiheadAttention(D, heads))
    assert count == 4 * D * D + 4 * D
    assert 4 * 256**2 + 4 * 256 == 263_168 and 4 * 512**2 + 4 * 512 == 1_050_624
    count = parameter_count(MultiheadAttention(D, heads, kdim=5, vdim=3))
    assert count == D * (2 * D + 5 + 3) + 4 * D


def test_self_attention_is_permutation_equivariant():
    """f(P X) = P f(X): the rows moved, the outputs move along, and nothing else changes."""
    _, ours = pair("self", "batch first")
    x, _, _ = inputs("self", "batch first")
    order = torch.tensor([2, 0, 1])
    out, weights = ours(x, x, x)
    moved = x[:, order]
    found, found_weights = ours(moved, moved, moved)
    torch.testing.assert_close(found, out[:, order])
    torch.testing.assert_close(found_weights, weights[:, order][..., order])


def test_a_head_cannot_see_order():
    """Keys and values in any order give the same output: as invariant as a sum."""
    _, ours = pair("cross", "batch first")
    query, key, _ = inputs("cross", "batch first")
    moved = key[:, [3, 1, 0, 2]]
    torch.testing.assert_close(ours(query, moved, moved)[0], ours(query, key, key)[0])


def test_equal_rows_without_positions_get_equal_outputs():
    _, ours = pair("self", "batch first")
    x, _, _ = inputs("self", "batch first")
    x = x[:, [0, 1, 0]]
    out, _ = ours(x, x, x)
    torch.testing.assert_close(out[:, 0], out[:, 2])
    assert not torch.allclose(out[:, 0], out[:, 1])


def test_heads_cut_with_the_wrong_view_mix_places():
    """The right shape, other numbers: view(B, h, T, d) gives a head rows of half the tokens."""
    x = torch.arange(24.0).view(1, 4, 6)
    wrong = x.view(1, 2, 4, 3)
    assert wrong.shape == split_heads(x, 2).shape and not torch.equal(wrong, split_heads(x, 2))
    assert set(wrong[0, 0].flatten().tolist()) == set(x[0, :2].flatten().tolist())


def test_without_maps_a_place_looks_mostly_at_itself():
    """Scores x_i . x_j of vectors of one length: symmetric, and the largest on the diagonal."""
    x = nn.functional.normalize(torch.randn(5, 8), dim=-1)
    scores = x @ x.T
    torch.testing.assert_close(scores, scores.T)
    assert torch.equal(scores.argmax(-1), torch.arange(5))


@pytest.mark.parametrize("way", ["causal mask", "positions"])
def test_what_gives_a_head_order(way):
    """Added to each place, or one more key seen at each: then order changes the output."""
    _, ours = pair("self", "batch first")
    x, _, _ = inputs("self", "batch first")
    place = torch.randn(T, D, dtype=torch.float64) if way == "positions" else torch.zeros(())
    order = torch.tensor([2, 0, 1])
    found = []
    for given in (x, x[:, order]):
        rows = given + place
        found.append(ours(rows, rows, rows, is_causal=way == "causal mask")[0])
    assert not torch.allclose(found[0][:, order], found[1], atol=1e-3)


def test_a_head_alone_is_what_is_left_when_the_others_columns_of_the_last_weight_are_zero():
    """out = sum over heads of head_i W_i^O: one head can be taken out and the others stay."""
    _, ours = pair("self", "batch first", bias=False)
    x, _, _ = inputs("self", "batch first")
    whole, size = ours(x, x, x)[0], D // HEADS
    parts = []
    for head in range(HEADS):
        one = MultiheadAttention(D, HEADS, bias=False, batch_first=True, dtype=torch.float64)
        one.load_state_dict(ours.state_dict())
        others = [i for i in range(D) if i // size != head]
        one.out_proj.weight.data[:, others] = 0
        parts.append(one(x, x, x)[0])
    torch.testing.assert_close(sum(parts), whole)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attn_mask": torch.zeros(S, T).bool()}, r"attn_mask must be \(3, 4\) or \(4, 3, 4\)"),
        ({"attn_mask": torch.zeros(B, T, S).bool()}, r"not \(2, 3, 4\)"),
        ({"key_padding_mask": torch.zeros(S, B).bool()}, r"key_padding_mask must be \(2, 4\)"),
        ({"attn_mask": torch.zeros(T, S).long()}, "boolean .* or float, not torch.int64"),
    ],
)
def test_masks_of_the_wrong_shape_or_kind(options, words):
    module = MultiheadAttention(D, HEADS, batch_first=True)
    with pytest.raises(ValueError, match=words):
        module(torch.zeros(B, T, D), torch.zeros(B, S, D), torch.zeros(B, S, D), **options)


def test_inputs_of_the_wrong_shape():
    module = MultiheadAttention(D, HEADS, batch_first=True)
    x = torch.zeros(B, T, D)
    for wrong in (torch.zeros(B, S, 5), torch.zeros(S, D)):
        with pytest.raises(ValueError, match="the last 6, 6 and 6"):
            module(x, wrong, wrong)
    for key, value in ((torch.zeros(3, S, D), torch.zeros(3, S, D)), (x, torch.zeros(B, S, D))):
        with pytest.raises(ValueError, match="do not fit together"):
            module(x, key, value)
    with pytest.raises(ValueError, match="num_heads 4 must divide embed_dim 6"):
        MultiheadAttention(D, 4)
