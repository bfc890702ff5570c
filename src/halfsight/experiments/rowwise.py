"""Rank statistics of many photographs at once: one number a row of two arrays (N, n)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def spearman(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Spearman correlation of each row of ``a`` with that of ``b``, (N,); nan for constant rows."""
    x, y = (np.asarray(rankdata(one, axis=1), dtype=np.float64) for one in (a, b))
    return _normed(x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True))


def kendall(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Kendall's tau-b of each row of ``a`` with that of ``b``, (N,); nan for constant rows."""
    return _normed(_orders(a), _orders(b))


def auc(values: npt.ArrayLike, positive: Bools) -> Floats:
    """Chance that a positive of the row has a higher value than a negative, ties half, (N,).

    Args:
        values: shape (N, n).
        positive: bool (N, n), some but not all of each row.
    """
    ranks = np.asarray(rankdata(values, axis=1), dtype=np.float64)
    hits = positive.sum(1)
    misses = positive.shape[1] - hits
    return np.asarray(((ranks * positive).sum(1) - hits * (hits + 1) / 2) / (hits * misses))


def jaccard(a: Bools, b: Bools) -> Floats:
    """Size of the intersection over that of the union of each row's regions, (N,)."""
    return np.asarray((a & b).sum(1) / (a | b).sum(1))


def _orders(values: npt.ArrayLike) -> Floats:
    """Which of each pair of columns is larger: -1, 0 or 1, (N, n * (n - 1) / 2)."""
    given = np.asarray(values, dtype=np.float64)
    first, second = np.triu_indices(given.shape[1], 1)
    return np.asarray(np.sign(given[:, first] - given[:, second]))


def _normed(x: Floats, y: Floats) -> Floats:
    scale = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    out = np.full(len(x), np.nan)
    np.divide((x * y).sum(1), scale, out=out, where=scale > 0)
    return out
