"""Translation that looks: data, lines by beam search, where a network looked, tables.

Tasks, batches, one training and its measures are chapter 6's. Read in this order:

    task.py     the data of a run, and the networks of checkpoints
    beam.py     beam search, for the sentences
    looks.py    tokens that a reader can see, a map, and what of it crosses
    tables.py   means over seeds, and the tables of train_translation.py
"""
