from __future__ import annotations

import pytest
from scipy.stats import pearsonr

from halfsight.experiments.curves import Curve, curves
from halfsight.experiments.outcome import Measured


def test_curves_of_an_additive_game(half_game) -> None:  # type: ignore[no-untyped-def]
    study, base, weights = half_game
    found = curves(study)
    full = base + weights.sum(1)
    for k in range(1, 12):
        best = base + weights[:, :k].sum(1)  # weights fall with the number of the region
        assert found["best"].full[k - 1].value == pytest.approx(
            pearsonr(best, full).statistic, abs=1e-5
        )
    # the six idle regions say nothing: keeping them alone leaves the base
    assert found["worst"].full[5].value == pytest.approx(pearsonr(base, full).statistic, abs=1e-5)
    assert found["best"].full[5].value == pytest.approx(1)
    middle = found["random"].full[5].value
    assert found["worst"].full[5].value < middle < found["best"].full[5].value
    assert found["best"].mos[5].value == pytest.approx(
        pearsonr(full, study.mos).statistic, abs=1e-5
    )


def test_enough_is_where_the_curve_stays() -> None:
    def curve(*values: float) -> Curve:
        return Curve("best", tuple(map(Measured, values)), ())

    assert curve(0.2, 0.96, 0.9, 0.95, 0.99).enough() == 4
    assert curve(0.99, 0.99).enough() == 1
    assert curve(0.99, 0.5).enough() is None
    assert curve(0.99, float("nan")).enough() is None
    assert curve(0.2, 0.6).enough(0.5) == 2
