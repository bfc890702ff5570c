"""Blocks of a photograph through the backbone, their tokens at their true positions.

A block is what lies under the tokens of one region. At 1024x768 a block of the 3x4 grid is exactly
256x256 pixels, 8x8 features and 4x4 tokens. Where the grid does not divide the token map the blocks
differ by one token a side, and the last row and column end with the photograph.

Chosen blocks that lie side by side are read as one rectangle. The backbone sees a rectangle in a
*window* with one feature more on each side where the photograph has it, and the features of that
border are thrown away: a convolution at a rectangle's own border would see zeros where its
neighbours are. Windows of one size share a batch. Where a side is a multiple of 32 pixels a block's
features are sampled exactly where those of the whole photograph are; elsewhere the two are apart by
less than one feature.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from halfsight.grid import IntArray, RegionGrid, cuts
from halfsight.models.inputs import InputPolicy
from halfsight.models.triq import TRIQ

STRIDE = 32
"""Pixels a feature; backbones of another stride are refused."""

CONTEXT = 1
"""Features around a rectangle of blocks that its window holds besides."""

Box = tuple[int, int, int, int]
"""Top, left, bottom, right, the last two exclusive."""

Pixels = npt.NDArray[np.uint8]


class BudgetError(ValueError):
    """A budget, or a model, that cannot be scored from a part of the photograph."""


def area(boxes: Iterable[Box]) -> int:
    """Pixels that boxes hold together; what two of them hold counts twice."""
    return sum((bottom - top) * (right - left) for top, left, bottom, right in boxes)


@dataclass(frozen=True)
class Layout:
    """Where the regions of one photograph lie, in pixels and in tokens.

    Attributes:
        size: (height, width) of the network's input.
        grid: the regions, turned as the photograph.
        pooled: whether TRIQ pools the feature map 2x2.
    """

    size: tuple[int, int]
    grid: RegionGrid
    pooled: bool

    @classmethod
    def of(cls, net: TRIQ, height: int, width: int, grid: RegionGrid) -> Layout:
        """The layout of a photograph of a network's input size.

        Args:
            net: decides where the feature map is pooled.
            height: in pixels.
            width: in pixels.
            grid: turned to the photograph here.
        """
        features = -(-height // STRIDE), -(-width // STRIDE)
        side = features[0] if net.config.positions == "truncate" else min(features)
        return cls((height, width), grid.oriented(height, width), side >= net.config.pool_from)

    @property
    def features(self) -> tuple[int, int]:
        """(height, width) of the backbone's feature map."""
        return -(-self.size[0] // STRIDE), -(-self.size[1] // STRIDE)

    @property
    def scale(self) -> int:
        """Features a token, along a side."""
        return 2 if self.pooled else 1

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of the token map."""
        return self.features[0] // self.scale, self.features[1] // self.scale

    @cached_property
    def spans(self) -> tuple[Box, ...]:
        """Top, left, bottom, right (exclusive) of every region, in tokens.

        Raises:
            GridError: if a region would have no token.
        """
        ys, xs = cuts(self.shape[0], self.grid.rows), cuts(self.shape[1], self.grid.cols)
        return tuple(
            (int(ys[r]), int(xs[c]), int(ys[r + 1]), int(xs[c + 1]))
            for r in range(self.grid.rows)
            for c in range(self.grid.cols)
        )

    def box(self, region: int) -> Box:
        """Top, left, bottom, right (exclusive) of a region's block, in pixels."""
        step = STRIDE * self.scale
        top, left, bottom, right = self.spans[region]
        height, width = self.size
        return top * step, left * step, min(bottom * step, height), min(right * step, width)

    def rectangles(self, regions: Sequence[int]) -> list[Box]:
        """Rectangles of the grid's rows and columns that hold the regions and no others.

        Neighbours in a row are joined, then equal stretches of rows that follow each other.
        """
        # a margin left and right, so that every stretch begins and ends
        chosen = np.zeros((self.grid.rows, self.grid.cols + 2), dtype=np.int8)
        for region in regions:
            chosen[region // self.grid.cols, 1 + region % self.grid.cols] = 1
        tops: dict[tuple[int, int, int], int] = {}  # by left, bottom, right
        for row, edges in enumerate(np.diff(chosen, axis=1)):
            starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
            for left, right in zip(starts.tolist(), ends.tolist(), strict=True):
                tops[left, row + 1, right] = tops.pop((left, row, right), row)
        return [(top, left, bottom, right) for (left, bottom, right), top in tops.items()]

    def inside(self, rectangle: Box) -> list[int]:
        """Numbers of a rectangle's regions."""
        top, left, bottom, right = rectangle
        return [
            row * self.grid.cols + column
            for row in range(top, bottom)
            for column in range(left, right)
        ]

    def window(self, rectangle: Box) -> Box:
        """What the backbone sees of a rectangle, in pixels."""
        regions = self.inside(rectangle)
        top, left = self.box(regions[0])[:2]
        bottom, right = self.box(regions[-1])[2:]
        more = CONTEXT * STRIDE
        height, width = self.size
        return (
            max(0, top - more),
            max(0, left - more),
            min(bottom + more, height),
            min(right + more, width),
        )

    def windows(self, regions: Sequence[int]) -> dict[Box, list[int]]:
        """Windows to read, with the regions each holds.

        Where they would hold more pixels than the photograph, as on small ones, it is read whole.
        """
        found = {self.window(box): self.inside(box) for box in self.rectangles(regions)}
        height, width = self.size
        return found if area(found) < height * width else {(0, 0, height, width): list(regions)}

    def within(self, region: int, window: Box) -> tuple[slice, slice]:
        """Rows and columns of a region's features in the feature map of a window."""
        top, left, bottom, right = (edge * self.scale for edge in self.spans[region])
        above, before = (edge // STRIDE for edge in window[:2])
        return slice(top - above, bottom - above), slice(left - before, right - before)

    def places(self, region: int) -> IntArray:
        """Numbers of a region's tokens in the row-major token map, in the block's own order."""
        top, left, bottom, right = self.spans[region]
        rows, cols = np.arange(top, bottom), np.arange(left, right)
        return np.asarray(rows[:, None] * self.shape[1] + cols[None, :]).reshape(-1)


@dataclass(frozen=True)
class Blocks:
    """Projected tokens of some regions of one photograph, before the positions are added.

    Attributes:
        tokens: (T, width).
        places: int64 (T,), the tokens' numbers in the row-major token map.
    """

    tokens: Tensor
    places: Tensor

    def __add__(self, other: Blocks) -> Blocks:
        return Blocks(
            torch.cat((self.tokens, other.tokens)), torch.cat((self.places, other.places))
        )


def block_features(
    net: TRIQ,
    policy: InputPolicy,
    pixels: Pixels,
    layout: Layout,
    regions: Sequence[int],
    *,
    seen: dict[Box, Tensor] | None = None,
) -> dict[int, Tensor]:
    """Features of the blocks of some regions.

    Args:
        net: its backbone is used.
        policy: normalises the windows, and nothing but the windows.
        pixels: uint8 (H, W, 3) at the network's input size.
        layout: of that size.
        regions: numbers of the regions.
        seen: feature maps of windows by window, to be used again and added to; a comparison of
            many choices on one photograph saves the backbone's time by it.

    Returns:
        features (C, h, w) by region.

    Raises:
        BudgetError: if the backbone's stride is not 32.
    """
    made: dict[int, Tensor] = {}
    for window, (held, features) in window_features(
        net, policy, pixels, layout, regions, seen=seen
    ).items():
        for region in held:
            rows, cols = layout.within(region, window)
            made[region] = features[:, rows, cols]
    return made


def window_features(
    net: TRIQ,
    policy: InputPolicy,
    pixels: Pixels,
    layout: Layout,
    regions: Sequence[int],
    *,
    seen: dict[Box, Tensor] | None = None,
) -> dict[Box, tuple[list[int], Tensor]]:
    """The windows of some regions, with the regions each holds and its features (C, h, w).

    Arguments and errors as :func:`block_features`.
    """
    seen = {} if seen is None else seen
    windows = layout.windows(regions)
    sizes: dict[tuple[int, int], list[Box]] = {}
    for window in windows:
        if window not in seen:
            height, width = window[2] - window[0], window[3] - window[1]
            sizes.setdefault((height, width), []).append(window)
    for (height, width), group in sizes.items():
        inputs = [policy.normalise(pixels[t:b, x:r]) for t, x, b, r in group]
        features = net.backbone(torch.cat(inputs) if len(inputs) > 1 else inputs[0])
        wanted = -(-height // STRIDE), -(-width // STRIDE)
        if tuple(features.shape[-2:]) != wanted:
            raise BudgetError(
                f"got {features.shape[-2]}x{features.shape[-1]} features of {height}x{width} "
                f"pixels from {net.config.backbone}, expected {wanted[0]}x{wanted[1]}; use a "
                f"backbone of stride {STRIDE}"
            )
        seen.update(zip(group, features, strict=True))
    return {window: (held, seen[window]) for window, held in windows.items()}


def project(net: TRIQ, features: Tensor, layout: Layout) -> Tensor:
    """Features (N, C, h, w) of blocks or photographs to tokens (N, T, width), pooled as laid out.

    Whether to pool is the photograph's business: a block alone is too small for the rule.
    """
    return pooled(net.project(features), layout)


def pooled(projected: Tensor, layout: Layout) -> Tensor:
    """Projected features (N, width, h, w) to tokens (N, T, width)."""
    if layout.pooled:
        projected = torch.nn.functional.max_pool2d(projected, 2)
    return projected.flatten(2).transpose(1, 2)


def read_blocks(
    net: TRIQ,
    policy: InputPolicy,
    pixels: Pixels,
    layout: Layout,
    regions: Sequence[int],
    *,
    seen: dict[Box, Tensor] | None = None,
) -> Blocks:
    """Tokens of some regions, from their windows alone; arguments as :func:`block_features`."""
    tokens, places = [], []
    for window, (held, features) in window_features(
        net, policy, pixels, layout, regions, seen=seen
    ).items():
        projected = net.project(features[None])
        for region in held:
            rows, cols = layout.within(region, window)
            tokens.append(pooled(projected[..., rows, cols], layout)[0])
            places.append(layout.places(region))
    return Blocks(torch.cat(tokens), torch.from_numpy(np.concatenate(places)))


def answer(net: TRIQ, blocks: Blocks, layout: Layout) -> Tensor:
    """The head's output (1, levels) or (1,) from the tokens of some regions.

    The other tokens are left out, which equals masking them: only the quality token is read.
    """
    positions = net.position_table(*layout.shape)[0]
    sequence = torch.cat(
        (net.quality_token[0] + positions[:1], blocks.tokens + positions[1 + blocks.places])
    )
    return net.head(net.encode(net.dropout(sequence[None])))


def score(
    net: TRIQ,
    policy: InputPolicy,
    pixels: Pixels,
    layout: Layout,
    regions: Sequence[int],
    *,
    seen: dict[Box, Tensor] | None = None,
) -> float:
    """A head's score from some regions; arguments as :func:`block_features`."""
    blocks = read_blocks(net, policy, pixels, layout, regions, seen=seen)
    return float(net.scores(answer(net, blocks, layout))[0])
