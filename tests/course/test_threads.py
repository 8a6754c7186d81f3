"""The tables that run through several chapters: in order, and never of two kinds of work."""

import pytest

from course.manifest import ROOT, load_chapters
from course.markers import markers
from course.sync import sync
from course.threads import COLUMNS, read_rows
from utils.errors import UserError
from utils.file_io_util import write_json
from utils.threads import language_model_row, translation_row

BLOCK = "<!-- thread:{} -->\n<!-- /thread -->\n"


def publish(root, key, row, folder=""):
    folder = folder or f"chapter_{row['chapter']:02}_x"
    write_json(root / folder / "results" / f"thread_{row['thread']}_{key}.json", {"metrics": row})


def language_model(model, chapter, nats, seeds=(0, 1), **changed):
    facts = {"parameters": 1000, "tokens_per_second": 12345.6, "cache_bytes_per_token": 0}
    facts |= {"context": "carried", "minutes": 10, "cores": 2} | changed
    return language_model_row(model, chapter=chapter, nats=nats, seeds=seeds, **facts)


def translation(chapter, bleu, signature="nrefs:1|tok:13a"):
    return translation_row(
        "GRU", chapter=chapter, parameters=10, bleu=bleu, chrf=[40, 44], signature=signature,
        seeds=[0, 1], minutes=20, cores=2,
    )  # fmt: skip


def fill(root, name, file="chapter_01_tiny/README.md"):
    readme = root / file
    readme.write_text(BLOCK.format(name), encoding="utf-8")
    sync(root)
    return readme.read_text(encoding="utf-8")


def test_rows_of_two_chapters_in_the_order_of_chapters_and_scores(root):
    publish(root, "gpt", language_model("GPT", 8, [1.5, 1.5]))
    publish(root, "lstm", language_model("LSTM", 6, [1.6, 1.62]))
    publish(root, "ngram", language_model({"en": "5-gram", "zh": "5 元"}, 6, [2.0], [0]))
    text = fill(root, "language_models")
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert [row.split(" | ")[1] for row in rows] == ["5-gram", "LSTM", "GPT"]
    assert "| 6 | LSTM | 1,000 | 2.323 ± 0.014 | 1.610 ± 0.010 | carried | 12,346 | 0 |" in rows[1]
    assert "| 2.885 | 2.000 |" in rows[0], "one seed has no spread"
    chinese = fill(root, "language_models", "chapter_01_tiny/README.zh-CN.md")
    assert "5 元" in chinese and "状态延续" in chinese and "每字符比特数" in chinese


def test_a_new_row_makes_the_text_stale(root):
    publish(root, "a", translation(6, [10, 14]))
    assert "12.00 ± 2.00 | 42.00 ± 2.00" in fill(root, "translation")
    assert not sync(root, check=True)
    publish(root, "b", translation(7, [30, 30]))
    (stale,) = sync(root, check=True)
    assert stale == "chapter_01_tiny/README.md:1 thread:translation"


def test_without_rows_the_table_says_so(root):
    assert "No chapter has published a row" in fill(root, "translation")


@pytest.mark.parametrize(
    ("change", "folder", "fault"),
    [
        ({"dataset": "topics"}, "", "is of topics, the table of tiny_shakespeare"),
        ({"chapter": 7}, "chapter_06_x", "says that it is of chapter 7"),
    ],
)
def test_a_row_of_other_work_is_refused(root, change, folder, fault):
    publish(root, "a", language_model("LSTM", 6, [1.6, 1.7]) | change, folder)
    with pytest.raises(UserError, match=fault):
        fill(root, "language_models")


def test_rows_that_cannot_be_compared_or_read_are_refused(root):
    publish(root, "a", translation(6, [10, 14]))
    publish(root, "b", translation(7, [10, 14], signature="tok:none"))
    with pytest.raises(UserError, match="different signatures"):
        fill(root, "translation")
    with pytest.raises(UserError, match="no thread 'x'; there are: language_models, translation"):
        fill(root, "x")
    (root / "chapter_06_x/results/thread_translation_a.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"thread_translation_a\.json is no published row"):
        fill(root, "translation")


def test_a_row_without_a_value_for_each_seed_is_not_made():
    with pytest.raises(ValueError, match="1 values for 2 seeds"):
        language_model("LSTM", 6, [1.6])
    with pytest.raises(ValueError, match="context must be"):
        language_model("LSTM", 6, [1.6, 1.7], context="none")


@pytest.mark.parametrize("name", COLUMNS)
def test_a_chapter_with_rows_shows_the_table(name):
    rows = {row["chapter"] for row in read_rows(ROOT, name)}
    for chapter in load_chapters():
        for file in ("README.md", "README.zh-CN.md"):
            shown = f"thread:{name}" in markers((chapter.folder / file).read_text(encoding="utf-8"))
            assert shown or chapter.number not in rows, f"{chapter.name}/{file}"
