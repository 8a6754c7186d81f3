"""Reading any picture safely, and bringing it to what a network expects.

What you learn: that "load an image" hides a dozen decisions (transparency, palettes, 16 bits, CMYK,
a camera held upright, a file that is no picture), and that the way a picture is made square decides
what the network can see at all.

    picture = read_picture(Path("photo.jpg"), side=256)      # upright RGB, shorter side 256 to 511
    seen = fit_square(picture.image, 32, "crop")             # 32 x 32, what the network gets

The file itself is decoded by utils/pictures.py, which says what is done to it. Training pictures go
through the same decoder: a network must see in use what it saw in training.

Antialiasing: a photo of 4,000 px shrunk to 32 px by taking every 125th pixel would be noise. Here
each new pixel is a weighted mean over all old ones that it covers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from utils.errors import UserError
from utils.file_io_util import is_hidden
from utils.pictures import (
    MAX_PIXELS,
    ORIENTATION_TAG,
    TURNS,
    WHITE,
    Picture,
    UnreadablePicture,
    read_picture,
    shown_name,
)

__all__ = [
    "FITS",
    "MAX_PIXELS",
    "ORIENTATION_TAG",
    "TURNS",
    "WHITE",
    "Picture",
    "UnreadablePicture",
    "fit_square",
    "list_files",
    "read_picture",
    "shown_name",
    "to_pixels",
]

FITS = ("crop", "pad", "stretch")


def list_files(folder: Path) -> list[Path]:
    """The files of a folder by name; not those of its subfolders, and no hidden ones.

    UserError where the folder is missing, unreadable or has no files.
    """
    try:
        entries = sorted(folder.iterdir())
        files = [path for path in entries if not path.is_dir() and not is_hidden(path.name)]
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
