"""The common mistakes of the practice page, each made on purpose, and what it looks like."""

import re
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chapter_07_attention_mechanism.masks import (
    block_diagonal_mask,
    causal_mask,
    combined,
    masked_softmax,
    padding_mask,
)
from chapter_07_attention_mechanism.multi_head import MultiheadAttention, merge_heads, split_heads
from chapter_07_attention_mechanism.scaled_dot_product import (
    attention_weights,
    scaled_dot_product_attention,
)
from course.manifest import ROOT

PAGE = ROOT / "chapter_07_attention_mechanism/docs/08_practice.md"
FUTURE = ~causal_mask(4)  # (T, T), True = in the future


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def page_code() -> str:
    """The one block of Python on the practice page: tests use what learners are told to use."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return code


def sees(attend) -> Tensor:
    """(T, S): whether output t of `attend(x)` reacts to what stands at place s of one row."""
    space = {"torch": torch}
    exec(page_code(), space)
    return space["sees"](attend, numbers(1, 4, 8))


def self_attention(x: Tensor, **options) -> Tensor:
    return F.scaled_dot_product_attention(x, x, x, **options)


def made(kind: type = nn.MultiheadAttention, **options) -> nn.Module:
    torch.manual_seed(0)
    return kind(8, 2, batch_first=True, **options)


def test_a_row_with_nothing_to_see_spoils_the_weights_of_the_network():
    """The row is not used: its NaN comes back through 0 * NaN."""
    x, hidden = numbers(2, 4, 8), torch.tensor([[False] * 4, [True] * 4])
    theirs, ours = made(), made(MultiheadAttention)
    for module in (theirs, ours):
        out, _ = module(x, x, x, key_padding_mask=hidden)
        out[0].sum().backward()
        spoilt = bool(out.isnan().any())  # a later PyTorch may mend its own
        assert bool(module.in_proj_weight.grad.isfinite().all()) != spoilt
    assert not spoilt  # ours


def test_nan_to_num_behind_the_softmax_mends_the_value_not_the_gradient():
    scores, value = numbers(1, 3).requires_grad_(), numbers(3, 2).requires_grad_()
    hidden = torch.full((1, 3), -torch.inf)
    out = ((scores + hidden).softmax(-1) @ value).nan_to_num(0)
    assert torch.equal(out, torch.zeros(1, 2))
    out.sum().backward()
    assert value.grad.isnan().all() and scores.grad.isnan().all()
    value.grad = scores.grad = None
    (masked_softmax(scores, hidden) @ value).sum().backward()
    assert not value.grad.any() and not scores.grad.any()


def test_a_large_negative_number_is_not_minus_infinity():
    """A row of -1e9 alone looks everywhere alike: at all that it must not see. In fp16: no room."""
    scores, mask = numbers(1, 3), torch.zeros(1, 3, dtype=torch.bool)
    torch.testing.assert_close(
        scores.masked_fill(~mask, -1e9).softmax(-1), torch.full((1, 3), 1 / 3)
    )
    assert not masked_softmax(scores, mask).any()
    with pytest.raises(RuntimeError, match="overflow"):
        scores.half().masked_fill(~mask, -1e9)


def test_the_same_mask_means_the_opposite_in_the_module():
    module, mask = made(), causal_mask(4)
    right, wrong = (
        sees(lambda x, m=m: module(x, x, x, attn_mask=m, need_weights=False)[0])
        for m in (
            ~mask,
            mask & ~torch.eye(4, dtype=torch.bool),
        )  # the eye: a row must see something
    )
    assert torch.equal(right, mask)
    assert bool((wrong & FUTURE).sum() == FUTURE.sum()) and not (wrong & ~FUTURE).tril(-1).any()
    assert torch.equal(sees(lambda x: self_attention(x, attn_mask=mask)), mask)


def test_a_mask_of_ones_and_zeros_is_added_and_hides_nothing():
    mask = causal_mask(4)
    assert torch.equal(sees(lambda x: self_attention(x, attn_mask=mask)), mask)
    assert sees(lambda x: self_attention(x, attn_mask=mask.float())).all()


def test_a_causal_mask_shifted_by_one_shows_the_answer():
    shifted = torch.ones(4, 4, dtype=torch.bool).tril(1)
    leaks = sees(lambda x: self_attention(x, attn_mask=shifted)) & FUTURE
    assert torch.equal(leaks, torch.diag(torch.ones(3, dtype=torch.bool), 1))


def test_is_causal_with_a_cache_shows_the_first_key_only():
    query, key, value = numbers(1, 1, 8), numbers(1, 5, 8, seed=1), numbers(1, 5, 8, seed=2)
    wrong = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    torch.testing.assert_close(wrong, value[:, :1])
    mask = causal_mask(1, 5, "bottom_right")
    right = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    torch.testing.assert_close(right, F.scaled_dot_product_attention(query, key, value))
    assert not torch.allclose(wrong, right)


def test_a_padding_mask_without_its_axis_is_read_as_queries_by_keys():
    """(B, S) beside scores (B, T, S) with B = T raises nothing and hides the wrong keys."""
    x, lengths = numbers(4, 4, 8), torch.tensor([1, 2, 3, 4])
    flat = torch.arange(4) < lengths[:, None]  # (B, S)
    right = self_attention(x, attn_mask=padding_mask(lengths, 4))  # (B, 1, S)
    wrong = self_attention(x, attn_mask=flat)
    torch.testing.assert_close(wrong, self_attention(x, attn_mask=causal_mask(4)))
    assert not torch.allclose(wrong, right)
    with pytest.raises(RuntimeError):
        self_attention(x[:3], attn_mask=flat[:3])  # another batch size, and it shows


def test_padding_that_is_read_makes_a_row_depend_on_its_batch():
    x = numbers(1, 5, 8)
    short, lengths = x[:, :3], torch.tensor([3])
    read = self_attention(x)[:, :3]
    assert not torch.allclose(read, self_attention(short))
    masked = self_attention(x, attn_mask=padding_mask(lengths, 5))[:, :3]
    torch.testing.assert_close(masked, self_attention(short))


def test_a_mask_multiplied_behind_the_softmax_leaves_less_than_one():
    """And with renormalising it is right again: the exponentials of the hidden keys cancel."""
    scores, mask = numbers(4, 4), causal_mask(4)
    weights = scores.softmax(-1) * mask
    assert (weights.sum(-1)[:3] < 0.999).all()
    renormalised = weights / weights.sum(-1, keepdim=True)
    torch.testing.assert_close(renormalised, masked_softmax(scores, mask))


def test_documents_packed_without_blocks_see_each_other():
    documents = torch.tensor([[0, 0, 1, 1]])
    apart = block_diagonal_mask(documents)
    chosen = {"packed": causal_mask(4), "blocks": combined(causal_mask(4), apart)}
    masks = {k: sees(lambda x, m=m: self_attention(x, attn_mask=m)) for k, m in chosen.items()}
    assert masks["packed"][2, 0] and not masks["blocks"][2:, :2].any()


def test_a_softmax_over_the_queries_lets_each_key_be_read_once_in_all():
    scores = numbers(3, 5, seed=1)  # (T, S)
    wrong, right = scores.softmax(-2), scores.softmax(-1)
    torch.testing.assert_close(right.sum(-1), torch.ones(3))
    torch.testing.assert_close(wrong.sum(-2), torch.ones(5))  # columns, not rows
    assert (wrong.sum(-1) - 1).abs().max() > 0.1
    alone = scores[:1].softmax(-2)  # one query, as in decoding: every weight is 1
    torch.testing.assert_close(alone, torch.ones(1, 5))


def test_without_the_scale_a_wide_query_sees_one_key_and_learns_nothing():
    query, key = numbers(64, 512).requires_grad_(), numbers(64, 512, seed=1)
    largest, gradient = {}, {}
    for scale in (1.0, 512**-0.5):
        weights = attention_weights(query, key, scale=scale)
        largest[scale] = weights.amax(-1).mean().item()
        values = numbers(64, 1, seed=2)
        scores = (query * scale) @ key.T
        (g,) = torch.autograd.grad((scores.softmax(-1) @ values).sum(), scores)
        gradient[scale] = g.abs().mean().item()
    assert largest[1.0] > 0.8 > 0.2 > largest[512**-0.5]
    assert gradient[512**-0.5] > 5 * gradient[1.0]


def test_scaling_twice_blurs():
    """The function divides by the root itself; a query divided before is divided twice."""
    query, key = numbers(64, 64), numbers(64, 64, seed=1)
    once, twice = attention_weights(query, key), attention_weights(query / 8, key)
    assert twice.amax(-1).mean() < 0.3 * once.amax(-1).mean()
    torch.testing.assert_close(attention_weights(query / 8, key, scale=1.0), once)


def test_view_in_place_of_transpose_mixes_words():
    """(B, T, D) viewed as (B, h, T, d): head 0 gets all columns of the first T / h words."""
    x = numbers(1, 4, 8).requires_grad_()
    wrong, right = x.view(1, 2, 4, 4), split_heads(x, 2)
    assert wrong.shape == right.shape
    for heads, words in ((wrong, [True, True, False, False]), (right, [True] * 4)):
        (g,) = torch.autograd.grad(heads[0, 0].sum(), x)
        assert g[0].any(-1).tolist() == words
    torch.testing.assert_close(merge_heads(right), x)
    torch.testing.assert_close(wrong.reshape(1, 4, 8), x)  # a round trip alone does not find it


def test_batch_and_steps_mixed_up_raise_nothing():
    x = numbers(2, 3, 8).requires_grad_()
    torch.manual_seed(0)
    for module, mixes in ((made(), False), (nn.MultiheadAttention(8, 2), True)):
        out, _ = module(x, x, x, need_weights=False)
        (gradient,) = torch.autograd.grad(out[0].sum(), x)
        assert out.shape == x.shape and bool(gradient[1].abs().sum() > 1e-6) == mixes


def test_the_mean_of_the_heads_shows_what_no_head_does():
    """Two heads, each sure of another key: their mean is undecided."""
    module = made(bias=False)
    with torch.no_grad():
        module.in_proj_weight[:16] = torch.cat([torch.eye(8), torch.eye(8)]) * 4
    key = torch.zeros(1, 2, 8)
    key[0, 0, :4] = key[0, 1, 4:] = 1.0
    query = torch.ones(1, 1, 8)
    _, mean = module(query, key, key)
    _, each = module(query, key, key, average_attn_weights=False)
    torch.testing.assert_close(mean[0, 0], torch.tensor([0.5, 0.5]))
    assert each[0, :, 0].amax(-1).min() > 0.99 and each[0, :, 0].argmax(-1).tolist() == [0, 1]


def test_dropout_of_the_function_does_not_know_about_eval():
    x = numbers(1, 4, 8)
    assert not torch.equal(self_attention(x, dropout_p=0.5), self_attention(x, dropout_p=0.5))
    module = made(dropout=0.5).eval()
    (first, _), (second, _) = (module(x, x, x) for _ in range(2))
    assert torch.equal(first, second)
    ours = scaled_dot_product_attention(x, x, x, dropout_p=0.0)
    torch.testing.assert_close(ours, self_attention(x))


def test_weights_shown_in_training_do_not_sum_to_one():
    x, module = numbers(1, 64, 8), made(dropout=0.5)
    torch.manual_seed(0)
    _, weights = module(x, x, x)
    assert (weights.sum(-1) - 1).abs().max() > 0.1
    torch.testing.assert_close(module.eval()(x, x, x)[1].sum(-1), torch.ones(1, 64))


def test_an_encoder_in_evaluation_returns_other_padding():
    """Behind the end it gives zeros in evaluation, not in training (pytorch#86120); rows agree."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    x, hidden = numbers(2, 4, 8), torch.tensor([[False] * 4, [False, False, True, True]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nested tensors are a prototype
        model = nn.TransformerEncoder(layer, 1)
        train = model(x, src_key_padding_mask=hidden)
        with torch.no_grad():
            evaluation = model.eval()(x, src_key_padding_mask=hidden)
    real = ~hidden
    if evaluation[hidden].any():
        pytest.skip("this PyTorch keeps what it computes for the padding")
    torch.testing.assert_close(train[real], evaluation[real], rtol=1e-4, atol=1e-5)
    assert not evaluation[hidden].any() and train[hidden].abs().min() > 0
    means = [out.mean(1)[1] for out in (train, evaluation)]  # so never a mean over padding
    assert not torch.allclose(*means, atol=1e-3)


def test_attention_without_positions_reads_a_bag_of_words():
    module, x = made().eval(), numbers(1, 5, 8)
    order = torch.tensor([3, 0, 4, 1, 2])
    out, turned = (module(v, v, v, need_weights=False)[0] for v in (x, x[:, order]))
    torch.testing.assert_close(turned, out[:, order])
    torch.testing.assert_close(turned.mean(1), out.mean(1))
