"""The network in plain NumPy: PyTorch's logits and translations, and words for what it lacks."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from chapter_08_transformer_vanilla.decoding import greedy
from chapter_08_transformer_vanilla.kv_cache import CachedSteps
from chapter_08_transformer_vanilla.transformer import TranslationTransformer
from chapter_08_transformer_vanilla.transformer_numpy import KINDS, NumpyTransformer
from utils.seed import generator

VOCABULARY, PAD, BOS, EOS = 40, 0, 1, 2
KINDS_AND_NORMS = [(kind, first) for kind in KINDS for first in (True, False)]


def pair(dtype=torch.float64, seed=0, **options):
    """A network with large random weights, in PyTorch and in NumPy."""
    options = {"width": 24, "heads": 3, "layers": 2, "ffn": 40, "longest": 30, **options}
    torch.manual_seed(seed)
    model = TranslationTransformer(VOCABULARY, pad=PAD, **options).to(dtype).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name or "bias" in name:  # not the ones and zeros of the beginning
                weight += 0.1 * torch.randn(weight.shape, dtype=dtype)
            elif "transformer" in name:  # what is found outweighs the token itself: lines vary
                weight *= 2
        model.embedding.weight[EOS] *= 1.5  # some lines end
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return model, NumpyTransformer(state, options)


def lines(lengths, seed=0):
    """Ids (B, longest), padding behind each row's end."""
    ids = torch.randint(3, VOCABULARY, (len(lengths), max(lengths)), generator=generator(seed))
    return ids.masked_fill(torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None], PAD)


@pytest.mark.parametrize(("kind", "norm_first"), KINDS_AND_NORMS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@torch.no_grad()
def test_logits_and_memory_are_pytorchs(kind, norm_first, dtype):
    model, by_hand = pair(dtype, positions=kind, norm_first=norm_first)
    source, target = lines([9, 4, 1]), lines([7, 7, 3], seed=1)
    memory, hidden = model.encode(source)
    mine, mine_hidden = by_hand.encode(source.numpy())
    assert np.array_equal(mine_hidden[:, 0, 0], hidden.numpy())
    near = {"rtol": 1e-5, "atol": 1e-5 if dtype == torch.float32 else 1e-6}
    np.testing.assert_allclose(mine, memory.numpy(), **near)
    logits = by_hand.decode(target.numpy(), mine, mine_hidden)
    np.testing.assert_allclose(logits, model(source, target).numpy(), **near)
    assert logits.dtype == memory.numpy().dtype  # float32 stays float32


@torch.no_grad()
def test_without_positions_64_bits_agree_to_the_last_few():
    """PyTorch's sines have 32 bits whatever the weights have; nothing else is rounded."""
    model, by_hand = pair(positions="none")
    source, target = lines([6, 5]), lines([8, 8])
    found = by_hand.decode(target.numpy(), *by_hand.encode(source.numpy()))
    np.testing.assert_allclose(found, model(source, target).numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("kind", "norm_first"), KINDS_AND_NORMS)
def test_translations_are_greedys(kind, norm_first):
    model, by_hand = pair(positions=kind, norm_first=norm_first, layers=1, seed=2)
    source = lines([9, 4, 1, 6, 2, 8], seed=3)
    wanted = greedy(CachedSteps(model, source), len(source), BOS, EOS, limit=20, pad=PAD)
    found = by_hand.translate(source.numpy(), BOS, EOS, limit=20)
    assert np.array_equal(found, wanted.numpy())
    assert len(np.unique(found)) > 4  # not one token again and again


def test_lines_that_end_are_padded_and_all_ended_stops():
    model, by_hand = pair(positions="sinusoidal")
    with torch.no_grad():  # logits of <eos> above all others: the weights are shared with NumPy
        model.embedding.weight[EOS] = 0
        model.transformer.decoder.norm.weight.zero_()
        model.transformer.decoder.norm.bias.copy_(model.embedding.weight[7])
        model.embedding.weight[EOS] = 3 * model.embedding.weight[7]
    assert by_hand.translate(lines([3, 1]).numpy(), BOS, EOS, limit=9).tolist() == [[EOS], [EOS]]


def test_padding_and_the_company_of_a_line_change_nothing():
    _, by_hand = pair()
    source = lines([9, 4, 1]).numpy()
    together = by_hand.translate(source, BOS, EOS, limit=12)
    for row, length, line in zip(source, (9, 4, 1), together, strict=True):
        alone = by_hand.translate(row[None, :length], BOS, EOS, limit=12)[0]
        assert np.array_equal(alone, line[: len(alone)]) and not line[len(alone) :].any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rotary": True}, "unknown options: rotary"),
        ({"positions": "t5"}, "positions must be one of .*not 't5'"),
        ({"layers": 3}, "weights missing.*layers.2"),
        ({"layers": 1}, "of another network: .*layers.1"),
        ({"positions": "learned"}, "source_positions.table.weight"),
    ],
)
def test_what_it_does_not_know_is_named(options, words):
    _, by_hand = pair()
    with pytest.raises(ValueError, match=words):
        NumpyTransformer(by_hand.weights, {"layers": 2, "heads": 3, **options})


@pytest.mark.process
def test_no_framework_is_loaded():
    code = (
        "import sys, chapter_08_transformer_vanilla.transformer_numpy;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
