"""Every function of the chapter that returns a figure, by topic.

The drawings of the text, saved by draw_figures.py:

    text_optimisation.py     the valley, the heavy ball, the schedules
    text_gradients.py        three learning rates, and the noise ball
    text_adam.py             Adam's bias correction, and Adam in a bowl
    text_muon.py             singular values before and after Newton-Schulz
    text_clipping.py         clipping by value and by norm
    text_generalisation.py   bias and variance, L1 and L2, what a normalisation averages
    text_early_stopping.py   early stopping beside ridge
    text_batch_norm.py       one example in training and in evaluation

The results, each for the script of its name:

    optimization.py     schedules.py   batch_size.py       lr_finder.py
    regularization.py   train.py       double_descent.py   normalization.py
    loss_landscape.py
"""
