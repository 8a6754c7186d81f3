"""Does a sentence's nearest neighbour have its meaning, or its words?

Every line of TRIPLES was written for this, before anything was measured: a sentence, its meaning in
other words, and a trap: its words with another meaning. Of the traps, some use the words in another
sense or speak of something else ("sense"), others say the opposite or turn the roles round
("opposite").

    found      the paraphrase is the nearest of the paraphrases of all sentences; chance is 1 in 20
    over trap  the paraphrase is nearer than the trap, over the traps of one kind

Three ways to compare, from words to meaning: TF-IDF, the cosine of counts of words, each the less
the more of the texts have it; the mean of MiniLM's input vectors, before any layer; MiniLM.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from chapter_08_transformer_vanilla.bert import mean_pooled
from chapter_08_transformer_vanilla.experiments.minilm import SentenceEncoder
from utils.results import table

TRIPLES = (
    # a sentence, its meaning in other words, other meaning in its words
    ("sense", "a film full of heart",
     "this movie moved everyone to tears", "the heart is full of blood"),
    ("sense", "He bought a new car.",
     "My uncle purchased an automobile.", "He bought a new carpet."),
    ("sense", "The bank raised its interest rates.",
     "Borrowing money has become more expensive.", "The river bank raised our interest."),
    ("sense", "It is raining cats and dogs.",
     "There was a heavy downpour.", "Cats and dogs are good pets."),
    ("sense", "The doctor examined the patient.",
     "A physician looked at someone who is ill.", "The patient teacher examined the class."),
    ("sense", "I forgot my password.",
     "How can someone log in without remembering the secret code?", "I forgot my umbrella."),
    ("sense", "The stars are bright tonight.",
     "Above us glitters a clear sky.", "The film stars are bright people."),
    ("sense", "My computer does not start.",
     "This laptop refuses to boot.", "My computer game does start now."),
    ("sense", "The train was late.",
     "We waited on a platform because of some delay.", "The late king was on the train."),
    ("sense", "He solved the equation.",
     "A pupil found which number x is.", "He solved the murder."),
    ("sense", "The apple fell from the tree.",
     "A fruit dropped off its branch.", "The Apple shop is behind the tree."),
    ("sense", "Learning a language takes time.",
     "You will not speak fluent Chinese overnight.", "Learning to drive takes time."),
    ("opposite", "The child is asleep.",
     "A little girl takes a nap.", "The child is awake."),
    ("opposite", "The company dismissed two hundred workers.",
     "Many employees lost their jobs.", "The company hired two hundred workers."),
    ("opposite", "Prices went up last year.",
     "Inflation rose over twelve months.", "Prices went down last year."),
    ("opposite", "The dog bit the postman.",
     "A hound attacked someone who delivers mail.", "The postman bit the dog."),
    ("opposite", "The plane landed safely.",
     "Our flight touched down without trouble.", "The plane did not land safely."),
    ("opposite", "The soup is very good.",
     "What a delicious broth!", "The soup is very bad."),
    ("opposite", "She arrived before him.",
     "He came later than his sister.", "He arrived before her."),
    ("opposite", "I agree with this plan.",
     "That idea has my full support.", "I disagree with this plan."),
)  # fmt: skip
KINDS = ("sense", "opposite")
METHODS = {  # shown as
    "tfidf": ("TF-IDF: words", "TF-IDF：词"),
    "inputs": ("MiniLM's input vectors, no layer", "MiniLM 的输入向量，不经过任何层"),
    "minilm": ("MiniLM", "MiniLM"),
}


def words_cosine(texts: Sequence[str]) -> np.ndarray:
    """(N, N) cosines of TF-IDF vectors; 0 where two texts share no word."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(re.search(r"\w", text) for text in texts):
        return np.zeros((len(texts), len(texts)))  # signs alone: no word to share
    vectors = TfidfVectorizer(token_pattern=r"\w+").fit_transform(texts)  # (N, words), length 1
    return (vectors @ vectors.T).toarray()


@torch.no_grad()
def inputs_cosine(encoder: SentenceEncoder, texts: Sequence[str]) -> np.ndarray:
    """(N, N) cosines of the mean rows of MiniLM's table of tokens: no places, no layers."""
    ids, _, hidden = encoder.batch(texts)  # (N, T)
    special = torch.tensor([encoder.tokenizer.cls, encoder.tokenizer.sep])
    vectors = mean_pooled(encoder.bert.tokens(ids), hidden | torch.isin(ids, special))
    vectors = F.normalize(vectors)  # (N, D)
    return (vectors @ vectors.T).numpy()


def minilm_cosine(encoder: SentenceEncoder, texts: Sequence[str]) -> np.ndarray:
    """(N, N) cosines of the sentences' vectors."""
    vectors = encoder.embed(texts)
    return (vectors @ vectors.T).numpy()


def shares(cosines: np.ndarray) -> dict[str, Any]:
    """What one way of comparing gets right of TRIPLES; equal cosines are no success. (60, 60)."""
    own = np.arange(0, len(cosines), 3)  # of a sentence; its paraphrase follows, then its trap
    others = cosines[np.ix_(own, own + 1)]  # (20, 20): every sentence, every paraphrase
    rivals = others - np.diag(np.full(len(own), np.inf))
    near, trap = cosines[own, own + 1], cosines[own, own + 2]  # (20,)
    kinds = np.array([kind for kind, *_ in TRIPLES])
    over = {kind: int((near > trap)[kinds == kind].sum()) for kind in KINDS}
    return {
        "found": int((np.diag(others) > rivals.max(1)).sum()),
        "over_trap": over,
        "paraphrase": near.tolist(),
        "trap": trap.tolist(),
    }


def measure(encoder: SentenceEncoder) -> dict[str, Any]:
    """Every way's shares, and how many sentences there are of each kind."""
    texts = [text for _, *triple in TRIPLES for text in triple]
    cosines = {
        "tfidf": words_cosine(texts),
        "inputs": inputs_cosine(encoder, texts),
        "minilm": minilm_cosine(encoder, texts),
    }
    counts = {kind: sum(row[0] == kind for row in TRIPLES) for kind in KINDS}
    return {
        "methods": {name: shares(value) for name, value in cosines.items()},
        "counts": {"found": len(TRIPLES)} | counts,
    }


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    counts = metrics["counts"]
    columns = [
        ("Cosine of", "余弦相似度的来源", "s"),
        (f"Own paraphrase the nearest of {counts['found']}",
         f"{counts['found']} 个改写中自己的最近", "d"),
        (f"Nearer than the words in another sense (of {counts['sense']})",
         f"比同词异义句更近（共 {counts['sense']} 句）", "d"),
        (f"Nearer than the opposite (of {counts['opposite']})",
         f"比反义句更近（共 {counts['opposite']} 句）", "d"),
    ]  # fmt: skip
    rows = [
        [dict(zip(("en", "zh"), METHODS[name], strict=True)), row["found"],
         *(row["over_trap"][kind] for kind in KINDS)]
        for name, row in metrics["methods"].items()
    ]  # fmt: skip
    return table(columns, rows)
