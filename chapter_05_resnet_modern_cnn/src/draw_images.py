"""Draws the project's own pictures for inference.py and cam.py: the classes of natural_images.

Nobody else's pictures can be shipped with a course, so these are made by a program, with chapter
4's drawing kit (custom_pictures/drawing.py): outlines, soft light from above, plain backgrounds.
Airplane, car, cat and dog are chapter 4's; flower, fruit and motorbike are drawn here. There is no
person: a drawn face would say nothing about photographs of faces.

    python chapter_05_resnet_modern_cnn/src/draw_images.py                 writes to outputs/
    python chapter_05_resnet_modern_cnn/src/draw_images.py --publish       writes to images/
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from pathlib import Path

from chapter_04_cnn_classic.custom_pictures import animals, vehicles
from chapter_04_cnn_classic.custom_pictures.drawing import Canvas
from chapter_04_cnn_classic.draw_custom_imgs import Drawing, write_all
from utils import cli
from utils.run import Run

FOLDER = Path("images")  # in the chapter's folder
LEAF, STEM = (58, 122, 52), (74, 140, 62)


def flower() -> Canvas:
    """A pink blossom with two rings of petals before dark leaves, 400 x 400."""
    c = Canvas(400, 400, sky=((44, 74, 40), (24, 48, 26)))
    for x, y, angle in ((70, 330, -30), (330, 340, 25), (60, 90, 40), (340, 70, -35)):
        c.ellipse((x, y), (110, 38), (40, 86, 40), angle=angle)
    c.line([(204, 220), (214, 420)], 12, STEM)
    c.ellipse((268, 352), (70, 22), LEAF, angle=-28)
    for count, distance, radii, color, offset in (
        (9, 92, (66, 34), (206, 74, 132), 0.0),
        (7, 54, (46, 26), (228, 120, 168), 0.4),
    ):
        for k in range(count):
            turn = offset + 2 * math.pi * k / count
            place = (200 + distance * math.cos(turn), 190 + distance * math.sin(turn))
            c.ellipse(place, radii, color, angle=math.degrees(turn))
    c.ellipse((200, 190), (34, 34), (226, 178, 54))
    for k in range(14):
        turn = 2 * math.pi * k / 14
        dot = (200 + 22 * math.cos(turn), 190 + 22 * math.sin(turn))
        c.ellipse(dot, (4, 4), (168, 112, 30), flat=True)
    return c


def fruit() -> Canvas:
    """A red apple with a leaf on white, 360 x 360."""
    c = Canvas(360, 360, sky=((252, 252, 252), (244, 244, 242)))
    c.shadow((184, 312), (104, 12), 0.35)
    c.blob(
        [(180, 96), (226, 78), (282, 108), (300, 178), (276, 256), (226, 306), (182, 296),
         (138, 308), (86, 258), (62, 180), (80, 108), (134, 78)],
        (190, 34, 36),
    )  # fmt: skip
    c.ellipse((122, 148), (20, 42), (232, 120, 112), angle=18)
    c.ellipse((180, 98), (40, 11), (120, 22, 22), flat=True)
    c.line([(180, 104), (188, 52)], 9, (96, 66, 40))
    c.ellipse((228, 56), (44, 17), LEAF, angle=-22)
    c.line([(192, 66), (262, 44)], 2, (36, 84, 34), flat=True)
    return c


def motorbike() -> Canvas:
    """A motorbike from the side on white, 480 x 320."""
    c = Canvas(480, 320, sky=((250, 250, 250), (236, 236, 236)))
    c.shadow((240, 288), (190, 10), 0.4)
    black, metal, paint = (26, 26, 28), (168, 172, 178), (28, 62, 150)
    for x in (108, 372):
        c.ellipse((x, 222), (70, 70), black)
        c.ellipse((x, 222), (52, 52), (238, 238, 238), flat=True)
        for k in range(6):
            turn = math.pi * k / 6
            dx, dy = 52 * math.cos(turn), 52 * math.sin(turn)
            c.line([(x - dx, 222 - dy), (x + dx, 222 + dy)], 2, metal, flat=True)
        c.ellipse((x, 222), (14, 14), metal)
    c.line([(372, 222), (326, 108)], 10, metal)  # fork
    c.line([(108, 222), (230, 216)], 11, black)
    c.blob([(176, 190), (214, 166), (280, 168), (296, 214), (270, 248), (196, 248)], (92, 94, 98))
    for y in (182, 194, 206):
        c.line([(222, y), (278, y + 2)], 4, metal)
    c.limb([(204, 244), (140, 254), (62, 240)], [12, 14, 18], metal)  # exhaust
    c.blob([(214, 148), (240, 110), (304, 106), (330, 138), (296, 166), (232, 168)], paint)  # tank
    c.blob([(96, 140), (150, 126), (222, 140), (226, 160), (150, 164), (104, 156)], black)  # seat
    c.blob([(70, 150), (110, 138), (150, 158), (120, 176)], paint)
    c.line([(326, 108), (292, 86)], 8, black)  # handlebar
    c.line([(328, 112), (346, 90)], 6, metal)
    c.ellipse((352, 118), (18, 20), (236, 232, 204))
    c.limb([(306, 152), (372, 150), (424, 178)], [6, 16, 10], paint)  # front mudguard
    return c


DRAWINGS = (
    Drawing("airplane.png", vehicles.airplane, noise=0.0),
    Drawing("car.png", vehicles.automobile, noise=0.0),
    Drawing("cat.png", animals.cat, noise=0.0),
    Drawing("dog.jpg", animals.dog),
    Drawing("flower.jpg", flower),
    Drawing("fruit.png", fruit, noise=0.0),
    Drawing("motorbike.png", motorbike, noise=0.0),
)


def build_parser() -> argparse.ArgumentParser:
    return cli.make_parser(__doc__, ["python chapter_05_resnet_modern_cnn/src/draw_images.py"])


def experiment(args: argparse.Namespace, run: Run) -> None:
    folder = write_all(DRAWINGS, FOLDER, args, run)
    command = "python chapter_05_resnet_modern_cnn/src/inference.py"
    run.finish({"pictures": len(DRAWINGS)}, f"{command} --image_path {shlex.quote(str(folder))}")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv, uses_torch=False)


if __name__ == "__main__":
    sys.exit(main())
