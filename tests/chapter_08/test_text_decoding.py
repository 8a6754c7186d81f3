"""What page 6 works out by hand, and its drawings."""

import math

import pytest
import torch
from sacrebleu.metrics import BLEU

from chapter_08_transformer_vanilla import draw_figures
from chapter_08_transformer_vanilla.decoding import length_penalty
from chapter_08_transformer_vanilla.experiments import bleu_tokens
from chapter_08_transformer_vanilla.experiments.bleu import bleu_of, statistics
from chapter_08_transformer_vanilla.figures import text_decoding
from chapter_08_transformer_vanilla.kv_cache import CachedSteps
from chapter_08_transformer_vanilla.transformer import TranslationTransformer


def test_greedy_loses_in_the_tree_and_a_beam_of_two_wins():
    found = text_decoding.found_lines()
    assert found == {"greedy": [("ein", "Mann")], "beam": [("der", "Mann"), ("ein", "Mann")]}
    assert all(sum(shares.values()) == pytest.approx(1) for shares in text_decoding.TREE.values())


def test_where_the_longer_line_overtakes():
    bound = math.log(3.6 / 3.0) / math.log(12 / 9)
    assert bound == pytest.approx(0.634, abs=5e-4)
    for alpha, short, long in ((0.6, -2.352, -2.375), (1.0, -2.0, -1.8)):
        penalties = length_penalty(torch.tensor([4, 7]).double(), alpha)
        assert (torch.tensor([-3.0, -3.6]) / penalties).tolist() == pytest.approx(
            [short, long], abs=5e-4
        )
        assert (long > short) == (alpha > bound)


def test_bleu_by_hand():
    line, reference = "a man rides a bike .", "a man rides a red bike ."
    counts = statistics([line], [reference])[0]
    assert counts.tolist() == [6, 7, 6, 4, 2, 1, 6, 5, 4, 3]
    assert bleu_of(counts) == pytest.approx(51.2, abs=0.05)
    assert BLEU().corpus_score([line], [[reference]]).score == pytest.approx(float(bleu_of(counts)))


def test_one_set_of_lines_has_many_bleus():
    metrics = bleu_tokens.collect(bleu_tokens.measure())
    assert metrics["range"] > 20
    assert len({round(row["bleu"]) for row in metrics["ways"].values()}) == len(bleu_tokens.WAYS)
    rows = bleu_tokens.tables(metrics)["main"]["rows"]
    assert len(rows) == len(bleu_tokens.WAYS)


def test_bytes_of_a_token_in_the_cache():
    model = TranslationTransformer(30, width=128, heads=4, layers=4, ffn=8).eval()
    steps = CachedSteps(model, torch.tensor([[5, 6]]))
    for _ in range(40):
        steps.step(torch.tensor([7]))
    stored = sum(x.nbytes for cache in steps.caches for x in (cache.keys, cache.values))
    assert stored == 40 * 4096  # 40 is a multiple of GROWTH
    assert 40 * 4096 * 32 * 5 == 25.0 * 2**20


def test_the_drawings_are_drawn():
    for name in ("beam_tree", "cache"):
        assert draw_figures.DRAWINGS[name](0).axes
    tree = text_decoding.draw_tree().axes[0]
    shown = {text.get_text() for text in tree.texts}
    assert {"0.36", "0.20", "der", "<bos>"} <= shown
