"""Matching degree: how often a measure picks out the regions that matter to the score.

M of an image is the number of its k important regions that are also among the k regions the measure
ranks highest; the matching degree is the percentage of images with M > T (You, Lin and Korhonen,
*Half of an image is enough for quality assessment*, ICIP 2023).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


class MatchingError(ValueError):
    """Measures and important regions that do not fit each other."""


def matching_counts(measure_values: npt.ArrayLike, important: npt.ArrayLike) -> IntArray:
    """M of every image: how many of its k important regions are among the measure's k highest.

    Args:
        measure_values: shape (N, n), one value a region; among equal values the region with the
            lower index counts as higher.
        important: the important regions, as indices of shape (N, k) or as bool of shape (N, n)
            with k set in every row.

    Returns:
        int64 array of shape (N,), 0 to k.

    Raises:
        MatchingError: if the shapes do not fit, there is no image, a value is nan, or a region is
            repeated or not in 0..n-1.
    """
    return _counts(measure_values, important)[0]


def matching_degree(measure_values: npt.ArrayLike, important: npt.ArrayLike) -> dict[int, float]:
    """Percentage of images with M > T.

    Args:
        measure_values: as in :func:`matching_counts`.
        important: as in :func:`matching_counts`.

    Returns:
        Percentage by T = 1..k-1, so 1..5 for 6 important regions.

    Raises:
        MatchingError: as :func:`matching_counts`.
    """
    counts, k = _counts(measure_values, important)
    return {t: 100 * int((counts > t).sum()) / counts.size for t in range(1, k)}


def chance_matching(n: int = 12, k: int = 6) -> dict[int, float]:
    """Matching degree of a measure that ranks the regions at random (hypergeometric, exact).

    Args:
        n: number of regions.
        k: number of important regions, 1 to n.

    Returns:
        Percentage by T = 1..k-1: 96.0, 71.6, 28.4, 4.0 and 0.1 for the defaults.

    Raises:
        MatchingError: if ``k`` is out of range.
    """
    if not 1 <= k <= n:
        raise MatchingError(f"got {k} important of {n} regions, expected 1 to {n}")
    ways = [comb(k, m) * comb(n - k, k - m) for m in range(k + 1)]
    return {t: 100 * sum(ways[t + 1 :]) / comb(n, k) for t in range(1, k)}


def jaccard(a: Iterable[int], b: Iterable[int]) -> float:
    """Size of the intersection of two sets of regions over the size of their union.

    Args:
        a: region indices.
        b: region indices.

    Returns:
        0 to 1; 1 for two empty sets, which are equal.
    """
    first, second = set(a), set(b)
    union = first | second
    return len(first & second) / len(union) if union else 1.0


def _counts(measure_values: npt.ArrayLike, important: npt.ArrayLike) -> tuple[IntArray, int]:
    """M of every image, and k."""
    values, chosen = np.asarray(measure_values, dtype=np.float64), np.asarray(important)
    if values.ndim != 2 or chosen.ndim != 2 or not 1 <= len(values) == len(chosen):
        raise MatchingError(
            f"got values of shape {values.shape} and important regions of shape {chosen.shape}, "
            "expected (N, n) with (N, k) indices or (N, n) bool, N >= 1"
        )
    if np.isnan(values).any():
        raise MatchingError("got nan among the values of the measure, expected one a region")
    inside = _as_membership(chosen, values.shape[1])
    per_image = inside.sum(axis=1)
    k = int(per_image[0])
    if (per_image != k).any():
        raise MatchingError(
            f"got {per_image.min()} to {per_image.max()} important regions an image, "
            "expected as many in every image"
        )
    highest = np.argsort(-values, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(inside, highest, axis=1).sum(axis=1, dtype=np.int64), k


def _as_membership(chosen: npt.NDArray[Any], n: int) -> npt.NDArray[np.bool_]:
    """Important regions as bool of shape (N, n), from bool or from indices of shape (N, k)."""
    if chosen.dtype == bool:
        if chosen.shape[1] != n:
            raise MatchingError(f"got {chosen.shape[1]} bool columns, expected {n}: one a region")
        return chosen
    if chosen.dtype.kind not in "ui" or ((chosen < 0) | (chosen >= n)).any():
        raise MatchingError(
            f"got important regions {chosen[0].tolist()} and others of type {chosen.dtype}, "
            f"expected whole numbers in 0..{n - 1}"
        )
    inside = np.zeros((len(chosen), n), dtype=bool)
    np.put_along_axis(inside, chosen.astype(np.int64), True, axis=1)
    if (inside.sum(axis=1) < chosen.shape[1]).any():
        raise MatchingError("got an important region twice in an image, expected each once")
    return inside
