"""A look into a network disturbs nothing and misreads nothing."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chapter_04_cnn_classic import explain
from chapter_04_cnn_classic.layers import use_course_layers

SIDE = 8


class Restless(nn.Module):
    """BatchNorm, dropout, and steps that write over what was there, the picture included."""

    def __init__(self, inplace=True):
        super().__init__()
        self.conv, self.bn, self.drop = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5)
        self.second, self.fc = nn.Conv2d(3, 3, 3), nn.Linear(3, 2)
        self.inplace = inplace

    def forward(self, x):
        x = x.mul_(3) if self.inplace else x * 3
        x = F.relu(self.bn(self.conv(x)), inplace=self.inplace)
        x = F.relu(self.second(self.drop(x)), inplace=self.inplace)
        return self.fc(x.mean(dim=(2, 3)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = Restless()
    nn.init.uniform_(model.bn.running_var, 0.5, 2)
    return model.eval()


@pytest.fixture
def x():
    return torch.randn(1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


LOOKS = {
    "feature_maps": lambda model, x: explain.feature_maps(model, x[None])[-1].values,
    "occlusion": lambda model, x: explain.occlusion(model, x, 1, positions=3),
    "gradient": lambda model, x: explain.gradient(model, x[None], 1),
    "saliency": lambda model, x: explain.saliency(model, x, 1),
    "smooth_saliency": lambda model, x: explain.smooth_saliency(model, x, 1, samples=3),
}
each_look = pytest.mark.parametrize("name", LOOKS)


@each_look
def test_in_training_mode_it_moves_nothing_and_shows_the_same(model, x, name):
    expected = LOOKS[name](model, x)
    model.train()
    model.second.eval()  # every module's own mode comes back
    modes = [module.training for module in model.modules()]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.testing.assert_close(LOOKS[name](model, x), expected, rtol=0, atol=0)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes


@each_look
def test_steps_in_place_change_neither_the_answer_nor_the_picture(model, x, name):
    clean = Restless(inplace=False).eval()
    clean.load_state_dict(model.state_dict())
    before = x.clone()
    torch.testing.assert_close(LOOKS[name](model, x), LOOKS[name](clean, x))
    assert torch.equal(x, before)


def test_a_feature_map_is_what_its_layer_gave(model, x):
    """Not what a later in-place ReLU made of it."""
    (stage,) = explain.feature_maps(nn.Sequential(model.conv, InPlace()), x[None])[:1]
    expected = F.conv2d(x[None], model.conv.weight, model.conv.bias)[0]
    assert stage.name == "0" and (expected < 0).any()
    torch.testing.assert_close(stage.values, expected.detach())


class InPlace(nn.Module):
    def forward(self, x):
        return F.max_pool2d(F.relu_(x), 2)


@each_look
@pytest.mark.parametrize("block", [torch.inference_mode, torch.no_grad])
def test_it_works_where_gradients_are_off(model, x, name, block):
    expected = LOOKS[name](model, x)
    with block():
        inside = LOOKS[name](model, x.clone())
    torch.testing.assert_close(inside, expected, rtol=0, atol=0)


@each_look
def test_pictures_of_the_wrong_shape_or_kind_are_refused(model, x, name):
    with pytest.raises(ValueError, match=r"pictures? \(.*\) (is|are) needed, got"):
        LOOKS[name](model, torch.stack([x, x]))
    with pytest.raises(ValueError, match=r"standardised pixels are needed, got torch\.uint8"):
        LOOKS[name](model, x.to(torch.uint8))


def test_a_batch_is_not_explained_as_its_first_picture(model, x):
    with pytest.raises(ValueError, match=r"exactly one picture \(1, C, H, W\) is needed"):
        explain.feature_maps(model, torch.stack([x, x]))
    both = explain.gradient(model, torch.stack([x, -x]), 1)  # gradients are one for each picture
    torch.testing.assert_close(both[1:], explain.gradient(model, -x[None], 1))


@pytest.mark.parametrize("name", ["occlusion", "gradient", "saliency", "smooth_saliency"])
@pytest.mark.parametrize("label", [-1, 2])
def test_a_class_that_is_not_there_is_named(model, x, name, label):
    shaped = x[None] if name == "gradient" else x
    with pytest.raises(ValueError, match=f"no class {label} among 2"):
        getattr(explain, name)(model, shaped, label)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_probabilities_of_half_precision_are_subtracted_in_full(model, x, dtype):
    expected = explain.occlusion(model, x, 1, positions=3)
    drop = explain.occlusion(model.to(dtype), x.to(dtype), 1, positions=3)
    assert drop.dtype == torch.float32
    torch.testing.assert_close(drop, expected, rtol=0, atol=0.01)


def test_the_courses_own_convolutions_have_filters_and_maps(model, x):
    maps = explain.feature_maps(model, x[None])
    filters = explain.first_filters(model)
    use_course_layers(model)
    assert torch.equal(explain.first_filters(model), filters)
    for got, expected in zip(explain.feature_maps(model, x[None]), maps, strict=True):
        assert got.name == expected.name
        torch.testing.assert_close(got.values, expected.values)
