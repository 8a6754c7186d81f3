"""Every function of the chapter that returns a figure.

The drawings of the text, saved by draw_figures.py:

    text_soft_lookup.py     one vector against a look at all; how sharp a lookup is
    text_scores.py          when Bahdanau's decoder looks, and when Luong's does
    text_scaled_dot_product.py   every matrix of one attention, with its shape
    text_heads.py           who asks and who answers; a width cut into heads
    text_masks.py           five masks as tables
    text_kernel.py          three widths of a kernel regression; what attention costs
    text_pictures.py        a pointer network; what three blocks see of a map

The results, each for the script of its name:

    scaling.py              scores, softmax, gradient and learning over d (exp_scaling.py)
    train_translation.py    right lines by length, curves, the map of a line (translate.py too)
    masks.py                what each place sees under a wrong mask, claims and truth (exp_masks.py)
    heads.py                right lines without heads, and where heads look (exp_heads.py)
    explanation.py          what changes the output, what a state contains (exp_explanation.py)
    attention_page.py       the page of view_attention.py, with attention_page.html
    train_sort.py           sorted lists by length, and the weights that are one answer
    visual_attention.py     accuracies, and where the weights are large
"""
