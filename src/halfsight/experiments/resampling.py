"""Bootstrap intervals over photographs, for means and for means of many correlations.

A resample is how often each photograph was drawn, so that thousands of resamples of many columns
are a few matrix products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from halfsight.experiments.outcome import Measured
from halfsight.statistics import bootstrap_interval, plcc, srocc

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
BATCH = 1 << 22
"""Counts held at once: 32 MB."""


def mean(values: npt.ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES) -> Measured:
    """Mean over photographs with its interval; nan values are left out.

    Args:
        values: shape (N,).
        seed: of the resampling.
        resamples: how many.
    """
    given = np.asarray(values, dtype=np.float64)
    given = given[np.isfinite(given)]
    if not given.size:
        return Measured(np.nan)
    found = np.concatenate(
        [counts @ given / given.size for counts in _counts(given.size, resamples, seed)]
    )
    low, high = np.quantile(found, [0.025, 0.975])
    return Measured(float(given.mean()), float(low), float(high))


def correlation(
    scores: npt.ArrayLike,
    reference: npt.ArrayLike,
    *,
    stat: Callable[..., float] = plcc,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Measured:
    """Correlation over photographs with its interval; those without a reference are left out.

    Args:
        scores: shape (N,).
        reference: shape (N,); nan where unknown.
        stat: :func:`halfsight.statistics.plcc` or ``srocc``.
        seed: of the resampling.
        resamples: how many.
    """
    x, y = (np.asarray(one, dtype=np.float64) for one in (scores, reference))
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if x.size < 3:
        return Measured(np.nan)
    value = stat(x, y)
    low, high = bootstrap_interval(stat, x, y, seed=seed, resamples=resamples)
    return Measured(value, low, high)


def mean_correlation(
    columns: npt.ArrayLike,
    reference: npt.ArrayLike,
    *,
    stat: Callable[..., float] = plcc,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Measured:
    """Mean over draws of the correlation over photographs, with its interval over photographs.

    Args:
        columns: shape (N, D): a column a draw.
        reference: shape (N,); nan where unknown.
        stat: ``plcc``, or ``srocc``, whose resamples keep the ranks of all photographs.
        seed: of the resampling.
        resamples: how many.
    """
    x, y = (np.asarray(one, dtype=np.float64) for one in (columns, reference))
    known = np.isfinite(y) & np.isfinite(x).all(axis=1)
    x, y = x[known], y[known]
    if y.size < 3:
        return Measured(np.nan)
    if stat is srocc:
        x, y = _ranks(x), _ranks(y[:, None])[:, 0]
    x, y = x - x.mean(0), y - y.mean()
    value = _correlations(np.full((1, y.size), 1.0), x, y).mean()
    found = np.concatenate(
        [
            _row_means(_correlations(counts, x, y))
            for counts in _counts(y.size, resamples, seed, x.shape[1])
        ]
    )
    low, high = np.nanquantile(found, [0.025, 0.975])
    return Measured(float(value), float(low), float(high))


def _correlations(counts: Floats, x: Floats, y: Floats) -> Floats:
    """Pearson r of every column with the reference in every resample, (B, D)."""
    n = y.size
    mean_x, mean_y = counts @ x / n, (counts @ y / n)[:, None]
    both = counts @ (x * y[:, None]) / n - mean_x * mean_y
    var_x = counts @ (x * x) / n - mean_x**2
    var_y = (counts @ (y * y) / n)[:, None] - mean_y**2
    scale = np.sqrt(np.maximum(var_x * var_y, 0))
    found = np.full(both.shape, np.nan)
    np.divide(both, scale, out=found, where=scale > 0)
    return found


def _row_means(values: Floats) -> Floats:
    """Mean of the finite values of each row; nan where there are none, without a warning."""
    there = np.isfinite(values)
    count = there.sum(axis=1)
    total = np.where(there, values, 0).sum(axis=1)
    found = np.full(len(values), np.nan)
    np.divide(total, count, out=found, where=count > 0)
    return found


def _ranks(columns: Floats) -> Floats:
    from scipy.stats import rankdata

    return np.asarray(rankdata(columns, axis=0), dtype=np.float64)


def _counts(n: int, resamples: int, seed: int, width: int = 1) -> Iterator[Floats]:
    """How often each of n photographs is in each resample, float64 (B, n), in batches."""
    rng = np.random.default_rng(seed)
    batch = max(1, BATCH // max(n, width))
    for start in range(0, resamples, batch):
        size = min(batch, resamples - start)
        yield rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)
