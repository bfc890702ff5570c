"""Two encoder layers under all coalitions at once: what the paper's TRIQ needs.

Everything lies (features, tokens, masks), so that all but the products of matrices runs over long
contiguous rows of masks. The masks that keep a region are the subsets of the other regions, so
nothing is gathered by index.

A part of the masks is some five hundred short operations. Python's threads would wait for the
interpreter's lock before each of them, so :func:`attended` is compiled by TorchScript, which takes
a thread from its first operation to its last without the lock. Where torch no longer has it, the
same function runs as it stands here, slower.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate

import torch
from torch import Tensor

from halfsight.masking.folding import Folded, fold
from halfsight.masking.partial import Partials, partials, spread_subsets
from halfsight.models.triq import EncoderLayer


class Kernel:
    """One photograph, ready for all coalitions.

    The masks are cut into parts: the highest regions are masked or kept for a whole part, and the
    others take all their subsets within it. Parts do not depend on each other.

    Args:
        first: the first encoder layer.
        last: the second and last.
        tokens: (T, width), block after block; block 0 is the quality token.
        sizes: tokens of each block; those after the first belong to the regions in order.
        rows: pairs of token and mask worked on at once.

    Attributes:
        parts: number of parts; one after the other they hold all 2**n coalitions in order.
    """

    def __init__(
        self,
        first: EncoderLayer,
        last: EncoderLayer,
        tokens: Tensor,
        sizes: Sequence[int],
        *,
        rows: int,
    ) -> None:
        self.last = last
        self.sums = partials(first.attention, tokens, sizes)
        self.folded = fold(first, last)
        self.residual = tokens.T - tokens.mean(-1) + self.folded.output_bias
        self.ends = [0, *accumulate(sizes)]
        regions = len(sizes) - 1
        # a region of the lower ones is kept in half of a part's masks
        fitting = max(2, 2 * rows // max(sizes)).bit_length() - 1
        self.lower = min(regions, fitting)
        self.parts = 1 << (regions - self.lower)
        self.attended = compiled()

    def quality(self, part: int, scratch: dict[str, Tensor]) -> Tensor:
        """Quality tokens after the last layer, (masks of the part, width).

        Args:
            part: its number.
            scratch: memory to use again for the next part, by name; empty at first.
        """
        token, mixed = self.attended(
            self.folded, self.sums, self.residual, self.ends, self.lower, part, scratch
        )
        quality: Tensor = self.last.after_attention(token.T, self.last.attention.output(mixed.T))
        return quality


@cache
def compiled() -> Callable[..., tuple[Tensor, Tensor]]:
    """:func:`attended`, by TorchScript where torch has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer releases of torch advise against TorchScript
        try:
            script: Callable[..., tuple[Tensor, Tensor]] = torch.jit.script(attended)
        except (AttributeError, OSError):  # no TorchScript, or no source files
            return attended
    return script


def attended(
    folded: Folded,
    sums: Partials,
    residual: Tensor,
    ends: list[int],
    lower: int,
    part: int,
    scratch: dict[str, Tensor],
) -> tuple[Tensor, Tensor]:
    """The quality token's input to the last layer, and what it mixes there.

    Args:
        folded: both layers' weights.
        sums: the first layer's softmax sums.
        residual: the first layer's input less its mean, and the output's bias (width, T).
        ends: where each block of tokens ends, after a leading 0.
        lower: number of the regions that take all their subsets.
        part: whose higher bits say which of the other regions are masked.
        scratch: memory, by name.

    Returns:
        Both (width, 2**lower).
    """
    width, heads, masks = folded.gain1.shape[0], sums.heads, 1 << lower
    below = [1 + bit for bit in range(lower)]
    kept = [0]  # throughout the part
    for region in range(lower, len(ends) - 2):
        if ((part >> (region - lower)) & 1) == 0:
            kept.append(1 + region)

    output, inverse = _first_layer(folded, sums, residual, 0, 1, kept, below, scratch)
    y = output * inverse
    query = torch.addmm(folded.query_bias, folded.query, y).view(heads, -1, masks)
    key, mixed = torch.mm(folded.key_value, y).view(2, heads, -1, masks).unbind(0)
    peak = (query * key).sum(1)  # of the logits so far
    total = torch.ones_like(peak)
    token = folded.gain2 * y + folded.shift2
    for block in kept[1:]:
        output, inverse = _first_layer(
            folded, sums, residual, ends[block], ends[block + 1], kept, below, scratch
        )
        _attend(folded, output, inverse, query, peak, total, mixed, scratch)
    for bit, block in enumerate(below):
        others = below[:bit] + below[bit + 1 :]
        kept.append(block)
        output, inverse = _first_layer(
            folded, sums, residual, ends[block], ends[block + 1], kept, others, scratch
        )
        kept.pop()
        views = [_keeping(state, bit) for state in (query, peak, total, mixed)]
        own = [view.clone(memory_format=torch.contiguous_format).flatten(-2) for view in views]
        _attend(folded, output, inverse, own[0], own[1], own[2], own[3], scratch)
        for i in range(1, 4):
            views[i].copy_(own[i].view(views[i].shape))
    mixed = (mixed / total.unsqueeze(1)).view(width, masks) + folded.value_bias
    return token, mixed


def _keeping(state: Tensor, bit: int) -> Tensor:
    """The masks that keep a region: a view (..., masks / 2**(bit + 1), 2**bit) of (..., masks)."""
    return torch.unflatten(state, -1, [-1, 2, 1 << bit])[..., 0, :]


def _take(scratch: dict[str, Tensor], name: str, like: Tensor, shape: list[int]) -> Tensor:
    """An uninitialised tensor; what was last taken under the name is lost."""
    wanted = 1
    for side in shape:
        wanted *= side
    if name not in scratch or scratch[name].numel() < wanted:
        scratch[name] = torch.empty([wanted], dtype=like.dtype, device=like.device)
    return scratch[name][:wanted].view(shape)


def _first_layer(
    folded: Folded,
    sums: Partials,
    residual: Tensor,
    start: int,
    stop: int,
    always: list[int],
    sometimes: list[int],
    scratch: dict[str, Tensor],
) -> tuple[Tensor, Tensor]:
    """The first layer's output on a block's tokens, under the masks that keep the block.

    Args:
        folded: weights.
        sums: of all blocks.
        residual: of all tokens.
        start: the block's first token.
        stop: the token after its last.
        always: blocks kept under all masks.
        sometimes: blocks kept under half of them.
        scratch: memory.

    Returns:
        Its last norm's input without the mean (width, tokens * masks), and the inverse standard
        deviation (tokens * masks,).
    """
    width, heads, masks = folded.gain1.shape[0], sums.heads, 1 << len(sometimes)
    tokens = stop - start
    rows = tokens * masks

    spread = _take(scratch, "sums", residual, [width + heads, tokens, masks])
    spread_subsets(sums, start, stop, always, sometimes, spread)
    both = spread.view(width + heads, rows)
    mixed, weights = both[:width], both[width:]
    mixed.view(heads, -1, rows).mul_(weights.reciprocal_().unsqueeze(1))

    centred = _take(scratch, "centred", residual, [width + 1, rows])
    z, deviation = centred[:-1], centred[-1]
    z.view(width, tokens, masks).copy_(residual[:, start:stop].unsqueeze(-1))
    z.addmm_(folded.output, mixed)
    square = mixed  # not needed any more
    torch.sum(torch.mul(z, z, out=square), 0, out=deviation)
    deviation.mul_(1 / width).add_(folded.eps1).sqrt_()

    hidden = _take(scratch, "hidden", residual, [folded.expand.shape[0] + 1, rows])
    torch.mm(folded.expand, centred, out=hidden[:-1])
    hidden[:-2].relu_()
    hidden[-1].copy_(deviation)
    output = z.mul_(folded.gain1).addmm_(folded.contract, hidden)
    inverse = _take(scratch, "inverse", residual, [rows])
    torch.sum(torch.mul(output, output, out=square), 0, out=inverse)
    inverse.mul_(1 / width).add_(deviation.square_().mul_(folded.eps2)).rsqrt_()
    return output, inverse


def _attend(
    folded: Folded,
    output: Tensor,
    inverse: Tensor,
    query: Tensor,
    peak: Tensor,
    total: Tensor,
    mixed: Tensor,
    scratch: dict[str, Tensor],
) -> None:
    """Let the quality token's query see a block's tokens.

    All but the query and the block are brought up to date.

    Args:
        folded: weights.
        output: of the first layer on the block's tokens, before its last division.
        inverse: that divisor's inverse.
        query: (heads, width / heads, masks).
        peak: highest logit so far (heads, masks).
        total: sum of the weights relative to it (heads, masks).
        mixed: sum of weighted values (heads, width / heads, masks).
        scratch: memory.
    """
    heads, masks = peak.shape[0], peak.shape[1]
    rows = inverse.shape[0]
    tokens = rows // masks
    keyed = _take(scratch, "hidden", output, [folded.key_value.shape[0], rows])
    torch.mm(folded.key_value, output, out=keyed)
    key, value = keyed.view(2, heads, -1, tokens, masks).unbind(0)
    inverse = inverse.view(tokens, masks)
    logits = _take(scratch, "logits", output, [heads, tokens, masks])
    torch.sum(key.mul_(query.unsqueeze(2)), 1, out=logits)
    logits.mul_(inverse)

    highest = torch.maximum(peak, logits.amax(1))
    shrink = (peak - highest).exp_()
    peak.copy_(highest)
    weights = logits.sub_(highest.unsqueeze(1)).exp_()
    total.mul_(shrink).add_(weights.sum(1))
    value.mul_(weights.mul_(inverse).unsqueeze(1))
    mixed.mul_(shrink.unsqueeze(1)).add_(value.sum(2))
