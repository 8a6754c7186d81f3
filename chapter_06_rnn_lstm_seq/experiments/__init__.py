"""What stands behind the scripts: tasks, measurements and tables.

Read in this order:

    batching.py     padded batches of texts, rows of similar length together
"""
