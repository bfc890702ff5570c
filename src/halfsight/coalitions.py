"""All subsets of the regions as bit masks, and the exact game theory of a table of their scores.

A coalition index is the bit set of the **masked** regions: bit i is set when region i is masked,
and bit 0 is the top-left region. A *table* holds the score of every coalition, so ``table[0]`` is
the score with nothing masked and ``table[2**n - 1]`` the score with everything masked. Tables may
have any leading axes: shape (..., 2**n), 2 <= n <= 16.

The cooperative game of a table has the regions as players, and the coalition S of the regions that
are **kept** is worth ``v(S) = table[full ^ S]``. A positive Shapley value therefore means that the
region's presence raises the score.

Every index here is linear in the table. The weights depend on n alone, are computed once, and N
tables cost one matrix product. Everything is accumulated in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from math import comb
from operator import index as as_int
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from halfsight.grid import RegionGrid

Interaction = Literal["shapley", "banzhaf"]

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]

Scalar = TypeVar("Scalar", bound=np.generic)

MIN_REGIONS = 2
MAX_REGIONS = RegionGrid.MAX_REGIONS


class CoalitionError(ValueError):
    """A region, a coalition index or a table that does not fit the number of regions."""


@cache
def membership(n: int) -> BoolArray:
    """Which regions every coalition masks.

    Args:
        n: number of regions, 2 to 16.

    Returns:
        Read-only bool array of shape (2**n, n): row m, column i tells whether m masks region i.

    Raises:
        CoalitionError: if ``n`` is out of range.
    """
    masks = np.arange(1 << _checked(n), dtype=np.int64)
    return _frozen((masks[:, None] >> np.arange(n)) & 1 == 1)


@cache
def sizes(n: int) -> IntArray:
    """Number of masked regions of every coalition.

    Returns:
        Read-only int64 array of shape (2**n,).

    Raises:
        CoalitionError: if ``n`` is out of range.
    """
    return _frozen(membership(n).sum(axis=1, dtype=np.int64))


def full_mask(n: int) -> int:
    """Index of the coalition that masks all ``n`` regions.

    Raises:
        CoalitionError: if ``n`` is out of range.
    """
    return (1 << _checked(n)) - 1


@cache
def proper_masks(n: int) -> IntArray:
    """Coalitions that mask at least one region and keep at least one: 4094 of them for n = 12.

    Returns:
        Read-only int64 array of shape (2**n - 2,), ascending.

    Raises:
        CoalitionError: if ``n`` is out of range.
    """
    return _frozen(np.arange(1, full_mask(n), dtype=np.int64))


def index_of(regions: Iterable[int]) -> int:
    """Index of the coalition that masks exactly these regions.

    Raises:
        CoalitionError: if a region is repeated or is not in 0..15.
    """
    found = 0
    for region in map(as_int, regions):
        if not 0 <= region < MAX_REGIONS:
            raise CoalitionError(f"got region {region}, expected 0 to {MAX_REGIONS - 1}")
        if found >> region & 1:
            raise CoalitionError(f"got region {region} twice, expected each region once")
        found |= 1 << region
    return found


def regions_of(index: int, n: int) -> tuple[int, ...]:
    """Regions that a coalition masks, ascending.

    Raises:
        CoalitionError: if ``n`` is out of range or ``index`` is not in 0..2**n - 1.
    """
    last, index = full_mask(n), as_int(index)
    if not 0 <= index <= last:
        raise CoalitionError(f"got coalition {index}, expected 0 to {last} for {n} regions")
    return tuple(i for i in range(n) if index >> i & 1)


def region_count(length: int) -> int:
    """Number of regions n of a table of ``length`` = 2**n scores.

    Raises:
        CoalitionError: if the length is not a power of two, or n is out of range.
    """
    n = length.bit_length() - 1
    if length != 1 << max(n, 0) or not MIN_REGIONS <= n <= MAX_REGIONS:
        raise CoalitionError(
            f"got a table of {length} scores, expected 2**n with n = {MIN_REGIONS} to "
            f"{MAX_REGIONS} regions along the last axis; give the score of every coalition"
        )
    return n


def subset_sums(values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Sum of a value a region over the masked regions of every coalition.

    Args:
        values: shape (..., n).

    Returns:
        Shape (..., 2**n), in the type of ``values`` (whole numbers and bool become int64).

    Raises:
        CoalitionError: if n is out of range.
    """
    given = np.atleast_1d(np.asarray(values))
    if given.dtype.kind in "bui":
        given = given.astype(np.int64)
    n = _checked(given.shape[-1])
    sums = np.zeros((*given.shape[:-1], 1 << n), dtype=given.dtype)
    for i in range(n):  # the coalitions with highest region i are those below it, plus region i
        half = 1 << i
        np.add(sums[..., :half], given[..., i, None], out=sums[..., half : 2 * half])
    return sums


def average_over_masks(response: npt.ArrayLike, n: int) -> Float64Array:
    """Mean response over the proper masks (1 to n - 1 masked regions) that contain each region.

    For n = 12 each region is in 2047 of the 4094 proper masks. The entries for nothing masked and
    for everything masked are not read. This is the paper's averaging of the correlation between
    masked and original outputs (You, Lin and Korhonen, ICIP 2023).

    Args:
        response: shape (..., 2**n). A nan at a proper mask gives nan for every region of its row:
            decide what an undefined response means before averaging.
        n: number of regions.

    Returns:
        float64 array of shape (..., n).

    Raises:
        CoalitionError: if the last axis of ``response`` is not 2**n long.
    """
    given, found = _tables(response)
    if found != _checked(n):
        raise CoalitionError(
            f"got {given.shape[-1]} responses, expected {1 << n} for {n} regions: one a coalition"
        )
    inside = slice(1, full_mask(n))
    return _product(given[..., inside], membership(n)[inside].astype(np.float64)) / (
        (1 << n - 1) - 1
    )


def shapley(tables: npt.ArrayLike) -> Float64Array:
    """Exact Shapley value of every region (Shapley 1953).

    They add up to the score with nothing masked minus the score with everything masked.

    Args:
        tables: shape (..., 2**n), indexed by masked regions.

    Returns:
        float64 array of shape (..., n); positive where the region's presence raises the score.

    Raises:
        CoalitionError: if the last axis is not 2**n long with 2 <= n <= 16.
    """
    given, n = _tables(tables)
    return _product(given, _value_weights(n, "shapley"))


def banzhaf(tables: npt.ArrayLike) -> Float64Array:
    """Exact Banzhaf value: a region's mean marginal contribution over all coalitions of the others.

    Args:
        tables: shape (..., 2**n), indexed by masked regions.

    Returns:
        float64 array of shape (..., n).

    Raises:
        CoalitionError: if the last axis is not 2**n long with 2 <= n <= 16.
    """
    given, n = _tables(tables)
    return _product(given, _value_weights(n, "banzhaf"))


def interactions(tables: npt.ArrayLike, *, index: Interaction = "shapley") -> Float64Array:
    """Exact interaction index of every pair of regions (Grabisch and Roubens 1999).

    Positive where two regions are worth more together than the sum of each alone.

    Args:
        tables: shape (..., 2**n), indexed by masked regions.
        index: ``shapley`` or ``banzhaf``: how the coalitions of the other regions are weighted.

    Returns:
        float64 array of shape (..., n, n), symmetric; the diagonal is 0.

    Raises:
        CoalitionError: if the last axis is not 2**n long with 2 <= n <= 16, or the index is
            unknown.
    """
    given, n = _tables(tables)
    pairs = _product(given, _pair_weights(n, index))
    first, second = np.triu_indices(n, 1)
    out = np.zeros((*given.shape[:-1], n, n))
    out[..., first, second] = out[..., second, first] = pairs
    return out


def mobius(tables: npt.ArrayLike) -> Float64Array:
    """Möbius transform (Harsanyi dividends) of the game of the kept regions.

    ``v(S)`` is the sum of the transform over all subsets of S.

    Args:
        tables: shape (..., 2**n), indexed by masked regions.

    Returns:
        float64 array of shape (..., 2**n), indexed by the bit set of **kept** regions.

    Raises:
        CoalitionError: if the last axis is not 2**n long with 2 <= n <= 16.
    """
    given, n = _tables(tables)
    out = np.array(given[..., ::-1], order="C")  # full ^ S = full - S
    for i in range(n):
        halves = out.reshape(*given.shape[:-1], 1 << (n - 1 - i), 2, 1 << i)
        halves[..., 1, :] -= halves[..., 0, :]
    return out


def shapley_weights(n: int) -> Float64Array:
    """What every table entry counts for in every region's Shapley value.

    Returns:
        Read-only float64 (2**n, n): ``shapley(table) == table @ shapley_weights(n)``.

    Raises:
        CoalitionError: if ``n`` is out of range.
    """
    return _value_weights(_checked(n), "shapley")


@cache
def _value_weights(n: int, kind: Interaction) -> Float64Array:
    """Weight of every table entry in every region's value: shape (2**n, n)."""
    kept = ~membership(n)
    # a marginal contribution is v(S + i) - v(S): both entries get the weight of the same S
    others = kept.sum(axis=1, keepdims=True) - kept
    return _frozen(np.where(kept, 1.0, -1.0) * _subset_weights(n - 1, kind)[others])


@cache
def _pair_weights(n: int, kind: Interaction) -> Float64Array:
    """Weight of every table entry in every pair's interaction: shape (2**n, n * (n - 1) / 2)."""
    kept = ~membership(n)
    first, second = np.triu_indices(n, 1)
    a, b = kept[:, first], kept[:, second]
    others = kept.sum(axis=1, keepdims=True) - a - b
    return _frozen(np.where(a == b, 1.0, -1.0) * _subset_weights(n - 2, kind)[others])


def _subset_weights(others: int, kind: Interaction) -> Float64Array:
    """Weight of one subset of the ``others`` regions by its size: shape (others + 1,)."""
    weigh: dict[str, Callable[[int], float]] = {
        "shapley": lambda size: 1 / ((others + 1) * comb(others, size)),  # sizes equally likely
        "banzhaf": lambda size: 0.5**others,  # subsets equally likely
    }
    if kind not in weigh:
        raise CoalitionError(f"got index {kind!r}, expected shapley or banzhaf")
    return np.array([weigh[kind](size) for size in range(others + 1)])


def _product(given: Float64Array, weights: Float64Array) -> Float64Array:
    """``given @ weights`` over the last axis, as one matrix product whatever the leading axes."""
    flat = given.reshape(-1, given.shape[-1]) @ weights
    return flat.reshape(*given.shape[:-1], weights.shape[1])


def _tables(tables: npt.ArrayLike) -> tuple[Float64Array, int]:
    """The tables as float64, and their number of regions."""
    given = np.asarray(tables, dtype=np.float64)
    if given.ndim == 0:
        raise CoalitionError("got one number, expected a table of the score of every coalition")
    return given, region_count(given.shape[-1])


def _checked(n: int) -> int:
    if not MIN_REGIONS <= n <= MAX_REGIONS:
        raise CoalitionError(f"got {n} regions, expected {MIN_REGIONS} to {MAX_REGIONS}")
    return n


def _frozen(array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    array.setflags(write=False)  # cached and shared by every caller
    return array
