"""What the texts of the exercises say: their worked examples, and how they meet the lessons."""

import math

import torch

from chapter_03_optimization_regularization.exercises.grading import normal
from chapter_05_resnet_modern_cnn.src.architectures.attention_blocks import SqueezeExcitation
from chapter_07_attention_mechanism.exercises import solutions
from chapter_07_attention_mechanism.masks import causal_mask, masked_softmax, padding_mask


def exact(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def assert_near(result: torch.Tensor, values) -> None:
    """The numbers as the texts round them."""
    torch.testing.assert_close(result, exact(values), rtol=0, atol=5.1e-5)


def test_the_example_of_additive_score():
    one = exact([[1]])
    scores = solutions.additive_score(
        exact([[[1]]]), exact([[[0], [1], [-1]]]), one, one, exact([2])
    )
    assert_near(scores, [[[1.5232, 1.9281, 0]]])


def test_the_example_of_in_heads():
    seen = []

    def attend(q, k, v):
        seen.append(q.tolist())
        return v

    x = exact([[[1, 2, 3, 4], [5, 6, 7, 8]]])
    torch.testing.assert_close(solutions.in_heads(attend, x, x, x, 2), x)
    assert seen == [[[[[1, 2], [5, 6]], [[3, 4], [7, 8]]]]]


def test_the_examples_of_sharpen():
    weights = exact([0.5, 0.25, 0.25, 0])
    sharp, entropy = solutions.sharpen(weights, 0.5)
    assert_near(sharp, [0.6667, 0.1667, 0.1667, 0])
    assert_near(entropy, 0.8676)
    sharp, entropy = solutions.sharpen(weights, 1)
    assert_near(sharp, [0.5, 0.25, 0.25, 0])
    assert_near(entropy, 1.0397)
    even = exact([1 / 8] * 8)
    for temperature in (0.01, 1, 100):
        sharp, entropy = solutions.sharpen(even, temperature)
        assert_near(sharp, even.tolist())
        assert_near(entropy, 2.0794)


def test_the_example_of_luong_step():
    attentional, weights = solutions.luong_step(
        exact([[1]]),
        exact([[[0], [math.log(3)], [9]]]),
        torch.tensor([[True, True, False]]),
        exact([[1]]),
        exact([[1, 0]]),
    )
    assert_near(weights, [[0.25, 0.75, 0]])
    assert_near(attentional, [[0.6772]])
    assert round(0.75 * math.log(3), 4) == 0.8240


def test_the_example_of_masked_weights():
    weights = solutions.masked_weights(torch.zeros(1, 3, 3).double(), torch.tensor([2]))
    assert_near(weights, [[[0, 0, 0], [0, 1, 0], [0, 0.5, 0.5]]])


def test_masked_weights_are_those_of_the_lesson():
    scores, lengths = normal(3, 5, 5), torch.tensor([5, 2, 0])
    behind = padding_mask(5 - lengths, 5)  # (B, 1, S), True at the padding in front
    mask = causal_mask(5) & ~behind  # (B, T, S)
    torch.testing.assert_close(
        solutions.masked_weights(scores, lengths), masked_softmax(scores, mask)
    )


def test_the_example_of_pointer_step():
    chosen = torch.tensor([[True, False, False]])
    log_p, pick, seen, after = solutions.pointer_step(
        exact([[1]]), exact([[[3], [1], [2]]]), chosen
    )
    assert_near(log_p, [[-math.inf, -1.3133, -0.3133]])
    assert pick.tolist() == [2] and seen.tolist() == [[2]]
    assert after.tolist() == [[True, False, True]]


def test_the_example_of_squeeze_excite():
    one, none = exact([[1]]), exact([0])
    x = exact([[[[0, math.log(3)]]]])
    y, weights = solutions.squeeze_excite(x, exact([1]), one, none, one, none)
    assert_near(weights, [[[0.25, 0.75]]])
    assert_near(y, [[[[0, 0.7636]]]])
    assert_near(y[0, 0, 0, 1] / math.log(3), 0.6951)


def test_with_a_query_of_zero_it_is_the_block_of_chapter_5():
    block = SqueezeExcitation(8, 2).double()
    first, second = block.fc1, block.fc2
    x = normal(2, 8, 3, 4)
    y, _ = solutions.squeeze_excite(
        x,
        torch.zeros(8).double(),
        first.weight.flatten(1),
        first.bias,
        second.weight.flatten(1),
        second.bias,
    )
    torch.testing.assert_close(y, block(x))


def test_the_example_of_scores_gradient():
    d_scores, d_value = solutions.scores_gradient(
        exact([[[0.2, 0.3, 0.5]]]), exact([[[1], [0], [0]]]), exact([[[1]]])
    )
    assert_near(d_scores, [[[0.16, -0.06, -0.1]]])
    assert_near(d_value, [[[0.2], [0.3], [0.5]]])


def test_scores_gradient_is_autograds_and_its_number_comes_from_the_output():
    q, k, v = (normal(2, n, 4, seed=i).requires_grad_() for i, n in enumerate((3, 5, 5)))
    scores = q @ k.mT  # (B, T, S)
    weights = scores.softmax(-1)
    output, grad = weights @ v, normal(2, 3, 4, seed=7)
    right = torch.autograd.grad(output, (scores, v), grad)
    found = solutions.scores_gradient(weights.detach(), v.detach(), grad)
    for ours, theirs in zip(found, right, strict=True):
        torch.testing.assert_close(ours, theirs)
    number = (weights * (grad @ v.mT)).sum(-1)
    torch.testing.assert_close((output * grad).sum(-1), number)
