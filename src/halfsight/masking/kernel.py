"""Two encoder layers under all coalitions at once: what the paper's TRIQ needs.

Everything lies (features, tokens, masks), so that all but the products of matrices runs over long
contiguous rows of masks. The masks that keep a region are the subsets of the other regions, so
nothing is gathered by index.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from halfsight.masking.folding import fold
from halfsight.masking.partial import partials, spread_subsets
from halfsight.models.triq import EncoderLayer


class Scratch:
    """Memory that is used again and again, by name."""

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.held: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """An uninitialised tensor; what was last taken under the name is lost."""
        wanted = math.prod(shape)
        if name not in self.held or self.held[name].numel() < wanted:
            self.held[name] = self.like.new_empty(wanted)
        return self.held[name][:wanted].view(shape)


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
        self.heads = first.attention.heads
        self.width = tokens.shape[-1]
        self.sums = partials(first.attention, tokens, sizes)
        self.folded = fold(first, last)
        self.residual = tokens.T - tokens.mean(-1) + self.folded.output_bias
        self.slices = [
            slice(end - size, end)
            for size, end in zip(sizes, torch.tensor(sizes).cumsum(0).tolist(), strict=True)
        ]
        self.regions = len(sizes) - 1
        # a region of the lower ones is kept in half of a part's masks
        fitting = max(2, 2 * rows // max(sizes)).bit_length() - 1
        self.lower = min(self.regions, fitting)
        self.parts = 1 << (self.regions - self.lower)

    def quality(self, part: int, scratch: Scratch) -> Tensor:
        """Quality tokens after the last layer, (masks of the part, width)."""
        folded, width, heads = self.folded, self.width, self.heads
        masks = 1 << self.lower
        lower = list(range(1, 1 + self.lower))
        kept = [1 + i for i in range(self.lower, self.regions) if not part >> i - self.lower & 1]

        output, inverse = self.first_layer(0, [0, *kept], lower, scratch)
        y = output * inverse
        query = torch.addmm(folded.query_bias, folded.query, y).view(heads, -1, masks)
        key, mixed = (folded.key_value @ y).view(2, heads, -1, masks)
        peak = (query * key).sum(1)  # of the logits so far
        total = torch.ones_like(peak)
        token = (folded.gain2 * y + folded.shift2).T
        for block in kept:
            self.attend(block, [0, *kept], lower, scratch, (query, peak, total, mixed))
        for bit, block in enumerate(lower):
            views = [
                tensor.unflatten(-1, (-1, 2, 1 << bit))[..., 0, :]
                for tensor in (query, peak, total, mixed)
            ]
            whole = torch.contiguous_format
            state = tuple(view.clone(memory_format=whole).flatten(-2) for view in views)
            others = [other for other in lower if other != block]
            self.attend(block, [0, block, *kept], others, scratch, state)
            for view, new in zip(views[1:], state[1:], strict=True):
                view.copy_(new.view(view.shape))
        mixed = (mixed / total[:, None]).view(width, masks) + folded.value_bias
        quality: Tensor = self.last.after_attention(token, self.last.attention.output(mixed.T))
        return quality

    def first_layer(
        self, block: int, always: Sequence[int], sometimes: Sequence[int], scratch: Scratch
    ) -> tuple[Tensor, Tensor]:
        """The first layer's output on a block's tokens, under the masks that keep the block.

        Returns:
            Its last norm's input without the mean (width, tokens * masks), and the inverse standard
            deviation (tokens * masks,).
        """
        folded, width, heads = self.folded, self.width, self.heads
        queries = self.slices[block]
        tokens, masks = queries.stop - queries.start, 1 << len(sometimes)
        rows = tokens * masks

        sums = scratch.take("sums", width + heads, tokens, masks)
        spread_subsets(self.sums, queries, always, sometimes, sums)
        mixed, weights = torch.split(sums.view(width + heads, rows), [width, heads])
        mixed.view(heads, -1, rows).mul_(weights.reciprocal_()[:, None])

        centred = scratch.take("centred", width + 1, rows)
        z, deviation = centred[:-1], centred[-1]
        z.view(width, tokens, masks).copy_(self.residual[:, queries, None])
        z.addmm_(folded.output, mixed)
        square = mixed  # not needed any more
        torch.sum(torch.mul(z, z, out=square), 0, out=deviation)
        deviation.mul_(1 / width).add_(folded.eps1).sqrt_()

        hidden = scratch.take("hidden", len(folded.expand) + 1, rows)
        torch.mm(folded.expand, centred, out=hidden[:-1])
        hidden[:-2].relu_()
        hidden[-1] = deviation
        output = z.mul_(folded.gain1).addmm_(folded.contract, hidden)
        inverse = scratch.take("inverse", rows)
        torch.sum(torch.mul(output, output, out=square), 0, out=inverse)
        inverse.mul_(1 / width).add_(deviation.square_().mul_(folded.eps2)).rsqrt_()
        return output, inverse

    def attend(
        self,
        block: int,
        always: Sequence[int],
        sometimes: Sequence[int],
        scratch: Scratch,
        state: tuple[Tensor, ...],
    ) -> None:
        """Let the quality token's query see a block's tokens.

        Args:
            block: its number.
            always: blocks kept under all masks.
            sometimes: blocks kept under half of them.
            scratch: memory.
            state: under these masks, the query (heads, width / heads, masks), the highest logit so
                far (heads, masks), the sum of weights relative to it (heads, masks) and the sum of
                weighted values (heads, width / heads, masks). All but the query are brought up to
                date.
        """
        query, peak, total, mixed = state
        output, inverse = self.first_layer(block, always, sometimes, scratch)
        masks = query.shape[-1]
        tokens = len(inverse) // masks
        keyed = scratch.take("hidden", 2 * self.width, len(inverse))
        torch.mm(self.folded.key_value, output, out=keyed)
        key, value = keyed.view(2, self.heads, -1, tokens, masks)
        inverse = inverse.view(tokens, masks)
        logits = scratch.take("logits", self.heads, tokens, masks)
        torch.sum(key.mul_(query[:, :, None]), 1, out=logits)
        logits.mul_(inverse)

        highest = torch.maximum(peak, logits.amax(1))
        shrink = (peak - highest).exp_()
        peak.copy_(highest)
        weights = logits.sub_(highest[:, None]).exp_()
        total.mul_(shrink).add_(weights.sum(1))
        value.mul_(weights.mul_(inverse)[:, None])
        mixed.mul_(shrink[:, None]).add_(value.sum(2))
