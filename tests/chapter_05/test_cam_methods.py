"""Class activation maps: their formulas against each other, and their scores on known networks."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chapter_05_resnet_modern_cnn.src import cam_methods as methods
from chapter_05_resnet_modern_cnn.src.architectures.resnet import CifarResNet

SIDE = 16


@pytest.fixture
def model():
    torch.manual_seed(0)
    return CifarResNet(1, num_classes=4).eval().requires_grad_(False)


@pytest.fixture
def x():
    return torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


class Corner(nn.Module):
    """Class 1 is as likely as the upper left quarter is bright; one map of one channel."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.conv.weight)

    def forward(self, x):
        maps = self.conv(x)
        bright = maps[:, :, : SIDE // 2, : SIDE // 2].mean(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(bright), 4 * bright - 2], dim=1)  # (B, 2)


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_method_gives_a_map_of_the_picture(model, x, name):
    heat = methods.METHODS[name](model, x, 2, model.layer3)
    assert heat.shape == (SIDE, SIDE)
    assert heat.min() >= 0 and heat.max() == pytest.approx(1)
    assert not any(p.requires_grad for p in model.parameters())


def test_grad_cam_is_cam_where_the_network_ends_in_an_average(model, x):
    for label in range(4):
        pair = [methods.METHODS[n](model, x, label, model.layer3) for n in ("cam", "grad_cam")]
        torch.testing.assert_close(*pair, rtol=1e-4, atol=1e-5)


def test_cam_shares_out_the_logit(model, x):
    with torch.no_grad(), methods.watching(model.layer3) as seen:
        logit = model(x)[0, 1]
    places = torch.einsum("nkhw,k->hw", seen[0], model.fc.weight[1])
    torch.testing.assert_close(places.mean() + model.fc.bias[1], logit)


def test_cam_needs_an_average_and_a_linear_layer(model, x):
    for layer in (model.layer1, model.layer3[0].conv2):  # too few channels; as many, but earlier
        with pytest.raises(ValueError, match="ends in an average"):
            methods.cam(model, x, 0, layer)


def test_integrated_gradients_add_up_to_the_difference(model, x):
    shares = methods.attributions(model, x, 3, steps=400)
    with torch.no_grad():
        difference = (model(x) - model(torch.zeros_like(x)))[0, 3]
    assert shares.sum().item() == pytest.approx(difference.item(), rel=0.02)


def test_integrated_gradients_of_a_linear_network_are_weight_times_pixel(x):
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 2))
    shares = methods.attributions(linear, x, 1, steps=3)
    torch.testing.assert_close(shares.flatten(), linear[1].weight[1].detach() * x.flatten())


@pytest.mark.parametrize("name", ["grad_cam", "grad_cam_pp", "integrated_gradients"])
def test_the_evidence_is_found_where_it_is(name):
    corner, x = Corner(), torch.rand(1, 1, SIDE, SIDE) + 0.5
    heat = methods.METHODS[name](corner, x, 1, corner.conv)
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[: SIDE // 2, : SIDE // 2] = True
    if name == "integrated_gradients":
        assert methods.mass_inside(heat, mask) == pytest.approx(1)
    else:  # one weight for the whole channel: these cannot tell places of one map apart
        assert methods.mass_inside(heat, mask) == pytest.approx(
            (x[0, 0][mask].sum() / x.sum()).item(), rel=1e-5
        )


def test_the_hottest_part_and_the_maximum_are_found():
    heat = torch.zeros(SIDE, SIDE)
    heat[0, 0], heat[3, 3] = 1.0, 0.4
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[0, 0] = True
    assert methods.mass_inside(heat, mask) == pytest.approx(1 / 1.4)
    assert methods.mass_inside(methods.hottest(heat), mask) == pytest.approx(1)
    assert methods.points_inside(heat, mask) and not methods.points_inside(heat, ~mask)


def test_a_coarse_mask_spills_over_its_edge():
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[2:6, 2:6] = True
    assert methods.mass_inside(methods.as_coarse_as((8, 8), mask), mask) == pytest.approx(1)
    assert methods.mass_inside(methods.as_coarse_as((2, 2), mask), mask) == pytest.approx(0.25)


def test_a_widened_mask_grows_on_all_sides_and_stays_in_the_picture():
    mask = torch.zeros(6, 8, dtype=torch.bool)
    mask[0, 3] = True
    expected = torch.zeros(6, 8, dtype=torch.bool)
    expected[:2, 1:6] = True
    assert torch.equal(methods.widened(mask, (1, 2)), expected)
    assert torch.equal(methods.widened(mask, (0, 0)), mask)


def test_a_right_map_scores_higher_than_a_wrong_one():
    corner, x = Corner(), torch.rand(1, 1, SIDE, SIDE) + 0.5
    right = torch.zeros(SIDE, SIDE)
    right[: SIDE // 2, : SIDE // 2] = 1
    scores = [methods.deletion_insertion(corner, x, 1, heat) for heat in (right, 1 - right)]
    assert scores[0]["score"] > scores[1]["score"]
    assert scores[0]["deletion"] < scores[1]["deletion"]
    assert all(0 <= s[key] <= 1 for s in scores for key in ("deletion", "insertion"))


def test_deletion_ends_at_the_mean_picture_and_insertion_at_the_picture(model, x):
    heat = torch.rand(SIDE, SIDE)
    one_step = methods.deletion_insertion(model, x, 0, heat, steps=1)
    with torch.no_grad():
        whole, mean, blurred = (
            model(picture).softmax(1)[0, 0].item()
            for picture in (x, torch.zeros_like(x), methods.blur(x))
        )
    assert one_step["deletion"] == pytest.approx((whole + mean) / 2, abs=1e-5)
    assert one_step["insertion"] == pytest.approx((whole + blurred) / 2, abs=1e-5)


def test_randomised_layers_come_back(model, x):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with methods.randomised(model, 1):
        assert not model.fc.weight.equal(before["fc.weight"])
        assert model.fc.weight.sort().values.shape == before["fc.weight"].shape
        torch.testing.assert_close(
            model.fc.weight.flatten().sort().values, before["fc.weight"].flatten().sort().values
        )
        assert model.conv1.weight.equal(before["conv1.weight"])
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())


def test_rank_correlation():
    a = torch.rand(5, 5)
    assert methods.rank_correlation(a, a.exp()) == pytest.approx(1)
    assert methods.rank_correlation(a, -a) == pytest.approx(-1)
    assert methods.rank_correlation(a, torch.zeros(5, 5)) == 0


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_default_layer_is_what_the_network_averages(version, x):
    model = CifarResNet(1, num_classes=4, version=version).train()
    before = model.bn1.running_mean.clone() if version == "v1" else None
    layer = methods.default_layer(model, x)
    assert model.training and (before is None or model.bn1.running_mean.equal(before))
    with torch.no_grad(), methods.watching(layer) as seen:
        logits = model.eval()(x)
    torch.testing.assert_close(model.fc(seen[0].mean(dim=(2, 3))), logits)


def test_score_cam_weighs_a_channel_by_the_probability_it_leaves():
    """The maps show the upper and the lower half; class 0 is brightness above, class 1 below."""

    class Halves(nn.Module):
        def forward(self, x):
            rows = torch.arange(SIDE)[:, None] < SIDE // 2  # (H, 1)
            return torch.cat([x * rows, x * ~rows], dim=1)  # (B, 2, H, W)

    class TwoClasses(nn.Module):
        def __init__(self):
            super().__init__()
            self.halves = Halves()

        def forward(self, x):
            return 30 * self.halves(x).mean(dim=(2, 3))  # (B, 2)

    model, mask = TwoClasses(), torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[: SIDE // 2] = True
    x = torch.ones(1, 1, SIDE, SIDE)
    above, below = (methods.score_cam(model, x, label, model.halves) for label in (0, 1))
    assert methods.mass_inside(above, mask) > 0.99
    assert methods.mass_inside(below, mask) < 0.01


def test_a_layer_without_maps_is_refused(model, x):
    with pytest.raises(ValueError, match="not maps"):
        methods.grad_cam(model, x, 0, model.fc)


def test_blur_keeps_the_mean_of_a_flat_picture():
    flat = torch.full((1, 3, SIDE, SIDE), 0.7)
    torch.testing.assert_close(methods.blur(flat), flat)
    assert F.mse_loss(methods.blur(torch.randn(1, 3, 32, 32)), torch.zeros(1, 3, 32, 32)) < 0.2
