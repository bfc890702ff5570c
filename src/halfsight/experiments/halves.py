"""Halves of photographs: the important one and the controls, as bit sets of masked regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from halfsight import coalitions

IntArray = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def bits(chosen: Bools) -> IntArray:
    """Bit set of each row of bool (..., n), int64 (...)."""
    return np.asarray(chosen @ (1 << np.arange(chosen.shape[-1], dtype=np.int64)))


def top(values: npt.ArrayLike, k: int) -> Bools:
    """The k regions of largest magnitude in each row of (N, n); ties go to the lower number."""
    magnitude = np.abs(np.asarray(values, dtype=np.float64))
    order = np.argsort(-magnitude, axis=1, kind="stable")[:, :k]
    chosen = np.zeros(magnitude.shape, dtype=np.bool_)
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen


def centre(grids: Sequence[tuple[int, int]]) -> Bools:
    """The half of each grid's regions nearest the middle of the picture, bool (N, n).

    In a 3x4 grid these are the two middle columns. Ties go to the lower number.
    """
    found = {}
    for rows, cols in set(grids):
        y = (np.arange(rows) + 0.5) / rows - 0.5
        x = (np.arange(cols) + 0.5) / cols - 0.5
        away = np.round(np.hypot(y[:, None], x[None, :]).ravel(), 9)
        found[rows, cols] = top(-away[None] + away.max() + 1, rows * cols // 2)[0]
    return np.stack([found[grid] for grid in grids])


def random(count: int, n: int, draws: int, *, seed: int) -> Bools:
    """Random halves, one a photograph and draw, bool (draws, count, n).

    They come in pairs: every second draw is the complement of the one before it, where n is even.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range((draws + 1) // 2):
        order = rng.random((count, n)).argsort(axis=1)
        chosen = np.zeros((count, n), dtype=np.bool_)
        np.put_along_axis(chosen, order[:, : n // 2], True, axis=1)
        found += [chosen, ~chosen]
    return np.stack(found[:draws])


def shuffled(chosen: Bools, grids: Sequence[tuple[int, int]], *, seed: int) -> Bools:
    """Each photograph gets the half of another one with the same grid, bool (N, n)."""
    rng = np.random.default_rng(seed)
    found = chosen.copy()
    for grid in sorted(set(grids)):
        rows = np.array([at for at, one in enumerate(grids) if one == grid])
        order = rng.permutation(rows)
        found[order] = chosen[np.roll(order, 1)]
    return found


def every(n: int) -> IntArray:
    """Bit sets of all halves of n regions, ascending: 924 of 12."""
    return np.flatnonzero(coalitions.sizes(n) == n // 2)


def likeliest(grids: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The grid most photographs have; of equally frequent ones the first met."""
    return max(dict.fromkeys(grids), key=list(grids).count)
