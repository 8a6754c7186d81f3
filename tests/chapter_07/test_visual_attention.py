"""SE, CBAM and SCSA as attention: plain loops, gradients, symmetries, costs, the experiment."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chapter_05_resnet_modern_cnn.src.architectures.attention_blocks import (
    CBAM,
    SqueezeExcitation,
)
from chapter_05_resnet_modern_cnn.src.architectures.residual_block import ResidualBlock
from chapter_05_resnet_modern_cnn.src.architectures.resnet import CifarResNet
from chapter_07_attention_mechanism import exp_visual_attention as script
from chapter_07_attention_mechanism.experiments import small_shapes
from chapter_07_attention_mechanism.experiments import visual_attention as experiment
from chapter_07_attention_mechanism.figures.visual_attention import places_figure, results_figure
from chapter_07_attention_mechanism.visual_attention import (
    SCSA,
    ChannelSelfAttention,
    SpatialSelfAttention,
    attend_channels,
    multiply_accumulates,
    put_attention,
)
from utils.seed import generator


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def made(layer: nn.Module, seed: int = 0) -> nn.Module:
    """The layer in float64, every parameter random: also those that start at 0 or 1."""
    rng = generator(seed)
    for parameter in layer.double().parameters():
        parameter.data = torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
    return layer


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def normed(x: np.ndarray, groups: int, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Group normalisation of (C, ...) in plain NumPy."""
    parts = x.reshape(groups, -1)
    parts = (parts - parts.mean(1, keepdims=True)) / np.sqrt(parts.var(1, keepdims=True) + 1e-5)
    shape = (-1, *[1] * (x.ndim - 1))
    return parts.reshape(x.shape) * weight.reshape(shape) + bias.reshape(shape)


def loops(layer: SCSA, x: np.ndarray) -> np.ndarray:
    """SCSA of one picture (C, H, W), number by number, as the paper's equations say it."""
    p = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    channels, height, width = x.shape
    groups, lines = len(layer.spatial.convs), {}
    for axis, side, name in ((2, height, "norm_h"), (1, width, "norm_w")):
        line, out = x.mean(axis=axis), np.zeros((channels, side))
        for c in range(channels):
            group, inner = divmod(c, channels // groups)
            kernel = p[f"spatial.convs.{group}.weight"][inner, 0]
            for i in range(side):
                out[c, i] = p[f"spatial.convs.{group}.bias"][inner]
                for k, weight in enumerate(kernel):
                    j = i + k - len(kernel) // 2
                    out[c, i] += weight * line[c, j] if 0 <= j < side else 0
        facts = p[f"spatial.{name}.weight"], p[f"spatial.{name}.bias"]
        lines[name] = np.vectorize(sigmoid)(normed(out, groups, *facts))
    y = x * lines["norm_h"][:, :, None] * lines["norm_w"][:, None, :]
    h, w = min(layer.channel.window, height), min(layer.channel.window, width)
    pooled = np.zeros((channels, height // h, width // w))
    for i in range(height // h):
        for j in range(width // w):
            window = y[:, i * h : (i + 1) * h, j * w : (j + 1) * w]
            pooled[:, i, j] = window.mean(axis=(1, 2))
    z = normed(pooled, 1, p["channel.norm.weight"], p["channel.norm.bias"]).reshape(channels, -1)
    q, k, v = (z * p[f"channel.{name}.weight"].reshape(-1, 1) for name in "qkv")
    out = np.zeros_like(y)
    for a in range(channels):
        scores = [math.exp(q[a] @ k[b] / math.sqrt(channels)) for b in range(channels)]
        found = sum(s * v[b] for b, s in enumerate(scores)) / sum(scores)
        out[a] = y[a] * sigmoid(found.mean())
    return out


@pytest.mark.parametrize(
    ("shape", "window", "kernels"),
    [
        ((8, 9, 7), 3, (3, 5, 7, 9)),  # windows that leave a row out
        ((8, 4, 6), 2, (3, 5, 7, 9)),  # kernels longer than the line
        ((4, 5, 5), 7, (3, 5)),  # a map smaller than the window
        ((4, 1, 1), 7, (3, 5, 7, 9)),
    ],
)
def test_scsa_is_the_papers_formula(shape, window, kernels):
    layer = made(SCSA(shape[0], window, kernels))
    x = random(2, *shape)
    expected = np.stack([loops(layer, picture) for picture in x.numpy()])
    torch.testing.assert_close(layer(x), torch.from_numpy(expected), rtol=1e-7, atol=1e-12)
    single = layer.float()(x.float())
    torch.testing.assert_close(single, torch.from_numpy(expected).float(), rtol=1e-4, atol=1e-6)


def test_the_gradient_is_that_of_finite_differences():
    layer = made(SCSA(4, window=2, kernels=(3, 5)))
    x = random(1, 4, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,), fast_mode=True)
    names = [name for name, _ in layer.named_parameters()]
    values = tuple(p.detach().requires_grad_() for p in layer.parameters())

    def by_parameters(*given):
        return torch.func.functional_call(
            layer, dict(zip(names, given, strict=True)), (x.detach(),)
        )

    assert torch.autograd.gradcheck(by_parameters, values, fast_mode=True)


@pytest.mark.parametrize("squeezed", [1, 3])
def test_se_is_attention_over_channels_with_a_sigmoid(squeezed):
    layer, x = made(SqueezeExcitation(6, squeezed)), random(2, 6, 4, 3)
    scores = layer.fc2(layer.activation(layer.fc1(layer.avgpool(x)))).flatten(1)
    torch.testing.assert_close(layer(x), attend_channels(x, scores), rtol=1e-7, atol=1e-12)
    shared = attend_channels(torch.ones(2, 6, 4, 3), scores, lambda s: s.softmax(-1))
    torch.testing.assert_close(shared.sum(1), torch.ones(2, 4, 3, dtype=torch.float64))
    assert attend_channels(torch.ones(1, 6, 1, 1), torch.full((1, 6), 9.0)).sum() > 5.9  # all open


def test_rows_of_the_channel_attention_sum_to_one_and_gates_are_open_between_0_and_1():
    attention, gate = made(ChannelSelfAttention(8, 2)).weights(random(3, 8, 6, 6))
    torch.testing.assert_close(attention.sum(-1), torch.ones(3, 8, dtype=torch.float64))
    assert gate.shape == (3, 8) and 0 < gate.min() < gate.max() < 1


def permuted(layer: ChannelSelfAttention, order: torch.Tensor) -> ChannelSelfAttention:
    """The layer with its channels renamed, each with its own numbers."""
    other = ChannelSelfAttention(len(order), layer.window).double()
    state = {name: value[order] for name, value in layer.state_dict().items()}
    other.load_state_dict(state)
    return other


def test_channels_have_no_order():
    layer, x = made(ChannelSelfAttention(8, 2)), random(2, 8, 6, 6)
    order = torch.tensor([3, 0, 7, 5, 1, 2, 6, 4])
    torch.testing.assert_close(permuted(layer, order)(x[:, order]), layer(x)[:, order])
    assert not torch.allclose(layer(x[:, order]), layer(x)[:, order])  # its numbers do have one
    for name in "qkv":  # without numbers of its own a channel is only a token
        getattr(layer, name).weight.data.fill_(0.7)
    nn.init.ones_(layer.norm.weight)
    nn.init.zeros_(layer.norm.bias)
    torch.testing.assert_close(layer(x[:, order]), layer(x)[:, order])


def test_spatial_weights_are_a_product_of_rows_and_columns():
    layer, x = made(SpatialSelfAttention(8)), random(2, 8, 5, 7)
    rows, columns = layer.weights(x)
    assert rows.shape == (2, 8, 5, 1) and columns.shape == (2, 8, 1, 7)
    torch.testing.assert_close(layer(x), x * (rows @ columns))
    turned = SpatialSelfAttention(8).double()
    state = layer.state_dict()
    swap = {"norm_h": "norm_w", "norm_w": "norm_h"}
    turned.load_state_dict({swap.get(k[:6], k[:6]) + k[6:]: v for k, v in state.items()})
    torch.testing.assert_close(turned(x.mT), layer(x).mT)  # the convolutions are shared


def test_channels_and_kernels_must_fit():
    with pytest.raises(ValueError, match="multiple of 4, not 6"):
        SCSA(6)
    with pytest.raises(ValueError, match=r"odd to keep the map's size, not \(3, 4\)"):
        SpatialSelfAttention(4, (3, 4))


@pytest.mark.parametrize("name", ["none", "se", "cbam", "scsa"])
@pytest.mark.parametrize("blocks", [1, 2])
def test_the_block_drops_into_chapter_5s_network(name, blocks):
    torch.manual_seed(0)
    plain = CifarResNet(blocks, 10, widths=(8, 16, 32), shortcut="B")
    before = {key: value.clone() for key, value in plain.state_dict().items()}
    network = put_attention(plain, name)
    state = network.state_dict()
    assert all(torch.equal(state[key], value) for key, value in before.items())
    network(torch.randn(2, 3, 16, 16)).sum().backward()
    kinds = {"none": nn.Identity, "se": SqueezeExcitation, "cbam": CBAM, "scsa": SCSA}
    found = [block.attention for block in network.modules() if isinstance(block, ResidualBlock)]
    assert len(found) == 3 * blocks and all(type(a) is kinds[name] for a in found)
    assert all(p.grad is not None for p in network.parameters())
    if name in ("se", "cbam"):  # where and as chapter 5 itself puts it
        built = CifarResNet(blocks, 10, widths=(8, 16, 32), shortcut="B", attention=name)
        built.load_state_dict(state, strict=True)
        x = torch.randn(2, 3, 16, 16)
        torch.testing.assert_close(built.eval()(x), network.eval()(x))


def test_an_unknown_attention_is_named():
    with pytest.raises(ValueError, match="none, se, cbam, scsa, not 'eca'"):
        put_attention(CifarResNet(1), "eca")


@pytest.mark.parametrize("name", ["none", "se", "cbam", "scsa"])
@pytest.mark.parametrize(("channels", "side"), [(16, 28), (64, 14), (32, 5)])
def test_the_cost_formula_counts_what_is_multiplied(name, channels, side):
    """Against a count of the layers' own shapes, and of the two products of the attention."""
    if name == "none":
        assert multiply_accumulates(name, channels, side, side) == 0
        return
    block = put_attention(CifarResNet(1, widths=(channels,) * 3), name).layer1[0].attention
    counted = [0]

    def count(layer, _, output):
        per_output = layer.weight[0].numel()
        counted[0] += per_output * output.numel()

    for layer in block.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            layer.register_forward_hook(count)
    block(torch.randn(1, channels, side, side))
    if name == "scsa":
        places = block.channel.pooled(torch.randn(1, channels, side, side))[0, 0].numel()
        counted[0] += 2 * channels * channels * places
    assert multiply_accumulates(name, channels, side, side) == counted[0]


# --- the experiment ---


def test_the_area_under_the_curve_is_the_share_of_pairs():
    weights = torch.tensor([[0.9, 0.1], [0.5, 0.5]])
    inside = torch.tensor([[True, False], [True, False]])
    assert experiment.auc(weights, inside) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert experiment.auc(-weights, inside) == pytest.approx(1 - 3.5 / 4)
    masks = experiment.box_masks(np.array([[1, 0, 3, 2]]), size=4)
    assert masks[0].nonzero().tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]
    box = np.array([[3, 5, 11, 12]])
    exact = experiment.box_masks(box).float()  # (1, 24, 24)
    assert experiment.aucs([exact, -exact, torch.ones(1, 24, 24)], box) == [100, 0, 50]


def test_small_shapes_are_small_inside_the_picture_and_repeatable():
    part = small_shapes.scenes(200, 0.5, seed=7)
    again = small_shapes.scenes(60, 0.5, seed=7)
    assert np.array_equal(part.images[:60], again.images)
    boxes = part.boxes[:, 0]
    sides = boxes[:, 2:] - boxes[:, :2]
    assert boxes.min() >= 0 and boxes.max() <= 24 and sides.min() >= 3 and sides.max() <= 13
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert centres.min() < 6 and centres.max() > 18  # spread over the picture again
    whole = small_shapes.scenes(200, 1.0, seed=7)
    shrunk = part.masks.sum((1, 2, 3)) / whole.masks.sum((1, 2, 3))
    assert np.median(shrunk) == pytest.approx(0.25, abs=0.04)


def test_the_place_is_nearly_the_whole_task_and_the_parts_are_disjoint():
    task, train, test = small_shapes.load_data(800, 100, 0.6)
    marks = small_shapes.baselines(task, train, test)
    assert marks["told"] > 97 and marks["chance"] < 20
    assert marks["chance"] < marks["histogram"] < 50
    pictures = {
        part: {p.tobytes() for p in getattr(task, part)[0].numpy()}
        for part in ("train", "val", "test")
    }
    assert not pictures["train"] & pictures["test"] and not pictures["val"] & pictures["test"]


def test_maps_are_the_weights_that_scale():
    """A network whose attention is watched: the map is what its output was multiplied with."""
    setting = experiment.Setting(widths=(8, 8, 8))
    x = torch.randn(2, 3, 32, 32)
    for name in ("cbam", "scsa"):
        network = experiment.make_network(name, 1, setting).eval()
        seen = {}
        spatial = network.layer1[0].attention.spatial
        spatial.register_forward_hook(
            lambda _, inputs, output, seen=seen: seen.update(ratio=output / inputs[0])
        )
        maps = experiment.maps_of(network, x)
        assert [m.shape for m in maps] == [(2, 32, 32)] * 3
        ratio = torch.nan_to_num(seen["ratio"], nan=0.0).mean(1)
        if name == "cbam":  # one map for all channels: wherever a channel is not 0
            ratio = torch.nan_to_num(seen["ratio"], nan=0.0).amax(1)
        torch.testing.assert_close(maps[0], ratio, rtol=1e-4, atol=1e-4)
    assert len(experiment.maps_of(experiment.make_network("none", 1, setting), x)) == 3


def test_networks_of_a_seed_share_all_other_weights():
    setting = experiment.Setting()
    plain = experiment.make_network("none", 3, setting).state_dict()
    for name in ("se", "cbam", "scsa"):
        state = experiment.make_network(name, 3, setting).state_dict()
        assert all(torch.equal(state[key], value) for key, value in plain.items())
        assert len(state) > len(plain)


def test_the_control_of_equal_time_is_the_plain_network_trained_twice_as_long():
    setting = experiment.Setting(epochs=3)
    assert setting.recipe("longer").epochs == 6 and setting.recipe("scsa").epochs == 3
    longer, plain = (
        experiment.make_network(n, 3, setting).state_dict() for n in ("longer", "none")
    )
    assert list(longer) == list(plain)
    assert all(torch.equal(longer[key], value) for key, value in plain.items())


def test_the_centre_prior_is_largest_in_the_middle():
    prior = experiment.centre_prior(8)
    assert prior.argmax() in (27, 28, 35, 36) and prior.argmin() in (0, 7, 56, 63)
    middle = torch.zeros(8, 8, dtype=torch.bool)
    middle[3:5, 3:5] = True
    assert experiment.auc(prior, middle) == 1


def fake_row(test: float, seed: int) -> dict:
    maps = [np.full((experiment.SHOWN, 32, 32), seed).tolist()] * 3
    areas = [50.0 + seed, 60.0, 70.0]
    return {
        "val": [10.0, test], "train": test, "test": test, "cpu_seconds": 1.0, "parameters": 1234,
        "auc": {"trained": areas, "untrained": [50.0] * 3}, "maps": maps, "maps_untrained": maps,
    }  # fmt: skip


def test_differences_are_taken_seed_by_seed_and_shown_beside_the_controls():
    results = {
        "none": [fake_row(50, 0), fake_row(60, 2)],
        "cbam": [fake_row(53, 0), fake_row(61, 2)],
    }
    boxes = np.tile([[4, 4, 12, 12]], (5, 1))
    metrics = experiment.collect(results, {"none": 1.0, "cbam": 1.5}, boxes)
    assert metrics["rows"]["cbam"]["gain"] == (2, 1)
    assert metrics["rows"]["cbam"]["auc"]["trained"][0] == (51, 1)
    metrics["baselines"] = {"told": 100.0, "histogram": 25.0, "chance": 10.0}
    tables = experiment.tables(metrics)
    main = tables["main"]["rows"]
    assert [row[0]["en"] for row in main[:2]] == ["no attention", "CBAM"] and main[0][3] is None
    assert main[-1][2] == 10.0 and len(tables["places"]["rows"]) == 5
    assert len(results_figure(metrics).axes) == 2
    shown = script.shown_maps(results, np.zeros((9, 32, 32, 3), np.uint8), boxes)
    assert len(places_figure(shown).axes) == 5 * experiment.SHOWN


@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_no_half_epochs_are_drawn(epochs):
    row = {"val_curves": [[50.0] * epochs], "tests": [50.0], "test": (50.0, 0.0)}
    baselines = {"told": 100.0, "histogram": 25.0, "chance": 10.0}
    figure = results_figure({"rows": {"none": row}, "baselines": baselines})
    ticks = figure.axes[0].get_xticks()
    assert set(range(1, epochs + 1)) <= set(ticks) and (ticks % 1 == 0).all()


def test_a_stopped_run_goes_on_with_the_rows_that_are_left(tmp_path, monkeypatch, capsys):
    done = []

    def quick_row(name, seed, task, boxes, setting, **where):
        done.append((name, seed))
        return fake_row(50, seed % 2)

    monkeypatch.setattr(script, "train_one", quick_row)
    monkeypatch.setattr(script, "step_ratios", lambda kinds, *_: dict.fromkeys(kinds, 1.0))
    marks = {"told": 100.0, "histogram": 25.0, "chance": 10.0}
    monkeypatch.setattr(script, "baselines", lambda *_: marks)
    words = ["--kinds", "cbam", "--pictures", "200", "--output_dir", str(tmp_path)]
    assert script.main([*words, "--run_name", "a", "--seeds", "1"]) == 0
    folder = tmp_path / "chapter_07_attention_mechanism" / "exp_visual_attention-a"
    assert script.main(["--resume", str(folder), "--seeds", "2"]) == 0
    assert done == [("none", 42), ("cbam", 42), ("none", 43), ("cbam", 43)]
    assert (folder / "visual_attention.json").is_file()
    assert (folder / "visual_attention_places.png").is_file()


def test_steps_take_turns_and_the_first_is_1():
    ratios = experiment.step_ratios(["none", "scsa"], experiment.Setting(batch=4), rounds=2)
    assert ratios["none"] == 1 and ratios["scsa"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kinds", "eca"], "invalid choice: 'eca'"),
        (["--factor", "1.5"], "'1.5' is not a number from 0 to 1"),
        (["--epochs", "0"], "'0' is not a whole number above 0"),
    ],
)
def test_bad_options_are_one_sentence(words, said, capsys):
    with pytest.raises(SystemExit) as stop:
        script.main(words)
    assert stop.value.code == 2 and said in capsys.readouterr().err


def test_softmax_and_sigmoid_gates_differ_in_what_they_share():
    x, scores = torch.ones(1, 4, 1, 1), torch.zeros(1, 4)
    assert attend_channels(x, scores).flatten().tolist() == [0.5] * 4
    shared = attend_channels(x, scores, lambda s: F.softmax(s, -1))
    assert shared.flatten().tolist() == [0.25] * 4
