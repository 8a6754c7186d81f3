"""Classifiers of sequences: padding changes nothing, pooling is what it says, batches by length."""

import pytest
import torch
from torch import nn

from chapter_03_optimization_regularization.training import Batches
from chapter_06_rnn_lstm_seq.classifier import (
    POOLINGS,
    BagOfEmbeddings,
    BiLSTM,
    KimCNN,
    PrefixLSTM,
    last_states,
    masked_max,
    masked_mean,
    prefix_loss,
    text_loss,
)
from chapter_06_rnn_lstm_seq.experiments.batching import ByLength, padded, padding_share, trimmed

LENGTHS = [3, 7, 1, 5]
NETWORKS = {
    **{
        f"bilstm {pooling} {layers}": (
            lambda pooling=pooling, layers=layers: BiLSTM(20, 3, 6, 5, layers, pooling)
        )
        for pooling in POOLINGS
        for layers in (1, 2)
    },
    "cnn": lambda: KimCNN(20, 3, 6, 4),
    "bag": lambda: BagOfEmbeddings(20, 3, 6),
}


def texts(seed: int = 0) -> list[list[int]]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randint(1, 20, (n,), generator=rng).tolist() for n in LENGTHS]


def built(name: str) -> nn.Module:
    torch.manual_seed(1)
    return NETWORKS[name]().double().eval()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("more", [1, 9])
def test_padding_changes_neither_results_nor_gradients(name, more):
    model = built(name)
    tokens, lengths = padded(texts())
    wider = torch.nn.functional.pad(tokens, (0, more))
    grads = []
    for batch in (tokens, wider):
        model.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(batch, lengths), torch.tensor([0, 1, 2, 0]))
        loss.backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(model(wider, lengths), model(tokens, lengths), rtol=1e-12, atol=0)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_text_alone_is_a_text_in_a_batch(name):
    model, rows = built(name), texts()
    together = model(*padded(rows))
    alone = torch.cat([model(*padded([row])) for row in rows])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_fills_the_padding_does_not_matter(name):
    model = built(name)
    tokens, lengths = padded(texts())
    filled = tokens.where(tokens > 0, torch.tensor(7))
    torch.testing.assert_close(model(filled, lengths), model(tokens, lengths), rtol=1e-10, atol=0)


def test_without_packing_padding_does_change_the_result():
    model = built("bilstm last 1")
    tokens, lengths = padded(texts())
    model.pack = False
    wider = torch.nn.functional.pad(tokens, (0, 9))
    difference = (model(wider, lengths) - model(tokens, lengths)).abs().max()
    assert difference > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_an_empty_text_is_an_error(name):
    with pytest.raises(ValueError, match="length 0"):
        built(name)(torch.ones(2, 3, dtype=torch.long), torch.tensor([3, 0]))


def test_the_bilstm_is_pytorchs():
    model = built("bilstm last 2")
    twin = nn.LSTM(6, 5, 2, batch_first=True, bidirectional=True).double()
    twin.load_state_dict(model.lstm.state_dict())
    tokens, lengths = padded(texts())
    packed = nn.utils.rnn.pack_padded_sequence(
        model.embedding(tokens), lengths, batch_first=True, enforce_sorted=False
    )
    out, (h, _) = twin(packed)
    wanted = nn.utils.rnn.pad_packed_sequence(out, batch_first=True)[0]
    states = model.states(tokens, lengths)
    torch.testing.assert_close(states, wanted, rtol=1e-7, atol=1e-12)
    torch.testing.assert_close(last_states(states, lengths), torch.cat([h[-2], h[-1]], 1))


def test_pooling_looks_at_real_steps_only():
    states = torch.tensor([[[1.0, -4.0], [-3.0, -2.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False]])
    assert masked_max(states, mask).tolist() == [[1, -2]]
    assert masked_mean(states, mask).tolist() == [[-1, -3]]
    with pytest.raises(ValueError, match="pooling"):
        BiLSTM(5, 2, pooling="sum")


def test_the_cnn_by_hand():
    """One filter of width 3 over single numbers: all windows of the text and its empty places."""
    model = built("cnn")
    tokens, lengths = padded(texts())
    row = texts()[0]
    x = model.embedding.weight[torch.tensor(row)]  # (T, E)
    pooled = []
    for convolution in model.convolutions:
        width = convolution.kernel_size[0]
        empty = torch.zeros(width - 1, 6, dtype=x.dtype)
        around = torch.cat([empty, x, empty])
        windows = [around[t : t + width] for t in range(len(row) + width - 1)]
        maps = [torch.einsum("we,few->f", w, convolution.weight) for w in windows]
        pooled.append((torch.stack(maps) + convolution.bias).relu().amax(0))
    wanted = model.head(torch.cat(pooled))
    torch.testing.assert_close(model(tokens, lengths)[0], wanted, rtol=1e-9, atol=1e-12)


def test_a_prefix_has_its_own_answer_whatever_follows():
    torch.manual_seed(0)
    model = PrefixLSTM(20, 3, 4, 5).double().eval()
    tokens, lengths = padded(texts())
    changed = tokens.clone()
    changed[:, 2:] = 9
    torch.testing.assert_close(model(changed)[:, :2], model(tokens)[:, :2], rtol=1e-12, atol=0)
    labels = torch.tensor([0, 1, 2, 1])
    wider = torch.nn.functional.pad(tokens, (0, 4))
    narrow, wide = (prefix_loss(model, (t, lengths, labels)) for t in (tokens, wider))
    torch.testing.assert_close(narrow, wide)
    by_hand = [
        -model(tokens)[row, :n].log_softmax(-1)[:, labels[row]] for row, n in enumerate(LENGTHS)
    ]
    torch.testing.assert_close(narrow[0], torch.cat(by_hand).mean())


@pytest.mark.parametrize("name", ["bilstm max 1", "cnn", "bag"])
def test_each_network_learns_32_texts_by_heart(name):
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, 9, (32,), generator=rng)
    tokens = torch.randint(1, 20, (32, 8), generator=rng)
    tokens[torch.arange(8) >= lengths[:, None]] = 0
    labels = torch.randint(0, 3, (32,), generator=rng)
    model = NETWORKS[name]().eval()
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(60):
        loss, metrics = text_loss(model, (tokens, lengths, labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert metrics["accuracy"] == 1


def lots(rows: int = 500) -> tuple[torch.Tensor, ...]:
    lengths = torch.randint(1, 60, (rows,), generator=torch.Generator().manual_seed(0))
    return torch.ones(rows, 60, dtype=torch.long), lengths, torch.arange(rows)


def test_batches_by_length_have_every_row_once_and_little_padding():
    batches = ByLength(*lots(), batch_size=16, shuffle=True, seed=3)
    rows = torch.cat([batch[2] for batch in batches.epoch(2)])
    assert sorted(rows.tolist()) == list(range(500))
    mixed = Batches(*lots(), batch_size=16, shuffle=True, seed=3, transform=trimmed)
    assert padding_share(batches) < 0.1 < 0.3 < padding_share(mixed)


def test_batches_by_length_can_be_repeated_and_differ_by_epoch():
    batches = ByLength(*lots(), batch_size=16, shuffle=True, seed=3)
    orders = [torch.cat([batch[2] for batch in batches.epoch(n)]).tolist() for n in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert [len(batch[0]) for batch in batches.epoch(0)] == [16] * 31 + [4]
    later = [batch[2].tolist() for batch in batches.epoch(0, start=5)]
    assert later == [batch[2].tolist() for batch in batches.epoch(0)][5:]
    lengths = [int(batch[1].float().mean()) for batch in batches.epoch(0)]
    assert lengths != sorted(lengths)
    in_order = ByLength(*lots(), batch_size=16)
    assert torch.cat([batch[1] for batch in in_order]).diff().min() >= 0
