from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from halfsight.experiments import resampling
from halfsight.statistics import plcc, srocc


def data(count: int = 200, draws: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    y = rng.normal(size=count)
    return y[:, None] + rng.normal(size=(count, draws)), y


def test_mean_of_correlations_is_the_mean_of_correlations() -> None:
    x, y = data()
    for stat, oracle in ((plcc, pearsonr), (srocc, spearmanr)):
        found = resampling.mean_correlation(x, y, stat=stat)
        assert found.value == pytest.approx(np.mean([oracle(c, y).statistic for c in x.T]))
        assert found.low < found.value < found.high


def test_one_draw_has_the_interval_of_the_plain_bootstrap() -> None:
    x, y = data(draws=1)
    found = resampling.mean_correlation(x, y)
    plainly = resampling.correlation(x[:, 0], y)
    assert found.value == pytest.approx(plainly.value)
    assert (found.low, found.high) == pytest.approx((plainly.low, plainly.high), abs=0.01)


def test_photographs_without_a_number_are_left_out() -> None:
    x, y = data()
    y = y.copy()
    y[:50] = np.nan
    assert resampling.correlation(x[:, 0], y).value == pytest.approx(plcc(x[50:, 0], y[50:]))
    found = resampling.mean([1.0, np.nan, 3.0])
    assert found.value == 2
    assert 1 <= found.low < found.high <= 3
    assert np.isnan(resampling.mean([np.nan]).value)
    assert np.isnan(resampling.correlation([1, 2], [1, np.nan]).value)


def test_the_interval_of_a_mean_has_the_width_of_theory() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = resampling.mean(values)
    error = values.std() / 20
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert resampling.mean(values, seed=5) == resampling.mean(values, seed=5)
    assert resampling.mean(values, seed=5) != found


def test_constant_columns_have_no_correlation() -> None:
    _, y = data()
    assert np.isnan(resampling.correlation(np.ones_like(y), y).value)
