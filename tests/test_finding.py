"""Finding photographs: nothing is opened here, so empty files do."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from halfsight.images import EXTENSIONS, find


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "10.jpg", "2.JPG", "b.PnG", "notes.txt", ".hidden.jpg", "._2.jpg",
        "trip/1.tiff", "trip/deep/er/x.webp", ".cache/thumb.jpg", "trip/.git/y.jpg",
        "empty/readme.md", "odd[1].jpg", "no_suffix",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "folder.jpg").mkdir()
    return tmp_path


def names(found: tuple[Path, ...], root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in found]


EVERYTHING = ["2.JPG", "10.jpg", "b.PnG", "odd[1].jpg", "trip/1.tiff", "trip/deep/er/x.webp"]


def test_a_folder_is_searched_in_natural_order_without_hidden_names(tree: Path) -> None:
    found = find([tree])
    assert names(found.files, tree) == EVERYTHING
    assert found.errors == ()


def test_every_extension_is_found(tmp_path: Path) -> None:
    for extension in EXTENSIONS:
        (tmp_path / f"x{extension.upper()}").touch()
    assert len(find([tmp_path]).files) == len(EXTENSIONS)


def test_files_are_taken_as_given_in_order_and_once(tree: Path) -> None:
    given = [tree / "no_suffix", str(tree / "b.PnG"), tree / "trip", tree / "trip" / "1.tiff"]
    given += [tree / "trip" / ".." / "b.PnG", tree / ".hidden.jpg"]
    found = find(given)
    assert names(found.files, tree) == [
        "no_suffix", "b.PnG", "trip/1.tiff", "trip/deep/er/x.webp", ".hidden.jpg",
    ]  # fmt: skip
    assert found.errors == ()


def test_one_path_need_not_be_in_a_list(tree: Path) -> None:
    assert names(find(str(tree / "b.PnG")).files, tree) == ["b.PnG"]
    assert names(find(tree / "b.PnG").files, tree) == ["b.PnG"]
    assert find([]).files == find([]).errors == ()


def test_patterns(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(find([f"{tree}/*.[jJ][pP][gG]"]).files, tree) == ["2.JPG", "10.jpg", "odd[1].jpg"]
    assert names(find([f"{tree}/**/*.webp"]).files, tree) == ["trip/deep/er/x.webp"]
    # Folders that match are searched, other files that match are left out.
    assert names(find([f"{tree}/*"]).files, tree) == EVERYTHING
    # A file of that very name comes before the pattern.
    assert names(find([tree / "odd[1].jpg"]).files, tree) == ["odd[1].jpg"]
    monkeypatch.chdir(tree)
    assert find(["tr*/*.tiff"]).files == (Path("trip/1.tiff"),)


def test_a_list_on_standard_input(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"\ufeff{tree}/b.PnG\r\n\n  \n{tree}/trip\n{tree}/none.jpg"
    found = find([tree / "2.JPG", "-"], stdin=io.StringIO(text))
    assert names(found.files, tree) == ["2.JPG", "b.PnG", "trip/1.tiff", "trip/deep/er/x.webp"]
    assert [error.path for error in found.errors] == [f"{tree}/none.jpg"]
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{tree}/b.PnG\n"))
    assert names(find(["-"]).files, tree) == ["b.PnG"]


def test_standard_input_without_a_list() -> None:
    assert str(find(["-"], stdin=io.StringIO("\n")).errors[0]) == (
        "-: no path on standard input; send one path a line"
    )
    binary = io.TextIOWrapper(io.BytesIO(b"\xff\xfe\x00"), encoding="utf-8")
    assert "cannot read the list" in str(find(["-"], stdin=binary).errors[0])


def test_what_cannot_be_found_is_listed_and_the_rest_goes_on(tree: Path) -> None:
    given = [tree / "none.jpg", tree / "empty", f"{tree}/*.xyz", "x" * 5000, tree / "b.PnG"]
    found = find(given)
    assert names(found.files, tree) == ["b.PnG"]
    problems = [error.problem for error in found.errors]
    assert problems == [
        "no such file or folder",
        "no photograph in this folder",
        "no photograph matches",
        "cannot be read (File name too long)",
    ]
    assert [error.path for error in found.errors] == [str(path) for path in given[:4]]
    assert all("\n" not in str(error) for error in found.errors)


def test_an_unreadable_folder(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def guarded(path: str) -> object:
        if Path(path).name == "trip":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found = find([tree])
    assert names(found.files, tree) == EVERYTHING[:4]
    assert [error.problem for error in found.errors] == [
        "cannot list the folder (Permission denied)"
    ]
    alone = find([tree / "trip"])
    assert len(alone.errors) == 1


def test_links_are_followed_but_not_in_circles(tree: Path) -> None:
    (tree / "trip" / "loop").symlink_to(tree)
    (tree / "alias.jpg").symlink_to(tree / "b.PnG")
    (tree / "broken.jpg").symlink_to(tree / "gone")
    (tree / "elsewhere").symlink_to(tree / "trip" / "deep")
    found = find([tree])
    assert len(found.files) == len(EVERYTHING)
    assert len({os.path.realpath(path) for path in found.files}) == len(EVERYTHING)
    assert find([tree / "broken.jpg"]).errors[0].problem == "no such file or folder"
