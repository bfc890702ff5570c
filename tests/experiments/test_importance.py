from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from halfsight import coalitions
from halfsight.experiments import importance, published


def test_the_pair_of_a_table_whose_answer_is_known(half_game) -> None:  # type: ignore[no-untyped-def]
    study, base, weights = half_game
    found = {row.half: row for row in importance.pairs(study)}
    full = base + weights.sum(1)
    for criterion in ("abs_delta", "shapley"):
        trivial, important = found[f"trivial, {criterion}"], found[f"important, {criterion}"]
        assert trivial.plcc.value == pytest.approx(1)
        assert trivial.change.value == 0
        assert important.plcc.value == pytest.approx(pearsonr(base, full).statistic, abs=1e-5)
        assert important.srocc.value == pytest.approx(spearmanr(base, full).statistic, abs=1e-5)
        assert important.mos.value == pytest.approx(pearsonr(base, study.mos).statistic, abs=1e-5)
        assert important.change.value == pytest.approx(weights.sum(1).mean(), abs=1e-5)
        assert important.plcc.low < important.plcc.value < important.plcc.high


def test_the_mean_of_all_halves_is_that_of_all_924(half_game) -> None:  # type: ignore[no-untyped-def]
    study, _, _ = half_game
    found = {row.half: row for row in importance.controls(study)}
    full = study.scores[:, 0]
    every = [coalitions.index_of(half) for half in combinations(range(12), 6)]
    wanted = np.mean([pearsonr(study.scores[:, mask], full).statistic for mask in every])
    assert found["one half for all, mean of all"].plcc.value == pytest.approx(wanted)
    pair = {row.half: row for row in importance.pairs(study)}
    random = found["random halves"].plcc
    assert pair["important, abs_delta"].plcc.value < random.value < 1
    assert random.low < random.value < random.high
    # all photographs have the same important regions, so another one's are as good
    swapped = found["important of another photograph"].plcc.value
    assert swapped == pytest.approx(pair["important, abs_delta"].plcc.value)


def test_positions_of_a_table_whose_answer_is_known(half_game) -> None:  # type: ignore[no-untyped-def]
    study, _, _ = half_game
    values, rows = importance.positions(study)
    assert values["share abs_delta"].tolist() == [1] * 6 + [0] * 6
    assert (np.diff(values["mean shapley"][:7]) < 0).all()
    # the base alone correlates with the whole, so no mask with an idle region costs nothing
    assert values["by position"][:6].min() > values["by position"][6:].max()
    assert rows[0].half == "trivial, by position"
    assert rows[0].plcc.value == pytest.approx(1)


def test_without_opinions_there_is_no_correlation_with_them(toy) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    study = toy(rng.normal(size=20), rng.random((20, 12)))
    outcome = importance.run(study)
    assert outcome.summary["halves"]["trivial, abs_delta"]["mos"]["value"] is None
    assert outcome.summary["published"] is None
    assert not [row for table in outcome.tables for row in table.rows if row.kind == "paper"]
    assert outcome.frames["importance"].shape[0] == 20


@pytest.mark.parametrize("dataset", published.DATASETS)
def test_the_papers_pair_stands_beside_ours_on_its_data_sets(toy, dataset: str) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    outcome = importance.run(toy(rng.normal(size=20), rng.random((20, 12)), dataset=dataset))
    rows = {row.cells[0]: row for row in outcome.tables[0].rows}
    trivial, important = published.pair(dataset) or (0, 0)
    assert rows["trivial, paper"].cells[1] == trivial
    assert rows["important, paper"].cells[1] == important
    assert outcome.summary["published"]["trivial"] == trivial
