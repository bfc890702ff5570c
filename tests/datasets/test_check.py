from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from halfsight.cli import app
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


def test_report_for_people(root: Path) -> None:
    lines = check("biq2021", root).lines()
    text = "\n".join(lines)
    for said in (
        "images: 4 usable of 12000, 11996 not here",
        "splits: train 3, val 1",
        "subsets: ss01 2, ss03 2",
        "MOS: 0 to 1, mean 0.4375, on 4 images; the scale goes from 0 to 1",
        "standard deviations: none",
        "problem: 1 images without a row, ignored: Images/ss03 (5).jpg",
        "twins: 2 near-identical images in 1 groups, at most 2 in one",
        "  Images/ss01 (1).jpg = Images/ss01 (2).jpg",
        "leak: 1 images of val have a twin in train: Images/ss01 (2).jpg",
    ):
        assert said in lines
    assert "unreadable: " in text
    assert lines[-1] == (
        "result: problems with labels or files, unreadable images, leaks between splits; "
        "part of the whole set"
    )


def test_a_koniq_tree_with_everything_wrong(tmp_path: Path, scene, write_csv) -> None:  # type: ignore[no-untyped-def]
    images = tmp_path / "1024x768"
    images.mkdir()
    for number, name in enumerate(("1.jpg", "2.JPG", "3.jpg", "4.jpg", "5.jpg", "extra.jpg")):
        scene(number).save(images / name, format="jpeg")
    scene(0).resize((70, 70)).save(images / "6.jpg")
    even = "0.2,0.2,0.2,0.2,0.2,100"
    write_csv(
        tmp_path / "koniq10k_distributions_sets.csv",
        "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set",
        f"1.jpg,{even},50,1.2,training",
        f"2.jpg,{even},50,1.2,training",
        f"3.jpg,{even},,1.2,training",
        f"4.jpg,{even},101,1.2,training",
        "5.jpg,0.9,0.9,0,0,0,100,50,1.2,validation",
        f"6.jpg,{even},51,1.2,test",
        f"6.jpg,{even},52,1.2,test",
        f"7.jpg,{even},52,1.2,test",
    )
    report = check("koniq10k", tmp_path)
    assert (report.images, report.expected) == (3, 10073)
    assert report.splits == {"train": 2, "test": 1}
    assert set(report.problems) == {
        "1 images found under a name in other case: 2.jpg",
        "1 rows without a MOS, rows dropped: 3.jpg",
        "1 MOS outside 1 to 100, rows dropped: 4.jpg",
        "1 votes that are negative, no number or do not sum to 1, rows dropped: 5.jpg",
        "1 duplicate rows, dropped: 6.jpg",
        "1 missing images, rows dropped: 7.jpg",
        "1 images without a row, ignored: extra.jpg",
    }
    assert report.leaks == (Leak("test", "train", 1, ("1024x768/6.jpg",)),)
    assert report.votes == 3


def test_a_spaq_tree(tmp_path: Path, scene, write_csv) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "TestImage").mkdir()
    for number in range(4):
        scene(number).save(tmp_path / "TestImage" / f"0000{number}.jpg")
    rows = [f"0000{n}.png,{20 * n},{'train' if n < 2 else 'test'}" for n in range(4)]
    write_csv(tmp_path / "spaq_splits_you.csv", "filename,mos,split", *rows)
    report = check("spaq", tmp_path)
    assert report.ok
    assert not report.complete
    assert report.splits == {"train": 2, "test": 2}
    assert report.mos == Range(4, 0.0, 30.0, 60.0)
    assert report.lines()[-3:] == (
        "twins: none",
        "leaks between splits: none",
        "result: nothing wrong; part of the whole set",
    )


def test_the_command_prints_lines_or_json(root: Path) -> None:
    cli = CliRunner()
    shown = cli.invoke(app, ["datasets", "check", "biq2021", "--root", str(root)])
    assert shown.exit_code == 1
    assert shown.stdout.splitlines()[-1].startswith("result: problems with labels or files")
    found = cli.invoke(app, ["datasets", "check", "biq2021", "--root", str(root), "--json"])
    assert json.loads(found.stdout)["images"] == 4
    missing = cli.invoke(app, ["datasets", "check", "clive", "--root", str(root / "none")])
    assert missing.exit_code == 2
    assert len(missing.stderr.splitlines()) == 1


def test_without_decoding(root: Path) -> None:
    report = check("biq2021", root, decode=False)
    assert "not decoded" in report.lines()[-2]
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
