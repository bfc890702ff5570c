"""Which regions to read: selectors rank them from what is cheap to know.

``learned`` is distilled from tables of coalitions and sees a thumbnail. The measures see the
photograph at no more than :data:`LONGEST` pixels. ``centre``, ``checkerboard`` and ``random`` see
nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from halfsight.budget.crops import BudgetError, Pixels
from halfsight.budget.thumbnail import ThumbnailNet, as_input, thumbnail
from halfsight.grid import RegionGrid
from halfsight.measures import base, registry

Values = npt.NDArray[np.float64]
"""One value a region, shape (n,); the highest are read."""

LONGEST = 256
"""Longer side, in pixels, of what the measures see: at full size they cost more than they save."""

MEASURES = {
    "saliency": "saliency",
    "frequency": "frequency",
    "objectness": "objectness",
    "averaged": "averaged",
}
"""Selectors made of a measure, and the measure."""

PATTERNS = ("centre", "checkerboard", "random")
NAMES = ("learned", *MEASURES, *PATTERNS)


class Selector(Protocol):
    """Photograph to one value a region."""

    @property
    def name(self) -> str:
        """What results call it."""

    def values(self, pixels: Pixels, grid: RegionGrid) -> Values:
        """Values (n,) of a photograph uint8 (H, W, 3) under a grid turned to it."""


def ranking(values: npt.ArrayLike) -> tuple[int, ...]:
    """Regions from the highest value to the lowest, ties by region number."""
    order = np.argsort(-np.asarray(values, dtype=np.float64), kind="stable")
    return tuple(int(region) for region in order)


@dataclass(frozen=True)
class Learned:
    """The network that ranks regions from a thumbnail."""

    net: ThumbnailNet = field(repr=False)
    name: str = "learned"

    @torch.inference_mode()
    def values(self, pixels: Pixels, grid: RegionGrid) -> Values:
        """As :meth:`Selector.values`."""
        given = as_input(thumbnail(pixels, grid)[None])
        return np.asarray(self.net(given)[0].double().numpy())


@dataclass(frozen=True)
class ByMeasure:
    """A semantic measure of the photograph, reduced to :data:`LONGEST` pixels."""

    measure: base.Measure = field(repr=False)
    name: str

    def values(self, pixels: Pixels, grid: RegionGrid) -> Values:
        """As :meth:`Selector.values`."""
        return base.region_values(self.measure, base.shrink(pixels, LONGEST), grid)


@dataclass(frozen=True)
class Centre:
    """Regions nearest the centre of the frame first."""

    name: str = "centre"

    def values(self, pixels: Pixels, grid: RegionGrid) -> Values:
        """As :meth:`Selector.values`."""
        y = (np.arange(grid.rows) + 0.5) / grid.rows - 0.5
        x = (np.arange(grid.cols) + 0.5) / grid.cols - 0.5
        return np.asarray(-np.hypot(y[:, None], x[None, :])).reshape(-1)


@dataclass(frozen=True)
class Checkerboard:
    """Every other region first, the ones nearest the centre leading: half of a photograph, spread.

    The regions come in two halves like the colours of a chessboard.
    """

    name: str = "checkerboard"

    def values(self, pixels: Pixels, grid: RegionGrid) -> Values:
        """As :meth:`Selector.values`."""
        white = (np.arange(grid.rows)[:, None] + np.arange(grid.cols)[None, :]) % 2 == 0
        return np.asarray(Centre().values(pixels, grid) + 2.0 * white.reshape(-1))


@dataclass(frozen=True)
class Random:
    """Regions drawn by chance; the same photograph always gets the same draw."""

    seed: int = 0
    name: str = "random"

    def values(self, pixels: Pixels, grid: RegionGrid) -> Values:
        """As :meth:`Selector.values`."""
        # a photograph's own numbers, so that its score does not depend on what came before it
        seen = np.ascontiguousarray(pixels[:: max(1, pixels.shape[0] // 16)])
        digest = hashlib.blake2b(seen.tobytes(), digest_size=8).digest()
        draw = np.random.default_rng((self.seed, int.from_bytes(digest)))
        return np.asarray(draw.random(len(grid)))


def load(name: str, *, learned: ThumbnailNet | None = None, seed: int = 0) -> Selector:
    """A selector by name.

    Args:
        name: one of :data:`NAMES`.
        learned: the network of ``learned``, which comes with the head.
        seed: of ``random``.

    Raises:
        BudgetError: if there is no such selector, or no network for ``learned``.
    """
    if name == "learned":
        if learned is None:
            raise BudgetError(
                "got selector 'learned' without its network; train it: halfsight budget train"
            )
        return Learned(learned)
    if name in MEASURES:
        return ByMeasure(registry.load(MEASURES[name]), name)
    patterns: dict[str, Selector] = {
        "centre": Centre(),
        "checkerboard": Checkerboard(),
        "random": Random(seed),
    }
    if name not in patterns:
        raise BudgetError(f"got selector {name!r}, expected one of {', '.join(NAMES)}")
    return patterns[name]


def kept(order: Sequence[int], count: int) -> tuple[int, ...]:
    """The first ``count`` regions of a ranking, in order of their numbers."""
    return tuple(sorted(order[:count]))
