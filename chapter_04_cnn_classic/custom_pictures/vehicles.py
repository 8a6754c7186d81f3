"""Four vehicles for draw_custom_imgs.py: airplane, automobile, ship, truck, seen from the side."""

from __future__ import annotations

from chapter_04_cnn_classic.custom_pictures.drawing import Canvas, Color

BLACK, GLASS, RUBBER, METAL = (22, 22, 24), (70, 95, 115), (30, 30, 32), (170, 174, 178)


def airplane() -> Canvas:
    """An airliner in the sky, 640 x 480."""
    c = Canvas(640, 480, sky=((62, 122, 200), (178, 208, 236)), zoom=0.88)
    c.cloud((130, 390), 70)
    c.cloud((520, 90), 55)
    body, wing = (226, 230, 235), (178, 186, 196)
    c.polygon([(352, 232), (262, 132), (300, 128), (430, 226)], (150, 158, 170))  # far wing
    c.polygon([(112, 222), (62, 122), (108, 122), (178, 214)], (40, 84, 160))  # tail fin
    c.polygon([(120, 236), (70, 204), (96, 200), (170, 230)], wing)
    c.blob(
        [(84, 226), (150, 212), (300, 204), (450, 206), (530, 220), (566, 246), (532, 266),
         (440, 276), (280, 276), (160, 260)],
        body,
    )  # fmt: skip
    c.polygon(
        [(120, 236), (160, 262), (330, 274), (470, 274), (420, 280), (250, 284)], (52, 92, 160)
    )
    for x in range(190, 500, 18):
        c.ellipse((x, 232), (4, 5), GLASS, flat=True)
    c.polygon([(518, 226), (544, 232), (540, 240), (516, 238)], BLACK, flat=True)
    c.polygon([(318, 256), (214, 372), (262, 372), (420, 258)], wing)  # near wing
    for x, y in ((318, 312), (272, 350)):
        c.ellipse((x + 26, y), (32, 13), METAL)
        c.ellipse((x + 54, y), (6, 11), BLACK, flat=True)
    c.polygon([(128, 238), (66, 276), (98, 280), (186, 246)], wing)
    return c


def automobile() -> Canvas:
    """A red car on a road, 480 x 360."""
    c = Canvas(480, 360, sky=((96, 150, 214), (205, 224, 240)), zoom=0.86)
    c.band(190, 232, (92, 128, 74), (110, 148, 84))
    c.band(232, 360, (112, 112, 114), (146, 146, 148))
    for x in (-160, 20, 200, 380, 560):
        c.polygon(
            [(x, 330), (x + 90, 330), (x + 84, 338), (x - 8, 338)], (232, 232, 226), flat=True
        )
    c.shadow((240, 290), (200, 16), 0.6)
    red = (196, 34, 36)
    c.blob(
        [(44, 250), (52, 214), (104, 196), (150, 186), (196, 142), (252, 132), (312, 140),
         (360, 184), (424, 196), (444, 226), (440, 268), (380, 276), (240, 278), (90, 276)],
        red,
    )  # fmt: skip
    c.polygon([(164, 188), (204, 150), (246, 146), (246, 190)], GLASS)
    c.polygon([(256, 190), (256, 146), (304, 150), (342, 188)], GLASS)
    c.line([(250, 196), (250, 262)], 2, (120, 18, 20), flat=True)
    c.line([(60, 234), (436, 234)], 2, (140, 22, 24), flat=True)
    c.line([(264, 208), (282, 208)], 4, METAL)
    c.ellipse((430, 218), (13, 9), (250, 244, 210), flat=True)
    c.ellipse((56, 222), (8, 9), (250, 120, 60), flat=True)
    c.polygon([(420, 256), (448, 252), (448, 264), (420, 268)], METAL)
    for x in (126, 362):
        wheel(c, x, 270, 37)
    return c


def wheel(c: Canvas, x: float, y: float, radius: float, rim: Color = METAL) -> None:
    """A tyre with a bright rim and five spokes' worth of dark gaps."""
    c.ellipse((x, y), (radius, radius), RUBBER)
    c.ellipse((x, y), (0.62 * radius, 0.62 * radius), rim)
    for dx, dy in ((0, -0.36), (0.34, -0.11), (0.21, 0.29), (-0.21, 0.29), (-0.34, -0.11)):
        hole = (x + dx * radius, y + dy * radius)
        c.ellipse(hole, (0.11 * radius, 0.11 * radius), (70, 72, 76), flat=True)


def ship() -> Canvas:
    """A cargo ship at sea, 640 x 427."""
    c = Canvas(640, 427, sky=((130, 172, 216), (222, 232, 240)), zoom=0.74)
    c.cloud((470, 80), 60)
    c.band(262, 427, (66, 112, 150), (26, 62, 104))
    c.shadow((320, 318), (270, 16), 0.5)
    colors = [(186, 62, 44), (46, 98, 152), (200, 150, 50), (70, 130, 84), (160, 160, 164)]
    for row in range(3):
        for place in range(8 - row):
            x, y = 232 + place * 38, 218 - row * 24
            box = [(x, y), (x + 36, y), (x + 36, y + 23), (x, y + 23)]
            c.polygon(box, colors[(place * 2 + row * 3) % len(colors)])
    white = (232, 234, 236)
    c.polygon([(96, 244), (96, 178), (200, 178), (200, 244)], white)
    c.polygon([(108, 180), (108, 138), (190, 138), (190, 180)], white)
    c.polygon([(130, 140), (130, 92), (164, 92), (164, 140)], (196, 52, 40))
    c.polygon([(130, 102), (164, 102), (164, 112), (130, 112)], white, flat=True)
    c.line([(180, 140), (180, 84)], 3, METAL)
    for x in range(114, 184, 14):
        c.polygon([(x, 148), (x + 9, 148), (x + 9, 158), (x, 158)], GLASS, flat=True)
    for x in range(104, 194, 15):
        c.ellipse((x, 204), (4, 4), GLASS, flat=True)
    c.polygon([(60, 236), (560, 240), (604, 222), (556, 322), (86, 322)], (44, 52, 66))
    c.polygon([(81, 300), (566, 300), (556, 322), (86, 322)], (150, 42, 36))
    c.line([(64, 244), (584, 244)], 4, white, flat=True)
    c.polygon([(76, 318), (572, 318), (640, 334), (20, 334)], (196, 214, 226), flat=True)  # foam
    for x, y in (
        (-30, 420),
        (60, 370),
        (200, 352),
        (350, 388),
        (480, 360),
        (580, 400),
        (680, 350),
        (120, 440),
    ):
        c.line([(x, y), (x + 46, y)], 2, (120, 158, 188), flat=True)
    return c


def truck() -> Canvas:
    """A lorry with a box body, 600 x 400."""
    c = Canvas(600, 400, sky=((150, 186, 222), (226, 234, 240)), zoom=0.72)
    c.band(240, 272, (122, 138, 92), (136, 152, 100))
    c.band(272, 400, (104, 104, 108), (140, 140, 144))
    c.shadow((300, 338), (262, 16), 0.6)
    c.polygon([(40, 300), (560, 300), (560, 318), (40, 318)], (52, 54, 58))
    c.polygon([(40, 92), (390, 92), (390, 300), (40, 300)], (224, 226, 226))
    for x in range(74, 390, 34):
        c.line([(x, 98), (x, 294)], 1.5, (176, 178, 180), flat=True)
    c.polygon([(40, 258), (390, 258), (390, 276), (40, 276)], (38, 92, 156), flat=True)
    blue = (34, 86, 158)
    c.blob(
        [(402, 152), (470, 146), (516, 156), (540, 218), (566, 236), (568, 296), (540, 308),
         (470, 310), (404, 308)],
        blue,
    )  # fmt: skip
    c.polygon([(456, 166), (506, 168), (530, 222), (456, 222)], GLASS)
    c.line([(448, 226), (448, 304)], 2, (18, 50, 100), flat=True)
    c.line([(460, 240), (478, 240)], 4, METAL)
    c.ellipse((558, 262), (8, 12), (250, 244, 214), flat=True)
    c.polygon([(536, 294), (574, 294), (574, 314), (536, 314)], METAL)
    for x in (110, 196, 490):
        wheel(c, x, 316, 38)
    return c
