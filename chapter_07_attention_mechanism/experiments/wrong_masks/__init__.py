"""One small model under the right mask and under eight wrong ones (exp_masks.py).

task.py       documents of letters from a hidden topic: the best attainable loss is known
variants.py   the masks
measures.py   the model, its training, and what is measured
tables.py     means over the seeds, and the tables
"""
