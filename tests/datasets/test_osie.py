from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from halfsight import datasets
from halfsight.datasets import DatasetError
from halfsight.datasets.osie import GazeDataset


@pytest.fixture
def gaze(tmp_path: Path, make_images, write_csv) -> GazeDataset:  # type: ignore[no-untyped-def]
    make_images(tmp_path / "stimuli", ["1001.jpg", "1002.jpg", "1003.jpg"])
    write_csv(
        tmp_path / "fixations.csv",
        "image,subject,x,y,duration_ms",
        "1002.jpg,0,10.5,3,100",
        "1001.jpg,0,1,2,150",
        "1001.jpg,3,23.9,15.5,200",
        "1001.jpg,3,24,15.5,210",
        "1001.jpg,4,-0.1,1,220",
        "1003.jpg,4,nan,1,220",
        "1004.jpg,4,1,1,220",
    )
    dataset = datasets.load("osie", tmp_path)
    assert isinstance(dataset, GazeDataset)
    return dataset


def test_fixations_go_with_their_images(gaze: GazeDataset) -> None:
    assert [s.id for s in gaze] == ["stimuli/1002.jpg", "stimuli/1001.jpg"]
    assert all(s.mos is None and s.votes is None for s in gaze)
    for name in ("1001.jpg", "stimuli/1001.jpg"):
        found = gaze.fixations(name)
        np.testing.assert_array_equal(found.subject, [0, 3, 3, 4])
        np.testing.assert_array_equal(found.x, [1, 23.9, 24, -0.1])
        np.testing.assert_array_equal(found.y, [2, 15.5, 15.5, 1])
        np.testing.assert_array_equal(found.duration, [150, 200, 210, 220])
    assert len(gaze.fixations("1002.jpg")) == 1


def test_fixations_inside(gaze: GazeDataset) -> None:
    inside = gaze.fixations("1001.jpg").inside(16, 24)
    np.testing.assert_array_equal(inside.x, [1, 23.9])
    np.testing.assert_array_equal(inside.subject, [0, 3])


def test_problems(gaze: GazeDataset) -> None:
    assert gaze.problems == (
        "1 missing images, rows dropped: 1004.jpg",
        "1 images without a row, ignored: 1003.jpg",
        "1 fixations with a cell that is no number, dropped",
    )
    with pytest.raises(DatasetError, match=r"got '1003\.jpg', expected the id of one of 2 images"):
        gaze.fixations("1003.jpg")


def test_split_keeps_the_fixations(gaze: GazeDataset) -> None:
    part = gaze.replace(gaze.samples[1:])
    assert isinstance(part, GazeDataset)
    assert len(part.fixations("1001.jpg")) == 4


def test_no_fixations(tmp_path: Path, make_images, write_csv) -> None:  # type: ignore[no-untyped-def]
    make_images(tmp_path / "stimuli", ["1001.jpg"])
    with pytest.raises(DatasetError, match=r"without fixations\.csv"):
        datasets.load("osie", tmp_path)
    write_csv(tmp_path / "fixations.csv", "image,subject,x,y,duration_ms", "1001.jpg,a,b,c,d")
    with pytest.raises(DatasetError, match="no usable row"):
        datasets.load("osie", tmp_path)


def test_real_files(shared: Path) -> None:
    root = shared / "data" / "osie"
    if root.is_dir():
        dataset = datasets.load("osie", root)
        assert isinstance(dataset, GazeDataset)
        assert len(dataset) == 200
        assert dataset.problems == ()
        assert sum(len(dataset.fixations(s.id).inside(600, 800)) for s in dataset) == 28091
