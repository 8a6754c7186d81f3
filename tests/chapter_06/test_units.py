"""Units of a language model: gates as the network has them, correlations, the page in a browser.

The page is opened in headless Chromium; without it, or without selenium, that test skips.
"""

import base64
import json
import re

import numpy as np
import pytest
import torch

from chapter_06_rnn_lstm_seq import view_units
from chapter_06_rnn_lstm_seq.experiments import units
from chapter_06_rnn_lstm_seq.experiments.language_models import TASK
from chapter_06_rnn_lstm_seq.figures import units_page
from chapter_06_rnn_lstm_seq.language_model import LanguageModel
from chapter_06_rnn_lstm_seq.tokenizer import CharTokenizer, WordTokenizer
from utils.checkpoint import save_checkpoint

TEXT = 'A (b c) d.\n  "Quoted, (so) it is"\n\nEnd </script> "open\n\nclosed'


@pytest.mark.parametrize("layers, embed", [(1, 0), (2, 5)])
def test_the_gates_are_those_of_the_network(layers, embed):
    torch.manual_seed(0)
    model = LanguageModel(7, "lstm", hidden_size=6, num_layers=layers, embed_size=embed)
    ids = torch.randint(7, (30,))
    found = units.read_units(model, ids)
    logits, (h, c) = model(ids.unsqueeze(0))
    torch.testing.assert_close(torch.tensor(found["h"][-1]), h[-1, 0])
    torch.testing.assert_close(torch.tensor(found["c"][-1]), c[-1, 0])
    torch.testing.assert_close(model.output(torch.tensor(found["h"])), logits[0])
    before = np.vstack([np.zeros((1, 6)), found["c"][:-1]])
    np.testing.assert_allclose(
        found["c"], found["f"] * before + found["i"] * found["g"], rtol=1e-5, atol=1e-6
    )


def marked(function):
    """The characters of TEXT where the property is not 0."""
    return "".join(c if v else "." for c, v in zip(TEXT, function(TEXT), strict=True))


def test_properties_of_a_text():
    assert marked(units.in_brackets) == "..(b c" + "." * 16 + "(so" + "." * (len(TEXT) - 25)
    quoted = marked(units.in_quotes)
    assert (
        '"Quoted, (so) it is.' in quoted and '"open\n.closed'.replace("closed", "." * 6) in quoted
    )
    assert units.line_position("ab\nc" + "d" * 100).tolist()[:5] == [1, 2, 0, 1, 2]
    assert units.line_position("a" * 100).max() == units.LONG_LINE
    assert units.line_start(" a\n  b").tolist() == [1, 0, 1, 1, 1, 0]
    assert units.upper_case("aB!").tolist() == [0, 1, 0]


def test_correlations_are_numpys():
    rng = np.random.default_rng(0)
    h, values = rng.normal(size=(50, 4)), rng.normal(size=50)
    h[:, 3] = 2.0  # a unit that never changes follows nothing
    expected = [np.corrcoef(h[:, k], values)[0, 1] for k in range(3)]
    np.testing.assert_allclose(units.correlations(h, values), [*expected, 0.0], atol=1e-12)


def test_the_unit_is_chosen_on_one_half_and_told_for_the_other():
    text = "ab(cd)ef\n" * 40
    values, rng = units.in_brackets(text), np.random.default_rng(0)
    h = rng.normal(size=(len(text), 5))
    h[:, 2] = values - 0.1 * rng.normal(size=len(text))
    h[len(text) // 2 :, 4], h[: len(text) // 2, 4] = values[len(text) // 2 :], 0  # only later
    rows = units.measure(h, [rng.normal(size=h.shape)], text)
    found = next(row for row in rows if row["property"] == "inside brackets")
    assert found["unit"] == 2 and 0.95 < found["r"] < 1 and found["untrained"][0] < 0.3
    assert rows[0] is found
    assert "upper case" not in [row["property"] for row in rows]  # there is none in this text


# --- the script and its page ---


def saved(path, cell="lstm", tokenizer=None, **facts):
    from utils.datasets.text import load_text

    data = load_text("topics")
    tokenizer = tokenizer or CharTokenizer.train(data.train + data.val)
    architecture = {"vocab_size": tokenizer.vocab_size, "cell": cell, "hidden_size": 12}
    torch.manual_seed(0)
    state = LanguageModel(**architecture).state_dict()
    facts = {"dataset": "topics", "metrics": {}, "task": TASK} | facts
    save_checkpoint(path, state, architecture=architecture, tokenizer=tokenizer.state(), **facts)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """made(lang): the page of a small network on 300 characters."""
    folder = tmp_path_factory.mktemp("units")
    weights = saved(folder / "tiny.pth")

    def make(lang, *options):
        words = [
            "--weights",
            str(weights),
            "--length",
            "300",
            "--characters",
            "2000",
            "--lang",
            lang,
        ]
        words += ["--untrained", "1", "--output_dir", str(folder), "--run_name", lang]
        assert view_units.main([*words, *options]) == 0
        return next(folder.glob(f"*/view_units-{lang}")) / "units.html"

    return make


def data_of(page):
    content = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', content, re.DOTALL)[1])


def test_the_page_holds_text_values_and_words_of_its_language(made):
    page = made("zh", "--text", TEXT.replace("</script>", "</b>"))
    data, content = data_of(page), page.read_text(encoding="utf-8")
    assert data["text"] == TEXT.replace("</script>", "</b>") and data["units"] == list(range(12))
    assert 'lang="zh-CN"' in content and "网络的一个单元在跟踪什么" in content
    assert "http" not in content.replace("http-equiv", "")  # nothing is fetched
    packed = np.frombuffer(base64.b64decode(data["values"]), np.uint8)
    assert packed.size == 6 * 12 * len(data["text"]) and packed.max() <= 254
    assert set(data["labels"]) == set(units_page.WORDS["en"]) == set(units_page.WORDS["zh"])


def test_a_page_of_the_usual_size_stays_below_3_mb():
    length, hidden = 1500, 512
    rng = np.random.default_rng(0)
    gates = {name: rng.uniform(-1, 1, (length, hidden)) for name in units_page.ORDER}
    row = {"property": "upper case", "zh": "大写字母", "unit": 511, "r": 0.5, "untrained": (0.1, 0)}
    page = units_page.units_page("x" * length, gates, [row], "en", "topics")
    assert len(page.encode()) < 3_000_000
    assert '"units": [0, 1, 2' in page and " 511]" in page  # the one of the ranking is kept


def test_mistakes_are_one_sentence(tmp_path, capsys):
    tiny = str(saved(tmp_path / "tiny.pth"))
    words = WordTokenizer.train("one two three")
    cases = {
        ("--weights", str(saved(tmp_path / "gru.pth", "gru"))): "has a gru",
        ("--weights", str(saved(tmp_path / "word.pth", tokenizer=words))): "reads words",
        ("--weights", str(tmp_path / "none.pth")): "none.pth",
        ("--weights", tiny, "--text", "中"): "was not in the training text",
        ("--weights", tiny, "--text", ""): "there is no text to show",
        ("--weights", tiny, "--text", "a" * 5001): "the page shows 5,000",
        ("--weights", tiny, "--start", "9999999"): "lies behind",
        ("--weights", tiny, "--dataset", "no_such.txt"): "no text set and no file",
    }
    for options, sentence in cases.items():
        assert view_units.main([*options, "--output_dir", str(tmp_path)]) == 2
        assert sentence in capsys.readouterr().err, options


def colours(browser):
    script = "return [...document.querySelectorAll('#text span')].map(s => s.style.backgroundColor)"
    return browser.execute_script(script)


@pytest.mark.process
def test_hovering_changes_the_shown_unit(made, browser):
    from selenium.webdriver import ActionChains, Keys
    from selenium.webdriver.common.by import By

    page = made("en")
    browser.get(page.as_uri())
    assert browser.execute_script("return document.body.dataset.ready") == "yes"
    data, mouse = data_of(page), ActionChains(browser, duration=20)
    buttons = browser.find_elements(By.CSS_SELECTOR, "#strip button")
    assert len(buttons) == 12

    def shown():
        return browser.find_element(By.ID, "unit").text

    for unit in (3, 7):
        before = colours(browser)
        mouse.move_to_element(buttons[unit]).perform()
        assert shown() == str(unit) and colours(browser) != before
    buttons[5].click()  # chosen: stays when the mouse leaves the strip
    span = browser.find_elements(By.CSS_SELECTOR, "#text span")[10]
    mouse.move_to_element(span).perform()
    assert shown() == "5" and "(11 / 300)" in browser.find_element(By.ID, "character").text
    packed = np.frombuffer(base64.b64decode(data["values"]), np.uint8).reshape(6, 12, 300)
    level = (packed[data["order"].index("f"), 5, 10] - 127.0) / 127
    assert float(browser.find_element(By.ID, "value-f").text) == pytest.approx(level, abs=0.006)
    ActionChains(browser).send_keys(Keys.ARROW_RIGHT).perform()  # the clicked button has the focus
    assert shown() == "6"
    before = colours(browser)
    browser.find_element(
        By.CSS_SELECTOR, "[name=what][value=h]"
    ).click()  # the output, not the cell
    assert colours(browser) != before
    browser.find_element(By.CSS_SELECTOR, "#ranking button").click()
    assert shown() == str(data["ranking"][0]["name"])
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
