"""The encoder-decoder: equal to its formula, blind to padding, the same at once and in steps."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chapter_06_rnn_lstm_seq.seq2seq import Decoder, Seq2Seq, sequence_loss

PAD, BOS, EOS = 0, 1, 2
OPTIONS = [
    {},
    {"bidirectional": True},
    {"joint": True, "backwards": True},
    {"dropout": 0.3},
]


def network(**options):
    torch.manual_seed(0)
    sizes = {"source_vocabulary": 11, "target_vocabulary": 11, "embed": 5, "hidden": 7}
    return Seq2Seq(**sizes, **options).double().eval()


def table(part, ids):
    return F.embedding(ids, part.embedding.weight, padding_idx=PAD)  # no gradient at padding


def by_torch(model, source, target):
    """The same network of torch's own GRU and packing, with the same weights: logits (B, T, V)."""
    encoder, decoder = model.encoder, model.decoder
    both = encoder.rnn.bidirectional
    reader = nn.GRU(5, 7, batch_first=True, bidirectional=both).double()
    reader.load_state_dict(encoder.rnn.state_dict())
    writer = nn.GRU(5 + 7 * (1 + both), 7, batch_first=True).double()
    writer.load_state_dict(decoder.rnn.state_dict())
    read = source.clone()
    for row in range(len(source)) if encoder.backwards else ():
        read[row, : 6 - row] = source[row, : 6 - row].flip(0)
    packed = nn.utils.rnn.pack_padded_sequence(
        table(encoder, read), (source != 0).sum(1), True, enforce_sorted=False
    )
    c = torch.cat(list(reader(packed)[1]), dim=1)  # (B, C)
    first = torch.tanh(c @ decoder.start.weight.T + decoder.start.bias)
    inputs = table(decoder, target)
    inputs = torch.cat([inputs, c[:, None].repeat(1, target.shape[1], 1)], dim=2)
    states = writer(inputs, first[None])[0] @ decoder.project.weight.T + decoder.project.bias
    logits = states @ decoder.embedding.weight.T + decoder.bias
    grads = torch.autograd.grad(logits.square().sum(), [encoder.embedding.weight, *c_of(model)])
    return logits, grads


def c_of(model):
    return [model.decoder.start.weight, model.decoder.project.weight]


@pytest.mark.parametrize("options", OPTIONS)
def test_logits_and_gradients_are_those_of_torchs_gru(options, batch):
    model, (source, target) = network(**options), batch()
    logits = model(source, target[:, :-1])
    weights = [model.encoder.embedding.weight, *c_of(model)]
    grads = torch.autograd.grad(logits.square().sum(), weights)
    expected, expected_grads = by_torch(model, source, target[:, :-1])
    torch.testing.assert_close(logits, expected, rtol=1e-7, atol=1e-10)
    for ours, theirs in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("options", OPTIONS)
def test_teacher_forcing_in_one_call_is_step_by_step(options, batch):
    model, (source, target) = network(**options), batch()
    encoded = model.encoder(source)
    state, steps = model.decoder.first_state(encoded), []
    for t in range(target.shape[1] - 1):
        logits, state = model.decoder.step(target[:, t], state, encoded)
        steps.append(logits)
    torch.testing.assert_close(model(source, target[:, :-1]), torch.stack(steps, dim=1))


@pytest.mark.parametrize("options", OPTIONS)
def test_padding_never_changes_a_result(options, batch):
    """A row alone, without its padding, gives the same logits, loss and written line."""
    model, (source, target) = network(**options), batch()
    logits, written = model(source, target[:, :-1]), model.greedy(source, BOS, EOS, 9)
    losses = []
    for row in range(len(source)):
        alone, truth = source[row, : 6 - row][None], target[row, : 7 - row][None]
        own = model(alone, truth[:, :-1])[0]
        torch.testing.assert_close(logits[row, : 6 - row], own, rtol=1e-7, atol=1e-10)
        line = model.greedy(alone, BOS, EOS, 9)[0]
        assert written[row, : len(line)].tolist() == line.tolist()
        assert not written[row, len(line) :].any()
        losses.append((F.cross_entropy(own, truth[0, 1:], reduction="sum"), 6 - row))
    loss, metrics = sequence_loss()(model, (source, target))
    total, tokens = (sum(column) for column in zip(*losses, strict=True))
    torch.testing.assert_close(loss, total / tokens, rtol=1e-7, atol=1e-10)
    wider = F.pad(source, (0, 3)), F.pad(target, (0, 2))
    torch.testing.assert_close(sequence_loss()(model, wider)[0], loss, rtol=1e-7, atol=1e-10)
    assert 0 <= float(metrics["accuracy"]) <= 1


def test_padding_has_no_embedding_and_gets_no_gradient(batch):
    model, (source, target) = network(), batch()
    sequence_loss()(model, (source, target))[0].backward()
    assert not model.encoder.embedding.weight[PAD].any()
    assert not model.encoder.embedding.weight.grad[PAD].any()


def test_a_joint_vocabulary_has_one_embedding():
    joint, apart = network(joint=True), network()
    assert joint.encoder.embedding is joint.decoder.embedding
    counts = [sum(p.numel() for p in model.parameters()) for model in (apart, joint)]
    assert counts[0] - counts[1] == 11 * 5


def test_greedy_writes_the_likeliest_tokens_of_its_own_line(batch):
    """What it wrote, given back as truth, is the likeliest token at every step."""
    model, (source, _) = network(), batch()
    written = model.greedy(source, BOS, EOS, 8)
    with_bos = F.pad(written, (1, 0), value=BOS)
    likeliest = model(source, with_bos[:, :-1]).argmax(-1)
    real = written != PAD
    assert torch.equal(likeliest[real], written[real]) and written.shape[1] <= 8


def test_greedy_stops_at_the_limit_and_once_all_have_ended(batch):
    model, (source, _) = network(), batch()
    assert model.greedy(source, BOS, EOS, 3).shape[1] <= 3
    with torch.no_grad():
        model.decoder.bias[EOS] = 1e3
    assert model.greedy(source, BOS, EOS, 50).tolist() == [[EOS]] * len(source)


class MeanContext(Decoder):
    """What chapter 7 will do: a context of its own at every step."""

    def context_at(self, state, encoded):
        share = encoded.mask / encoded.mask.sum(1, keepdim=True)  # (B, S)
        return torch.einsum("bs,bsc->bc", share.to(state.dtype), encoded.states)


def test_a_step_takes_its_context_from_one_place(batch):
    model, (source, _) = network(), batch()
    before = model.greedy(source, BOS, EOS, 9)
    decoder = MeanContext(model.decoder.embedding, 7, 7, 0.0).double()
    decoder.load_state_dict(model.decoder.state_dict())
    model.decoder = decoder.eval()
    encoded = model.encoder(source)
    torch.testing.assert_close(
        decoder.context_at(decoder.first_state(encoded), encoded)[-1],
        encoded.states[-1, :3].mean(0),
    )
    assert before.shape[0] == model.greedy(source, BOS, EOS, 9).shape[0]


def test_a_small_network_learns_to_reverse_by_heart():
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    source = torch.randint(3, 9, (32, 3), generator=random)
    bos, eos = (torch.full((32, 1), token) for token in (BOS, EOS))
    target = torch.cat([bos, source.flip(1), eos], dim=1)
    model = Seq2Seq(9, 9, embed=16, hidden=32)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for _ in range(100):
        loss, metrics = sequence_loss()(model, (source, target))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(metrics["accuracy"]) == 1 and float(loss.detach()) < 0.1
    assert torch.equal(model.greedy(source, BOS, EOS, 9), target[:, 1:])


def test_smoothing_holds_in_training_only(batch):
    model, pair = network(), batch()
    plain = sequence_loss()(model, pair)[0]
    torch.testing.assert_close(sequence_loss(smoothing=0.2)(model, pair)[0], plain)
    assert sequence_loss(smoothing=0.2)(model.train(), pair)[0] != plain
