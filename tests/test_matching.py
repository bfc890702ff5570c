"""The matching degree against sets, and its chance row against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from halfsight import matching


def test_chance_row_as_published():
    chance = matching.chance_matching()
    assert [round(chance[t], 1) for t in range(1, 6)] == [96.0, 71.6, 28.4, 4.0, 0.1]
    assert list(chance) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("n", "k"), [(12, 6), (12, 4), (9, 7), (16, 8), (5, 5), (4, 1)])
def test_chance_row_equals_scipy(n, k):
    expected = {t: 100 * hypergeom(n, k, k).sf(t) for t in range(1, k)}
    assert matching.chance_matching(n, k) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("k", [0, 13])
def test_chance_needs_a_possible_split(k):
    with pytest.raises(matching.MatchingError, match=f"got {k} important of 12 regions"):
        matching.chance_matching(12, k)


def plain_count(values, important) -> int:
    k = len(important)
    ranked = sorted(range(len(values)), key=lambda i: (-values[i], i))
    return len(set(ranked[:k]) & set(important))


@settings(deadline=None)
@given(st.data(), st.integers(2, 16), st.integers(1, 5))
def test_counts_equal_plain_sets_with_ties(data, n, images):
    k = data.draw(st.integers(1, n))
    # few levels: many ties
    level = st.lists(st.integers(-2, 2), min_size=n, max_size=n)
    values = data.draw(st.lists(level, min_size=images, max_size=images))
    orders = [data.draw(st.permutations(range(n))) for _ in range(images)]
    important = [order[:k] for order in orders]
    expected = [plain_count(v, i) for v, i in zip(values, important, strict=True)]
    counts = matching.matching_counts(values, important)
    assert counts.tolist() == expected
    marked = np.array([[i in row for i in range(n)] for row in important])
    assert matching.matching_counts(values, marked).tolist() == expected
    degree = matching.matching_degree(values, marked)
    assert degree == {t: 100 * sum(m > t for m in expected) / images for t in range(1, k)}
    assert degree == matching.matching_degree(values, important)


def test_ties_go_to_the_lower_region():
    assert matching.matching_counts(np.zeros((1, 12)), [range(6)]).tolist() == [6]
    assert matching.matching_counts(np.zeros((1, 12)), [range(6, 12)]).tolist() == [0]


def test_degree_of_a_perfect_and_an_opposite_measure():
    values = np.tile(np.arange(12.0), (4, 1))
    perfect = matching.matching_degree(values, np.tile(np.arange(6, 12), (4, 1)))
    assert perfect == dict.fromkeys(range(1, 6), 100.0)
    opposite = matching.matching_degree(values, np.tile(np.arange(6), (4, 1)))
    assert opposite == dict.fromkeys(range(1, 6), 0.0)


def test_degree_counts_strictly_more_than_t():
    important = np.tile(np.arange(6), (2, 1))
    values = np.zeros((2, 12))
    values[0, [0, 1, 2, 6, 7, 8]] = 1  # M = 3
    values[1, [0, 6, 7, 8, 9, 10]] = 1  # M = 1
    assert matching.matching_counts(values, important).tolist() == [3, 1]
    assert matching.matching_degree(values, important) == {1: 50, 2: 50, 3: 0, 4: 0, 5: 0}


def test_random_measures_come_close_to_chance():
    rng = np.random.default_rng(0)
    important = rng.permuted(np.tile(np.arange(12), (20000, 1)), axis=1)[:, :6]
    degree = matching.matching_degree(rng.normal(size=(20000, 12)), important)
    assert degree == pytest.approx(matching.chance_matching(), abs=1.5)


VALUES = np.zeros((2, 12))


@pytest.mark.parametrize(
    ("values", "important", "message"),
    [
        (VALUES[0], [[0]], r"got values of shape \(12,\)"),
        (VALUES, [0, 1], r"important regions of shape \(2,\)"),
        (VALUES, [[0]], r"got values of shape \(2, 12\) and important regions of shape \(1, 1\)"),
        (VALUES[:0], np.zeros((0, 6), dtype=int), "N >= 1"),
        (VALUES * np.nan, [[0], [1]], "got nan"),
        (VALUES, [[0, 0], [0, 1]], "region twice"),
        (VALUES, [[0], [12]], r"expected whole numbers in 0\.\.11"),
        (VALUES, [[-1], [0]], r"expected whole numbers in 0\.\.11"),
        (VALUES, [[0.0], [1.0]], "of type float64"),
        (VALUES, np.ones((2, 11), dtype=bool), "got 11 bool columns, expected 12"),
        (VALUES, np.eye(2, 12, dtype=bool) | (np.arange(2) > 0)[:, None], "got 1 to 12 important"),
    ],
)
def test_errors_say_what_was_got(values, important, message):
    with pytest.raises(matching.MatchingError, match=message):
        matching.matching_counts(values, important)


@given(st.sets(st.integers(0, 11)), st.sets(st.integers(0, 11)))
def test_jaccard(a, b):
    found = matching.jaccard(sorted(a), np.array(sorted(b), dtype=int))
    assert found == matching.jaccard(b, a)
    assert 0 <= found <= 1
    assert (found == 1) == (a == b)
    if a | b:
        overlap = sum(i in a and i in b for i in range(12))
        assert math.isclose(found * sum(i in a or i in b for i in range(12)), overlap)


def test_jaccard_known_values():
    assert matching.jaccard([0, 1, 2], [2, 3]) == 0.25
    assert matching.jaccard([], []) == 1.0
    assert matching.jaccard([], [4]) == 0.0
