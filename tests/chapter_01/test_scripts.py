"""The scripts of chapter 1: what they claim is tested on small sizes."""

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.gradcheck import GradcheckError

from chapter_01_tensor_autograd import autograd, checkpointing, custom_function
from chapter_01_tensor_autograd import dim_transform_torch as dims
from chapter_01_tensor_autograd import graph_visualization as drawing
from chapter_01_tensor_autograd import jvp as forward_mode
from chapter_01_tensor_autograd import train_digits as digits
from chapter_01_tensor_autograd.jvp import Dual
from chapter_01_tensor_autograd.tensor import Tensor
from utils import datasets
from utils.checkpoint import load_checkpoint, save_checkpoint

TORCH_TWIN = {"exp": torch.exp, "log": torch.log, "tanh": torch.tanh, "sin": torch.sin}

# ------------------------------------------------------------------------------- autograd.py


def test_walk_by_hand_equals_the_engine_and_torch():
    nodes = autograd.scalar_example()
    rows = autograd.walk_scalars(nodes)
    gradients = {name: theirs for name, _, _, theirs in autograd.compare_scalars(nodes)}
    assert gradients == {"x": 18.0, "w": 15.0, "b": 6.0, "t": -6.0}  # worked out by hand
    assert [row[4] for row in rows if row[2] == "w"] == [3.0, 12.0]  # two uses, added to 15


def test_walk_over_arrays_reaches_every_leaf(capsys):
    rows = autograd.compare_tensors(autograd.make_arrays(batch=3, hidden=5, seed=0))
    assert [row[0] for row in rows] == ["x", "W1", "b1", "W2", "b2"]
    printed = capsys.readouterr().out
    assert "matmul: g @ B^T" in printed and "tanh: g * (1 - y^2)" in printed


def test_a_wrong_gradient_makes_the_comparison_fail(monkeypatch):
    right = autograd.walk_tensors
    monkeypatch.setattr(
        autograd, "walk_tensors", lambda *a: {n: 1.001 * g for n, g in right(*a).items()}
    )
    with pytest.raises(AssertionError):
        autograd.compare_tensors(autograd.make_arrays(batch=3, hidden=5, seed=0))


# --------------------------------------------------------------------- graph_visualization.py


def graphs(widths: list[int]) -> tuple[drawing.Graph, drawing.Graph]:
    arrays = drawing.make_arrays(widths, batch=4, seed=0)
    return (
        drawing.our_graph(*drawing.our_loss(arrays)),
        drawing.torch_graph(*drawing.torch_loss(arrays)),
    )


def test_both_graphs_hold_all_parameters_and_are_connected():
    for graph in graphs([3, 5, 5, 5, 2]):
        assert graph.kinds.count("parameter") == 8 and graph.kinds.count("result") == 1
        labels = "\n".join(graph.labels)
        assert all(f"{kind}{i}" in labels for kind in "Wb" for i in range(1, 5))
        assert len(graph.edges) == len(graph.labels) - 1  # a tree: nothing is used twice
        assert len({source for source, _ in graph.edges}) == len(graph.labels) - 1


@pytest.mark.quick
def test_drawn_without_dot(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))  # nothing to be found there
    arguments = ["--quick", "--output_dir", str(tmp_path), "--run_name", "nodot"]
    assert drawing.main(arguments) == 0
    folder = tmp_path / "chapter_01_tensor_autograd" / "graph_visualization-nodot"
    for name in ("graph_ours.png", "graph_torch.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert "matplotlib drew the same graphs" in capsys.readouterr().out


def test_layout_puts_no_two_nodes_on_one_place_and_arrows_point_down():
    for graph in graphs([3, 5, 5, 2]):
        row = drawing.ranks(graph)
        column = drawing.columns(graph, row, drawing.trunk_of(graph, row))
        assert len(set(zip(row, column.tolist(), strict=True))) == len(graph.labels)
        assert all(row[source] > row[target] for source, target in graph.edges)


def test_layout_of_a_graph_with_a_shared_node():
    graph = drawing.Graph("diamond", ["a", "b", "c", "d"], ["operation"] * 4)
    graph.edges = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]
    row = drawing.ranks(graph)
    assert row == [2, 1, 1, 0]
    column = drawing.columns(graph, row, drawing.trunk_of(graph, row))
    assert column[1] != column[2]


# -------------------------------------------------------------------- dim_transform_torch.py


def test_views_share_memory_and_copies_do_not():
    x = torch.arange(24.0).view(2, 3, 4)
    words = {row[0].strip("`"): row[-1]["en"] for row in dims.operation_rows(x)}
    for name in ("x.view(6, 4)", "x.permute(2, 0, 1)", 'einsum("bij->bji", x)'):
        assert words[name] == "view"
    for name in ("torch.stack([x, x])", "x[:, [0, 2]]", "x.transpose(1, 2).reshape(2, 12)"):
        assert words[name] == "copy"


@pytest.mark.parametrize("operation", dict(dims.OPERATIONS).values(), ids=dict(dims.OPERATIONS))
def test_the_word_view_means_that_writing_is_seen(operation):
    x = torch.arange(24.0).view(2, 3, 4)
    y = operation(x)
    before = x.clone()
    y[(0,) * y.ndim] = -1.0
    assert dims.shares_memory(x, y) == (not torch.equal(x, before))


def test_addresses_follow_the_formula():
    x = torch.arange(12.0).view(3, 4)
    assert dims.addresses(x[1:, 1:3]).tolist() == [[5, 6], [9, 10]]
    assert dims.addresses(x[:1].expand(3, 4)).tolist() == [[0, 1, 2, 3]] * 3


# ------------------------------------------------------------------------------------ jvp.py


def test_dual_power_zero_is_flat_at_zero() -> None:
    out = Dual(np.array([0.0, 2.0]), np.ones(2)) ** 0
    assert out.value.tolist() == [1, 1] and out.tangent.tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(3))
def test_forward_mode_equals_torch_func(seed):
    assert max(forward_mode.compare_with_torch(seed).values()) < 1e-13


EXPRESSIONS = {
    "plus": lambda x, f: 2.0 + x + x * 3.0,
    "minus": lambda x, f: 1.0 - x - x * x,
    "divide": lambda x, f: x / (x * x + 1.0) + 2.0 / x,
    "power": lambda x, f: x**3 + x**0.5,
    "functions": lambda x, f: f("exp", f("sin", x)) * f("log", x) - f("tanh", -x),
    "sum": lambda x, f: (x * x).sum() * x,
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_dual_arithmetic_equals_torch(name):
    rng = np.random.default_rng(1)
    x, v = rng.uniform(0.5, 2.0, 6), rng.normal(size=6)
    expression = EXPRESSIONS[name]
    ours = expression(Dual(x, v), lambda f, a: getattr(a, f)())
    value, tangent = torch.func.jvp(
        lambda t: expression(t, lambda f, a: TORCH_TWIN[f](a)),
        (torch.from_numpy(x),),
        (torch.from_numpy(v),),
    )
    np.testing.assert_allclose(ours.value, value.numpy(), rtol=1e-12)
    np.testing.assert_allclose(ours.tangent, tangent.numpy(), rtol=1e-12)


def test_dual_matrix_product_of_two_duals():
    rng = np.random.default_rng(2)
    a, b, da, db = (rng.normal(size=s) for s in ((3, 4), (4, 2), (3, 4), (4, 2)))
    np.testing.assert_allclose((Dual(a, da) @ Dual(b, db)).tangent, da @ b + a @ db)
    np.testing.assert_allclose((a @ Dual(b, db)).tangent, a @ db)


# -------------------------------------------------------------------------- checkpointing.py


def gradients(forward, layers, x, length: int) -> list[torch.Tensor]:
    torch.manual_seed(3)
    checkpointing.step(forward, layers, x, length)
    return [p.grad.clone() for p in layers.parameters()]


@pytest.mark.parametrize("length", [1, 3, 8, 20])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_checkpointing_gives_the_same_gradients(length, dropout):
    layers = checkpointing.make_layers(8, 16, dropout)
    x = torch.randn(4, 16, requires_grad=True)
    reference = gradients(checkpointing.plain, layers, x, length)
    x_reference, x.grad = x.grad, None
    ours = gradients(checkpointing.ours, layers, x, length)
    assert torch.equal(x.grad, x_reference)
    assert all(torch.equal(a, b) for a, b in zip(ours, reference, strict=True))


def test_checkpointing_leaves_the_random_numbers_as_the_plain_step_does():
    layers, x = checkpointing.make_layers(4, 16, dropout=0.5), torch.randn(4, 16)
    gradients(checkpointing.plain, layers, x, 2)
    after_plain = torch.rand(3)
    gradients(checkpointing.ours, layers, x, 2)
    assert torch.equal(torch.rand(3), after_plain)


def test_without_the_random_state_dropout_gradients_are_wrong():
    differences = checkpointing.compare_gradients(seed=0, device=torch.device("cpu"))
    assert differences["ours"] == 0.0 and differences["ours_without_rng"] > 1e-4


def test_checkpointing_needs_less_memory_as_predicted():
    layers, x = checkpointing.make_layers(64, 32), torch.randn(64, 32)
    activation = x.numel() * 4
    plain = checkpointing.peak_bytes(checkpointing.plain, layers, x, 8)
    ours = checkpointing.peak_bytes(checkpointing.ours, layers, x, 8)
    assert plain >= 64 * activation
    assert 16 * activation <= ours <= 24 * activation  # n/k + k = 16, and working space


def test_saved_tensors_of_a_checkpoint_are_inputs_and_parameters_only():
    segment = torch.nn.Sequential(*checkpointing.make_layers(5, 16))
    x = torch.randn(4, 16)
    counts = []
    for run in (segment, lambda t: checkpointing.checkpoint(segment, t)):
        saved = []
        hooks = torch.autograd.graph.saved_tensors_hooks(lambda t, s=saved: s.append(t) or t, id)
        with hooks:
            run(x)
        known = {t.data_ptr() for t in (x, *segment.parameters())}
        counts.append(len({t.data_ptr() for t in saved} - known))
    assert counts == [5, 0]  # the five tanh outputs; nothing


# ------------------------------------------------------------------------ custom_function.py


def test_right_backward_passes_both_checks():
    inputs = custom_function.check_inputs(0)
    assert gradcheck(custom_function.Swish.apply, inputs)
    assert gradgradcheck(custom_function.Swish.apply, inputs)


@pytest.mark.parametrize("name", ["missing_term", "missing_chain_rule", "mean_instead_of_sum"])
def test_gradcheck_refuses_wrong_backwards(name):
    function = custom_function.VARIANTS[name]
    with pytest.raises(GradcheckError):
        gradcheck(function.apply, custom_function.check_inputs(0))


def test_only_gradgradcheck_refuses_the_detached_one():
    inputs = custom_function.check_inputs(0)
    assert gradcheck(custom_function.Detached.apply, inputs)
    with pytest.raises(GradcheckError):
        gradgradcheck(custom_function.Detached.apply, inputs)


def test_custom_function_equals_the_composition_and_saves_less():
    x, beta = torch.randn(5, 3), torch.rand(3)
    torch.testing.assert_close(
        custom_function.Swish.apply(x, beta), custom_function.composed(x, beta)
    )
    composed = custom_function.saved_bytes(custom_function.composed, 64, 32)
    assert custom_function.saved_bytes(custom_function.Swish.apply, 64, 32) == 0
    assert composed >= 64 * 32 * 4


def test_best_step_sizes_are_near_the_predicted_ones():
    steps = np.geomspace(1e-12, 1.0, 61)
    errors = custom_function.step_size_errors(steps, np.linspace(0.5, 3.0, 50))
    for name, numbers in custom_function.step_size_metrics(steps, errors).items():
        assert 0.03 < numbers["best_step"] / numbers["predicted_step"] < 30, name


# --------------------------------------------------------------------------- train_digits.py


class Log:
    """Stands for a Run: keeps what was logged."""

    def __init__(self) -> None:
        self.lines: list[dict] = []

    def log(self, **values) -> None:
        self.lines.append(values)


def small_budget(**changes) -> Namespace:
    return Namespace(**({"epochs": 6, "batch_size": 64, "lr": 2e-3} | changes))


def test_a_small_network_learns_to_read_digits():
    data, log = datasets.load("digits"), Log()
    fit = digits.train(data, [32], small_budget(lr=1e-2), seed=0, run=log)
    parameters = [Tensor(w) for w in fit.weights]
    log_p = digits.predict(parameters, digits.pixels(data, data.test))
    assert digits.accuracy(log_p, data.test.labels) > 0.9  # chance: 0.1
    assert fit.history["train_loss"][-1] < 0.3 * fit.history["train_loss"][0]
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1.0, rtol=1e-5)
    assert [line["epoch"] for line in log.lines] == list(range(6))


def test_the_network_overfits_32_images():
    data = datasets.load("digits")
    x, labels = digits.pixels(data, data.train)[:32], data.train.labels[:32]
    rng = np.random.default_rng(0)
    parameters = digits.make_parameters([64, 32, 10], rng)
    optimizer, args = digits.Adam(parameters), small_budget(epochs=100, batch_size=32, lr=1e-2)
    for _ in range(args.epochs):
        loss = digits.train_epoch(parameters, optimizer, x, labels, rng.permutation(32), args)
    assert loss < 0.01 and digits.accuracy(digits.predict(parameters, x), labels) == 1.0


def test_adam_takes_the_same_steps_as_torch():
    start = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    ours, theirs = Tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    optimizer, reference = digits.Adam([ours]), torch.optim.Adam([theirs], lr=0.05)
    for _ in range(20):
        ours.zero_grad()
        reference.zero_grad()
        (ours**4).sum().backward()
        (theirs**4).sum().backward()
        optimizer.step(0.05)
        reference.step()
    np.testing.assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_same_seed_same_weights():
    data = datasets.load("digits")
    runs = [digits.train(data, [8], small_budget(epochs=1), 5, Log()) for _ in range(2)]
    pairs = zip(runs[0].weights, runs[1].weights, strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_divergence_is_reported_in_a_sentence(tmp_path, capsys):
    arguments = ["--quick", "--lr", "1e30", "--output_dir", str(tmp_path)]
    with np.errstate(all="ignore"):
        assert digits.main(arguments) == 2
    assert "try --lr 1e+29" in capsys.readouterr().err


@pytest.fixture
def shipped(tmp_path) -> Path:
    """A checkpoint of an untrained network with the accuracy that it really has."""
    data = datasets.load("digits")
    weights = digits.make_parameters([64, 6, 10], np.random.default_rng(0))
    log_p = digits.predict(weights, digits.pixels(data, data.test))
    save_checkpoint(
        tmp_path / "digits_mlp.npz",
        digits.state_of([w.data for w in weights]),
        architecture={"widths": [64, 6, 10]},
        dataset="digits",
        metrics={"test_accuracy": digits.accuracy(log_p, data.test.labels)},
    )
    return tmp_path / "digits_mlp.npz"


def test_evaluate_checkpoint_gives_the_card_again(shipped):
    card = load_checkpoint(shipped)["metrics"]
    assert digits.evaluate_checkpoint(shipped) == card


def test_load_evaluates_without_training(shipped, tmp_path, capsys):
    arguments = ["--load", str(shipped), "--output_dir", str(tmp_path), "--run_name", "load"]
    assert digits.main(arguments) == 0
    files = {f.name for f in (tmp_path / "chapter_01_tensor_autograd/train_digits-load").iterdir()}
    assert {"digits_confusion.png", "digits_mistakes.png"} <= files
    assert "digits_mlp.npz" not in files
    assert "accuracy on the model card" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["truncated", "missing", "other architecture"])
def test_bad_checkpoints_end_with_exit_code_2(shipped, tmp_path, capsys, damage):
    if damage == "truncated":
        shipped.write_bytes(shipped.read_bytes()[:200])
    elif damage == "missing":
        shipped.unlink()
    else:
        facts = load_checkpoint(shipped) | {"architecture": {"widths": [64, 7, 10]}}
        facts.pop("format_version")
        save_checkpoint(shipped, facts.pop("state"), **facts)
    assert digits.main(["--load", str(shipped), "--output_dir", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "digits_mlp.npz" in message and "Traceback" not in message


@pytest.mark.process
def test_pytorch_is_not_imported(calm_environment):
    code = (
        "import sys, chapter_01_tensor_autograd.train_digits as t;"
        "from utils import datasets; datasets.load('digits');"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=calm_environment).returncode == 0


# ----------------------------------------------------------------------------- common faults


@pytest.mark.parametrize(
    "main, arguments",
    [
        (drawing.main, ["--widths", "8"]),
        (digits.main, ["--dataset", "mnist", "--data_dir", "/nowhere/at/all"]),
        (digits.main, ["--load", "no_such_file.npz"]),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(main, arguments, tmp_path, capsys):
    assert main([*arguments, "--output_dir", str(tmp_path)]) == 2
    assert "Traceback" not in capsys.readouterr().err
