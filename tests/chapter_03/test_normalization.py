"""Normalisation layers against torch.nn: values, gradients, running statistics, errors, meaning."""

import copy
import inspect
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.optim import swa_utils

from chapter_03_optimization_regularization import normalization as ours
from chapter_03_optimization_regularization.normalization import functions

TOLERANCE = {
    torch.float64: {"rtol": 1e-7, "atol": 1e-11},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
}
DTYPES = list(TOLERANCE)
NEW_BIAS = "bias" in inspect.signature(nn.BatchNorm2d).parameters  # keyword of newer torch versions

BATCH_OPTIONS = [
    {},
    {"eps": 0.1},
    {"momentum": 0.3},
    {"momentum": None},
    {"momentum": 1.0},
    {"affine": False},
    {"track_running_stats": False},
    {"affine": False, "track_running_stats": False},
]
RUNNING_CASES = [
    *[("BatchNorm1d", shape, o) for shape in [(6, 3), (2, 3), (4, 3, 5)] for o in BATCH_OPTIONS],
    *[("BatchNorm2d", shape, o) for shape in [(5, 3, 4, 2), (1, 3, 2, 2)] for o in BATCH_OPTIONS],
    *[
        ("InstanceNorm2d", shape, o)
        for shape in [(5, 3, 4, 2), (3, 3, 3)]
        for o in [
            {},
            {"affine": True},
            {"track_running_stats": True},
            {"affine": True, "track_running_stats": True, "momentum": 0.3, "eps": 0.1},
            {"track_running_stats": True, "momentum": None},
        ]
    ],
    ("InstanceNorm1d", (4, 3, 5), {"affine": True, "track_running_stats": True}),
    ("InstanceNorm1d", (3, 5), {}),
]
STATELESS_CASES = [
    *[
        ("LayerNorm", args, shape, o)
        for args, shape in [((4,), (3, 4)), (((4,),), (2, 5, 4)), (((3, 4),), (2, 3, 4))]
        for o in [{}, {"eps": 0.1}, {"bias": False}, {"elementwise_affine": False}]
    ],
    *[
        ("GroupNorm", (groups, 6), shape, o)
        for groups in (1, 2, 6)
        for shape in [(3, 6, 4, 2), (3, 6, 5), (4, 6, 3)]
        for o in [{}, {"eps": 0.1}, {"affine": False}]
    ],
    ("GroupNorm", (2, 6), (4, 6), {}),
    *[
        ("RMSNorm", args, shape, o)
        for args, shape in [((4,), (3, 4)), (((4,),), (2, 5, 4)), (((3, 4),), (2, 3, 4))]
        for o in [{}, {"eps": 0.1}, {"elementwise_affine": False}]
    ],
]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def randomise(module):
    """Weights and buffers away from their first values, so that nothing is tested at 0 and 1."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter))
        for name, buffer in module.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2.0)
            elif buffer.is_floating_point():
                buffer.normal_()


def pair(name, *args, dtype=torch.float32, **options):
    """torch's layer with random weights, and ours with the same ones."""
    reference = getattr(nn, name)(*args, **options, dtype=dtype)
    mine = getattr(ours, name)(*args, **options, dtype=dtype)
    randomise(reference)
    mine.load_state_dict(reference.state_dict(), strict=True)
    return mine, reference


def outputs(module, x, weighting):
    """Output, and the gradients of a weighted sum of it to the input and to each parameter."""
    leaf = x.clone().requires_grad_()
    y = module(leaf)
    gradients = torch.autograd.grad((y * weighting).sum(), [leaf, *module.parameters()])
    return [y.detach(), *gradients]


def assert_parity(mine, reference, x):
    weighting = torch.randn_like(x)
    found, wanted = (outputs(module, x, weighting) for module in (mine, reference))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE[x.dtype])


def assert_same_state(mine, reference, dtype):
    a, b = mine.state_dict(), reference.state_dict()
    assert list(a) == list(b)
    for key in a:
        torch.testing.assert_close(a[key], b[key], **TOLERANCE[dtype], msg=lambda m, k=key: k + m)


# --- parity with torch ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "shape", "options"), RUNNING_CASES, ids=str)
def test_layers_with_running_statistics(name, shape, options, dtype):
    """Train and eval in turns: outputs, gradients, and the buffers after each step."""
    mine, reference = pair(name, 3, dtype=dtype, **options)
    for train in (False, True, True, False, True, False):
        mine.train(train)
        reference.train(train)
        x = 3 * torch.randn(shape, dtype=dtype) + 2
        assert_parity(mine, reference, x)
        assert_same_state(mine, reference, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("name", "args", "shape", "options"), STATELESS_CASES, ids=str)
def test_layers_without_running_statistics(name, args, shape, options, train, dtype):
    mine, reference = pair(name, *args, dtype=dtype, **options)
    x = 3 * torch.randn(shape, dtype=dtype) + 2
    assert_parity(mine.train(train), reference.train(train), x)
    assert_same_state(mine, reference, dtype)


EMPTY_CASES = [
    *[("BatchNorm1d", shape, o) for shape in [(0, 3), (0, 3, 5), (2, 3, 0)] for o in BATCH_OPTIONS],
    *[("BatchNorm2d", shape, o) for shape in [(0, 3, 4, 2), (2, 3, 0, 2)] for o in BATCH_OPTIONS],
    ("InstanceNorm1d", (2, 3, 0), {"affine": True, "track_running_stats": True}),
    ("InstanceNorm2d", (2, 3, 0, 4), {"affine": True, "track_running_stats": True}),
    ("InstanceNorm2d", (0, 3, 4, 4), {}),
]


@pytest.mark.parametrize(("name", "shape", "options"), EMPTY_CASES, ids=str)
def test_an_empty_batch_leaves_the_running_statistics_alone(name, shape, options):
    mine, reference = pair(name, 3, **options)
    for train in (True, False):
        assert_parity(mine.train(train), reference.train(train), torch.zeros(shape))
        assert_same_state(mine, reference, torch.float32)
    full = torch.randn(4, 3, *[6] * (len(shape) - 2))
    assert_parity(mine.train(), reference.train(), full)
    assert_same_state(mine, reference, torch.float32)
    assert all(value.isfinite().all() for value in mine.state_dict().values())


def test_instance_norm_of_no_examples_learns_nothing():
    """torch raises an error about an index here, or makes the statistics nan."""
    for affine in (True, False):
        layer = ours.InstanceNorm2d(3, affine=affine, track_running_stats=True)
        assert layer(torch.zeros(0, 3, 4, 4)).shape == (0, 3, 4, 4)
        assert layer.running_mean.tolist() == [0, 0, 0]
        assert layer.running_var.tolist() == [1, 1, 1]


@pytest.mark.parametrize("shape", [(0, 6), (0, 6, 5), (0, 6, 4, 2)], ids=str)
@pytest.mark.parametrize(
    ("name", "args"), [("GroupNorm", (1, 6)), ("GroupNorm", (2, 6)), ("GroupNorm", (6, 6))]
)
def test_group_norm_of_an_empty_batch(name, args, shape):
    assert_parity(*pair(name, *args), torch.zeros(shape))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_a_mean_far_from_zero_keeps_its_digits(offset, dtype):
    x = torch.randn(16, 4, dtype=dtype) + offset  # E[x^2] - E[x]^2 would lose them
    assert_parity_loosely = {"rtol": 1e-3, "atol": 1e-3} if dtype == torch.float32 else {}
    for name in ("BatchNorm1d", "LayerNorm"):
        mine, reference = pair(name, 4, dtype=dtype)
        torch.testing.assert_close(mine(x), reference(x), **assert_parity_loosely)


def test_constant_input_and_zero_input():
    for name, x in [("BatchNorm1d", torch.ones(4, 3)), ("LayerNorm", torch.ones(4, 3))]:
        mine, reference = pair(name, 3)
        assert_parity(mine, reference, x)
    mine, reference = pair("RMSNorm", 3)
    assert_parity(mine, reference, torch.zeros(4, 3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["BatchNorm1d", "LayerNorm", "RMSNorm"])
def test_half_precision_input_is_normalised_in_float32(name, dtype):
    layer = getattr(ours, name)(64)
    x = (100 * torch.randn(32, 64)).to(dtype)
    y = layer(x)
    assert y.dtype == dtype
    torch.testing.assert_close(y.float(), layer(x.float()), rtol=1e-2, atol=1e-2)


def test_rms_eps_none_is_the_machine_epsilon():
    for dtype in DTYPES:
        x = torch.full((1, 4), 1e-5, dtype=dtype)  # x^2 = 1e-10, below float32's eps
        mine, reference = ours.RMSNorm(4, dtype=dtype), nn.RMSNorm(4, dtype=dtype)
        torch.testing.assert_close(mine(x), reference(x), **TOLERANCE[dtype])
        wanted = 1e-5 / math.sqrt(1e-10 + torch.finfo(dtype).eps)
        assert mine(x)[0, 0].item() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("BatchNorm1d", (3,)),
        ("BatchNorm2d", (3,)),
        ("InstanceNorm2d", (3, 1e-5, 0.1, True, True)),
        ("LayerNorm", ((2, 3),)),
        ("GroupNorm", (1, 3)),
        ("RMSNorm", (3,)),
    ],
)
def test_state_dict_goes_both_ways(name, args):
    mine, reference = getattr(ours, name)(*args), getattr(nn, name)(*args)
    for source, target in ((mine, reference), (reference, mine)):
        randomise(source)
        target.load_state_dict(source.state_dict(), strict=True)
        assert_same_state(mine, reference, torch.float32)


@pytest.mark.parametrize(
    "name", ["BatchNorm1d", "BatchNorm2d", "InstanceNorm2d", "LayerNorm", "GroupNorm", "RMSNorm"]
)
def test_constructor_arguments_are_torchs(name):
    wanted = inspect.signature(getattr(nn, name)).parameters
    found = inspect.signature(getattr(ours, name)).parameters
    assert list(wanted) == [n for n in found if n in wanted]
    assert set(found) - set(wanted) <= {"bias"}  # older torch versions have none
    for key in wanted:
        assert found[key].default == wanted[key].default, key


@pytest.mark.skipif(not NEW_BIAS, reason="this torch has no bias option")
@pytest.mark.parametrize(
    ("name", "args", "shape"), [("BatchNorm1d", (3,), (4, 3)), ("GroupNorm", (1, 3), (4, 3, 2))]
)
def test_without_bias(name, args, shape):
    mine, reference = pair(name, *args, bias=False)
    assert mine.bias is None
    assert_parity(mine, reference, torch.randn(shape))


def test_reset_running_stats():
    mine, reference = pair("BatchNorm1d", 3)
    for layer in (mine, reference):
        layer(torch.ones(4, 3) * 5)
        layer.reset_running_stats()
    assert_same_state(mine, reference, torch.float32)
    assert mine.num_batches_tracked == 0


# --- errors ---


@pytest.mark.parametrize(
    ("name", "args", "shape", "error"),
    [
        ("BatchNorm1d", (3,), (1, 3), ValueError),  # one value a channel
        ("BatchNorm1d", (3,), (1, 3, 1), ValueError),
        ("BatchNorm2d", (3,), (1, 3, 1, 1), ValueError),
        ("InstanceNorm2d", (3,), (4, 3, 1, 1), ValueError),
        ("BatchNorm1d", (3,), (2, 3, 4, 4), ValueError),  # dimensions
        ("BatchNorm2d", (3,), (2, 3), ValueError),
        ("InstanceNorm2d", (3,), (2, 3), ValueError),
        ("BatchNorm1d", (3,), (2, 4), RuntimeError),  # channels
        ("BatchNorm1d", (1,), (2, 4), RuntimeError),
        ("InstanceNorm2d", (3, 1e-5, 0.1, True), (2, 4, 2, 2), ValueError),
        ("LayerNorm", (3,), (2, 4), RuntimeError),
        ("LayerNorm", ((2, 3),), (3,), RuntimeError),
        ("RMSNorm", (3,), (2, 4), RuntimeError),
        ("GroupNorm", (2, 4), (2, 6, 2), RuntimeError),
    ],
)
def test_bad_input_raises_what_torch_raises(name, args, shape, error):
    for package in (nn, ours):
        with pytest.raises(error):
            getattr(package, name)(*args)(torch.randn(shape))


@pytest.mark.parametrize("integer", [np.int64, np.int32, np.uint8])
def test_numpy_integers_as_sizes(integer):
    x, four = torch.randn(2, 4, 3), integer(4)
    for name, args in [
        ("LayerNorm", (integer(3),)),
        ("LayerNorm", ((four, 3),)),
        ("LayerNorm", (np.array([4, 3], integer),)),
        ("RMSNorm", (integer(3),)),
        ("GroupNorm", (integer(2), four)),
        ("BatchNorm1d", (four,)),
        ("InstanceNorm1d", (four,)),
    ]:
        mine, reference = (getattr(package, name)(*args) for package in (ours, nn))
        torch.testing.assert_close(mine(x), reference(x))
        assert getattr(mine, "normalized_shape", ()) == getattr(reference, "normalized_shape", ())


def test_one_value_a_channel_is_fine_in_evaluation():
    mine, reference = pair("BatchNorm1d", 3)
    x = torch.randn(1, 3)
    torch.testing.assert_close(mine.eval()(x), reference.eval()(x))


def test_a_failed_step_leaves_the_running_statistics_alone():
    layer = ours.BatchNorm1d(3)
    before = copy.deepcopy(layer.state_dict())
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        layer(torch.randn(1, 3))
    assert all(torch.equal(before[k], v) for k, v in layer.state_dict().items())


def test_group_norm_wants_equal_groups_and_make_norm_a_known_kind():
    for package in (nn, ours):
        with pytest.raises(ValueError):
            package.GroupNorm(4, 6)
    with pytest.raises(ValueError, match="batch"):
        ours.make_norm("btach", 4)


def test_wrong_channels_without_weights_only_warn():
    for package in (nn, ours):
        with pytest.warns(UserWarning):
            package.InstanceNorm2d(3)(torch.randn(2, 4, 3, 3))


# --- the gradients derived by hand ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("given", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (5, 3, 4, 2), (2, 3, 1, 1)], ids=str)
def test_batch_norm_by_hand(shape, given, dtype):
    x = (3 * torch.randn(shape, dtype=dtype) + 2).requires_grad_()
    weight, bias = (torch.randn(3, dtype=dtype, requires_grad=True) if g else None for g in given)
    weighting = torch.randn(shape, dtype=dtype)

    def reference(x, w, b, eps):
        return nn.functional.batch_norm(x, None, None, w, b, True, 0.1, eps)

    leaves = [t for t in (x, weight, bias) if t is not None]
    results = []
    for function in (functions.batch_norm_by_hand, functions.batch_norm, reference):
        y = function(x, weight, bias, 1e-3)
        results.append([y, *torch.autograd.grad((y * weighting).sum(), leaves)])
    for found in results[1:]:
        torch.testing.assert_close(results[0], found, **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("given", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize(("shape", "features"), [((6, 5), (5,)), ((2, 3, 4, 5), (4, 5))], ids=str)
def test_layer_norm_by_hand(shape, features, given, dtype):
    x = (3 * torch.randn(shape, dtype=dtype) + 2).requires_grad_()
    weight, bias = (
        torch.randn(features, dtype=dtype, requires_grad=True) if g else None for g in given
    )
    weighting = torch.randn(shape, dtype=dtype)
    dims = tuple(range(-len(features), 0))

    def reference(x, w, b, eps, dims):
        return nn.functional.layer_norm(x, features, w, b, eps)

    leaves = [t for t in (x, weight, bias) if t is not None]
    results = []
    for function in (functions.layer_norm_by_hand, functions.layer_norm, reference):
        y = function(x, weight, bias, 1e-3, dims)
        results.append([y, *torch.autograd.grad((y * weighting).sum(), leaves)])
    for found in results[1:]:
        torch.testing.assert_close(results[0], found, **TOLERANCE[dtype])


def double(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_by_hand_first_and_second_derivatives(check):
    assert check(functions.batch_norm_by_hand, (double(4, 3), double(3), double(3)))
    assert check(functions.batch_norm_by_hand, (double(2, 3, 2, 2), double(3), double(3)))
    assert check(functions.layer_norm_by_hand, (double(3, 4), double(4), double(4)))


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_modules_first_and_second_derivatives(check):
    layers = [
        ours.BatchNorm1d(4),
        ours.BatchNorm1d(4).eval(),
        ours.LayerNorm(4),
        ours.GroupNorm(2, 4),
        ours.RMSNorm(4),
    ]
    for layer in layers:
        assert check(layer.double(), (double(3, 4),))
    for kind in ("layer", "group", "instance", "rms", "batch"):
        assert check(ours.make_norm(kind, 4).double(), (double(2, 4, 2, 2),))


def test_by_hand_skips_gradients_that_nobody_wants():
    x, weight = torch.randn(4, 3), torch.randn(3, requires_grad=True)
    functions.batch_norm_by_hand(x, weight).sum().backward()
    assert x.grad is None and weight.grad is not None


def saved_bytes(function):
    """Bytes that autograd keeps for the backward pass of function(x), beyond x itself."""
    x = torch.randn(64, 8, 16, 16, requires_grad=True)
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = function(x, torch.ones(8, requires_grad=True), torch.zeros(8, requires_grad=True))
    kept.pop(x.untyped_storage().data_ptr(), None)
    del y
    return sum(kept.values())


def test_by_hand_keeps_only_the_statistics_beside_the_input():
    size = 64 * 8 * 16 * 16 * 4
    assert saved_bytes(functions.batch_norm_by_hand) < 0.01 * size
    assert saved_bytes(functions.batch_norm) >= 2 * size


def test_gradient_has_no_mean_and_no_part_along_the_normalised_input():
    x = double(16, 3)
    y = functions.batch_norm_by_hand(x, eps=0.0)
    (gradient,) = torch.autograd.grad((y * torch.randn_like(y)).sum(), x)
    zero = torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(gradient.mean(0), zero, rtol=0, atol=1e-13)
    torch.testing.assert_close((gradient * y.detach()).mean(0), zero, rtol=0, atol=1e-13)


# --- what the layers are for ---


def test_batch_norm_cancels_the_scale_of_input_and_weights():
    """BN(a x + c) = BN(x); so a layer before it may be scaled, and its gradient shrinks by 1/a."""
    layer = ours.BatchNorm1d(5, eps=0.0, dtype=torch.float64)
    x = double(8, 4)
    weight = double(5, 4)
    target = torch.randn(8, 5, dtype=torch.float64)
    results = []
    for scale in (1.0, 10.0):
        scaled = (scale * weight).detach().requires_grad_()
        y = layer(x @ scaled.T + 3)
        (gradient,) = torch.autograd.grad(((y - target) ** 2).sum(), scaled)
        results.append((y.detach(), gradient * scale))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-12)
    rotation = (results[0][1] * weight).sum(1)  # the gradient is orthogonal to each row of weights
    torch.testing.assert_close(rotation, torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-10)


KINDS = ["none", "batch", "layer", "group", "instance", "rms"]


@pytest.mark.parametrize("kind", KINDS)
def test_only_batch_norm_in_training_looks_at_the_other_examples(kind):
    x = torch.randn(6, 8, 4, 4)
    changed = x.clone()
    changed[1:] += torch.randn(5, 8, 4, 4)
    layer = ours.make_norm(kind, 8)
    for train in (True, False):
        layer.train(train)
        same = torch.allclose(layer(x)[0], layer(changed)[0], atol=1e-6)
        assert same == (kind != "batch" or not train)


@pytest.mark.parametrize(
    ("kind", "dims"), [("batch", (0, 2, 3)), ("layer", (1, 2, 3)), ("instance", (2, 3))]
)
def test_make_norm_normalises_over_the_set_it_names(kind, dims):
    y = ours.make_norm(kind, 8)(4 * torch.randn(6, 8, 5, 5) + 3)
    torch.testing.assert_close(y.mean(dims), torch.zeros_like(y.mean(dims)), rtol=0, atol=1e-5)
    variance = y.var(dims, unbiased=False)
    torch.testing.assert_close(variance, torch.ones_like(variance), rtol=1e-4, atol=1e-4)


def test_make_norm_rms_is_torchs_rms_over_channels():
    x = torch.randn(3, 8, 4, 4)
    mine, reference = ours.make_norm("rms", 8), nn.RMSNorm(8)
    randomise(reference)
    mine.load_state_dict(reference.state_dict(), strict=True)
    wanted = reference(x.movedim(1, -1)).movedim(-1, 1)
    torch.testing.assert_close(mine(x), wanted, **TOLERANCE[torch.float32])


def test_group_norm_with_one_group_or_one_channel_a_group():
    x = torch.randn(3, 6, 4, 4)
    layer = nn.functional.layer_norm(x, (6, 4, 4))
    torch.testing.assert_close(ours.GroupNorm(1, 6)(x), layer, rtol=1e-4, atol=1e-5)
    instance = ours.InstanceNorm2d(6)(x)
    torch.testing.assert_close(ours.GroupNorm(6, 6)(x), instance, rtol=1e-4, atol=1e-5)


def test_rms_norm_cancels_scale_but_not_shift():
    x = torch.randn(4, 16, dtype=torch.float64)
    layer = ours.RMSNorm(16, eps=1e-12, dtype=torch.float64)
    torch.testing.assert_close(layer(7 * x), layer(x))
    assert not torch.allclose(layer(x + 1), layer(x), atol=0.1)
    assert torch.allclose(layer(x).square().mean(-1), torch.ones(4, dtype=torch.float64))


def test_running_statistics_converge_to_those_of_the_data():
    """momentum=None over equal batches is the mean of the batches' statistics."""
    layer = ours.BatchNorm1d(2, momentum=None, dtype=torch.float64)
    batches = torch.randn(10, 5, 2, dtype=torch.float64) * 3 + 1
    for batch in batches:
        layer(batch)
    torch.testing.assert_close(layer.running_mean, batches.mean((0, 1)))
    torch.testing.assert_close(layer.running_var, batches.var(1, unbiased=True).mean(0))
    assert layer.num_batches_tracked == 10


# --- weight and spectral normalisation ---


def modules(kind):
    torch.manual_seed(1)
    shapes = {
        "linear": (nn.Linear(5, 7), (4, 5)),
        "conv": (nn.Conv2d(3, 6, 3), (2, 3, 5, 5)),
        "transposed": (nn.ConvTranspose2d(3, 6, 3), (2, 3, 5, 5)),
    }
    return shapes[kind]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [0, 1, None, -1])
@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_weight_norm(kind, dim, dtype):
    module, shape = modules(kind)
    mine = ours.weight_norm(copy.deepcopy(module).to(dtype), dim=dim)
    reference = parametrizations.weight_norm(copy.deepcopy(module).to(dtype), dim=dim)
    assert_same_state(mine, reference, dtype)
    torch.testing.assert_close(mine.weight, module.weight.to(dtype))  # nothing changes at first
    randomise(reference)
    mine.load_state_dict(reference.state_dict(), strict=True)
    reference.load_state_dict(mine.state_dict(), strict=True)
    x = torch.randn(shape, dtype=dtype)
    weighting = torch.randn_like(reference(x))
    found, wanted = (outputs(m, x, weighting) for m in (mine, reference))
    torch.testing.assert_close(found, wanted, **TOLERANCE[dtype])


def test_weight_norm_gradient_is_orthogonal_to_the_direction():
    layer = ours.weight_norm(nn.Linear(5, 7).double())
    v = layer.parametrizations.weight.original1
    layer(torch.randn(4, 5, dtype=torch.float64)).square().sum().backward()
    product = (v.grad * v).sum(1)
    torch.testing.assert_close(product, torch.zeros_like(product), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("kind", ["linear", "conv", "transposed"])
def test_spectral_norm(kind, steps, dtype):
    module, shape = modules(kind)
    pairs = []
    for package in (ours, parametrizations):
        torch.manual_seed(2)  # the first u and v are random
        pairs.append(
            package.spectral_norm(copy.deepcopy(module).to(dtype), n_power_iterations=steps)
        )
    mine, reference = pairs
    assert_same_state(mine, reference, dtype)
    for train in (True, True, False, True):
        mine.train(train)
        reference.train(train)
        x = torch.randn(shape, dtype=dtype)
        weighting = torch.randn_like(module.to(dtype)(x))
        found, wanted = (outputs(m, x, weighting) for m in (mine, reference))
        torch.testing.assert_close(found, wanted, **TOLERANCE[dtype])
        assert_same_state(mine, reference, dtype)
        mine.load_state_dict(reference.state_dict(), strict=True)


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_spectral_norm_makes_the_largest_singular_value_one(kind):
    layer = ours.spectral_norm(modules(kind)[0], n_power_iterations=50)
    matrix = layer.weight.flatten(1)
    assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1, abs=1e-4)
    layer.eval()
    assert torch.equal(layer.weight, layer.weight), "no power iteration in evaluation"


def test_spectral_norm_of_a_vector_and_two_forward_passes():
    layer = nn.LayerNorm(4)
    nn.init.normal_(layer.weight)
    ours.spectral_norm(layer)
    assert layer.weight.norm().item() == pytest.approx(1)
    critic = ours.spectral_norm(nn.Linear(4, 2))
    (critic(torch.randn(3, 4)) - critic(torch.randn(3, 4))).sum().backward()  # as in a GAN
    assert critic.parametrizations.weight.original.grad.isfinite().all()


def test_spectral_norm_refuses_nonsense():
    for package in (ours, parametrizations):
        with pytest.raises(IndexError):
            package.spectral_norm(nn.Linear(3, 2), dim=2)
        with pytest.raises(ValueError):
            package.spectral_norm(nn.Linear(3, 2), n_power_iterations=0)
        with pytest.raises(ValueError):
            package.spectral_norm(nn.Linear(3, 2), name="heavy")


# --- states of other versions, and torch's own tools ---


def old_state(layer: nn.Module) -> dict[str, torch.Tensor]:
    """As saved before torch 0.4.1: without num_batches_tracked, and without a version."""
    return {k: v.clone() for k, v in layer.state_dict().items() if "num_batches" not in k}


@pytest.mark.parametrize("name", ["BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "InstanceNorm2d"])
@pytest.mark.parametrize("seen", [0, 2], ids=["fresh", "used"])
def test_an_old_state_without_the_count_of_batches_loads_as_in_torch(name, seen):
    donor = getattr(nn, name)(3, affine=True, track_running_stats=True)
    for value in donor.state_dict().values():
        value.add_(1)
    state = old_state(donor)
    for module in (ours, nn):
        layer = getattr(module, name)(3, affine=True, track_running_stats=True)
        layer.num_batches_tracked += seen
        nested = nn.Sequential(nn.Identity(), layer)  # with a prefix
        nested.load_state_dict({f"1.{key}": value for key, value in state.items()}, strict=True)
        assert layer.num_batches_tracked == seen
        torch.testing.assert_close(layer.running_mean, donor.running_mean)
    assert "num_batches_tracked" not in state  # the caller's dict is not touched


@pytest.mark.parametrize("name", ["BatchNorm2d", "InstanceNorm2d"])
def test_a_new_state_must_have_the_count_of_batches(name):
    """The version stands beside the state: from 2 on the count belongs to it."""
    for module in (ours, nn):
        layer = getattr(module, name)(3, track_running_stats=True)
        state = layer.state_dict()
        assert state._metadata[""] == {"version": 2}
        del state["num_batches_tracked"]
        with pytest.raises(RuntimeError, match="num_batches_tracked"):
            layer.load_state_dict(state)


def test_old_state_loads_into_a_layer_without_storage():
    with torch.device("meta"):
        layers = [getattr(module, "BatchNorm2d")(3) for module in (ours, nn)]  # noqa: B009
    for layer in layers:
        layer.load_state_dict(old_state(nn.BatchNorm2d(3)), assign=True)
        assert layer.num_batches_tracked.item() == 0


@pytest.mark.parametrize("strict", [True, False])
def test_old_instance_norm_with_statistics_is_refused_in_words(strict):
    state = old_state(nn.InstanceNorm2d(3, track_running_stats=True))
    for module in (ours, nn):
        with pytest.raises(RuntimeError, match="track_running_stats=True"):
            module.InstanceNorm2d(3).load_state_dict(state, strict=strict)


@pytest.mark.parametrize("name", ["BatchNorm1d", "BatchNorm2d"])
def test_torchs_own_tools_know_our_batch_norm(name):
    """swa_utils.update_bn measures its statistics, SyncBatchNorm takes its values over."""
    torch.manual_seed(0)
    batches = [2 * torch.randn(6, 3, *([4, 4] if "2d" in name else [])) + 1 for _ in range(3)]
    twin, layer = getattr(nn, name)(3), getattr(ours, name)(3)
    for model in (twin, layer):
        swa_utils.update_bn(batches, model)
    torch.testing.assert_close(layer.state_dict(), twin.state_dict())
    assert layer.momentum == 0.1 and layer.num_batches_tracked == 3
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(layer))[0]
    assert isinstance(synced, nn.SyncBatchNorm)
    torch.testing.assert_close(synced.state_dict(), layer.state_dict())


def test_our_batch_norm_runs_none_of_torchs_code(monkeypatch):
    """The base class from torch is a mark only."""

    def forbidden(*args, **options):
        pytest.fail("torch's own code ran")

    base = nn.modules.batchnorm._BatchNorm
    for name in ("__init__", "forward", "reset_running_stats", "reset_parameters", "extra_repr"):
        monkeypatch.setattr(base, name, forbidden)
    for function in ("batch_norm", "instance_norm"):
        monkeypatch.setattr(F, function, forbidden)
    layer = ours.BatchNorm2d(3)
    layer(torch.randn(2, 3, 4, 4))
    layer.eval()(torch.randn(2, 3, 4, 4))
    layer.reset_parameters()
    assert "3, eps=1e-05" in repr(layer)
