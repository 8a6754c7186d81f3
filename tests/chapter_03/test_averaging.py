"""EMA, SWA and update_bn against torch.optim.swa_utils; what they do to the model; round trips."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.optim import swa_utils

from chapter_03_optimization_regularization import normalization
from chapter_03_optimization_regularization.regularization import EMA, SWA, update_bn


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def network():
    """Two layers with a BatchNorm between them, so that there are buffers of two types."""
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).double()


def batch(rows=20):
    return torch.randn(rows, 6, dtype=torch.float64), torch.randint(3, (rows,))


def stored(state):
    """The state after a trip through a file, read the safe way."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def train_step(model, optimizer):
    x, y = batch()
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()


CASES = {
    "ema": (lambda m: EMA(m, 0.9), {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.9)}),
    "swa": (SWA, {}),
}


@pytest.mark.parametrize("kind", CASES)
def test_averages_equal_torch(kind):
    make, options = CASES[kind]
    model = network()
    mine, reference = make(model), swa_utils.AveragedModel(model, **options)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(12):
        train_step(model, optimizer)
        mine.update(model)
        reference.update_parameters(model)
    with mine.applied_to(model):
        torch.testing.assert_close(
            dict(model.state_dict()), dict(reference.module.state_dict()), rtol=1e-10, atol=1e-12
        )


def test_swa_is_the_plain_mean():
    model, points = nn.Linear(3, 2).double(), []
    average = SWA(model)
    for _ in range(7):
        nn.init.normal_(model.weight)
        points.append(model.weight.detach().clone())
        average.update(model)
    torch.testing.assert_close(average.weights["weight"], torch.stack(points).mean(dim=0))


@pytest.mark.parametrize("kind", CASES)
def test_the_model_gets_its_own_weights_back(kind):
    model = network()
    average = CASES[kind][0](model)
    train_step(model, torch.optim.SGD(model.parameters(), lr=0.5))
    average.update(model)
    train_step(model, torch.optim.SGD(model.parameters(), lr=0.5))
    own = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match="inside"), average.applied_to(model):
        assert not torch.equal(model[0].weight, own["0.weight"])
        model(batch()[0])  # in training mode: BatchNorm's buffers move
        raise RuntimeError("inside")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, own[name]), name


def test_training_never_sees_the_average():
    model, twin = network(), network()
    twin.load_state_dict(model.state_dict())
    average = EMA(model, 0.5)
    for candidate in (model, twin):
        torch.manual_seed(1)
        optimizer = torch.optim.SGD(candidate.parameters(), lr=0.1)
        for _ in range(5):
            train_step(candidate, optimizer)
            if candidate is model:
                average.update(model)
                with average.applied_to(model):
                    pass
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), twin.parameters(),
                                                 strict=True))  # fmt: skip


@pytest.mark.parametrize("kind", CASES)
def test_a_stored_average_goes_on_bit_for_bit(kind):
    make = CASES[kind][0]
    model = network()
    whole = make(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(8):
        if step == 4:
            half = stored(whole.state_dict())
            resumed = make(network())
            resumed.load_state_dict(half)
        train_step(model, optimizer)
        whole.update(model)
        if step >= 4:
            resumed.update(model)
    for part in ("weights", "buffers"):
        for name, tensor in getattr(whole, part).items():
            assert torch.equal(tensor, getattr(resumed, part)[name]), name
    assert whole.updates == resumed.updates == 8


def test_a_state_in_memory_does_not_change_with_later_updates():
    model = nn.Linear(2, 2)
    average = EMA(model, 0.5)
    state = average.state_dict()
    before = state["weights"]["weight"].clone()
    nn.init.ones_(model.weight)
    average.update(model)
    assert torch.equal(state["weights"]["weight"], before)


def test_the_state_of_another_model_is_refused():
    state = EMA(nn.Linear(2, 3)).state_dict()
    with pytest.raises(ValueError, match="other weights"):
        EMA(nn.Linear(3, 2)).load_state_dict(state)
    with pytest.raises(ValueError, match="decay"):
        EMA(nn.Linear(2, 3), decay=1.5)


def test_the_average_of_half_precision_weights_moves():
    """In bfloat16 a step of a thousandth of the way is rounded away; the average is float32."""
    model = nn.Linear(1, 1, bias=False).bfloat16()
    nn.init.ones_(model.weight)
    ema = EMA(model, 0.999)
    ema.update(model)
    nn.init.zeros_(model.weight)
    for _ in range(1000):
        ema.update(model)
    assert ema.weights["weight"].dtype == torch.float32
    assert abs(ema.weights["weight"].item() - 0.999**1000) < 1e-4
    with ema.applied_to(model):
        assert model.weight.dtype == torch.bfloat16


def test_wrapped_models_match_by_order():
    model = network()
    ema = EMA(model)
    wrapped = nn.ModuleDict({"module": model})  # a prefix, as DistributedDataParallel adds one
    ema.update(wrapped)
    assert ema.updates == 1


@pytest.mark.parametrize("as_tuples", [True, False])
def test_update_bn_equals_torch(as_tuples):
    model, twin = network(), network()
    twin.load_state_dict(model.state_dict())
    model.eval()
    twin.eval()
    batches = [batch(rows) for rows in (20, 20, 7)]
    batches = batches if as_tuples else [x for x, _ in batches]
    update_bn(batches, model)
    swa_utils.update_bn(batches, twin)
    torch.testing.assert_close(dict(model.state_dict()), dict(twin.state_dict()))
    assert not any(m.training for m in model.modules()) and model[1].momentum == 0.1


def test_update_bn_needs_no_batches_without_batch_norm():
    layer = nn.Linear(2, 2)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    update_bn(iter(()), layer)
    torch.testing.assert_close(dict(layer.state_dict()), before)


@pytest.mark.parametrize("layers", [nn, normalization], ids=["torch", "ours"])
def test_update_bn_treats_instance_norm_as_torch_does(layers):
    """With momentum=None it would measure nothing: its statistics would be reset and lost."""
    model, twin = (
        nn.Sequential(kind.InstanceNorm1d(3, track_running_stats=True), kind.BatchNorm1d(3))
        for kind in (layers, nn)
    )
    batches = [5 + torch.randn(4, 3, 6) for _ in range(3)]
    update_bn(batches, model)
    swa_utils.update_bn(batches, twin)
    torch.testing.assert_close(model[1].state_dict(), twin[1].state_dict())
    torch.testing.assert_close(model[0].running_mean, twin[0].running_mean)
    assert model[0].running_mean.min() > 1 and model[0].momentum == 0.1
