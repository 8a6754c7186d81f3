"""vit.py: equal to torchvision's and Hugging Face's networks, forward and backward, from their
weights; patches by hand and as a convolution; rollout; a small one learns."""

import re

import pytest
import torch
from torch.nn import functional as F

from chapter_08_transformer_vanilla.positions import sinusoids
from chapter_08_transformer_vanilla.vit import (
    HUGGING_FACE,
    TORCHVISION,
    DeiT,
    ViT,
    distillation_loss,
    grid_waves,
    patchify,
    renamed,
    rollout,
)

SMALL = {"image_size": 12, "patch": 4, "width": 16, "heads": 2, "layers": 2, "ffn": 24}


def stirred(model):
    """float64, evaluation mode, no weight at zero: what starts at zero would hide a swap."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model.double().eval()


def pictures(count=3, side=12, channels=3):
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(2),
                       dtype=torch.float64)  # fmt: skip


def assert_same(ours, reference, rules, theirs, mine):
    """Outputs, and the gradients of all weights, which the same renaming makes comparable."""
    torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-9)
    weights = torch.randn_like(theirs)
    (theirs * weights).sum().backward()
    (mine * weights).sum().backward()
    grads = {n: torch.zeros_like(p) if p.grad is None else p.grad
             for n, p in reference.named_parameters()}  # fmt: skip
    wanted = renamed(grads, rules)
    found = {name: p.grad for name, p in ours.named_parameters()}
    assert wanted.keys() == found.keys()
    for name, grad in found.items():
        torch.testing.assert_close(grad, wanted[name], rtol=1e-7, atol=1e-9, msg=name)


# --- patches ---


def test_patches_by_hand():
    picture = torch.arange(16.0).reshape(1, 1, 4, 4)
    found = patchify(picture, 2)
    assert found.tolist() == [[[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]]
    two = patchify(torch.cat([picture, -picture], dim=1), 2)  # channel by channel
    assert two[0, 1].tolist() == [2, 3, 6, 7, -2, -3, -6, -7]


@pytest.mark.parametrize("size, side", [((8, 8), 4), ((6, 10), 2), ((5, 5), 5), ((3, 4), 1)])
def test_patches_times_a_matrix_are_a_strided_convolution(size, side):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    kernel = torch.randn(7, 3, side, side, dtype=torch.float64)
    wanted = F.conv2d(x, kernel, stride=side).flatten(2).transpose(1, 2)  # (B, N, 7)
    torch.testing.assert_close(patchify(x, side) @ kernel.flatten(1).T, wanted)
    unfolded = F.unfold(x, side, stride=side).transpose(1, 2)  # (B, N, C P P)
    assert torch.equal(patchify(x, side), unfolded)
    turned = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(patchify(turned, side), unfolded)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fill pictures of 6 x 9"):
        patchify(torch.zeros(1, 3, 6, 9), 4)
    with pytest.raises(ValueError, match="patches of side 5"):
        ViT(image_size=12, patch=5)
    with pytest.raises(ValueError, match=r"places for \(3, 12, 12\)"):
        ViT(**SMALL)(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"pictures of \(1, 12, 12\)"):
        ViT(**SMALL)(torch.zeros(1, 1, 12, 12))


# --- the same numbers as the libraries' ---


@pytest.mark.parametrize("change", [{}, {"patch": 6, "layers": 1}, {"heads": 4, "ffn": 40}])
def test_torchvision_s_network(change):
    torchvision = pytest.importorskip("torchvision")
    sizes = SMALL | change
    torch.manual_seed(0)
    reference = stirred(torchvision.models.VisionTransformer(
        image_size=12, patch_size=sizes["patch"], num_layers=sizes["layers"],
        num_heads=sizes["heads"], hidden_dim=sizes["width"], mlp_dim=sizes["ffn"], num_classes=5,
    ))  # fmt: skip
    ours = ViT(5, **sizes).double().eval()
    ours.load_state_dict(renamed(reference.state_dict(), TORCHVISION), strict=True)
    x = pictures()
    assert_same(ours, reference, TORCHVISION, reference(x), ours(x))


def hugging_face(name, attention="sdpa", **facts):
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, "DeiTConfig" if "DeiT" in name else "ViTConfig")(
        image_size=12, patch_size=4, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, num_labels=5, attn_implementation=attention,
    )  # fmt: skip
    torch.manual_seed(0)
    return stirred(getattr(transformers, name)(config, **facts))


@pytest.mark.parametrize("name", ["ViTModel", "DeiTModel"])
def test_hugging_face_s_bare_networks(name):
    reference = hugging_face(name, add_pooling_layer=False)
    ours = (DeiT if "DeiT" in name else ViT)(0, eps=1e-12, **SMALL).double().eval()
    ours.load_state_dict(renamed(reference.state_dict(), HUGGING_FACE), strict=True)
    x = pictures()
    wanted = reference(x).last_hidden_state
    assert_same(ours, reference, HUGGING_FACE, wanted, ours.features(x))


@pytest.mark.parametrize(
    "name", ["ViTForImageClassification", "DeiTForImageClassificationWithTeacher"]
)
def test_hugging_face_s_classifiers(name):
    reference = hugging_face(name)
    ours = (DeiT if "DeiT" in name else ViT)(5, eps=1e-12, **SMALL).double().eval()
    ours.load_state_dict(renamed(reference.state_dict(), HUGGING_FACE), strict=True)
    x = pictures()
    out = reference(x)
    assert_same(ours, reference, HUGGING_FACE, out.logits, ours(x))
    if "DeiT" in name:
        pairs = zip(ours(x, both=True), (out.cls_logits, out.distillation_logits), strict=True)
        for mine, theirs in pairs:
            torch.testing.assert_close(mine, theirs)


def test_the_maps_are_hugging_face_s():
    reference = hugging_face("ViTForImageClassification", attention="eager")
    ours, kept = ViT(5, eps=1e-12, **SMALL).double().eval(), []
    ours.load_state_dict(renamed(reference.state_dict(), HUGGING_FACE), strict=True)
    ours(pictures(), kept)
    theirs = reference(pictures(), output_attentions=True).attentions
    for mine, weights in zip(kept, theirs, strict=True):  # its softmax is in float32
        torch.testing.assert_close(mine, weights, rtol=1e-5, atol=1e-6)


def test_files_of_hugging_face_from_before_version_5_have_other_names():
    reference = hugging_face("ViTForImageClassification")
    older = {}
    for name, value in reference.state_dict().items():
        for pattern, old in [
            (r"vit\.layers\.", "vit.encoder.layer."),
            (r"attention\.q_proj", "attention.attention.query"),
            (r"attention\.k_proj", "attention.attention.key"),
            (r"attention\.v_proj", "attention.attention.value"),
            (r"attention\.o_proj", "attention.output.dense"), (r"mlp\.fc1", "intermediate.dense"),
            (r"mlp\.fc2", "output.dense"),
        ]:  # fmt: skip
            name = re.sub(pattern, old, name)
        older[name] = value
    newer = renamed(reference.state_dict(), HUGGING_FACE)
    found = renamed(older, HUGGING_FACE)
    assert found.keys() == newer.keys() == ViT(5, **SMALL).state_dict().keys()
    assert all(torch.equal(found[name], newer[name]) for name in found)


# --- attention ---


def test_kept_maps_change_nothing_and_their_rows_sum_to_one():
    model, kept = stirred(ViT(5, **SMALL)), []
    x = pictures()
    torch.testing.assert_close(model(x, kept), model(x))
    assert [tuple(layer.shape) for layer in kept] == [(3, 2, 10, 10)] * 2
    torch.testing.assert_close(torch.stack(kept).sum(-1), torch.ones(2, 3, 2, 10).double())


def test_without_places_a_vit_cannot_see_where_its_patches_are():
    model = stirred(ViT(5, **SMALL))
    x = pictures(side=12)
    turned = torch.roll(x, 4, dims=3)  # by one patch, round the edge: the same patches elsewhere
    assert not torch.allclose(model(x), model(turned))
    with torch.no_grad():
        model.positions.zero_()
    torch.testing.assert_close(model(x), model(turned))


# --- rollout ---


def test_rollout_by_hand():
    one = torch.tensor([[[[0.5, 0.5], [0.0, 1.0]]]])  # (1, 1, 2, 2)
    two = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])
    # (A + I) / 2: [[3/4, 1/4], [0, 1]] and [[1/2, 1/2], [1/2, 1/2]]; the first stands right
    assert rollout([one]).tolist() == [[[0.75, 0.25], [0.0, 1.0]]]
    assert rollout([one, two]).tolist() == [[[0.375, 0.625], [0.375, 0.625]]]


def test_rows_of_a_rollout_sum_to_one_and_heads_are_averaged():
    kept = [torch.rand(3, 4, 6, 6, dtype=torch.float64).softmax(-1) for _ in range(5)]
    found = rollout(kept)
    assert found.shape == (3, 6, 6) and found.min() > 0
    torch.testing.assert_close(found.sum(-1), torch.ones(3, 6).double())
    one_head = [layer.mean(1, keepdim=True) for layer in kept]
    torch.testing.assert_close(rollout(one_head), found)
    for row in range(3):
        alone = rollout([layer[row : row + 1] for layer in kept])
        torch.testing.assert_close(alone, found[row : row + 1])


# --- learning ---


def test_the_distillation_loss_is_the_mean_of_two_cross_entropies():
    model, x = stirred(DeiT(5, **SMALL)), pictures()
    labels, teacher = torch.tensor([0, 1, 4]), torch.randn(3, 5)
    first, second = model(x, both=True)
    wanted = (F.cross_entropy(first, labels) + F.cross_entropy(second, teacher.argmax(1))) / 2
    torch.testing.assert_close(distillation_loss((first, second), labels, teacher), wanted)
    torch.testing.assert_close(model(x), (first + second) / 2)
    distillation_loss(model(x, both=True), labels, teacher).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("kind", [ViT, DeiT])
def test_a_small_one_learns_32_pictures_by_heart(kind):
    torch.manual_seed(0)
    x, labels = torch.randn(32, 3, 12, 12), torch.arange(32) % 5
    model = kind(5, **SMALL)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        if kind is DeiT:  # a teacher that knows
            loss = distillation_loss(model(x, both=True), labels, F.one_hot(labels, 5))
        else:
            loss = F.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (model(x).argmax(1) == labels).all() and loss < 0.1


@pytest.mark.parametrize("layers, patch, width", [(6, 4, 128), (2, 8, 48)])
def test_the_weights_are_as_many_as_page_10_counts(layers, patch, width):
    tokens, ffn, classes = 1 + (32 // patch) ** 2, 4 * width, 10
    blocks = layers * (4 * width**2 + 2 * width * ffn + 9 * width + ffn)
    rest = 3 * patch**2 * width + width + width + tokens * width + 2 * width
    counted = blocks + rest + classes * (width + 1)
    model = ViT(classes, 32, patch, width, 4, layers)
    assert sum(p.numel() for p in model.parameters()) == counted
    if layers == 6:
        assert counted == 1_205_898


def test_waves_of_the_grid_tell_row_and_column():
    waves = grid_waves(4, 16)  # (16, 16)
    row, column = waves[:, :8].unflatten(0, (4, 4)), waves[:, 8:].unflatten(0, (4, 4))
    assert (row == row[:, :1]).all() and (column == column[:1]).all()
    torch.testing.assert_close(row[:, 0], sinusoids(torch.arange(4), 8))
    torch.testing.assert_close(column[0], sinusoids(torch.arange(4), 8))
    model = ViT(10, 16, 4, 16, 2, 1, places="waves")
    torch.testing.assert_close(model.positions[1:].data, waves)
    with pytest.raises(ValueError, match="divisible by 4"):
        grid_waves(4, 6)
