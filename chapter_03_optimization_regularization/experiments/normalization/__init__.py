"""Behind exp_normalization.py and exp_loss_landscape.py.

network.py   the plain stack of convolutions that is trained
measure.py   activations by layer, and BatchNorm under wrong statistics
tables.py    the numbers and tables of the result
"""
