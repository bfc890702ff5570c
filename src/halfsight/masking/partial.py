"""The first layer's attention, cut into what each region adds to it.

Masking changes nothing before the first softmax: the logits and values of the first layer are the
same under every mask. A masked softmax is a sum over the kept regions divided by a sum over the
kept regions, so the sums of each region are formed once, and every mask is made of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from halfsight.models.triq import MultiHeadAttention

WIDEST = 120.0
"""Gap of logits that one exponent serves: exp(+-60) times the values stays in float32's range."""


@dataclass(frozen=True)
class Partials:
    """Softmax sums of every query over the keys of one block of tokens each.

    Block 0 is the quality token alone, block 1 + i is region i. For query t, head h and block b,
    ``weights`` holds the sum of exp(logit - reference) over the block's keys, and ``values`` that
    sum weighted with the value vectors.

    Attributes:
        sums: (width + heads, T, B): values, heads one after the other, then weights.
        heads: number of heads.
        peaks: (heads, T, B), the reference of each block where they differ; None if a query has
            one reference for all its blocks, so that sums of blocks are plain sums.
    """

    sums: Tensor
    heads: int
    peaks: Tensor | None


def partials(attention: MultiHeadAttention, tokens: Tensor, sizes: Sequence[int]) -> Partials:
    """The sums of each block.

    Args:
        attention: of the first layer.
        tokens: (T, width), block after block.
        sizes: tokens of each block; the first is the quality token's, 1.
    """
    heads = attention.heads
    q, k, v = (
        attention.split(part(tokens[None]))[0]
        for part in (attention.query, attention.key, attention.value)
    )  # (heads, T, width / heads)
    logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    owners = torch.arange(len(sizes), device=tokens.device).repeat_interleave(
        torch.tensor(sizes, device=tokens.device)
    )
    peak, floor = logits.amax(-1, keepdim=True), logits[..., :1]
    # The quality token is never masked, so no sum of kept keys is smaller than its own weight.
    wide = bool((peak - floor).max() > WIDEST)
    peaks = None
    if wide:
        peaks = torch.stack([part.amax(-1) for part in logits.split(list(sizes), -1)], -1)
        reference = peaks[..., owners]
    else:
        reference = (peak + floor) / 2
    weights = (logits - reference).exp_()
    member = torch.nn.functional.one_hot(owners, len(sizes)).to(v.dtype)  # (T, B)
    ones = torch.ones_like(v[..., :1])
    spread = torch.cat((v, ones), -1)[:, :, :, None] * member[None, :, None, :]
    sums = (weights @ spread.flatten(2)).unflatten(-1, (-1, len(sizes)))  # (heads, T, 1 + ., B)
    values = sums[:, :, :-1].permute(0, 2, 1, 3).flatten(0, 1)
    return Partials(torch.cat((values, sums[:, :, -1])), heads, peaks)


def spread_subsets(
    sums: Partials, queries: slice, always: Sequence[int], sometimes: Sequence[int], out: Tensor
) -> None:
    """Sums over the kept blocks, for every subset of some blocks that may be masked.

    One product with a matrix of zeros and ones.

    Args:
        sums: of the blocks.
        queries: the tokens to do it for.
        always: blocks that are kept in all subsets; at least one.
        sometimes: k blocks that are kept in half of them; block i of these is bit i of a subset.
        out: (width + heads, queries, 2**k), written: values, then weights. Index m is the bit set
            of masked blocks.
    """
    if sums.peaks is not None:
        _spread_wide(sums, queries, always, sometimes, out)
        return
    blocks = sums.sums[:, queries].flatten(0, 1)
    kept = blocks.new_zeros(blocks.shape[-1], out.shape[-1])
    kept[list(always)] = 1
    kept[list(sometimes)] = _kept(len(sometimes), blocks.dtype, blocks.device)
    torch.mm(blocks, kept, out=out.view(len(blocks), -1))


@lru_cache(maxsize=32)
def _kept(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Whether each of ``count`` blocks is kept, under every bit set of masked ones (count, 2**)."""
    masks, bits = (torch.arange(size, device=device) for size in (1 << count, count))
    return 1 - (masks >> bits[:, None] & 1).to(dtype)


def _spread_wide(
    sums: Partials, queries: slice, always: Sequence[int], sometimes: Sequence[int], out: Tensor
) -> None:
    """The same where blocks have references of their own: sums are brought to the larger one.

    A subset is made of the one with one more block masked, and that block.
    """
    assert sums.peaks is not None
    heads, width = sums.heads, len(sums.sums) - sums.heads
    peaks = sums.peaks[:, queries]
    tokens, masks = out.shape[1:]
    blocks = sums.sums[:, queries]
    values, weights = blocks[:width].reshape(heads, width // heads, tokens, -1), blocks[width:]
    out_values = out[:width].view(heads, width // heads, tokens, masks)
    out_weights = out[width:]
    reference = torch.empty_like(out_weights)

    def merge(block: int, source: slice, target: slice) -> None:
        """Target = source with the block kept as well."""
        old, new = reference[..., source], peaks[..., block, None]
        peak = torch.maximum(old, new)
        old, new = (old - peak).exp_(), (new - peak).exp_()
        reference[..., target] = peak
        out_weights[..., target] = out_weights[..., source] * old + weights[..., block, None] * new
        out_values[..., target] = (
            out_values[..., source] * old[:, None] + values[..., block, None] * new[:, None]
        )

    last = slice(out.shape[-1] - 1, out.shape[-1])
    reference[..., last] = peaks[..., always[0], None]
    out_weights[..., last] = weights[..., always[0], None]
    out_values[..., last] = values[..., always[0], None]
    for block in always[1:]:
        merge(block, last, last)
    size, end = 1, out.shape[-1]
    for block in sometimes:
        merge(block, slice(end - size, end), slice(end - 2 * size, end - size))
        size *= 2
