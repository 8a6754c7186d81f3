"""Numbers and tables of the experiments, with their titles in both languages.

gradient_flow.py    of exp_gradient_flow.py
long_memory.py      of exp_long_memory.py
classifier.py       of train_classifier.py
"""
