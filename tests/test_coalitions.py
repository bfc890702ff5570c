"""The coalition arithmetic against brute force, shapiq, shap and the axioms."""

from __future__ import annotations

from itertools import combinations, permutations
from math import comb, factorial

import numpy as np
import pytest
import shap
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from shap.explainers import _exact
from shap.maskers import _tabular
from shap.utils import _masked_model
from shapiq import ExactComputer

from halfsight import coalitions as co

TOLERANCE = 1e-8

relaxed = settings(deadline=None, max_examples=50)  # weights are cached: the first example is slow


def random_tables(n: int, *leading: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(50, 20, size=(*leading, 2**n))


def game(table: np.ndarray):
    """The table as shapiq and shap see it: rows of kept regions in, scores out."""
    bits = 1 << np.arange(int(np.log2(table.size)))
    return lambda kept: table[table.size - 1 - (np.asarray(kept, dtype=bool) @ bits)]


def subsets(items):
    for size in range(len(items) + 1):
        yield from combinations(items, size)


@st.composite
def tables(draw, leading: tuple[int, ...] = (), largest: int = 5):
    n = draw(st.integers(2, largest))
    scores = st.floats(-100, 100, allow_nan=False, width=32)
    return draw(hnp.arrays(np.float64, (*leading, 2**n), elements=scores))


# ---- the bit sets


def test_membership_and_sizes_say_the_same_as_the_bits():
    member = co.membership(5)
    assert member.shape == (32, 5)
    assert member.dtype == bool
    for mask in range(32):
        assert tuple(np.flatnonzero(member[mask])) == co.regions_of(mask, 5)
        assert co.sizes(5)[mask] == mask.bit_count()
    assert not member[0].any()
    assert member[co.full_mask(5)].all()


def test_paper_counts_for_twelve_regions():
    masks = co.proper_masks(12)
    assert masks.size == 4094
    assert co.sizes(12)[masks].min() == 1
    assert co.sizes(12)[masks].max() == 11
    np.testing.assert_array_equal(co.membership(12)[masks].sum(axis=0), np.full(12, 2047))
    np.testing.assert_array_equal(np.bincount(co.sizes(12)), [comb(12, size) for size in range(13)])
    assert co.full_mask(12) == 4095


@pytest.mark.parametrize("make", [co.membership, co.sizes, co.proper_masks])
def test_cached_arrays_are_shared_and_read_only(make):
    assert make(6) is make(6)
    with pytest.raises(ValueError, match="read-only"):
        make(6)[0] = 0


@relaxed
@given(st.sets(st.integers(0, 15)))
def test_index_and_regions_are_inverse(regions):
    assert co.regions_of(co.index_of(regions), 16) == tuple(sorted(regions))


def test_index_of_takes_numpy_integers_and_bit_zero_is_the_top_left():
    assert co.index_of(np.array([0, 3])) == 0b1001
    assert co.index_of([0]) == 1
    assert co.index_of([]) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: co.membership(1), "got 1 regions, expected 2 to 16"),
        (lambda: co.sizes(17), "got 17 regions"),
        (lambda: co.proper_masks(0), "got 0 regions"),
        (lambda: co.full_mask(-3), "got -3 regions"),
        (lambda: co.index_of([16]), "got region 16, expected 0 to 15"),
        (lambda: co.index_of([-1]), "got region -1"),
        (lambda: co.index_of([2, 2]), "got region 2 twice"),
        (lambda: co.regions_of(16, 4), "got coalition 16, expected 0 to 15"),
        (lambda: co.regions_of(-1, 4), "got coalition -1"),
        (lambda: co.region_count(0), "got a table of 0 scores"),
        (lambda: co.region_count(2), "got a table of 2 scores"),
        (lambda: co.region_count(2**17), "got a table of 131072 scores"),
        (lambda: co.shapley(np.zeros(4094)), "got a table of 4094 scores"),
        (lambda: co.shapley(1.0), "got one number"),
        (lambda: co.banzhaf(np.zeros((3, 12))), "got a table of 12 scores"),
        (lambda: co.mobius(np.zeros(15)), "got a table of 15 scores"),
        (lambda: co.interactions(np.zeros(15)), "got a table of 15 scores"),
        (lambda: co.interactions(np.zeros(16), index="owen"), "got index 'owen'"),
        (lambda: co.average_over_masks(np.zeros(16), 5), "got 16 responses, expected 32"),
        (lambda: co.subset_sums(np.zeros((2, 17))), "got 17 regions"),
        (lambda: co.subset_sums(3.0), "got 1 regions"),
    ],
)
def test_errors_say_what_was_got(call, message):
    with pytest.raises(co.CoalitionError, match=message):
        call()


# ---- sums and averages over masks


def test_subset_sums_equal_the_membership_product():
    values = np.random.default_rng(1).normal(size=(2, 3, 7))
    np.testing.assert_allclose(co.subset_sums(values), values @ co.membership(7).T, atol=1e-12)


@pytest.mark.parametrize(
    ("given_type", "kept_type"),
    [(np.float32, np.float32), (np.uint8, np.int64), (bool, np.int64), (np.float64, np.float64)],
)
def test_subset_sums_keep_floats_and_widen_whole_numbers(given_type, kept_type):
    sums = co.subset_sums(np.ones(9, dtype=given_type))
    assert sums.dtype == kept_type
    np.testing.assert_array_equal(sums, co.sizes(9))


def test_subset_sums_of_large_bytes_do_not_wrap():
    assert co.subset_sums(np.full(3, 200, dtype=np.uint8))[-1] == 600


@pytest.mark.parametrize("n", [2, 3, 5])
def test_average_over_masks_by_definition(n):
    response = random_tables(n, 4)
    expected = [
        response[:, [m for m in range(1, 2**n - 1) if m >> i & 1]].mean(axis=1) for i in range(n)
    ]
    np.testing.assert_allclose(co.average_over_masks(response, n), np.transpose(expected))


def test_average_over_masks_does_not_read_the_two_improper_masks():
    response = random_tables(4)
    expected = co.average_over_masks(response, 4)
    response[[0, 15]] = np.nan
    np.testing.assert_array_equal(co.average_over_masks(response, 4), expected)
    response[3] = np.nan
    assert np.isnan(co.average_over_masks(response, 4)).all()


# ---- brute-force definitions


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_shapley_is_the_mean_marginal_over_all_orders(n):
    table = random_tables(n)
    full, expected = 2**n - 1, np.zeros(n)
    for order in permutations(range(n)):
        kept = 0
        for i in order:
            expected[i] += table[full ^ (kept | 1 << i)] - table[full ^ kept]
            kept |= 1 << i
    np.testing.assert_allclose(co.shapley(table), expected / factorial(n), atol=TOLERANCE)


@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_banzhaf_and_interactions_by_definition(n):
    table = random_tables(n, seed=2)

    def worth(*kept):
        return table[(2**n - 1) ^ co.index_of(kept)]

    for i in range(n):
        rest = [k for k in range(n) if k != i]
        marginals = [worth(*s, i) - worth(*s) for s in subsets(rest)]
        assert co.banzhaf(table)[i] == pytest.approx(np.mean(marginals), abs=TOLERANCE)
    for i, j in combinations(range(n), 2):
        rest = [k for k in range(n) if k not in (i, j)]
        mixed = {
            s: worth(*s, i, j) - worth(*s, i) - worth(*s, j) + worth(*s) for s in subsets(rest)
        }
        weight = {
            s: factorial(len(s)) * factorial(n - len(s) - 2) / factorial(n - 1) for s in mixed
        }
        by_shapley = sum(weight[s] * value for s, value in mixed.items())
        found = co.interactions(table)[i, j]
        assert found == pytest.approx(by_shapley, abs=TOLERANCE)
        found = co.interactions(table, index="banzhaf")[i, j]
        assert found == pytest.approx(np.mean(list(mixed.values())), abs=TOLERANCE)


def test_mobius_by_definition_and_inverse():
    n, table = 5, random_tables(5, seed=3)
    found = co.mobius(table)
    for kept in range(2**n):
        inside = [s for s in range(2**n) if s & kept == s]
        expected = sum((-1) ** (kept ^ s).bit_count() * table[31 ^ s] for s in inside)
        assert found[kept] == pytest.approx(expected, abs=TOLERANCE)
        assert found[inside].sum() == pytest.approx(table[31 ^ kept], abs=TOLERANCE)


def test_presence_that_raises_the_score_is_positive():
    # masking region 2 always costs 7, masking the others costs nothing
    table = 100.0 - 7.0 * co.membership(12)[:, 2]
    expected = np.zeros(12)
    expected[2] = 7
    np.testing.assert_allclose(co.shapley(table), expected, atol=TOLERANCE)
    np.testing.assert_allclose(co.banzhaf(table), expected, atol=TOLERANCE)
    np.testing.assert_allclose(co.interactions(table), np.zeros((12, 12)), atol=TOLERANCE)
    dividends = np.zeros(4096)
    dividends[0], dividends[co.index_of([2])] = 93, 7
    np.testing.assert_allclose(co.mobius(table), dividends, atol=TOLERANCE)


# ---- parity with the libraries


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_parity_with_shapiq(n):
    table = random_tables(n, seed=n)
    exact = ExactComputer(game(table), n_players=n)

    values = {name: exact(name, 1).dict_values for name in ("SV", "BV")}
    for name, ours in (("SV", co.shapley(table)), ("BV", co.banzhaf(table))):
        np.testing.assert_allclose(ours, [values[name][i,] for i in range(n)], atol=TOLERANCE)

    for name, index in (("SII", "shapley"), ("BII", "banzhaf")):
        theirs, ours = exact(name, 2).dict_values, co.interactions(table, index=index)
        for pair in combinations(range(n), 2):
            assert ours[pair] == pytest.approx(theirs[pair], abs=TOLERANCE)
        np.testing.assert_array_equal(ours, ours.T)
        np.testing.assert_array_equal(np.diag(ours), np.zeros(n))

    theirs = exact("Moebius").dict_values
    for kept, ours in enumerate(co.mobius(table)):
        # shapiq drops what is all but 0
        assert ours == pytest.approx(theirs.get(co.regions_of(kept, n), 0.0), abs=TOLERANCE)


@pytest.fixture
def _shap_interpreted(monkeypatch):
    """Run shap's numba functions as plain Python: compiling them takes longer than every test."""
    for module in (_exact, _tabular, _masked_model):
        for name, value in list(vars(module).items()):
            if hasattr(value, "py_func"):
                monkeypatch.setattr(module, name, value.py_func)


@pytest.mark.usefixtures("_shap_interpreted")
@pytest.mark.parametrize("n", [3, 7, 12])
def test_parity_with_shap(n):
    table = random_tables(n, seed=10 + n)
    explainer = shap.explainers.Exact(game(table), shap.maskers.Independent(np.zeros((1, n))))
    found = explainer(np.ones((1, n)), max_evals=10**6, silent=True).values[0]
    np.testing.assert_allclose(co.shapley(table), found, atol=TOLERANCE)


# ---- axioms


@relaxed
@given(tables())
def test_efficiency(table):
    assert co.shapley(table).sum() == pytest.approx(table[0] - table[-1], abs=1e-9)
    assert co.mobius(table).sum() == pytest.approx(table[0], abs=1e-9)


@relaxed
@given(tables(), st.data())
def test_symmetry(table, data):
    """Renaming the regions renames the values; so interchangeable regions get the same."""
    n = co.region_count(table.size)
    order = np.array(data.draw(st.permutations(range(n))))
    # region order[k] of the table is region k of the renamed one
    renamed = table[co.membership(n) @ (1 << order)]
    np.testing.assert_allclose(co.shapley(renamed), co.shapley(table)[order], atol=TOLERANCE)
    np.testing.assert_allclose(co.banzhaf(renamed), co.banzhaf(table)[order], atol=TOLERANCE)
    for index in ("shapley", "banzhaf"):
        np.testing.assert_allclose(
            co.interactions(renamed, index=index),
            co.interactions(table, index=index)[np.ix_(order, order)],
            atol=TOLERANCE,
        )


@relaxed
@given(tables(), st.floats(-50, 50), st.data())
def test_dummy(table, worth, data):
    n = co.region_count(table.size)
    dummy = data.draw(st.integers(0, n - 1))
    others = np.arange(table.size) & ~(1 << dummy)
    table = table[others] - worth * co.membership(n)[:, dummy]
    assert co.shapley(table)[dummy] == pytest.approx(worth, abs=TOLERANCE)
    assert co.banzhaf(table)[dummy] == pytest.approx(worth, abs=TOLERANCE)
    for index in ("shapley", "banzhaf"):
        np.testing.assert_allclose(
            co.interactions(table, index=index)[dummy], np.zeros(n), atol=TOLERANCE
        )


@relaxed
@given(tables(leading=(2,)), st.floats(-5, 5), st.floats(-5, 5))
def test_linearity(pair, a, b):
    mixed = a * pair[0] + b * pair[1]
    for index in (
        co.shapley,
        co.banzhaf,
        co.interactions,
        lambda t: co.interactions(t, index="banzhaf"),
        co.mobius,
    ):
        first, second = index(pair)
        np.testing.assert_allclose(index(mixed), a * first + b * second, atol=1e-7)


@relaxed
@given(tables())
def test_values_are_sums_of_dividends(table):
    """The Shapley value shares every dividend evenly; so do the pairwise indices."""
    n = co.region_count(table.size)
    dividends, kept, size = co.mobius(table), co.membership(n), co.sizes(n)
    shares = dividends[1:, None] * kept[1:] / size[1:, None]
    np.testing.assert_allclose(co.shapley(table), shares.sum(axis=0), atol=TOLERANCE)
    both = kept[:, :, None] & kept[:, None, :]
    pairs = (dividends / np.maximum(size - 1, 1))[:, None, None] * both
    off_diagonal = ~np.eye(n, dtype=bool)
    np.testing.assert_allclose(
        co.interactions(table)[off_diagonal], pairs.sum(axis=0)[off_diagonal], atol=TOLERANCE
    )


# ---- many tables at once


def test_leading_axes_and_types():
    stack = random_tables(6, 2, 3)
    for index in (co.shapley, co.banzhaf, co.interactions, co.mobius):
        whole = index(stack)
        assert whole.shape[:2] == (2, 3)
        assert whole.dtype == np.float64
        np.testing.assert_allclose(whole[1, 2], index(stack[1, 2]), atol=1e-10)
        np.testing.assert_allclose(
            index(stack.astype(np.float32)), index(stack.astype(np.float32).astype(np.float64))
        )
        assert index(stack[:0]).shape == (0, *whole.shape[1:])
    assert co.average_over_masks(stack[:0], 6).shape == (0, 3, 6)


def test_the_given_table_is_left_alone():
    table = random_tables(5)
    before = table.copy()
    co.mobius(table), co.shapley(table), co.interactions(table), co.average_over_masks(table, 5)
    np.testing.assert_array_equal(table, before)


def test_sixteen_regions():
    weights = np.linspace(-1, 2, 16)
    table = 3.0 - co.subset_sums(weights)
    np.testing.assert_allclose(co.shapley(table), weights, atol=TOLERANCE)
    np.testing.assert_allclose(co.interactions(table), np.zeros((16, 16)), atol=TOLERANCE)
