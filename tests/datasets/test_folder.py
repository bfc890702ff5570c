from __future__ import annotations

from pathlib import Path

import pytest

from halfsight import datasets
from halfsight.datasets import DatasetError


def test_photographs_in_natural_order(tmp_path: Path, make_images) -> None:  # type: ignore[no-untyped-def]
    make_images(tmp_path, ["10.jpg", "2.JPG", "deep/er/1.png"])
    (tmp_path / "notes.txt").write_text("no image")
    dataset = datasets.load("folder", tmp_path)
    assert [s.id for s in dataset] == ["2.JPG", "10.jpg", "deep/er/1.png"]
    assert all(s.path == tmp_path / s.id and s.mos is None for s in dataset)
    assert dataset.problems == ()


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="without a photograph, expected photographs"):
        datasets.load("folder", tmp_path)
