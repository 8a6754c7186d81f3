"""What a Transformer costs, by formula: parameters, operations, bytes.

What you learn: all counts come from one rule. A product of (n, a) and (a, b) has a b weights and
takes 2 n a b operations (a multiplication and an addition are two), so

    forward     2 operations a weight and token, and 4 T D a token for the two T x T products
    backward    twice as many: each product has two gradients, each a product of the same size
    together    6 N n for N weights and n tokens, if the T x T products may be neglected

The last line is the "6ND rule" (Kaplan et al. 2020; their D, the tokens, is n here); `rule_share`
says how far it is off. Only matrix products are counted: softmax, norms, residuals and the loss are
of order D a token, and looking up a row of a table is none. Bytes for float32 unless said.

B batch, S source, T target, D width, h heads, F feed-forward, V words. Tests hold every number
equal to what PyTorch counts.
"""

from __future__ import annotations

from dataclasses import dataclass

FLOAT = 4  # bytes


@dataclass(frozen=True)
class Sizes:
    """A Transformer. encoder, decoder: how many layers of each.

    decoder=0 is a language model: a causal mask makes an encoder's block GPT's, at the same cost.
    places: rows of a learnt table of positions. tables: of V words; 1 if source, target and output
    share it. last_norms: behind the stacks, 2 in pre-norm.
    """

    vocabulary: int = 4000
    width: int = 128
    heads: int = 4
    encoder: int = 4
    decoder: int = 4
    ffn: int = 512
    places: int = 0
    tables: int = 1
    last_norms: int = 2


OURS = Sizes()
BASE = Sizes(37_000, 512, 8, 6, 6, 2048, last_norms=0)  # Vaswani et al. 2017, table 3
GPT2 = Sizes(50_257, 768, 12, 12, 0, 3072, places=1024, last_norms=1)  # Radford et al. 2019, small


# --- Parameters ---


def parameters(sizes: Sizes) -> dict[str, int]:
    """How many numbers are learnt, and where: their sum is the network's."""
    width, ffn, layers = sizes.width, sizes.ffn, sizes.encoder + sizes.decoder
    attention = 4 * (width**2 + width)  # W^Q, W^K, W^V, W^O and their biases
    sublayers = 2 * sizes.encoder + 3 * sizes.decoder
    return {
        "embedding": (sizes.tables * sizes.vocabulary + sizes.places) * width,
        "attention": (sizes.encoder + 2 * sizes.decoder) * attention,
        "ffn": layers * (2 * width * ffn + ffn + width),
        "norms": (sublayers + sizes.last_norms) * 2 * width,
    }


# --- Operations ---


def forward_flops(sizes: Sizes, source: int, target: int = 0, batch: int = 1) -> dict[str, int]:
    """Operations of one forward pass, by part. target: 0 for a language model.

    Padded places cost as much as others, and so do hidden ones: the tables are computed whole.
    """
    width, seen = sizes.width, source * sizes.encoder  # places that an encoder's block sees
    wrote = target * sizes.decoder
    read = source * sizes.decoder  # keys and values of the source, for each decoder layer
    flops = {
        "projections": 8 * width**2 * (seen + wrote) + 4 * width**2 * (wrote + read),
        "scores": 4 * width * (source * seen + target * wrote + source * wrote),
        "ffn": 4 * width * sizes.ffn * (seen + wrote),
        "logits": 2 * width * sizes.vocabulary * (target if sizes.decoder else source),
    }
    return {part: batch * number for part, number in flops.items()}


def training_flops(sizes: Sizes, source: int, target: int = 0, batch: int = 1) -> int:
    """One step, forward and backward: three times the forward pass."""
    return 3 * sum(forward_flops(sizes, source, target, batch).values())


def rule_flops(weights: int, tokens: float) -> float:
    """6 N n: training with `tokens` tokens."""
    return 6 * weights * tokens


def rule_share(sizes: Sizes, source: int, target: int = 0, embedding: bool = True) -> float:
    """What 6 N n counts of the operations that there are: 1 is right, below 1 too few.

    embedding: whether N has the tables. Tokens of a translator: the mean of source and target.
    """
    known = parameters(sizes)
    weights = sum(known.values()) - (0 if embedding else known["embedding"])
    tokens = (source + target) / 2 if sizes.decoder else source
    return rule_flops(weights, tokens) / training_flops(sizes, source, target)


def crossover(sizes: Sizes) -> dict[str, float]:
    """T = S at which the T x T products cost as much as the feed-forward, the projections, both.

    A decoder layer has two attentions and one feed-forward, so it gets there earlier.
    """
    ffns = (sizes.encoder + sizes.decoder) / (sizes.encoder + 2 * sizes.decoder)  # an attention
    ffn, projections = ffns * sizes.ffn, 2 * sizes.width
    return {"ffn": ffn, "projections": projections, "both": ffn + projections}


def training_seconds(sizes: Sizes, tokens: float, rate: float) -> float:
    """6 N n / rate, with the operations a second that are *reached*, not the processor's best."""
    return rule_flops(sum(parameters(sizes).values()), tokens) / rate


# --- Bytes ---


def state_bytes(weights: int) -> dict[str, int]:
    """Held through all of a training with AdamW: 16 bytes a weight."""
    return {"weights": FLOAT * weights, "gradients": FLOAT * weights, "moments": 8 * weights}


def activation_bytes(
    sizes: Sizes, source: int, target: int = 0, batch: int = 2, dropout: bool = True
) -> dict[str, int]:
    """Kept for the backward pass of one step, by part, in this chapter's code; batch: at least 2.

    A linear map keeps its input, a product of two both, a ReLU and a softmax their output, a norm
    its input and two numbers a place. Dropout keeps its noise and makes what follows a new tensor.
    """
    width, ffn = sizes.width, sizes.ffn
    seen, wrote, read = source * sizes.encoder, target * sizes.decoder, source * sizes.decoder
    tables = 3 if dropout else 2  # with: weights, noise, product; without: before the zeros, after
    noise = 2 * seen + 3 * wrote + source + target if dropout else 0  # behind sublayers, tables
    last = source + target if sizes.decoder else source
    numbers = {
        "maps": (6 * seen + 9 * wrote + 2 * read + last) * width,  # inputs, q, k, v, found
        "norms": (2 * seen + 3 * wrote + last) * (width + 2),
        "ffn": (3 if dropout else 1) * ffn * (seen + wrote),
        "scores": tables * sizes.heads * (source * seen + target * wrote + source * wrote),
        "noise": noise * width,
        "logits": sizes.vocabulary * (target if sizes.decoder else source),  # of the softmax
    }
    return {part: FLOAT * batch * number for part, number in numbers.items()}


def cache_bytes(sizes: Sizes, source: int, target: int = 0, number: int = FLOAT) -> int:
    """Keys and values that writing keeps for one line, `number` bytes each (2 for bf16).

    A translator keeps those of its own words and those of the source, a language model its own.
    """
    layers = sizes.decoder or sizes.encoder
    return 2 * layers * sizes.width * (source + target) * number
