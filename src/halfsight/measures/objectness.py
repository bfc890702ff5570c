"""Objectness: how likely a pixel belongs to an object.

Every measure here lets proposed boxes vote: a pixel's value is the weighted number of boxes over
it. :class:`SelectiveSearch` is the default: it needs no trained files, so it gives the same answer
on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from halfsight.measures.base import (
    MapArray,
    MeasureError,
    MeasureInfo,
    Pixels,
    check_pixels,
    fit_map,
    is_flat,
    shrink,
)

Boxes = npt.NDArray[np.int64]
"""Shape (count, 4): left, top, right, bottom (exclusive), in pixels."""


def vote_map(
    boxes: Boxes, weights: npt.ArrayLike, *, size: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Sum of the weights of the boxes over each pixel.

    Args:
        boxes: shape (count, 4): left, top, right, bottom (exclusive), inside the image.
        weights: shape (count,).
        size: (height, width) of the image in pixels.

    Returns:
        float64 array of shape (height, width).
    """
    height, width = size
    votes = np.asarray(weights, dtype=np.float64)
    left, top, right, bottom = np.asarray(boxes, dtype=np.int64).reshape(-1, 4).T
    corners = np.zeros((height + 1, width + 1))
    np.add.at(corners, (top, left), votes)
    np.add.at(corners, (bottom, right), votes)
    np.add.at(corners, (top, right), -votes)
    np.add.at(corners, (bottom, left), -votes)
    # Rounding must not leave a small negative number where no box is.
    return np.asarray(np.maximum(corners.cumsum(axis=0).cumsum(axis=1)[:height, :width], 0))


@dataclass(frozen=True)
class SelectiveSearch:
    """Votes of the boxes of selective search (OpenCV contrib, ``fast`` strategies).

    OpenCV orders the boxes by a random rank that no seed fixes; the set of boxes is always the
    same, so the votes here are weighted without that order: a box loses three quarters of its
    weight for every side of the image it touches, as background does and most objects do not.

    Attributes:
        side: the longer side of the working copy, in pixels. The time grows faster than its square.
        kept: share of its weight a box keeps for every image side it touches, 0..1.
    """

    info: ClassVar[MeasureInfo] = MeasureInfo(
        name="selective-search",
        title="Selective search votes",
        definition="How many boxes of selective search cover a pixel; a box counts a quarter for "
        "each side of the image it touches.",
        source="Uijlings et al., IJCV 104, 2013; OpenCV contrib ximgproc",
        licence="Apache-2.0 (OpenCV)",
        kind="objectness",
    )
    side: int = 200
    kept: float = 0.25

    def __post_init__(self) -> None:
        if self.side < 16 or not 0 <= self.kept <= 1:
            raise MeasureError(
                f"got side {self.side} and kept {self.kept}, expected at least 16 and 0 to 1"
            )

    @property
    def name(self) -> str:
        """Which measure this is."""
        return self.info.name

    def boxes(self, pixels: Pixels) -> tuple[Boxes, tuple[int, int]]:
        """Boxes in the working copy, sorted, and that copy's (height, width)."""
        small = shrink(pixels, self.side)
        search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
        search.setBaseImage(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        search.switchToSelectiveSearchFast()
        found = np.unique(np.asarray(search.process(), dtype=np.int64).reshape(-1, 4), axis=0)
        found[:, 2:] += found[:, :2]
        return found, (small.shape[0], small.shape[1])

    def __call__(self, pixels: Pixels) -> MapArray:
        """Map of shape (height, width), not negative; zeros for an image of one colour."""
        height, width = check_pixels(pixels)
        if is_flat(pixels):
            return np.zeros((height, width), dtype=np.float32)
        boxes, size = self.boxes(pixels)
        return fit_map(vote_map(boxes, self.kept ** touched(boxes, size), size=size), height, width)


def touched(boxes: Boxes, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """How many of the four image sides each box touches, shape (count,)."""
    height, width = size
    left, top, right, bottom = boxes.T
    sides = [left <= 0, top <= 0, right >= width, bottom >= height]
    return np.asarray(np.sum(sides, axis=0), dtype=np.int64)
