"""Three networks that look: equal to their formulas step by step, and blind to padding."""

import pytest
import torch
from torch.nn import functional as F

from chapter_06_rnn_lstm_seq.cells import gru_step
from chapter_06_rnn_lstm_seq.seq2seq import Seq2Seq, sequence_loss
from chapter_07_attention_mechanism.experiments.translation.beam import beam_search
from chapter_07_attention_mechanism.seq2seq_attention import ATTENTIONS, Seq2SeqAttention

PAD, BOS, EOS = 0, 1, 2
LOOKING = ATTENTIONS[1:]
H = 8


def network(attention, **options):
    torch.manual_seed(0)
    sizes = {"embed": 5, "hidden": H, "heads": 2}
    return Seq2SeqAttention(11, 11, attention, **sizes, **options).double().eval()


def look_by_hand(model, query, states):
    """One query (H,), all states (S, C) of one source -> context, weights (h, S): loops only."""
    look = model.decoder.look
    if model.attention == "multihead":
        mha, size, contexts, weights = look.heads, H // 2, [], []
        bias = mha.in_proj_bias
        q = mha.q_proj_weight @ query + bias[:H]
        k = states @ mha.k_proj_weight.T + bias[H : 2 * H]
        v = states @ mha.v_proj_weight.T + bias[2 * H :]
        for head in range(2):
            at = slice(head * size, (head + 1) * size)
            w = torch.exp(torch.stack([q[at] @ row[at] / size**0.5 for row in k]))
            weights.append(w / w.sum())
            contexts.append(weights[-1] @ v[:, at])
        return mha.out_proj(torch.cat(contexts)), torch.stack(weights)
    s = look.score
    if model.attention == "additive":
        fits = [
            s.value.weight[0] @ torch.tanh(s.query.weight @ query + s.key.weight @ row + s.key.bias)
            for row in states
        ]
    else:
        fits = [query @ s.map.weight @ row for row in states]
    w = torch.exp(torch.stack(fits))
    return (w / w.sum()) @ states, (w / w.sum())[None]


def by_hand(model, source, target):
    """Logits (T, V) and weights (h, T, S) of one pair without padding, from the papers' lines."""
    d, encoded = model.decoder, model.encoder(source[None])
    states, w = encoded.states[0], d.rnn.weights("l0")
    state = torch.tanh(d.start.weight @ encoded.summary[0] + d.start.bias)
    logits, looks = [], []
    for token in target:
        e = d.embedding.weight[token]
        if model.attention == "additive":
            context, look = look_by_hand(model, state, states)
            state = gru_step(torch.cat([e, context])[None], (state[None],), w)[0][0]
            out = state
        else:
            state = gru_step(e[None], (state[None],), w)[0][0]
            context, look = look_by_hand(model, state, states)
            out = torch.tanh(d.combine.weight @ torch.cat([context, state]))
        looks.append(look)
        logits.append(d.embedding.weight @ (d.project.weight @ out + d.project.bias) + d.bias)
    return torch.stack(logits), torch.stack(looks, dim=1)


@pytest.mark.parametrize("attention", LOOKING)
def test_logits_and_weights_are_those_of_the_papers_lines(attention, batch):
    """Each row alone, without its padding, by loops: so padding is never looked at either."""
    model, (source, target) = network(attention), batch()
    logits, weights = model(source, target), model.attend(source, target)
    if attention != "multihead":
        weights = weights.unsqueeze(1)
    for row in range(len(source)):
        alone, spoken = source[row, : 6 - row], target[row, : 7 - row]
        expected, looks = by_hand(model, alone, spoken)
        torch.testing.assert_close(logits[row, : 7 - row], expected, rtol=1e-7, atol=1e-10)
        torch.testing.assert_close(
            weights[row, :, : 7 - row, : 6 - row], looks, rtol=1e-7, atol=1e-10
        )
        assert not weights[row, :, :, 6 - row :].any()
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


@pytest.mark.parametrize("attention", LOOKING)
def test_gradients_are_those_of_the_papers_lines(attention, batch):
    model, (source, target) = network(attention), batch(1)
    named = dict(model.named_parameters())
    losses = [
        model(source, target).square().sum(),
        by_hand(model, source[0], target[0])[0].square().sum(),
    ]
    ours, theirs = (
        torch.autograd.grad(loss, list(named.values()), allow_unused=True) for loss in losses
    )
    for name, a, b in zip(named, ours, theirs, strict=True):
        if name.endswith("embedding.weight"):  # by hand <pad> and the tied rows count alike
            a, b = a[1:], b[1:]
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_teacher_forcing_at_once_is_step_by_step(attention, batch):
    model, (source, target) = network(attention), batch()
    encoded = model.encode(source)
    state, steps = model.decoder.first_state(encoded), []
    for t in range(target.shape[1]):
        logits, state = model.decoder.step(target[:, t], state, encoded)
        steps.append(logits)
    torch.testing.assert_close(model(source, target), torch.stack(steps, dim=1))


def test_without_attention_it_is_chapter_6s_network(batch):
    ours, (source, target) = network("none"), batch()
    theirs = Seq2Seq(11, 11, embed=5, hidden=H, bidirectional=True).double().eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert torch.equal(ours(source, target), theirs(source, target))
    assert torch.equal(ours.greedy(source, BOS, EOS, 9), theirs.greedy(source, BOS, EOS, 9))
    with pytest.raises(ValueError, match="looks nowhere"):
        ours.attend(source, target)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_neither_padding_nor_neighbours_change_a_line(attention, batch):
    model, (source, target) = network(attention), batch()
    loss = sequence_loss()(model, (source, target))[0]
    wider = F.pad(source, (0, 3)), F.pad(target, (0, 2))
    torch.testing.assert_close(sequence_loss()(model, wider)[0], loss, rtol=1e-7, atol=1e-10)
    written = model.greedy(source, BOS, EOS, 9)
    for row in range(len(source)):
        line = model.greedy(source[row, : 6 - row][None], BOS, EOS, 9)[0]
        assert written[row, : len(line)].tolist() == line.tolist()
        assert not written[row, len(line) :].any()


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_greedy_writes_what_teacher_forcing_finds_likeliest(attention, batch):
    model, (source, _) = network(attention), batch()
    written = model.greedy(source, BOS, EOS, 8)
    likeliest = model(source, F.pad(written, (1, 0), value=BOS)[:, :-1]).argmax(-1)
    assert torch.equal(likeliest[written != PAD], written[written != PAD])


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_beam_of_one_is_greedy(attention, batch):
    model, (source, _) = network(attention), batch()
    with torch.no_grad():
        model.decoder.bias[EOS] = 0.5  # lines of different lengths
    greedy = model.greedy(source, BOS, EOS, 8)
    assert torch.equal(beam_search(model, source, BOS, EOS, 8, beams=1), greedy)


def line_score(model, source, line, penalty):
    line = line[line != PAD]
    logits = model(source[None], F.pad(line, (1, 0), value=BOS)[None, :-1]).log_softmax(-1)
    return float(logits[0].gather(1, line[:, None]).sum()) / len(line) ** penalty


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_wide_beam_finds_the_best_of_all_lines(penalty, batch):
    """As many beams as there are lines of two tokens: the search is then complete."""
    model, (source, _) = network("luong"), batch(2)
    found = beam_search(model, source, BOS, EOS, 2, beams=121, penalty=penalty)
    every = [torch.tensor([EOS])]
    every += [torch.tensor([a, b]) for a in range(1, 11) if a != EOS for b in range(1, 11)]
    for row in range(2):
        best = max(line_score(model, source[row], line, penalty) for line in every)
        assert line_score(model, source[row], found[row], penalty) == pytest.approx(best)


def test_keys_are_prepared_once_a_source(batch):
    model, (source, target) = network("additive"), batch()
    calls = []
    model.decoder.look.score.key.register_forward_hook(lambda *_: calls.append(1))
    model(source, target)
    model.greedy(source, BOS, EOS, 9)
    assert len(calls) == 2


def test_names_and_heads_are_checked():
    with pytest.raises(ValueError, match="not 'bahdanau'"):
        network("bahdanau")
    with pytest.raises(ValueError, match="heads"):
        Seq2SeqAttention(11, 11, "multihead", hidden=8, heads=3)


@pytest.mark.parametrize("attention", LOOKING)
def test_a_small_network_learns_to_reverse_by_heart(attention):
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    source = torch.randint(3, 9, (32, 4), generator=random)
    bos, eos = (torch.full((32, 1), token) for token in (BOS, EOS))
    target = torch.cat([bos, source.flip(1), eos], dim=1)
    model = Seq2SeqAttention(9, 9, attention, embed=16, hidden=32)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for _ in range(80):
        loss, metrics = sequence_loss()(model, (source, target))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(metrics["accuracy"]) == 1 and float(loss.detach()) < 0.1
    assert torch.equal(model.greedy(source, BOS, EOS, 9), target[:, 1:])
