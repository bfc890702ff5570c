from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from halfsight import datasets
from halfsight.datasets import DatasetError

PRACTICE = [f"t{i}.bmp" for i in range(1, 8)]
NAMES = ["3.bmp", "10.JPG", "12.bmp"]


def write_release(root: Path, names: list[str], mos: list[float], std: list[float]) -> None:
    data = root / "Data"
    data.mkdir(parents=True)
    cells = np.empty((len(names), 1), dtype=object)
    cells[:, 0] = names
    for name, value in (
        ("AllImages_release", cells),
        ("AllMOS_release", np.array([mos])),
        ("AllStdDev_release", np.array([std])),
    ):
        scipy.io.savemat(data / f"{name}.mat", {name: value})


@pytest.fixture
def release(tmp_path: Path, make_images) -> Path:  # type: ignore[no-untyped-def]
    mos = [50.0] * 7 + [63.96, 25.3, 48.4]
    write_release(tmp_path, PRACTICE + NAMES, mos, [1.0] * 7 + [19.0, 17.5, 18.25])
    make_images(tmp_path / "Images", NAMES + [f"trainingImages/{name}" for name in PRACTICE])
    return tmp_path


def test_release_without_its_practice_images(release: Path) -> None:
    dataset = datasets.load("clive", release)
    assert [s.id for s in dataset] == [f"Images/{name}" for name in NAMES]
    assert [s.mos for s in dataset] == [63.96, 25.3, 48.4]
    assert [s.mos_std for s in dataset] == [19.0, 17.5, 18.25]
    assert all(s.path.is_file() and s.split == "" and s.votes is None for s in dataset)
    assert dataset.problems == ()
    assert dataset.scale == datasets.Scale(0, 100)


def test_release_with_labels_elsewhere(release: Path) -> None:
    labels = release.parent / f"{release.name}-labels"
    (release / "Data").rename(labels)
    assert len(datasets.load("clive", release, labels=labels)) == 3


def test_release_of_unequal_lengths(release: Path) -> None:
    scipy.io.savemat(release / "Data" / "AllMOS_release.mat", {"AllMOS_release": np.ones((1, 4))})
    with pytest.raises(DatasetError, match="10 names, 4 MOS and 10 deviations"):
        datasets.load("clive", release)


def test_damaged_release(release: Path) -> None:
    (release / "Data" / "AllMOS_release.mat").write_bytes(b"MATLAB 5.0 and then nothing")
    with pytest.raises(DatasetError, match=r"AllMOS_release\.mat, which cannot be read"):
        datasets.load("clive", release)


def test_table(tmp_path: Path, make_images, write_csv) -> None:  # type: ignore[no-untyped-def]
    make_images(tmp_path / "images", ["1.jpg", "2.jpg"])
    write_csv(
        tmp_path / "clive.csv",
        "filename,mos,mos_std,split,width",
        "images/1.jpg,32.5,19,train,500",
        "images/2.jpg,70,12.5,val,500",
    )
    dataset = datasets.load("clive", tmp_path, split="val")
    (sample,) = dataset
    assert (sample.id, sample.mos, sample.mos_std, sample.split) == (
        "images/2.jpg",
        70.0,
        12.5,
        "val",
    )


def test_nothing_there(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(DatasetError, match=r"AllMOS_release\.mat.*clive\.csv") as error:
            datasets.load("clive", root)
        assert "\n" not in str(error.value)


def test_real_files(shared: Path) -> None:
    root = shared / "data" / "clive"
    if root.is_dir():
        dataset = datasets.load("clive", root)
        assert dataset.splits == {"train": 790, "val": 140}
        assert dataset.problems == ()
