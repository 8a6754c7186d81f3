"""Every function of the chapter that returns a figure.

The drawings of the text, saved by draw_figures.py:

    text_sequences.py   unrolling, patterns of inputs and outputs, the scan
    text_lstm.py        the LSTM's cell, and what its forget gate keeps

The results, each for the script of its name:

    gradient_flow.py
    forecast.py
    long_memory.py
    language_models.py
"""
