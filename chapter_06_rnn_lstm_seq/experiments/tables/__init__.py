"""Numbers and tables of the experiments, with their titles in both languages.

long_memory.py      of exp_long_memory.py
"""
