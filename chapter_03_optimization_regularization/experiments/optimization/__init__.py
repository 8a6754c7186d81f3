"""Behind exp_optimization.py.

choices.py      the thirteen optimisers, by name
surfaces.py     paths on four surfaces
quadratics.py   steps against the condition number; along the axes and rotated
networks.py     the digits: a search for the rate, then the comparison
tables.py       the numbers and tables of the result
"""
