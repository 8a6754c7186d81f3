"""What exp_gradient_flow.py and exp_unravelled.py measure, on networks whose answers are known."""

import pytest
import torch
from torch import nn

from chapter_05_resnet_modern_cnn.src import exp_gradient_flow as flow
from chapter_05_resnet_modern_cnn.src import exp_unravelled as unravelled
from chapter_05_resnet_modern_cnn.src.architectures.resnet import BasicBlock, CifarResNet
from chapter_05_resnet_modern_cnn.src.dataset import load_task


@pytest.fixture(scope="module")
def task():
    return load_task("shapes", limit=20)


def test_blocks_that_start_at_zero_leave_the_jacobian_of_the_shortcuts():
    """The last map is then the first one, every fourth pixel, between empty channels.

    Its mean over 8 x 8 places has the slope 1/64 for each of them that is above 0 (the ReLU after
    the sum stops the others): n places give a row of norm sqrt(n) / 64, orthogonal to all others.
    """
    torch.manual_seed(0)
    maps = flow.block_outputs(CifarResNet(2, zero_init=True).train(), torch.randn(4, 3, 32, 32))
    maps.pop("logits")
    values = flow.singular_values(maps)
    positive = (maps["stem"][0, :, ::4, ::4] > 0).sum(dim=(1, 2))  # (16,)
    expected = (positive.double().sqrt() / 64).sort(descending=True).values.tolist()
    assert len(values) == 64
    assert values[:16] == pytest.approx(expected, rel=1e-4)
    assert max(values[16:]) <= flow.FLOOR * values[0]


@pytest.mark.parametrize(("shortcut", "dead"), [("A", 48), ("B", 0)])
def test_zero_init_kills_the_channels_that_shortcut_a_pads(shortcut, dead):
    """relu(0 + 0) has the derivative 0: no gradient reaches the branch that should fill them."""
    torch.manual_seed(0)
    model = CifarResNet(1, zero_init=True, shortcut=shortcut).train()
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    scale = model.layer3[0].bn2.weight  # (64,), all 0
    assert (scale.grad == 0).sum() == dead


def test_a_map_that_passes_nothing_on_has_a_condition():
    assert flow.condition([6.0, 2.0]) == 3
    assert flow.condition([0.0, 0.0]) == pytest.approx(1 / flow.FLOOR)


def test_measuring_leaves_the_network_as_it_was(task):
    model = CifarResNet(1).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = flow.measure(model, task, rows=2)
    assert not model.training
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())
    assert len(found["signal"]) == len(found["gradient"]) == 4  # the stem and three blocks
    assert len(found["singular_values"]) == 2
    assert all(p.grad is None for p in model.parameters())


def test_taking_out_batchnorm_leaves_biases(task):
    model = CifarResNet(1)
    flow.without_norm(model)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    assert sum(isinstance(m, flow.Bias) for m in model.modules()) == 7
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_a_deleted_block_passes_its_input_on_and_comes_back():
    model = CifarResNet(2, version="v2").eval()
    names = unravelled.blocks_of(model)
    assert names == [f"layer{s}.{b}" for s in (1, 2, 3) for b in (0, 1)]
    x = torch.randn(2, 3, 16, 16)
    whole = model(x)
    with unravelled.without(model, names):
        maps = [model.conv1(x)]
        for name in names:
            maps.append(model.get_submodule(name)(maps[-1]))
        assert maps[2].equal(maps[0])  # two identity shortcuts of the first stage
        active = model.get_submodule(names[2]).block.activated(maps[2])
        assert maps[3][:, 8:24].equal(active[:, :, ::2, ::2])  # A, between empty channels
    assert model(x).equal(whole)
    assert all(isinstance(model.get_submodule(name), BasicBlock) for name in names)


def test_a_plain_network_can_lose_only_blocks_that_keep_the_shape():
    model = CifarResNet(2, shortcut="none").eval()
    assert unravelled.blocks_of(model) == ["layer1.0", "layer1.1", "layer2.1", "layer3.1"]
    with unravelled.without(model, ["layer2.1"]):
        assert isinstance(model.layer2[1], nn.Identity)
        assert model(torch.randn(1, 3, 16, 16)).shape == (1, 10)


@pytest.mark.parametrize(("blocks", "expected"), [(1, [1]), (9, [1, 2, 4, 5, 6])])
def test_numbers_of_deleted_blocks(blocks, expected):
    assert unravelled.several(blocks) == expected
