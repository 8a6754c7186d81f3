"""Receptive fields of this chapter's networks by chapter 4's walk, against the gradient."""

import pytest
import torch
from torch import fx, nn

from chapter_04_cnn_classic.receptive_field_theory import (
    label,
    node_fields,
    receptive_fields,
    trace,
)
from chapter_05_resnet_modern_cnn.src.model import FAMILIES, MODELS, build_model

SIDE = 64
MEASURED = [
    *("resnet18", "resnet20", "plainnet20", "resnet50", "resnext50_32x4d", "wrn_16_4"),
    *("densenet121", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5"),
    *("efficientnet_b0", "regnet_x_400mf", "regnet_y_400mf", "convnext_tiny"),
    *("convnext_path_0", "convnext_path_6", "convnext_path_13"),
]


def test_every_family_is_measured_here():
    for family in FAMILIES.values():
        assert set(family.NETWORKS) & set(MEASURED), family.__name__


# Those of one family differ in depth and width, the steps to ConvNeXt in their operations.
@pytest.mark.parametrize("name", [n for n in MODELS if n.startswith("convnext_path")])
def test_every_step_to_convnext_can_be_traced(name):
    with torch.device("meta"):
        model = build_model(name, 10, 32)
    assert list(receptive_fields(model).values())[-1].height.size > 100


class Enough(Exception):
    """The wanted values are there."""


class Until(fx.Interpreter):
    """Runs a graph up to one operation: what follows is fitted to one size of pictures."""

    def __init__(self, graph, last):
        super().__init__(graph)
        self.last = last

    def run_node(self, node):
        value = super().run_node(node)
        if node is self.last:
            self.value = value
            raise Enough
        return value


def positive(model):
    """Positive averaging weights, so that no two paths cancel; average pools, where all count."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.MaxPool2d):
                window = child.kernel_size, child.stride, child.padding, child.ceil_mode
                setattr(parent, name, nn.AvgPool2d(*window))
            if isinstance(child, (nn.Conv2d, nn.Linear)):
                nn.init.uniform_(child.weight, 0.5, 1.5)
                child.weight.data /= child.weight[0].numel()
            if isinstance(child, nn.BatchNorm2d):
                nn.init.uniform_(child.weight, 0.2, 0.4)
                nn.init.constant_(child.bias, 0.1)
    return model.double().eval()


@pytest.mark.parametrize("name", MEASURED)
def test_fields_are_the_support_of_the_gradient(name):
    torch.manual_seed(0)
    graph = trace(positive(build_model(name, 10, 32)))
    fields = {n: f for n, f in node_fields(graph).items() if f and f.depth}
    node = [n for n, f in fields.items() if f.ndim == 4 and f.height.size <= 40][-1]
    field, run = fields[node], Until(graph, node)
    x = torch.rand(1, 3, SIDE, SIDE, dtype=torch.float64, requires_grad=True)
    with pytest.raises(Enough):
        run.run(x)
    maps = run.value.movedim(field.places, (-2, -1))  # (B, C, h, w)
    row, column = (size // 2 for size in maps.shape[-2:])
    unit = maps[..., row, column]
    (slope,) = torch.autograd.grad(unit, x, torch.rand_like(unit) + 0.5)
    expected = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    rows, columns = field.height.pixels(row, SIDE), field.width.pixels(column, SIDE)
    expected[torch.tensor(rows)[:, None], columns] = True
    assert len(rows) >= 5 and not expected.all(), label(node)
    assert torch.equal(slope.abs().sum(dim=(0, 1)) > 0, expected), label(node)
