"""Class activation maps: their formulas against each other, and their scores on known networks."""

import copy
import math

import pytest
import torch
from scipy.stats import rankdata, spearmanr
from torch import nn
from torch.nn import functional as F

from chapter_04_cnn_classic.layers import use_course_layers
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
    assert math.isnan(methods.rank_correlation(a, torch.zeros(5, 5)))  # empty: nothing is ranked
    assert math.isnan(methods.rank_correlation(torch.ones(5, 5), torch.ones(5, 5)))
    with_nan = a.clone().fill_diagonal_(math.nan)
    assert math.isnan(methods.rank_correlation(a, with_nan))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_equal_values_share_the_mean_of_their_ranks(dtype):
    values = torch.randint(0, 4, (60,), generator=torch.Generator().manual_seed(0)).to(dtype)
    expected = torch.from_numpy(rankdata(values.double().numpy(), method="average"))
    assert torch.equal(methods.ranks(values), expected)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_two_sparse_maps_do_not_agree_by_their_zeros(share):
    """Zeros in common are ties: numbered in reading order, they agreed with 0.5 and more."""
    first, second = torch.rand(2, 24, 24, generator=torch.Generator().manual_seed(3))
    first[first < share], second[second < share] = 0, 0
    expected = spearmanr(first.flatten().numpy(), second.flatten().numpy()).statistic
    assert abs(expected) < 0.1
    assert methods.rank_correlation(first, second) == pytest.approx(expected, abs=1e-9)


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


# --- nothing is disturbed, nothing is misread ---


class Rewriting(nn.Module):
    """Batch normalisation, dropout, and every step that can be done in place done in place."""

    def __init__(self, inplace):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.relu, self.drop = nn.ReLU(inplace), nn.Dropout(0.5)
        self.second, self.fc = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 4)
        self.unused = nn.Conv2d(3, 3, 1)
        self.inplace = inplace

    def forward(self, x):
        x = x.mul_(2) if self.inplace else x * 2
        x = self.relu(self.bn(self.conv(x)))
        x = F.relu(self.second(x), inplace=self.inplace)
        return self.fc(self.drop(x).mean(dim=(2, 3)))


@pytest.fixture
def networks():
    """The same network with and without in-place steps."""
    torch.manual_seed(4)
    clean, rewriting = Rewriting(False), Rewriting(True)
    for parameter in (clean.bn.weight, clean.bn.bias):
        nn.init.uniform_(parameter, -1, 1)
    nn.init.uniform_(clean.bn.running_var, 0.5, 2)
    rewriting.load_state_dict(clean.state_dict())
    return clean.eval(), rewriting.eval()


@pytest.mark.parametrize("layer", ["bn", "second"])
@pytest.mark.parametrize("name", ["grad_cam", "grad_cam_pp", "score_cam", "integrated_gradients"])
def test_a_later_in_place_step_does_not_change_what_a_layer_gave(networks, x, name, layer):
    before = x.clone()
    expected, got = (
        methods.METHODS[name](model, x, 1, model.get_submodule(layer)) for model in networks
    )
    assert expected.max() == 1
    torch.testing.assert_close(got, expected)
    assert torch.equal(x, before), "nor the picture"


def test_the_gradient_is_that_of_the_layers_own_output(networks, x):
    clean, rewriting = networks
    maps = clean.bn(clean.conv(2 * x)).detach().requires_grad_()
    logit = clean.fc(clean.second(maps.relu()).relu().mean(dim=(2, 3)))[0, 2]
    look = methods.look_at(rewriting, x, 2, rewriting.bn)
    assert (maps < 0).any()
    torch.testing.assert_close(look.activation, maps.detach())
    torch.testing.assert_close(look.gradient, torch.autograd.grad(logit, maps)[0])


RAMP = torch.linspace(0, 1, SIDE * SIDE).view(SIDE, SIDE)
LOOKS = {
    **methods.METHODS,
    "attributions": lambda model, x, label, layer: methods.attributions(model, x, label),
    "deletion_insertion": lambda model, x, label, layer: torch.tensor(
        methods.deletion_insertion(model, x, label, RAMP)["score"]
    ),
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_in_training_mode_moves_nothing_and_shows_the_same(model, x, name):
    expected = LOOKS[name](model, x, 1, model.layer3)
    model.train()
    model.layer1.eval()  # frozen by hand: every module's own mode comes back
    modes = [module.training for module in model.modules()]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.testing.assert_close(LOOKS[name](model, x, 1, model.layer3), expected, rtol=0, atol=0)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("block", [torch.inference_mode, torch.no_grad])
def test_a_look_works_without_gradients_around_it(model, x, name, block):
    expected = LOOKS[name](model, x, 1, model.layer3)
    with block():
        inside = LOOKS[name](model, x.clone(), 1, model.layer3)
    torch.testing.assert_close(inside, expected, rtol=0, atol=0)
    assert name == "deletion_insertion" or not inside.is_inference()


@pytest.mark.parametrize("name", LOOKS)
def test_one_picture_and_a_known_class_are_needed(model, x, name):
    pair = torch.cat([x, x])
    for wrong in (pair, x[0], x[None], pair[:0]):
        with pytest.raises(ValueError, match=r"exactly one picture \(1, C, H, W\) is needed, got"):
            LOOKS[name](model, wrong, 1, model.layer3)
    with pytest.raises(ValueError, match=r"standardised pixels are needed, got torch\.uint8"):
        LOOKS[name](model, x.to(torch.uint8), 1, model.layer3)
    for label in (-1, 4):
        with pytest.raises(ValueError, match=f"no class {label} among 4"):
            LOOKS[name](model, x, label, model.layer3)


@pytest.mark.parametrize("name", ["cam", "grad_cam", "grad_cam_pp", "score_cam"])
def test_a_layer_that_does_not_fit_is_named(networks, x, name):
    model = networks[0]
    with pytest.raises(ValueError, match="not used in the forward pass"):
        methods.METHODS[name](model, x, 0, model.unused)
    with pytest.raises(ValueError, match=r"the layer gives \(1, 4\), not maps"):
        methods.METHODS[name](model, x, 0, model.fc)


def test_weights_that_can_have_no_gradient_are_refused(x):
    with torch.inference_mode():
        model = CifarResNet(1, num_classes=4).eval()
    with pytest.raises(ValueError, match=r"loaded inside torch\.inference_mode"):
        methods.grad_cam(model, x, 0, model.layer3)
    assert methods.cam(model, x, 0, model.layer3).max() == 1  # needs none


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", methods.METHODS)
def test_maps_in_half_precision_are_those_of_full_precision(model, x, name, dtype):
    expected = methods.METHODS[name](model, x, 2, model.layer3)
    half = copy.deepcopy(model).to(dtype)
    heat = methods.METHODS[name](half, x.to(dtype), 2, half.layer3)
    assert heat.dtype == torch.float32 and heat.max() == 1
    torch.testing.assert_close(heat, expected, rtol=0, atol=0.15)
    assert methods.rank_correlation(heat, expected) > 0.9
    scores = [methods.deletion_insertion(m, x.to(m.fc.weight.dtype), 2, expected)
              for m in (half, model)]  # fmt: skip
    assert scores[0]["score"] == pytest.approx(scores[1]["score"], abs=0.02)


def test_an_empty_map_is_empty_in_half_precision_too():
    empty = methods.as_heat(torch.zeros(1, 1, 2, 2, dtype=torch.float16), torch.zeros(1, 3, 8, 8))
    assert torch.equal(empty, torch.zeros(8, 8)) and methods.is_empty(empty)
    mask = torch.ones(8, 8, dtype=torch.bool)
    assert methods.mass_inside(empty, mask) == 0 and not methods.points_inside(empty, mask)


def test_grad_cam_pp_survives_small_gradients(model, x):
    """g^2 and g^3 of the formula are 0 in fp32 below 1e-15; their quotient is not."""
    expected = methods.grad_cam_pp(model, x, 1, model.layer3)
    small = copy.deepcopy(model)
    with torch.no_grad():
        small.fc.weight *= 1e-18
    heat = methods.grad_cam_pp(small, x, 1, small.layer3)
    torch.testing.assert_close(heat, expected, rtol=0, atol=0.1)


def test_a_map_of_another_size_or_with_nan_is_refused(model, x):
    for heat in (torch.zeros(SIDE, SIDE + 1), torch.full((SIDE, SIDE), math.nan)):
        with pytest.raises(ValueError, match=r"a map \(16, 16\) of numbers is needed"):
            methods.deletion_insertion(model, x, 0, heat)


def test_no_more_layers_are_shuffled_than_there_are(networks, model):
    count = len(methods.layers_with_weights(networks[0]))
    assert count == 4
    before = copy.deepcopy(networks[0].state_dict())
    with methods.randomised(networks[0], count):
        now = networks[0].state_dict()
        layers = ("conv", "second", "fc", "unused")
        assert not any(torch.equal(now[f"{m}.weight"], before[f"{m}.weight"]) for m in layers)
    for wrong in (count + 1, 2 * count - 1, -1):
        with (
            pytest.raises(ValueError, match="has 4 convolutions and linear layers"),
            methods.randomised(networks[0], wrong),
        ):
            pass


def test_the_courses_own_layers_are_seen_too(model, x):
    ours = use_course_layers(copy.deepcopy(model))
    assert len(methods.layers_with_weights(ours)) == len(methods.layers_with_weights(model)) > 3
    for name in methods.METHODS:
        expected = methods.METHODS[name](model, x, 1, model.layer3)
        got = methods.METHODS[name](ours, x, 1, ours.layer3)
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)


def test_a_finer_layer_can_be_asked_for(model, x):
    assert methods.default_layer(model, x) is methods.default_layer(model, x, SIDE // 4)
    with torch.no_grad(), methods.watching(methods.default_layer(model, x, SIDE // 2)) as seen:
        model(x)
    assert seen[-1].shape[-1] == SIDE // 2
    with pytest.raises(ValueError, match="no layer that gives maps of 17 places"):
        methods.default_layer(model, x, SIDE + 1)
