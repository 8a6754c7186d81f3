"""The forward pass of a trained translator in plain NumPy: encode, decode, translate.

What you learn: with the weights in hand, a Transformer is a handful of matrix products, a softmax,
a mean and a variance. Nothing of a framework is left:

    x = sqrt(D) E[id] + place                   attention       softmax(Q K^T / sqrt(d) + bias) V
    pre-norm    x <- x + sublayer(norm(x))      feed-forward    W2 max(0, W1 x + b1) + b2
    post-norm   x <- norm(x + sublayer(x))      logits = x E^T

`weights`: the arrays of a `TranslationTransformer`'s state dict, `options`: its arguments.

    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    NumpyTransformer(state, {"layers": 4, "heads": 4}).translate(source, bos, eos, limit)

Masks are numbers added to the scores: -inf where a place may not look. Results are those of the
PyTorch model in evaluation mode. B batch, S source, T target, D width, h heads, d = D / h.
"""

from __future__ import annotations

import numpy as np

from chapter_07_attention_mechanism.attention_numpy import softmax

Array = np.ndarray
DEFAULTS = {"norm_first": True, "positions": "sinusoidal", "heads": 4, "layers": 4, "pad": 0}
UNUSED = {"vocabulary", "width", "ffn", "dropout", "longest"}  # the weights' shapes say it
KINDS = ("sinusoidal", "learned", "alibi", "none")
ATTENTION = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
STACKS = {"encoder": ("self_attn",), "decoder": ("self_attn", "multihead_attn")}


class NumpyTransformer:
    """A trained translator. ValueError: options, positions or weights that it does not know."""

    def __init__(self, weights: dict[str, Array], options: dict) -> None:
        if unknown := sorted(set(options) - set(DEFAULTS) - UNUSED):
            raise ValueError(f"unknown options: {', '.join(unknown)}")
        known = DEFAULTS | options
        self.norm_first, self.positions, self.heads, self.layers, self.pad = map(
            known.get, DEFAULTS
        )
        if self.positions not in KINDS:
            raise ValueError(f"positions must be one of {KINDS}, not {self.positions!r}")
        if odd := sorted(self.names() ^ set(weights)):
            raise ValueError(f"weights missing, or of another network: {', '.join(odd[:5])}")
        self.weights, self.table = weights, weights["embedding.weight"]  # (V, D)

    def names(self) -> set[str]:
        """Of all weights that a network of these options has."""
        found = {"embedding.weight"}
        if self.positions == "learned":
            found |= {f"{side}_positions.table.weight" for side in ("source", "target")}
        for stack, looks in STACKS.items():
            maps = ["linear1", "linear2", *(f"norm{n}" for n in range(1, 2 + len(looks)))]
            parts = [f"{look}.{part}" for look in looks for part in ATTENTION]
            parts += [f"{name}.{part}" for name in maps for part in ("weight", "bias")]
            layers = [f"layers.{n}.{part}" for n in range(self.layers) for part in parts]
            found |= {f"transformer.{stack}.{p}" for p in (*layers, "norm.weight", "norm.bias")}
        return found

    def linear(self, name: str, x: Array) -> Array:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name: str, x: Array) -> Array:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, name: str, x: Array, seen: Array, bias: Array) -> Array:
        """x (B, T, D) looks at seen (B, S, D); bias broadcasts to (B, h, T, S) -> (B, T, D)."""
        maps = np.split(self.weights[f"{name}.in_proj_weight"], 3)  # (D, D) each
        shifts = np.split(self.weights[f"{name}.in_proj_bias"], 3)
        q, k, v = (
            (y @ w.T + b).reshape(*y.shape[:2], self.heads, -1).swapaxes(1, 2)  # (B, h, T or S, d)
            for y, w, b in zip((x, seen, seen), maps, shifts, strict=True)
        )
        scores = q * q.shape[-1] ** -0.5 @ k.swapaxes(-1, -2) + bias  # (B, h, T, S)
        found = (softmax(scores) @ v).swapaxes(1, 2).reshape(x.shape)  # (B, T, D)
        return self.linear(f"{name}.out_proj", found)

    def feed_forward(self, name: str, x: Array) -> Array:
        """(B, T, D) -> (B, T, F) -> (B, T, D)."""
        return self.linear(f"{name}.linear2", np.maximum(self.linear(f"{name}.linear1", x), 0))

    def stack(self, name: str, x: Array, bias: Array, *read: Array) -> Array:
        """All layers of the "encoder" or "decoder": (B, T, D) -> (B, T, D). read: what the
        decoder asks, and its bias.
        """
        given = dict(zip(STACKS[name], ((), read), strict=False))  # besides x itself
        for n in range(self.layers):
            layer = f"transformer.{name}.layers.{n}"
            for number, part in enumerate((*STACKS[name], "feed_forward"), start=1):
                norm = f"{layer}.norm{number}"
                y = self.norm(norm, x) if self.norm_first else x
                if part == "feed_forward":
                    y = self.feed_forward(layer, y)
                else:
                    y = self.attention(f"{layer}.{part}", y, *(given[part] or (y, bias)))
                x = x + y if self.norm_first else self.norm(norm, x + y)
        return self.norm(f"transformer.{name}.norm", x)

    def placed(self, ids: Array, side: str) -> Array:
        """Ids (B, T) -> what the first block reads, (B, T, D)."""
        x, places = self.table.shape[1] ** 0.5 * self.table[ids], np.arange(ids.shape[1])
        if self.positions == "learned":
            return x + self.weights[f"{side}_positions.table.weight"][places]
        if self.positions == "sinusoidal":
            width = x.shape[-1]
            angles = places[:, None] * 10_000.0 ** (-np.arange(0, width, 2) / width)  # (T, D / 2)
            pairs = np.stack([np.sin(angles), np.cos(angles)], axis=-1).astype(x.dtype)
            return x + pairs.reshape(-1, width)  # (T, D), sine and cosine in turns
        return x

    def bias(self, size: int, hidden: Array) -> Array:
        """For self-attention: -inf where hidden, and ALiBi's distances; to (B, h, T, T)."""
        bias = np.where(hidden, -np.inf, 0).astype(self.table.dtype)
        if self.positions != "alibi":
            return bias
        power = 2 ** int(np.log2(self.heads))  # further heads borrow from twice as many
        halves = [*range(2, 2 * power + 1, 2), *range(1, 2 * power, 2)][: self.heads]
        slopes = 2.0 ** (-4 * np.array(halves) / power)  # (h,)
        steps = np.arange(size) - np.arange(size)[:, None]  # (T, T), negative behind
        away = np.maximum(-steps, steps / 2)  # a step ahead costs half of a step back
        return bias - (slopes[:, None, None] * away).astype(bias.dtype)

    def encode(self, source: Array) -> tuple[Array, Array]:
        """Ids (B, S) -> memory (B, S, D), and its padding (B, 1, 1, S), True = hidden."""
        hidden = (source == self.pad)[:, None, None]
        bias = self.bias(source.shape[1], hidden)
        return self.stack("encoder", self.placed(source, "source"), bias), hidden

    def decode(self, target: Array, memory: Array, hidden: Array) -> Array:
        """Ids (B, T) behind <bos> -> logits (B, T, V); no place sees a later one."""
        future = ~np.tri(target.shape[1], dtype=bool)  # (T, T)
        padding = np.where(hidden, -np.inf, 0).astype(memory.dtype)
        own = self.bias(target.shape[1], future)
        x = self.stack("decoder", self.placed(target, "target"), own, memory, padding)
        return x @ self.table.T

    def translate(self, source: Array, bos: int, eos: int, limit: int) -> Array:
        """The likeliest token again and again: ids (B, at most limit), padding behind <eos>."""
        memory, hidden = self.encode(source)
        ids, ended = np.full((len(source), 1), bos), np.zeros(len(source), dtype=bool)
        while ids.shape[1] <= limit and not ended.all():
            token = self.decode(ids, memory, hidden)[:, -1].argmax(-1)  # (B,)
            ids = np.column_stack([ids, np.where(ended, self.pad, token)])
            ended |= token == eos
        return ids[:, 1:]
