from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from halfsight import datasets
from halfsight.datasets import DatasetError, Scale, five_level_target

OFFICIAL = (
    "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set",
    "10.jpg,0.0,0.0,0.25,0.7,0.05,100,77.38,0.5,training",
    "20.jpg,0.0,0.03125,0.46875,0.489583333333,0.0104166666667,96,68.7,0.58,test",
    "30.jpg,1,0,0,0,0,80,3.9,0,validation",
)
YOU = (
    "filename,c1,c2,c3,c4,c5,mos,split",
    "10.jpg,0,3,45,47,5,3.54,train",
    "20.jpg,0,0,0,0,0,3,val",
)
NAMES = ("10.jpg", "20.jpg", "30.jpg")


@pytest.mark.parametrize("folder", ["1024x768", "512x384", ""])
def test_official(tmp_path: Path, make_images, write_csv, folder: str) -> None:  # type: ignore[no-untyped-def]
    make_images(tmp_path / folder, NAMES)
    write_csv(tmp_path / "koniq10k_distributions_sets.csv", *OFFICIAL)
    dataset = datasets.load("koniq10k", tmp_path)
    assert [s.id for s in dataset] == [str(Path(folder, name)) for name in NAMES]
    assert [s.split for s in dataset] == ["train", "test", "val"]
    assert dataset.scale == Scale(1, 100)
    assert dataset[0].mos == 77.38
    assert dataset[0].mos_std == pytest.approx(0.5 * 99 / 4)  # SD is in levels, the MOS is not
    np.testing.assert_allclose(
        five_level_target(dataset[0], dataset.scale), [0, 0, 0.25, 0.7, 0.05], atol=1e-12
    )
    assert dataset.problems == ()


def test_official_without_sets(tmp_path: Path, make_images, write_csv) -> None:  # type: ignore[no-untyped-def]
    make_images(tmp_path, NAMES)
    rows = [line.rpartition(",")[0] for line in OFFICIAL]
    write_csv(tmp_path / "koniq10k_scores_and_distributions.csv", *rows)
    assert datasets.load("koniq10k", tmp_path).splits == {"": 3}


def test_you(tmp_path: Path, make_images, write_csv) -> None:  # type: ignore[no-untyped-def]
    make_images(tmp_path / "1024x768", NAMES)
    write_csv(tmp_path / "koniq10k_distributions_sets.csv", *OFFICIAL)
    write_csv(tmp_path / "koniq_splits_you.csv", *YOU)
    dataset = datasets.load("koniq10k", tmp_path, labels="you")
    assert dataset.scale == Scale(1, 5)
    assert dataset[0].votes == pytest.approx((0, 0.03, 0.45, 0.47, 0.05))
    assert (dataset[0].mos, dataset[0].mos_std, dataset[0].split) == (3.54, None, "train")
    assert dataset.problems == (
        "1 votes that are negative, no number or do not sum to 1, rows dropped: 20.jpg",
        "1 images without a row, ignored: 30.jpg",
    )
    assert len(datasets.load("koniq10k", tmp_path, labels="official")) == 3
    assert datasets.load("koniq10k", tmp_path).scale == Scale(1, 100)


def test_label_file_elsewhere(tmp_path: Path, make_images, write_csv) -> None:  # type: ignore[no-untyped-def]
    make_images(tmp_path / "images", NAMES)
    you = write_csv(tmp_path / "labels" / "mine.csv", *YOU)
    assert datasets.load("koniq10k", tmp_path / "images", labels=you).scale == Scale(1, 5)
    with pytest.raises(DatasetError, match="expected an existing file for koniq10k"):
        datasets.load("koniq10k", tmp_path / "images", labels=tmp_path / "none.csv")
    with pytest.raises(DatasetError, match=r"without koniq10k_distributions_sets\.csv or"):
        datasets.load("koniq10k", tmp_path / "images")
    other = write_csv(tmp_path / "other.csv", "name,c1,c2,c3,c4,c5", "10.jpg,0,0,0,0,1")
    with pytest.raises(DatasetError, match="expected image_name and MOS, or filename and mos"):
        datasets.load("koniq10k", tmp_path / "images", labels=other)


@pytest.mark.parametrize(
    ("labels", "splits"),
    [
        ("koniq10k_distributions_sets.csv", {"train": 7058, "val": 1000, "test": 2015}),
        ("koniq_splits_you.csv", {"train": 8124, "val": 975, "test": 974}),
    ],
)
def test_real_labels(tmp_path: Path, shared: Path, labels: str, splits: dict[str, int]) -> None:
    path = shared / "data" / "labels" / labels
    if path.is_file():
        folder = tmp_path / "1024x768"
        folder.mkdir()
        for line in path.read_text().splitlines()[1:]:
            (folder / line.partition(",")[0]).touch()
        dataset = datasets.load("koniq10k", tmp_path, labels=path)
        assert dataset.splits == splits
        assert dataset.problems == ()
        means = np.array([np.dot(s.votes or (), range(1, 6)) for s in dataset])
        mos = np.array([s.mos for s in dataset])
        assert np.corrcoef(means, mos)[0, 1] > 0.99
