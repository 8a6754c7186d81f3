"""Behind exp_regularization.py.

training.py   the noisy digits, the methods, a training with one of them
tables.py     the numbers and tables of the result
"""
