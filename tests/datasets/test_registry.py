from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from halfsight import datasets
from halfsight.datasets import Dataset, DatasetError, DatasetInfo, Sample, Scale, registry
from halfsight.datasets.check import cards

BUILT_IN = {"biq2021", "clive", "folder", "koniq10k", "osie", "spaq", "table"}


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that announces one data set, one that is broken, and one under a taken name."""
    module = ModuleType("someones_data")
    module.INFO = DatasetInfo("mine", "Mine", 1, Scale(0, 9), "own", "here", "x")  # type: ignore[attr-defined]

    def load(root: str | Path, *, mos: float = 3.0) -> Dataset:
        sample = Sample("x.png", Path(root) / "x.png", mos, split="test")
        return Dataset("mine", Path(root), (sample,), Scale(0, 9))

    module.load = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "someones_data", module)
    points = [
        EntryPoint("mine", "someones_data", registry.GROUP),
        EntryPoint("broken", "no_such_module_anywhere", registry.GROUP),
        EntryPoint("clive", "someones_data", registry.GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda *, group: points)


def test_built_in() -> None:
    assert set(datasets.names()) >= BUILT_IN
    for name in BUILT_IN:
        card = datasets.info(name)
        assert card.name == name
        assert card.title
        assert card.licence
        assert card.source
        assert card.layout
        assert card.splits == () or sum(n for _, n in card.splits) == card.images


def test_a_plugin_is_a_data_set_like_others(plugin: None, tmp_path: Path) -> None:
    assert set(datasets.names()) == BUILT_IN | {"mine", "broken"}
    assert datasets.info("mine").title == "Mine"
    assert datasets.load("mine", tmp_path, mos=4.0)[0].mos == 4.0
    assert datasets.info("clive").images == 1162
    with pytest.raises(DatasetError, match="got option size for mine, expected mos"):
        datasets.load("mine", tmp_path, size=3)


def test_a_broken_plugin_disturbs_nobody(plugin: None) -> None:
    with pytest.raises(DatasetError, match="'broken' from no_such_module_anywhere"):
        datasets.info("broken")
    by_name = {card["name"]: card for card in cards()}
    assert set(by_name["broken"]) == {"name", "error"}
    assert by_name["koniq10k"]["splits"] == {"train": 7058, "val": 1000, "test": 2015}
    assert by_name["mine"]["scale"] == {"minimum": 0, "maximum": 9, "higher_is_better": True}


def test_split_by_name_or_names(plugin: None, tmp_path: Path) -> None:
    assert len(datasets.load("mine", tmp_path, split="test")) == 1
    assert len(datasets.load("mine", tmp_path, split=["test"])) == 1
    with pytest.raises(DatasetError, match="got split 'train' of mine, expected one of 'test'"):
        datasets.load("mine", tmp_path, split="train")


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="got data set 'koniq', expected one of biq2021, clive"):
        datasets.load("koniq", tmp_path)
