from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from threading import Barrier, Lock
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import kendalltau

from halfsight import scorer as scorers
from halfsight.experiments import agreement, faithfulness
from halfsight.matching import jaccard


def test_chance_overlap_is_that_of_all_pairs_of_halves() -> None:
    every = [set(half) for half in combinations(range(6), 3)]
    wanted = np.mean([jaccard(a, b) for a in every for b in every])
    assert agreement.chance_jaccard(6) == pytest.approx(wanted)
    assert agreement.chance_jaccard(12) == pytest.approx(0.347, abs=5e-4)


def test_agreement_of_pairs_by_magnitude() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(20, 12))
    second = first.copy()
    second[:, 0] *= -1  # the sign plays no part
    third = rng.normal(size=(20, 12))
    third[4] = np.nan
    found = agreement.pairs({"a": first, "b": second, "c": third})
    count, overlap, tau = found["a", "b"]
    assert (count, overlap.value, tau.value) == (20, 1, pytest.approx(1))
    count, overlap, tau = found["a", "c"]
    rows = [row for row in range(20) if row != 4]
    assert count == 19
    wanted = [kendalltau(np.abs(first[r]), np.abs(third[r])).statistic for r in rows]
    assert tau.value == pytest.approx(np.mean(wanted))
    assert overlap.low <= overlap.value <= overlap.high


def test_a_method_that_gives_the_exact_values_is_faithful(toy, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(8, 12))
    study = toy(rng.normal(size=8), weights)
    asked = []

    def attribute(method, scorer, photograph, grid, **options):  # type: ignore[no-untyped-def]
        row = study.row[photograph]
        asked.append(method)
        sign = -1 if method == "gradcam" else 1
        return SimpleNamespace(regions=sign * weights[row])

    monkeypatch.setattr(faithfulness, "attribute", attribute)
    monkeypatch.setattr(faithfulness.images, "read", lambda path: Named(path.name))
    monkeypatch.setattr(type(study), "tokens", lambda *_: None)
    object.__setattr__(study, "scorer", object())
    rows, failures = faithfulness.compare(study, limit=6)
    found = {row.method: row for row in rows}
    assert failures == {}
    assert found["lime"].photographs == 6
    assert found["lime"].signed.value == pytest.approx(1)
    assert found["lime"].jaccard.value == 1
    assert found["gradcam"].signed.value == pytest.approx(-1)
    assert found["gradcam"].magnitude.value == pytest.approx(1)
    assert np.isnan(found["rollout"].signed.value)
    again, _ = faithfulness.compare(study, limit=6)
    assert [row.jaccard for row in again] == [row.jaccard for row in rows]
    assert len(asked) == 18  # the second time all comes from the store


def test_every_thread_has_a_network_of_its_own() -> None:
    model = scorers.load()
    mine, workers = faithfulness._one_a_thread(model)
    assert workers is None
    with ThreadPoolExecutor(2) as pool:
        barrier = Barrier(2)

        def taken(_: int) -> tuple[scorers.Scorer, scorers.Scorer]:
            barrier.wait()
            return mine(), mine()

        (a, again), (b, _) = pool.map(taken, range(2))
    assert a is again
    assert len({id(one.net) for one in (a, b, model)}) == 3
    assert a.hash == b.hash == model.hash


def test_a_network_that_cannot_be_copied_works_alone() -> None:
    model = scorers.load()
    model.net.handle = Lock()  # type: ignore[assignment]
    mine, workers = faithfulness._one_a_thread(model)
    assert workers == 1
    assert mine() is model


class Named(str):
    """A photograph that knows its name alone."""

    height = width = 10
