"""Measures and attribution methods laid beside an explanation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.attribution.nets import scorer_of, small_triq
from tests.foreign import Places
from tests.pictures import picture

from halfsight import also
from halfsight.attribution.registry import attribute
from halfsight.explanation import Explanation, explain
from halfsight.measures import load
from halfsight.measures.base import region_values
from halfsight.scorer import Scorer
from halfsight.wrapping import wrap

PHOTO = picture(96, 128)


@pytest.fixture(scope="module")
def model() -> Scorer:
    return scorer_of(small_triq())


@pytest.fixture(scope="module")
def result(model: Scorer) -> Explanation:
    return explain(model, PHOTO)


def test_each_view_has_a_map_and_a_value_a_region(model: Scorer, result: Explanation) -> None:
    found = also.add(result, model)
    assert tuple(found.also) == tuple(found.overlays) == also.CHEAP
    assert result.also == {}
    for name, one in found.also.items():
        assert one.regions.shape == (12,)
        assert np.isfinite(one.regions).all()
        assert one.seconds > 0
        assert found.maps[name].shape == (96, 128)
    for name in ("gradcam", "rollout"):
        wanted = attribute(name, model, PHOTO, result.grid, tokens=result.tokens)
        np.testing.assert_allclose(found.also[name].regions, wanted.regions, atol=1e-6)
        np.testing.assert_allclose(found.overlays[name], wanted.map, atol=1e-6)
        assert found.also[name].options == wanted.options
    assert (found.also["gradcam"].regions < 0).any()  # signed and raw
    for name in ("saliency", "frequency", "objectness"):
        measure = load(name)
        values = region_values(measure, PHOTO, result.grid, tokens=result.tokens)
        np.testing.assert_allclose(found.also[name].regions, values)
        assert found.also[name].options["measure"] == measure.name


def test_lime_is_in_units_of_the_models_scale() -> None:
    scorer = wrap(Places(levels=3), logits=True, scale=(0, 100))
    first = explain(scorer, PHOTO, grid="2x2")
    found = also.add(first, scorer, ["lime", "averaged"])
    assert found.also["lime"].options["samples"] == 16  # every subset
    assert np.abs(found.also["lime"].regions).max() > 0.005
    levels = attribute("lime", scorer, PHOTO, first.grid)  # of the mean level, 1 to 3
    np.testing.assert_allclose(found.also["lime"].regions, levels.regions * 50, atol=1e-4)
    assert found.also["averaged"].regions.max() <= 1


def test_what_a_model_does_not_allow() -> None:
    scorer = wrap(Places())
    first = explain(scorer, PHOTO, grid="2x2")
    with pytest.raises(also.AlsoError, match=r"rollout: got External for rollout, expected a"):
        also.add(first, scorer, ["rollout"])
    found = also.add(first, scorer, skip=True)
    assert tuple(found.also) == ("saliency", "frequency", "objectness", "gradcam")


def test_names() -> None:
    assert also.check(["lime", "saliency", "lime"]) == ("lime", "saliency")
    with pytest.raises(also.AlsoError, match="got 'limes', expected some of lime, gradcam"):
        also.check(["limes"])


def test_large_maps_are_averaged_down(
    model: Scorer, result: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(also, "LONGEST", 64)
    found = also.add(result, model, ["saliency"])
    assert found.overlays["saliency"].shape == (48, 64)
    whole = load("saliency")(PHOTO)
    np.testing.assert_allclose(found.overlays["saliency"][0, 0], whole[:2, :2].mean(), rtol=1e-4)


def test_json_and_files(model: Scorer, result: Explanation, tmp_path: Path) -> None:
    assert "also" not in result.to_dict()
    found = also.add(result, model, ["rollout", "saliency"])
    said = json.loads(json.dumps(found.to_dict()))["also"]
    assert set(said) == {"rollout", "saliency"}
    for one in said.values():
        assert set(one) == {"regions", "seconds", "options"}
        assert len(one["regions"]) == 12
    assert set(found.options["also"]) == {"rollout", "saliency"}
    found.save(tmp_path / "out")
    with np.load(tmp_path / "out" / "maps.npz") as maps:
        assert set(maps) == {"importance", "rollout", "saliency"}
        np.testing.assert_array_equal(maps["rollout"], found.overlays["rollout"])
    page = (tmp_path / "out" / "explanation.html").read_text().lower()
    assert "rollout" in page
    assert "saliency" in page
