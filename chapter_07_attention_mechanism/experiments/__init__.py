"""What stands behind the scripts: tasks, measurements and tables.

Read in this order:

    translation/    lists and sentences, beam search, where a network looked
"""
