"""Numbers and tables of the smaller experiments, with their titles in both languages.

batch_size.py       of exp_batch_size.py
double_descent.py   of exp_double_descent.py
loss_landscape.py   of exp_loss_landscape.py, and the views that it compares
lr_finder.py        of lr_finder.py
schedules.py        of exp_schedules.py
train.py            of train.py
"""
