"""Every function of the chapter that returns a figure.

The drawings of the text, saved by draw_figures.py:

    text_positions.py       sinusoids, their dot products, biases over the distance
"""
