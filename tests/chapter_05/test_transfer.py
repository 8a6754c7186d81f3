"""Parts of transfer learning: heads, stages, rates, what is frozen, classes, labels."""

import copy
import io
import math
import pickle

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from chapter_03_optimization_regularization.regularization import update_bn
from chapter_03_optimization_regularization.training import classification_loss, fit
from chapter_04_cnn_classic.image_tasks import ImageTask
from chapter_04_cnn_classic.layers import use_course_layers
from chapter_05_resnet_modern_cnn.src import transfer
from chapter_05_resnet_modern_cnn.src.architectures.resnet import CifarResNet
from chapter_05_resnet_modern_cnn.src.model import build_model
from utils.errors import UserError

NAMES = [
    "resnet18",
    "resnet20",
    "mobilenet_v1",
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "densenet121",
    "efficientnet_b0",
    "regnet_y_400mf",
    "convnext_tiny",
    "convnext_path_3",
    "wrn_16_4",
]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return CifarResNet(1, num_classes=4, widths=(4, 8, 16))


@pytest.fixture
def x():
    return torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def task():
    """Six classes with 3 to 8 pictures; the first pixel of a picture is its class."""
    labels = torch.arange(6).repeat_interleave(torch.arange(3, 9))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(2))]
    images = labels.to(torch.uint8)[:, None, None, None].repeat(1, 3, 8, 8)
    parts = [(images, labels)] * 3
    return ImageTask("toy", tuple("abcdef"), *parts, torch.zeros(3), torch.ones(3))


def step(model, x, groups, steps=2):
    """A few steps of training, as `fit` makes them: each epoch begins with model.train()."""
    optimizer = torch.optim.SGD(groups, lr=0.5)
    for _ in range(steps):
        model.train()
        loss = F.cross_entropy(model(x), torch.arange(len(x)) % 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_in_one_group_and_the_head_is_last(name):
    with torch.device("meta"):
        model = build_model(name, 10, 32)
    groups = transfer.parameter_groups(model, lr=1.0, factor=2.0)
    found = [id(p) for group in groups for p in group["params"]]
    assert len(found) == len(set(found))
    assert set(found) == {id(p) for p in model.parameters()}
    head = transfer.head(model)
    assert head.out_features == 10
    last = groups[-1]["stage"]
    of_head = {id(p) for g in groups if g["stage"] == last for p in g["params"]}
    assert of_head == {id(p) for p in head.parameters()}
    assert 3 <= last <= transfer.STAGES


def test_stages_of_a_resnet_are_its_own():
    with torch.device("meta"):
        model = build_model("resnet18", 10, 64)
    parts = transfer.stages(model)
    layers = [[model.conv1, model.bn1], *([getattr(model, f"layer{i}")] for i in range(1, 5))]
    assert parts == layers


def test_stages_follow_the_way_of_the_picture():
    """The gradient of a stage's input needs all later stages, so order is the order of use."""
    model = build_model("mobilenet_v2", 10, 8)
    seen = []
    for number, part in enumerate(transfer.stages(model)):
        part[0].register_forward_hook(lambda *_, number=number: seen.append(number))
    model.eval()(torch.zeros(1, 3, 8, 8))
    assert seen == sorted(seen) and len(seen) == len(set(seen))


def test_rates_fall_by_the_factor_from_the_head_down(model):
    groups = transfer.parameter_groups(model, lr=1.3, factor=2.6, weight_decay=0.1)
    rates = {group["stage"]: group["lr"] for group in groups}
    assert [rates[k] for k in sorted(rates)] == pytest.approx(
        [1.3 / 2.6**k for k in (4, 3, 2, 1, 0)]
    )
    for group in groups:
        one_axis = all(p.ndim <= 1 for p in group["params"])
        assert group["weight_decay"] == (0.0 if one_axis else 0.1)
    assert {g["lr"] for g in transfer.parameter_groups(model, lr=0.2)} == {0.2}


def test_a_new_head_starts_near_equal_probabilities(model, x):
    old = {name: value.clone() for name, value in model.state_dict().items()}
    new = transfer.replace_head(model, 7)
    assert model.fc is new and new.out_features == 7
    logits = model.eval()(x)  # (6, 7)
    assert F.cross_entropy(logits, torch.arange(6)).item() == pytest.approx(math.log(7), abs=0.1)
    changed = {n for n, v in model.state_dict().items() if not torch.equal(v, old[n])}
    assert changed == {"fc.weight", "fc.bias"}


def test_a_head_inside_a_sequential_is_found():
    with torch.device("meta"):
        model = build_model("mobilenet_v3_small", 10, 32)
    transfer.replace_head(model, 3)
    assert transfer.head_name(model) == "classifier.3" and model.classifier[3].out_features == 3
    with pytest.raises(ValueError, match="no linear layer"):
        transfer.head(nn.Conv2d(3, 3, 1))


def test_frozen_parts_and_their_statistics_do_not_move(model, x):
    parts = transfer.stages(model)
    transfer.freeze(model, parts)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    groups = transfer.parameter_groups(model, lr=0.5)
    assert [p for group in groups for p in group["params"]] == [model.fc.weight, model.fc.bias]
    step(model, x, groups)
    moved = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert moved == {"fc.weight", "fc.bias"}
    assert model.training and not model.layer1.training  # the rest trains as usual


def test_without_freezing_the_same_steps_move_everything(model, x):
    """What the test above would miss if nothing ever moved."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step(model, x, transfer.parameter_groups(model, lr=0.5))
    same = {n for n, v in model.state_dict().items() if torch.equal(v, before[n])}
    assert not same


def test_requires_grad_alone_would_let_the_statistics_drift(model, x):
    for part in transfer.stages(model):
        for module in part:
            module.requires_grad_(False)
    before = model.bn1.running_mean.clone()
    step(model, x, transfer.parameter_groups(model, lr=0.5))
    assert not torch.equal(model.bn1.running_mean, before)


def test_thawing_ends_the_evaluation_mode(model, x):
    handle = transfer.freeze(model, transfer.stages(model))
    handle.remove()
    model.train()
    model(x)
    assert model.layer1.training


def test_some_stages_can_be_frozen_and_the_others_learn(model, x):
    transfer.freeze(model, transfer.stages(model)[:2])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step(model, x, transfer.parameter_groups(model, lr=0.5))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith(("conv1", "bn1", "layer1"))


# --- what may happen to a frozen model ---


def is_frozen(model, x, names):
    """Whether a few training steps, in every mode a loop may ask for, leave these parts alone."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.eval()
    groups = [{"params": [p for p in model.parameters() if p.requires_grad], "weight_decay": 0.1}]
    step(model, x, groups)
    for module in model.modules():  # thaw one by one, as loops over BatchNorm do
        module.train()
    model(x)
    after = model.state_dict()
    inner = {name for name in before if name.removeprefix("0.").startswith(names)}
    assert inner and any(not torch.equal(after[n], before[n]) for n in before.keys() - inner)
    return all(torch.equal(after[name], before[name]) for name in inner)


EARLY = ("conv1", "bn1", "layer1")


def saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "torch.save": saved,
    "moved": lambda model: copy.deepcopy(model).double().float().to(memory_format=CHANNELS_LAST),
    "wrapped": lambda model: nn.Sequential(copy.deepcopy(model)),
    "on the course's layers": lambda model: use_course_layers(copy.deepcopy(model)),
    "averaged": lambda model: torch.optim.swa_utils.AveragedModel(model).module,
    "data_parallel": lambda model: nn.DataParallel(copy.deepcopy(model)).module,
}
CHANNELS_LAST = torch.channels_last


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_freezes_itself_and_not_the_original(model, x, name):
    transfer.freeze(model, transfer.stages(model)[:2])
    twin = COPIES[name](model)
    transfer.thaw(model, transfer.stages(model)[:2])
    model.train()
    assert is_frozen(twin, x, EARLY)
    assert all(module.training for module in model.modules()), "the original trains on"
    assert not is_frozen(model, x, EARLY)


def test_the_original_stays_frozen_when_its_copy_is_thawed(model, x):
    transfer.freeze(model, transfer.stages(model)[:2])
    twin = copy.deepcopy(model)
    transfer.thaw(twin, transfer.stages(twin))
    assert is_frozen(model, x, EARLY) and not is_frozen(twin, x, EARLY)


def test_loaded_weights_are_frozen_too(model, x):
    transfer.freeze(model, transfer.stages(model)[:2])
    for assign in (False, True):
        other = CifarResNet(1, num_classes=4, widths=(4, 8, 16))
        model.load_state_dict(other.state_dict(), assign=assign)
        assert is_frozen(model, x, EARLY)


def test_a_part_that_is_called_by_itself_stays_frozen(model, x):
    """The features alone, as they are computed once for all pictures; no hook of the whole runs."""
    transfer.freeze(model, transfer.stages(model)[:2])
    before = model.bn1.running_mean.clone()
    model.train()
    model.bn1(model.conv1(x))
    assert torch.equal(model.bn1.running_mean, before)


def test_a_compiled_model_stays_frozen(model, x):
    transfer.freeze(model, transfer.stages(model)[:2])
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    compiled = torch.compile(model, backend=backend, fullgraph=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(3):
        compiled.train()
        F.cross_entropy(compiled(x), torch.arange(6) % 4).backward()
    assert len(graphs) == 1, "compiled once, not again for another mode"
    moved = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert moved and not any(name.startswith(EARLY) for name in moved)
    torch.testing.assert_close(compiled(x), model(x))


def test_freezing_in_the_middle_of_training_stops_momentum_and_decay(model, x):
    groups = [{"params": list(model.parameters())}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.1)
    before = {}
    for epoch in range(4):
        model.train()
        optimizer.zero_grad(set_to_none=False)
        F.cross_entropy(model(x), torch.arange(6) % 4).backward()
        if epoch == 1:
            transfer.freeze(model, transfer.stages(model)[:2])
            before = {name: value.clone() for name, value in model.state_dict().items()}
        optimizer.step()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith(EARLY), name


def test_what_is_thawed_learns_again(model, x):
    parts = transfer.stages(model)
    handles = [transfer.freeze(model, parts) for _ in range(2)]  # twice is frozen as well
    model.train()
    transfer.thaw(model, [[model.layer3[0]]])  # a part of a part
    assert model.layer3[0].bn1.training and model.layer3[0].conv1.weight.requires_grad
    model.train()
    assert model.layer3[0].bn1.training and not model.layer2.training
    groups = transfer.parameter_groups(model, lr=0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step(model, x, groups)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith(("layer3.0", "fc")), name
    transfer.freeze(model, parts)
    for handle in handles:
        handle.remove()
    assert is_frozen(model, x, ("conv1", "bn1", "layer")), "an old handle does not thaw a new ice"
    transfer.thaw(model, parts)
    assert not is_frozen(model, x, ("conv1", "bn1", "layer"))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_freezings_add_up(model):
    first, second = (transfer.freeze(model, transfer.stages(model)[:n]) for n in (1, 2))
    second.remove()
    second.remove()  # once is all it can
    model.train()
    assert not model.bn1.training and model.layer1.training
    first.remove()
    model.train()
    assert model.bn1.training and "train" not in vars(model.bn1)


def test_statistics_of_frozen_parts_are_not_measured_again(model, x):
    transfer.freeze(model, transfer.stages(model)[:2])
    model.bn1.running_mean += 1
    before = {name: value.clone() for name, value in model.state_dict().items()}
    update_bn([x], model.eval())
    moved = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert "layer2.0.bn1.running_mean" in moved
    assert not any(name.startswith(EARLY) for name in moved)


def test_the_courses_own_loop_keeps_a_frozen_model_frozen(model, x):
    transfer.freeze(model, transfer.stages(model)[:2])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batches = [(x, torch.arange(6) % 4)]
    optimizer = torch.optim.SGD(transfer.parameter_groups(model, lr=0.1))
    fit(model, classification_loss(), optimizer, batches, epochs=2, val=batches)
    moved = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert {"fc.weight", "layer2.0.bn1.running_mean"} <= moved
    assert not any(name.startswith(EARLY) for name in moved)


def test_only_the_asked_classes_stay_and_are_numbered_in_order(task):
    part = transfer.only_classes(task, [4, 1])
    assert part.classes == ("e", "b")
    for split in ("train", "val", "test"):
        images, labels = getattr(part, split)
        assert len(labels) == 7 + 4
        assert torch.equal(images[:, 0, 0, 0] == 4, labels == 0)
        assert set(labels.tolist()) == {0, 1}


def test_two_halves_share_no_picture(task):
    first, second = (transfer.only_classes(task, r) for r in (range(3), range(3, 6)))
    assert not set(first.train[0][:, 0, 0, 0].tolist()) & set(second.train[0][:, 0, 0, 0].tolist())
    assert len(first.train[1]) + len(second.train[1]) == len(task.train[1])


def test_label_counts_are_exact_nested_and_repeatable(task):
    two, three = (transfer.rows_with_labels(task, n, seed=5) for n in (2, 3))
    assert task.train[1][two].bincount().tolist() == [2] * 6
    assert task.train[1][three].bincount().tolist() == [3] * 6
    assert set(two.tolist()) < set(three.tolist())
    assert torch.equal(two, transfer.rows_with_labels(task, 2, seed=5))
    assert not torch.equal(two, transfer.rows_with_labels(task, 2, seed=6))


def test_a_class_with_too_few_pictures_is_named(task):
    with pytest.raises(UserError, match=r"only 3 training pictures of 'a'"):
        transfer.rows_with_labels(task, 4, seed=0)


# The best head for features that stay fixed


@pytest.fixture
def clouds():
    """Three overlapping clouds of 40 points each, 5 numbers a point."""
    rng = torch.Generator().manual_seed(5)
    y = torch.arange(3).repeat_interleave(40)
    return torch.randn(120, 5, generator=rng) + y[:, None] * torch.randn(5, generator=rng), y


@pytest.mark.parametrize("decay", [1 / 120, 0.1])
def test_a_fitted_head_is_scikit_learns_logistic_regression(clouds, decay):
    x, y = clouds
    linear = nn.Linear(5, 3)
    found = transfer.fit_head(linear, x, y, decay)
    reference = LogisticRegression(C=1 / (decay * len(y)), tol=1e-8, max_iter=10_000)
    reference.fit(x.double().numpy(), y.numpy())
    shift = linear.bias.mean().item()  # the same for all classes: it changes no probability
    assert linear.weight.detach().numpy() == pytest.approx(reference.coef_, abs=1e-4)
    centred = reference.intercept_ - reference.intercept_.mean()
    assert linear.bias.detach().numpy() - shift == pytest.approx(centred, abs=1e-4)
    assert found["slope"] < 1e-6
    assert found["loss"] == pytest.approx(F.cross_entropy(linear(x), y).item(), abs=1e-5)


def test_where_a_head_starts_makes_no_difference(clouds):
    heads = [nn.Linear(5, 3), nn.Linear(5, 3)]
    nn.init.constant_(heads[1].weight, 7.0)
    for linear in heads:
        transfer.fit_head(linear, *clouds)
    assert torch.equal(heads[0].weight, heads[1].weight)


def test_features_are_what_the_head_sees_in_evaluation_mode(model, x):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    y = torch.arange(6) % 3
    seen, labels = transfer.features(model.train(), [(x[:4], y[:4]), (x[4:], y[4:])])
    assert seen.shape == (6, 16) and labels.equal(y) and not seen.requires_grad
    assert model.training  # as it was
    with torch.no_grad():
        assert transfer.head(model)(seen).allclose(model.eval()(x), atol=1e-6)
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())
    assert not transfer.head(model)._forward_pre_hooks
