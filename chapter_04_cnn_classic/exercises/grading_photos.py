"""What the grader compares `PhotoClassifier` with: each part computed again from its weights."""

import torch
from torch.nn import functional as F

from chapter_03_optimization_regularization.exercises.grading import same


def photos(count, height=8, width=6, seed=0):
    """(N, H, W, 3) uint8; each channel has a mean and a spread of its own."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(count, height, width, 3, generator=generator)
    spread = torch.tensor([60.0, 120.0, 200.0])
    return (noise * spread + torch.tensor([100.0, 5.0, 40.0])).to(torch.uint8)


def standardized(images, train):
    """(N, H, W, 3) -> (N, 3, H, W), and what the mistakes in `prepare` would give."""

    def scale(x, source, dims=(0, 2, 3)):
        return (x - source.mean(dims, keepdim=True)) / source.std(dims, keepdim=True)

    x, source = (part.movedim(3, 1).float() / 255 for part in (images, train))
    scrambled, scrambled_source = (
        part.reshape(len(part), 3, *part.shape[1:3]).float() / 255 for part in (images, train)
    )
    layout = "reshape scrambles the pixels; exchange the axes: permute(0, 3, 1, 2)"
    batch = "mean and std are those of the pictures at hand; take the training split's"
    wrong = [
        (f"{layout}. And: {batch}", scale(scrambled, scrambled)),
        (layout, scale(scrambled, source)),
        (layout, scale(scrambled, scrambled_source)),
        (batch, scale(x, x)),
        ("one mean for all channels; each has its own", scale(x, source, (0, 1, 2, 3))),
        ("this is not standardised", x),
        ("the pixels are 0 to 255 here, the statistics of 0 to 1", scale(255 * x, source)),
        ("height and width are exchanged", scale(x, source).mT),
    ]
    return scale(x, source), [(words, value) for words, value in wrong if value.shape == x.shape]


def check_prepare(model, train):
    for name, images in {"the training pictures": train, "other ones": photos(5, seed=1)}.items():
        right, mistakes = standardized(images, train)
        # 2e-3: the standard deviation may be taken with 1/n or 1/(n - 1)
        same(model.prepare(images), right, f"prepare({name})", mistakes, 2e-3)
    white = torch.full_like(train[:1], 255)
    result = model.prepare(white)
    assert bool(torch.isfinite(result).all()), (
        "a single white picture becomes nan: mean and std have to come from the training split"
    )
    same(result, standardized(white, train)[0], "prepare(one white picture)", (), 2e-3)


def logits_of(model, x, training):
    """The network by its own weights, without dropout. x: prepared pictures (N, 3, H, W)."""
    norm = model.norm
    x = F.conv2d(x, model.conv.weight, model.conv.bias, padding=2)
    if training:
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    else:
        mean, var = norm.running_mean, norm.running_var
    x = (x - mean[:, None, None]) / (var + norm.eps).sqrt()[:, None, None]
    x = (x * norm.weight[:, None, None] + norm.bias[:, None, None]).clamp(min=0)
    height, width = (n // 2 for n in x.shape[2:])
    x = x.reshape(*x.shape[:2], height, 2, width, 2).amax(dim=(3, 5))
    return x.flatten(1) @ model.head.weight.T + model.head.bias


def check_forward(model, images, labels, prepared):
    model.train()
    model.dropout.p = 0.0  # chance out of the way
    right = logits_of(model, prepared, training=True)
    mistakes = [
        ("softmax twice: cross_entropy takes logits and does it itself", right.softmax(1)),
        ("cross_entropy takes logits and does the softmax itself", right.log_softmax(1)),
    ]
    same(model(images), right, "forward (dropout 0)", mistakes, 1e-4)
    chosen = right.log_softmax(1).gather(1, labels[:, None])
    same(model.loss(images, labels), -chosen.mean(), "loss (dropout 0)", (), 1e-4)
    model.dropout.p = 0.5
    torch.manual_seed(0)
    assert not torch.equal(model(images), model(images)), (
        "in training mode dropout does nothing: apply self.dropout before the head"
    )


def check_predict(model, images, prepared):
    expected = logits_of(model, prepared, training=False).argmax(1)
    for training in (True, False):
        model.train(training)
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        where = f"predict, called in {'training' if training else 'evaluation'} mode"
        result = model.predict(images)
        changed = [n for n, value in model.state_dict().items() if not torch.equal(value, kept[n])]
        assert not changed, (
            f"{where}: it changed {', '.join(changed)}: the running statistics learn from the "
            "pictures to be predicted. Switch to eval() first"
        )
        assert all(part.training == training for part in model.modules()), (
            f"{where}: afterwards the module is in the other mode; set it back"
        )
        assert result.shape == expected.shape and not result.is_floating_point(), (
            f"{where}: class numbers ({len(images)},) are expected, got {result!r}"
        )
        alone = torch.cat([model.predict(image[None]) for image in images])
        assert torch.equal(alone, result), (
            f"{where}: a picture's class depends on its neighbours, or on chance (eval mode?)"
        )
        assert torch.equal(result, expected), (
            f"{where}: expected {expected.tolist()}, got {result.tolist()}"
        )
