"""How sure a BLEU is: other test lines would have given another number.

What you learn: BLEU is no mean over lines, so it has no standard error by formula. But it needs
only ten sums over the lines (lengths, n-grams right, n-grams written): draw as many lines as there
are, with replacement, add up their ten numbers, compute BLEU; again and again. The middle 95 % of
what comes out is the interval (Koehn 2004, the percentile bootstrap). Nothing is translated twice.

    BLEU = min(1, exp(1 - r / c)) (p_1 p_2 p_3 p_4)^(1/4)      c, r: lengths written and wanted

Two systems are compared on the *same* draws: hard lines are hard for both, so their difference is
surer than either number. Tokens (13a, cased) and smoothing are sacreBLEU's (Post 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Lines = Sequence[str]
Floats = NDArray[np.float64]


def statistics(lines: Lines, references: Lines) -> Floats:
    """For each line (N, 10): tokens written and wanted, n-grams right, n-grams written, n to 4."""
    from sacrebleu.metrics import BLEU

    metric = BLEU(tokenize="13a", effective_order=True)  # of one line sacreBLEU wants it so
    found = []
    for line, reference in zip(lines, references, strict=True):
        score = metric.sentence_score(line, [reference])
        found.append([score.sys_len, score.ref_len, *score.counts, *score.totals])
    return np.array(found, dtype=np.float64).reshape(-1, 10)


def bleu_of(sums: Floats) -> Floats:
    """BLEU from the ten sums (..., 10), as sacreBLEU: where no n-gram is right, 1/2, 1/4, ..."""
    written, wanted, right, total = sums[..., 0], sums[..., 1], sums[..., 2:6], sums[..., 6:]
    smoothed = 0.5 ** np.cumsum(right == 0, axis=-1)  # in place of a 0 (Chen & Cherry 2014)
    with np.errstate(divide="ignore", invalid="ignore"):
        precisions = np.where(right == 0, smoothed, right) / total  # (..., 4)
        mean = np.exp(np.log(precisions).mean(-1))  # geometric
        brevity = np.exp(np.minimum(0, 1 - wanted / written))
    nothing = (right.sum(-1) == 0) | (total == 0).any(-1)
    return np.where(nothing, 0.0, 100 * brevity * mean)


def resampled(tables: Sequence[Floats], samples: int, seed: int) -> Floats:
    """BLEU of each system on `samples` draws of lines, the same for all: (systems, samples)."""
    count = len(tables[0])
    picks = np.random.default_rng(seed).choice(count, size=(samples, count))
    sums = [[table[rows].sum(0) for rows in picks] for table in tables]
    return bleu_of(np.array(sums))  # of (systems, samples, 10)


def middle(values: Floats) -> tuple[float, float]:
    """Where the middle 95 % begins and ends."""
    values, cut = np.sort(values), len(values) // 40
    return float(values[cut]), float(values[-1 - cut])


def bootstrap(
    lines: Lines, references: Lines, samples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of BLEU over the choice of test lines."""
    (values,) = resampled([statistics(lines, references)], samples, seed)
    return middle(values)


def paired_bootstrap(
    lines: Lines, others: Lines, references: Lines, samples: int = 1000, seed: int = 0
) -> dict[str, float | tuple[float, float]]:
    """How much better `lines` are than `others`: the difference of BLEU, its 95 % interval, the
    share of draws in which they win, and p, how often the draws stray so far from their own mean.
    """
    tables = [statistics(system, references) for system in (lines, others)]
    ours, theirs = (float(bleu_of(table.sum(0))) for table in tables)
    values = resampled(tables, samples, seed)
    differences = values[0] - values[1]
    sizes = np.abs(differences)
    strayed = int((sizes - sizes.mean() >= abs(ours - theirs)).sum())
    return {
        "difference": ours - theirs,
        "interval": middle(differences),
        "wins": float((differences > 0).mean()),
        "p": (strayed + 1) / (samples + 1),
    }
