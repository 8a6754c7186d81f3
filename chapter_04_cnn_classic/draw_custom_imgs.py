"""Draws the project's own pictures for inference.py: one for each class of CIFAR-10.

What you learn: how far a drawing is from a photo for a network, though not for you. Nobody else's
pictures can be shipped with a course, so these ten are made by a program: outlines, soft light from
above, plain backgrounds, a little blur and noise (see custom_pictures/drawing.py). They differ in
size, shape and file format on purpose: what reads these reads your own photos.

    python chapter_04_cnn_classic/draw_custom_imgs.py                  writes to outputs/, 2 seconds
    python chapter_04_cnn_classic/draw_custom_imgs.py --publish        writes to data/custom_imgs/

Among them: a greyscale JPEG (horse), a PNG with transparency (frog), a WebP (truck), upright and
wide formats, 300 x 240 to 640 x 480 px, each below 60 kB.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from chapter_04_cnn_classic.custom_pictures import animals, vehicles
from chapter_04_cnn_classic.custom_pictures.drawing import Canvas
from utils import cli
from utils.file_io_util import atomic_write, human_bytes
from utils.run import Run

FOLDER = Path("data") / "custom_imgs"  # in the chapter's folder
QUALITY = 85  # of the JPEGs


@dataclass(frozen=True)
class Drawing:
    """A picture to draw; `mode` is Pillow's: RGB, L (greyscale) or RGBA (with transparency)."""

    file: str
    draw: Callable[[], Canvas]
    mode: str = "RGB"
    noise: float = 3.0  # grey levels


DRAWINGS = (
    Drawing("airplane.jpg", vehicles.airplane),
    Drawing("automobile.png", vehicles.automobile, noise=0.0),
    Drawing("bird.jpg", animals.bird),
    Drawing("cat.png", animals.cat, noise=0.0),
    Drawing("deer.jpg", animals.deer),
    Drawing("dog.jpg", animals.dog),
    Drawing("frog.png", animals.frog, mode="RGBA", noise=0.0),
    Drawing("horse.jpg", animals.horse, mode="L"),
    Drawing("ship.jpg", vehicles.ship),
    Drawing("truck.webp", vehicles.truck),
)


def render(drawing: Drawing, seed: int) -> Image.Image:
    """The finished picture; the same `seed` gives the same noise."""
    image = drawing.draw().finish(seed, drawing.noise, alpha=drawing.mode == "RGBA")
    return image.convert(drawing.mode)


def encode(image: Image.Image, suffix: str) -> bytes:
    """The file's bytes in the format of `suffix`."""
    buffer = BytesIO()
    if suffix == ".png":
        # 256 colours are enough for a drawing without noise, and a third of the bytes.
        small = image if image.mode == "RGBA" else image.quantize(256, dither=Image.Dither.NONE)
        small.save(buffer, "png", optimize=True)
    else:
        image.save(buffer, {".jpg": "jpeg", ".webp": "webp"}[suffix], quality=QUALITY)
    return buffer.getvalue()


def build_parser() -> argparse.ArgumentParser:
    return cli.make_parser(__doc__, ["python chapter_04_cnn_classic/draw_custom_imgs.py"])


def experiment(args: argparse.Namespace, run: Run) -> None:
    folder = write_all(DRAWINGS, FOLDER, args, run)
    run.finish(
        {"pictures": len(DRAWINGS)},
        f"python chapter_04_cnn_classic/inference.py --img_dir {shlex.quote(str(folder))}",
    )


def write_all(
    drawings: Sequence[Drawing], folder: Path, args: argparse.Namespace, run: Run
) -> Path:
    """Files in the run's folder and, to publish, in this one of the chapter's; returns the last."""
    folders = [run.folder] + ([run.chapter_folder / folder] if args.publish else [])
    for number, drawing in enumerate(drawings):
        image = render(drawing, seed=args.seed + number)
        content = encode(image, Path(drawing.file).suffix)
        for target in folders:
            with atomic_write(target / drawing.file, binary=True) as file:
                file.write(content)
        run.files.append(drawing.file)
        width, height = image.size
        print(f"{drawing.file}: {width} x {height} px, {image.mode}, {human_bytes(len(content))}")
    return folders[-1]


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv, uses_torch=False)


if __name__ == "__main__":
    sys.exit(main())
