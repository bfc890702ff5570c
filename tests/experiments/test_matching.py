from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.pictures import picture

from halfsight.experiments import matching
from halfsight.matching import chance_matching
from halfsight.measures import MeasureError


def test_measures_that_know_the_answer_or_nothing(half_game) -> None:  # type: ignore[no-untyped-def]
    study, _, weights = half_game
    there = np.ones(40, dtype=bool)
    knows = matching.match(study, weights + 1e-9 * np.arange(12), "abs_delta", there)
    assert [one.value for one in knows.degrees] == [100] * 5
    assert knows.auc.value == 1
    assert knows.counts.value == 6
    rng = np.random.default_rng(0)
    many = [matching.match(study, rng.random((40, 12)), "abs_delta", there) for _ in range(15)]
    degrees = np.mean([[one.value for one in found.degrees] for found in many], axis=0)
    assert degrees == pytest.approx(list(chance_matching().values()), abs=6)
    assert np.mean([found.auc.value for found in many]) == pytest.approx(0.5, abs=0.03)


def test_without_trained_files_objectness_is_selective_search(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.delenv("HALFSIGHT_BING_DIR", raising=False)
    measures, which = matching.open_measures()
    assert measures["objectness"].name == "selective-search"
    assert "not at hand" in which
    with pytest.raises(MeasureError):
        matching.open_measures(bing="nowhere")
    with pytest.raises(MeasureError):
        matching.open_measures(objectness="bing")


def test_measured_values_are_cached_and_averaged(toy, monkeypatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    study = toy(rng.normal(size=6), rng.random((6, 12)))
    for at, sample in enumerate(study.samples[:5]):
        Image.fromarray(picture(96, 128, seed=at)).save(sample.path)
    study.samples[5].path.write_text("not a picture")
    monkeypatch.setattr(type(study), "tokens", lambda *_: None)
    measures, _ = matching.open_measures(objectness="selective-search")
    values, failures = matching.measured(study, measures)
    assert list(failures) == ["005.png"]
    assert np.isnan(values["averaged"][5]).all()
    parts = [values[name][:5] for name in matching.PARTS]
    low = [part.min(1, keepdims=True) for part in parts]
    high = [part.max(1, keepdims=True) for part in parts]
    wanted = sum((p - a) / (b - a) for p, a, b in zip(parts, low, high, strict=True)) / 3
    assert values["averaged"][:5] == pytest.approx(wanted)
    for sample in study.samples:
        sample.path.unlink(missing_ok=True)
    again, failures = matching.measured(study, measures)
    assert (again["saliency"][:5] == values["saliency"][:5]).all()
    assert list(failures) == ["005.png"]
    outcome = matching.run(study, measures, objectness="selective-search")
    assert outcome.summary["photographs"] == 5
    assert outcome.failures
    rows = {row.cells[0]: row for row in outcome.tables[0].rows}
    assert rows["chance"].cells[1:] == tuple(chance_matching().values())
    assert not [row for row in rows.values() if row.kind == "paper"]
