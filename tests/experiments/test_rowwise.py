from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from halfsight import statistics
from halfsight.experiments import rowwise
from halfsight.matching import jaccard


def test_rows_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, (30, 12)), rng.integers(0, 6, (30, 12))  # with ties
    marks = rng.random((30, 12)).argsort(axis=1) < 6
    for row in range(30):
        assert rowwise.spearman(a, b)[row] == pytest.approx(spearmanr(a[row], b[row]).statistic)
        assert rowwise.kendall(a, b)[row] == pytest.approx(kendalltau(a[row], b[row]).statistic)
        assert rowwise.auc(a, marks)[row] == pytest.approx(statistics.auc(a[row], marks[row]))
    other = rng.random((30, 12)).argsort(axis=1) < 6
    wanted = [
        jaccard(np.flatnonzero(x), np.flatnonzero(y)) for x, y in zip(marks, other, strict=True)
    ]
    assert rowwise.jaccard(marks, other).tolist() == pytest.approx(wanted)


def test_constant_rows_have_no_rank_correlation() -> None:
    flat, other = np.ones((1, 4)), np.arange(4.0)[None]
    assert np.isnan(rowwise.spearman(flat, other)).all()
    assert np.isnan(rowwise.kendall(flat, other)).all()
