"""Inference: explanations with known answers, every kind of picture, every kind of bad input."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops, ImageStat
from torch import nn

from chapter_04_cnn_classic import draw_custom_imgs, explain, inference, read_image
from chapter_04_cnn_classic.classifier import load_classifier
from chapter_04_cnn_classic.model import build_model
from chapter_04_cnn_classic.predictions import truth_of
from chapter_04_cnn_classic.read_image import UnreadablePicture, fit_square, read_picture, to_pixels
from utils.checkpoint import save_checkpoint
from utils.errors import UserError
from utils.file_io_util import read_json

CLASSES = ["red", "green", "blue"]
CUSTOM_IMGS = Path(inference.__file__).parent / "data" / "custom_imgs"


def save_color_network(path: Path, **changes) -> Path:
    """A simple_cnn of one stage that names the strongest colour of a picture, on 8 px."""
    architecture = {"model": "simple_cnn", "num_classes": 3, "image_size": 8, "channels": 3}
    model = build_model("simple_cnn", 3, 8, 3, widths=(3,))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "conv" in name:  # each convolution passes its three channels on
                parameter.zero_()
                parameter[range(3), range(3), 1, 1] = 1
        model.head.weight.copy_(10 * torch.eye(3))
        model.head.bias.zero_()
    facts = {
        "architecture": architecture | {"widths": [3]},
        "dataset": "colours",
        "metrics": {"test_accuracy_percent": 100.0},
        "classes": CLASSES,
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
    }
    save_checkpoint(path, changes.pop("state", model.state_dict()), **(facts | changes))
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return save_color_network(tmp_path_factory.mktemp("weights") / "colors.pth")


@pytest.fixture
def run(tmp_path, weights, capsys):
    """run("--img_path", file) -> (exit code, output, error, result or None)."""

    def call(*words: str | Path, model: Path = weights):
        place = ["--output_dir", str(tmp_path / "out"), "--run_name", "t"]
        argv = [*map(str, words), "--model_path", str(model), *place]
        try:
            code = inference.main(argv)
        except SystemExit as stop:  # argparse
            code = stop.code
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        file = tmp_path / "out" / "chapter_04_cnn_classic" / "inference-t" / "inference.json"
        return code, out, err, read_json(file) if code == 0 else None

    return call


def first_answers(result) -> dict[str, str]:
    return {p["file"]: p["top"][0]["class"] for p in result["metrics"]["pictures"]}


def refusal(run, *words, **options) -> str:
    """The one sentence of a command that must end with exit code 2."""
    code, _, err, _ = run(*words, **options)
    assert code == 2
    assert err.count("\n") == 1, "one paragraph"
    return err


# --- explanations with a known answer ---


class Linear(nn.Module):
    """Two logits that are linear in the picture: w . x and 0."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = (x * self.weight).flatten(1).sum(dim=1)  # (B,)
        return torch.stack([score, torch.zeros_like(score)], dim=1)  # (B, 2)


def test_saliency_of_a_linear_model_is_its_largest_absolute_weight():
    weight, x = torch.randn(3, 5, 7), torch.randn(3, 5, 7)
    expected = weight.abs().amax(dim=0)
    torch.testing.assert_close(explain.saliency(Linear(weight), x, 0), expected)
    smooth = explain.smooth_saliency(Linear(weight), x, 0, samples=4)
    torch.testing.assert_close(smooth, expected)  # noise cannot change a constant gradient
    assert explain.saliency(Linear(weight), x, 1).abs().max() == 0


def test_smooth_saliency_averages_gradients_over_noise():
    """For z = x^2 the gradient is 2 (x + noise): its mean is 2 x, and one sample is not."""

    class Square(nn.Module):
        def forward(self, x):
            return x.pow(2).flatten(1).sum(dim=1, keepdim=True)

    x = torch.linspace(1, 2, 16).reshape(1, 4, 4)
    many = explain.smooth_saliency(Square(), x, 0, samples=4000, noise=0.2)
    torch.testing.assert_close(many, 2 * x[0], atol=0.03, rtol=0)
    assert not torch.allclose(explain.smooth_saliency(Square(), x, 0, samples=1), 2 * x[0])


def test_occlusion_finds_the_one_pixel_the_model_looks_at():
    weight = torch.zeros(1, 6, 6)
    weight[0, 2, 4] = 3
    x = torch.ones(1, 6, 6)
    drop = explain.occlusion(Linear(weight), x, 0, square=1, positions=6)
    expected = torch.zeros(6, 6)
    expected[2, 4] = torch.sigmoid(torch.tensor(3.0)) - 0.5
    torch.testing.assert_close(drop, expected)
    assert (explain.occlusion(Linear(weight), x, 1, square=1, positions=6) <= 0).all()


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_occlusion_is_the_mean_over_the_squares_that_cover_a_pixel(batch_size):
    weight, x = torch.randn(2, 5, 6), torch.randn(2, 5, 6)
    model, square = Linear(weight), 2
    total, count = torch.zeros(5, 6), torch.zeros(5, 6)
    for top in range(4):
        for left in range(5):
            covered = x.clone()
            covered[:, top : top + 2, left : left + 2] = 0
            p = [model(v[None]).softmax(1)[0, 0] for v in (x, covered)]
            total[top : top + 2, left : left + 2] += p[0] - p[1]
            count[top : top + 2, left : left + 2] += 1
    found = explain.occlusion(model, x, 0, square=square, positions=9, batch_size=batch_size)
    torch.testing.assert_close(found, total / count)


@pytest.mark.parametrize("size", [1, 2, 8, 33])
@pytest.mark.parametrize("positions", [1, 2, 13])
def test_squares_stay_inside_and_reach_both_edges(size, positions):
    square = max(1, size // 4)
    starts = explain.square_starts(size, square, positions)
    assert starts == sorted(set(starts)) and len(starts) <= positions
    assert min(starts) >= 0 and max(starts) + square <= size
    if positions > 1:
        assert starts[0] == 0 and starts[-1] == size - square


def test_feature_maps_are_the_last_outputs_before_each_pool():
    model = build_model("simple_cnn", 10, 16, 1).eval()
    x = torch.randn(1, 1, 16, 16)
    maps = explain.feature_maps(model, x)
    names = [f"features.stage{k}.relu2" for k in (1, 2, 3)]
    assert [m.name for m in maps] == names
    stage = model.features.stage1(x)
    torch.testing.assert_close(maps[0].values, stage[0])
    torch.testing.assert_close(
        maps[1].values, model.features.stage2(model.features.pool1(stage))[0]
    )
    assert not any(module._forward_hooks for module in model.modules()), "hooks are removed"
    vgg = explain.feature_maps(build_model("vgg11", 10, 8, 3).eval(), torch.randn(1, 3, 8, 8))
    assert [m.values.shape[-1] for m in vgg] == [8, 4, 2]
    assert all((m.values >= 0).all() for m in vgg), "after the in-place ReLU"
    order = explain.strongest(torch.tensor([1.0, -9.0, 3.0])[:, None, None].expand(3, 2, 2), 2)
    assert order.tolist() == [2, 0]


# --- reading pictures ---


def color_picture(size=(40, 30), color=(255, 0, 0)) -> Image.Image:
    return Image.new("RGB", size, color)


def pixel(path: Path) -> tuple[int, ...]:
    image = read_picture(path, side=16).image
    assert image.mode == "RGB"
    return image.getpixel((image.width // 2, image.height // 2))


def test_modes_and_formats_become_the_same_colour(tmp_path):
    red = color_picture()
    cases = {
        "a.png": (red, {}),
        "palette.png": (red.quantize(4), {}),
        "rgba.png": (red.convert("RGBA"), {}),
        "a.jpg": (red, {"quality": 95}),
        "cmyk.jpg": (red.convert("CMYK"), {"quality": 95}),
        "cmyk.tif": (red.convert("CMYK"), {}),
        "a.webp": (red, {"lossless": True}),
        "no_suffix": (red, {"format": "BMP"}),
    }
    for name, (image, options) in cases.items():
        image.save(tmp_path / name, **options)
        assert pixel(tmp_path / name) == pytest.approx((255, 0, 0), abs=4), name


def test_transparent_parts_lie_on_white_in_every_mode(tmp_path):
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    half = Image.new("RGBA", (20, 20), (255, 0, 0, 128))
    palette = Image.new("P", (20, 20), 0)
    palette.putpalette([255, 0, 0])
    grey = Image.new("LA", (20, 20), (0, 0))
    for name, image, options in (
        ("clear.png", clear, {}),
        ("palette.png", palette, {"transparency": 0}),
        ("grey.png", grey, {}),
        ("rgb.png", color_picture((20, 20)), {"transparency": (255, 0, 0)}),
    ):
        image.save(tmp_path / name, **options)
        assert pixel(tmp_path / name) == (255, 255, 255), name
    half.save(tmp_path / "half.png")
    assert pixel(tmp_path / "half.png") == pytest.approx((255, 127, 127), abs=1)
    assert "transparent parts on white" in read_picture(tmp_path / "half.png", 16).notes


@pytest.mark.parametrize(
    ("values", "suffix", "expected"),
    [
        (np.full((20, 20), 32768, np.uint16), "png", 128),
        (np.full((20, 20), 200, np.int32), "tif", 200),
        (np.full((20, 20), 32896, np.int32), "tif", 128),
        (np.linspace(-2, 2, 400, dtype=np.float32).reshape(20, 20), "tif", 128),
        (np.full((20, 20), np.nan, np.float32), "tif", 0),
    ],
)
def test_more_than_eight_bits(tmp_path, values, suffix, expected):
    Image.fromarray(values).save(tmp_path / f"deep.{suffix}")
    assert pixel(tmp_path / f"deep.{suffix}") == pytest.approx((expected,) * 3, abs=8)


def test_first_frame_of_an_animation(tmp_path):
    frames = [color_picture(color=c) for c in ((0, 0, 255), (255, 0, 0), (0, 255, 0))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert pixel(tmp_path / "a.gif") == (0, 0, 255)
    assert read_picture(tmp_path / "a.gif", 16).notes == ["first of 3 frames"]


@pytest.mark.parametrize("orientation", range(1, 10))
def test_exif_orientation(tmp_path, orientation):
    """The corners of the picture as the camera meant it; 9 is no orientation."""
    upright = Image.new("RGB", (40, 24))
    upright.paste((255, 0, 0), (0, 0, 20, 12))
    upright.paste((0, 255, 0), (20, 0, 40, 12))
    undo = {6: 8, 8: 6}.get(orientation, orientation)
    turn = read_image.TURNS.get(undo)
    stored = upright.transpose(turn) if turn is not None else upright
    exif = Image.Exif()
    exif[read_image.ORIENTATION_TAG] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    picture = read_picture(tmp_path / "a.png", 16)
    assert picture.size == picture.image.size == (40, 24)
    assert ImageChops.difference(picture.image, upright).getbbox() is None


def test_shrinking_is_an_average_and_keeps_the_shorter_side(tmp_path):
    """A chessboard of single pixels is grey; every n-th pixel alone would be black or white."""
    board = np.indices((512, 768)).sum(axis=0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "board.png")
    picture = read_picture(tmp_path / "board.png", 64)
    assert picture.image.size == (96, 64) and picture.size == (768, 512)
    assert np.abs(np.asarray(picture.image).astype(int) - 127).max() <= 1
    square = fit_square(Image.fromarray(board.astype(np.uint8)).convert("RGB"), 8)
    assert np.abs(np.asarray(square).astype(int) - 127).max() <= 2


def test_crop_pad_and_stretch():
    """A picture three times as wide as high: red, green, blue."""
    wide = Image.new("RGB", (90, 30))
    for k, color in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        wide.paste(color, (30 * k, 0, 30 * k + 30, 30))
    assert (np.asarray(fit_square(wide, 6, "crop")) == (0, 255, 0)).all()
    pad = np.asarray(fit_square(wide, 9, "pad", border=(7, 7, 7)))
    assert (pad[:3] == 7).all() and (pad[6:] == 7).all()
    assert pad[4, 1].argmax() == 0 and pad[4, 4].argmax() == 1 and pad[4, 7].argmax() == 2
    stretch = np.asarray(fit_square(wide, 9, "stretch"))
    assert (stretch.argmax(axis=2) == [0] * 3 + [1] * 3 + [2] * 3).all()
    assert fit_square(Image.new("RGB", (1, 9000)), 8, "pad").size == (8, 8)
    with pytest.raises(ValueError, match="crop, pad, stretch"):
        fit_square(wide, 6, "tile")


def test_one_channel_is_luminance():
    image = color_picture(color=(200, 100, 50))
    assert to_pixels(image, 1).shape == (1, 30, 40)
    assert to_pixels(image, 1)[0, 0, 0] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert to_pixels(image, 3)[:, 0, 0].tolist() == [200, 100, 50]


def test_damaged_bytes_are_refused_or_read_but_never_crash(tmp_path):
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    refused = 0
    for suffix in ("png", "jpeg", "gif", "webp", "tiff", "bmp"):
        buffer = io.BytesIO()
        noise.save(buffer, suffix)
        for _ in range(25):
            content = bytearray(buffer.getvalue())
            for place in random.integers(0, len(content), 8):
                content[place] = random.integers(256)
            path = tmp_path / "damaged"
            path.write_bytes(content[: random.integers(1, len(content))])
            try:
                assert read_picture(path, 16).image.mode == "RGB"
            except UnreadablePicture as error:
                refused += 1
                assert str(error).startswith("damaged ") and "\n" not in str(error)
    assert refused > 75


# --- the script ---


@pytest.mark.quick
def test_a_picture_of_each_kind_gets_the_right_answer(tmp_path, run):
    folder = tmp_path / "imgs"
    folder.mkdir()
    clear = Image.new("RGBA", (30, 30), (0, 0, 255, 255))
    clear.paste((0, 0, 255, 0), (0, 0, 30, 4))
    clear.save(folder / "blue_alpha.png")
    color_picture((1, 1), (0, 255, 0)).save(folder / "green_1x1.png")
    color_picture((6000, 4000), (255, 0, 0)).save(folder / "red_large.jpg")
    Image.new("L", (50, 20), 90).save(folder / "grey.jpg")
    color_picture((3, 500), (0, 255, 0)).save(folder / "$\\frac.png")
    (folder / "notes.png").write_text("this is no picture", encoding="utf-8")
    (folder / ".hidden").write_text("", encoding="utf-8")
    (folder / "subfolder").mkdir()
    code, out, _, result = run("--img_dir", folder, "--quick", "--explain", "1")
    assert code == 0
    answers = first_answers(result)
    wanted = {"blue_alpha.png": "blue", "green_1x1.png": "green", "red_large.jpg": "red"}
    assert {name: answers[name] for name in wanted} == wanted
    assert answers["$\\frac.png"] == "green"
    metrics = result["metrics"]
    assert metrics["skipped"] == ["notes.png is no picture that Pillow can read."]
    assert (metrics["classified"], metrics["named"], metrics["right"]) == (5, 3, 3)
    by_file = {p["file"]: p for p in metrics["pictures"]}
    assert by_file["green_1x1.png"]["notes"] == ["enlarged from 1 x 1 px"]
    assert (by_file["red_large.jpg"]["width"], by_file["red_large.jpg"]["height"]) == (6000, 4000)
    grey = [top["probability"] for top in by_file["grey.jpg"]["top"]]
    assert grey == pytest.approx([1 / 3] * 3)
    assert "left out: notes.png" in out and "add up to 100 %" in out
    assert [row[0] for row in result["tables"]["main"]["rows"]] == list(by_file)
    assert "fits" not in metrics, "the one picture that is explained has no class in its name"


@pytest.mark.quick
def test_figures_of_the_explained_pictures(tmp_path, run):
    folder = tmp_path / "imgs"
    folder.mkdir()
    for name in ("same.png", "same.jpg"):
        color_picture().save(folder / name)
    code, _, _, _ = run("--img_dir", folder, "--quick")
    assert code == 0
    made = tmp_path / "out" / "chapter_04_cnn_classic" / "inference-t"
    names = {"explained_same", "explained_same_2"}
    assert inference.figure_name(Path("\u732b.png"), set()) == "explained_picture"
    assert {p.stem for p in made.glob("explained_*.png")} == names
    for path in made.glob("*.png"):
        assert path.stat().st_size < 200_000
        assert max(ImageStat.Stat(Image.open(path).convert("RGB")).stddev) > 5, "not blank"


def test_a_thousand_pictures_in_one_folder(tmp_path, run, monkeypatch):
    folder = tmp_path / "imgs"
    folder.mkdir()
    colors = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
    contents = {}
    for name, color in colors.items():
        buffer = io.BytesIO()
        color_picture((8, 8), color).save(buffer, "png")
        contents[name] = buffer.getvalue()
    for number in range(1000):
        name = list(colors)[number % 3]
        (folder / f"{name}_{number:04d}.png").write_bytes(contents[name])
    largest = []
    predict = inference.Classifier.probabilities
    monkeypatch.setattr(
        inference.Classifier,
        "probabilities",
        lambda self, x: largest.append(len(x)) or predict(self, x),
    )
    code, out, _, result = run("--img_dir", folder, "--explain", "0")
    assert code == 0 and out.count("_0999.png") == 1
    assert result["metrics"]["right"] == result["metrics"]["classified"] == 1000
    assert max(largest) == inference.CHUNK


@pytest.mark.parametrize("how", ["img_dir", "img_path"])
def test_what_cannot_be_read_alone_is_exit_2(tmp_path, run, how):
    folder = tmp_path / "imgs"
    folder.mkdir()
    assert "holds no files" in refusal(run, "--img_dir", folder)
    truncated = folder / "cut.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(truncated)
    truncated.write_bytes(truncated.read_bytes()[:2000])
    place = folder if how == "img_dir" else truncated
    assert "cut.jpg is damaged and cannot be decoded" in refusal(run, f"--{how}", place)
    truncated.unlink()
    text = folder / "text.png"
    text.write_text("hello", encoding="utf-8")
    place = folder if how == "img_dir" else text
    assert "text.png is no picture" in refusal(run, f"--{how}", place)
    text.write_bytes(b"")
    assert "text.png is no picture" in refusal(run, f"--{how}", place)


def test_wrong_paths(tmp_path, run, monkeypatch):
    assert "there is no folder" in refusal(run, "--img_dir", tmp_path / "none")
    assert "there is no file" in refusal(run, "--img_path", tmp_path / "none.png")
    color_picture().save(tmp_path / "a.png")
    assert "read it with --img_path" in refusal(run, "--img_dir", tmp_path / "a.png")
    assert "with --img_dir" in refusal(run, "--img_path", tmp_path)
    assert "too long" in refusal(run, "--img_path", tmp_path / ("x" * 300))
    assert "--img_path" in refusal(run)
    assert "not allowed" in refusal(run, "--img_path", "a", "--img_dir", "b")
    assert "0 or more" in refusal(run, "--img_path", "a", "--explain", "-1")
    for number in range(7):
        (tmp_path / f"{number}.txt").write_text("no", encoding="utf-8")
    (tmp_path / "a.png").unlink()
    message = refusal(run, "--img_dir", tmp_path)
    assert "none of the 7 files" in message and "And 2 more" in message

    def forbidden(file):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(read_image.Image, "open", forbidden)
    assert "permission denied" in refusal(run, "--img_path", tmp_path / "1.txt")


def test_too_many_pixels_are_refused_by_the_header_alone(tmp_path, run):
    """A PNG of 20,000 x 20,000 px whose pixels are missing."""
    import zlib

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header
    chunk += struct.pack(">I", zlib.crc32(b"IHDR" + header))
    data = struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + data)
    before = Image.MAX_IMAGE_PIXELS
    message = refusal(run, "--img_path", tmp_path / "bomb.png")
    assert "20000 x 20000 pixels, more than 200 million" in message
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path, run):
    import os

    os.mkfifo(tmp_path / "pipe.png")
    assert "no regular file" in refusal(run, "--img_path", tmp_path / "pipe.png")


def test_checkpoints_that_do_not_fit(tmp_path, run):
    color_picture().save(tmp_path / "a.png")

    def say(path: Path) -> str:
        return refusal(run, "--img_path", tmp_path / "a.png", model=path)

    assert "train.py --dataset shapes" in say(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("hello", encoding="utf-8")
    assert "damaged" in say(tmp_path / "text.pth")
    other = {"model": "transformer", "num_classes": 3}
    assert "'transformer'" in say(save_color_network(tmp_path / "w.pth", architecture=other))
    assert "does not hold classes" in say(save_color_network(tmp_path / "w.pth", classes=None))
    assert "contradicts itself" in say(save_color_network(tmp_path / "w.pth", mean=[0.5]))
    wrong = build_model("lenet5", 3, 32, 3).state_dict()
    assert "does not fit" in say(save_color_network(tmp_path / "w.pth", state=wrong))
    diverged = {
        k: v * torch.nan for k, v in load_classifier(good(tmp_path)).model.state_dict().items()
    }
    assert "not finite" in say(save_color_network(tmp_path / "w.pth", state=diverged))


def good(folder: Path) -> Path:
    return save_color_network(folder / "good.pth")


@pytest.mark.quick
def test_a_grey_network_and_inverted_ink(tmp_path, run):
    model = build_model("lenet5", 10, 16, 1)
    facts = {"dataset": "ink", "metrics": {}, "classes": [str(k) for k in range(10)]}
    architecture = {"model": "lenet5", "num_classes": 10, "image_size": 16, "channels": 1}
    path = tmp_path / "ink.pth"
    facts |= {"architecture": architecture, "mean": [0.2], "std": [0.5]}
    save_checkpoint(path, model.state_dict(), **facts)
    classifier = load_classifier(path)
    paper = Image.new("RGB", (20, 40), (255, 255, 255))
    assert classifier.view(paper).unique().tolist() == [255]
    assert classifier.view(paper, invert=True).unique().tolist() == [0]
    assert classifier.view(paper, "pad").unique().tolist() == [51, 255]  # the mean, 0.2, around it
    paper.save(tmp_path / "7.png")
    code, out, _, result = run("--img_path", tmp_path / "7.png", "--quick", "--invert", model=path)
    assert code == 0 and result["metrics"]["pictures"][0]["truth"] == "7"
    assert "1 x" not in out and len(result["metrics"]["pictures"][0]["top"]) == 5


@pytest.mark.quick
def test_fits_are_compared_on_the_named_pictures(tmp_path, run):
    """A green square between red ends: only the crop sees nothing but green."""
    wide = Image.new("RGB", (120, 20), (255, 0, 0))
    wide.paste((0, 255, 0), (50, 0, 70, 20))
    wide.save(tmp_path / "green.png")
    code, _, _, result = run("--img_path", tmp_path / "green.png", "--quick")
    assert code == 0
    fits = result["metrics"]["fits"]
    assert {name: fit["right"] for name, fit in fits.items()} == {"crop": 1, "pad": 0, "stretch": 0}
    first = result["metrics"]["pictures"][0]["top"][0]["probability"]
    assert fits["crop"]["truth"] == pytest.approx(100 * first)


def test_the_class_in_a_files_name():
    def truth(name):
        return truth_of(Path(name), ("cat", "cat fish", "T-shirt/top", "3"))

    assert truth("cat.png") == truth("Cat-2.jpg") == truth("x/cat_fishy.png") == "cat"
    assert truth("cat_fish_1.png") == "cat fish" and truth("t_shirt_top.png") == "T-shirt/top"
    assert truth("3_a.png") == "3" and truth("31.png") is None and truth("bobcat.png") is None


@pytest.mark.parametrize(
    ("name", "classes", "expected"),
    [
        ("\u72d7.png", ["\u732b", "\u72d7"], "\u72d7"),  # dog; cat, dog
        ("\u72d7_2.png", ["\u732b", "\u72d7"], "\u72d7"),
        ("\u72d7\u718a.png", ["\u732b", "\u72d7"], None),  # another animal
        ("cafe\u0301_1.png", ["cafe", "caf\u00e9"], "caf\u00e9"),  # as macOS writes it
        ("\u0915\u093e.png", ["\u0915\u0941", "\u0915\u093e"], "\u0915\u093e"),  # Hindi vowels
        ("\U0001f436.png", ["\U0001f431", "\U0001f436"], "\U0001f436"),
        ("STRASSE_1.png", ["stra\u00dfe"], "stra\u00dfe"),
        ("c.png", ["c", "c++"], "c"),
        ("c_1.png", ["c", "c++"], None),
        ("_.png", ["\u732b", "--"], None),
    ],
)
def test_classes_in_every_script(name, classes, expected):
    assert truth_of(Path(name), classes) == expected
    assert truth_of(Path(name), classes[::-1]) == expected


def test_paths_as_people_type_them(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    color_picture().save(tmp_path / "red.png")
    for option in ("--img_path", "--img_dir"):
        assert f"argument {option}: it is empty" in refusal(run, option, "")
    assert "argument --model_path: it is empty" in refusal(run, "--img_path", "red.png", model="")
    code, out, _, _ = run("--img_path", "~/red.png", "--explain", "0")
    assert code == 0 and "red.png: red" in out


def test_names_that_are_no_text_and_folders_of_folders(tmp_path):
    assert read_image.shown_name("a\udcff.png") == "a\\udcff.png"
    (tmp_path / "subfolder").mkdir()
    with pytest.raises(UserError, match="subfolders are not searched"):
        read_image.list_files(tmp_path)


# --- the pictures that are shipped ---


def test_shipped_pictures_are_what_the_script_draws():
    """Other versions of Pillow compress and round a little differently."""
    files = {path.name for path in CUSTOM_IMGS.iterdir()}
    assert files == {drawing.file for drawing in draw_custom_imgs.DRAWINGS}
    sizes, modes = set(), set()
    for number, drawing in enumerate(draw_custom_imgs.DRAWINGS):
        path = CUSTOM_IMGS / drawing.file
        assert path.stat().st_size < 60_000
        with Image.open(path) as shipped:
            shipped.load()
        sizes.add(shipped.size)
        modes.add(shipped.mode)
        if number % 4 == 2:  # bird, frog: drawing all takes seconds
            drawn = draw_custom_imgs.render(drawing, seed=42 + number)
            assert drawn.size == shipped.size
            difference = ImageChops.difference(drawn.convert("RGB"), shipped.convert("RGB"))
            assert max(ImageStat.Stat(difference).mean) < 4, drawing.file
    assert len(sizes) == 10 and {"L", "RGBA"} <= modes


def test_draw_script_writes_readable_pictures(tmp_path, monkeypatch):
    few = draw_custom_imgs.DRAWINGS[5:7]
    monkeypatch.setattr(draw_custom_imgs, "DRAWINGS", few)
    argv = ["--output_dir", str(tmp_path), "--run_name", "t"]
    assert draw_custom_imgs.main(argv) == 0
    folder = tmp_path / "chapter_04_cnn_classic" / "draw_custom_imgs-t"
    for drawing in few:
        assert read_picture(folder / drawing.file, 32).image.mode == "RGB"
