"""Reading any picture safely, and bringing it to what a network expects.

What you learn: that "load an image" hides a dozen decisions (transparency, palettes, 16 bits, CMYK,
a camera held upright, a file that is no picture), and that the way a picture is made square decides
what the network can see at all.

    picture = read_picture(Path("photo.jpg"), side=256)      # upright RGB, shorter side 256 to 511
    seen = fit_square(picture.image, 32, "crop")             # 32 x 32, what the network gets

Antialiasing: a photo of 4,000 px shrunk to 32 px by taking every 125th pixel would be noise. Here
each new pixel is a weighted mean over all old ones that it covers. Large files are read in a
reduced form: the JPEG decoder leaves out the fine cosines of each 8x8 block (its "draft" mode), and
the rest is averaged in blocks, so that a picture of 24 million pixels takes a fraction of a second.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

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
FITS = ("crop", "pad", "stretch")


class UnreadablePicture(UserError):
    """A file that gives no picture; the message says which and why."""


@dataclass
class Picture:
    """An upright RGB picture, its size in the file, and what had to be done to it."""

    path: Path
    image: Image.Image | None  # None once nobody will look at it
    size: tuple[int, int]  # width, height in the file (upright), in pixels
    notes: list[str] = field(default_factory=list)


def list_files(folder: Path) -> list[Path]:
    """The files of a folder by name; not those of its subfolders, and no hidden ones.

    UserError where the folder is missing, unreadable or has no files.
    """
    try:
        entries = sorted(folder.iterdir())
        files = [path for path in entries if not path.is_dir() and not path.name.startswith(".")]
    except FileNotFoundError:
        raise UserError(f"there is no folder {shown_name(folder)}.") from None
    except NotADirectoryError:
        raise UserError(
            f"{shown_name(folder)} is a file, no folder; read it with --img_path."
        ) from None
    except OSError as error:
        raise UserError(f"cannot list the folder {shown_name(folder)}: {error.strerror}.") from None
    if not files:
        hint = " (subfolders are not searched)" if entries else ""
        raise UserError(f"the folder {shown_name(folder)} holds no files{hint}.")
    return files


def shown_name(path: Path | str) -> str:
    """The path as it can be printed: bytes that are no text become escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def read_picture(path: Path, side: int) -> Picture:
    """The picture in `path`, decoded with a shorter side of at least `side` px where it has that.

    Transparent parts lie on white, the first frame stands for an animation, EXIF turns are done.
    UnreadablePicture (a UserError) for anything that is no picture, damaged or too large.
    """
    name = shown_name(path.name)
    try:
        if path.is_dir():
            raise UnreadablePicture(f"{name} is a folder; read its pictures with --img_dir.")
        if path.exists() and not path.is_file():
            raise UnreadablePicture(f"{name} is no regular file.")
        with path.open("rb") as file, _own_size_limit():
            return _decode(path, Image.open(file), side)
    except UserError:
        raise
    except FileNotFoundError:
        raise UnreadablePicture(f"there is no file {shown_name(path)}.") from None
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


@contextmanager
def _own_size_limit() -> Iterator[None]:
    """Pillow refuses by its own, lower limit; MAX_PIXELS is checked here before decoding."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():  # about odd metadata, which is not used
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _decode(path: Path, image: Image.Image, side: int) -> Picture:
    """Load, shrink, flatten and turn; only the header has been read so far."""
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
    if shorter > 2 * side:  # JPEG only: other formats have no draft mode
        image.draft(None, (side * width // shorter, side * height // shorter))
    image.load()
    orientation = _orientation(image)
    image = _eight_bits(image)
    factor = min(image.size) // side
    if factor > 1:
        image = image.reduce(factor)  # mean over factor x factor pixels
    image = _on_white(image)
    if orientation in TURNS:
        image = image.transpose(TURNS[orientation])
        notes.append("turned by its EXIF orientation")
        size = size[::-1] if orientation >= 5 else size
    return Picture(path, image, size, notes)


def _notes(image: Image.Image) -> list[str]:
    """What a reader should know about the file, from its header."""
    notes = []
    if getattr(image, "is_animated", False):
        notes.append(f"first of {image.n_frames} frames")
    if image.mode in ("1", "L", "LA"):
        notes.append("greyscale")
    elif image.mode.startswith(("I", "F")):
        notes.append("greyscale with more than 8 bits")
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


def _eight_bits(image: Image.Image) -> Image.Image:
    """Any mode -> one whose numbers are 0 to 255 and can be averaged: L, RGB or RGBA.

    16-bit integers lose their low byte. Floats and 32-bit integers have no agreed white: unless
    they fit into 8 or 16 bits their lowest value becomes black and their highest white.
    """
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)  # (H, W)
        if image.mode.startswith("I;16"):
            return Image.fromarray((values.astype(np.uint16) >> 8).astype(np.uint8))
        values = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
        low, high = float(values.min()), float(values.max())
        if image.mode == "I" and low >= 0 and high <= 65535:
            low, high = 0.0, (255.0 if high <= 255 else 65535.0)
        scaled = (values - low) * (255 / max(high - low, 1e-12))
        return Image.fromarray(scaled.round().clip(0, 255).astype(np.uint8))
    if _has_alpha(image):
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    """RGB; what is transparent shows white paper behind it."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, (*WHITE, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def fit_square(
    image: Image.Image, size: int, how: str = "crop", border: tuple[int, int, int] = WHITE
) -> Image.Image:
    """The picture as a square of `size` px, antialiased.

    - crop: the largest square in the middle. Nothing is distorted, the ends are lost.
    - pad: the whole picture, with `border` colour above and below or left and right.
    - stretch: the whole picture, distorted.
    """
    width, height = image.size
    if how == "stretch":
        return image.resize((size, size), Image.Resampling.BICUBIC)
    if how == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        # Cut first: with resize's own `box`, the filter reads a little beyond the box.
        square = image.crop((left, top, left + side, top + side))
        return square.resize((size, size), Image.Resampling.BICUBIC)
    if how == "pad":
        scale = size / max(width, height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        square = Image.new("RGB", (size, size), border)
        place = ((size - inner[0]) // 2, (size - inner[1]) // 2)
        square.paste(image.resize(inner, Image.Resampling.BICUBIC), place)
        return square
    raise ValueError(f"how must be one of {', '.join(FITS)}, not {how!r}")


def to_pixels(image: Image.Image, channels: int) -> np.ndarray:
    """(channels, H, W) uint8 of an RGB picture; one channel is the luminance.

    Y = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601): the eye is most sensitive to green.
    """
    if channels == 1:
        return np.asarray(image.convert("L"))[None]  # (1, H, W)
    return np.asarray(image).transpose(2, 0, 1)  # (H, W, 3) -> (3, H, W)
