"""Answers that need no network: the most frequent class, a linear model on 8 x 8 pixels."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from chapter_05_resnet_modern_cnn.src import baselines
from chapter_05_resnet_modern_cnn.src.dataset import ImageTask, load_task


def coloured(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise pictures (N, 3, 24, 24); those of class 1 are brighter on the left."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 160, (count, 3, 24, 24), generator=generator)
    labels = (torch.arange(count) % 4 == 0).long()
    images[labels == 1, :, :, :8] += 80
    return images.to(torch.uint8), labels


@pytest.fixture
def toy():
    parts = (coloured(200, 0), coloured(80, 1), coloured(80, 2))
    return ImageTask("toy", ("plain", "lit"), *parts, torch.zeros(3), torch.ones(3))


def test_the_most_frequent_class_of_the_training_split_is_named(toy):
    assert baselines.majority_accuracy(toy) == {"val": 0.75, "test": 0.75}


def test_a_linear_model_finds_what_a_mean_gives_away(toy):
    found = baselines.linear(toy)
    assert found["test"] == 100.0
    assert found["parameters"] == 3 * 8 * 8 + 1  # two classes need one row of weights
    assert found["strength"] in baselines.STRENGTHS


def test_drawn_shapes_are_no_task_for_a_linear_model():
    task = load_task("shapes", limit=600)
    assert baselines.linear(task)["test"] < 25.0


def test_the_linear_fit_goes_to_the_end():
    """One that stops early gives an accuracy that depends on the processor's rounding."""
    task = load_task("shapes", limit=2000)
    parts = [(baselines.averaged(x, 8).double().numpy(), y.numpy())
             for x, y in (task.train, task.val, task.test)]  # fmt: skip
    mean, std = parts[0][0].mean(), parts[0][0].std()
    x, val, test = ((images - mean) / std for images, _ in parts)
    found = baselines.linear(task)
    model = LogisticRegression(C=found["strength"], max_iter=20_000, tol=1e-9).fit(x, parts[0][1])
    exact = [100 * model.score(images, labels) for images, (_, labels) in
             zip((val, test), parts[1:], strict=True)]  # fmt: skip
    assert [found["val"], found["test"]] == pytest.approx(exact, abs=1e-9)


def test_averaging_keeps_the_order_of_channels_rows_and_columns():
    image = torch.arange(2 * 4 * 4, dtype=torch.uint8).view(1, 2, 4, 4)
    expected = image.float().view(1, 2, 2, 2, 2, 2).mean(dim=(3, 5)).flatten(1)
    torch.testing.assert_close(baselines.averaged(image, 2), expected)
