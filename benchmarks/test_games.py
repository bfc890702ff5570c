"""Shapley, Banzhaf, both pairwise interactions and Möbius of a 12-region table: ours and shapiq.

Run: ``pytest benchmarks/test_games.py``. Both sides solve the same games and start from the scores,
so no model runs here. Ours takes 100 tables a round and shapiq one: divide ours by 100 to compare
the time per image (``extra_info`` in the JSON has the number of images a round).
"""

from __future__ import annotations

import numpy as np
import pytest
from shapiq import ExactComputer

from halfsight import coalitions as co

REGIONS, IMAGES = 12, 100


@pytest.fixture(scope="module")
def tables() -> np.ndarray:
    return np.random.default_rng(0).normal(50, 20, size=(IMAGES, 2**REGIONS))


def ours(tables):
    return (
        co.shapley(tables),
        co.banzhaf(tables),
        co.interactions(tables),
        co.interactions(tables, index="banzhaf"),
        co.mobius(tables),
    )


def theirs(table):
    bits = 1 << np.arange(REGIONS)
    # a new computer a round: it remembers what it has computed
    exact = ExactComputer(lambda kept: table[table.size - 1 - kept @ bits], n_players=REGIONS)
    return exact("SV", 1), exact("BV", 1), exact("SII", 2), exact("BII", 2), exact("Moebius")


@pytest.mark.benchmark(group="games")
def test_halfsight_100_images(benchmark, tables):
    benchmark.extra_info["images"] = IMAGES
    ours(tables)  # the weights are computed once a process
    benchmark.pedantic(ours, args=(tables,), rounds=20)


@pytest.mark.benchmark(group="games")
def test_halfsight_1_image(benchmark, tables):
    benchmark.extra_info["images"] = 1
    ours(tables[:1])
    benchmark.pedantic(ours, args=(tables[0],), rounds=50)


@pytest.mark.benchmark(group="games")
def test_shapiq_1_image(benchmark, tables):
    benchmark.extra_info["images"] = 1
    found = benchmark.pedantic(theirs, args=(tables[0],), rounds=3)
    shapley, banzhaf, pairs, banzhaf_pairs, dividends = ours(tables[0])
    first, second = np.triu_indices(REGIONS, 1)
    ways = list(zip(first.tolist(), second.tolist(), strict=True))
    np.testing.assert_allclose([found[0][i,] for i in range(REGIONS)], shapley, atol=1e-8)
    np.testing.assert_allclose([found[1][i,] for i in range(REGIONS)], banzhaf, atol=1e-8)
    np.testing.assert_allclose([found[2][p] for p in ways], pairs[first, second], atol=1e-8)
    np.testing.assert_allclose([found[3][p] for p in ways], banzhaf_pairs[first, second], atol=1e-8)
    kept = [co.regions_of(s, REGIONS) for s in range(2**REGIONS)]
    np.testing.assert_allclose([found[4][s] for s in kept], dividends, atol=1e-8)
