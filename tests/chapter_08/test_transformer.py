"""The stacks and the whole network against PyTorch's; causality, padding, a task that is learnt."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_08_transformer_vanilla.layers import DecoderLayer, EncoderLayer
from chapter_08_transformer_vanilla.positions import KINDS
from chapter_08_transformer_vanilla.transformer import (
    Decoder,
    Encoder,
    Transformer,
    TranslationTransformer,
)
from utils.model_summary import parameter_count

B, T, S, D, HEADS, FFN = 2, 3, 4, 6, 2, 10
WORDS, PAD, BOS, EOS = 13, 0, 1, 2
LAYOUTS = ("steps first", "batch first", "no batch")
OPTIONS = [  # bias, activation, layer_norm_eps
    (True, "relu", 1e-5),
    (False, "gelu", 1e-3),
    (True, F.silu, 1e-3),
]
MASKS = ("none", "bool", "float", "padding", "float padding", "both", "causal")


def randomised(module: nn.Module) -> nn.Module:
    """No weight is left at 0 or 1, as biases and gains are at the start."""
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return module


def laid_out(x: Tensor, layout: str) -> Tensor:
    x = {"steps first": x.transpose(0, 1), "batch first": x, "no batch": x[0]}[layout]
    return x.contiguous().requires_grad_()


def inputs(layout: str, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """src of S steps and tgt of T steps."""
    return [laid_out(torch.randn(B, steps, D, dtype=dtype), layout) for steps in (S, T)]


def masks(kind: str, layout: str, dtype: torch.dtype = torch.float64) -> dict[str, Tensor | bool]:
    """The arguments of `nn.Transformer` for one of MASKS; True = hidden, no query sees nothing."""
    found: dict[str, Tensor | bool] = {}
    if kind == "causal":
        hidden = torch.ones(T, T, dtype=torch.bool).triu(1)
        return {"tgt_mask": hidden, "tgt_is_causal": True}
    shapes = {"src_mask": (S, S), "tgt_mask": (T, T), "memory_mask": (T, S)}
    if kind in ("bool", "float", "both"):
        for name, shape in shapes.items():
            hidden = torch.rand(shape) < 0.5
            hidden[:, 0] = False
            found[name] = hidden
    if "padding" in kind or kind == "both":
        for name, size in {"src": S, "tgt": T, "memory": S}.items():
            padded = torch.arange(size) >= torch.tensor([size, 2])[:, None]
            found[f"{name}_key_padding_mask"] = padded[1] if layout == "no batch" else padded
    if "float" in kind:
        found = {
            name: torch.randn(mask.shape, dtype=dtype).masked_fill(mask, -torch.inf)
            for name, mask in found.items()
        }
    return found


def results(module: nn.Module, given: list[Tensor], **options) -> list[Tensor]:
    """The output and all gradients of a random weighting of it."""
    out = module(*given, **options)
    draw = torch.Generator().manual_seed(5)
    loss = (out * torch.randn(out.shape, generator=draw, dtype=torch.float64).to(out)).sum()
    return [out, *torch.autograd.grad(loss, [*given, *module.parameters()])]


def pair(dtype: torch.dtype = torch.float64, layers: tuple[int, int] = (2, 2), **options) -> tuple:
    theirs, ours = (
        make(D, HEADS, *layers, FFN, 0.0, dtype=dtype, **options)
        for make in (nn.Transformer, Transformer)
    )
    ours.load_state_dict(randomised(theirs).state_dict(), strict=True)
    return theirs, ours


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_equal_to_torch_over_a_grid(layout, norm_first):
    """Every mask with every variant: output and gradients of inputs and parameters."""
    torch.manual_seed(3)
    for bias, activation, eps in OPTIONS:
        options = {"bias": bias, "activation": activation, "layer_norm_eps": eps}
        options |= {"norm_first": norm_first, "batch_first": layout == "batch first"}
        theirs, ours = pair(**options)
        for mask in MASKS:
            given, arguments = inputs(layout), masks(mask, layout)
            expected, found = (results(module, given, **arguments) for module in (theirs, ours))
            torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("norm_first", [False, True])
def test_single_precision(norm_first):
    torch.manual_seed(0)
    theirs, ours = pair(torch.float32, norm_first=norm_first, batch_first=True)
    for mask in MASKS:
        given = inputs("batch first", torch.float32)
        arguments = masks(mask, "batch first", torch.float32)
        expected, found = (results(module, given, **arguments) for module in (theirs, ours))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("last_norm", [False, True])
def test_stacks_equal_torchs(norm_first, last_norm):
    """Each stack alone, with and without a norm at its end; ours also around PyTorch's layers."""
    torch.manual_seed(0)
    options = {"dropout": 0.0, "norm_first": norm_first, "dtype": torch.float64}
    for theirs, ours, layer, own in (
        (nn.TransformerEncoder, Encoder, nn.TransformerEncoderLayer, EncoderLayer),
        (nn.TransformerDecoder, Decoder, nn.TransformerDecoderLayer, DecoderLayer),
    ):
        norm = nn.LayerNorm(D, dtype=torch.float64) if last_norm else None
        expected = randomised(theirs(layer(D, HEADS, FFN, **options), 3, norm))
        src, tgt = inputs("steps first")
        given = [src] if ours is Encoder else [tgt, src]
        size = len(given[0])
        mask = nn.Transformer.generate_square_subsequent_mask(size, dtype=torch.float64)
        causal = {"mask": mask, "is_causal": True}
        arguments = causal if ours is Encoder else {f"tgt_{k}": v for k, v in causal.items()}
        wanted = results(expected, given, **arguments)
        for inner in (own, layer):
            found = ours(inner(D, HEADS, FFN, **options), 3, norm)
            found.load_state_dict(expected.state_dict(), strict=True)
            torch.testing.assert_close(
                results(found, given, **arguments), wanted, rtol=1e-7, atol=1e-9
            )


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_evaluation_equals_torchs_fast_path(monkeypatch):
    """Without gradients PyTorch cuts the padding out (nested tensors) and runs whole layers.

    What it then puts into the padded places is its own: zeros in this version, and older ones cut
    the output to the longest line (pytorch#97111). Nobody reads them; the real places are equal.
    """
    ran = []
    kernel = torch._nested_tensor_from_mask
    monkeypatch.setattr(
        torch, "_nested_tensor_from_mask", lambda *a, **k: ran.append(1) or kernel(*a, **k)
    )
    torch.manual_seed(0)
    theirs, ours = pair(torch.float32, batch_first=True)
    theirs.eval(), ours.eval()
    src, tgt = inputs("batch first", torch.float32)
    padded = torch.arange(S) >= torch.tensor([[S - 1], [2]])  # no line fills all places
    causal = {"tgt_mask": torch.ones(T, T, dtype=torch.bool).triu(1), "tgt_is_causal": True}
    with torch.no_grad():
        states = [m.encoder(src, src_key_padding_mask=padded) for m in (theirs, ours)]
        expected, found = (x[:, : S - 1][~padded[:, : S - 1]] for x in states)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        whole = torch.zeros(B, S, dtype=torch.bool)  # no padding: older versions cut nothing
        arguments = {"src_key_padding_mask": whole, "memory_key_padding_mask": whole}
        expected, found = (m(src, tgt, **arguments, **causal) for m in (theirs, ours))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert len(ran) == 2


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("bias", [True, False])
def test_the_same_seed_gives_torchs_starting_weights(bias):
    states = []
    for make in (nn.Transformer, Transformer):
        torch.manual_seed(7)
        states.append(make(D, HEADS, 2, 3, FFN, bias=bias).state_dict())
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_custom_stacks_are_used():
    """As PyTorch's: whatever maps (src, ...) and (tgt, memory, ...) to states."""

    class Plain(nn.Module):
        def forward(self, *given, **more):
            return given[0] + (given[1].mean() if isinstance(given[1], Tensor) else 1)

    src, tgt = inputs("batch first")
    options = {"custom_encoder": Plain(), "custom_decoder": Plain(), "batch_first": True}
    found = Transformer(D, HEADS, **options)(src, tgt)
    torch.testing.assert_close(found, tgt + (src + 1).mean())


@pytest.mark.parametrize("part", ["src", "tgt", "memory"])
def test_is_causal_alone_is_the_causal_mask(part):
    """PyTorch wants the mask beside each of the three flags; here the flag is enough."""
    torch.manual_seed(0)
    theirs, ours = pair(batch_first=True)
    src, tgt = inputs("batch first")
    shape = {"src": (S, S), "tgt": (T, T), "memory": (T, S)}[part]
    flag, mask = {f"{part}_is_causal": True}, torch.ones(shape, dtype=torch.bool).triu(1)
    expected = theirs(src, tgt, **{f"{part}_mask": mask}, **flag)
    torch.testing.assert_close(ours(src, tgt, **flag), expected, rtol=1e-7, atol=1e-9)
    assert not torch.allclose(ours(src, tgt), expected)


def test_the_square_mask_is_torchs():
    for options in ({}, {"dtype": torch.float64}):
        expected = nn.Transformer.generate_square_subsequent_mask(5, **options)
        found = Transformer.generate_square_subsequent_mask(5, **options)
        torch.testing.assert_close(found, expected)


def test_widths_and_batches_that_do_not_fit():
    model = Transformer(D, HEADS, 1, 1, FFN, batch_first=True)
    for other in ((B, T, 5), (B + 1, T, D), (T, D)):
        with pytest.raises(ValueError, match=r"same batch and the width 6; .* are \(2, 4, 6\) and"):
            model(torch.zeros(B, S, D), torch.zeros(other))
    with pytest.raises(ValueError, match="the same batch"):  # the batch is the second axis
        Transformer(D, HEADS, 1, 1, FFN)(torch.zeros(B, S, D), torch.zeros(B, T, D))


# --- The translator ---


def translator(positions: str = "sinusoidal", **options) -> TranslationTransformer:
    """A small one in double precision and evaluation, its weights random."""
    torch.manual_seed(1)
    sizes = {"width": 8, "heads": 2, "layers": 2, "ffn": 16, "longest": 12} | options
    model = TranslationTransformer(WORDS, positions=positions, **sizes).double().eval()
    model.transformer = randomised(model.transformer)
    return model


def tokens(batch: int, steps: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(EOS + 1, WORDS, (batch, steps), generator=draw)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_positions_runs_forward_and_backward(kind, norm_first):
    model = translator(kind, norm_first=norm_first).train()
    source, target = tokens(B, S), tokens(B, T, seed=1)
    logits = model(source, target)
    assert logits.shape == (B, T, WORDS)
    logits.logsumexp(-1).sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), name
        assert weight.grad.any(), name


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_later_token_never_changes_an_earlier_logit(kind, norm_first):
    """And it does change those from its own place on: the test sees what it looks at."""
    model = translator(kind, norm_first=norm_first)
    source, target = tokens(1, S), tokens(1, 5, seed=1)
    with torch.no_grad():
        logits = model(source, target)
        for place in range(5):
            other = target.clone()
            other[0, place] = (target[0, place] - EOS) % (WORDS - EOS - 1) + EOS + 1
            found = model(source, other)
            torch.testing.assert_close(found[:, :place], logits[:, :place], rtol=1e-12, atol=1e-12)
            assert not torch.isclose(found[:, place], logits[:, place]).all()
        other = source.clone()
        other[0, -1] = EOS
        assert not torch.isclose(model(other, target), logits).all(-1).any()  # all steps ask


@pytest.mark.parametrize("kind", KINDS)
def test_one_call_gives_what_step_by_step_gives(kind):
    """Teacher forcing is no approximation: the prefix alone has the same logits at its end."""
    model = translator(kind)
    source, target = tokens(B, S), tokens(B, 5, seed=1)
    with torch.no_grad():
        together = model(source, target)
        for steps in range(1, 6):
            alone = model(source, target[:, :steps])[:, -1]
            torch.testing.assert_close(together[:, steps - 1], alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=6, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=4),
    extra=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_padding_and_neighbours_never_change_a_logit(kind, lengths, extra, seed):
    """Each line alone, and the lines padded in one batch, with `extra` places nobody needs."""
    model = translator(kind)
    lines = [
        (tokens(1, s, seed + 2 * i), tokens(1, t, seed + 2 * i + 1))
        for i, (s, t) in enumerate(lengths)
    ]
    widths = [max(column) + extra for column in zip(*lengths, strict=True)]
    source, target = (
        torch.cat([F.pad(line[side], (0, width - line[side].shape[1])) for line in lines])
        for side, width in enumerate(widths)
    )
    with torch.no_grad():
        together = model(source, target)
        for row, (alone, written) in enumerate(lines):
            found = together[row : row + 1, : written.shape[1]]
            torch.testing.assert_close(found, model(alone, written), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_that_are_kept(kind):
    """A list a kind of look, an entry a layer; rows sum to 1, none on padding or the future."""
    model = translator(kind)
    source, target = tokens(B, S), tokens(B, T, seed=1)
    source[1, 2:] = PAD
    maps, own, read = [], [], []
    with torch.no_grad():
        memory, hidden = model.encode(source, maps)
        states = model.decode(target, memory, hidden, own, read)
        torch.testing.assert_close(model.logits(states), model(source, target))
    assert torch.equal(hidden, source == PAD)
    for kept, shape in ((maps, (S, S)), (own, (T, T)), (read, (T, S))):
        assert [weights.shape for weights in kept] == [(B, 2, *shape)] * 2  # heads, layers
        for weights in kept:
            torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert not any(weights[1, ..., 2:].any() for weights in (*maps, *read))
    assert not any(weights.triu(1).any() for weights in own)


def test_an_empty_source_is_no_nan():
    """All padding: nobody looks at anything, and numbers and gradients stay finite."""
    model = translator()
    logits = model(torch.full((1, S), PAD), tokens(1, T))
    logits.logsumexp(-1).sum().backward()
    assert logits.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_the_block_of_the_translator_is_the_transformer():
    """Around `nn.Transformer` with the same weights: embeddings scaled, positions, tied logits."""
    model = translator()
    source, target = tokens(B, S), tokens(B, T, seed=1)
    source[1, 2:] = PAD
    theirs = nn.Transformer(8, 2, 2, 2, 16, 0.0, norm_first=True, batch_first=True).double().eval()
    theirs.load_state_dict(model.transformer.state_dict(), strict=True)
    src, tgt = (
        8**0.5 * model.embedding.weight[ids] + model.source_positions.added(torch.arange(steps))
        for ids, steps in ((source, S), (target, T))
    )
    padded = source == PAD
    states = theirs(
        src, tgt, tgt_mask=torch.ones(T, T, dtype=torch.bool).triu(1), tgt_is_causal=True,
        src_key_padding_mask=padded, memory_key_padding_mask=padded,
    )  # fmt: skip
    expected = states @ model.embedding.weight.T
    torch.testing.assert_close(model(source, target), expected, rtol=1e-7, atol=1e-9)


def test_one_table_for_three_uses():
    """Tied: V D numbers, not 3 V D; and the two sizes that page 4 derives."""
    words, width = 2000, 64
    torch.manual_seed(0)
    model = TranslationTransformer(words, width, layers=1, dropout=0.0)
    stacks = parameter_count(model.transformer)
    assert parameter_count(model) == stacks + words * width
    untied = TranslationTransformer(words, width, layers=1, positions="learned", longest=10)
    assert parameter_count(untied) == stacks + words * width + 2 * 10 * width
    ids = torch.arange(3, 1503).view(50, 30)
    with torch.no_grad():
        x = model.placed(ids, torch.arange(30), model.source_positions)
        token = x - model.source_positions.added(torch.arange(30))
        assert 0.95 < float(token.square().mean()) < 1.05  # without sqrt(D) it would be 1 / D
        place = model.source_positions.added(torch.arange(30)).square().mean()
        torch.testing.assert_close(place, torch.tensor(0.5))
        normed = F.layer_norm(torch.randn(500, width), (width,))
        assert 0.95 < float(model.logits(normed)[:, 1:].var()) < 1.05
    assert not model.embedding.weight[PAD].any()


@pytest.mark.parametrize(("scale", "low", "high"), [(1, 0.45, 0.65), (64**0.5, 10, 60)])
def test_the_loss_before_the_first_step(scale, low, high):
    """About ln V + 1/2 with rows of length 1; far more with numbers of variance 1 (page 4).

    A little above: a state still holds the word that was read, so the logit of that word is large.
    """
    words = 4000
    torch.manual_seed(0)
    model = TranslationTransformer(words, 64, layers=1, ffn=64, dropout=0.0)
    with torch.no_grad():
        model.embedding.weight.mul_(scale)
        source, target = torch.randint(3, words, (2, 20, 12))
        logits = model(source, target)
    loss = (logits.logsumexp(-1) - logits.mean(-1)).mean()  # the mean over all words as the target
    assert low < float(loss) - math.log(words) < high


def test_the_loss_of_page_4_by_hand():
    """Four real words and two places of padding: 2.5 a word, 3 a line, 1.7 with the padding."""
    costs = torch.tensor([[1.0, 2.0, 3.0], [4.0, 0.1, 0.1]])
    logits = torch.stack([-costs, torch.log(-torch.expm1(-costs))], dim=-1)  # (B, T, 2)
    target = torch.tensor([[0, 0, 0], [0, -100, -100]])  # PyTorch's mark of what does not count
    found = F.cross_entropy(logits.flatten(0, 1), target.flatten())
    torch.testing.assert_close(found, torch.tensor(2.5))
    assert float(costs[0].mean() + costs[1, 0]) / 2 == pytest.approx(3)
    assert float(costs.mean()) == pytest.approx(1.7)


def test_thirty_two_random_pairs_are_learnt_by_heart():
    torch.manual_seed(0)
    model = TranslationTransformer(20, width=32, heads=4, layers=2, ffn=64, dropout=0.0)
    lines = torch.randint(3, 20, (2, 32, 7))
    lines[0, ::2, 5:] = PAD
    source, target = lines
    read, follow = F.pad(target[:, :-1], (1, 0), value=BOS), target
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        loss = F.cross_entropy(model(source, read).flatten(0, 1), follow.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        right = model.eval()(source, read).argmax(-1) == follow
    assert loss.item() < 0.1 and right.all()


def test_dropout_of_the_translator_only_in_training():
    torch.manual_seed(0)
    model = TranslationTransformer(WORDS, width=8, heads=2, layers=1, ffn=16, dropout=0.5)
    source, target = tokens(B, S), tokens(B, T)
    assert not torch.equal(model(source, target), model(source, target))
    model.eval()
    assert torch.equal(model(source, target), model(source, target))
    x = model.train().placed(tokens(50, 40), torch.arange(40), model.source_positions)
    share = float((x == 0).float().mean())
    assert abs(share - 0.5) < 5 * (0.25 / x.numel()) ** 0.5


def test_wrong_arguments_of_the_translator():
    with pytest.raises(ValueError, match="positions must be one of"):
        TranslationTransformer(WORDS, positions="rotary")
    with pytest.raises(ValueError, match="the width 7 must be even"):
        TranslationTransformer(WORDS, width=7, heads=1)(tokens(1, 2), tokens(1, 2))
    with pytest.raises(ValueError, match="num_heads 3 must divide embed_dim 8"):
        TranslationTransformer(WORDS, width=8, heads=3)
    with pytest.raises(ValueError, match="place 12: the table ends at 11"):
        translator("learned")(tokens(1, 13), tokens(1, 2))


def test_in_training_a_line_begins_at_a_random_place_and_never_elsewhere():
    torch.manual_seed(0)
    model = TranslationTransformer(WORDS, width=8, heads=2, layers=1, ffn=16, dropout=0, shift=5)
    ids = tokens(400, S)
    starts = model.start(ids)[:, 0]  # (400,)
    assert sorted(set(starts.tolist())) == [0, 1, 2, 3, 4, 5]
    assert model.eval().start(ids).eq(0).all()
    plain = TranslationTransformer(WORDS, width=8, heads=2, layers=1, ffn=16, dropout=0)
    plain.load_state_dict(model.state_dict())
    source, target = tokens(B, S), tokens(B, T)
    assert torch.equal(model(source, target), plain.eval()(source, target))
    assert not torch.equal(model.train()(source, target), plain(source, target))


def test_relative_positions_do_not_see_where_a_line_begins():
    torch.manual_seed(0)
    options = {"width": 8, "heads": 2, "layers": 1, "ffn": 16, "dropout": 0, "positions": "alibi"}
    model = TranslationTransformer(WORDS, shift=5, **options)
    source, target = tokens(B, S), tokens(B, T)
    assert torch.equal(model.train()(source, target), model.eval()(source, target))
