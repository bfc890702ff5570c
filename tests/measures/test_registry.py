import json
import pickle
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from halfsight.grid import RegionGrid
from halfsight.measures import registry
from halfsight.measures.base import Measure, MeasureError, MeasureInfo, region_values

ALONE = [
    "saliency",
    "objectness",
    "frequency",
    "averaged",
    "boolean-map",
    "spectral-residual",
    "fine-grained",
    "centre-bias",
    "selective-search",
]


def test_names_are_unique_and_hold_the_four_properties():
    names = registry.names()
    assert len(set(names)) == len(names)
    assert {"saliency", "frequency", "objectness", "averaged"} <= set(names)


@pytest.mark.parametrize("name", ALONE)
def test_these_need_nothing(name):
    measure = registry.load(name)
    assert isinstance(measure, Measure)
    assert measure.name == registry.info(name).name
    assert registry.info(name).needs == ""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    assert measure(pixels).shape == (48, 64)
    assert region_values(measure, pixels, RegionGrid()).shape == (12,)


@pytest.mark.parametrize("name", ALONE)
def test_measures_can_be_sent_to_a_worker(name):
    measure = registry.load(name)
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    measure(pixels)
    assert np.array_equal(pickle.loads(pickle.dumps(measure))(pixels), measure(pixels))


@pytest.mark.parametrize("name", list(registry.BUILT_IN))
def test_every_card_is_complete(name):
    card = registry.info(name)
    assert card.name == name
    for part in (card.title, card.definition, card.source, card.licence):
        assert part
    assert bool(card.evidence) == (card.kind in {"saliency", "control"})
    assert card.kind in {"saliency", "frequency", "objectness", "averaged", "control", "other"}


def test_options_reach_the_measure():
    assert registry.load("frequency", degree=30.0).degree == 30.0
    assert registry.load("saliency", side=200).side == 200


def test_unknown_names_and_options_are_refused():
    with pytest.raises(MeasureError, match=r"'sailency', expected one of .*saliency"):
        registry.load("sailency")
    with pytest.raises(MeasureError, match=r"'frequency': .*colour"):
        registry.load("frequency", colour=3)


def test_cards_are_json_and_say_what_is_missing():
    cards = json.loads(json.dumps(registry.cards()))
    by_name = {card["name"]: card for card in cards}
    assert set(registry.BUILT_IN) <= set(by_name)
    assert by_name["boolean-map"]["default"] == "saliency"
    assert by_name["boolean-map"]["available"] is True
    assert by_name["boolean-map"]["missing"] is None
    assert by_name["precomputed"]["available"] is False
    assert "folder" in by_name["precomputed"]["missing"]


class Brightness:
    """A measure of another package."""

    name = "brightness"
    info = MeasureInfo("brightness", "Brightness", "mean of the channels", "a test", "MIT")

    def __call__(self, pixels):
        return pixels.mean(axis=2).astype(np.float32)


def broken():
    return 3


def announce(monkeypatch, **points):
    found = [EntryPoint(name, value, registry.GROUP) for name, value in points.items()]
    monkeypatch.setattr(registry, "entry_points", lambda group: found)


def test_another_package_can_add_a_measure(monkeypatch):
    announce(monkeypatch, brightness=f"{__name__}:Brightness", saliency=f"{__name__}:broken")
    assert registry.names()[-1] == "brightness"
    assert registry.info("brightness").licence == "MIT"
    pixels = np.full((6, 8, 3), 7, np.uint8)
    assert region_values(registry.load("brightness"), pixels, RegionGrid(2, 2)).tolist() == [7] * 4
    assert registry.load("saliency").name == "boolean-map"
    assert registry.cards()[-1]["title"] == "Brightness"


def test_a_broken_addition_is_named_and_breaks_nothing_else(monkeypatch):
    announce(monkeypatch, gone="no_such_module:Thing", three=f"{__name__}:broken")
    with pytest.raises(MeasureError, match=r"'gone' from no_such_module:Thing"):
        registry.load("gone")
    with pytest.raises(MeasureError, match=r"got int for measure 'three'"):
        registry.load("three")
    by_name = {card["name"]: card for card in registry.cards()}
    assert by_name["gone"]["available"] is False
    assert "no_such_module" in by_name["gone"]["missing"]
    assert by_name["three"]["definition"] == "not described"
    assert by_name["frequency"]["available"] is True
