"""The averaged measure: saliency, frequency and objectness on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from halfsight.grid import Aggregate, RegionGrid
from halfsight.measures import registry
from halfsight.measures.base import (
    MapArray,
    Measure,
    MeasureError,
    MeasureInfo,
    Pixels,
    RegionArray,
    check_pixels,
    for_image,
    region_values,
)


def min_max(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Values brought to 0..1; zeros if they are all the same."""
    raw = np.asarray(values, dtype=np.float64)
    low, high = raw.min(), raw.max()
    return (raw - low) / (high - low) if high > low else np.zeros_like(raw)


def average(values: Sequence[npt.ArrayLike]) -> npt.NDArray[np.float64]:
    """Mean of several measures of the same regions, each min-max normalised first.

    Args:
        values: one array of shape (n,) a measure.

    Returns:
        float64 array of shape (n,), 0..1.
    """
    return np.asarray(np.mean([min_max(one) for one in values], axis=0))


@dataclass(frozen=True)
class Averaged:
    """Mean of other measures, each min-max normalised over the regions of the image.

    Attributes:
        parts: names of measures, or measures.
    """

    info: ClassVar[MeasureInfo] = MeasureInfo(
        name="averaged",
        title="Averaged measure",
        definition="Saliency, frequency and objectness, each min-max normalised over the regions "
        "of the image, averaged.",
        source="You, Lin & Korhonen, ICIP 2023 (arXiv 2301.12891)",
        licence="Apache-2.0 (this package)",
        kind="averaged",
    )
    parts: Sequence[str | Measure] = ("saliency", "frequency", "objectness")

    def __post_init__(self) -> None:
        if not self.parts:
            raise MeasureError("got no measures to average, expected at least one")
        loaded = [registry.load(part) if isinstance(part, str) else part for part in self.parts]
        object.__setattr__(self, "parts", tuple(loaded))

    @property
    def name(self) -> str:
        """Which measure this is."""
        return self.info.name

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures averaged."""
        return tuple(part for part in self.parts if not isinstance(part, str))

    def for_image(self, image: str) -> Averaged:
        """The same for one named image."""
        return Averaged(tuple(for_image(measure, image) for measure in self.measures))

    def cell_values(
        self,
        pixels: Pixels,
        grid: RegionGrid,
        *,
        tokens: tuple[int, int] | None = None,
        how: Aggregate = "mean",
    ) -> RegionArray:
        """One value a region in 0..1, shape (n,); arguments as in :func:`region_values`."""
        return average(
            [region_values(part, pixels, grid, tokens=tokens, how=how) for part in self.measures]
        )

    def __call__(self, pixels: Pixels) -> MapArray:
        """The same over pixels: the maps, each min-max normalised over the image, averaged."""
        check_pixels(pixels)
        return average([measure(pixels) for measure in self.measures]).astype(np.float32)
