"""Losses against torch.nn: values, gradients, options, shapes, extremes, half precision."""

import itertools
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from torch import nn

from chapter_02_nn_basics_mlp import losses as ours

SEED = int(os.environ.get("FUZZ_SEED", "0"))
TOLERANCE = {
    torch.float64: {"rtol": 1e-7, "atol": 1e-12},
    torch.float32: {"rtol": 1e-4, "atol": 1e-6},
}
DTYPES = list(TOLERANCE)
REDUCTIONS = ["none", "mean", "sum"]
SHAPES = [(), (5,), (4, 3), (2, 3, 4)]
CLASS_SHAPES = [(4,), (6, 4), (5, 4, 3), (2, 4, 3, 2), (1, 1), (3, 1)]  # C is 4 or 1


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(SEED)


def run(loss, input, target):
    """The loss, and its gradients with respect to the input and a floating point target."""
    leaves = [t.clone().requires_grad_() if t.is_floating_point() else t for t in (input, target)]
    value = loss(*leaves)
    weighting = torch.randn(value.shape, generator=torch.Generator().manual_seed(SEED + 1))
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    return [value.detach(), *torch.autograd.grad((value * weighting.to(value)).sum(), wanted)]


def assert_parity(name, options, input, target):
    mine, reference = (getattr(library, name)(**options) for library in (ours, nn))
    reference.load_state_dict(mine.state_dict(), strict=True)
    results = run(mine, input, target), run(reference, input, target)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, equal_nan=True, **TOLERANCE[input.dtype])


ELEMENTWISE = [
    ("MSELoss", {}),
    ("L1Loss", {}),
    ("SmoothL1Loss", {}),
    ("SmoothL1Loss", {"beta": 0.25}),
    ("SmoothL1Loss", {"beta": 0.0}),
    ("BCEWithLogitsLoss", {}),
    ("KLDivLoss", {}),
    ("KLDivLoss", {"log_target": True}),
    ("HingeEmbeddingLoss", {}),
    ("HingeEmbeddingLoss", {"margin": 0.3}),
]


def target_for(name, options, shape, dtype):
    if name == "BCEWithLogitsLoss":
        return torch.rand(shape, dtype=dtype)
    if name == "HingeEmbeddingLoss":
        return 2 * torch.randint(0, 2, shape) - 1  # integers: not differentiated
    if name == "KLDivLoss":
        log_target = torch.randn(shape, dtype=dtype)
        return log_target if options.get("log_target") else log_target.exp()
    return torch.randn(shape, dtype=dtype)


# torch warns that the mean over elements is no divergence; ours says so in its docstring.
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "options"), ELEMENTWISE, ids=str)
def test_elementwise_parity(name, options, shape):
    for dtype, reduction in itertools.product(DTYPES, REDUCTIONS):
        x, target = torch.randn(shape, dtype=dtype), target_for(name, options, shape, dtype)
        assert_parity(name, options | {"reduction": reduction}, x, target)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("log_target", [False, True])
def test_kl_divergence_per_sample(log_target, dtype):
    x = torch.randn(6, 5, dtype=dtype).log_softmax(1)
    y = torch.randn(6, 5, dtype=dtype).log_softmax(1)
    options = {"reduction": "batchmean", "log_target": log_target}
    assert_parity("KLDivLoss", options, x, y if log_target else y.exp())
    value = ours.KLDivLoss(**options)(x, y if log_target else y.exp())
    p, q = torch.distributions.Categorical(logits=y), torch.distributions.Categorical(logits=x)
    torch.testing.assert_close(value, torch.distributions.kl_divergence(p, q).mean())


def test_kl_divergence_of_a_certain_target_is_finite():
    x, y = torch.tensor([[-1.0, -2.0]]), torch.tensor([[1.0, 0.0]])
    assert ours.KLDivLoss(reduction="sum")(x, y).item() == pytest.approx(1.0)


@pytest.mark.parametrize("weight_shape", [None, (3,), (4, 1), (4, 3), ()], ids=str)
@pytest.mark.parametrize("pos_weight_shape", [None, (3,), (4, 3), ()], ids=str)
def test_bce_weights(weight_shape, pos_weight_shape):
    for dtype, reduction in itertools.product(DTYPES, REDUCTIONS):
        shapes = {"weight": weight_shape, "pos_weight": pos_weight_shape}
        options = {
            name: None if shape is None else torch.rand(shape, dtype=dtype)
            for name, shape in shapes.items()
        }
        x, y = 3 * torch.randn(4, 3, dtype=dtype), torch.rand(4, 3, dtype=dtype)
        assert_parity("BCEWithLogitsLoss", options | {"reduction": reduction}, x, y)


def class_case(shape, dtype, ignored=-100):
    """Logits and class indices; some of the indices are the ignored label."""
    classes = shape[0] if len(shape) == 1 else shape[1]
    index_shape = () if len(shape) == 1 else (shape[0], *shape[2:])
    target = torch.randint(0, classes, index_shape)
    target = torch.where(torch.rand(index_shape) < 0.3, ignored, target)
    return 3 * torch.randn(shape, dtype=dtype), target, classes


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("ignored", [-100, -1, 0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", CLASS_SHAPES, ids=str)
def test_cross_entropy_of_class_indices(shape, weighted, ignored, smoothing):
    for dtype, reduction in itertools.product(DTYPES, REDUCTIONS):
        logits, target, classes = class_case(shape, dtype, ignored)
        options = {"reduction": reduction, "label_smoothing": smoothing, "ignore_index": ignored}
        if weighted:
            options["weight"] = torch.rand(classes, dtype=dtype) + 0.1
        assert_parity("CrossEntropyLoss", options, logits, target)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", CLASS_SHAPES, ids=str)
def test_cross_entropy_of_probabilities(shape, weighted, smoothing):
    for dtype, reduction in itertools.product(DTYPES, REDUCTIONS):
        logits, _, classes = class_case(shape, dtype)
        target = torch.randn(shape, dtype=dtype).softmax(0 if len(shape) == 1 else 1)
        options = {"reduction": reduction, "label_smoothing": smoothing}
        if weighted:
            options["weight"] = torch.rand(classes, dtype=dtype)
        assert_parity("CrossEntropyLoss", options, logits, target)


@pytest.mark.parametrize("ignored", [-100, 1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", CLASS_SHAPES, ids=str)
def test_nll(shape, weighted, ignored):
    for dtype, reduction in itertools.product(DTYPES, REDUCTIONS):
        logits, target, classes = class_case(shape, dtype, ignored)
        options = {"reduction": reduction, "ignore_index": ignored}
        if weighted:
            options["weight"] = torch.rand(classes, dtype=dtype)
        log_probs = logits.log_softmax(0 if len(shape) == 1 else 1)
        assert_parity("NLLLoss", options, log_probs, target)


@hypothesis_seed(SEED)
@settings(max_examples=150, deadline=None)
@given(
    samples=st.integers(1, 6),
    classes=st.integers(1, 7),
    extra=st.lists(st.integers(1, 3), max_size=2),
    scale=st.sampled_from([1e-3, 1.0, 30.0, 1e4]),
    smoothing=st.sampled_from([0.0, 0.05, 0.5]),
    reduction=st.sampled_from(REDUCTIONS),
    weighted=st.booleans(),
    ignored=st.integers(-2, 3),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**16),
)
def test_cross_entropy_fuzzed(
    samples, classes, extra, scale, smoothing, reduction, weighted, ignored, dtype, seed
):
    torch.manual_seed(seed)
    options = {"reduction": reduction, "label_smoothing": smoothing, "ignore_index": ignored}
    if weighted:
        options["weight"] = torch.rand(classes, dtype=dtype)
    logits, target, _ = class_case((samples, classes, *extra), dtype, ignored)
    assert_parity("CrossEntropyLoss", options, scale * logits, target)


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_logits_stay_finite_and_right(dtype):
    logits = torch.tensor([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, 0]], dtype=dtype)
    target = torch.tensor([1, 2, 0])
    for smoothing in (0.0, 0.1):
        options = {"reduction": "none", "label_smoothing": smoothing}
        assert_parity("CrossEntropyLoss", options, logits, target)
    value, gradient = run(ours.CrossEntropyLoss(reduction="none"), logits, target)
    log = torch.tensor([3.0, 2.0], dtype=dtype).log()
    torch.testing.assert_close(value, torch.stack([torch.tensor(2e4).to(log), *log]))
    assert gradient.isfinite().all()
    binary = torch.tensor([1e4, -1e4, 1e4, -1e4, 0, 300, -300], dtype=dtype)
    labels = torch.tensor([1, 1, 0, 0, 1, 0, 1], dtype=dtype)
    assert_parity("BCEWithLogitsLoss", {"reduction": "none"}, binary, labels)
    results = run(ours.BCEWithLogitsLoss(reduction="none"), binary, labels)
    assert all(result.isfinite().all() for result in results)


def test_edges_where_branches_meet():
    x = torch.tensor([0.0, 1.0, -1.0, 0.5], dtype=torch.float64)
    zero = torch.zeros_like(x)
    for name in ("MSELoss", "L1Loss", "SmoothL1Loss"):
        assert_parity(name, {"reduction": "none"}, x, zero)
    assert_parity("HingeEmbeddingLoss", {"reduction": "none"}, x, -torch.ones(4).long())


def test_all_labels_ignored_is_nan_in_the_mean_as_in_torch():
    logits, target = torch.randn(3, 4), torch.full((3,), -100)
    assert_parity("CrossEntropyLoss", {}, logits, target)
    assert ours.CrossEntropyLoss()(logits, target).isnan()
    assert ours.CrossEntropyLoss(reduction="sum")(logits, target).item() == 0


SMOOTH = [
    (ours.MSELoss(), lambda: torch.randn(4, 3)),
    (ours.SmoothL1Loss(beta=0.7), lambda: torch.randn(4, 3)),
    (ours.BCEWithLogitsLoss(), lambda: torch.rand(4, 3)),
    (ours.KLDivLoss(log_target=True), lambda: torch.randn(4, 3)),
    (ours.CrossEntropyLoss(label_smoothing=0.1), lambda: torch.randint(0, 3, (4,))),
    (ours.CrossEntropyLoss(), lambda: torch.rand(4, 3).softmax(1)),
    (ours.NLLLoss(), lambda: torch.randint(0, 3, (4,))),
]


@pytest.mark.parametrize(("loss", "make_target"), SMOOTH, ids=lambda x: type(x).__name__)
def test_derivatives_by_finite_differences(loss, make_target):
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    target = make_target()
    target = target.double() if target.is_floating_point() else target
    assert torch.autograd.gradcheck(lambda x: loss(x, target), x)
    assert torch.autograd.gradgradcheck(lambda x: loss(x, target), x)


def test_the_short_gradients_of_the_docstrings():
    x = torch.randn(5, 4, dtype=torch.float64)
    q = torch.rand(5, 4, dtype=torch.float64).softmax(1)
    _, gradient, _ = run(ours.CrossEntropyLoss(reduction="sum"), x, q)
    scale = torch.randn((), generator=torch.Generator().manual_seed(SEED + 1)).double()
    torch.testing.assert_close(gradient, scale * (x.softmax(1) - q))
    _, gradient, _ = run(ours.BCEWithLogitsLoss(reduction="sum"), x, q)
    torch.testing.assert_close(gradient, scale * (x.sigmoid() - q))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    logits, target = torch.randn(64, 10).to(dtype), torch.randint(0, 10, (64,))
    for name, y in [("CrossEntropyLoss", target), ("MSELoss", torch.zeros_like(logits))]:
        value = getattr(ours, name)()(logits, y)
        assert value.dtype == torch.float32
        wide = y.float() if y.is_floating_point() else y
        torch.testing.assert_close(value, getattr(nn, name)()(logits.float(), wide))


def test_class_weights_are_saved_with_the_loss():
    loss = ours.CrossEntropyLoss(torch.tensor([1.0, 2.0]))
    assert list(loss.state_dict()) == ["weight"]
    loss = ours.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0]))
    assert list(loss.state_dict()) == ["pos_weight"]
    assert list(ours.CrossEntropyLoss().state_dict()) == []


CLASS_LOSSES = [("NLLLoss", {}), ("CrossEntropyLoss", {}), ("CrossEntropyLoss", {"smooth": 0.1})]


def class_losses(name, smooth=None, **options):
    """Ours and torch's, with the same options."""
    options |= {"label_smoothing": smooth} if smooth else {}
    return getattr(ours, name)(**options), getattr(nn, name)(**options)


@pytest.mark.parametrize("shape", [(3,), (5,), (1,), (), (1, 4)], ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "options"), CLASS_LOSSES, ids=str)
def test_class_weights_of_another_length_are_refused(name, options, reduction, shape):
    for loss in class_losses(name, **options, weight=torch.ones(shape), reduction=reduction):
        with pytest.raises(RuntimeError, match="weight"):
            loss(torch.randn(6, 4), torch.randint(0, 4, (6,)))
    if name == "CrossEntropyLoss" and shape != (1, 4):
        with pytest.raises(RuntimeError, match="4 classes"):
            class_losses(name, **options, weight=torch.ones(shape))[0](
                torch.randn(6, 4), torch.randn(6, 4).softmax(1)
            )


@pytest.mark.parametrize("weight_dtype", [torch.float64, torch.float32, torch.float16, torch.int64])
@pytest.mark.parametrize("dtype", [*DTYPES, torch.bfloat16])
@pytest.mark.parametrize(("name", "options"), CLASS_LOSSES, ids=str)
def test_class_weights_leave_the_type_of_the_loss(name, options, dtype, weight_dtype):
    logits, weight = torch.randn(6, 4, dtype=dtype), torch.tensor([1, 2, 0, 3])
    mine, _ = class_losses(name, **options, weight=weight.to(weight_dtype))
    wide = torch.float32 if dtype == torch.bfloat16 else dtype
    _, reference = class_losses(name, **options, weight=weight.to(wide))
    targets = [torch.randint(0, 4, (6,))]
    targets += [torch.rand(6, 4, dtype=wide)] if name == "CrossEntropyLoss" else []
    for target in targets:
        value = mine(logits, target)
        assert value.dtype == wide
        torch.testing.assert_close(value, reference(logits.to(wide), target))


@pytest.mark.parametrize("option", ["weight", "pos_weight"])
def test_bce_weights_change_neither_type_nor_shape(option):
    x, y = torch.randn(4, 3), torch.rand(4, 3)
    weight = torch.rand(3)
    value = ours.BCEWithLogitsLoss(**{option: weight.double()}, reduction="none")(x, y)
    expected = nn.BCEWithLogitsLoss(**{option: weight}, reduction="none")(x, y)
    torch.testing.assert_close(value, expected)
    for shape in [(2, 4, 3), (4, 2), (5, 1, 1)]:
        for library in (ours, nn):
            with pytest.raises(RuntimeError):
                library.BCEWithLogitsLoss(**{option: torch.ones(shape)})(x, y)
    for library in (ours, nn):  # one number must not become three
        with pytest.raises(RuntimeError):
            library.BCEWithLogitsLoss(**{option: torch.ones(3)})(x[0, 0], y[0, 0])


@pytest.mark.parametrize("ignored", [0, 1, 7])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_probabilities_have_no_label_to_ignore(ignored, smoothing):
    for library in (ours, nn):
        loss = library.CrossEntropyLoss(ignore_index=ignored, label_smoothing=smoothing)
        with pytest.raises(RuntimeError, match="ignore_index"):
            loss(torch.randn(3, 4), torch.rand(3, 4))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(4,), (6, 4), (5, 4, 3)], ids=str)
@pytest.mark.parametrize(("name", "options"), CLASS_LOSSES, ids=str)
def test_labels_of_any_integer_type(name, options, shape, weighted):
    x, target, _ = class_case(shape, torch.float32)
    options = options | {"weight": torch.rand(4) if weighted else None, "ignore_index": 2}
    mine, reference = class_losses(name, **options)
    expected = reference(x, target.clamp(min=0))
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64):
        torch.testing.assert_close(mine(x, target.clamp(min=0).to(dtype)), expected, equal_nan=True)
    for dtype in (torch.float32, torch.bool):
        for loss in (mine, reference):
            with pytest.raises(RuntimeError):
                loss(x, target.clamp(min=0).to(dtype))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("margin", [1.0, 0.3, -0.5])
def test_hinge_of_labels_that_are_neither_1_nor_minus_1(reduction, margin):
    x = torch.randn(7, dtype=torch.float64)
    for target in (torch.tensor([0, 1, 0, 1, 1, 0, 0]), torch.tensor([1, -1, 0, 2, -2, 1, -1])):
        for labels in (target, target.to(torch.float32) / 2, target.to(torch.int8)):
            options = {"margin": margin, "reduction": reduction}
            values = [lib.HingeEmbeddingLoss(**options)(x, labels) for lib in (ours, nn)]
            torch.testing.assert_close(*values)


@pytest.mark.parametrize("log_target", [False, True])
def test_kl_divergence_of_a_single_number(log_target):
    options = {"reduction": "batchmean", "log_target": log_target}
    assert_parity("KLDivLoss", options, torch.randn(()), torch.rand(()))


def test_a_target_of_booleans_is_zeros_and_ones():
    x, target = torch.randn(4, 3), torch.rand(4, 3) > 0.5
    for name in ("MSELoss", "L1Loss", "SmoothL1Loss", "BCEWithLogitsLoss"):
        value = getattr(ours, name)()(x, target)
        torch.testing.assert_close(value, getattr(nn, name)()(x, target.float()))


def test_clear_errors():
    with pytest.raises(ValueError, match="reduction"):
        ours.MSELoss(reduction="average")
    with pytest.raises(ValueError, match="batchmean"):
        ours.MSELoss(reduction="batchmean")
    with pytest.raises(ValueError, match="beta"):
        ours.SmoothL1Loss(beta=-1)
    with pytest.raises(ValueError, match="label_smoothing"):
        ours.CrossEntropyLoss(label_smoothing=1.5)
    with pytest.raises(ValueError, match=r"\(4, 3\) wants class indices of shape \(4,\)"):
        ours.CrossEntropyLoss()(torch.zeros(4, 3), torch.zeros(5, dtype=torch.long))
    with pytest.raises(ValueError, match="probabilities"):
        ours.CrossEntropyLoss()(torch.zeros(4, 3), torch.zeros(4, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="must have the shape"):
        ours.BCEWithLogitsLoss()(torch.zeros(4, 1), torch.zeros(4))
    with pytest.raises((IndexError, RuntimeError), match=r"out of (bounds|range)"):
        ours.CrossEntropyLoss()(torch.zeros(4, 3), torch.tensor([0, 1, 3, 0]))
    for name in ("MSELoss", "L1Loss", "SmoothL1Loss"):
        with pytest.warns(UserWarning, match=r"\(4, 1\) and target \(4,\)"):
            getattr(ours, name)()(torch.zeros(4, 1), torch.zeros(4))
