from __future__ import annotations

import numpy as np
import pytest

from halfsight.budget.crops import BudgetError
from halfsight.budget.policy import Bound, Budget, Stopping


@pytest.mark.parametrize(
    ("given", "regions"),
    [("0.5", 6), (0.5, 6), ("6", 6), (6, 6), ("1.0", 12), (1, 1), (0.01, 1), (" 12 ", 12)],
)
def test_shares_and_numbers(given: str | float, regions: int) -> None:
    assert Budget.parse(given) == Budget(regions=regions)


@pytest.mark.parametrize("given", ["0", "13", "-1", "1.5", "half", "", "nan", 0.0, 13, "0x6"])
def test_nonsense_is_refused(given: str | float) -> None:
    with pytest.raises(BudgetError, match="expected a share"):
        Budget.parse(given)


def test_auto_needs_a_tolerance_and_nothing_else_takes_one() -> None:
    assert Budget.parse("auto", tolerance=0.1) == Budget(tolerance=0.1)
    for tolerance in (None, 0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(BudgetError, match="expected a tolerance above 0"):
            Budget.parse("auto", tolerance=tolerance)
    with pytest.raises(BudgetError, match="leave it out"):
        Budget.parse("0.5", tolerance=0.1)


def test_bounds_cover_nine_of_ten_and_shrink_where_scores_settle() -> None:
    draw = np.random.default_rng(0)
    full = draw.normal(3, 0.5, 400)
    scores = {k: full + draw.normal(0, 0.3 / k, 400) for k in (2, 4, 6)}
    found = Stopping.fit(scores, full)
    before = None
    for count, now in scores.items():
        change = np.zeros(400) if before is None else now - before
        covered = np.abs(now - full) <= [found.bounds[count](c) for c in change]
        assert 0.89 <= covered.mean() <= 0.93
        before = now
    assert found.bounds[2].base > found.bounds[6](0.0)
    assert found.bounds[2](None) == found.bounds[2].base
    again = Stopping.from_dict(found.to_dict())
    assert again == found
    assert Bound(0.1, 0.5)(-0.2) == pytest.approx(0.2)
