"""The grader of chapter 5: `python -m course check 5`.

Each function takes the learner's module `ex` and compares with torch or an independent formula.
Where a result is wrong, it is also compared with what the usual mistakes would give (`grading.py`),
so that the message can name the mistake.
"""

import contextlib
import math

import torch
from torch import nn

from chapter_03_optimization_regularization.exercises.grading import normal, same, unchanged
from chapter_04_cnn_classic.exercises.grading import number, operations, tensors
from chapter_05_resnet_modern_cnn.exercises import grading
from utils.grading import check_order


def test_channel_shuffle(ex):
    for shape, groups in [
        ((1, 6, 1, 1), 2),
        ((2, 12, 3, 2), 4),
        ((1, 5, 2, 2), 5),
        ((2, 6, 1, 3), 1),
    ]:
        x = torch.arange(math.prod(shape), dtype=torch.float64).reshape(shape)
        kept = x.clone()
        result = ex.channel_shuffle(x, groups)
        unchanged([kept], [x], ["x"])
        channels = shape[1]
        n = channels // groups
        order = sorted(range(channels), key=lambda c: (c % n, c // n))
        back = sorted(range(channels), key=order.__getitem__)
        mistakes = [
            ("this is x: the channels are not moved", x),
            ("this is the way back, a shuffle with C / groups groups", x[:, back]),
            (
                "the groups were exchanged, not dealt out",
                x.unflatten(1, (groups, n)).flip(1).flatten(1, 2),
            ),
        ]
        same(result, x[:, order], f"x {shape}, {groups = }", mistakes)
    counts = [operations(ex.channel_shuffle, normal(1, c, 2, 2), 2) for c in (4, 40)]
    assert counts[0] == counts[1], (
        f"{counts[0]} tensor operations for 4 channels, {counts[1]} for 40: there is a loop over "
        "channels"
    )


def test_drop_path(ex):
    def generator(seed=0):
        return torch.Generator().manual_seed(seed)

    for shape, p in [
        ((4000, 2, 1, 3), 0.2),
        ((3000, 4), 0.7),
        ((50, 2, 2, 2), 0.0),
        ((50, 3), 1.0),
    ]:
        where = f"branch {shape}, {p = }"
        branch = normal(*shape).abs() + 1
        kept, chance = branch.clone(), torch.get_rng_state()
        result = ex.drop_path(branch, p, True, generator())
        unchanged([kept], [branch], ["branch"])
        assert torch.equal(chance, torch.get_rng_state()), (
            f"{where}: numbers were drawn from torch's global generator; pass `generator=`"
        )
        assert isinstance(result, torch.Tensor) and result.shape == branch.shape, (
            f"{where}: expected the shape {shape}, got {getattr(result, 'shape', result)}"
        )
        assert bool(torch.isfinite(result).all()), f"{where}: there are nan or inf (0 / 0?)"
        alive = grading.check_dropped(branch, result, p, where)
        mistakes = [("the division by 1 - p is missing", branch[alive])]
        if 0 < p < 1:
            mistakes += [("divided by p, not by 1 - p", branch[alive] / p)]
            mistakes += [("multiplied by 1 - p, not divided", branch[alive] * (1 - p))]
            again = ex.drop_path(branch, p, True, generator())
            assert torch.equal(result, again), f"{where}: the same seed gives two different results"
        right = branch[alive] / (1 - p if p < 1 else 1)
        same(result[alive], right, f"{where}: what is kept", mistakes)
    branch = normal(64, 2, 3, 3)
    mistakes = [
        ("nothing is scaled at test time: training has divided by 1 - p", branch * 0.7),
        ("`training` is not used", ex.drop_path(branch, 0.3, True, generator())),
    ]
    same(ex.drop_path(branch, 0.3, False, generator()), branch, "training=False", mistakes)
    single = ex.drop_path(branch.float(), 0.3, True, generator())
    assert single.dtype == torch.float32, f"float32 in, {single.dtype} out: keep the dtype"


def test_block_cost(ex):
    cases = [("basic", 64, 64, 1, 56), ("bottleneck", 256, 64, 1, 56), ("basic", 64, 128, 2, 56)]
    cases += [("bottleneck", 64, 64, 1, 56), ("bottleneck", 256, 128, 2, 56)]
    cases += [("basic", 16, 24, 1, 9), ("basic", 16, 16, 2, 32), ("bottleneck", 32, 8, 4, 12)]
    for case in cases:
        where = "{}, {} channels, width {}, stride {}, size {}".format(*case)
        parameters, macs = result = tensors(ex.block_cost(*case), 2, "(parameters, macs)")
        right, right_macs, weights = grading.torchs_block(*case)
        check_order(result, (right, right_macs), "(parameters, macs)", where)
        wrong = {
            name: grading.torchs_block(*case, mistake=name)
            for name in ("never", "always", "only strided", "narrow", "v1")
        }
        words = {
            "never": "the projection is missing where the shapes differ",
            "always": "where the shapes agree the shortcut is the identity: no projection",
            "only strided": "the channels change: that needs a projection too",
            "narrow": "a bottleneck returns 4 * width channels",
        }
        norms = right - weights  # two numbers a channel
        mistakes = [(words[name], wrong[name][0]) for name in words]
        mistakes += [
            ("the scales and shifts of BatchNorm are missing", weights),
            ("BatchNorm has two numbers for each channel: scale and shift", weights + norms // 2),
            ("running statistics are no parameters", right + norms),
            ("the convolutions have no bias", right + norms // 2),
        ]
        if wrong["never"][0] != right:
            out = 4 * case[2] if case[0] == "bottleneck" else case[2]
            mistakes.append(("the projection has a BatchNorm too", right - 2 * out))
        number(parameters, right, f"{where}: parameters", mistakes)
        mistakes = [("these are FLOPs: one MAC is two of them", 2 * right_macs)]
        mistakes += [(words[name], wrong[name][1]) for name in words]
        mistakes += [
            ("the stride is in the 3x3: the first 1x1 works on the large map", wrong["v1"][1]),
            ("each weight is used at every place of the output, not once", weights),
            ("behind the stride the map is smaller", weights * case[4] ** 2),
        ]
        number(macs, right_macs, f"{where}: MACs", mistakes)


def test_SqueezeExcitation(ex):
    for seed, (channels, reduction, height, width) in enumerate([(4, 2, 3, 3), (12, 4, 2, 5)]):
        where = f"channels {channels}, reduction {reduction}"
        module = ex.SqueezeExcitation(channels, reduction)
        for name, o, i in [
            ("fc1", channels // reduction, channels),
            ("fc2", channels, channels // reduction),
        ]:
            layer = getattr(module, name, None)
            assert isinstance(layer, nn.Linear), f"{where}: {name} has to be an nn.Linear"
            size = (layer.out_features, layer.in_features)
            assert size == (o, i), (
                f"{where}: {name} maps {size[1]} numbers to {size[0]}, not {i} to {o}"
            )
        count = 2 * channels * (channels // reduction) + channels + channels // reduction
        found = sum(p.numel() for p in module.parameters())
        biases = channels + channels // reduction
        mistakes = [
            ("both layers have a bias", count - b) for b in (channels, biases - channels, biases)
        ]
        number(found, count, f"{where}: parameters", mistakes)
        grading.fill(module, seed)
        x = normal(3, channels, height, width, seed=seed) * 3
        kept = x.clone()
        result = module(x)
        unchanged([kept], [x], ["x"])
        mistakes = [
            (words, grading.gated(x, module, key)) for key, words in grading.GATE_MISTAKES.items()
        ]
        same(result, grading.gated(x, module), where, mistakes)


def test_fold_batchnorm(ex):
    for option, conv, norm, x in grading.convolutions():
        where = f"nn.Conv2d with {option}"
        states = [{k: v.clone() for k, v in part.state_dict().items()} for part in (conv, norm)]
        folded = ex.fold_batchnorm(conv, norm)
        for part, state, name in zip((conv, norm), states, ("conv", "norm"), strict=True):
            changed = [k for k, v in part.state_dict().items() if not torch.equal(v, state[k])]
            assert not changed, f"{where}: {name}.{changed[0]} was changed; make a new layer"
        assert isinstance(folded, nn.Conv2d), f"{where}: return an nn.Conv2d, not {folded!r}"
        assert folded is not conv, f"{where}: this is conv itself; make a new layer"
        assert folded.bias is not None, f"{where}: the new layer has no bias; BatchNorm shifts"
        assert folded.weight.dtype == conv.weight.dtype, f"{where}: the dtype is not that of conv"
        for name in ("kernel_size", "stride", "padding", "dilation", "groups"):
            values = [getattr(layer, name) for layer in (folded, conv)]
            assert values[0] == values[1], f"{where}: {name} is {values[0]}, conv has {values[1]}"
        mistakes = list(grading.folded_mistakes(conv, norm, x))
        same(folded(x), norm(conv(x)), f"{where}: output", mistakes)


def test_ResidualBlock(ex):
    cases = [(2, 2, 1, 5, 4), (1, 3, 2, 4, 6), (2, 5, 2, 7, 5), (3, 3, 2, 6, 6), (2, 4, 1, 3, 3)]
    for seed, (before, channels, stride, height, width) in enumerate(cases):
        where = f"in_channels {before}, channels {channels}, stride {stride}"
        block = ex.ResidualBlock(before, channels, stride)
        check_layers(block, before, channels, where)
        grading.fill(block, seed)
        for training in (False, True):
            mode = f"{where}, {'training' if training else 'evaluation'} mode"
            block.train(training)
            state = {name: value.clone() for name, value in block.state_dict().items()}
            leaf = normal(2, before, height, width, seed=seed).requires_grad_()
            x = (
                leaf * 1
            )  # not a leaf: what is written into it has a gradient, so it would go unseen
            result = block(x)
            unchanged([leaf], [x], ["x"])
            right = grading.block_output(state, leaf, stride, training)
            mistakes = [
                (words, grading.block_output(state, leaf, stride, training, key))
                for key, words in grading.BLOCK_MISTAKES.items()
            ]
            same(result, right, mode, [pair for pair in mistakes if pair[1] is not None])
            grad = normal(*right.shape, seed=seed + 9)
            assert result.requires_grad, f"{mode}: no gradient comes through (detach, no_grad?)"
            slopes = [torch.autograd.grad(y, leaf, grad)[0] for y in (result, right)]
            cut = grading.block_output(state, leaf, stride, training, "detached")
            words = "no gradient comes through the shortcut (detach?)"
            mistakes = [(words, torch.autograd.grad(cut, leaf, grad)[0])]
            same(*slopes, f"{mode}: dL/dx", mistakes, tolerance=1e-8)
    number(getattr(ex.ResidualBlock(2, 2).conv1, "stride", None)[0], 1, "default stride")


def check_layers(block, before, channels, where):
    """The names and shapes of the parameters, and no more of them than the plain block has."""
    shapes = {"conv1.weight": (channels, before, 3, 3), "conv2.weight": (channels, channels, 3, 3)}
    shapes |= {f"bn{n}.{name}": (channels,) for n in (1, 2) for name in ("weight", "bias")}
    found = {name: tuple(p.shape) for name, p in block.named_parameters()}
    missing = [name for name in shapes if name not in found]
    assert not missing, f"{where}: there is no parameter {missing[0]}"
    extra = [name for name in found if name not in shapes]
    assert not extra, (
        f"{where}: {extra[0]} is one parameter too many (no bias; shortcut A has none)"
    )
    for name, shape in shapes.items():
        assert found[name] == shape, f"{where}: {name} is {found[name]}, expected {shape}"


def test_integrated_gradients(ex):
    for seed, (batch, steps) in enumerate([(1, 1), (3, 4), (2, 16)]):
        where = f"{batch} pictures, {steps} steps"
        model = grading.network(seed).requires_grad_(seed != 0)
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        x, baseline = (normal(batch, 2, 4, 4, seed=seed + s) for s in (10, 20))
        labels = (torch.arange(batch) + seed) % 3
        kept = x.clone(), baseline.clone()
        result = ex.integrated_gradients(model, x, baseline, labels, steps)
        unchanged(kept, (x, baseline), ("x", "baseline"))
        untouched(model, x, where)
        middles = [(i + 0.5) / steps for i in range(steps)]
        slopes = grading.slopes_between(model, x, baseline, labels, middles)
        mistakes = grading.attribution_mistakes(model, x, baseline, labels, steps)
        same(result, (x - baseline) * slopes, where, mistakes)
        assert not result.requires_grad, f"{where}: the result still has a graph; detach it"


def untouched(model, x, where):
    """No gradient was left in the parameters, which came with a .grad of ones, or in x."""
    for name, p in model.named_parameters():
        assert p.grad is not None and bool((p.grad == 1).all()), (
            f"{where}: {name}.grad was changed; backward() does that, torch.autograd.grad does not"
        )
    assert not x.requires_grad and x.grad is None, f"{where}: x was changed (requires_grad, .grad)"


def test_grad_cam(ex):
    cases = [(4, 1, 4, 4), (7, 3, 3, 6), (5, 3, 0, 5), (0, 2, 2, 4), (15, 4, 4, 7)]
    for seed, batch, layer, height in cases:  # seeds whose maps are positive in most places
        model = grading.network(seed).requires_grad_(seed % 2 == 0)
        where = f"{batch} pictures, layer {model.body[layer]}"
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        x, labels = normal(batch, 2, height, height, seed=seed + 10), torch.arange(batch) % 3
        kept = x.clone()
        result = ex.grad_cam(model, model.body[layer], x, labels)
        unchanged([kept], [x], ["x"])
        assert grading.hooks(model) == 0, f"{where}: a hook is left in the model: handle.remove()"
        untouched(model, x, where)
        mistakes = [
            (words, grading.heat_of(model, layer, x, labels, key))
            for key, words in grading.HEAT_MISTAKES.items()
        ]
        same(result, grading.heat_of(model, layer, x, labels), where, mistakes)
        assert not result.requires_grad, f"{where}: the result still has a graph; detach it"
    broken = grading.network(broken=True)
    with contextlib.suppress(ArithmeticError):
        ex.grad_cam(broken, broken.body[0], x, labels)
    assert grading.hooks(broken) == 0, (
        "a network whose forward raised keeps the hook: remove it in `finally:`"
    )


def test_paths_by_length(ex):
    def jacobians(n, size, seed=0):
        return normal(n, size, size, seed=seed) / (2 * size)

    work = [operations(ex.paths_by_length, jacobians(n, 2), normal(2)) for n in (4, 8)]
    assert work[1] <= 5 * work[0] + 10, (
        f"{work[0]} tensor operations for 4 blocks, {work[1]} for 8: the work must not grow like "
        "the number of paths"
    )
    for seed, (n, size) in enumerate([(1, 1), (2, 3), (3, 1), (5, 4), (100, 3)]):
        where = f"{n} blocks, D = {size}"
        blocks, grad = jacobians(n, size, seed), normal(size, seed=seed + 30)
        if (n, size) == (3, 1):  # the example of the text
            blocks, grad = (
                torch.tensor([0.5, 0.4, 0.3]).double()[:, None, None],
                torch.ones(1).double(),
            )
        kept = blocks.clone(), grad.clone()
        result = ex.paths_by_length(blocks, grad)
        unchanged(kept, (blocks, grad), ("jacobians", "grad"))
        counts, parts = tensors(result, 2, "(counts, parts)")
        assert not (isinstance(parts, list) and isinstance(counts, torch.Tensor)), (
            f"{where}: the right values in the wrong order: return (counts, parts)"
        )
        assert isinstance(counts, list), f"{where}: counts has to be a list, not {counts!r}"
        ways = [math.comb(n, k) for k in range(n + 1)]
        assert [int(c) for c in counts] == ways and all(isinstance(c, int) for c in counts), (
            f"{where}: counts has to be the list of ints {str(ways)[:60]}, got {str(counts)[:60]}"
        )
        right = grading.path_sums(blocks, grad)
        turned = grading.path_sums(blocks.mT, grad)
        mistakes = [
            ("the gradient goes back through J^T, not J", turned),
            (
                "the blocks come in the wrong order: the last one first",
                grading.path_sums(blocks.flip(0), grad),
            ),
            (
                "this is the way forward: J^T, and the last block first",
                grading.path_sums(blocks.mT.flip(0), grad),
            ),
            (
                "this is the mean over the paths of one length",
                right / torch.tensor(ways, dtype=torch.float64)[:, None],
            ),
        ]
        shape = getattr(parts, "shape", None)
        assert shape == right.shape, f"{where}: parts has the shape {shape}, not {(n + 1, size)}"
        for k in range(n + 1):  # row by row: the first one is grad, whatever the mistake
            rows = [(words, value[k]) for words, value in mistakes]
            same(parts[k], right[k], f"{where}: parts[{k}]", rows)
