"""Every function of the chapter that returns a figure.

The drawings of the text, saved by draw_figures.py:

    text_sequences.py         unrolling, patterns of inputs and outputs, the scan
    text_bptt.py              errors going back through time, and where truncation cuts them
    text_lstm.py              the LSTM's cell, and what its forget gate keeps
    text_language_models.py   how much context helps, and what sampling cuts off
    text_seq2seq.py           encoder, one vector, decoder
    text_lengths.py           a packed batch, and batches of like length

The results, each for the script of its name:

    gradient_flow.py
    forecast.py
    train_classifier.py
    long_memory.py
    language_models.py
    train_seq2seq.py
    leak.py
    units_page.py      the page of view_units.py, with units_page.html
"""
