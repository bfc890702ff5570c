"""The first layer's attention, cut into what each region adds to it.

Masking changes nothing before the first softmax: the logits and values of the first layer are the
same under every mask. A masked softmax is a sum over the kept regions divided by a sum over the
kept regions, so the sums of each region are formed once, and every mask is made of them.

:func:`spread_subsets` and what it calls are written for TorchScript too: see
:mod:`halfsight.masking.kernel`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from halfsight.models.triq import MultiHeadAttention

WIDEST = 120.0
"""Gap of logits that one exponent serves: exp(+-60) times the values stays in float32's range."""


class Partials(NamedTuple):
    """Softmax sums of every query over the keys of one block of tokens each.

    Block 0 is the quality token alone, block 1 + i is region i. For query t, head h and block b,
    ``weights`` holds the sum of exp(logit - reference) over the block's keys, and ``values`` that
    sum weighted with the value vectors.

    Attributes:
        sums: (width + heads, T, B): values, heads one after the other, then weights.
        heads: number of heads.
        subsets: (B - 1, 2**(B - 1)): whether block i is kept, 1 or 0, under every bit set of
            masked ones. Its first k rows and 2**k columns are those of k blocks.
        peaks: (heads, T, B), the reference of each block where they differ; None if a query has
            one reference for all its blocks, so that sums of blocks are plain sums.
    """

    sums: Tensor
    heads: int
    subsets: Tensor
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
    sums = torch.cat((values, sums[:, :, -1]))
    return Partials(sums, heads, _subsets(len(sizes) - 1, tokens), peaks)


def _subsets(count: int, like: Tensor) -> Tensor:
    masks, bits = (torch.arange(size, device=like.device) for size in (1 << count, count))
    return 1 - (masks >> bits[:, None] & 1).to(like.dtype)


def spread_subsets(
    blocks: Partials, start: int, stop: int, always: list[int], sometimes: list[int], out: Tensor
) -> None:
    """Sums over the kept blocks, for every subset of some blocks that may be masked.

    One product with a matrix of zeros and ones.

    Args:
        blocks: their sums.
        start: first token to do it for.
        stop: the token after the last.
        always: blocks that are kept in all subsets; at least one.
        sometimes: k blocks that are kept in half of them; block i of these is bit i of a subset.
        out: (width + heads, tokens, 2**k), written: values, then weights. Index m is the bit set
            of masked blocks.
    """
    peaks = blocks.peaks
    if peaks is not None:
        _spread_wide(blocks, peaks, start, stop, always, sometimes, out)
        return
    sums = blocks.sums[:, start:stop].flatten(0, 1)
    kept = torch.zeros([sums.shape[1], out.shape[2]], dtype=sums.dtype, device=sums.device)
    for block in always:
        kept[block].fill_(1.0)
    for bit, block in enumerate(sometimes):
        kept[block].copy_(blocks.subsets[bit, : out.shape[2]])
    torch.mm(sums, kept, out=out.view(sums.shape[0], -1))


def _spread_wide(
    blocks: Partials,
    peaks: Tensor,
    start: int,
    stop: int,
    always: list[int],
    sometimes: list[int],
    out: Tensor,
) -> None:
    """The same where blocks have references of their own: sums are brought to the larger one.

    A subset is made of the one with one more block masked, and that block.
    """
    heads = blocks.heads
    width = out.shape[0] - heads
    tokens, masks = out.shape[1], out.shape[2]
    # by head: values (heads, width / heads, ...), weights (heads, 1, ...), references likewise
    values = blocks.sums[:width, start:stop].reshape(heads, width // heads, tokens, -1)
    weights = blocks.sums[width:, start:stop].unsqueeze(1)
    peaks = peaks[:, start:stop].unsqueeze(1)
    out_values = out[:width].view(heads, width // heads, tokens, masks)
    out_weights = out[width:].unsqueeze(1)
    reference = torch.empty_like(out_weights)

    last = masks - 1
    reference[..., last].copy_(peaks[..., always[0]])
    out_weights[..., last].copy_(weights[..., always[0]])
    out_values[..., last].copy_(values[..., always[0]])
    # what is merged: a block, and the subsets from which to which
    steps: list[tuple[int, int, int, int]] = []
    for block in always[1:]:
        steps.append((block, last, last, 1))
    size = 1
    for block in sometimes:
        steps.append((block, masks - size, masks - 2 * size, size))
        size *= 2
    for block, source, target, count in steps:
        old = reference[..., source : source + count]
        new = peaks[..., block : block + 1]
        peak = torch.maximum(old, new)
        old = (old - peak).exp_()
        new = (new - peak).exp_()
        for result, one in ((out_weights, weights), (out_values, values)):
            merged = result[..., source : source + count] * old + one[..., block : block + 1] * new
            result[..., target : target + count].copy_(merged)
        reference[..., target : target + count].copy_(peak)
