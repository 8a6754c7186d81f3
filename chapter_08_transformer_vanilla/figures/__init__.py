"""Every function of the chapter that returns a figure.

The drawings of the text, saved by draw_figures.py:

    text_architecture.py    the whole Transformer, a shape on every arrow
    text_positions.py       sinusoids, their dot products, biases over the distance
    text_block.py           post- and pre-norm, the decoder, a line shifted by one
    text_training.py        batches as rectangles, rates, the mean of the last points
    text_decoding.py        a beam of two, what a cache spares
    text_counting.py        where operations go as lines grow
    text_gpt.py             a decoder layer that lost its second sublayer; windows over a text
    text_induction.py       two attentions set by hand, on a text that repeats itself
    text_bert.py            what a GPT and a BERT see; the three vectors that are added
    text_pictures.py        a picture as patches, and these as tokens

The results, each for the script of its name:

    train.py                right lines by length, curves (train.py)
    ablations.py            every variant beside the base; norms over depth (exp_ablations.py)
    sentences.py            paraphrases and traps, a matrix of cosines (sentences.py)
    speed.py                tokens a second with and without a cache (exp_speed.py)
    induction.py            loss and scores of heads over steps, two maps (exp_induction.py)
    start_gradients.py      a stack before its first step (exp_ablations.py)
    train_vit.py            accuracy over minutes and pictures, rollout, places (train_vit.py)
    train_bert.py           masked tokens right over the minutes (train_bert.py)
    finetune_bert.py        every classifier, a mark a seed (finetune_bert.py)
"""
