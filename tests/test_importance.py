from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr

from halfsight import coalitions
from halfsight.importance import (
    CRITERIA,
    CriterionError,
    check,
    decimals,
    importance,
    response,
    row_correlation,
    split,
)
from halfsight.masking.base import Coalitions


def answers(n: int = 4, levels: int = 5, seed: int = 0) -> Coalitions:
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(1 << n, levels))
    p = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    scores = (p @ np.arange(1, levels + 1)).astype(np.float32)
    return Coalitions(scores, p, draw.normal(size=(1 << n, 8)).astype(np.float32))


@pytest.mark.parametrize("criterion", ["dist_plcc", "token_corr", "abs_delta"])
def test_means_over_masks_match_the_definition(criterion: str) -> None:
    n, given = 4, answers()
    found = importance(given, check(criterion)).values
    for region in range(n):
        total = []
        for mask in range(1, (1 << n) - 1):
            if not mask >> region & 1:
                continue
            if criterion == "abs_delta":
                total.append(abs(float(given.scores[mask]) - float(given.scores[0])))
            else:
                rows = given.distributions if criterion == "dist_plcc" else given.quality
                assert rows is not None
                total.append(1 - pearsonr(rows[mask].astype(float), rows[0].astype(float))[0])
        assert len(total) == 2 ** (n - 1) - 1
        assert found[region] == pytest.approx(np.mean(total), abs=1e-9)


def test_shapley_is_signed_and_efficient() -> None:
    worth = np.array([0.5, -0.25, 0.0, 1.0])
    kept = ~coalitions.membership(4)
    additive = Coalitions((2 + kept @ worth).astype(np.float32))
    found = importance(additive, "shapley")
    assert found.values == pytest.approx(worth, abs=1e-6)
    assert found.important == (0, 3)
    given = answers()
    total = importance(given, "shapley").values.sum()
    assert total == pytest.approx(float(given.scores[0]) - float(given.scores[-1]), abs=1e-6)


def test_a_region_that_alone_matters_is_the_most_important() -> None:
    n = 12
    hidden = coalitions.membership(n)[:, 7]
    p = np.where(hidden[:, None], [0.6, 0.2, 0.1, 0.05, 0.05], [0.05, 0.05, 0.1, 0.2, 0.6])
    given = Coalitions(
        (p @ np.arange(1, 6)).astype(np.float32), p.astype(np.float32), p.astype(np.float32)
    )
    for criterion in CRITERIA:
        found = importance(given, criterion)
        assert int(np.abs(found.values).argmax()) == 7
        assert 7 in found.important
        assert len(found.important) == len(found.trivial) == 6
        assert sorted(found.important + found.trivial) == list(range(12))


def test_ties_go_to_the_lower_region() -> None:
    assert split([1.0, 2.0, 2.0, 1.0, 1.0, 2.0]) == ((1, 2, 5), (0, 3, 4))
    assert split(np.zeros(12)) == (tuple(range(6)), tuple(range(6, 12)))
    assert split([0.1, -5.0, 0.2, 0.3]) == ((1, 3), (0, 2))


def test_scalar_heads_default_to_abs_delta_and_refuse_the_rest() -> None:
    scalar = Coalitions(answers().scores)
    assert importance(scalar).criterion == "abs_delta"
    assert importance(answers()).criterion == "dist_plcc"
    with pytest.raises(CriterionError, match="scalar head"):
        response(scalar, "dist_plcc")
    with pytest.raises(CriterionError, match="quality token"):
        response(scalar, "token_corr")
    with pytest.raises(CriterionError, match="expected one of"):
        check("plcc")


def test_constant_rows_have_no_correlation() -> None:
    assert row_correlation([[1, 1, 1], [1, 2, 3], [3, 2, 1]], [1, 2, 3]) == pytest.approx(
        [0, 1, -1]
    )


@pytest.mark.parametrize(
    ("values", "wanted"), [([0.0020, 0.0040], 4), ([0.2, 0.9], 2), ([1.0, 1.0], 3), ([-3, 4], 2)]
)
def test_decimals_tell_regions_apart(values: list[float], wanted: int) -> None:
    assert decimals(values) == wanted
