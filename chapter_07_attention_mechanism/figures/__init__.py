"""Every function of the chapter that returns a figure.

The drawings of the text, saved by draw_figures.py:

The results, each for the script of its name:

    train_translation.py    right lines by length, curves, the map of a line (translate.py too)
"""
