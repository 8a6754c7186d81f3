"""Every function of the chapter that returns a figure.

The drawings of the text, saved by draw_figures.py:

    text_soft_lookup.py     one vector against a look at all; how sharp a lookup is
    text_heads.py           who asks and who answers; a width cut into heads

The results, each for the script of its name:

    train_translation.py    right lines by length, curves, the map of a line (translate.py too)
"""
