"""The grader of chapter 4: `python -m course check 4`.

Each function takes the learner's module `ex` and compares with torch or an independent formula.
Where a result is wrong, it is also compared with what the usual mistakes would give (`grading.py`),
so that the message can name the mistake.
"""

import random

import torch
from torch import nn
from torch.nn import functional as F

from chapter_03_optimization_regularization.exercises.grading import normal, same, unchanged
from chapter_04_cnn_classic.exercises import grading
from chapter_04_cnn_classic.exercises.grading import number, operations, tensors
from chapter_04_cnn_classic.exercises.grading_photos import (
    check_forward,
    check_predict,
    check_prepare,
    photos,
)
from chapter_04_cnn_classic.exercises.grading_shifts import check_nearest, check_shifts
from utils.grading import check_order


def test_output_size(ex):
    for case in grading.size_cases():
        names = ("size", "kernel", "stride", "padding", "dilation", "transposed", "output_padding")
        where = ", ".join(f"{name} {value}" for name, value in zip(names, case, strict=True))
        right = grading.torchs_size(*case)
        number(ex.output_size(*case), right, where, grading.size_mistakes(*case))
    number(ex.output_size(28, 5), 24, "size 28, kernel 5 and the default options")


def test_class_activation_map(ex):
    for seed, (b, c, h, w, k) in enumerate([(1, 1, 1, 2, 2), (3, 4, 5, 2, 6), (5, 2, 3, 3, 4)]):
        features, weight, bias = (normal(*s, seed=seed) for s in ((b, c, h, w), (k, c), (k,)))
        labels = torch.arange(b) * 7 % k
        where = f"features {(b, c, h, w)}, {k} classes"
        result = ex.class_activation_map(features, weight, bias, labels)
        logits, maps = tensors(result, 2, "(logits, maps)")
        right = F.linear(F.adaptive_avg_pool2d(features, 1).flatten(1), weight, bias)
        every = F.conv2d(features, weight[:, :, None, None])  # (B, K, H, W): a 1x1 convolution
        chosen = every[torch.arange(b), labels]
        check_order(result, (right, chosen), "(logits, maps)", where)
        mistakes = [
            (
                "this is the sum over each map, not the mean",
                F.linear(features.sum((2, 3)), weight, bias),
            ),
            ("this is the maximum of each map", F.linear(features.amax((2, 3)), weight, bias)),
            ("the bias is missing", right - bias),
            ("these are probabilities: logits come without softmax", right.softmax(1)),
        ]
        same(logits, right, f"{where}: logits", mistakes)
        mistakes = [
            ("all pictures got the map of labels[0]", every[:, labels[0]]),
            ("the bias belongs to no place", chosen + bias[labels][:, None, None]),
            ("negative places speak against the class: keep them", chosen.clamp(min=0)),
            ("do not divide: the mean of the map is the logit", chosen / (h * w)),
            (
                "these are the maps of the most likely class",
                every[torch.arange(b), right.argmax(1)],
            ),
        ]
        same(maps, chosen, f"{where}: maps", mistakes)


def test_receptive_field(ex):
    draw = random.Random(0)
    cases = [[], [(3, 1, 1, 1)], [(3, 1, 1, 1), (2, 2, 0, 1)], [(1, 3, 0, 1), (3, 1, 2, 2)]]
    for depth in (2, 3, 4, 4, 4, 5, 5):
        pick = [draw.choices(options, k=depth) for options in ((1, 2, 3, 5), (1, 1, 2, 3))]
        pick += [draw.choices(options, k=depth) for options in ((0, 1, 2, 3), (1, 1, 2, 3))]
        cases.append(list(zip(*pick, strict=True)))
    for layers in cases:
        result = ex.receptive_field(list(layers))
        values = tensors(result, 3, "(size, jump, start)")
        right = grading.seen_pixels(layers)
        check_order(values, right, "(size, jump, start)", f"layers {layers}")
        wrong = list(grading.field_mistakes(layers))
        for i, name in enumerate(("size", "jump", "start")):
            # a mistake that also explains the other two values is named first
            reasons = sorted(wrong, key=lambda pair: pair[1] != tuple(values))
            mistakes = [(words, value[i]) for words, value in reasons]
            number(values[i], right[i], f"layers {layers}: {name}", mistakes)


def test_count_cost(ex):
    vgg = [("conv", 64, 3, 1, 1, 1), ("conv", 64, 3, 1, 1, 1), ("pool", 2, 2), ("linear", 10)]
    cases = [
        (vgg[:1], (3, 224, 224)),
        ([("linear", 7), ("linear", 3)], (1, 8, 6)),
        (vgg, (3, 32, 32)),
        ([("conv", 8, 5, 2, 2, 4), ("pool", 3, 2), ("conv", 6, 1, 1, 0, 2)], (4, 31, 20)),
        ([("conv", 12, 3, 1, 1, 12), ("conv", 5, 1, 1, 0, 1), ("linear", 9)], (12, 9, 13)),
    ]
    for layers, shape in cases:
        where = f"{layers} on {shape}"
        result = tensors(ex.count_cost(list(layers), shape), 2, "(parameters, macs)")
        parameters, macs = result
        right = grading.torchs_cost(layers, shape)
        check_order(result, right, "(parameters, macs)", where)
        model = grading.build(layers, shape)
        biases = sum(p.numel() for p in model.parameters() if p.ndim == 1)
        plain = grading.torchs_cost(grading.ungrouped(layers), shape)
        groups = "a filter of a grouped convolution sees channels // groups channels only"
        mistakes = [("the biases are missing", right[0] - biases), (groups, plain[0])]
        number(parameters, right[0], f"{where}: parameters", mistakes)
        mistakes = [
            ("these are FLOPs: one MAC is two of them", 2 * right[1]),
            (groups, plain[1]),
            ("each weight is used at every output position, not once", right[0] - biases),
        ]
        number(macs, right[1], f"{where}: MACs", mistakes)


def test_conv2d(ex):
    cases = [((1, 1, 3, 3), (1, 1, 2, 2), 1, 0), ((2, 3, 5, 6), (4, 3, 3, 2), 1, 1)]
    cases += [((2, 2, 7, 6), (3, 2, 3, 3), 2, 1), ((1, 2, 4, 9), (2, 2, 1, 5), 3, 2)]
    for shape, filters, stride, padding in cases:
        x, weight, bias = (normal(*s, seed=len(s)) for s in (shape, filters, filters[:1]))
        for b in (None, bias):
            where = f"x {shape}, weight {filters}, {stride = }, {padding = }, bias {b is not None}"
            kept = x.clone(), weight.clone()
            result = ex.conv2d(x, weight, b, stride, padding)
            unchanged(kept, (x, weight), ("x", "weight"))
            mistakes = [
                ("the kernel is turned round: this is convolution, not correlation", (2, 3)),
                ("the kernel is mirrored", (3,)),
            ]
            mistakes = [
                (words, F.conv2d(x, weight.flip(axes), b, stride, padding))
                for words, axes in mistakes
            ]
            mistakes.append(("the bias is missing", F.conv2d(x, weight, None, stride, padding)))
            mistakes.append(("stride is not used", F.conv2d(x, weight, b, 1, padding)))
            if min(shape[2:]) >= max(filters[2:]):
                mistakes.append(("padding is not used", F.conv2d(x, weight, b, stride)))
            same(result, F.conv2d(x, weight, b, stride, padding), where, mistakes)
    single = ex.conv2d(x.float(), weight.float())
    assert single.dtype == torch.float32, f"float32 in, {single.dtype} out: keep the dtype"


def test_im2col(ex):
    for seed, (shape, kernel, stride, padding) in enumerate(
        [
            ((1, 1, 3, 3), (2, 2), 1, 0),
            ((2, 3, 5, 6), (3, 2), 1, 1),
            ((2, 2, 8, 7), (3, 3), 2, 1),
            ((1, 4, 4, 9), (1, 5), 3, 2),
        ]
    ):
        x = normal(*shape, seed=seed)
        kept = x.clone()
        result = ex.im2col(x, kernel, stride, padding)
        unchanged([kept], [x], ["x"])
        right = F.unfold(x, kernel, 1, padding, stride)
        taps = kernel[0] * kernel[1]
        by_pixel = right.unflatten(1, (-1, taps)).transpose(1, 2).flatten(1, 2)
        down = right.unflatten(1, (-1, *kernel)).transpose(2, 3).flatten(1, 3)
        mistakes = [
            ("the rows are in the order (u, v, c); it has to be (c, u, v)", by_pixel),
            ("u and v are exchanged: v changes fastest", down),
            ("stride is not used", F.unfold(x, kernel, 1, padding)),
        ]
        if min(shape[2:]) >= max(kernel):
            mistakes.append(("padding is not used", F.unfold(x, kernel, stride=stride)))
        where = f"x {shape}, {kernel = }, {stride = }, {padding = }"
        if isinstance(result, torch.Tensor) and result.shape != right.shape:
            assert result.shape != right.mT.shape, f"{where}: rows and columns are exchanged"
        same(result, right, where, mistakes)
    counts = [operations(ex.im2col, normal(1, 2, n, n), (3, 3)) for n in (6, 16)]
    assert counts[0] == counts[1], (
        f"{counts[0]} tensor operations for 6 x 6 pixels, {counts[1]} for 16 x 16: there is a loop "
        "over positions"
    )


def test_blur_pool(ex):
    row = torch.tensor([0.0, 0, 1, 1, 0, 0, 1, 1], dtype=torch.float64)
    pictures = [row.repeat(1, 1, 8, 1), row.roll(1).repeat(1, 1, 8, 1).mT]
    pictures += [normal(2, 3, 6, 10), normal(1, 2, 2, 4)]
    for x in pictures:
        kept = x.clone()
        result = ex.blur_pool(x)
        unchanged([kept], [x], ["x"])
        mistakes = [
            (words, grading.pooled(x, **options))
            for words, options in grading.POOLING_MISTAKES.items()
        ]
        same(result, grading.pooled(x), f"x {tuple(x.shape)}", mistakes)
    for x in pictures:
        change, ordinary = (
            grading.mean_change(f, x) for f in (ex.blur_pool, lambda x: F.max_pool2d(x, 2))
        )
        assert change < 1e-9, (
            f"x {tuple(x.shape)}: a shift of x changes the mean of the output by {change:.2g} "
            f"(ordinary max pooling: {ordinary:.2g}); it should not"
        )


def test_max_pool_backward(ex):
    for seed, (shape, kernel, stride) in enumerate(
        [((1, 1, 4, 4), 2, 2), ((2, 3, 7, 6), 2, 2), ((2, 2, 6, 7), 3, 1), ((1, 2, 9, 8), 2, 3)]
    ):
        for ties in (False, True):
            x = normal(*shape, seed=seed)
            x = (x * 1.2).round() if ties else x
            leaf = x.clone().requires_grad_()
            y = F.max_pool2d(leaf, kernel, stride)
            grad = normal(*y.shape, seed=seed + 50)
            kept = x.clone(), grad.clone()
            result = ex.max_pool_backward(x, grad, kernel, stride)
            unchanged(kept, (x, grad), ("x", "grad"))
            variants = {
                "a pixel that wins in several windows gets them all: add": {"overwrite": True},
                "of equal values only the first wins, not all": {"ties": "all"},
                "of equal values the first wins; nothing is shared": {"ties": "shared"},
                "of equal values the first wins, not the last": {"ties": "last"},
                "every pixel of a window is paid; only the largest is": {"ties": "everyone"},
                "the smallest pixel is paid; it should be the largest": {"ties": "smallest"},
            }
            mistakes = [
                (words, grading.pool_gradient(x, grad, kernel, stride, **options))
                for words, options in variants.items()
            ]
            (right,) = torch.autograd.grad(y, leaf, grad)
            where = f"x {shape}, {kernel = }, {stride = }{', equal values' if ties else ''}"
            same(result, right, where, mistakes)


def test_PhotoClassifier(ex):
    torch_state = torch.get_rng_state()
    torch.manual_seed(0)
    train, labels = photos(20), torch.arange(20) % 4
    model = ex.PhotoClassifier(train, num_classes=4)
    check_prepare(model, train)
    conv, height, width = model.conv, *train.shape[1:3]
    size = tuple(conv(model.prepare(train[:1])).shape[2:])
    assert size == (height, width), f"the convolution makes {size} of {(height, width)} pixels"
    number(model.head.in_features, 8 * (height // 2) * (width // 2), "inputs of the head")
    for _ in range(3):  # running statistics other than those of the start
        model.loss(photos(20, seed=3), labels).backward()
    images = photos(12, seed=4)
    prepared = model.prepare(images)
    check_forward(model, images, labels[:12], prepared)
    check_predict(model, images, prepared)
    torch.set_rng_state(torch_state)


def test_random_shift(ex):
    def generator(seed=0):
        return torch.Generator().manual_seed(seed)

    cases = [(600, 2, 6, 5, 1), (3, 2, 5, 7, 2), (4, 1, 3, 3, 0), (2, 3, 4, 4, 5)]
    for b, c, h, w, padding in cases:
        where = f"x {(b, c, h, w)}, {padding = }"
        x = normal(b, c, h, w) + 5
        kept, chance = x.clone(), torch.get_rng_state()
        result = ex.random_shift(x, padding, generator())
        unchanged([kept], [x], ["x"])
        assert torch.equal(chance, torch.get_rng_state()), (
            f"{where}: numbers were drawn from torch's global generator; pass `generator=`"
        )
        assert result is not None and result.shape == x.shape, (
            f"{where}: expected the shape {(b, c, h, w)}, got {getattr(result, 'shape', result)}"
        )
        check_shifts(x, result, padding, where)
        again = ex.random_shift(x, padding, generator())
        assert torch.equal(result, again), f"{where}: the same seed gives two different results"
    counts = [operations(ex.random_shift, normal(n, 1, 6, 6), 1, generator()) for n in (2, 20)]
    assert counts[0] == counts[1], (
        f"{counts[0]} tensor operations for 2 pictures, {counts[1]} for 20: there is a loop over "
        "the batch"
    )


def test_conv1d_backward(ex):
    for seed, (shape, filters, stride, padding) in enumerate(
        [
            ((1, 1, 3), (1, 1, 2), 1, 0),
            ((2, 3, 9), (4, 3, 3), 1, 1),
            ((2, 2, 10), (3, 2, 3), 2, 0),  # the last pixel is seen by no window
            ((3, 1, 11), (2, 1, 4), 3, 2),
            ((1, 2, 7), (2, 2, 2), 4, 0),  # gaps
        ]
    ):
        x, weight = normal(*shape, seed=seed), normal(*filters, seed=seed + 9)
        grad = normal(*F.conv1d(x, weight, None, stride, padding).shape, seed=seed + 20)
        where = f"x {shape}, weight {filters}, {stride = }, {padding = }"
        kept = [tensor.clone() for tensor in (x, weight, grad)]
        result = ex.conv1d_backward(x, weight, grad, stride, padding)
        unchanged(kept, (x, weight, grad), ("x", "weight", "grad"))
        values = tensors(result, 3, "(dL/dx, dL/dweight, dL/dbias)")
        right = grading.torchs_backward(x, weight, grad, stride, padding)
        check_order(values, right, "(dL/dx, dL/dweight, dL/dbias)", where)
        turned = grading.torchs_backward(x, weight.flip(2), grad, stride, padding)
        last = grading.last_share(weight, grad, right[0], stride, padding)
        mistakes = [
            [
                ("the kernel is turned round", turned[0]),
                ("a pixel's shares of all k add up: += instead of =", last),
            ],
            [
                ("the kernel is turned round", right[1].flip(2)),
                ("this is the mean over the batch; gradients add", right[1] / len(x)),
            ],
            [("this is the mean over the batch; gradients add", right[2] / len(x))],
        ]
        for i, name in enumerate(("dL/dx", "dL/dweight", "dL/dbias")):
            same(values[i], right[i], f"{where}: {name}", mistakes[i])


def test_separable(ex):
    for option, conv, x in grading.convolutions():
        where = f"nn.Conv2d with {option}"
        kept = conv.weight.detach().clone()
        pair = ex.separable(conv)
        assert torch.equal(kept, conv.weight), f"{where}: the given convolution was changed"
        assert isinstance(pair, nn.Sequential) and len(pair) == 2, "return nn.Sequential of two"
        depthwise, pointwise = pair
        channels, filters = conv.in_channels, conv.out_channels
        swapped = channels > 1 and pointwise.groups == channels != depthwise.groups
        assert not swapped, f"{where}: the layers are in the wrong order: depthwise comes first"
        number(depthwise.groups, channels, f"{where}: groups of the first layer")
        assert tuple(depthwise.kernel_size) == conv.kernel_size, f"{where}: first kernel's size"
        assert tuple(pointwise.kernel_size) == (1, 1), f"{where}: the second layer is 1x1"
        count = channels * kept[0, 0].numel() + channels * filters
        weights = sum(p.numel() for p in pair.parameters() if p.ndim == 4)
        number(weights, count, f"{where}: weights of both layers")
        check_nearest(conv, pair, x, where)
