"""Every function of the chapter that returns a figure, by topic.

text_optimisation.py, text_generalisation.py   the drawings of the text (draw_figures.py)
the others                                     the results of the script of the same topic
"""
