"""The figures of the field: correlations, the logistic fit, bootstrap intervals, ROC area.

Correlations are pure functions of two arrays. An array that does not vary has no correlation: the
functions return nan then, without a warning, so that one odd image does not stop a table. The
matching degree lives in :mod:`halfsight.matching` and is offered here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan, nan
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from halfsight.matching import chance_matching, jaccard, matching_counts, matching_degree

__all__ = [
    "Evaluation",
    "FitError",
    "StatisticsError",
    "auc",
    "bootstrap_interval",
    "chance_matching",
    "evaluate",
    "jaccard",
    "krocc",
    "matching_counts",
    "matching_degree",
    "plcc",
    "rmse",
    "srocc",
    "vqeg_fit",
]

Float64Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Interval = tuple[float, float]

BATCH_NUMBERS = 1 << 21
"""Resampled numbers held at once by :func:`bootstrap_interval`: 16 MB an array."""


class StatisticsError(ValueError):
    """Arrays that a figure cannot be computed from."""


class FitError(StatisticsError):
    """A logistic that could not be fitted."""


def plcc(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Pearson linear correlation.

    Args:
        x: shape (n,), n >= 3, finite.
        y: shape (n,).

    Returns:
        In [-1, 1]; nan where ``x`` or ``y`` is constant.

    Raises:
        StatisticsError: if the arrays differ in length, are short, or hold nan or infinity.
    """
    return float(plcc_rows(*_pair(x, y)))


def srocc(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Spearman rank-order correlation; ties share their mean rank.

    Args, returns and errors are those of :func:`plcc`.
    """
    return float(plcc_rows(*map(stats.rankdata, _pair(x, y))))


def krocc(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Kendall rank-order correlation, tau-b.

    Args, returns and errors are those of :func:`plcc`.
    """
    # the p-value is not used, and the exact one is slow
    return float(stats.kendalltau(*_pair(x, y), method="asymptotic").statistic)


def rmse(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Root mean square of ``x - y``, in their common unit.

    Args and errors are those of :func:`plcc`.
    """
    return float(_rmse_rows(*_pair(x, y)))


def vqeg_fit(
    scores: npt.ArrayLike, mos: npt.ArrayLike, *, parameters: Literal[4, 5] = 4
) -> Float64Array:
    """Scores after the monotonic logistic that brings them closest to the MOS (least squares).

    With 4 parameters, ``b2 + (b1 - b2) / (1 + exp(-(s - b3) / |b4|))`` (VQEG FR-TV Phase I, 2000);
    with 5, ``b1 * (1/2 - 1 / (1 + exp(b2 * (s - b3)))) + b4 * s + b5`` (Sheikh, Sabir and Bovik,
    IEEE TIP 2006), which need not be monotonic. Both are fitted on standardised data from several
    slopes. The slope is kept between a step and a straight line: 1/100 to 100 standard deviations.

    Args:
        scores: shape (n,), n >= 3; any scale, rising or falling with the MOS.
        mos: shape (n,).
        parameters: 4 or 5.

    Returns:
        float64 array of shape (n,), in the unit of ``mos``.

    Raises:
        StatisticsError: as :func:`plcc`, or for another number of parameters.
        FitError: if the scores or the MOS are constant or the fit does not converge.
    """
    given, target = _pair(scores, mos)
    if parameters not in (4, 5):
        raise StatisticsError(f"got {parameters} parameters, expected 4 or 5")
    for name, array in (("scores", given), ("mos", target)):
        if np.ptp(array) == 0 or array.std() == 0:
            raise FitError(f"got constant {name} ({array[0]:g}), expected values that differ")
    u, v = ((array - array.mean()) / array.std() for array in (given, target))
    line = [np.ones_like(u)] + [u] * (parameters - 4)

    def curve(p: Float64Array) -> Float64Array:
        # the curve is linear in all but the centre and the log width: those are solved exactly
        basis = np.stack([*line, special.expit((u - p[0]) / np.exp(p[1]))], axis=1)
        return np.asarray(basis @ np.linalg.lstsq(basis, v)[0])

    widest = np.log(100.0)
    fits = [
        optimize.least_squares(
            lambda p: curve(p) - v,
            (np.median(u), np.log(width)),
            bounds=((u.min() - 10, -widest), (u.max() + 10, widest)),
            method="dogbox",  # far fewer failures than trf where the scores say little
            x_scale="jac",
            ftol=1e-6,
            xtol=1e-6,
        )
        for width in (0.25, 1.0, 4.0)
    ]
    converged = [fit for fit in fits if fit.success]
    if not converged:
        raise FitError(
            f"the {parameters}-parameter logistic did not converge on {given.size} scores: "
            f"{fits[0].message}; look at a scatter plot, or report the figures without a fit"
        )
    best = min(converged, key=lambda fit: float(fit.cost))
    return np.asarray(curve(best.x) * target.std() + target.mean())


def bootstrap_interval(
    stat: Callable[..., float],
    *arrays: npt.ArrayLike,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a figure; the rows of all arrays are resampled together.

    :func:`plcc`, :func:`srocc` and :func:`rmse` are computed for many resamples at once, any other
    function once a resample. Resamples in which the figure is nan (nothing varies) are left out.

    Args:
        stat: function of the arrays.
        *arrays: at least one, of shape (n, ...) with one n.
        level: share of the resampled figures inside the interval, between 0 and 1.
        resamples: number of resamples, at least 1.
        seed: of the random generator: the same seed gives the same interval.

    Returns:
        (low, high); both nan if the figure is nan in every resample.

    Raises:
        StatisticsError: if the arrays differ in length or are empty, or an option is out of range.
    """
    if not 0 < level < 1:
        raise StatisticsError(f"got level {level}, expected a share between 0 and 1 such as 0.95")
    if resamples < 1:
        raise StatisticsError(f"got {resamples} resamples, expected at least 1")
    rows = _BATCHED.get(stat)
    given = list(_pair(*arrays)) if rows else [np.asarray(array) for array in arrays]
    lengths = {len(array) if array.ndim else 0 for array in given}
    if len(lengths) != 1 or 0 in lengths:
        raise StatisticsError(
            f"got arrays of shapes {[array.shape for array in given]}, expected at least one, "
            "with as many rows each"
        )
    if stat is srocc:  # only the order matters, and ranking whole numbers needs no sorting
        given = [stats.rankdata(array, "dense") - 1 for array in given]
    n = lengths.pop()
    rng = np.random.default_rng(seed)
    batch = max(1, BATCH_NUMBERS // n)
    found: list[npt.ArrayLike] = []
    for start in range(0, resamples, batch):
        draws = rng.integers(0, n, size=(min(batch, resamples - start), n))
        if rows:
            found.append(rows(*(array[draws] for array in given)))
        else:
            found.append([stat(*(array[draw] for array in given)) for draw in draws])
    figures = np.concatenate(found)
    figures = figures[~np.isnan(figures)]
    if not figures.size:
        return nan, nan
    low, high = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Evaluation:
    """How well scores predict MOS.

    Attributes:
        n: number of images.
        plcc: Pearson correlation of the raw scores.
        srocc: Spearman correlation.
        krocc: Kendall tau-b.
        rmse: of the raw scores; means something only if they are on the scale of the MOS.
        plcc_fit: Pearson correlation after the 4-parameter logistic; nan if it cannot be fitted.
        rmse_fit: root mean square error after the logistic, in MOS units; nan likewise.
        intervals: (low, high) by the name of the figure; empty without resamples.
        level: share of the resampled figures inside each interval.
        resamples: number of bootstrap resamples.
        seed: of the resampling.
    """

    n: int
    plcc: float
    srocc: float
    krocc: float
    rmse: float
    plcc_fit: float
    rmse_fit: float
    intervals: Mapping[str, Interval]
    level: float
    resamples: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: nan becomes None, intervals become lists."""
        plain = {name: _plain(value) for name, value in vars(self).items() if name != "intervals"}
        intervals = {name: [_plain(edge) for edge in ends] for name, ends in self.intervals.items()}
        return plain | {"intervals": intervals}


def evaluate(
    scores: npt.ArrayLike,
    mos: npt.ArrayLike,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Evaluation:
    """All the figures of predicted scores against MOS, with bootstrap intervals.

    The logistic is fitted once, to all images: the intervals of the two fitted figures are those of
    the fitted scores and do not include the uncertainty of the fit.

    Args:
        scores: shape (n,), n >= 3.
        mos: shape (n,).
        resamples: bootstrap resamples; 0 leaves the intervals out, which is much faster.
        seed: of the resampling.
        level: of the intervals.

    Raises:
        StatisticsError: as :func:`plcc`.
    """
    x, y = _pair(scores, mos)
    try:
        fitted = vqeg_fit(x, y)
    except FitError:
        fitted = None
    figures = {"plcc": (plcc, x), "srocc": (srocc, x), "krocc": (krocc, x), "rmse": (rmse, x)}
    if fitted is not None:
        figures |= {"plcc_fit": (plcc, fitted), "rmse_fit": (rmse, fitted)}
    values = dict.fromkeys(("plcc_fit", "rmse_fit"), nan)
    intervals = dict.fromkeys((*figures, *values), (nan, nan)) if resamples else {}
    for name, (stat, given) in figures.items():
        values[name] = stat(given, y)
        if resamples:
            intervals[name] = bootstrap_interval(
                stat, given, y, level=level, resamples=resamples, seed=seed
            )
    return Evaluation(
        n=x.size, **values, intervals=intervals, level=level, resamples=resamples, seed=seed
    )


def auc(scores: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties half.

    Args:
        scores: finite, any shape; a map is read as its pixels.
        labels: bool or 0/1, the same shape.

    Returns:
        0 to 1; nan where all labels are the same.

    Raises:
        StatisticsError: if the shapes differ, a score is not finite or a label is not 0 or 1.
    """
    given, marks = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if given.shape != marks.shape or not np.isfinite(given).all():
        raise StatisticsError(
            f"got scores of shape {given.shape} for labels of shape {marks.shape}, expected one "
            "shape and finite scores"
        )
    if not np.isin(marks, (0, 1)).all():
        raise StatisticsError("got labels other than 0 and 1, expected bool or 0/1")
    positive = marks.ravel().astype(bool)
    hits = int(positive.sum())
    misses = positive.size - hits
    if not hits or not misses:
        return nan
    ranks = stats.rankdata(given.ravel())[positive].sum()
    return float((ranks - hits * (hits + 1) / 2) / (hits * misses))


def _pair(*arrays: npt.ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Two checked float64 arrays of one length."""
    given = [np.asarray(array, dtype=np.float64) for array in arrays]
    shapes = [array.shape for array in given]
    if len(given) != 2 or given[0].ndim != 1 or shapes[0] != shapes[1] or given[0].size < 3:
        raise StatisticsError(
            f"got arrays of shapes {shapes}, expected two of one length, (n,) with n >= 3"
        )
    for name, array in zip(("first", "second"), given, strict=True):
        bad = np.flatnonzero(~np.isfinite(array))
        if bad.size:
            raise StatisticsError(
                f"got {array[bad[0]]} at row {bad[0]} of the {name} array ({bad.size} such "
                "values), expected finite numbers; leave those rows out of both arrays"
            )
    return given[0], given[1]


def plcc_rows(x: Float64Array, y: Float64Array) -> Float64Array:
    """Pearson correlation along the last axis; nan where a row is constant."""
    constant = (np.ptp(x, axis=-1) == 0) | (np.ptp(y, axis=-1) == 0)
    x, y = (a - a.mean(axis=-1, keepdims=True) for a in (x, y))
    # largest deviation 1, so that squares neither overflow nor vanish
    x, y = (a / np.maximum(np.abs(a).max(axis=-1, keepdims=True), _TINY) for a in (x, y))
    both = np.einsum("...i,...i", x, y)
    each = np.sqrt(np.einsum("...i,...i", x, x) * np.einsum("...i,...i", y, y))
    return np.where(constant, nan, np.clip(both / np.where(constant, 1, each), -1, 1))


def _srocc_rows(x: IntArray, y: IntArray) -> Float64Array:
    return plcc_rows(_mean_ranks(x), _mean_ranks(y))


def _mean_ranks(codes: IntArray) -> Float64Array:
    """Ranks within each row of ``codes`` (rows, n), whole numbers from 0; ties share their mean."""
    levels = int(codes.max()) + 1
    cells = codes + levels * np.arange(len(codes))[:, None]
    counts = np.bincount(cells.ravel(), minlength=levels * len(codes)).reshape(-1, levels)
    ranks = np.cumsum(counts, axis=1) - (counts - 1) / 2
    return np.asarray(ranks.ravel()[cells])


def _rmse_rows(x: Float64Array, y: Float64Array) -> Float64Array:
    return np.asarray(np.sqrt(np.mean((x - y) ** 2, axis=-1)))


_TINY = np.finfo(np.float64).tiny
_BATCHED: Mapping[Callable[..., float], Callable[..., Float64Array]] = {
    plcc: plcc_rows,
    srocc: _srocc_rows,
    rmse: _rmse_rows,
}


def _plain(value: float) -> float | None:
    return None if isnan(value) else value
