"""The classic networks against torchvision and against counts by hand; building and loading."""

import warnings

import pytest
import torch
from torch import nn
from torchvision import models as torchvision_models
from torchvision.models import vgg as torchvision_vgg

from chapter_04_cnn_classic import exp_depth_vgg
from chapter_04_cnn_classic import model as door
from chapter_04_cnn_classic.architectures import alexnet, googlenet, lenet, nin, simple_cnn, vgg
from chapter_04_cnn_classic.architectures.common import he_initialise
from utils.checkpoint import save_checkpoint
from utils.errors import UserError

VGG_WIDTHS = (8, 16, 32, 64, 64)
TWINS = ("alexnet", *vgg.NAMES, "googlenet")
TIGHT = {"rtol": 1e-7, "atol": 1e-10}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def original(name, **options):
    return door.build_model(name, options.pop("num_classes", 1000), 224, **options)


def reference(name, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GoogLeNet announces another initialisation
        return torchvision_models.get_model(name, **options)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


# --- the ImageNet forms and torchvision ---


@pytest.mark.parametrize("name", TWINS)
def test_state_dict_is_torchvisions(name):
    with torch.device("meta"):
        ours, theirs = original(name), reference(name)
    shapes = {key: (value.shape, value.dtype) for key, value in ours.state_dict().items()}
    expected = {key: (value.shape, value.dtype) for key, value in theirs.state_dict().items()}
    assert shapes == expected
    ours.load_state_dict(theirs.state_dict(), strict=True, assign=True)


@pytest.mark.parametrize("name", TWINS)
def test_published_counts_are_torchvisions(name):
    weights = torchvision_models.get_model_weights(name).IMAGENET1K_V1
    count, giga_macs = door.PUBLISHED[name]
    assert count == weights.meta["num_params"]
    assert giga_macs == pytest.approx(weights.meta["_ops"], abs=1e-9)


@pytest.mark.parametrize("name", door.PUBLISHED)
def test_counts_equal_the_published_ones(name):
    cost = door.count(*door.original_form(name))
    count, giga_macs = door.PUBLISHED[name]
    assert cost["parameters"] == pytest.approx(count, rel=0 if isinstance(count, int) else 0.01)
    if giga_macs:
        assert cost["macs"] / 1e9 == pytest.approx(giga_macs, abs=6e-4)


def narrow(name, model, features):
    """With an eighth of VGG's channels, and 16 hidden linear units, so that tests are quick."""
    if name.startswith("vgg"):
        model.features = features
    inputs = 49 * VGG_WIDTHS[-1] if name.startswith("vgg") else model.classifier[1].in_features
    linears = [i for i, layer in enumerate(model.classifier) if isinstance(layer, nn.Linear)]
    for i, sizes in zip(linears, [(inputs, 16), (16, 16), (16, 10)], strict=True):
        model.classifier[i] = nn.Linear(*sizes)
    return model


def pair(name, **options):
    """Ours and torchvision's in float64 with the same, visible weights."""
    with torch.device("meta"):
        ours = original(name, num_classes=10, **options)
        theirs = reference(name, num_classes=10, **options)
        if name != "googlenet":
            ours_features = theirs_features = None
            if name.startswith("vgg"):
                ours_features = vgg.make_features(name, widths=VGG_WIDTHS)
                theirs_features = torchvision_features(name)
            ours = narrow(name, ours, ours_features)
            theirs = narrow(name, theirs, theirs_features)
    ours = ours.double().to_empty(device="cpu")
    theirs = theirs.double().to_empty(device="cpu")
    he_initialise(theirs)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def torchvision_features(name):
    letter = dict(zip(vgg.DEPTHS, "ABDE", strict=True))[name.removesuffix("_bn")]
    plan = [n if n == "M" else n // 8 for n in torchvision_vgg.cfgs[letter]]
    return torchvision_vgg.make_layers(plan, batch_norm=name.endswith("_bn"))


def outputs(model, x, train):
    """All outputs in one row for each picture, and the gradient of the pixels and parameters."""
    model.train(train)
    torch.manual_seed(1)  # the same dropout
    x = x.clone().requires_grad_()
    out = model(x)
    out = torch.cat(list(out), dim=1) if isinstance(out, tuple) else out
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    (out * weights).sum().backward()
    return out.detach(), x.grad, {n: p.grad for n, p in model.named_parameters()}


# The smallest pictures (px) that the networks take; VGG has 32.
SMALLEST = {"alexnet": 63, "googlenet": 15}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", TWINS)
def test_equal_logits_and_gradients(name, train):
    ours, theirs = pair(name)
    size = SMALLEST.get(name, 32)
    x = torch.randn(2, 3, size, size, dtype=torch.float64)
    got, expected = outputs(ours, x, train), outputs(theirs, x, train)
    torch.testing.assert_close(got, expected, **TIGHT)
    torch.testing.assert_close(dict(ours.named_buffers()), dict(theirs.named_buffers()), **TIGHT)
    assert got[0].std() > 1e-4


def test_googlenet_options():
    ours, theirs = pair("googlenet", transform_input=True, aux_logits=False)
    x = torch.randn(2, 3, 33, 40, dtype=torch.float64)
    torch.testing.assert_close(outputs(ours, x, True), outputs(theirs, x, True), **TIGHT)
    assert not any(name.startswith("aux") for name in ours.state_dict())


def test_googlenet_names_its_three_outputs():
    out = googlenet.GoogLeNet(num_classes=4).train()(torch.randn(2, 3, 32, 32))
    assert out._fields == torchvision_models.GoogLeNetOutputs._fields
    assert [value.shape for value in out] == [(2, 4)] * 3


def test_first_weights_spread_as_torchvisions():
    ours, theirs = vgg.make_features("vgg11"), vgg.make_features("vgg11")
    vgg._initialise_as_torchvision(ours)
    he_initialise(theirs)
    fan_out, fan_in = (m[3].weight.detach().std() for m in (ours, theirs))  # 64 -> 128
    assert fan_out == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
    assert fan_in == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)


# --- networks without a twin ---


def test_lenet_counts_by_hand():
    layers = {"c1": 156, "c3": 2416, "c5": 48120, "f6": 10164, "output": 850}
    model = lenet.LeNet5()
    assert {name: parameters(getattr(model, name)) for name in layers} == layers
    # The paper's: C3 by a table of connections, trained scales of the pools, a fixed output.
    table = 6 * (3 * 25 + 1) + 9 * (4 * 25 + 1) + 1 * (6 * 25 + 1)
    pools = 2 * 6 + 2 * 16
    assert parameters(model) - layers["output"] - layers["c3"] + table + pools == 60_000


def test_lenet_activations():
    x = torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(lenet.ScaledTanh()(x), x, rtol=1e-4, atol=1e-4)  # f(1) = 1
    kinds = {name: lenet.LeNet5(activation=name).act1 for name in lenet.ACTIVATIONS}
    assert isinstance(kinds["sigmoid"], nn.Sigmoid) and isinstance(kinds["relu"], nn.ReLU)
    with pytest.raises(ValueError, match="tanh, sigmoid, relu"):
        lenet.LeNet5(activation="gelu")


def test_lenet_border_makes_28_px_like_32():
    model, padded = lenet.LeNet5(image_size=28), lenet.LeNet5(image_size=32)
    padded.load_state_dict(model.state_dict())
    x = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(model(x), padded(nn.functional.pad(x, (2, 2, 2, 2))))


def test_nin_counts_by_hand():
    def blocks(channels, plan):
        total = 0
        for kernel, widths in plan:
            for width in widths:
                total += (kernel**2 * channels + 1) * width
                channels, kernel = width, 1
        return total

    imagenet = [(11, [96] * 3), (5, [256] * 3), (3, [384] * 3), (3, [1024, 1024, 1000])]
    cifar = [(5, [192, 160, 96]), (5, [192] * 3), (3, [192, 192, 10])]
    assert parameters(nin.NiN()) == blocks(3, imagenet) == 7_595_176
    assert parameters(nin.SmallNiN()) == blocks(3, cifar) == 966_986


def test_nin_maps():
    model = nin.NiN(num_classes=5)
    sizes = []
    for name in ("block1", "pool1", "pool2", "pool3"):
        getattr(model, name).register_forward_hook(lambda m, x, out: sizes.append(out.shape[-1]))
    with torch.no_grad():
        assert model(torch.randn(1, 3, 224, 224)).shape == (1, 5)
    assert sizes == [54, 27, 13, 6]


def test_simple_cnn_counts_by_hand():
    widths, channels, total = (32, 64, 128), 3, 128 * 10 + 10
    for width in widths:
        total += 9 * channels * width + 9 * width * width + 4 * width
        channels = width
    assert parameters(simple_cnn.SimpleCNN()) == total == 288_746


# --- the small-image forms ---

SMALL = ("lenet5", "alexnet", "vgg11", "vgg13_bn", "nin", "googlenet", "simple_cnn")


@pytest.mark.parametrize("name", SMALL)
def test_small_forms_give_logits_for_any_size(name):
    least = lenet.SMALLEST if name == "lenet5" else 8
    for size, channels in ((least, 1), (67, 3)):
        model = door.build_model(name, 7, size, channels)
        x = torch.randn(2, channels, size, size)
        with torch.no_grad():
            for out in (model.train()(x), model.eval()(x)):
                assert out.shape == (2, 7) and out.isfinite().all()


@pytest.mark.parametrize("name", SMALL)
def test_too_small_pictures_are_refused(name):
    least = 12 if name == "lenet5" else 8
    with pytest.raises(ValueError, match=f"at least {least} px; got {least - 1} px"):
        door.build_model(name, image_size=least - 1)


@pytest.mark.parametrize("name", SMALL)
def test_every_weight_gets_a_gradient(name):
    model = door.build_model(name, 5, 16, 1).train()
    model(torch.randn(4, 1, 16, 16)).square().sum().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


@pytest.mark.parametrize("name", ["simple_cnn", "lenet5"])
def test_small_forms_learn_32_pictures(name):
    options = {"activation": "relu"} if name == "lenet5" else {}
    model = door.build_model(name, 4, 12, 1, **options).train()
    x, y = torch.randn(32, 1, 12, 12), torch.arange(32) % 4
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model(x).argmax(1) == y).float().mean() > 0.9


def test_small_vgg_takes_the_convolutions_of_the_imagenet_form():
    small = vgg.SmallVGG("vgg11_bn", image_size=32)
    features = vgg.make_features("vgg11_bn")
    small.features.load_state_dict(features.state_dict(), strict=True)
    pools = [
        sum(isinstance(m, nn.MaxPool2d) for m in vgg.make_features("vgg11", image_size=size))
        for size in (8, 28, 32, 64)
    ]
    assert pools == [2, 3, 4, 5]


def test_small_alexnet_map_is_at_most_4():
    with torch.device("meta"):
        sides = [alexnet.SmallAlexNet(image_size=s).avgpool.output_size for s in (8, 32, 63, 96)]
    assert sides == [1, 4, 4, 4]


# --- the door ---


def test_names():
    assert set(TWINS) | {"lenet5", "nin", "simple_cnn"} == set(door.MODELS)
    with pytest.raises(UserError, match=r"no model 'vgg16bn'; did you mean vgg16_bn\?"):
        door.build_model("vgg16bn")
    with pytest.raises(UserError, match="known are lenet5"):
        door.build_model("transformer")
    with pytest.raises(UserError, match="reads 3 channels, not 1"):
        door.build_model("alexnet", image_size=224, channels=1)


def save(path, model, /, **architecture):
    save_checkpoint(
        path, model.state_dict(), architecture=architecture, dataset="digits", metrics={}
    )


def test_load_model(tmp_path):
    path = tmp_path / "net.pth"
    facts = {"model": "simple_cnn", "num_classes": 3, "image_size": 8, "channels": 1}
    trained = door.build_model("simple_cnn", 3, 8, 1, widths=(4, 8))
    save(path, trained, **facts, widths=[4, 8])
    model, checkpoint = door.load_model(path)
    assert not model.training and checkpoint["dataset"] == "digits"
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(model(x), trained.eval()(x))


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"model": "small_mlp"}, r"holds 'small_mlp', trained on digits; .*lenet5, alexnet"),
        ({"hidden_dim": 64}, r"described as \{'hidden_dim': 64\}"),
        ({"model": "simple_cnn", "colour": 3}, "can be built: .*colour"),
        ({"model": "lenet5", "image_size": 32}, "does not fit this architecture"),
    ],
)
def test_load_model_refuses_other_checkpoints(tmp_path, architecture, message):
    save(tmp_path / "x.pth", nn.Linear(2, 2), **architecture)
    with pytest.raises(UserError, match=message):
        door.load_model(tmp_path / "x.pth")


def test_model_script(quick_run):
    done = quick_run("chapter_04_cnn_classic/model.py")
    assert done.returncode == 0, done.stderr
    assert {"model_table.json", "model_table.png"} <= {path.name for path in done.folder.iterdir()}


def test_a_width_that_leaves_no_channel_is_one_sentence(tmp_path, capsys):
    words = ["--width", "1e-9", "--output_dir", str(tmp_path)]
    assert exp_depth_vgg.main(words) == 2
    assert "--width 1e-09 leaves the first layer no channel" in capsys.readouterr().err
