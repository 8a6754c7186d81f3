"""Procedural scenes: the facts are true, the seed decides, only the outline tells the class."""

import numpy as np
import pytest

from utils.datasets import shapes, shapes_draw
from utils.datasets.shapes_layout import COLORS, CONTRAST, PALETTE

CHANCE = 1 / len(shapes.CLASSES)
# Of render(200, seed=0): first labels, mean pixel, mean colours and middle pixels of 4 images.
STORED_LABELS = [9, 2, 5, 1, 1, 3, 1, 2, 6, 2, 8, 1]
STORED_MEAN = 125.727
STORED_MEANS = [
    [77.99, 144.48, 67.46],
    [93.69, 206.38, 208.85],
    [199.49, 138.57, 40.29],
    [75.92, 128.35, 149.51],
]
STORED_CENTRES = [[83, 138, 81], [63, 220, 206], [60, 183, 177], [215, 121, 191]]


@pytest.fixture(scope="module")
def splits():
    return shapes.make_splits(32)


@pytest.fixture(scope="module")
def scenes():
    """Scenes with one to four objects."""
    return shapes.render(400, size=64, objects=(1, 4), seed=1)


def grid(side=801, half=2.0):
    line = np.linspace(-half, half, side)
    return np.meshgrid(line, line), (2 * half / (side - 1)) ** 2


def linear_accuracy(train_x, train_y, test_x, test_y):
    """Test accuracy of ridge regression to the one-hot labels, on standardised features."""
    mean, std = train_x.mean(0), train_x.std(0) + 1e-6
    a, b = (
        (np.c_[(x - mean) / std, np.ones(len(x))]).astype(np.float64) for x in (train_x, test_x)
    )
    target = np.eye(10)[train_y]
    if a.shape[1] > len(a):  # more features than images: solve for one weight an image
        weights = a.T @ np.linalg.solve(a @ a.T + 3000 * np.eye(len(a)), target)
    else:
        weights = np.linalg.solve(a.T @ a + np.eye(a.shape[1]), a.T @ target)
    return ((b @ weights).argmax(1) == test_y).mean()


@pytest.mark.parametrize("name", shapes.CLASSES)
def test_outlines_are_signed_distances_with_the_stated_area(name):
    distance, area = shapes_draw.SHAPES[name]
    (u, v), cell = grid()
    d = distance(u, v)
    assert (d < 0).sum() * cell == pytest.approx(area, rel=0.01)
    slope = np.hypot(*np.gradient(d, u[0], u[0]))[abs(d) < 0.04]
    assert (abs(slope - 1) < 0.02).mean() > 0.97  # 1 but at corners: an edge one pixel wide
    inside = d < 0
    assert not inside[[0, -1]].any() and not inside[:, [0, -1]].any()
    assert np.hypot(u[inside].mean(), v[inside].mean()) < 0.1  # centred: no class has its own place


@pytest.mark.parametrize(("name", "fold"), [("square", 4), ("triangle", 3), ("star", 5)])
def test_outlines_have_their_symmetry(name, fold):
    distance, _ = shapes_draw.SHAPES[name]
    (u, v), _ = grid(201, 1.5)
    d = distance(u, v)
    for turns, same in ((1 / fold, True), (0.5 / fold, False)):
        cos, sin = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
        turned = distance(cos * u + sin * v, cos * v - sin * u)
        assert np.allclose(turned, d, atol=1e-3) == same


def test_classes_differ_in_compactness():
    """Mean squared radius over area: each outline is the one its name says, not another's."""
    (u, v), cell = grid()
    value = {}
    for name, (distance, area) in shapes_draw.SHAPES.items():
        inside = distance(u, v) < 0
        value[name] = ((u**2 + v**2)[inside].sum() * cell) / area**2
    assert value["circle"] == pytest.approx(1 / (2 * np.pi), rel=0.01)
    assert value["square"] == pytest.approx(1 / 6, rel=0.01)
    assert value["triangle"] == pytest.approx(1 / (3 * 3**0.5), rel=0.01)
    assert value["ring"] == pytest.approx((1 + 0.56**2) / (1 - 0.56**2) / (2 * np.pi), rel=0.01)
    assert min(value["arrow"], value["cross"], value["hourglass"], value["crescent"]) > 0.19


def test_splits(splits):
    for scenes, count in zip(splits, shapes.SPLIT_SIZES[32], strict=True):
        assert scenes.images.shape == (count, 32, 32, 3) and scenes.images.dtype == np.uint8
        assert scenes.labels.shape == (count,) and scenes.labels.dtype == np.int64
        assert np.bincount(scenes.labels).tolist() == [count // 10] * 10
    prints = [image.tobytes() for scenes in splits for image in scenes.images]
    assert len(set(prints)) == len(prints)  # no image twice, within or across the splits
    # Another noise would hide a scene that comes back: compare what was drawn, too.
    places = np.concatenate([scenes.layout.centre[:, 0] for scenes in splits])
    assert len(np.unique(places, axis=0)) == len(places)


@pytest.mark.parametrize("size", [32, 64, 96])
def test_split_sizes_hold_whole_classes(size):
    assert len(set(shapes.SPLIT_SEEDS)) == 3
    assert all(count % 200 == 0 for count in shapes.SPLIT_SIZES[size])


def test_the_seed_alone_decides(monkeypatch):
    first = shapes.render(450, seed=7, threads=1)
    np.random.seed(1)
    again = shapes.render(450, seed=7, threads=3)
    np.testing.assert_array_equal(first.images, again.images)
    fewer = shapes.render(230, seed=7)
    assert abs(first.images[:230].astype(int) - fewer.images).max() <= 1
    monkeypatch.setattr(shapes, "TILE_PIXELS", 5000)  # other tiles, other array lengths
    tiled = shapes.render(450, seed=7)
    assert abs(first.images.astype(int) - tiled.images).max() <= 1
    assert not np.array_equal(first.labels, shapes.render(450, seed=8).labels)


def test_one_scene_at_two_resolutions():
    small, large = shapes.render(40, 32, seed=4), shapes.render(40, 96, seed=4)
    np.testing.assert_array_equal(small.labels, large.labels)
    shrunk = large.images.reshape(40, 32, 3, 32, 3, 3).mean(axis=(2, 4))
    assert abs(shrunk - small.images).mean() < 12  # noise and fine edges


def test_the_stored_scenes_come_back():
    """Rounding may move a pixel by 1 on another processor, so not a hash but loose statistics."""
    scenes = shapes.render(200, seed=0)
    assert scenes.labels[:12].tolist() == STORED_LABELS
    np.testing.assert_allclose(scenes.images[:4].mean(axis=(1, 2)), STORED_MEANS, atol=0.2)
    np.testing.assert_allclose(scenes.images[:4, 16, 16].astype(int), STORED_CENTRES, atol=2)
    assert scenes.images.mean() == pytest.approx(STORED_MEAN, abs=0.05)


def test_masks_and_boxes(scenes):
    masks, boxes = scenes.masks, scenes.boxes
    assert masks.shape == (400, 4, 64, 64) and masks.dtype == bool
    assert masks.sum(axis=1).max() == 1  # disjoint
    present = scenes.classes >= 0
    np.testing.assert_array_equal(present, scenes.colors >= 0)
    np.testing.assert_array_equal(present, masks.any(axis=(2, 3)))
    assert set(present.sum(axis=1)) == {1, 2, 3, 4}
    for n, k in zip(*np.nonzero(present), strict=True):
        rows, columns = np.nonzero(masks[n, k])
        tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert boxes[n, k].tolist() == tight
    assert not boxes[~present].any()


def test_objects_stay_visible(scenes):
    """At most a fifth of a shape is under the occluder, and little under other shapes."""
    whole = np.pi * (scenes.layout.radius * 64) ** 2
    share = scenes.masks.sum(axis=(2, 3)) / whole
    share = share[scenes.classes >= 0]
    assert share.min() > 0.4 and np.quantile(share, 0.02) > 0.65
    alone = shapes.render(400, 64, seed=2)
    share = alone.masks[:, 0].sum(axis=(1, 2)) / (np.pi * (alone.layout.radius[:, 0] * 64) ** 2)
    assert share.min() > 0.75 and (share < 0.95).mean() > 0.3  # bounded, and there


def test_the_largest_object_comes_first(scenes):
    radius = np.where(scenes.classes >= 0, scenes.layout.radius, 0)
    assert (np.diff(radius, axis=1) <= 0).all()
    np.testing.assert_array_equal(scenes.labels, scenes.classes[:, 0])


def test_captions_are_true(scenes):
    """Read each caption back and check every word against the masks."""
    for n, text in enumerate(scenes.captions):
        objects = {}
        for k in np.flatnonzero(scenes.classes[n] >= 0):
            color = list(COLORS)[scenes.colors[n, k]]
            rows, columns = np.nonzero(scenes.masks[n, k])
            centre = columns.min() + columns.max(), rows.min() + rows.max()
            objects[f"{color} {shapes.CLASSES[scenes.classes[n, k]]}"] = np.array(centre)
        named = set()
        for part in text.split(", "):
            words = part.split()
            assert words[0] == ("an" if words[1][0] == "o" else "a")
            named |= {" ".join(words[1:3]), " ".join(words[-2:])}
            if len(words) == 3:
                continue
            dx, dy = objects[" ".join(words[1:3])] - objects[" ".join(words[-2:])]
            claim = {"left": -dx, "right": dx, "above": -dy, "below": dy}[words[3]]
            assert claim == max(abs(dx), abs(dy)) > 0
        assert named == set(objects)


def test_colours_are_the_named_ones(scenes):
    """The nearest palette colour to the mean visible pixel, undoing the light by its mean level."""
    right = []
    for n, k in zip(*np.nonzero(scenes.classes >= 0), strict=True):
        tone = scenes.images[n][scenes.masks[n, k]].mean(axis=0) / 255
        tone = tone / scenes.layout.light[n, 0]
        right.append(((tone - PALETTE) ** 2).sum(axis=-1).argmin() == scenes.colors[n, k])
    assert np.mean(right) > 0.93  # a dark shade of white may be nearest to pink


def test_shapes_stand_out_from_the_background():
    scenes = shapes.render(200, 32, seed=9)
    tones = scenes.layout.tones[:, :, 0]  # (n, 2, 3)
    gap = np.sqrt(((tones[:, 0] - tones[:, 1]) ** 2).sum(axis=-1))
    assert gap.min() > CONTRAST - 0.21  # either tone may be off by 0.06 in each channel


def test_colour_texture_and_area_tell_nothing(splits):
    _, unseen, seen = splits  # 1,000 and 2,000 scenes

    def accuracy(feature):
        return linear_accuracy(feature(seen), seen.labels, feature(unseen), unseen.labels)

    def area(scenes):
        area = scenes.masks.sum(axis=(2, 3)) / 1000
        return np.c_[area, area**2]

    def texture(scenes):
        kinds = np.eye(5)[scenes.layout.texture].reshape(len(scenes), -1)
        return np.c_[kinds, scenes.layout.texture_wave.reshape(len(scenes), -1)]

    def colour(scenes):
        colors = np.eye(10)[scenes.colors[:, 0]]
        return np.c_[colors, scenes.images.mean(axis=(1, 2)), scenes.images.std(axis=(1, 2))]

    def place(scenes):
        return np.c_[scenes.layout.centre[:, 0], scenes.layout.noise, scenes.layout.light]

    for feature in (area, texture, colour, place):
        assert accuracy(feature) < CHANCE + 0.04, feature.__name__


def test_a_linear_model_on_pixels_fails(splits):
    train, _, test = splits
    seen, unseen = (scenes.images[:1500].reshape(1500, -1) / 255 for scenes in (train, test))
    accuracy = linear_accuracy(seen, train.labels[:1500], unseen, test.labels[:1500])
    assert accuracy < 0.5
    assert linear_accuracy(seen, train.labels[:1500], seen, train.labels[:1500]) > 0.5  # it did fit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count must be a whole number from 1 to 10000000, not 0"),
        ({"count": 2.5}, "count must be a whole number"),
        ({"size": 8}, "size must be a whole number from 16 to 512, not 8"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"threads": 0}, "threads must be a whole number from 1"),
        ({"objects": (2, 1)}, "1 <= fewest <= most <= 4, not \\(2, 1\\)"),
        ({"objects": (1, 5)}, "1 <= fewest <= most <= 4"),
        ({"objects": (1, 2, 3)}, "objects must be"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        shapes.render(**{"count": 4, **arguments})


def test_unknown_split_size():
    with pytest.raises(ValueError, match=r"splits at \[32, 64, 96\] pixels, not at 48"):
        shapes.make_splits(48)
