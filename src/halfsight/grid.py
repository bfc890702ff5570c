"""The grid of regions: where each region lies in pixels and in tokens.

Regions are numbered row by row from the top-left corner. Lengths that the grid does not divide are
cut as :func:`numpy.array_split` cuts them: the first ``length % parts`` parts are one longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Aggregate = Literal["mean", "max", "top10"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.floating]


class GridError(ValueError):
    """A grid that cannot be laid over the given image or token map."""


def cuts(length: int, parts: int) -> IntArray:
    """Boundaries that cut ``length`` items into ``parts`` runs, as ``numpy.array_split`` does.

    Args:
        length: number of items (pixels or tokens).
        parts: number of runs, at least 1 and at most ``length``.

    Returns:
        int64 array of shape (parts + 1,), from 0 to ``length``.

    Raises:
        GridError: if a part would be empty.
    """
    if not 1 <= parts <= length:
        raise GridError(
            f"got {length} items to cut into {parts} parts, expected at least one item a part; "
            "use a smaller grid or a larger image"
        )
    base, longer = divmod(length, parts)
    runs = np.full(parts, base, dtype=np.int64)
    runs[:longer] += 1
    return np.concatenate(([0], np.cumsum(runs)))


@dataclass(frozen=True)
class RegionGrid:
    """``rows`` x ``cols`` regions, numbered row-major from the top-left.

    Attributes:
        rows: number of regions down the image.
        cols: number of regions across the image.
    """

    rows: int = 3
    cols: int = 4

    MAX_REGIONS = 16
    """Above this the table of all coalitions (2**n scores) is no longer practical."""

    def __post_init__(self) -> None:
        if self.rows < 1 or self.cols < 1 or not 2 <= self.rows * self.cols <= self.MAX_REGIONS:
            raise GridError(
                f"got a grid of {self.rows}x{self.cols}, expected 2 to {self.MAX_REGIONS} regions; "
                "try 3x4"
            )

    @classmethod
    def parse(cls, text: str) -> RegionGrid:
        """Read ``"3x4"`` (rows x columns).

        Raises:
            GridError: if the text is not two positive whole numbers joined by ``x``.
        """
        rows, cross, cols = text.strip().lower().partition("x")
        if not (cross and rows.isdecimal() and cols.isdecimal()):
            raise GridError(f"got grid {text!r}, expected ROWSxCOLUMNS such as 3x4")
        return cls(int(rows), int(cols))

    def __str__(self) -> str:
        return f"{self.rows}x{self.cols}"

    def __len__(self) -> int:
        return self.rows * self.cols

    @property
    def shape(self) -> tuple[int, int]:
        """``(rows, cols)``."""
        return self.rows, self.cols

    def oriented(self, height: int, width: int) -> RegionGrid:
        """This grid turned to the image: its longer side along the image's longer side.

        A 3x4 grid stays 3x4 on landscape and square images and becomes 4x3 on portrait ones.
        """
        if (height > width and self.cols > self.rows) or (width > height and self.rows > self.cols):
            return RegionGrid(self.cols, self.rows)
        return self

    def token_owners(self, height: int, width: int) -> IntArray:
        """Region of every token of a ``height`` x ``width`` token map, flattened row-major.

        Returns:
            int64 array of shape (height * width,).

        Raises:
            GridError: if a region would have no token.
        """
        by_row = np.repeat(np.arange(self.rows), np.diff(cuts(height, self.rows)))
        by_col = np.repeat(np.arange(self.cols), np.diff(cuts(width, self.cols)))
        return np.asarray(by_row[:, None] * self.cols + by_col[None, :]).reshape(-1)

    def boxes(self, height: int, width: int, *, tokens: tuple[int, int] | None = None) -> IntArray:
        """Pixel boxes of the regions.

        Args:
            height: image height in pixels.
            width: image width in pixels.
            tokens: (height, width) of the token map the regions were cut on. The cuts of the token
                map are scaled to pixels, so that a box covers the pixels under its tokens. None
                cuts the pixels themselves.

        Returns:
            int64 array of shape (n, 4): top, left, bottom, right (exclusive), in pixels.
        """
        ys = _scaled_cuts(height, self.rows, tokens[0] if tokens else height)
        xs = _scaled_cuts(width, self.cols, tokens[1] if tokens else width)
        return np.array(
            [
                (ys[r], xs[c], ys[r + 1], xs[c + 1])
                for r in range(self.rows)
                for c in range(self.cols)
            ],
            dtype=np.int64,
        )

    def paint(
        self,
        values: npt.ArrayLike,
        height: int,
        width: int,
        *,
        tokens: tuple[int, int] | None = None,
    ) -> FloatArray:
        """Paint one value a region back over the image.

        Args:
            values: shape (n,).
            height: image height in pixels.
            width: image width in pixels.
            tokens: as in :meth:`boxes`.

        Returns:
            float array of shape (height, width).
        """
        flat = np.asarray(values, dtype=np.float64).reshape(-1)
        if flat.shape != (len(self),):
            raise GridError(f"got {flat.size} values for a {self} grid, expected {len(self)}")
        out = np.empty((height, width), dtype=np.float64)
        for value, (top, left, bottom, right) in zip(
            flat, self.boxes(height, width, tokens=tokens), strict=True
        ):
            out[top:bottom, left:right] = value
        return out

    def aggregate(
        self,
        image_map: npt.ArrayLike,
        *,
        how: Aggregate = "mean",
        tokens: tuple[int, int] | None = None,
    ) -> FloatArray:
        """One value a region from a map over the image.

        Args:
            image_map: shape (height, width).
            how: ``mean``, ``max``, or ``top10`` (mean of the region's highest tenth).
            tokens: as in :meth:`boxes`.

        Returns:
            float64 array of shape (n,).
        """
        grid_map = np.asarray(image_map, dtype=np.float64)
        if grid_map.ndim != 2:
            raise GridError(f"got a map of shape {grid_map.shape}, expected (height, width)")
        out = np.empty(len(self), dtype=np.float64)
        boxes = self.boxes(*grid_map.shape, tokens=tokens)
        for i, (top, left, bottom, right) in enumerate(boxes):
            cell = grid_map[top:bottom, left:right].ravel()
            if how == "mean":
                out[i] = cell.mean()
            elif how == "max":
                out[i] = cell.max()
            elif how == "top10":
                top_count = max(1, round(cell.size / 10))
                out[i] = np.partition(cell, cell.size - top_count)[-top_count:].mean()
            else:
                raise GridError(f"got aggregate {how!r}, expected mean, max or top10")
        return out


def _scaled_cuts(pixels: int, parts: int, tokens: int) -> IntArray:
    """Cuts of ``tokens`` items, scaled to ``pixels`` and rounded to whole pixels."""
    edges = cuts(tokens, parts) * pixels / tokens
    rounded = np.floor(edges + 0.5).astype(np.int64)
    if (np.diff(rounded) < 1).any():
        raise GridError(
            f"got {pixels} pixels for {parts} regions, expected at least one pixel a region; "
            "use a larger image"
        )
    return rounded
