"""What the scale of the scores is for (exp_scaling.py).

random_vectors.py   variance, certainty and gradient of untrained attention, over d and scale
lookup.py           a small task, learnt with and without the scale
tables.py           means over the seeds, and the tables
"""
