"""What stands behind the scripts: tasks, measurements and tables.

Read in this order:

    translation/    lists and sentences, beam search, where a network looked
    number_lines.py trained translators of number lists, and lines to ask them about
    heads.py        heads removed one by one, and what each looks at
    explanation.py  other weights, words deleted, what a state contains
    frozen.py       a translator trained with uniform weights: the control
"""
