"""One encoder layer, or more than two, under all coalitions.

With one layer, the only query is answered from partial sums alone. With three or more, the first
and the last layer are as cheap as with two, but a layer between them cannot be cut into regions:
under every mask its input differs on every kept token. It costs whole attention over the kept
tokens, about a third of the plain way's pairs of query and key, and the feed-forward part on half
of the tokens. That is what deep encoders pay for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from halfsight import coalitions
from halfsight.masking.partial import Partials, partials, spread_subsets
from halfsight.models.triq import EncoderLayer, MultiHeadAttention


def single(layer: EncoderLayer, tokens: Tensor, sizes: Sequence[int]) -> Tensor:
    """Quality tokens under all coalitions, of an encoder of one layer.

    Args:
        layer: the encoder.
        tokens: (T, width), block after block; block 0 is the quality token.
        sizes: tokens of each block.

    Returns:
        (2**n, width).
    """
    sums = partials(layer.attention, tokens, sizes)
    mixed = _mixed(sums, slice(0, 1), [0], list(range(1, len(sizes))))[:, 0]
    quality: Tensor = layer.after_attention(tokens[:1], layer.attention.output(mixed))
    return quality


def deep(
    layers: Sequence[EncoderLayer], tokens: Tensor, sizes: Sequence[int], *, rows: int
) -> Iterator[Tensor]:
    """Quality tokens of all coalitions in order, of an encoder of two layers or more.

    Args:
        layers: the encoder.
        tokens: (T, width), block after block; block 0 is the quality token.
        sizes: tokens of each block.
        rows: pairs of token and mask worked on at once.

    Yields:
        (masks, width), part after part.
    """
    first, *rest = layers
    n = len(sizes) - 1
    sums = partials(first.attention, tokens, sizes)
    owners = torch.arange(1 + n, device=tokens.device).repeat_interleave(
        torch.tensor(sizes, device=tokens.device)
    )
    lower = min(n, max(2, rows // len(tokens)).bit_length() - 1)
    masked = torch.zeros(1 << n, 1 + n, dtype=torch.bool)
    masked[:, 1:] = torch.from_numpy(coalitions.membership(n).copy())
    kept = ~masked.to(tokens.device)
    for start in range(0, 1 << n, 1 << lower):
        part = kept[start : start + (1 << lower)]
        high = [1 + i for i in range(lower, n) if part[0, 1 + i]]
        mixed = _mixed(sums, slice(0, len(tokens)), [0, *high], list(range(1, 1 + lower)))
        out = torch.empty_like(mixed[:, 0])
        present = part[:, owners]  # (masks, T)
        counts = present.sum(1)
        for count in sorted(set(counts.tolist())):
            chosen = (counts == count).nonzero()[:, 0]
            where = present[chosen].nonzero()[:, 1].view(-1, count)  # the kept tokens of each mask
            attended = first.attention.output(mixed[chosen[:, None], where])
            out[chosen] = _rest(rest, first.after_attention(tokens[where], attended))
        yield out


def _rest(layers: Sequence[EncoderLayer], x: Tensor) -> Tensor:
    """Kept tokens (M, K, width) through the layers after the first; the last for token 0 alone."""
    for layer in layers[:-1]:
        x = layer.after_attention(x, _attend(layer.attention, x, x))
    layer, query = layers[-1], x[:, :1]
    quality: Tensor = layer.after_attention(query, _attend(layer.attention, query, x))[:, 0]
    return quality


def _attend(attention: MultiHeadAttention, x: Tensor, context: Tensor) -> Tensor:
    """Attention of tokens x (M, Q, width) to tokens of a context (M, K, width)."""
    q = attention.split(attention.query(x))
    k, v = attention.split(attention.key(context)), attention.split(attention.value(context))
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    attended: Tensor = attention.output(mixed)
    return attended


def _mixed(sums: Partials, queries: slice, always: list[int], sometimes: list[int]) -> Tensor:
    """The first layer's mixed values (masks, queries, width), before its output layer."""
    heads, width = sums.heads, len(sums.sums) - sums.heads
    tokens, masks = queries.stop - queries.start, 1 << len(sometimes)
    out = sums.sums.new_empty(width + heads, tokens, masks)
    spread_subsets(sums, queries.start, queries.stop, always, sometimes, out)
    values = out[:width].view(heads, -1, tokens, masks)
    mixed: Tensor = values / out[width:, None]
    return mixed.view(width, tokens, masks).permute(2, 1, 0).contiguous()
