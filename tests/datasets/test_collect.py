from __future__ import annotations

import math
import unicodedata
from pathlib import Path

import polars as pl
import pytest

from halfsight.datasets import DatasetError, DatasetInfo, Scale
from halfsight.datasets.collect import (
    ImageIndex,
    Row,
    collect,
    number,
    read_table,
    text,
    vote_fractions,
)

INFO = DatasetInfo("made", "Made up", 3, Scale(1, 5), "none", "here", "images and rows")


def test_every_problem_is_named_and_counted(tmp_path: Path, make_images) -> None:  # type: ignore[no-untyped-def]
    stems = [*"abcdefg", "Upper", "extra1", "extra2"]
    make_images(tmp_path, [f"{stem}.png" for stem in stems])
    rows = [
        Row("a.png", 3.0),
        Row("a.png", 4.0),
        Row("upper.PNG", 2.0),
        *(Row(f"gone{i}.png", 3.0) for i in range(5)),
        Row("b.png", math.nan),
        Row("c.png", 5.5),
        Row("d.png", 3.0, votes=(0.5, 0.2, 0.2, 0, 0)),
        Row("e.png", 3.0, votes=(1.2, -0.2, 0, 0, 0)),
        Row("f.png", 3.0, mos_std=-1.0),
        Row("g.png", 3.0, mos_std=0.5, votes=(0, 0, 0.9996, 0, 0), split="val", subset="s"),
    ]
    dataset = collect(INFO, tmp_path, rows, ImageIndex(tmp_path))
    assert [(s.id, s.mos) for s in dataset] == [("a.png", 3.0), ("Upper.png", 2.0), ("g.png", 3.0)]
    assert dataset[2].votes == (0, 0, 1, 0, 0)
    assert (dataset[2].mos_std, dataset[2].split, dataset[2].subset) == (0.5, "val", "s")
    assert sorted(dataset.problems) == sorted(
        [
            "1 duplicate rows, dropped: a.png",
            "1 images found under a name in other case: upper.PNG",
            "5 missing images, rows dropped: gone0.png, gone1.png, gone2.png, ...",
            "1 rows without a MOS, rows dropped: b.png",
            "1 MOS outside 1 to 5, rows dropped: c.png",
            "2 votes that are negative, no number or do not sum to 1, rows dropped: d.png, e.png",
            "1 standard deviations that are negative or no number, rows dropped: f.png",
            "2 images without a row, ignored: extra1.png, extra2.png",
        ]
    )


def test_nothing_usable_says_why(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as error:
        collect(INFO, tmp_path, [Row("a.png", 1.0)], ImageIndex(tmp_path))
    assert str(error.value) == (
        f"got no usable row of 1 for made in {tmp_path} "
        "(1 missing images, rows dropped: a.png), expected images and rows"
    )
    with pytest.raises(DatasetError, match="an empty label file"):
        collect(INFO, tmp_path, [], ImageIndex(tmp_path))


def test_index_finds_what_is_meant(tmp_path: Path, make_images) -> None:  # type: ignore[no-untyped-def]
    make_images(tmp_path, ["sub/One.JPG", "sub/two.png", "café.png", ".hidden.png"])
    (tmp_path / "notes.txt").write_text("no image")
    index = ImageIndex(tmp_path, recursive=True)
    assert index.files == ("café.png", "sub/One.JPG", "sub/two.png")
    assert index.find("sub/One.JPG") == ("sub/One.JPG", "")
    assert index.find("sub\\two.png") == ("sub/two.png", "")
    assert index.find("./sub//two.png") == ("sub/two.png", "")
    assert index.find("SUB/one.jpg") == (
        "sub/One.JPG",
        "images found under a name in other case",
    )
    assert index.find(unicodedata.normalize("NFD", "café.png"))[0] == "café.png"
    for name in ("one.jpg", "sub/one.png", "", ".hidden.png", "../" + tmp_path.name + "/café.png"):
        assert index.find(name) == (None, "missing images, rows dropped")
    assert ImageIndex(tmp_path).files == ("café.png",)


def test_index_by_stem(tmp_path: Path, make_images) -> None:  # type: ignore[no-untyped-def]
    make_images(tmp_path, ["1.jpg", "2.jpg", "2.png", "3.v2.jpg"])
    index = ImageIndex(tmp_path, any_suffix=True)
    assert index.find("1.png") == ("1.jpg", "")
    assert index.find("2.png") == ("2.png", "")
    assert index.find("3.v2.png") == ("3.v2.jpg", "")
    assert index.find("2.bmp") == (None, "names that match several images, rows dropped")
    assert ImageIndex(tmp_path).find("1.png")[0] is None


def test_names_that_differ_in_case_alone(tmp_path: Path, make_images) -> None:  # type: ignore[no-untyped-def]
    make_images(tmp_path, ["a.png", "A.png"])
    if len(list(tmp_path.iterdir())) == 2:  # the file system tells them apart
        index = ImageIndex(tmp_path)
        assert index.find("A.png") == ("A.png", "")
        assert index.find("A.PNG") == (None, "names that match several images, rows dropped")


def test_linked_folders_are_followed_once(tmp_path: Path, make_images) -> None:  # type: ignore[no-untyped-def]
    make_images(tmp_path / "store", ["a.png"])
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "back").symlink_to(root)
    assert ImageIndex(root, recursive=True).files == ("linked/a.png",)


def test_table_files(tmp_path: Path, write_csv) -> None:  # type: ignore[no-untyped-def]
    csv = write_csv(tmp_path / "a.csv", "name,mos,,", "001.png, 2.5,,", "x,,,")
    frame = read_table(INFO, csv, columns=("name", "mos"))
    first, second = frame.iter_rows(named=True)
    assert (text(first, "name"), number(first, "mos")) == ("001.png", 2.5)
    assert math.isnan(number(second, "mos"))
    assert text(second, "mos") == text(second, "no such column") == ""
    with pytest.raises(DatasetError, match=r"columns name, mos, .*expected also split for made"):
        read_table(INFO, csv, columns=("name", "split"))

    parquet = tmp_path / "a.parquet"
    pl.DataFrame({"name": ["a"], "mos": [2]}).write_parquet(parquet)
    assert number(next(read_table(INFO, parquet).iter_rows(named=True)), "mos") == 2.0


@pytest.mark.parametrize("name", ["bad.csv", "bad.parquet"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x81", b'a,b\n1,2\n"open,3\n4,5,6\n'])
def test_damaged_table(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DatasetError) as error:
        read_table(INFO, path, columns=("name",))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_vote_fractions() -> None:
    assert vote_fractions([1, 0, 3]) == (0.25, 0, 0.75)
    assert all(math.isnan(f) for f in vote_fractions([0, 0]))
