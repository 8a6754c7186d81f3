"""Model cards: the facts in the files, in both languages."""

import re

import pytest

from course.card_words import in_chinese
from course.cards import _read, cards, metrics_text
from course.manifest import load_chapters

CHAPTERS = [chapter for chapter in load_chapters() if chapter.checkpoints]
PROSE = ("task", "origin", "card_note")  # facts that are sentences; the others are names


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_sentences_of_the_cards_are_chinese_in_the_chinese_part(chapter):
    for name, _, content in _read(chapter):
        facts = [content.get(key) or "" for key in PROSE]
        facts = [fact for fact in facts if isinstance(fact, str) and fact]  # not a pair already
        english = [fact for fact in facts if not re.search(r"[\u4e00-\u9fff]", in_chinese(fact))]
        assert not english, f"{name}: add a rule to course/card_words.py"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_the_chinese_part_of_a_card_has_its_own_words(chapter):
    _, chinese = cards(chapter).split("# 模型卡片", 1)
    assert not re.search(r"classification into|per cent|drawn by|test_accuracy", chinese)


def test_metrics_in_both_languages():
    metrics = {"val_accuracy_percent": 94.567, "silu_rmse_outside": 0.5}
    assert metrics_text(metrics, "en") == "val_accuracy_percent 94.57, silu_rmse_outside 0.5"
    assert metrics_text(metrics, "zh") == "验证准确率（%） 94.57，silu 训练区间外 RMSE 0.5"


def test_what_no_rule_knows_stays():
    assert in_chinese("something new") == "something new"
    assert in_chinese("classification into 10 classes") == "10 类分类"
