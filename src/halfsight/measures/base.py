"""What a measure is, and how a region gets its value.

A measure turns an image into a map: one number a pixel, higher where the image has more of what is
measured. :func:`region_values` turns the map into one number a region.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import cv2
import numpy as np
import numpy.typing as npt

from halfsight.grid import Aggregate, RegionGrid

Pixels = npt.NDArray[np.uint8]
"""RGB image, shape (height, width, 3)."""

MapArray = npt.NDArray[np.float32]
"""A measure over the image, shape (height, width)."""

RegionArray = npt.NDArray[np.float64]
"""One value a region, shape (n,)."""

Kind = Literal["saliency", "frequency", "objectness", "averaged", "control", "other"]


class MeasureError(ValueError):
    """A measure that cannot be found, cannot be run here, or returned something unusable."""


@dataclass(frozen=True)
class MeasureInfo:
    """The card of a measure.

    Attributes:
        name: what to call it with.
        title: a few words for people.
        definition: what it computes, in a sentence or two.
        source: the paper or the package it comes from.
        licence: of the method's code or weights.
        needs: what must be there besides this package; empty when nothing.
        kind: which of the studied properties it measures.
        evidence: how well it does against people, with the data it was measured on.
    """

    name: str
    title: str
    definition: str
    source: str
    licence: str
    needs: str = ""
    kind: Kind = "other"
    evidence: str = ""


@runtime_checkable
class Measure(Protocol):
    """Image to map."""

    @property
    def name(self) -> str:
        """Which measure this is."""

    def __call__(self, pixels: Pixels) -> MapArray:
        """Map of shape (height, width), higher where there is more of what is measured."""


@runtime_checkable
class CellMeasure(Measure, Protocol):
    """A measure that is defined on regions rather than on pixels."""

    def cell_values(
        self,
        pixels: Pixels,
        grid: RegionGrid,
        *,
        tokens: tuple[int, int] | None = None,
        how: Aggregate = "mean",
    ) -> RegionArray:
        """One value a region, shape (n,)."""


@runtime_checkable
class NamedMeasure(Measure, Protocol):
    """A measure that must be told which image it is asked about."""

    def for_image(self, image: str) -> Measure:
        """The measure of the image called ``image``."""


def for_image(measure: Measure, image: str) -> Measure:
    """The measure to use for one named image.

    Args:
        measure: any measure.
        image: name of the image, relative to its data set.

    Returns:
        ``measure`` itself, unless it depends on the name (maps computed elsewhere).
    """
    return measure.for_image(image) if isinstance(measure, NamedMeasure) else measure


def region_values(
    measure: Measure,
    pixels: Pixels,
    grid: RegionGrid,
    *,
    tokens: tuple[int, int] | None = None,
    how: Aggregate = "mean",
) -> RegionArray:
    """One value a region.

    The map is aggregated over each region, unless the measure is defined on regions itself
    (:class:`CellMeasure`: the spectrum of a region, the average of normalised regions).

    Args:
        measure: what to measure.
        pixels: uint8 RGB image, shape (height, width, 3).
        grid: the regions.
        tokens: (height, width) of the token map the regions were cut on, as in
            :meth:`halfsight.grid.RegionGrid.boxes`.
        how: ``mean``, ``max``, or ``top10`` (mean of the region's highest tenth).

    Returns:
        float64 array of shape (n,), finite.

    Raises:
        MeasureError: if the image is not uint8 RGB, or the measure returned a wrong shape or
            values that are not finite.
    """
    check_pixels(pixels)
    if isinstance(measure, CellMeasure):
        values = measure.cell_values(pixels, grid, tokens=tokens, how=how)
        values = np.asarray(values, dtype=np.float64)
        expected: tuple[int, ...] = (len(grid),)
    else:
        values = np.asarray(measure(pixels), dtype=np.float64)
        expected = pixels.shape[:2]
    if values.shape != expected:
        raise MeasureError(
            f"got an answer of shape {values.shape} from measure {measure.name!r}, expected "
            f"{expected}; return one value a pixel"
        )
    if not np.isfinite(values).all():
        raise MeasureError(
            f"got values that are not finite from measure {measure.name!r}, expected finite ones; "
            "leave the image out or use another measure"
        )
    if values.ndim == 1:
        return values
    return np.asarray(grid.aggregate(values, how=how, tokens=tokens), dtype=np.float64)


def check_pixels(pixels: Pixels) -> tuple[int, int]:
    """Height and width of a uint8 RGB image.

    Raises:
        MeasureError: if it is not one.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise MeasureError(
            f"got an image of shape {pixels.shape} and type {pixels.dtype}, expected uint8 RGB of "
            "shape (height, width, 3)"
        )
    return pixels.shape[0], pixels.shape[1]


def is_flat(pixels: Pixels) -> bool:
    """Whether every pixel has the same colour, so that no place stands out."""
    return bool((pixels == pixels[0, 0]).all())


def shrink(pixels: Pixels, longest: int, *, shortest: int = 1) -> Pixels:
    """The image with its longer side at most ``longest`` pixels; never enlarged.

    Args:
        pixels: uint8 RGB image, shape (height, width, 3).
        longest: limit for the longer side, in pixels.
        shortest: the shorter side is not brought below this, even where the longer one then
            stays above its limit.

    Returns:
        uint8 RGB image.
    """
    height, width = pixels.shape[:2]
    scale = max(longest / max(height, width), shortest / min(height, width))
    if scale >= 1:
        return np.ascontiguousarray(pixels)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def fit_map(values: npt.ArrayLike, height: int, width: int) -> MapArray:
    """Bring a map to the image's size, bilinearly.

    Args:
        values: shape (any, any), finite.
        height: of the image, in pixels.
        width: of the image, in pixels.

    Returns:
        float32 array of shape (height, width).
    """
    small = np.asarray(values, dtype=np.float32)
    if small.shape != (height, width):
        small = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
    return small.astype(np.float32, copy=False)
