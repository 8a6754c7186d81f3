"""GPT2 against Hugging Face's; both attentions; with and without a cache; windows over a text."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from chapter_08_transformer_vanilla.gpt2 import GPT2, from_hugging_face, looking_back
from chapter_08_transformer_vanilla.text_window import (
    CachedText,
    FullText,
    nats_per_token,
    window_start,
    write,
)

SIZES = {"vocabulary": 13, "width": 12, "heads": 2, "layers": 2, "longest": 8}
CONFIGS = [  # vocab_size, n_embd, n_head, n_layer, n_positions, n_inner
    (11, 8, 1, 1, 7, None),
    (23, 12, 3, 2, 16, 20),
    (40, 16, 4, 3, 12, None),
]


def network(**more) -> GPT2:
    """Random weights large enough that logits differ, biases included."""
    torch.manual_seed(0)
    model = GPT2(**SIZES | {"deviation": 0.4} | more).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model


def twin(sizes: tuple, dtype: torch.dtype = torch.float64, **more):
    """A GPT2LMHeadModel whose biases and gains are not 0 and 1."""
    transformers = pytest.importorskip("transformers")
    names = ("vocab_size", "n_embd", "n_head", "n_layer", "n_positions", "n_inner")
    torch.manual_seed(1)
    config = transformers.GPT2Config(**dict(zip(names, sizes, strict=True)), bos_token_id=None,
                                     eos_token_id=None, initializer_range=0.3, **more)  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).to(dtype).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model


# --- Hugging Face ---


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("sizes", CONFIGS)
def test_logits_and_gradients_are_hugging_faces(sizes, dtype):
    theirs = twin(sizes, dtype)
    ours = from_hugging_face(theirs.config.to_dict(), theirs.state_dict()).eval()
    ids = torch.randint(sizes[0], (3, sizes[4]))
    close = {"rtol": 1e-7, "atol": 1e-9} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-4}
    want, found = theirs(ids).logits, ours(ids)
    torch.testing.assert_close(found, want, **close)
    for logits in (want, found):
        F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:]).backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    back = from_hugging_face(theirs.config.to_dict(), gradients)  # renamed as the weights are
    for name, weight in back.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name).grad, weight.data, **close)


@pytest.mark.parametrize("sizes", CONFIGS)
def test_greedy_text_is_hugging_faces(sizes):
    theirs = twin(sizes)
    ours = from_hugging_face(theirs.config.to_dict(), theirs.state_dict())
    prompt = torch.randint(sizes[0], (3, 3))
    count = sizes[4] - 3
    options = {"max_new_tokens": count, "do_sample": False, "pad_token_id": 0}
    want = theirs.generate(prompt, attention_mask=torch.ones_like(prompt), **options)
    assert torch.equal(write(ours, prompt, count, temperature=0), want[:, 3:])


def test_a_square_matrix_that_is_not_turned_raises_no_error_and_changes_the_logits():
    theirs, ids = twin(CONFIGS[0]), torch.arange(7)[None]
    ours = from_hugging_face(theirs.config.to_dict(), theirs.state_dict())
    weight = ours.layers[0].self_attn.out_proj.weight
    before = ours(ids)
    weight.data = weight.data.T.contiguous()
    assert (ours(ids) - before).abs().max() > 0.01


def test_mask_buffers_of_old_files_are_not_weights():
    theirs = twin(CONFIGS[0])
    masks = {"bias": torch.ones(1, 1, 7, 7), "masked_bias": torch.tensor(-1e4)}
    state = theirs.state_dict() | {f"transformer.h.0.attn.{k}": v for k, v in masks.items()}
    del state["lm_head.weight"]  # files of the bare GPT2Model have no head, and no prefix
    bare = {name.removeprefix("transformer."): weight for name, weight in state.items()}
    config, ids = theirs.config.to_dict(), torch.arange(4)[None]
    plain = from_hugging_face(config, theirs.state_dict())(ids)
    for found in (state, bare):
        assert torch.equal(from_hugging_face(config, found)(ids), plain)


def test_what_does_not_fit_is_named():
    theirs = twin(CONFIGS[0])
    config, state = theirs.config.to_dict(), theirs.state_dict()
    name = "transformer.h.0.mlp.c_fc.bias"
    cases = [
        (config, {k: v for k, v in state.items() if k != name}, "'h.0.mlp.c_fc.bias' is missing"),
        (config, state | {"score.weight": torch.ones(2)}, "'score.weight' is not of this network"),
        (config | {"n_layer": 2}, state, "is missing"),
        (config | {"n_positions": 9}, state, "size mismatch"),
        (config | {"activation_function": "relu"}, state, "activation_function is 'relu'"),
        (config | {"tie_word_embeddings": False}, state, "tie_word_embeddings is False"),
        (config, state | {"lm_head.weight": torch.ones(11, 8)}, "this network ties them"),
        (config, {}, "is missing"),
        ({}, state, "the configuration has no vocab_size"),
    ]
    for wrong_config, wrong_state, message in cases:
        with pytest.raises(ValueError, match=message):
            from_hugging_face(wrong_config, wrong_state)


# --- The network ---


def test_both_attentions_are_one():
    """The fused form, and chapter 7's that keeps the weights: values and gradients."""
    model, x = network(), torch.randn(2, 7, 12, dtype=torch.float64)
    attention, found = model.layers[0].self_attn, []
    for kept in (None, []):
        y = x.clone().requires_grad_()
        out = looking_back(attention, kept)(y)
        found.append((out, *torch.autograd.grad(out.square().sum(), [y, *attention.parameters()])))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)
    weights: list[torch.Tensor] = []
    model(torch.randint(13, (2, 7)), kept=weights)
    assert [w.shape for w in weights] == [(2, 2, 7, 7)] * 2
    assert weights[1].triu(1).abs().max() == 0


def test_no_place_sees_a_later_one():
    model, ids = network(), torch.randint(13, (1, 8))
    changed = ids.clone()
    changed[0, 5] = (ids[0, 5] + 1) % 13
    before, after = model(ids), model(changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] - after[:, 5:]).abs().amin(1).max() > 1e-6


def test_the_start_guesses_evenly_and_the_stream_keeps_its_size():
    torch.manual_seed(0)
    model = GPT2(50, 64, 4, 6, 32)
    ids = torch.randint(50, (8, 32))
    loss = F.cross_entropy(model(ids).transpose(1, 2), torch.randint(50, (8, 32)))
    assert abs(loss.item() - math.log(50)) < 0.05
    last = model.layers[0].linear2.weight
    assert float(last.std()) == pytest.approx(0.02 / 12**0.5, rel=0.05)
    assert float(model.tokens.weight.std()) == pytest.approx(0.02, rel=0.05)


def test_dropout_acts_in_training_only():
    model, ids = network(dropout=0.5), torch.randint(13, (2, 8))
    assert torch.equal(model(ids), model(ids))
    model.train()
    assert not torch.equal(model(ids), model(ids))


def test_a_text_is_learnt_by_heart():
    torch.manual_seed(0)
    model, ids = GPT2(13, 32, 4, 2, 16), torch.randint(13, (4, 17))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(80):
        loss = F.cross_entropy(model(ids[:, :-1]).transpose(1, 2), ids[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    written = write(model, ids[:, :4], 13, temperature=0)
    assert (written == ids[:, 4:]).float().mean() > 0.9


# --- Longer than the window ---


def test_a_full_window_drops_its_older_half():
    assert [window_start(n, 4) for n in range(1, 12)] == [0, 0, 0, 0, 2, 2, 4, 4, 6, 6, 8]
    assert [window_start(n, 1) for n in (1, 2, 3)] == [0, 1, 2]
    for longest in (1, 2, 5, 8):
        seen = [n - window_start(n, longest) for n in range(longest, 40)]
        assert max(seen) == longest and min(seen) >= longest - max(1, longest // 2) + 1 * (
            longest > 1
        )


@pytest.mark.parametrize("longest", [1, 5, 8])
@pytest.mark.parametrize("start", [1, 7, 8, 9, 30])
def test_the_cache_changes_no_token(longest, start):
    """Prompts shorter and longer than the window, and texts that slide several times."""
    model = network(longest=longest)
    prompt = torch.randint(13, (3, start))
    for how in ({"temperature": 0}, {"temperature": 1.0, "top_k": 5}):
        texts = [
            write(model, prompt, 25, cached, generator=torch.Generator().manual_seed(3), **how)
            for cached in (True, False)
        ]
        assert torch.equal(*texts)
    cached, full, tokens = CachedText(model, 3), FullText(model, 3), prompt
    for _ in range(20):
        logits = cached.extend(tokens)
        torch.testing.assert_close(logits, full.extend(tokens), rtol=1e-9, atol=1e-11)
        tokens = logits.argmax(-1, keepdim=True)


def test_rows_can_be_chosen():
    model, prompt = network(), torch.randint(13, (3, 4))
    cached, full, rows = CachedText(model, 3), FullText(model, 3), torch.tensor([2, 0, 0])
    for text in (cached, full):
        text.extend(prompt)
        text.select(rows)
    tokens = torch.tensor([1, 2, 3])
    torch.testing.assert_close(cached.step(tokens), full.step(tokens))


@pytest.mark.parametrize("step", [None, 1, 3, 8])
@pytest.mark.parametrize("length", [2, 5, 8, 9, 10, 16, 17, 30])
def test_a_text_is_measured_token_by_token(step, length):
    """Against one call a token, with what the rule lets it see."""
    model, ids = network(), torch.randint(13, (length,))
    by = step or 4
    total = 0.0
    for n in range(1, length):
        start = -(-max(0, n - 8) // by) * by
        assert step is not None or start == window_start(n, 8)
        logits = model(ids[None, start:n])[0, -1]
        total -= float(logits.log_softmax(-1)[ids[n]])
    found = nats_per_token(model, ids, step, batch=2)
    assert found == pytest.approx(total / (length - 1), rel=1e-9)


def test_wrong_use_is_named():
    model = network()
    cases = [
        (lambda: model(torch.zeros(1, 9, dtype=torch.long)), "9 tokens; this network has places"),
        (lambda: write(model, torch.zeros(1, 0, dtype=torch.long), 3), "the prompt is empty"),
        (lambda: write(model, torch.zeros(1, 2, dtype=torch.long), 0), "must be at least 1, not 0"),
        (lambda: nats_per_token(model, torch.zeros(1, dtype=torch.long)), "needs two tokens"),
        (lambda: nats_per_token(model, torch.zeros(9, dtype=torch.long), 9), "moves by 1 to 8"),
        (lambda: nats_per_token(model, torch.zeros(9, dtype=torch.long), 0), "moves by 1 to 8"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
