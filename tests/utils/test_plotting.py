"""Figures are written small, deterministic, and without global state."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from utils import plotting


def test_large_png_is_cut_to_a_palette(tmp_path):
    fig, ax = plotting.subplots(width=8, height=6)
    smooth = np.sin(np.linspace(0, 30, 600))[:, None] * np.cos(np.linspace(0, 30, 600))
    ax.imshow(smooth + np.random.default_rng(0).normal(0, 0.02, smooth.shape), cmap="magma")
    plotting.save_figure(fig, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 400_000
    assert Image.open(tmp_path / "a.png").mode == "P"


def test_svg_is_the_same_file_each_time(tmp_path):
    for name in ("a.svg", "b.svg"):
        fig, ax = plotting.subplots()
        plotting.band(ax, np.arange(4), np.ones((2, 4)), "runs")
        plotting.save_figure(fig, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_gif_is_shrunk_to_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(plotting, "MAX_GIF_BYTES", 30_000)
    noise = np.random.default_rng(0).integers(0, 256, (3, 160, 200, 3), dtype=np.uint8)
    plotting.save_gif(list(noise), tmp_path / "a.gif", fps=5)
    image = Image.open(tmp_path / "a.gif")
    assert image.n_frames == 3 and image.size[0] < 200
    assert (tmp_path / "a.gif").stat().st_size <= 30_000


def test_figure_to_array_and_confusion_matrix():
    fig, ax = plotting.subplots(width=3, height=3)
    plotting.confusion_matrix(ax, [[5, 0], [2, 3]], ["cat", "dog"])
    pixels = plotting.figure_to_array(fig)
    assert pixels.dtype == np.uint8 and pixels.shape == (330, 330, 3)
    assert [text.get_text() for text in ax.texts] == ["5", "2", "3"]


@pytest.mark.parametrize("spread", ["range", "std"])
def test_band_draws_mean_and_spread(spread):
    fig, ax = plotting.subplots()
    plotting.band(ax, [0, 1], [[0.0, 2.0], [2.0, 4.0]], "x", spread=spread)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1, 3])
    assert fig is ax.figure and len(ax.collections) == 1


def test_lines_differ_in_more_than_colour():
    """A figure printed in grey, or with one line on another, can still be read."""
    _, ax = plotting.subplots()
    for number in range(7):
        plotting.band(ax, [0, 1], [[0.0, 1.0]], f"run {number}")
    patterns = [str(line._dash_pattern) for line in ax.lines]  # the public getter hides them
    assert len(set(patterns)) == 7
    assert [line.get_color() for line in ax.lines] == plotting.COLORS[:7]
    (line,) = ax.plot([0, 1], [0, 1], **plotting.look(3))
    assert line.get_color() == plotting.COLORS[3] and line.get_linestyle() == ":"


def test_a_band_can_have_a_pattern_of_its_own():
    _, ax = plotting.subplots()
    plotting.band(ax, [0, 1], [[0.0, 1.0]], "x", color=plotting.COLORS[1], linestyle="-")
    plotting.band(ax, [0, 1], [[0.0, 1.0]], "y", color="0.5")
    assert [line.get_linestyle() for line in ax.lines] == ["-", "-"]


@pytest.mark.process
def test_figures_do_not_load_pyplot():
    code = "import sys; from utils import plotting; plotting.subplots(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "matplotlib.figure" in done.stdout and "matplotlib.pyplot" not in done.stdout


def test_a_logarithmic_axis_has_plain_labels_even_within_a_decade():
    fig, ax = plotting.subplots()
    ax.plot([1, 2, 3], [0.11, 0.3, 0.7])
    plotting.plain_log_labels(ax)
    fig.canvas.draw()
    shown = [t.get_text() for t in ax.get_yticklabels() if 0.11 < t.get_position()[1] < 0.7]
    assert shown == ["0.2", "0.5"]


@pytest.mark.parametrize(
    "text", ["price ($)", "$/m^2, $", r"a $\frac and $ more", r"\$", "$$", "{_^}$$"]
)
def test_a_users_text_is_no_formula(text, tmp_path):
    fig, ax = plotting.subplots(width=2, height=2)
    ax.set_title(plotting.literal(text))
    plotting.save_figure(fig, tmp_path / "a.svg")
    shown, is_math = ax.title._preprocess_math(ax.title.get_text())
    assert (shown, is_math) == (text, False)


def test_classes_with_dollars_in_a_confusion_matrix():
    fig, ax = plotting.subplots(width=3, height=3)
    classes = ["$\\frac and $", "b"]
    plotting.confusion_matrix(ax, [[1, 0], [0, 1]], classes)
    plotting.figure_to_array(fig)  # draws: an unknown formula would raise here
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        shown = [label._preprocess_math(label.get_text()) for label in labels]
        assert shown == [(name, False) for name in classes]


@pytest.fixture
def strange():
    """A letter that the standard font lacks and another font of matplotlib's has."""
    return min(plotting._letters_of("STIXGeneral") - plotting._letters_of("DejaVu Sans"))


@pytest.mark.filterwarnings("error")
def test_letters_come_from_a_font_that_has_them(strange, tmp_path):
    font = plotting.font_with(frozenset(strange))
    assert strange in plotting._letters_of(font)
    fig, ax = plotting.subplots(width=2, height=2)
    ax.set_title(f"a {strange}")
    plotting.save_figure(fig, tmp_path / "a.png")
    assert ax.title.get_fontfamily() == ["sans-serif", font]


@pytest.mark.filterwarnings("error")
def test_letters_that_no_font_has_are_said_once(tmp_path, caplog, monkeypatch):
    from matplotlib.font_manager import fontManager

    monkeypatch.setattr(fontManager, "ttflist", [f for f in fontManager.ttflist if "Vu" in f.name])
    fig, ax = plotting.subplots(width=2, height=2)
    ax.set(title="\u9762\u79ef", xlabel="\u4ef7\u683c")
    for _ in range(2):
        plotting.save_figure(fig, tmp_path / "a.png")
    assert caplog.text.count("no font on this machine") == 1


@pytest.mark.filterwarnings("error")
def test_chinese_comes_from_a_chinese_font_where_there_is_one(monkeypatch):
    from matplotlib.font_manager import FontEntry, fontManager

    fonts = {"A Western One": "abc", "SimHei": "\u9762\u79ef", "Wingdings": "\u9762"}
    entries = [FontEntry(name=name) for name in fonts]
    monkeypatch.setattr(fontManager, "ttflist", entries)
    monkeypatch.setattr(plotting, "_letters_of", lambda name: frozenset(fonts[name]))
    assert plotting.font_with.__wrapped__(frozenset("\u9762\u79ef")) == "SimHei"
