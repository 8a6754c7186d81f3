"""Every function of the chapter that returns a figure.

The drawings of the text, saved by draw_figures.py:

    text_architecture.py    the whole Transformer, a shape on every arrow
    text_positions.py       sinusoids, their dot products, biases over the distance
"""
