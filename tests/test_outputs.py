"""Nothing half-written, nothing of others' deleted, errors in one line."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from halfsight import outputs
from halfsight.outputs import OutputError, atomic_path, claim_folder, is_ours, write_atomic

OURS = '{"made_by": "halfsight"}'


def contents(folder: Path) -> dict[str, bytes]:
    """Every file and folder below, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"(folder)"
        for path in sorted(folder.rglob("*"))
    }


def failing(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder that halfsight made earlier."""
    folder = tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    (folder / "manifest.json").write_text(OURS)
    (folder / "sub" / "old.txt").write_text("old")
    return folder


# Files


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x.txt"
    for data in ("ü\n", b"\x00\xff", ""):
        write_atomic(path, data)
        assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert contents(path.parent) == {"x.txt": b""}


def test_modes_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    ordinary, path = tmp_path / "ordinary", tmp_path / "x"
    ordinary.touch()
    write_atomic(path, "1")
    assert path.stat().st_mode == ordinary.stat().st_mode
    path.chmod(0o640)
    write_atomic(path, "2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_atomic(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_writers_of_their_own_get_the_suffix(tmp_path: Path) -> None:
    name = "n" * 200 + ".png"
    with atomic_path(tmp_path / name) as partial:
        assert (partial.parent, partial.suffix) == (tmp_path, ".png")
        assert not (tmp_path / name).exists()
        partial.write_bytes(b"1")
    assert contents(tmp_path) == {name: b"1"}


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="got a folder"):
        write_atomic(tmp_path, "x")
    with pytest.raises(OutputError, match="device or pipe"):
        write_atomic("/dev/null", "x")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize("error", [failing(errno.ENOSPC), KeyboardInterrupt(), ValueError("mine")])
def test_a_failure_in_the_middle_leaves_what_was_there(
    tmp_path: Path, before: bytes | None, error: BaseException
) -> None:
    path = tmp_path / "x.csv"
    if before is not None:
        path.write_bytes(before)

    def attempt() -> None:
        with atomic_path(path) as partial:
            partial.write_text("half of it")
            raise error

    with pytest.raises(OutputError if isinstance(error, OSError) else type(error)):
        attempt()
    assert contents(tmp_path) == ({} if before is None else {"x.csv": before})


def test_folders_made_for_a_file_that_failed_are_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a" / "b" / "x"):
        raise KeyboardInterrupt
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EACCES, "not allowed to write there"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EDQUOT, "the disk quota is used up"),
    ],
)
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_errors_of_the_disk_are_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, problem: str, call: str
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("old")

    def full(*_: object, **__: object) -> None:
        raise failing(number)

    monkeypatch.setattr(os if call == "fsync" else Path, call, full)
    with pytest.raises(OutputError) as caught:
        write_atomic(path, "new")
    monkeypatch.undo()
    assert str(caught.value).startswith(f"{path}: {problem}; ")
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == {"x.csv": b"old"}


def test_errors_about_other_files_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), atomic_path(tmp_path / "out" / "x"):
        raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/input.jpg")
    with pytest.raises(OSError, match="odd"), atomic_path(tmp_path / "x"):
        raise OSError(errno.ECONNRESET, "odd")


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="a part of the path is a file"):
        write_atomic(tmp_path / "file" / "x", "1")
    with pytest.raises(OutputError, match="name is too long"):
        write_atomic(tmp_path / ("x" * 300), "1")
    with pytest.raises(OutputError), claim_folder(tmp_path / ("x" * 300)):
        pytest.fail("claimed")
    with pytest.raises(OutputError), claim_folder(tmp_path / ("x" * 300) / "out"):
        pytest.fail("claimed")
    with pytest.raises(OutputError), claim_folder(tmp_path / "file" / "out"):
        pytest.fail("claimed")
    assert contents(tmp_path) == {"file": b"x"}


LIMITED = """
import resource, sys
from halfsight.outputs import OutputError, write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_atomic(sys.argv[1], b"x" * 1_000_000)
except OutputError as error:
    print(error)
"""


def test_the_system_refusing_to_write_on(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=False
    )
    assert "larger than allowed" in run.stdout, run.stderr
    assert contents(tmp_path) == {"x.bin": b"old"}


KILLED = """
import os, signal, sys
from pathlib import Path
from halfsight.outputs import atomic_path, claim_folder
with claim_folder(sys.argv[1], overwrite=True) as folder, atomic_path(sys.argv[2]) as file:
    (folder / "half.txt").write_text("half")
    file.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_leaves_what_was_there(tmp_path: Path, made: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("old")
    before = contents(made)
    run = subprocess.run([sys.executable, "-c", KILLED, str(made), str(file)], check=False)
    assert run.returncode == -signal.SIGKILL
    assert file.read_text() == "old"
    assert contents(made) == before
    visible = sorted(path.name for path in tmp_path.iterdir() if path.name[0] != ".")
    assert visible == ["out", "x.csv"]
    # What it left behind does not stand in the way of the next run.
    with claim_folder(made, overwrite=True) as folder:
        (folder / "new.txt").write_text("new")
    assert sorted(contents(made)) == ["manifest.json", "new.txt"]


# Folders


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_or_empty_folder_is_filled(tmp_path: Path, exists: bool) -> None:
    out = tmp_path / "a" / "out"
    if exists:
        out.mkdir(parents=True)
    with claim_folder(out) as folder:
        assert folder.parent == out.parent
        (folder / "sub").mkdir()
        (folder / "sub" / "x.txt").write_text("1")
        (folder / "sub" / "link").symlink_to("nowhere")
        assert not out.exists() or not any(out.iterdir())
    assert (out / "sub" / "x.txt").read_text() == "1"
    assert is_ours(out)
    assert json.loads((out / "manifest.json").read_text())["versions"]["halfsight"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_manifest_of_its_own_is_kept(tmp_path: Path) -> None:
    with claim_folder(tmp_path / "out") as folder:
        (folder / "manifest.json").write_text(OURS)
    assert contents(tmp_path / "out") == {"manifest.json": OURS.encode()}


def test_a_folder_with_files_is_refused_without_overwrite(made: Path) -> None:
    before = contents(made.parent)
    with pytest.raises(OutputError) as caught, claim_folder(made):
        pytest.fail("claimed")
    assert str(caught.value) == (
        f"{made}: got a folder with files in it, expected a new or empty one; "
        "use --overwrite or another folder"
    )
    assert contents(made.parent) == before


def test_overwrite_replaces_the_whole_folder_at_the_end(made: Path) -> None:
    made.chmod(0o750)
    before = contents(made)
    with claim_folder(made, overwrite=True) as folder:
        (folder / "new.txt").write_text("new")
        assert contents(made) == before
    assert sorted(contents(made)) == ["manifest.json", "new.txt"]
    assert stat.S_IMODE(made.stat().st_mode) == 0o750
    assert [path.name for path in made.parent.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "manifest", [None, "", "{", "[]", '"halfsight"', '{"made_by": "another"}', "\udcff"]
)
def test_a_folder_of_somebody_elses_is_never_overwritten(
    tmp_path: Path, manifest: str | None
) -> None:
    out = tmp_path / "photos"
    out.mkdir()
    (out / "precious.jpg").write_bytes(b"x")
    if manifest is not None:
        (out / "manifest.json").write_bytes(manifest.encode("utf-8", "surrogateescape"))
    before = contents(tmp_path)
    assert not is_ours(out)
    with (
        pytest.raises(OutputError, match="never overwritten; empty it yourself"),
        claim_folder(out, overwrite=True),
    ):
        pytest.fail("claimed")
    assert contents(tmp_path) == before


def test_files_and_the_current_folder_are_refused(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(OutputError, match="got a file"), claim_folder(file, overwrite=True):
        pytest.fail("claimed")
    monkeypatch.chdir(made / "sub")
    for path in (".", "..", made, "/"):
        with (
            pytest.raises(OutputError, match="current folder"),
            claim_folder(path, overwrite=True),
        ):
            pytest.fail("claimed")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("error", [failing(errno.ENOSPC), KeyboardInterrupt(), ValueError("mine")])
def test_a_failure_leaves_no_new_folder_and_the_old_one_whole(
    tmp_path: Path, made: Path, error: BaseException, overwrite: bool
) -> None:
    out = made if overwrite else tmp_path / "new" / "deep"
    before = contents(tmp_path)

    def attempt() -> None:
        with claim_folder(out, overwrite=overwrite) as folder:
            (folder / "half.txt").write_text("half")
            (folder / "sub").mkdir()
            raise error

    with pytest.raises(OutputError if isinstance(error, OSError) else type(error)):
        attempt()
    assert contents(tmp_path) == before


def test_a_full_disk_is_one_line_for_folders_too(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(made.parent)

    def full(*_: object) -> None:
        raise failing(errno.ENOSPC)

    def attempt() -> None:
        with claim_folder(made, overwrite=True) as folder:
            (folder / "half.txt").write_text("half")
            monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(OutputError, match="out: the disk is full; free some space"):
        attempt()
    assert contents(made.parent) == before


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", [".partial-", "out"])
def test_a_failed_swap_puts_the_old_folder_back(
    made: Path, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    before = contents(made.parent)
    rename = Path.rename

    def guarded(self: Path, target: Path) -> Path:
        interrupted = step in self.name and Path.rename is guarded
        if interrupted:
            monkeypatch.setattr(Path, "rename", rename)
        if not interrupted or when == "after":
            rename(self, target)
        if interrupted:
            raise KeyboardInterrupt
        return target

    def attempt() -> None:
        with claim_folder(made, overwrite=True) as folder:
            (folder / "new.txt").write_text("new")
            monkeypatch.setattr(Path, "rename", guarded)

    with pytest.raises(KeyboardInterrupt):
        attempt()
    assert contents(made.parent) == before


def test_a_folder_filled_meanwhile_by_somebody_else_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def attempt() -> None:
        with claim_folder(out):
            out.mkdir()
            (out / "theirs.txt").write_text("theirs")

    with pytest.raises(OutputError, match="files in it"):
        attempt()
    assert contents(tmp_path) == {"out": b"(folder)", "out/theirs.txt": b"theirs"}


def test_an_old_folder_that_cannot_be_removed_is_no_failure(
    made: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stuck(path: Path, onerror: object) -> None:
        onerror(os.unlink, str(path), None)  # type: ignore[operator]

    monkeypatch.setattr(outputs.shutil, "rmtree", stuck)
    with claim_folder(made, overwrite=True) as folder:
        (folder / "new.txt").write_text("new")
    monkeypatch.undo()
    assert sorted(contents(made)) == ["manifest.json", "new.txt"]
    assert "left behind" in caplog.text
    left = [path for path in made.parent.iterdir() if ".old-" in path.name]
    assert len(left) == 1
    shutil.rmtree(left[0])


def test_errors_travel_between_processes() -> None:
    error = OutputError("a\nb", "bad", "do")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "a\\nb: bad; do"
    assert (again.path, again.problem, again.remedy) == ("a\nb", "bad", "do")
