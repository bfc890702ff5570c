from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from PIL import Image

from halfsight.datasets import DatasetError
from halfsight.datasets.check import Leak, Range, Twins, check


@pytest.fixture
def root(tmp_path: Path, scene, write_csv) -> Path:  # type: ignore[no-untyped-def]
    """Five images: a twin in each split, another, one cut short, and one without a row."""
    images = tmp_path / "Images"
    images.mkdir()
    for name, picture in {
        "ss01 (1).jpg": scene(1),
        "ss01 (2).jpg": scene(1).resize((80, 80)),
        "ss03 (3).jpg": scene(2),
        "ss03 (4).jpg": scene(3),
        "ss03 (5).jpg": Image.new("RGB", (9, 9)),
    }.items():
        picture.save(images / name, quality=95)
    whole = (images / "ss03 (4).jpg").read_bytes()
    (images / "ss03 (4).jpg").write_bytes(whole[: len(whole) // 2])
    write_csv(
        tmp_path / "biq2021.csv",
        "filename,mos,split",
        "Images/ss01 (1).jpg,0.5,train",
        "Images/ss03 (3).jpg,0.25,train",
        "Images/ss03 (4).jpg,0,train",
        "Images/ss01 (2).jpg,1,val",
    )
    return tmp_path


def test_report(root: Path) -> None:
    calls: list[tuple[int, int]] = []
    report = check("biq2021", root, progress=lambda *done: calls.append(done))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (report.name, report.images, report.expected) == ("biq2021", 4, 12000)
    assert report.splits == {"train": 3, "val": 1}
    assert report.subsets == {"ss01": 2, "ss03": 2}
    assert report.mos == Range(4, 0.0, 0.4375, 1.0)
    assert report.mos_std.count == 0
    assert math.isnan(report.mos_std.mean)
    assert report.votes == 0
    assert report.problems == ("1 images without a row, ignored: Images/ss03 (5).jpg",)
    (unreadable,) = report.unreadable
    assert "ss03 (4).jpg" in unreadable
    pair = ("Images/ss01 (1).jpg", "Images/ss01 (2).jpg")
    assert report.twins == Twins(1, 2, 2, (pair,))
    assert report.leaks == (Leak("val", "train", 1, pair[1:]),)
    assert not report.ok
    assert not report.complete


def test_report_as_json(root: Path) -> None:
    found = json.loads(json.dumps(check("biq2021", root).to_dict(), allow_nan=False))
    assert found["ok"] is False
    assert found["complete"] is False
    assert found["mos_std"] == {"count": 0, "minimum": None, "mean": None, "maximum": None}
    assert found["leaks"] == [
        {"split": "val", "other": "train", "images": 1, "examples": ["Images/ss01 (2).jpg"]}
    ]


def test_without_decoding(root: Path) -> None:
    report = check("biq2021", root, decode=False)
    assert report.twins is None
    assert report.leaks is None
    assert report.unreadable == ()
    assert report.images == 4


def test_clean_set(root: Path) -> None:
    (root / "Images" / "ss03 (4).jpg").unlink()
    report = check("folder", root)
    assert report.ok
    assert report.complete
    assert report.leaks == ()


def test_options_and_errors_reach_the_loader(root: Path, tmp_path: Path) -> None:
    labels = root / "biq2021.csv"
    assert check("table", root, labels=labels, scale=(0, 1), decode=False).images == 4
    with pytest.raises(DatasetError, match="expected a folder"):
        check("biq2021", tmp_path / "none")
