"""What stands behind the scripts: tasks, measurements and tables.

Read in this order:

    ngram.py        the n-gram rows beside the language models
    language_models.py   data, one training, its measurement and tables, of a language model
    sizes.py        which size is best for the same minutes
    leak.py         three ways to cut a text, and what a model claims on each
    units.py        gates read out, and which unit follows what in a text
    batching.py     padded batches of texts, rows of similar length together
    translation/    pairs of lines, what is written of them, how right it is
    pronunciation.py   real weights from spelling to phonemes
    languages.py    the language of a word after k letters: trigrams, LSTM, the best attainable
    sentiment.py    for or against: two classifiers that count, three networks
    adding.py       the adding problem, its network, and one training of it
    gradient_flow.py   the norm of dh_T / ds_(T-k), before and after a training
    truncation.py   the gradient of chunks of k steps against the whole one
    clipping.py     an RNN whose gradients explode, clipped and not
    forecast/       behind train_forecast.py: baselines, sizes, errors, training, tables
    tables/         numbers and tables of the results
"""
