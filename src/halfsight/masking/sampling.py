"""Which masks to evaluate when there is no time for all of them, and what follows from those.

Drawing: masks come in pairs, a mask and its complement (antithetic; Covert and Lee, AISTATS 2021).
Pairs are drawn without replacement, separately for each size of their smaller mask. Half of the
pairs are spread over the sizes as the Shapley value weighs them (every size alike), half as plain
averages do (by the number of masks). All masks of a single region, and their complements, are
always among them.

Estimating: every index of a table that is linear in it (Shapley, Banzhaf, averages over the masks
with a region) is the index of a regression on size and regions, which is known at all masks, plus
the stratified estimate of the index of what the regression leaves over. This is the regression
estimator of survey sampling (Särndal, Swensson and Wretman, 1992); for game theory Witter, Liu and
Musco (NeurIPS 2025, arXiv 2506.11849) found its errors below those of KernelSHAP. With all masks
drawn it is exact, and Shapley values always add up to what they must.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from halfsight import coalitions
from halfsight.grid import IntArray

Floats = npt.NDArray[np.float64]


class SampleError(ValueError):
    """A number of masks that is too small to estimate from."""


@dataclass(frozen=True)
class Sample:
    """Masks drawn for an estimate.

    Attributes:
        regions: number of regions n.
        seed: what they were drawn with.
        pairs: for sizes 1..n//2 of the smaller mask of a pair, one mask of each pair drawn, the
            one that keeps the last region.
    """

    regions: int
    seed: int
    pairs: tuple[IntArray, ...]

    @property
    def masks(self) -> IntArray:
        """All masks of the sample, int64 (M,): the pairs' first masks, then their complements."""
        first = np.concatenate(self.pairs)
        return np.concatenate((first, coalitions.full_mask(self.regions) ^ first))


def smallest(n: int) -> int:
    """Fewest masks that an estimate for n regions needs."""
    return 2 * int(_fewest(n).sum())


def draw(n: int, masks: int, *, seed: int = 0) -> Sample:
    """Draw masks that hide some but not all of n regions.

    Args:
        n: number of regions.
        masks: how many; an odd number is rounded down, for masks come in pairs.
        seed: the same seed gives the same masks.

    Raises:
        SampleError: if there are too few of them.
    """
    if masks < smallest(n):
        raise SampleError(
            f"got {masks} masks, expected at least {smallest(n)} for {n} regions, or all "
            f"{coalitions.full_mask(n) - 1}"
        )
    generator = np.random.default_rng(seed)
    wanted = _allocation(n, masks // 2)
    pairs = tuple(
        np.sort(generator.choice(pool, count, replace=False))
        for pool, count in zip(_pools(n), wanted, strict=True)
    )
    return Sample(n, seed, pairs)


def estimate(table: npt.ArrayLike, sample: Sample, weights: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Estimate linear indices of a table that is known at the sampled masks only.

    Args:
        table: (2**n,); read at the sampled masks, at nothing masked and at everything masked.
        sample: the masks drawn.
        weights: (2**n, k): the k indices are ``table @ weights``.

    Returns:
        The estimates (k,) and their standard errors (k,), both float64. Standard errors take the
        residuals as if each mask had been left out of the regression (divided by one minus its
        leverage), and are 0 where all masks were drawn.
    """
    known = np.asarray(table, dtype=np.float64)
    linear = np.asarray(weights, dtype=np.float64)
    sizes = [len(pool) for pool in _pools(sample.regions)]
    share = [total / len(drawn) for total, drawn in zip(sizes, sample.pairs, strict=True)]
    root = np.sqrt(np.tile(np.repeat(share, [len(drawn) for drawn in sample.pairs]), 2))
    masks, features = sample.masks, _features(sample.regions)
    # scaled so that the regression is the one all masks would give
    basis, strengths, _ = np.linalg.svd(features[masks] * root[:, None], full_matrices=False)
    basis = basis[:, strengths > strengths[0] * 1e-9]
    leverage = (basis**2).sum(1)
    coefficients = np.linalg.lstsq(features[masks] * root[:, None], known[masks] * root, rcond=None)
    predicted = features @ coefficients[0]
    predicted[[0, -1]] = known[[0, -1]]
    values = predicted @ linear
    left = known[masks] - predicted[masks]
    outside = left / np.maximum(1 - leverage, 1e-6)
    contributions = _by_pair(linear[masks] * left[:, None])
    doubtful = _by_pair(linear[masks] * outside[:, None])
    variance = np.zeros_like(values)
    start = 0
    for total, drawn in zip(sizes, sample.pairs, strict=True):
        part = slice(start, start + len(drawn))
        start += len(drawn)
        values = values + total * contributions[part].mean(0)
        if len(drawn) < total:
            spread = doubtful[part].var(0, ddof=1) / len(drawn)
            variance += total**2 * (1 - len(drawn) / total) * spread
    return values, np.sqrt(variance)


def _by_pair(rows: Floats) -> Floats:
    """Rows (2 * pairs, k) of masks and then of their complements, added: (pairs, k)."""
    first, second = np.split(rows, 2)
    return np.asarray(first + second)


@cache
def _pools(n: int) -> tuple[IntArray, ...]:
    """All pairs by the size of the smaller mask: the mask of each that keeps the last region."""
    first = np.arange(1, 1 << (n - 1), dtype=np.int64)
    smaller = np.minimum(coalitions.sizes(n)[first], n - coalitions.sizes(n)[first])
    return tuple(first[smaller == size] for size in range(1, n // 2 + 1))


@cache
def _features(n: int) -> Floats:
    """What the regression knows of every mask: its size and its regions, (2**n, 2 * n - 1)."""
    size = np.eye(n + 1)[coalitions.sizes(n)][:, 1:-1]
    return np.hstack((size, coalitions.membership(n)))


def _fewest(n: int) -> IntArray:
    """Fewest pairs by size: all single regions; elsewhere two, to see how far they differ."""
    there = np.array([len(pool) for pool in _pools(n)], dtype=np.int64)
    fewest = np.minimum(2, there)
    fewest[0] = there[0]
    return fewest


def _allocation(n: int, pairs: int) -> IntArray:
    """Pairs to draw by size, by highest averages (the seats of parties in proportion)."""
    there = np.array([len(pool) for pool in _pools(n)], dtype=np.int64)
    even = np.array([1.0 if 2 * k < n else 0.5 for k in range(1, n // 2 + 1)])
    share = even / even.sum() + there / there.sum()
    count = _fewest(n)
    for _ in range(min(pairs, int(there.sum())) - int(count.sum())):
        count[np.argmax(np.where(count < there, share / (count + 1), -1.0))] += 1
    return count
