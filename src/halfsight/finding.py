"""Find photographs by files, folders, patterns and lists. Use :mod:`halfsight.images`."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from halfsight.formats import EXTENSIONS, ImageError

_KNOWN = " ".join(sorted(EXTENSIONS))


@dataclass(frozen=True)
class Found:
    """What :func:`find` found.

    Attributes:
        files: each file once, in the order asked for.
        errors: what could not be found.
    """

    files: tuple[Path, ...]
    errors: tuple[ImageError, ...]


def find(paths: Iterable[str | Path], *, stdin: TextIO | None = None) -> Found:
    """Find photographs by files, folders and patterns.

    Args:
        paths: files (taken whatever their suffix); folders (searched at any depth for
            :data:`EXTENSIONS`, hidden names skipped, in natural order: ``2.jpg`` before
            ``10.jpg``); patterns such as ``trip/**/*.jpg``, for shells that do not expand them;
            ``-`` for a list of the same on standard input, one a line.
        stdin: read for ``-``, standard input by default.
    """
    files: dict[str, Path] = {}
    errors: list[ImageError] = []
    for path in _listed([paths] if isinstance(paths, str | Path) else paths, stdin, errors):
        for file in _expanded(path, errors):
            files.setdefault(os.path.realpath(file), file)
    return Found(tuple(files.values()), tuple(errors))


def _listed(
    paths: Iterable[str | Path], stdin: TextIO | None, errors: list[ImageError]
) -> Iterator[Path]:
    """The paths, with ``-`` replaced by the lines of standard input."""
    for path in paths:
        if str(path) != "-":
            yield Path(path)
            continue
        try:
            text = (stdin or sys.stdin).read()
        except (OSError, ValueError) as error:  # ValueError: closed, or not text
            errors.append(ImageError("-", f"cannot read the list ({error})", "send UTF-8 text"))
            continue
        lines = [line for line in text.removeprefix("\ufeff").split("\n") if line.strip()]
        if not lines:
            errors.append(ImageError("-", "no path on standard input", "send one path a line"))
        yield from (Path(line.rstrip("\r")) for line in lines)


def _expanded(path: Path, errors: list[ImageError]) -> list[Path]:
    """The photographs that one path stands for."""
    found: list[Path] = []
    before = len(errors)
    problem, remedy = "no such file or folder", "check the spelling"
    try:
        if path.is_dir():
            found = _in_folder(path, errors)
            problem, remedy = "no photograph in this folder", f"put some there ({_KNOWN})"
        elif path.exists():
            found = [path]
        elif glob.has_magic(str(path)):
            found = _matching(path, errors)
            problem, remedy = "no photograph matches", f"check the pattern ({_KNOWN} are found)"
    except OSError as error:  # a folder on the way may not be entered, a name be too long
        problem, remedy = f"cannot be read ({error.strerror})", "check the path and permissions"
    if not found and len(errors) == before:
        errors.append(ImageError(str(path), problem, remedy))
    return found


def _in_folder(folder: Path, errors: list[ImageError]) -> list[Path]:
    """Photographs below a folder, each real folder visited once."""

    def unreadable(error: OSError) -> None:
        problem = f"cannot list the folder ({error.strerror})"
        errors.append(ImageError(str(error.filename), problem, "check its permissions"))

    found: list[Path] = []
    visited: set[str] = set()  # links are followed and may lead in circles
    for root, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        real = os.path.realpath(root)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(root, name) for name in names if _is_photograph(Path(root, name))]
    return sorted(found, key=_natural)


def _matching(pattern: Path, errors: list[ImageError]) -> list[Path]:
    """Photographs that match a pattern, and those in folders that match."""
    found: list[Path] = []
    matches = map(Path, glob.glob(str(pattern), recursive=True))  # noqa: PTH207 (may be absolute)
    for match in sorted(matches, key=_natural):
        if match.is_dir():
            found += _in_folder(match, errors)
        elif _is_photograph(match):
            found.append(match)
    return found


def _is_photograph(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()


def _natural(path: Path) -> tuple[Any, ...]:
    """Sort key that orders digits by value and the rest without regard to case."""
    split = [re.split(r"(\d+)", part.casefold()) for part in path.parts]
    return [[int(s) if i % 2 else s for i, s in enumerate(p)] for p in split], str(path)
