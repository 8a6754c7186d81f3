"""Our optimisers against torch.optim: the same steps, the same state, in every option.

Lion has no counterpart in torch; it is compared with the formula written down here.
"""

import copy
import inspect
import io
import pickle

import pytest
import torch
from torch import nn

from chapter_03_optimization_regularization import optimizers as ours
from chapter_03_optimization_regularization.optimizers.foreach import AdamForeach

STEPS = 200
TOLERANCE = 1e-10  # measured: 0 to 1e-13; the course promises 1e-6

SETTINGS = {
    "SGD": [
        {"lr": 0.1},
        {"lr": 0.05, "momentum": 0.9},
        {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01},
        {"lr": 0.03, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3, "maximize": True},
    ],
    "Adagrad": [
        {},
        {"lr": 0.1, "lr_decay": 0.01, "weight_decay": 0.01},
        {"lr": 0.05, "initial_accumulator_value": 0.5, "eps": 1e-6, "maximize": True},
    ],
    "Adadelta": [
        {},
        {"lr": 5.0, "rho": 0.8, "weight_decay": 0.01},
        {"lr": 2.0, "eps": 1e-4, "maximize": True},
    ],
    "RMSprop": [
        {},
        {"lr": 3e-3, "alpha": 0.9, "centered": True, "weight_decay": 0.01},
        {"lr": 1e-3, "momentum": 0.9, "eps": 1e-6},
        {"lr": 1e-3, "momentum": 0.5, "centered": True, "maximize": True},
    ],
    "Adam": [
        {"lr": 0.01},
        {"lr": 3e-3, "betas": (0.8, 0.95), "weight_decay": 0.01, "eps": 1e-4},
        {"lr": 0.02, "amsgrad": True, "maximize": True},
        {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True},
    ],
    "AdamW": [
        {"lr": 0.01},
        {"lr": 3e-3, "betas": (0.95, 0.98), "weight_decay": 0.3, "amsgrad": True},
        {"lr": 0.02, "weight_decay": 0.0, "maximize": True},
    ],
    "Adamax": [
        {},
        {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.01},
        {"lr": 0.02, "eps": 1e-3, "maximize": True},
    ],
    "NAdam": [
        {},
        {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True},
        {"lr": 0.01, "weight_decay": 0.1, "momentum_decay": 0.1},
        {"lr": 5e-3, "betas": (0.5, 0.9), "maximize": True},
    ],
    "RAdam": [
        {"lr": 0.01},
        {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True},
        {"lr": 0.02, "weight_decay": 0.1, "betas": (0.8, 0.9)},
        {"lr": 0.02, "betas": (0.0, 0.5), "maximize": True},  # rho stays below 5
    ],
    "Lion": [
        {},
        {"lr": 1e-3, "betas": (0.95, 0.98), "weight_decay": 0.1},
        {"lr": 3e-3, "maximize": True},
    ],
    "Muon": [
        {"lr": 0.02},
        {"lr": 0.01, "momentum": 0.8, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"},
        {"lr": 0.01, "ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5), "weight_decay": 0.0},
        {"lr": 0.01, "adjust_lr_fn": "spectral_unclamped", "eps": 1e-3},
    ],
}
NAMES = list(SETTINGS)
GRID = [(name, options) for name, settings in SETTINGS.items() for options in settings]
BASIC = [(name, settings[0]) for name, settings in SETTINGS.items()]


class LionByFormula(torch.optim.Optimizer):
    """Lion (Chen et al. 2023, algorithm 2), no operation in place and nothing rearranged."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0, *, maximize=False):
        options = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, options)

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            lr, (beta1, beta2), decay = group["lr"], group["betas"], group["weight_decay"]
            for p in (p for p in group["params"] if p.grad is not None):
                g = -p.grad if group["maximize"] else p.grad
                m = self.state[p].get("exp_avg", torch.zeros_like(p))
                sign = torch.sign(beta1 * m + (1 - beta1) * g)
                p.copy_(p - lr * (sign + decay * p))
                self.state[p]["exp_avg"] = beta2 * m + (1 - beta2) * g


def counterpart(name, options):
    """The reference class; skips what the installed torch does not have."""
    if name == "Lion":
        return LionByFormula
    reference = getattr(torch.optim, name, None)
    if reference is None:
        pytest.skip(f"torch {torch.__version__} has no {name}")
    if set(options) - set(inspect.signature(reference).parameters):
        pytest.skip(f"torch's {name} of this version lacks one of {list(options)}")
    try:
        reference([torch.zeros(2, 2)], **options)
    except ValueError as error:
        pytest.skip(f"torch's {name} of this version: {error}")
    return reference


class Problem:
    """A tanh network with bounded outputs; every step has its own noisy batch. Not convex.

    Bounded, so that it can also be maximised. Muon gets no biases.
    """

    def __init__(self, name="", seed=0, dtype=torch.float64):
        generator = torch.Generator().manual_seed(seed)
        shapes = [(8, 5), (6, 8), (2, 6)] + ([] if name == "Muon" else [(8,), (6,), (2,)])
        self.weights = [
            torch.randn(s, generator=generator, dtype=dtype).requires_grad_() for s in shapes
        ]
        self.inputs = torch.randn(STEPS, 16, 5, generator=generator, dtype=dtype)
        noise = torch.randn(STEPS, 16, 2, generator=generator, dtype=dtype)
        self.targets = torch.sin(3 * self.inputs[..., :2]) + 0.3 * noise

    def loss(self, step):
        h, biases = self.inputs[step], self.weights[3:] or [0, 0, 0]
        for weight, bias in zip(self.weights[:3], biases, strict=True):
            h = torch.tanh(h @ weight.T + bias)  # (16, 5) -> (16, 8) -> (16, 6) -> (16, 2)
        return ((h - self.targets[step]) ** 2).mean()

    def run(self, optimizer, start, stop):
        for step in range(start, stop):
            optimizer.zero_grad()
            self.loss(step).backward()
            optimizer.step()
        return [w.detach().clone() for w in self.weights]

    def copy(self):
        return copy.deepcopy(self)


def difference(a, b):
    return max((x - y).abs().max().item() for x, y in zip(a, b, strict=True))


def assert_same_state(mine, theirs, tolerance=TOLERANCE):
    """The same tensors under the same names for every parameter."""
    assert mine["state"].keys() == theirs["state"].keys()
    for index, state in theirs["state"].items():
        assert mine["state"][index].keys() == state.keys()
        for key, value in state.items():
            other = mine["state"][index][key]
            assert other.dtype == value.dtype, key
            assert difference([other], [value]) <= tolerance, key


def label(case):
    return f"{case[0]}-{','.join(f'{k}={v}' for k, v in case[1].items()) or 'defaults'}"


@pytest.mark.parametrize("case", GRID, ids=label)
def test_parity_with_an_exchange_of_state_in_mid_run(case):
    """Three runs: torch throughout; ours, then torch; torch, then ours. The same 200 steps."""
    name, options = case
    mine, reference = getattr(ours, name), counterpart(name, options)
    straight, ours_first, torch_first = Problem(name), Problem(name), Problem(name)
    throughout = reference(straight.weights, **options)
    first = mine(ours_first.weights, **options), reference(torch_first.weights, **options)
    half = straight.run(throughout, 0, STEPS // 2)
    assert difference(ours_first.run(first[0], 0, STEPS // 2), half) <= TOLERANCE
    torch_first.run(first[1], 0, STEPS // 2)
    assert_same_state(first[0].state_dict(), first[1].state_dict())

    # The new optimisers have default options: the options come with the state too.
    then = reference(ours_first.weights), mine(torch_first.weights)
    for new, old in zip(then, first, strict=True):
        new.load_state_dict(old.state_dict())
    end = straight.run(throughout, STEPS // 2, STEPS)
    assert difference(ours_first.run(then[0], STEPS // 2, STEPS), end) <= TOLERANCE
    assert difference(torch_first.run(then[1], STEPS // 2, STEPS), end) <= TOLERANCE
    assert difference(end, half) > 1e-4, "something moved"


def step_or_skip(optimizer, library):
    try:
        optimizer.step()
    except KeyError:
        assert library is torch.optim.Adagrad
        pytest.skip("Adagrad of this torch version cannot take a group after its construction")


@pytest.mark.parametrize("case", BASIC, ids=label)
def test_groups_late_groups_and_missing_gradients(case):
    name, options = case
    results = []
    for library in (getattr(ours, name), counterpart(name, options)):
        problem = Problem(name)
        first, second, *rest = problem.weights
        slow = {"params": [first], "lr": 1e-3, "weight_decay": 0.05}
        optimizer = library([slow, {"params": [second]}], **options)
        optimizer.add_param_group({"params": rest, "lr": 0.02})
        for step in range(30):
            optimizer.zero_grad()
            problem.loss(step).backward()
            if step % 3 == 0:
                second.grad = None
            rest[0].grad = None
            step_or_skip(optimizer, library)
        results.append(([w.detach() for w in problem.weights], optimizer.state_dict()))
    (mine, my_state), (theirs, their_state) = results
    assert difference(mine, theirs) <= TOLERANCE
    assert torch.equal(mine[2], Problem(name).weights[2]), "no gradient, no change"
    assert_same_state(my_state, their_state)


@pytest.mark.parametrize("name", NAMES)
def test_same_arguments_and_defaults_as_torch(name):
    reference = inspect.signature(counterpart(name, {})).parameters
    implementation = {"foreach", "fused", "capturable", "differentiable"}
    mine = inspect.signature(getattr(ours, name)).parameters
    shared = [key for key in reference if key not in implementation]
    assert set(shared) <= set(mine)
    assert all(mine[key].default == reference[key].default for key in shared)
    extra = set(mine) - set(shared)
    assert extra <= {"ns_dtype", "decoupled_weight_decay"}  # the latter: Adam before torch 2.6
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    leading = [key for key in mine if mine[key].kind == positional]
    assert leading == list(reference)[: len(leading)], "the same order of positional arguments"


SPARSE = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.1, "maximize": True}),
]


def sparse_steps(optimizer_class, options, steps=30):
    """An embedding whose gradients are sparse, with repeated indices."""
    torch.manual_seed(0)
    table = nn.Embedding(12, 3, sparse=True, dtype=torch.float64)
    optimizer = optimizer_class(table.parameters(), **options)
    for _ in range(steps):
        optimizer.zero_grad()
        (table(torch.randint(0, 8, (6,))) ** 2).sum().backward()
        optimizer.step()
    return table.weight.detach()


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # from torch's own Adagrad
@pytest.mark.parametrize("case", SPARSE, ids=label)
def test_sparse_gradients(case):
    name, options = case
    mine = sparse_steps(getattr(ours, name), options)
    assert difference([mine], [sparse_steps(getattr(torch.optim, name), options)]) <= TOLERANCE
    untouched = sparse_steps(getattr(ours, name), options, steps=0)[8:]
    assert torch.equal(mine[8:], untouched), "rows that were never looked up"


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("SGD", "Adagrad")])
def test_sparse_gradients_are_refused_where_torch_refuses(name):
    with pytest.raises(RuntimeError, match="sparse"):
        sparse_steps(getattr(ours, name), {})
    if name != "Lion" and hasattr(torch.optim, name):
        with pytest.raises(RuntimeError, match="sparse"):
            sparse_steps(getattr(torch.optim, name), {})


@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_weight_decay_with_sparse_gradients_is_refused(name):
    with pytest.raises(RuntimeError, match="sparse"):
        sparse_steps(getattr(ours, name), {"weight_decay": 0.1})


@pytest.mark.parametrize("case", BASIC, ids=label)
def test_closure_gives_the_loss_and_runs_with_gradients(case):
    name, options = case
    with_closure, without = Problem(name), Problem(name)
    optimizer = getattr(ours, name)(with_closure.weights, **options)

    def closure():
        optimizer.zero_grad()
        loss = with_closure.loss(0)
        loss.backward()
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    torch.testing.assert_close(loss, without.loss(0))
    plain = getattr(ours, name)(without.weights, **options)
    assert difference(with_closure.weights, without.run(plain, 0, 1)) == 0
    assert plain.step() is None


@pytest.mark.parametrize("case", BASIC, ids=label)
def test_state_dict_through_a_file_goes_on_to_the_same_bits(case):
    name, options = case
    problem = Problem(name)
    optimizer = getattr(ours, name)(problem.weights, **options)
    problem.run(optimizer, 0, 10)
    resumed, file = problem.copy(), io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    new = getattr(ours, name)(resumed.weights)
    new.load_state_dict(torch.load(file, weights_only=True))
    assert difference(problem.run(optimizer, 10, 20), resumed.run(new, 10, 20)) <= (
        1e-9 if name == "NAdam" else 0  # torch casts mu_product from float32 to the weights' type
    )


@pytest.mark.parametrize("case", [*GRID, *(("foreach", o) for o in SETTINGS["Adam"])], ids=label)
def test_the_gradients_are_left_alone_and_not_kept(case):
    """Some loops keep `.grad` between steps: no step may write into it."""
    name, options = case
    library = AdamForeach if name == "foreach" else getattr(ours, name)
    problem = Problem(name)
    problem.loss(0).backward()
    before = [w.grad.clone() for w in problem.weights]
    optimizer = library(problem.weights, **options)
    for _ in range(3):
        optimizer.step()
    assert difference(before, [w.grad for w in problem.weights]) == 0


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("case", BASIC, ids=label)
def test_deepcopy_and_pickle(case, clone):
    name, options = case
    problem = Problem(name)
    optimizer = getattr(ours, name)(problem.weights, **options)
    problem.run(optimizer, 0, 5)
    twin, twin_optimizer = clone((problem, optimizer))
    assert difference(problem.run(optimizer, 5, 12), twin.run(twin_optimizer, 5, 12)) == 0


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "NAdam"])
def test_under_torchs_schedulers(name):
    options = {"lr": 0.01} | ({"momentum": 0.9} if name in ("SGD", "RMSprop") else {})
    results = []
    for library in (ours, torch.optim):
        problem = Problem()
        optimizer = getattr(library, name)(problem.weights, **options)
        # OneCycleLR changes the momentum, or beta1, at every step too.
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=40)
        for step in range(40):
            problem.run(optimizer, step, step + 1)
            scheduler.step()
        results.append(problem.weights)
    assert difference(*results) <= TOLERANCE


@pytest.mark.parametrize("case", BASIC, ids=label)
def test_the_learning_rate_may_be_a_tensor(case):
    name, options = case
    number, tensor = Problem(name), Problem(name)
    library, lr = getattr(ours, name), 0.0078125  # a power of 2: the same in both types
    a = number.run(library(number.weights, **options | {"lr": lr}), 0, 10)
    b = tensor.run(library(tensor.weights, **options | {"lr": torch.tensor(lr)}), 0, 10)
    assert difference(a, b) <= 1e-6  # a float32 scalar joins the float64 numbers


def test_old_checkpoints_and_adams_state_in_adamw():
    """Before torch 1.12 the step was an int; options added later are missing."""
    problem, old = Problem(), Problem()
    optimizer = ours.Adam(problem.weights, lr=0.01)
    problem.run(optimizer, 0, 5)
    state = copy.deepcopy(optimizer.state_dict())
    for entry in state["state"].values():
        entry["step"] = 5
    for name in ("maximize", "amsgrad", "decoupled_weight_decay"):
        del state["param_groups"][0][name]
    old.weights = [w.detach().clone().requires_grad_() for w in problem.weights]
    loaded = ours.Adam(old.weights)
    loaded.load_state_dict(state)
    assert difference(problem.run(optimizer, 5, 10), old.run(loaded, 5, 10)) == 0
    decayed = ours.AdamW(old.weights)
    decayed.load_state_dict(optimizer.state_dict())
    assert decayed.param_groups[0]["decoupled_weight_decay"] is True


def test_muon_in_float32_is_close_to_muon_in_bfloat16():
    a, b = Problem("Muon", dtype=torch.float32), Problem("Muon", dtype=torch.float32)
    start = [w.detach().clone() for w in a.weights]
    rough = a.run(ours.Muon(a.weights, lr=0.01), 0, 20)
    fine = b.run(ours.Muon(b.weights, lr=0.01, ns_dtype=torch.float32), 0, 20)
    assert difference(rough, fine) < 0.1 * difference(fine, start)


@pytest.mark.parametrize("options", SETTINGS["Adam"], ids=str)
def test_foreach_is_the_plain_adam_to_the_bit(options):
    plain, listed = Problem(), Problem()
    results = []
    for problem, library in ((plain, ours.Adam), (listed, AdamForeach)):
        groups = [{"params": problem.weights[:2], "lr": 1e-3}, {"params": problem.weights[2:]}]
        optimizer = library(groups, **options)
        for step in range(40):
            optimizer.zero_grad()
            problem.loss(step).backward()
            if step % 3 == 0:  # so that the steps differ within a group
                problem.weights[3].grad = None
            optimizer.step()
        results.append(([w.detach() for w in problem.weights], optimizer.state_dict()))
    assert difference(results[0][0], results[1][0]) == 0
    assert_same_state(results[0][1], results[1][1], tolerance=0)


def test_foreach_exchanges_state_with_torchs_foreach():
    a, b = Problem(), Problem()
    first, theirs = AdamForeach(a.weights, lr=0.01), torch.optim.Adam(b.weights, foreach=True)
    a.run(first, 0, 20)
    b.run(AdamForeach(b.weights, lr=0.01), 0, 20)
    # deepcopy: load_state_dict keeps the very tensors it is given, and both runs go on
    theirs.load_state_dict(copy.deepcopy(first.state_dict()))
    assert difference(a.run(first, 20, 60), b.run(theirs, 20, 60)) <= TOLERANCE
    first.load_state_dict(copy.deepcopy(theirs.state_dict()))
    assert difference(a.run(first, 60, 90), b.run(theirs, 60, 90)) <= TOLERANCE


def test_foreach_with_mixed_types_without_gradients_and_with_sparse_ones():
    weights = [torch.ones(3), torch.ones(2, dtype=torch.float64)]
    results = []
    for library in (ours.Adam, AdamForeach):
        leaves = [w.clone().requires_grad_() for w in weights]
        optimizer = library(leaves, lr=0.1)
        optimizer.step()  # no gradients at all
        for leaf in leaves:
            leaf.grad = torch.full_like(leaf, 0.5)
        optimizer.step()
        results.append([leaf.detach() for leaf in leaves])
    assert difference(*results) == 0 and results[1][0][0] < 1
    with pytest.raises(RuntimeError, match="sparse"):
        sparse_steps(AdamForeach, {})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("case", BASIC, ids=label)
def test_on_a_gpu(case):
    name, options = case
    results = []
    for library in (getattr(ours, name), counterpart(name, options)):
        torch.manual_seed(0)
        weight = torch.randn(4, 4, device="cuda", requires_grad=True)
        optimizer = library([weight], **options)
        for _ in range(10):
            weight.grad = torch.sin(weight.detach())
            optimizer.step()
        results.append([weight.detach()])
    assert difference(*results) <= 1e-6
