"""The right mask and eight wrong ones, each made from the documents of a batch.

Six let a place see what it must not: its own target, the future, other documents, padding. Two do
not leak: one hides too much, and one (-1e9) only looks wrong. True = may look. R rows, T places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from chapter_07_attention_mechanism.experiments.wrong_masks.task import PAD, Rows
from chapter_07_attention_mechanism.masks import block_diagonal_mask, causal_mask

CONTROL, PACKED = "right", "right, packed"
MaskOf = Callable[[Rows], Tensor]


# --- The masks, of the tokens' documents (R, T): each (R, T, T) ---


def right(part: Rows) -> Tensor:
    """Only what came before, only of one's own document; padding sees nothing, and is not seen."""
    real = part.documents != PAD
    same = block_diagonal_mask(part.documents) & real[:, None]
    return same & causal_mask(part.tokens.shape[1])


def own_target(part: Rows) -> Tensor:
    """Shifted by one: place t sees t + 1, the letter it is to predict."""
    size = part.tokens.shape[1]
    return block_diagonal_mask(part.documents) & causal_mask(size + 1)[1:, :size]


def future(part: Rows) -> Tensor:
    """No causal mask: the padding is hidden, and nothing else."""
    return block_diagonal_mask(part.documents) & (part.documents != PAD)[:, None]


def inverted(part: Rows) -> Tensor:
    """The mask of a library in which True means hidden."""
    return ~right(part)


def no_blocks(part: Rows) -> Tensor:
    """Causal, without padding, but the documents of a row see each other."""
    return causal_mask(part.tokens.shape[1]) & (part.documents != PAD)[:, None]


def with_padding(part: Rows) -> Tensor:
    """Causal, and nothing else: padding in front of a document is seen."""
    return causal_mask(part.tokens.shape[1]).expand(len(part.tokens), -1, -1)


def first_only(part: Rows) -> Tensor:
    """is_causal with a cache: one query, T keys, aligned at the top left. It sees key 0."""
    size = part.tokens.shape[1]
    return causal_mask(1, size, align="top_left").expand(len(part.tokens), size, -1)


@dataclass(frozen=True)
class Variant:
    """A mask in training and, where another, at generation.

    per_row: documents packed in a row. how: see `attend`. trained_as: the variant whose weights it
    has, where the fault shows at generation only. beside: prefixes are generated in a batch, padded
    on the left to the longest.
    """

    mask: MaskOf
    zh: str
    generation: MaskOf | None = None
    per_row: int = 1
    how: str = "before"
    trained_as: str = ""
    beside: bool = False

    @property
    def at_generation(self) -> MaskOf:
        return self.generation or self.mask


VARIANTS = {
    CONTROL: Variant(right, "正确的掩码"),
    "shifted by one": Variant(own_target, "错开一位"),
    "no causal mask": Variant(future, "没有因果掩码"),
    "after the softmax": Variant(right, "在 softmax 之后", how="after"),
    "inverted": Variant(inverted, "极性相反"),
    "padding seen": Variant(
        right, "看得见填充", generation=with_padding, trained_as=CONTROL, beside=True
    ),
    PACKED: Variant(right, "正确的掩码，打包", per_row=3),
    "no blocks": Variant(no_blocks, "打包时没有分块", per_row=3),
    "top left, cached": Variant(right, "缓存时左上对齐", generation=first_only, trained_as=CONTROL),
    "finite: -1e9": Variant(right, "用 -1e9 代替 -inf", how="finite", trained_as=CONTROL),
}
