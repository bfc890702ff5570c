from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from halfsight import datasets
from halfsight.datasets import DatasetError, Scale


@pytest.fixture
def labels(tmp_path: Path, make_images) -> Path:  # type: ignore[no-untyped-def]
    make_images(tmp_path, ["in/a.png", "in/b.png"])
    path = tmp_path / "labels.parquet"
    pl.DataFrame(
        {
            "file": ["in/a.png", str(tmp_path / "in" / "b.png")],
            "dmos": [20.0, 70.0],
            "sd": [5.0, 2.5],
            "fold": ["one", "two"],
            "kind": ["night", "day"],
            "bad": [1, 4],
            "good": [3, 0],
        }
    ).write_parquet(path)
    return path


def test_every_column(labels: Path) -> None:
    dataset = datasets.load(
        "table",
        labels.parent,
        labels=labels,
        path_column="file",
        mos_column="dmos",
        std_column="sd",
        split_column="fold",
        subset_column="kind",
        level_columns=("bad", "good"),
        votes="counts",
        scale=Scale(0, 100, higher_is_better=False),
    )
    assert [(s.id, s.mos, s.mos_std, s.split, s.subset, s.votes) for s in dataset] == [
        ("in/a.png", 20.0, 5.0, "one", "night", (0.25, 0.75)),
        ("in/b.png", 70.0, 2.5, "two", "day", (1.0, 0.0)),
    ]
    assert dataset.scale.to_five(20.0) == pytest.approx(4.2)


def test_scores_alone(labels: Path, write_csv) -> None:  # type: ignore[no-untyped-def]
    csv = write_csv(labels.with_suffix(".csv"), "filename,mos", "in/a.jpg,0.5")
    options = {"labels": csv, "scale": (0, 1)}
    with pytest.raises(DatasetError, match=r"1 missing images, rows dropped: in/a\.jpg"):
        datasets.load("table", labels.parent, **options)
    (sample,) = datasets.load("table", labels.parent, any_suffix=True, **options)
    assert (sample.id, sample.mos, sample.mos_std, sample.votes) == ("in/a.png", 0.5, None, None)


def test_without_scores(labels: Path) -> None:
    dataset = datasets.load(
        "table", labels.parent, labels=labels, path_column="file", mos_column=None
    )
    assert [s.mos for s in dataset] == [None, None]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": None}, "got no labels for table"),
        ({"labels": "nowhere.csv"}, "got labels nowhere.csv, expected a CSV or Parquet file"),
        ({"scale": None}, r"expected its lowest and highest value, such as scale=\(0, 100\)"),
        ({"votes": "percent"}, "got votes 'percent', expected fractions or counts"),
        ({"mos_column": "score"}, "expected also score for table"),
        ({"column": "x"}, "got option column for table, expected labels, path_column"),
        ({"level_columns": ("bad", "good")}, "votes that are negative, no number or do not sum"),
    ],
)
def test_refusals(labels: Path, options: dict[str, object], message: str) -> None:
    given: dict[str, object] = {
        "labels": labels,
        "path_column": "file",
        "mos_column": "dmos",
        "scale": (0, 100),
    }
    with pytest.raises(DatasetError, match=message):
        datasets.load("table", labels.parent, **{**given, **options})
