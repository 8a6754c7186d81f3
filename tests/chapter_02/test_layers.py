"""Layers and activations against torch.nn: values, gradients, weights, options, extremes."""

import inspect
import os
import pickle
from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from torch import nn

from chapter_02_nn_basics_mlp import layers as ours

SEED = int(os.environ.get("FUZZ_SEED", "0"))
# float32: torch's own tanh-GELU gradient is up to 1e-6 off the truth, before it is weighted by ~3.
TOLERANCE = {
    torch.float64: {"rtol": 1e-7, "atol": 1e-12},
    torch.float32: {"rtol": 1e-4, "atol": 5e-6},
}
DTYPES = list(TOLERANCE)
SHAPES = [(4,), (3, 4), (2, 3, 4), (2, 1, 3, 4), (0, 4), (1, 1)]

ACTIVATIONS = [
    *[(name, {}) for name in ("ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Sigmoid", "Tanh")],
    ("Softplus", {}),
    ("Identity", {}),
    ("LeakyReLU", {"negative_slope": 0.3}),
    ("ELU", {"alpha": 2.5}),
    ("GELU", {"approximate": "tanh"}),
    ("Softplus", {"beta": 3.0}),
    ("Softplus", {"beta": 0.5, "threshold": 1.0}),
    ("Softmax", {"dim": -1}),
    ("Softmax", {"dim": 0}),
    ("LogSoftmax", {"dim": -1}),
    ("LogSoftmax", {"dim": 0}),
]
# Kinks are left out where a second derivative is taken.
SMOOTH = [case for case in ACTIVATIONS if case[0] not in ("ReLU", "LeakyReLU", "ELU", "Identity")]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(SEED)


def pair(name, *args, **options):
    """Our layer and torch's, with the same weights."""
    mine = getattr(ours, name)(*args, **options)
    reference = getattr(nn, name)(*args, **options)
    reference.load_state_dict(mine.state_dict(), strict=True)
    return mine, reference


def run(module, x):
    """Output, and the gradients of a random weighting of it: to the input, then to each weight."""
    leaf = x.clone().requires_grad_(x.is_floating_point())
    output = module(leaf)
    weighting = torch.randn(output.shape, generator=torch.Generator().manual_seed(SEED + 1))
    inputs = ([leaf] if leaf.requires_grad else []) + list(module.parameters())
    gradients = torch.autograd.grad((output * weighting.to(output)).sum(), inputs)
    return [output.detach(), *gradients]


def assert_parity(mine, reference, x, dtype):
    for a, b in zip(run(mine, x), run(reference, x), strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE[dtype])


@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "options"), ACTIVATIONS, ids=str)
def test_activation_parity(name, options, shape, dtype, train):
    mine, reference = pair(name, **options)
    assert_parity(
        mine.train(train), reference.train(train), 3 * torch.randn(shape).to(dtype), dtype
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), ACTIVATIONS, ids=str)
def test_activations_at_zero_and_at_the_extremes(name, options, dtype):
    x = torch.tensor([-1e4, -300, -90, -30, -1e-9, 0, 0, 1e-9, 30, 90, 300, 1e4], dtype=dtype)
    for values in (x, x[5:7], x[[0, -1]]):
        mine, reference = pair(name, **options)
        assert_parity(mine, reference, values, dtype)
        assert all(result.isfinite().all() for result in run(mine, values))


@hypothesis_seed(SEED)
@settings(max_examples=150, deadline=None)
@given(
    case=st.sampled_from(ACTIVATIONS),
    shape=st.lists(st.integers(1, 5), min_size=0, max_size=4),
    scale=st.sampled_from([1e-6, 0.1, 1.0, 10.0, 1e3]),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**16),
)
def test_activation_parity_fuzzed(case, shape, scale, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(shape, generator=generator, dtype=dtype)
    assert_parity(*pair(case[0], **case[1]), x, dtype)


@pytest.mark.parametrize(("name", "options"), SMOOTH, ids=str)
def test_first_and_second_derivatives_by_finite_differences(name, options):
    if options.get("threshold") == 1.0:
        pytest.skip("jumps at its threshold")
    module = getattr(ours, name)(**options)
    x = torch.cat([2 * torch.randn(5), torch.zeros(1)]).double().requires_grad_()
    assert torch.autograd.gradcheck(module, x)
    assert torch.autograd.gradgradcheck(module, x)


def test_gelu_keeps_its_digits_in_the_tail():
    x = torch.tensor([-12.0], dtype=torch.float64)
    exact = -12 * 1.776482112077679e-33  # Phi(-12)
    assert ours.GELU()(x).item() == pytest.approx(exact, rel=1e-9)
    approximate, tail = ours.GELU("tanh"), torch.tensor([-5.5])  # (1 + tanh) / 2 is 0 here
    assert approximate(tail).item() == pytest.approx(approximate(tail.double()).item(), rel=1e-3)


@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "ELU", "SiLU"])
def test_inplace_overwrites_the_input_and_keeps_the_gradient(name):
    mine, reference = pair(name, inplace=True)
    x = torch.randn(6, 5)
    results = []
    for module in (mine, reference):
        leaf = x.clone().requires_grad_()
        hidden = leaf * 1
        output = module(hidden)
        assert output is hidden, "the same tensor, overwritten"
        results.append((output.detach(), *torch.autograd.grad((output**2).sum(), leaf)))
    torch.testing.assert_close(results[0], results[1])


def test_softmax_without_dim_takes_torchs_guess_and_warns():
    for name in ("Softmax", "LogSoftmax"):
        for shape in [(4,), (3, 4), (2, 3, 4), (2, 3, 4, 5)]:
            x = torch.randn(shape)
            with pytest.warns(UserWarning):
                torch.testing.assert_close(getattr(ours, name)()(x), getattr(nn, name)()(x))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3), (2, 1, 5, 3), (0, 3)], ids=str)
@pytest.mark.parametrize("out_features", [1, 4])
def test_linear_parity(shape, dtype, bias, out_features):
    mine, reference = pair("Linear", 3, out_features, bias=bias, dtype=dtype)
    assert_parity(mine, reference, torch.randn(shape, dtype=dtype), dtype)
    assert_parity(mine.eval(), reference.eval(), torch.randn(shape, dtype=dtype), dtype)


def test_linear_gradcheck_with_respect_to_all():
    layer = ours.Linear(3, 2, dtype=torch.float64)
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    weights = tuple(layer.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (x, *weights))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 5), (64, 10), (784, 128)], ids=str)
def test_linear_starts_like_torchs(sizes, bias, dtype):
    torch.manual_seed(SEED)
    mine = ours.Linear(*sizes, bias=bias, dtype=dtype)
    torch.manual_seed(SEED)
    reference = nn.Linear(*sizes, bias=bias, dtype=dtype)
    assert_same_state(mine, reference)
    assert torch.equal(torch.rand(3), replay_after(reference, sizes, bias, dtype)), "same stream"


def replay_after(reference, sizes, bias, dtype):
    torch.manual_seed(SEED)
    type(reference)(*sizes, bias=bias, dtype=dtype)
    return torch.rand(3)


def assert_same_state(mine, reference):
    assert list(mine.state_dict()) == list(reference.state_dict())
    for name, value in reference.state_dict().items():
        assert torch.equal(mine.state_dict()[name], value), name


def test_linear_under_bf16_autocast_gives_bf16_like_torchs():
    mine, reference = pair("Linear", 8, 4)
    x = torch.randn(5, 8)
    with torch.autocast("cpu", torch.bfloat16):
        a, b = mine(x), reference(x)
    assert a.dtype == b.dtype == torch.bfloat16
    torch.testing.assert_close(a, b, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    ("shape", "start", "end"),
    [
        ((2, 3, 4), 1, -1),
        ((2, 3, 4, 5), 1, 2),
        ((2, 3, 4, 5), -3, -2),
        ((2, 3, 4), 0, -1),
        ((2, 3), 1, 1),
        ((0, 3, 4), 1, -1),
        ((2, 0, 4), 0, 1),
        ((), 0, -1),
    ],
    ids=str,
)
def test_flatten_parity(shape, start, end):
    assert_parity(*pair("Flatten", start, end), torch.randn(shape).double(), torch.float64)


@pytest.mark.parametrize(("start", "end"), [(2, -1), (0, 5), (-3, 1)])
def test_flatten_refuses_missing_dimensions(start, end):
    for library in (ours, nn):
        with pytest.raises(IndexError):
            library.Flatten(start, end)(torch.zeros(2, 3))
    with pytest.raises(RuntimeError, match="after"):
        ours.Flatten(1, 0)(torch.zeros(2, 3))


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_draws_torchs_mask(p, dtype):
    x = torch.randn(7, 11).to(dtype)
    for train in (True, False):
        results = []
        for library in (ours, nn):
            torch.manual_seed(SEED)
            results.append(run(library.Dropout(p).train(train), x))
        for a, b in zip(*results, strict=True):
            torch.testing.assert_close(a, b, **TOLERANCE[dtype])


def test_dropout_keeps_the_mean_and_works_in_place():
    x = torch.ones(200_000)
    y = ours.Dropout(0.3)(x)
    assert (y == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert y.mean().item() == pytest.approx(1, abs=0.01)
    assert y.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert ours.Dropout(0.3, inplace=True)(x) is x and torch.equal(x == 0, x != x.max())
    with pytest.raises(ValueError, match="between 0 and 1"):
        ours.Dropout(1.5)


@pytest.mark.parametrize("index_dtype", [torch.int64, torch.int32])
@pytest.mark.parametrize("padding_idx", [None, 0, 4, -1])
@pytest.mark.parametrize("shape", [(), (6,), (2, 3), (2, 3, 4), (0,)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_embedding_parity(shape, padding_idx, dtype, index_dtype):
    mine, reference = pair("Embedding", 5, 3, padding_idx=padding_idx, dtype=dtype)
    indices = torch.randint(0, 5, shape, dtype=index_dtype)
    assert_parity(mine, reference, indices, dtype)


@pytest.mark.parametrize("padding_idx", [None, 2, -1])
def test_embedding_starts_like_torchs(padding_idx):
    torch.manual_seed(SEED)
    mine = ours.Embedding(7, 4, padding_idx=padding_idx)
    torch.manual_seed(SEED)
    assert_same_state(mine, nn.Embedding(7, 4, padding_idx=padding_idx))


def test_embedding_is_a_one_hot_product_and_leaves_the_padding_row_alone():
    layer = ours.Embedding(5, 3, padding_idx=1, dtype=torch.float64)
    nn.init.normal_(layer.weight)  # a trained padding row need not be zero
    indices = torch.tensor([[0, 1, 4], [1, 1, 0]])
    output = layer(indices)
    torch.testing.assert_close(output, nn.functional.one_hot(indices, 5).double() @ layer.weight)
    output.sum().backward()
    assert layer.weight.grad.tolist() == [[2] * 3, [0] * 3, [0] * 3, [0] * 3, [1] * 3]


def test_embedding_refuses_what_it_cannot_do():
    for bad in (5, -1):
        with pytest.raises(IndexError):
            ours.Embedding(5, 3)(torch.tensor([bad]))
    with pytest.raises(ValueError, match="padding_idx"):
        ours.Embedding(5, 3, padding_idx=5)
    for options in ({"max_norm": 1.0}, {"sparse": True}, {"scale_grad_by_freq": True}):
        with pytest.raises(NotImplementedError):
            ours.Embedding(5, 3, **options)


def network(library, names=None):
    parts = [
        library.Embedding(11, 6, padding_idx=0),
        library.Flatten(),
        library.Linear(24, 8),
        library.GELU(),
        library.Dropout(0.2),
        library.Sequential(library.Linear(8, 8, bias=False), library.Tanh()),
        library.Linear(8, 3),
    ]
    if names is None:
        return library.Sequential(*parts)
    return library.Sequential(OrderedDict(zip(names, parts, strict=True)))


@pytest.mark.parametrize("names", [None, list("abcdefg")])
def test_whole_network_trains_like_torchs(names):
    torch.manual_seed(SEED)
    mine = network(ours, names)
    torch.manual_seed(SEED)
    reference = network(nn, names)
    assert_same_state(mine, reference)
    x, y = torch.randint(0, 11, (32, 4)), torch.randn(32, 3)
    for model in (mine, reference):
        torch.manual_seed(SEED)
        for _ in range(5):
            loss = ((model(x) - y) ** 2).mean()
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                    parameter -= 0.1 * gradient
    for a, b in zip(mine.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert mine.load_state_dict(reference.state_dict(), strict=True)
    assert reference.load_state_dict(mine.state_dict(), strict=True)
    torch.testing.assert_close(mine.eval()(x), reference.eval()(x), rtol=1e-4, atol=1e-6)


def test_sequential_is_a_list_of_layers():
    first, second, third = ours.Linear(2, 3), ours.ReLU(), ours.Linear(3, 1)
    model = ours.Sequential(first, second)
    assert model.append(third) is model
    assert len(model) == 3 and list(model) == [first, second, third]
    assert model[0] is first and model[-1] is third
    assert isinstance(model[1:], ours.Sequential) and list(model[1:]) == [second, third]
    assert list(model[1:].state_dict()) == list(nn.Sequential(*model)[1:].state_dict())
    with pytest.raises(IndexError):
        model[3]
    x = torch.randn(5, 2)
    torch.testing.assert_close(model(x), third(second(first(x))))
    assert len(ours.Sequential()) == 0 and ours.Sequential()(x) is x


CONSTRUCTIONS = [
    ("Linear", (3, 2), {}),
    ("Linear", (3, 2), {"bias": False}),
    ("Flatten", (0, 1), {}),
    ("Dropout", (0.25,), {"inplace": True}),
    ("Embedding", (5, 3), {}),
    ("Embedding", (5, 3), {"padding_idx": -1}),
    ("Identity", (54, "unused"), {"anything": 1}),
    *[(name, (), options) for name, options in ACTIVATIONS],
    *[(name, (), {"inplace": True}) for name in ("ReLU", "LeakyReLU", "ELU", "SiLU")],
]


@pytest.mark.parametrize(("name", "args", "options"), CONSTRUCTIONS, ids=str)
def test_printed_form_pickling_and_the_options_kept(name, args, options):
    mine, reference = (getattr(library, name)(*args, **options) for library in (ours, nn))
    assert repr(mine) == repr(reference)
    assert repr(pickle.loads(pickle.dumps(mine))) == repr(mine)
    for option, value in options.items():
        if option not in ("bias", "anything", "padding_idx"):
            assert getattr(mine, option) == getattr(reference, option) == value


@pytest.mark.parametrize("name", sorted(set(ours.__all__)))
def test_arguments_are_torchs(name):
    mine, reference = (getattr(library, name) for library in (ours, nn))
    expected = dict(inspect.signature(reference).parameters)
    for private in [key for key in expected if key.startswith("_")]:
        del expected[private]
    actual = inspect.signature(mine).parameters
    assert list(actual) == list(expected)
    assert [p.default for p in actual.values()] == [p.default for p in expected.values()]
    assert list(inspect.signature(mine.forward).parameters) == ["self", "input"]


def test_device_and_dtype_arguments_reach_the_weights():
    layer = ours.Linear(3, 2, device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.bfloat16)}
    table = ours.Embedding(3, 2, device="meta", dtype=torch.float16)
    assert table.weight.device.type == "meta" and table.weight.dtype == torch.float16
