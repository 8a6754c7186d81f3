"""Behind train_forecast.py.

baselines.py   persistence, seasonal-naive and autoregression: what a network has to beat
settings.py    the sizes that suit a series: windows, horizon, marks, network
measure.py     errors of one step and of a free run, by how far ahead
training.py    one recurrent network or window MLP, trained with chapter 3's `fit`
tables.py      the tables of the result
"""
