"""One decoder for every picture file: those of the data sets and those that a user brings.

A network must see in use what it saw in training, so `utils.datasets.photos` and the chapters'
`inference.py` read their files here:

    picture = read_picture(Path("photo.jpg"))              # upright RGB, with notes about the file
    picture = read_picture(Path("photo.jpg"), side=256)    # decoded small: shorter side 256 to 511

What is done to a file, whatever its mode:

    turned        by its EXIF orientation: a camera held upright stores a picture that lies
    transparency  lies on white: alpha, a palette's alpha, or one colour that means "nothing here"
    16 bits       are scaled to 8; where no value needs more than 12 (or 8) of the 16, the
                  picture is one of 12 (or 8) bits in a larger box, and would be black otherwise
    floats        and 32-bit integers have no agreed white: from their lowest to their highest value
    many pages    the first one stands, also where a later one is damaged

Large files are read in a reduced form: the JPEG decoder leaves out the fine cosines of each 8x8
block (its "draft" mode), and the rest is averaged in blocks, so that a picture of 24 million pixels
takes a fraction of a second.
"""

from __future__ import annotations

import errno
import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from utils.errors import UserError

MAX_PIXELS = 200_000_000  # a decoded picture of this size takes 600 MB
WHITE = (255, 255, 255)
ORIENTATION_TAG = 0x0112  # EXIF: how the camera was held
TURNS = {  # value of the tag -> what brings the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
GREY_BITS = (8, 12, 16)  # what grey values in a box of 16 bits may be


class UnreadablePicture(UserError):
    """A file that gives no picture; the message says which and why."""


@dataclass
class Picture:
    """An upright RGB picture, its size in the file, and what had to be done to it."""

    path: Path
    image: Image.Image | None  # None once nobody will look at it
    size: tuple[int, int]  # width, height in the file (upright), in pixels
    notes: list[str] = field(default_factory=list)


def shown_name(path: Path | str) -> str:
    """The path as it can be printed: bytes that are no text become escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def read_picture(path: Path, side: int | None = None, content: bytes | None = None) -> Picture:
    """The picture in `path` (or in `content`, then `path` is only its name).

    `side`: a shorter side of at least so many px is enough, and much faster for large pictures.
    UnreadablePicture (a UserError) for anything that is no picture, damaged or too large.
    """
    name = shown_name(path.name)
    try:
        with _opened(path, content) as file, _own_size_limit():
            return _decode(path, file, side)
    except UserError:
        raise
    except Image.UnidentifiedImageError:
        raise UnreadablePicture(f"{name} is no picture that Pillow can read.") from None
    except PermissionError:
        raise UnreadablePicture(f"{name} cannot be opened: permission denied.") from None
    except MemoryError:
        raise UnreadablePicture(f"{name} does not fit in memory.") from None
    # On damaged bytes the decoders raise whatever their arithmetic leads to: OSError, SyntaxError,
    # ValueError, struct.error, IndexError ... No list of them would be complete.
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:100] or type(error).__name__
        raise UnreadablePicture(f"{name} is damaged and cannot be decoded ({reason}).") from None


def _opened(path: Path, content: bytes | None) -> Any:
    """The file, open for reading; UnreadablePicture says why it cannot be opened."""
    if content is not None:
        return io.BytesIO(content)
    name = shown_name(path.name)
    try:
        if path.is_dir():
            raise UnreadablePicture(f"{name} is a folder; read its pictures with --img_dir.")
        if path.exists() and not path.is_file():
            raise UnreadablePicture(f"{name} is no regular file.")
        return path.open("rb")
    except FileNotFoundError:
        raise UnreadablePicture(f"there is no file {shown_name(path)}.") from None
    except PermissionError:
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnreadablePicture(f"{name} is a link that leads back to itself.") from None
        raise UnreadablePicture(f"{name} cannot be opened: {error.strerror}.") from None


_limit_lock = threading.Lock()
_inside: list[Any] = []  # one entry for each thread that decodes now; the first holds what was set


@contextmanager
def _own_size_limit() -> Iterator[None]:
    """Pillow refuses by its own, lower limit; MAX_PIXELS is checked here before decoding.

    The data sets decode in several threads: the first one in switches Pillow's limit and its
    warnings (about odd metadata, which is not used) off, the last one out on again.
    """
    with _limit_lock:
        if not _inside:
            quiet = warnings.catch_warnings()
            quiet.__enter__()
            warnings.simplefilter("ignore")
            _inside.append((Image.MAX_IMAGE_PIXELS, quiet))
            Image.MAX_IMAGE_PIXELS = None
        _inside.append(None)
    try:
        yield
    finally:
        with _limit_lock:
            _inside.pop()
            if len(_inside) == 1:
                Image.MAX_IMAGE_PIXELS, quiet = _inside.pop()
                quiet.__exit__(None, None, None)


def _decode(path: Path, file: Any, side: int | None) -> Picture:
    """Load, shrink, flatten and turn; before that only the header is read."""
    image = Image.open(file)
    if image.format == "EPS":  # Pillow would start Ghostscript on it
        raise UnreadablePicture(
            f"{shown_name(path.name)} is PostScript, a program: convert it to PNG first."
        )
    width, height = size = image.size
    if width * height > MAX_PIXELS:
        millions = MAX_PIXELS // 10**6
        raise UnreadablePicture(
            f"{shown_name(path.name)} has {width} x {height} pixels, more than {millions} million."
        )
    notes = _notes(image)
    shorter = min(size)
    if side and shorter > 2 * side:  # JPEG only: other formats have no draft mode
        image.draft(None, (side * width // shorter, side * height // shorter))
    bits, clear = _bits(image), _clear_colour(image)
    image.load()
    orientation = _orientation(image)
    if image.mode.startswith(("I", "F")):
        image, note = _from_numbers(image, clear)
        notes.append(note)
    else:
        image = _eight_bits(image, clear)
        if bits == 16 and (scaled := _from_twelve(image)):
            image = scaled
            notes.append("colours of 12 bits in a larger box")
    if side and (factor := min(image.size) // side) > 1:
        image = image.reduce(factor)  # mean over factor x factor pixels
    image = _on_white(image)
    if orientation in TURNS:
        image = image.transpose(TURNS[orientation])
        notes.append("turned by its EXIF orientation")
        size = size[::-1] if orientation >= 5 else size
    return Picture(path, image, size, _pages(file) + notes)


def _pages(file: Any) -> list[str]:
    """A note where the file has more than one page or frame; a later one may be damaged."""
    if isinstance(file, io.BytesIO):  # of a data set, whose notes nobody reads
        return []
    file.seek(0)
    image = Image.open(file)  # anew: counting moves the other one's place in the file
    try:
        return [f"first of {image.n_frames} frames"] if getattr(image, "n_frames", 1) > 1 else []
    except Exception:
        return ["first of several frames, of which a later one is damaged"]


def _notes(image: Image.Image) -> list[str]:
    """What a reader should know about the file, from its header."""
    notes = []
    if image.mode in ("1", "L", "LA"):
        notes.append("greyscale")
    elif image.mode == "CMYK":
        notes.append("CMYK (print colours)")
    if _has_alpha(image):
        notes.append("transparent parts on white")
    return notes


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def _orientation(image: Image.Image) -> int:
    """The EXIF value 1 to 8; 1 (upright) where there is none or it cannot be read."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # damaged metadata beside a good picture
        return 1


def _bits(image: Image.Image) -> int:
    """Of one number in the file, 1 to 16; known before the pixels are loaded."""
    raw = image.tile[0][3] if getattr(image, "tile", None) else ""
    raw = raw if isinstance(raw, str) else str(raw[:1])  # TIFF's libraries get a tuple
    found = re.search(r";([124]\b|16[BLN])", raw)
    return int(found[1].rstrip("BLN")) if found else 8


def _clear_colour(image: Image.Image) -> Any:
    """The one colour that stands for "transparent", as the decoded pixels will show it; or None.

    A PNG names it in the file's own depth (1 to 16 bits), while Pillow decodes to 8.
    """
    value = image.info.get("transparency")
    if value is None or image.mode not in ("L", "RGB"):
        return value
    bits = _bits(image)

    def eight(number: int) -> int:
        return number >> 8 if bits == 16 else (number & (2**bits - 1)) * 255 // (2**bits - 1)

    return tuple(map(eight, value)) if isinstance(value, tuple) else eight(value)


def _from_numbers(image: Image.Image, clear: int | None) -> tuple[Image.Image, str]:
    """A picture of 16- or 32-bit integers or of floats -> L or LA, and a note on the scale."""
    values = np.asarray(image)  # (H, W)
    values = values.astype(np.uint16 if image.mode.startswith("I;16") else np.float64)
    seen = np.ones(values.shape, bool) if clear is None else values != clear
    known = values[seen & np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    bits = next((bits for bits in GREY_BITS if high < 2**bits), None)
    if image.mode.startswith("I") and low >= 0 and bits:
        low, high = 0.0, 2.0**bits - 1
        note = f"greyscale of {bits} bits" + " in a larger box" * (bits < 16)
    else:
        note = f"greyscale from {low:g} (black) to {high:g} (white)"
    values = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    scaled = (values - low) * (255 / max(high - low, 1e-12))
    grey = Image.fromarray(scaled.round().clip(0, 255).astype(np.uint8))
    if clear is not None:
        grey.putalpha(Image.fromarray(np.where(seen, 255, 0).astype(np.uint8)))
    return grey, note


def _eight_bits(image: Image.Image, clear: Any) -> Image.Image:
    """Any mode of 8-bit numbers -> one that can be averaged: L, RGB or RGBA."""
    if image.mode == "LAB":
        return _from_lab(image)
    if image.mode == "La":  # grey times alpha
        image = image.convert("LA")
    if _has_alpha(image):
        if clear is not None:
            image.info["transparency"] = clear
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _from_twelve(image: Image.Image) -> Image.Image | None:
    """Colours that use 12 of their 16 bits (Pillow has kept 4); None where they use more."""
    colours = image.convert("RGB").getextrema()
    if not 0 < max(high for _, high in colours) < 16:
        return None
    scale, keep = [min(17 * value, 255) for value in range(256)], list(range(256))
    return image.point([v for band in image.getbands() for v in (keep if band == "A" else scale)])


def _from_lab(image: Image.Image) -> Image.Image:
    """CIE L*a*b* -> sRGB, which `convert` does not know."""
    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(image, *profiles, outputMode="RGB")


def _on_white(image: Image.Image) -> Image.Image:
    """RGB; what is transparent shows white paper behind it."""
    if image.mode not in ("LA", "RGBA"):
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, (*WHITE, 255))
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
