"""The page of view_attention.py: what it holds, and what pointing and keys change in a browser.

The page is opened in headless Chromium; without it, or without selenium, that test skips.
"""

import base64
import json
import re

import numpy as np
import pytest

from chapter_07_attention_mechanism.figures import attention_page as pages

SOURCES = ["twenty", "-", "one", "</script>"]
TARGETS = ["ein", "und", "zwanzig"]


def random_weights(layers=2, heads=3, written=3, read=4, seed=0):
    scores = np.random.default_rng(seed).normal(size=(layers, heads, written, read)) * 2
    weights = np.exp(scores)
    return weights / weights.sum(-1, keepdims=True)


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_holds_the_words_and_every_weight():
    weights = random_weights()
    page = pages.attention_page(SOURCES, TARGETS, weights, "zh", "<a>")
    data = data_of(page)
    assert data["sources"] == SOURCES and data["targets"] == TARGETS
    found = np.frombuffer(base64.b64decode(data["values"]), np.uint8).reshape(2, 3, 3, 4) / 255
    np.testing.assert_allclose(found, weights, atol=0.002)
    assert 'lang="zh-CN"' in page and "每个词看了哪里: &lt;a&gt;" in page
    assert "default-src 'none'" in page  # the browser itself forbids any request
    assert set(pages.WORDS["en"]) == set(pages.WORDS["zh"])
    used = set(re.findall(r"say\.(\w+)|data-label=\"(\w+)\"", pages.TEMPLATE.read_text("utf-8")))
    assert {a or b for a, b in used} <= set(pages.WORDS["en"])


def test_the_largest_page_stays_below_1_mb():
    weights = np.full((6, 10, 100, 100), 0.01)
    page = pages.attention_page(["word"] * 100, ["Wort"] * 100, weights)
    assert weights.size == pages.MOST_VALUES and len(page.encode()) < 1_000_000


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (random_weights(written=4, read=3), r"\(layers, heads, 3, 4\).*not \(2, 3, 4, 3\)"),
        (random_weights()[0], "not "),
        (random_weights() + 1, "from 0 to 1"),
        (np.full((1, 1, 3, 4), np.nan), "from 0 to 1"),
        (np.zeros((1, 0, 3, 4)), "not "),
    ],
)
def test_weights_that_cannot_be_shown_are_refused(weights, words):
    with pytest.raises(ValueError, match=words):
        pages.attention_page(SOURCES, TARGETS, weights)


def test_too_many_weights_and_missing_names_are_refused():
    with pytest.raises(ValueError, match="at most 600,000"):
        pages.attention_page(["a"] * 1000, ["b"] * 1000, np.zeros((1, 1, 1000, 1000)))
    with pytest.raises(ValueError, match="1 names for 2 layers"):
        pages.attention_page(SOURCES, TARGETS, random_weights(), layer_names=["self"])


def test_the_figure_has_a_panel_a_head_and_the_words_as_labels():
    figure = pages.heads_figure(SOURCES, ["a$", *TARGETS[1:]], random_weights(1, 4)[0], "abcd")
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in shown] == list("abcd")
    np.testing.assert_allclose(shown[2].images[0].get_array(), random_weights(1, 4)[0, 2])
    many = pages.heads_figure(["a"] * 50, ["b"] * 60, np.full((1, 60, 50), 0.02), "a")
    assert many.axes[0].images[0].get_array().shape == (40, 40)  # a larger one would be too large


# --- in a browser ---


class Page:
    """The opened page, as a reader sees and uses it."""

    def __init__(self, browser, path):
        self.browser = browser
        browser.get(path.as_uri())
        assert browser.execute_script("return document.body.dataset.ready") == "yes"

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def point_at(self, element):
        from selenium.webdriver import ActionChains

        ActionChains(self.browser, duration=20).move_to_element(element).perform()

    def press(self, key):
        from selenium.webdriver import ActionChains

        ActionChains(self.browser).send_keys(key).perform()

    def numbers(self, side):
        return [float(n.text) if n.text else None for n in self.all(f"#{side} .number")]

    def looks(self, side):
        """(background, width of the bar) of each word of a line."""
        script = "return [...document.querySelectorAll(arguments[0])].map(w => [w.style."
        script += "backgroundColor, w.querySelector('i').style.width])"
        return self.browser.execute_script(script, f"#{side} .word")

    def said(self):
        return self.all("#said")[0].text

    def requests(self):
        """What the browser asked for since it was started, but files and its own pages."""
        events = [json.loads(e["message"])["message"] for e in self.browser.get_log("performance")]
        sent = [e for e in events if e["method"] == "Network.requestWillBeSent"]
        return [e["params"]["request"]["url"] for e in sent]


@pytest.fixture
def opened(tmp_path, browser):
    path = tmp_path / "attention.html"
    path.write_text(
        pages.attention_page(SOURCES, TARGETS, random_weights(), name="a test"), encoding="utf-8"
    )
    return Page(browser, path)


@pytest.mark.process
def test_pointing_and_keys_change_what_is_highlighted(opened):
    from selenium.webdriver import Keys

    page, weights = opened, random_weights()
    mean = weights[0].mean(0)
    assert page.numbers("sources") == pytest.approx(mean[0], abs=0.008)
    written, read = page.all("#targets .word"), page.all("#sources .word")
    before = page.looks("sources")
    page.point_at(written[2])  # a written word: where it looks
    assert page.numbers("sources") == pytest.approx(mean[2], abs=0.008)
    assert page.looks("sources") != before and page.numbers("targets") == [None] * 3
    widths = [float(width[:-1]) / 100 for _, width in page.looks("sources")]
    assert widths == pytest.approx(mean[2], abs=0.003)  # the bar says what the number says
    best = SOURCES[int(mean[2].argmax())]
    assert page.said().startswith(f"“zwanzig” (3 / 3) looks at “{best}”")
    assert len({colour for colour, _ in page.looks("sources")}) > 1
    page.point_at(read[1])  # and the reverse
    assert page.numbers("targets") == pytest.approx(mean[:, 1], abs=0.008)
    assert page.numbers("sources") == [None] * 4 and "is looked at by" in page.said()
    page.point_at(page.all("h1")[0])  # nothing is kept: the first word again
    assert page.numbers("sources") == pytest.approx(mean[0], abs=0.008)

    heads, layers = page.all("#heads button"), page.all("#layers button")
    assert [len(heads), len(layers)] == [4, 2]
    heads[1].click()
    assert page.numbers("sources") == pytest.approx(weights[0, 1, 0], abs=0.008)
    layers[1].click()
    assert page.numbers("sources") == pytest.approx(weights[1, 1, 0], abs=0.008)
    page.point_at(page.all("h1")[0])
    written[0].click()
    page.press(Keys.ARROW_RIGHT)
    assert page.numbers("sources") == pytest.approx(weights[1, 1, 1], abs=0.008)
    page.press(Keys.ARROW_DOWN)
    assert page.numbers("sources") == pytest.approx(weights[1, 2, 1], abs=0.008)
    page.press(Keys.PAGE_UP)
    assert page.numbers("sources") == pytest.approx(weights[0, 2, 1], abs=0.008)
    page.press(Keys.TAB)  # to the line that was read
    assert page.numbers("targets") == pytest.approx(weights[0, 2, :, 0], abs=0.008)
    squares = page.all("#map rect.cell")
    assert len(squares) == int((weights[0, 2] > (1 / 16) ** 2).sum())
    assert [entry for entry in page.browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    urls = page.requests()
    assert urls and [url for url in urls if not url.startswith(("file:", "data:", "chrome:"))] == []
