"""Write results whole or not at all.

Everything is written under a hidden name beside its destination and renamed when complete, so that
a reader never meets half a file and a failure leaves what was there before. A process killed
outright can leave the hidden ``.<name>.partial-<random>`` behind, which may be deleted; replacing
a folder takes two renames, and a kill between them leaves the former folder as
``.<name>.old-<random>``.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from halfsight.formats import one_line

MANIFEST = "manifest.json"
"""The file by which a folder is known to be halfsight's own, and so may be replaced."""

_DISK = "free some space or write to another disk"
_RIGHTS = "check its permissions or write elsewhere"
_REASONS = {
    errno.ENOSPC: ("the disk is full", _DISK),
    errno.EDQUOT: ("the disk quota is used up", _DISK),
    errno.EFBIG: ("the file is larger than allowed here", _DISK),
    errno.EACCES: ("not allowed to write there", _RIGHTS),
    errno.EPERM: ("not allowed to write there", _RIGHTS),
    errno.EROFS: ("the disk is read-only", "write to another disk"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.ENOTDIR: ("a part of the path is a file", "choose another folder"),
}

_log = logging.getLogger(__name__)


class OutputError(RuntimeError):
    """A result that cannot be written.

    Attributes:
        path: the destination.
        problem: what is wrong.
        remedy: what to do.
    """

    def __init__(self, path: str, problem: str, remedy: str) -> None:
        super().__init__(path, problem, remedy)  # all three, so that it survives pickling
        self.path = path
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return one_line(f"{self.path}: {self.problem}; {self.remedy}")


def write_atomic(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Write a file, text as UTF-8. Folders above it are made.

    Raises:
        OutputError: if it cannot be written; a file that was there is unchanged.
    """
    with atomic_path(path) as partial, partial.open("wb") as stream:
        stream.write(data.encode() if isinstance(data, str) else data)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write to that becomes ``path`` when the block ends well, for writers of their own.

    Yields:
        An empty file beside ``path``, with the same suffix.

    Raises:
        OutputError: if it cannot be written; a file that was there is unchanged.
    """
    target = Path(os.path.realpath(path))  # a link stays one, what it leads to is replaced
    partial = _beside(target, "partial", target.suffix)
    with _all_or_nothing(target, partial):
        if target.exists() and not target.is_file():
            kind = "a folder" if target.is_dir() else "a device or pipe"
            raise OutputError(
                str(target), f"got {kind}, expected a file", "name a file in a folder"
            )
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield partial
        if target.exists():
            shutil.copymode(target, partial)
        _to_disk(partial)
        partial.replace(target)
    with suppress(OSError):  # it is in place; some network disks cannot promise more
        _to_disk(target.parent)


@contextmanager
def claim_folder(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to fill that becomes ``path`` when the block ends well.

    A manifest written in the block must say ``"made_by": "halfsight"``, or the folder will not be
    overwritten later; a folder without one is given one.

    Args:
        path: the destination: new, empty, or, with ``overwrite``, made by halfsight. Folders above
            it are made.
        overwrite: replace a folder that halfsight made.

    Yields:
        An empty folder beside ``path``.

    Raises:
        OutputError: before the block if the destination may not be used, after it if it cannot be
            written. What was there is unchanged.
    """
    target = Path(os.path.realpath(path))
    _check_claim(target, overwrite)
    partial, old = _beside(target, "partial"), _beside(target, "old")
    with _all_or_nothing(target, partial):
        partial.mkdir()
        yield partial
        if not (partial / MANIFEST).exists():
            own = {"made_by": "halfsight", "versions": {"halfsight": version("halfsight")}}
            (partial / MANIFEST).write_text(json.dumps(own) + "\n", encoding="utf-8")
        for item in partial.rglob("*"):
            if item.is_file() or item.is_dir():  # not links to nowhere, pipes
                _to_disk(item)
        _to_disk(partial)
        _check_claim(target, overwrite)  # again: another program may have filled it meanwhile
        _swap(partial, target, old)
    with suppress(OSError):
        _to_disk(target.parent)
    if old.exists():
        shutil.rmtree(old, onerror=lambda _, left, __: _log.warning("%s: left behind", left))


def _swap(partial: Path, target: Path, old: Path) -> None:
    """Put ``partial`` where ``target`` is, which becomes ``old``; all back if that fails."""
    try:
        if target.exists():
            shutil.copymode(target, partial)
            target.rename(old)
        partial.rename(target)
    except BaseException:
        if old.exists():
            if target.exists():  # interrupted just after the second step
                target.rename(partial)
            old.rename(target)
        raise


def is_ours(folder: Path) -> bool:
    """Whether a folder holds a manifest that halfsight wrote."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("made_by") == "halfsight"


def _check_claim(target: Path, overwrite: bool) -> None:
    """Refuse a destination that is not ours to take."""
    name = str(target)
    try:
        if not target.exists():
            return
        if not target.is_dir():
            raise OutputError(name, "got a file, expected a folder", "choose another name")
        if target.is_mount() or Path.cwd().is_relative_to(target):
            problem = "got the current folder, one above it or a mount, which cannot be replaced"
            raise OutputError(name, problem, "choose a new folder inside it")
        if not any(target.iterdir()):
            return
    except OSError as error:
        raise _explained(error, name) from error
    if not overwrite:
        problem = "got a folder with files in it, expected a new or empty one"
        raise OutputError(name, problem, "use --overwrite or another folder")
    if not is_ours(target):
        problem = f"got a folder without a {MANIFEST} of halfsight's, which is never overwritten"
        raise OutputError(name, problem, "empty it yourself or use another folder")


def _beside(target: Path, role: str, suffix: str = "") -> Path:
    """A hidden name in the folder of ``target`` that nobody else has."""
    stem = target.name.removesuffix(suffix)[:40]  # a long name has no room for more
    return target.parent / f".{stem}.{role}-{secrets.token_hex(4)}{suffix}"


@contextmanager
def _all_or_nothing(target: Path, partial: Path) -> Iterator[None]:
    """Make the folders above; on any failure remove them and what was written."""
    above: list[Path] = []
    try:
        above = [folder for folder in target.parents if not folder.exists()]
        if not target.parents[len(above)].is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "", str(target))
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:  # also on Ctrl-C
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            with suppress(OSError):
                partial.unlink()
        for folder in above:
            with suppress(OSError):  # somebody else may be using it by now
                folder.rmdir()
        # An error about another file, an input say, is not about the output.
        if isinstance(error, OSError) and error.errno in _REASONS and _concerns(error, target):
            raise _explained(error, str(target)) from error
        raise


def _concerns(error: OSError, target: Path) -> bool:
    named = error.filename
    return not isinstance(named, str | bytes) or Path(os.fsdecode(named)).is_relative_to(
        target.parent
    )


def _explained(error: OSError, name: str) -> OutputError:
    reason = _REASONS.get(error.errno or 0, (f"cannot be written ({error.strerror})", _RIGHTS))
    return OutputError(name, *reason)


def _to_disk(path: Path) -> None:
    """Wait until a file's contents, or a folder's names, are on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # folders cannot be opened there, and files only to write
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
