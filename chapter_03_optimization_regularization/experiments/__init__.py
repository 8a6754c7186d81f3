"""What stands behind the scripts: tasks, trainings, measurements and the tables of the results.

tasks.py          the digits, the small networks that train on them, and their accuracy
label_noise.py    wrong labels, drawn
optimization/     behind exp_optimization.py
normalization/    behind exp_normalization.py and exp_loss_landscape.py
regularization/   behind exp_regularization.py
tables/           the tables of the experiments that have no package of their own
"""
