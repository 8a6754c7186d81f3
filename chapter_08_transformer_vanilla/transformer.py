"""The Transformer: stacks of blocks, and the whole network that translates.

What you learn: `Transformer` is nothing but two stacks of layers.py's blocks, drop-in for
`nn.Transformer`. What turns it into a translator stands around it (Vaswani et al. 2017):

    x = sqrt(D) E[token] + position          one table E (V, D) for source, target
    memory = encoder(x)                      and output:  logits = h E^T
    h = decoder(y, memory), causal

The three uses of E share one set of weights ("tied"). A row of E has length about 1, so that
logits of normalised states start near N(0, 1); sqrt(D) brings the tokens to the size of the
positions. B batch, S source, T target, D width, V words.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chapter_06_rnn_lstm_seq.seq2seq import embedding
from chapter_07_attention_mechanism.masks import causal_mask
from chapter_08_transformer_vanilla.layers import Block, DecoderLayer, EncoderLayer, Look, looking
from chapter_08_transformer_vanilla.positions import make_positions


class Encoder(nn.Module):
    """num_layers copies of a layer and a last norm; as `nn.TransformerEncoder`.

    Without its two switches of a fast path: they choose a kernel, not a result.
    """

    def __init__(self, encoder_layer: nn.Module, num_layers: int, norm: nn.Module | None = None):
        super().__init__()
        self.layers = nn.ModuleList(deepcopy(encoder_layer) for _ in range(num_layers))
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """src (S, B, D), or (B, S, D) if the layers are batch_first -> the same shape."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)


class Decoder(nn.Module):
    """num_layers copies of a decoder layer and a last norm; as `nn.TransformerDecoder`."""

    def __init__(self, decoder_layer: nn.Module, num_layers: int, norm: nn.Module | None = None):
        super().__init__()
        self.layers = nn.ModuleList(deepcopy(decoder_layer) for _ in range(num_layers))
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """tgt (T, B, D), memory (S, B, D) -> (T, B, D); batch_first as in the layers."""
        for layer in self.layers:
            tgt = layer(
                tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask,
                memory_key_padding_mask, bool(tgt_is_causal), memory_is_causal,
            )  # fmt: skip
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(nn.Module):
    """Encoder and decoder; arguments, names and starting weights as in `nn.Transformer`."""

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Look = F.relu,
        custom_encoder: nn.Module | None = None,
        custom_decoder: nn.Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        kind = {"device": device, "dtype": dtype}
        options = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first,
            norm_first, bias,
        )  # fmt: skip

        def stack(of: type[nn.Module], layer: type[Block], layers: int) -> nn.Module:
            norm = nn.LayerNorm(d_model, layer_norm_eps, bias=bias, **kind)
            return of(layer(*options, **kind), layers, norm)

        self.encoder = custom_encoder or stack(Encoder, EncoderLayer, num_encoder_layers)
        self.decoder = custom_decoder or stack(Decoder, DecoderLayer, num_decoder_layers)
        for weight in self.parameters():
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight)
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """src (S, B, D), tgt (T, B, D) -> (T, B, D); with batch_first the batch comes first.

        Masks as in the layers. ValueError: batches or widths that do not fit.
        """
        batches = {x.shape[0 if self.batch_first else 1] for x in (src, tgt) if x.dim() == 3}
        same = src.dim() == tgt.dim() and len(batches) < 2
        if not same or not src.shape[-1] == tgt.shape[-1] == self.d_model:
            raise ValueError(
                f"src and tgt must have the same batch and the width {self.d_model}; their shapes "
                f"are {tuple(src.shape)} and {tuple(tgt.shape)}"
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
            tgt_is_causal, memory_is_causal,
        )  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(
        size: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Causal, as numbers to be added: (T, T), 0 where a place may look, -inf where not."""
        mask = torch.full((size, size), -torch.inf, device=device, dtype=dtype)
        return mask.triu(1)


class TranslationTransformer(nn.Module):
    """The translator: token ids in, logits out. One vocabulary for both languages.

    vocabulary: V. width: D. heads: h. ffn: F. layers: of the encoder and of the decoder.
    norm_first: pre-norm. positions: one of positions.KINDS; longest: of "learned". shift: in
    training a line begins at a place drawn from 0 to `shift`, so that late places are met as often
    as early ones (Kiyono et al. 2021); relative positions do not see it.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int = 128,
        heads: int = 4,
        layers: int = 4,
        ffn: int = 512,
        dropout: float = 0.1,
        norm_first: bool = True,
        positions: str = "sinusoidal",
        longest: int = 512,
        pad: int = 0,
        shift: int = 0,
    ) -> None:
        super().__init__()
        self.pad, self.scale, self.shift = pad, width**0.5, shift
        self.embedding = embedding(vocabulary, width, pad)  # rows of length about 1, the pad's 0
        of = (positions, width, heads, longest)
        self.source_positions = make_positions(*of, bidirectional=True)
        self.target_positions = make_positions(*of, bidirectional=False)
        self.drop = nn.Dropout(dropout)
        self.transformer = Transformer(
            width, heads, layers, layers, ffn, dropout, batch_first=True, norm_first=norm_first
        )

    def placed(self, ids: Tensor, places: Tensor, positions: nn.Module) -> Tensor:
        """Ids (B, T) at places (T,) or (B, T) -> what the first block reads, (B, T, D)."""
        x, added = self.scale * self.embedding(ids), positions.added(places)
        return self.drop(x if added is None else x + added.to(x.dtype))

    def start(self, ids: Tensor) -> Tensor:
        """The place of the first token of each line (B, T): (B, 1), or (1, 1) where it is 0."""
        if not self.training or not self.shift:
            return ids.new_zeros(1, 1)
        return torch.randint(self.shift + 1, (len(ids), 1), device=ids.device)

    def encode(self, source: Tensor, kept: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Ids (B, S) -> memory (B, S, D) and the mask of its padding (B, S), True = hidden.

        kept: receives each layer's weights (B, h, S, S).
        """
        places = torch.arange(source.shape[1], device=source.device)  # (S,)
        hidden = source == self.pad
        x = self.placed(source, self.start(source) + places, self.source_positions)
        bias = for_batch(self.source_positions.bias(places, places), len(source))
        encoder = self.transformer.encoder
        for layer in encoder.layers:
            masks = {"attn_mask": bias, "key_padding_mask": hidden}
            x = layer.through(x, looking(layer.self_attn, kept=kept, **masks))
        return encoder.norm(x), hidden

    def decode(
        self,
        target: Tensor,
        memory: Tensor,
        hidden: Tensor,
        own: list[Tensor] | None = None,
        read: list[Tensor] | None = None,
    ) -> Tensor:
        """True ids (B, T) behind <bos> -> states (B, T, D), all steps in one call.

        own, read: receive each layer's weights (B, h, T, T) and (B, h, T, S).
        """
        steps = target.shape[1]
        places = torch.arange(steps, device=target.device)  # (T,)
        x = self.placed(target, self.start(target) + places, self.target_positions)
        future = ~causal_mask(steps, device=target.device)  # (T, T), True = hidden
        bias = for_batch(self.target_positions.bias(places, places), len(target))
        if bias is not None:
            bias = bias.masked_fill(future, -torch.inf)
        mask = future if bias is None else bias
        decoder = self.transformer.decoder
        for layer in decoder.layers:
            look = looking(layer.self_attn, kept=own, attn_mask=mask)
            ask = looking(layer.multihead_attn, memory, kept=read, key_padding_mask=hidden)
            x = layer.through(x, look, ask)
        return decoder.norm(x)

    def logits(self, states: Tensor) -> Tensor:
        """How well each word follows: (..., D) -> (..., V), by the tokens' own table."""
        return F.linear(states, self.embedding.weight)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits (B, T, V) of what follows each token of target (B, T), which begins with <bos>."""
        return self.logits(self.decode(target, *self.encode(source)))


def for_batch(bias: Tensor | None, batch: int) -> Tensor | None:
    """(h, T, S), the same for every row, as `nn.MultiheadAttention` wants it: (B h, T, S)."""
    return None if bias is None else bias.repeat(batch, 1, 1)
