"""Six animals for draw_custom_imgs.py: bird, cat, deer, dog, frog, horse."""

from __future__ import annotations

from chapter_04_cnn_classic.custom_pictures.drawing import Canvas, Color

BLACK, WHITE = (20, 18, 18), (246, 246, 244)
GRASS = ((112, 150, 70), (74, 112, 46))


def eye(c: Canvas, x: float, y: float, radius: float, iris: Color) -> None:
    """Iris, pupil and a point of light."""
    c.ellipse((x, y), (radius, radius), iris, flat=True)
    c.ellipse((x, y), (0.55 * radius, 0.62 * radius), BLACK, flat=True)
    c.ellipse((x - 0.3 * radius, y - 0.35 * radius), (0.2 * radius, 0.2 * radius), WHITE, flat=True)


def bird() -> Canvas:
    """A robin on a branch, 320 x 320."""
    c = Canvas(320, 320, sky=((168, 200, 226), (216, 228, 222)))
    c.line([(0, 262), (120, 252), (320, 268)], 15, (92, 68, 48))
    brown, dark = (122, 96, 72), (92, 72, 54)
    c.polygon([(96, 206), (20, 262), (34, 274), (124, 226)], dark)  # tail
    c.blob(
        [(86, 214), (106, 166), (150, 122), (176, 84), (216, 70), (248, 92), (250, 128),
         (236, 170), (214, 216), (166, 242), (116, 238)],
        brown,
    )  # fmt: skip
    c.blob([(196, 106), (242, 100), (250, 132), (238, 170), (214, 200), (184, 176), (184, 136)],
           (206, 96, 42))  # fmt: skip
    c.blob([(160, 222), (190, 190), (216, 196), (206, 222), (176, 240)], (226, 218, 204))
    c.blob([(92, 208), (118, 168), (164, 148), (182, 172), (160, 208), (116, 226)], dark)  # wing
    for k in range(3):
        c.line(
            [(104 + 10 * k, 212 - 4 * k), (158 + 6 * k, 184 - 6 * k)], 2, (62, 48, 36), flat=True
        )
    c.polygon([(246, 98), (280, 110), (246, 118)], (74, 64, 52))
    eye(c, 222, 98, 7, (40, 26, 20))
    for x in (158, 182):
        c.line([(x, 236), (x + 4, 258)], 4, (110, 74, 50))
        c.line([(x - 6, 258), (x + 16, 258)], 4, (110, 74, 50))
    return c


def cat() -> Canvas:
    """A grey tabby sitting on a floor, 400 x 400."""
    c = Canvas(400, 400, sky=((206, 190, 168), (224, 210, 190)))
    c.band(306, 400, (150, 112, 78), (124, 90, 62))
    c.shadow((204, 366), (116, 15), 0.5)
    fur, stripe, pale = (132, 124, 116), (84, 76, 70), (206, 198, 188)
    c.limb([(270, 346), (338, 344), (360, 300), (344, 262)], [26, 24, 22, 16], fur)
    c.blob([(148, 196), (206, 184), (258, 200), (292, 280), (296, 350), (250, 368), (150, 368),
            (112, 346), (122, 268)], fur)  # fmt: skip
    for k in range(4):
        c.line([(258 + 6 * k, 226 + 28 * k), (288 + 2 * k, 236 + 28 * k)], 7, stripe)
    c.blob([(164, 214), (202, 204), (236, 216), (232, 290), (202, 312), (170, 288)], pale)
    for x in (170, 222):
        c.limb([(x, 250), (x, 320), (x - 4, 358)], [34, 30, 36], fur)
        c.ellipse((x - 4, 362), (22, 11), pale)
    for side in (-1, 1):
        tip = 196 + side * 66
        c.polygon([(tip, 42), (196 + side * 78, 122), (196 + side * 18, 88)], fur)
        inner = [(tip - 2 * side, 60), (196 + side * 68, 112), (196 + side * 34, 94)]
        c.polygon(inner, (196, 146, 138))
    c.ellipse((196, 140), (82, 68), fur)
    for x, y in ((-18, 84), (0, 80), (18, 84)):
        c.line([(196 + x, y), (196 + 0.7 * x, y + 26)], 7, stripe)
    for side in (-1, 1):
        c.line([(196 + side * 78, 138), (196 + side * 54, 142)], 6, stripe)
        c.line([(196 + side * 74, 156), (196 + side * 52, 154)], 6, stripe)
        eye(c, 196 + side * 33, 132, 15, (170, 178, 70))
        c.ellipse((196 + side * 17, 172), (23, 18), pale)
    c.polygon([(186, 154), (206, 154), (196, 165)], (190, 110, 106))
    c.line([(196, 165), (196, 176)], 2, BLACK, flat=True)
    for side in (-1, 1):
        for k in (-1, 0, 1):
            whisker = [(196 + side * 26, 172 + 4 * k), (196 + side * 92, 168 + 12 * k)]
            c.line(whisker, 1.2, WHITE, flat=True)
    return c


def deer() -> Canvas:
    """A stag on a meadow before a wood, 360 x 480."""
    c = Canvas(360, 480, sky=((58, 84, 50), (84, 110, 62)), zoom=0.88)
    for x, width in ((-12, 16), (24, 9), (62, 14), (118, 8), (160, 15), (222, 9), (352, 17)):
        c.line([(x, -40), (x + 3, 330)], width, (50, 48, 38), flat=True)
    c.band(318, 480, *GRASS)
    c.shadow((176, 440), (120, 12), 0.5)
    coat, dark = (156, 104, 62), (116, 76, 46)
    for x, foot in ((104, 90), (228, 236)):
        c.limb([(x, 300), (foot, 370), (foot + 4, 432)], [34, 15, 11], dark)
    c.blob([(60, 262), (92, 232), (170, 236), (236, 220), (268, 246), (262, 292), (214, 318),
            (130, 316), (74, 312)], coat)  # fmt: skip
    c.limb([(244, 268), (272, 214), (282, 164)], [78, 48, 38], coat)
    for x, foot in ((88, 78), (246, 256)):
        c.limb([(x, 296), (foot, 372), (foot + 2, 440)], [44, 17, 12], coat)
        c.ellipse((foot + 4, 442), (9, 6), BLACK)
    c.ellipse((60, 274), (12, 18), (236, 228, 214))
    c.blob([(130, 308), (190, 304), (214, 314), (160, 322)], (206, 180, 148))
    c.blob([(258, 168), (264, 136), (292, 126), (316, 146), (340, 172), (334, 186), (300, 184),
            (274, 188)], coat)  # fmt: skip
    c.ellipse((337, 177), (8, 8), BLACK)
    c.ellipse((250, 136), (22, 9), coat, angle=20)
    eye(c, 300, 150, 6, (40, 24, 16))
    antler = (196, 170, 130)
    c.limb([(280, 130), (262, 86), (284, 36)], [11, 9, 5], antler)
    c.limb([(266, 92), (232, 70), (226, 40)], [8, 6, 4], antler)
    c.limb([(292, 128), (312, 88), (330, 34)], [11, 9, 5], antler)
    c.limb([(310, 92), (340, 74), (348, 48)], [8, 6, 4], antler)
    c.limb([(268, 70), (252, 48)], [7, 4], antler)
    return c


def dog() -> Canvas:
    """A brown and white dog's head and chest on grass, 500 x 375."""
    c = Canvas(500, 375, sky=((150, 184, 134), (118, 158, 84)))
    c.band(250, 375, *GRASS)
    coat, dark, pale = (170, 112, 62), (104, 64, 36), (238, 230, 218)
    c.blob([(158, 372), (166, 290), (206, 238), (300, 238), (344, 296), (352, 372)], coat)
    c.blob([(206, 372), (214, 292), (252, 250), (292, 292), (300, 372)], pale)
    c.polygon([(196, 252), (306, 252), (300, 270), (202, 270)], (176, 36, 40))  # collar
    c.blob([(170, 90), (208, 52), (252, 44), (296, 52), (334, 90), (338, 150), (306, 212),
            (252, 250), (198, 212), (166, 150)], coat)  # fmt: skip
    c.blob([(238, 52), (266, 52), (272, 130), (298, 176), (288, 226), (252, 246), (216, 226),
            (206, 176), (232, 130)], pale)  # fmt: skip
    for side in (-1, 1):
        ear = [(62, 58), (96, 60), (122, 106), (124, 170), (104, 206), (84, 176), (78, 116)]
        c.blob([(252 + side * x, y) for x, y in ear], dark)
        eye(c, 252 + side * 42, 126, 13, (96, 56, 26))
    c.blob([(226, 172), (252, 164), (278, 172), (270, 194), (252, 204), (234, 194)], BLACK)
    c.line([(252, 202), (252, 216), (232, 226)], 3, BLACK, flat=True)
    c.line([(252, 216), (272, 226)], 3, BLACK, flat=True)
    c.blob([(238, 224), (266, 224), (264, 258), (252, 270), (240, 258)], (222, 112, 118))
    c.ellipse((242, 172), (6, 3), (120, 116, 116), flat=True)
    return c


def frog() -> Canvas:
    """A green frog, sitting; for a transparent background, 300 x 240."""
    c = Canvas(300, 240, sky=(WHITE, WHITE))
    skin, dark, belly = (98, 150, 46), (62, 106, 30), (214, 216, 150)
    for side in (-1, 1):
        thigh = ((44, 150), (92, 124), (126, 150), (122, 196), (76, 212), (46, 200))
        foot = ((70, 198), (112, 196), (142, 214), (120, 224), (72, 220))
        c.blob([(150 + side * x, y) for x, y in thigh], skin)
        c.blob([(150 + side * x, y) for x, y in foot], dark)
    c.blob([(80, 120), (108, 82), (150, 70), (192, 82), (220, 120), (212, 186), (150, 216),
            (88, 186)], skin)  # fmt: skip
    c.blob([(98, 142), (150, 136), (202, 142), (196, 186), (150, 208), (104, 186)], belly)
    for side in (-1, 1):
        c.limb([(150 + side * 54, 156), (150 + side * 58, 194), (150 + side * 44, 222)],
               [26, 20, 16], skin)  # fmt: skip
        for dx in (-14, 0, 14):
            toe = [(150 + side * 44, 220), (150 + side * 44 + dx, 230)]
            c.line(toe, 7, skin)
        c.ellipse((150 + side * 44, 74), (27, 26), skin)
        eye(c, 150 + side * 46, 72, 17, (222, 190, 60))
    c.line([(92, 122), (120, 134), (150, 138), (180, 134), (208, 122)], 3, (48, 78, 24), flat=True)
    for side in (-1, 1):
        c.ellipse((150 + side * 10, 104), (3, 2), (48, 78, 24), flat=True)
        c.ellipse((150 + side * 92, 150), (12, 9), dark, flat=True)
        c.ellipse((150 + side * 100, 178), (9, 7), dark, flat=True)
    c.ellipse((150, 88), (9, 6), dark, flat=True)
    return c


def horse() -> Canvas:
    """A standing horse on a pasture, 480 x 400."""
    c = Canvas(480, 400, sky=((168, 196, 220), (222, 228, 224)))
    c.band(250, 400, *GRASS)
    c.shadow((226, 368), (150, 12), 0.5)
    coat, dark = (122, 72, 42), (60, 36, 24)
    c.limb([(92, 168), (62, 210), (60, 286)], [20, 30, 12], dark)  # tail
    for x, knee, foot in ((138, 150, 138), (300, 318, 312)):
        c.limb([(x, 230), (knee, 294), (foot, 356)], [42, 18, 13], dark)
    c.blob([(88, 180), (106, 148), (160, 146), (232, 158), (300, 140), (340, 176), (334, 226),
            (284, 254), (210, 252), (146, 246), (98, 236)], coat)  # fmt: skip
    c.limb([(312, 190), (344, 132), (366, 88)], [96, 66, 46], coat)
    c.blob([(346, 78), (366, 54), (392, 62), (424, 104), (438, 130), (426, 144), (402, 138),
            (374, 116), (352, 108)], coat)  # fmt: skip
    c.polygon([(362, 64), (360, 34), (380, 58)], coat)
    c.blob([(352, 50), (370, 52), (350, 88), (322, 134), (288, 160), (282, 146), (310, 104)], dark)
    c.blob([(366, 50), (384, 60), (386, 82), (374, 74)], dark)
    for x, knee, foot in ((114, 106, 112), (322, 322, 326)):
        c.limb([(x, 224), (knee, 296), (foot, 360)], [56, 21, 15], coat)
        c.limb([(foot, 350), (foot + 2, 366)], [17, 20], BLACK)
    for foot in (138, 312):
        c.limb([(foot, 348), (foot + 2, 362)], [15, 18], BLACK)
    eye(c, 388, 84, 6, (30, 18, 12))
    c.ellipse((428, 126), (4, 3), BLACK, flat=True)
    return c
