"""One decoder for the pictures of users and of data sets: what is done to every kind of file."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from chapter_04_cnn_classic import read_image
from utils import pictures
from utils.datasets import photos
from utils.datasets.photo_sets import CIFAR10
from utils.errors import UserError
from utils.pictures import ORIENTATION_TAG, read_picture

SIDE = 16  # px, of the small pictures below


def png(row: bytes, depth: int, colour: int, **chunks: bytes) -> bytes:
    """A PNG of two equal rows of two pixels; any depth and extra chunks, unlike Pillow."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = struct.pack(">IIBBBBB", 2, 2, depth, colour, 0, 0, 0)
    extra = [chunk(name.encode(), data) for name, data in chunks.items()]
    pixels = zlib.compress(2 * (b"\0" + row))
    parts = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def seen(content: bytes) -> np.ndarray:
    """(H, W, 3) as both readers give it: the one of users and the one of data sets agree."""
    picture = read_picture(Path("x"), content=content)
    pixels = np.asarray(picture.image)
    assert picture.size == picture.image.size
    if picture.image.width == picture.image.height:
        same, resized = photos.decode(content, "x", picture.image.width)
        assert not resized
        np.testing.assert_array_equal(same, pixels)
    return pixels


def corner(orientation: int, kind: str) -> bytes:
    """A square whose upper left quarter is white, once the file's orientation is undone."""
    upright = np.zeros((SIDE, SIDE, 3), np.uint8)
    upright[: SIDE // 2, : SIDE // 2] = 255
    undo = read_image.TURNS.get({6: 8, 8: 6}.get(orientation, orientation))
    image = Image.fromarray(upright)
    stored = image if undo is None else image.transpose(undo)
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    return encoded(stored, kind, exif=exif, **({"lossless": True} if kind == "webp" else {}))


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_data_set_turns_pictures_upright_too(orientation, kind):
    pixels, _ = photos.decode(corner(orientation, kind), "x", SIDE)
    half = SIDE // 2
    means = [pixels[a : a + half, b : b + half].mean() for a in (0, half) for b in (0, half)]
    assert means == pytest.approx([255, 0, 0, 0], abs=25)


def test_ordinary_pictures_are_decoded_to_the_same_bytes_as_by_pillow_alone():
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    for kind, mode in (("png", "RGB"), ("jpeg", "RGB"), ("webp", "RGB"), ("bmp", "RGB"),
                       ("png", "L"), ("jpeg", "L"), ("png", "P"), ("jpeg", "CMYK")):  # fmt: skip
        content = encoded(image.convert(mode), kind)
        with Image.open(io.BytesIO(content)) as plain:
            expected = np.asarray(plain.convert("RGB"))
        np.testing.assert_array_equal(photos.decode(content, "x", 40)[0], expected)


# The first of two pixels has the colour that the file calls transparent; it must be white.
GREY = {1: b"\x40", 2: b"\x10", 4: b"\x01", 8: b"\x00\x01"}
CLEAR = {
    **{f"grey of {d} bits": png(row, d, 0, tRNS=b"\0\0") for d, row in GREY.items()},
    "white of 4 bits": png(b"\xf0", 4, 0, tRNS=b"\0\x0f"),
    "grey of 16 bits": png(struct.pack(">HH", 7, 9000), 16, 0, tRNS=b"\0\x07"),
    "colour of 8 bits": png(bytes([1, 2, 3, 9, 9, 9]), 8, 2, tRNS=b"\0\1\0\2\0\3"),
    "colour of 16 bits": png(
        struct.pack(">6H", 258, 772, 1286, *[9000] * 3), 16, 2, tRNS=b"\1\2\3\4\5\6"
    ),
    "palette": png(b"\0\1", 8, 3, PLTE=bytes([0, 0, 0, 9, 9, 9]), tRNS=b"\0"),
    "half a palette": png(b"\0\1", 8, 3, PLTE=bytes([0, 0, 0, 9, 9, 9]), tRNS=b"\0\xfe"),
    "grey and alpha": png(bytes([0, 0, 9, 255]), 8, 4),
    "grey and alpha of 16 bits": png(struct.pack(">4H", 0, 0, 9000, 65535), 16, 4),
    "colour and alpha": png(bytes([0, 0, 0, 0, 9, 9, 9, 255]), 8, 6),
}


@pytest.mark.parametrize("kind", CLEAR)
def test_what_is_transparent_is_white_in_every_mode(kind):
    pixels = seen(CLEAR[kind])
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert kind == "grey of 1 bits" or pixels[0, 1].max() < 100
    notes = read_picture(Path("x"), content=CLEAR[kind]).notes
    assert "transparent parts on white" in notes


def in_mode(mode: str) -> Image.Image:
    """A plain picture of about (200, 30, 30) in this mode of Pillow's."""
    red = Image.new("RGB", (SIDE, SIDE), (200, 30, 30))
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(red, *profiles, outputMode="LAB")
    between = {"RGBa": "RGBA", "La": "LA", "PA": "P", "I": "L", "F": "L"}.get(mode)
    return (red.convert(between) if between else red).convert(mode)


MODES = "1 L P RGB RGBA RGBX RGBa CMYK YCbCr LAB HSV LA La PA I F I;16 I;16B"


@pytest.mark.parametrize("mode", MODES.split())
def test_every_mode_of_pillow_becomes_rgb(mode, monkeypatch):
    image = Image.new(mode, (SIDE, SIDE), 20_000) if ";" in mode else in_mode(mode)
    monkeypatch.setattr(pictures.Image, "open", lambda file: image)  # some have no file format
    rgb = read_picture(Path("x"), content=b"").image
    assert rgb.mode == "RGB"
    grey = {"F": 0, "I;16": 78, "I;16B": 78}.get(mode, 81)  # F: one value is the lowest, black
    coloured = mode not in ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B")
    expected = (200, 30, 30) if coloured else (grey, grey, grey)
    assert mode == "1" or rgb.getpixel((3, 3)) == pytest.approx(expected, abs=25)


@pytest.mark.parametrize(
    ("top", "bits"), [(255, 8), (256, 12), (4095, 12), (4096, 16), (65535, 16)]
)
def test_the_bits_that_a_grey_picture_uses_are_its_scale(top, bits):
    """12-bit data in a 16-bit file is not nearly black."""
    ramp = np.linspace(0, top, SIDE * SIDE).round().astype(np.uint16).reshape(SIDE, SIDE)
    content = encoded(Image.fromarray(ramp), "png")
    expected = (ramp * (255 / (2**bits - 1))).round()
    np.testing.assert_allclose(seen(content)[..., 0], expected, atol=1)
    (note,) = read_picture(Path("x"), content=content).notes
    assert note.startswith(f"greyscale of {bits} bits")


@pytest.mark.parametrize(("values", "colour"), [((4095, 0, 2048), 2), ((4095, 0, 2048, 65535), 6)])
def test_colours_of_12_bits_in_16_are_not_nearly_black(values, colour):
    pair = struct.pack(f">{2 * len(values)}H", *values, *values)
    assert np.abs(seen(png(pair, 16, colour))[0, 0].astype(int) - (255, 0, 128)).max() <= 8
    bright = struct.pack(f">{2 * len(values)}H", *values, 65535, *values[1:])
    assert seen(png(bright, 16, colour))[0, 0].tolist() == [15, 0, 8]
    black = png(bytes(4 * len(values)), 16, 2)
    assert read_picture(Path("x"), content=black).notes == []


def test_a_dark_bitmap_of_16_bits_a_pixel_stays_dark():
    """BMP's 5-6-5 bits are another thing than 16 bits a colour."""
    header = struct.pack("<2sIHHI", b"BM", 62, 0, 0, 54)
    header += struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 16, 0, 8, 0, 0, 0, 0)
    pixels = seen(header + struct.pack("<4H", *[0b00001_00001_00001] * 4))
    assert 0 < pixels.max() < 16


def test_a_transparent_value_does_not_decide_the_scale():
    content = png(struct.pack(">HH", 65535, 4095), 16, 0, tRNS=b"\xff\xff")
    assert seen(content)[0].tolist() == [[255] * 3] * 2


def test_infinite_values_are_the_ends_of_the_scale():
    values = np.array([[-np.inf, -2, 0], [2, np.inf, np.nan]], np.float32)
    pixels = seen(encoded(Image.fromarray(values), "tiff"))[..., 0]
    assert pixels.tolist() == [[0, 0, 128], [255, 255, 0]]


@pytest.mark.parametrize("kind", ["tiff", "gif", "png", "mpo"])
def test_the_first_page_stands_where_a_later_one_is_cut_off(kind, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    pages = [Image.fromarray(page) for page in noise]
    content = encoded(pages[0], kind, save_all=True, append_images=pages[1:])
    first = seen(content)
    cut = tmp_path / f"cut.{kind}"
    cut.write_bytes(content[: int(0.55 * len(content))])
    picture = read_picture(cut, SIDE)
    np.testing.assert_array_equal(read_picture(cut).image, first)
    assert picture.notes[0].startswith("first of ")
    if kind == "tiff":
        assert picture.notes == ["first of several frames, of which a later one is damaged"]


def test_what_a_system_leaves_behind_is_no_class_and_no_picture(tmp_path):
    content = encoded(Image.new("RGB", (32, 32), (9, 9, 9)), "png")
    names = [f"{part}/{name}/0.png" for part in ("train", "test") for name in CIFAR10.classes]
    extra = ["train/.ipynb_checkpoints/x.png", "train/__MACOSX/x.png", "test/@eaDir/x.png",
             "test/cat/._0.png", "train/.DS_Store"]  # fmt: skip
    for name in names + extra:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    read = photos.read_folder(tmp_path, CIFAR10)
    assert len(read.train[1]) == len(read.test[1]) == 10
    (tmp_path / "Thumbs.db").touch()
    with pytest.raises(UserError, match="holds no files"):
        read_image.list_files(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_loop_is_not_called_damaged(tmp_path):
    os.symlink(tmp_path / "a.png", tmp_path / "b.png")
    os.symlink(tmp_path / "b.png", tmp_path / "a.png")
    with pytest.raises(UserError, match=r"^a\.png is a link that leads back to itself\.$"):
        read_picture(tmp_path / "a.png")


def test_pillows_limit_comes_back_after_threads_that_decode():
    content = encoded(Image.new("RGB", (8, 8)), "png")
    before = Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: photos.decode(content, "x", 8), range(200)))
    assert before == Image.MAX_IMAGE_PIXELS and not pictures._inside
