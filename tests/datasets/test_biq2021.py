from __future__ import annotations

from pathlib import Path

import pytest

from halfsight import datasets
from halfsight.datasets import DatasetError


@pytest.fixture
def release(tmp_path: Path, make_images, write_csv) -> Path:  # type: ignore[no-untyped-def]
    make_images(tmp_path / "Images", ["ss01 (1).jpg", "ss02 (2).JPG", "ss03 (3).jpg"])
    write_csv(
        tmp_path / "Train (Images and MOS).csv",
        "Image Name,MOS,,",
        "ss03 (3).jpg,0.8471,,",
        "ss02 (2).jpg,0,,",
    )
    write_csv(tmp_path / "Test (Images and MOS).csv", "Image Name,MOS", "ss01 (1).jpg,1")
    return tmp_path


def test_release(release: Path) -> None:
    dataset = datasets.load("biq2021", release)
    assert [(s.id, s.mos, s.split, s.subset) for s in dataset] == [
        ("Images/ss03 (3).jpg", 0.8471, "train", "ss03"),
        ("Images/ss02 (2).JPG", 0.0, "train", "ss02"),
        ("Images/ss01 (1).jpg", 1.0, "test", "ss01"),
    ]
    assert all(s.path.is_file() and s.mos_std is None for s in dataset)
    assert dataset.problems == ("1 images found under a name in other case: ss02 (2).jpg",)


def test_half_a_release(release: Path) -> None:
    (release / "Test (Images and MOS).csv").unlink()
    with pytest.raises(DatasetError, match=r"without Test \(Images and MOS\)\.csv"):
        datasets.load("biq2021", release)


def test_table(tmp_path: Path, make_images, write_csv) -> None:  # type: ignore[no-untyped-def]
    make_images(tmp_path / "Images", ["ss01 (1).jpg", "ss03 (2).jpg"])
    labels = write_csv(
        tmp_path / "elsewhere" / "biq.csv",
        "filename,mos,split,subset",
        "Images/ss01 (1).jpg,0.25,val,ss01",
        "Images/ss03 (2).jpg,1.25,train,ss03",
    )
    dataset = datasets.load("biq2021", tmp_path, labels=labels)
    assert [(s.id, s.split, s.subset) for s in dataset] == [("Images/ss01 (1).jpg", "val", "ss01")]
    assert dataset.problems == ("1 MOS outside 0 to 1, rows dropped: Images/ss03 (2).jpg",)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"without biq2021\.csv, expected Images/ with"):
        datasets.load("biq2021", tmp_path)


def test_real_files(shared: Path) -> None:
    root = shared / "data" / "biq2021"
    if root.is_dir():
        dataset = datasets.load("biq2021", root)
        assert dataset.splits == {"train": 500, "val": 100}
        assert dataset.problems == ()
