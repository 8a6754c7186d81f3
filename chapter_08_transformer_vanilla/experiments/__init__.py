"""What stands behind the scripts: tasks, measurements and tables.

Read in this order:

    tasks.py        number lists, sentences, letters to sort or to turn round
    writing.py      networks from checkpoints, greedy or by beam search
    measures.py     lines right by their length; BLEU
    bleu.py         BLEU's interval, by drawing the test sentences anew
    bleu_tokens.py  one translation cut into tokens in five ways: five BLEUs
    training.py     one training of a Transformer, and the average of its last epochs
    tables.py       means over seeds, and the tables of train.py
    gpt.py          one training of a GPT on a text, beside n-grams and the LSTM
    minilm.py       the real weights of MiniLM in our BERT: a vector for a sentence
    paraphrases.py  meaning against words: sentences, paraphrases, traps
    maps.py         where every layer and head looked while one line was written
    padding.py      how much of a batch is padding, three ways to make batches
    start_gradients.py      gradients of a stack before its first step
    ablations.py    a small network, and the same with one thing changed
    induction.py    texts that repeat passages of themselves, one and two layers, each head out
    counting.py     parameters, operations and bytes of some networks, as a table
    speed.py        tokens a second with and without a cache, and beside Hugging Face
    pictures.py     a ViT and a ResNet on the same pictures, for the same minutes
    picture_tables.py       means over seeds, and the tables of train_vit.py
    picture_looks.py        rollout from the class token, and what places have learnt
    masked_words.py a text in windows, and some of its words hidden
    word_counts.py  guessing a hidden word by counting its neighbours
    pretraining.py  one pretraining of a BERT, and what came of it
    sentence_tasks.py       sentences and pairs with a class, as a BERT reads them
    starts.py       MiniLM, a checkpoint of train_bert.py, or random weights
    fine_tuning.py  vectors as they are with a linear layer; the whole network trained on
    finetune_baselines.py   counted words, one sentence alone, frozen vectors
    finetuned.py    trained classifiers in files: written, read, asked
    finetune_tables.py      means over seeds, and the tables of finetune_bert.py
"""
