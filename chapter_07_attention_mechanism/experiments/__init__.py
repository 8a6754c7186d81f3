"""What stands behind the scripts: tasks, measurements and tables.

Read in this order:

    scaling/        random vectors and a learnt lookup, scores scaled in several ways
    translation/    lists and sentences, beam search, where a network looked
    wrong_masks/    a task with a known floor, the masks, what each place sees
    kernel.py       a kernel regression's width: searched, learnt, with a coordinate of noise
    cost.py         operations, bytes and time of attention, counted
    number_lines.py trained translators of number lists, and lines to ask them about
    heads.py        heads removed one by one, and what each looks at
    interventions.py        other weights, words deleted, what a state contains
    explanation.py  what they change, and which word matters, at every step of a network
    explanation_tables.py   its means over networks, and tables
    small.py        small translators trained on the spot; with frozen uniform weights: the control
    sorting.py      lists for a pointer network, one training, how it is judged
    small_shapes.py pictures in which looking at the right place is nearly the whole task
    visual_attention.py     one small ResNet with four kinds of attention
"""
