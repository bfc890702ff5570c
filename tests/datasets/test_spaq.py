from __future__ import annotations

from pathlib import Path

import pytest

from halfsight import datasets
from halfsight.datasets import DatasetError


@pytest.mark.parametrize("folder", ["TestImage", "img", ""])
def test_split_file_with_images_of_the_release(  # type: ignore[no-untyped-def]
    tmp_path: Path, make_images, write_csv, folder: str
) -> None:
    make_images(tmp_path / folder, ["00001.jpg", "00002.JPG", "00005.png"])
    write_csv(
        tmp_path / "spaq_splits_you.csv",
        "filename,mos,split",
        "00001.png,48.86,train",
        "00002.png,62.5,val",
        "00005.png,0,test",
    )
    dataset = datasets.load("spaq", tmp_path)
    assert [(s.path.name, s.mos, s.split) for s in dataset] == [
        ("00001.jpg", 48.86, "train"),
        ("00002.JPG", 62.5, "val"),
        ("00005.png", 0.0, "test"),
    ]
    assert dataset.problems == ()


def test_sheet_of_the_authors(tmp_path: Path, make_images, write_csv) -> None:  # type: ignore[no-untyped-def]
    make_images(tmp_path / "TestImage", ["00001.jpg", "00002.jpg"])
    write_csv(
        tmp_path / "Annotations" / "MOS and Image attribute scores.csv",
        "Image name,MOS,Brightness",
        "00001.jpg,48.86,50",
        "00002.jpg,101,50",
    )
    dataset = datasets.load("spaq", tmp_path)
    assert [(s.id, s.mos, s.split) for s in dataset] == [("TestImage/00001.jpg", 48.86, "")]
    assert dataset.problems == ("1 MOS outside 0 to 100, rows dropped: 00002.jpg",)


def test_other_columns(tmp_path: Path, write_csv) -> None:  # type: ignore[no-untyped-def]
    write_csv(tmp_path / "spaq_splits_you.csv", "image,score", "1.jpg,2")
    with pytest.raises(DatasetError, match="columns image, score, expected filename or Image name"):
        datasets.load("spaq", tmp_path)


def test_real_labels(tmp_path: Path, shared: Path) -> None:
    path = shared / "data" / "labels" / "spaq_splits_you.csv"
    if path.is_file():
        (tmp_path / "TestImage").mkdir()
        for line in path.read_text().splitlines()[1:]:
            (tmp_path / "TestImage" / line.partition(".")[0]).with_suffix(".jpg").touch()
        dataset = datasets.load("spaq", tmp_path, labels=path)
        assert dataset.splits == {"train": 8999, "val": 1119, "test": 1007}
        assert dataset.problems == ()
