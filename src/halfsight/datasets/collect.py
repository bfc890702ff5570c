"""From rows of a label file and a folder of images to samples, with every problem counted.

Label files and image folders disagree in the wild: files are missing, names differ in case, rows
come twice. What can be resolved safely is; what cannot is dropped; both are reported.
"""

from __future__ import annotations

import math
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from halfsight.datasets.base import Dataset, DatasetError, DatasetInfo, Sample, Scale
from halfsight.images import EXTENSIONS

VOTE_TOLERANCE = 1e-3
"""How far vote fractions may be from summing to 1 (label files round to 3 digits and more)."""

NAMED = 3
"""Names quoted with each problem."""


@dataclass(frozen=True)
class Row:
    """One row of a label file, before its image is looked for.

    Attributes:
        name: image as the label file writes it, below the image folder.
        mos: native units; None where the file has no scores. NaN stands for a cell without one.
        mos_std: native units, None if the file has none.
        votes: fractions of the votes, None if the file has none.
        split: ``train``, ``val``, ``test`` or empty.
        subset: the data set's own part, or empty.
    """

    name: str
    mos: float | None = None
    mos_std: float | None = None
    votes: tuple[float, ...] | None = None
    split: str = ""
    subset: str = ""


@dataclass
class Problems:
    """Names gathered by kind of problem, in the order the kinds were met."""

    names: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: str, name: str) -> None:
        """Note that ``name`` has a problem of this kind."""
        self.names[kind].append(name)

    def lines(self) -> tuple[str, ...]:
        """One line a kind: ``"2 missing images, rows dropped: a.jpg, b.jpg"``."""
        return tuple(
            f"{len(names)} {kind}: {', '.join(names[:NAMED])}"
            + (", ..." if len(names) > NAMED else "")
            for kind, names in self.names.items()
        )


class ImageIndex:
    """The image files below a folder, found by name exactly, or safely otherwise.

    Nothing outside the folder and what is linked into it can be found, whatever a label file says.
    """

    def __init__(self, folder: Path, *, recursive: bool = False, any_suffix: bool = False) -> None:
        """List the folder once.

        Args:
            folder: where the images lie.
            recursive: look in its subfolders too, so that names are paths with slashes.
            any_suffix: let ``a.png`` find ``a.jpg``, if only one image has that stem.
        """
        self.folder = folder
        self.any_suffix = any_suffix
        self.files = tuple(sorted(_images(folder, recursive=recursive)))
        self._exact = frozenset(self.files)
        self._folded: dict[str, list[str]] = defaultdict(list)
        self._stems: dict[str, list[str]] = defaultdict(list)
        for name in self.files:
            self._folded[_fold(name)].append(name)
            self._stems[_stem(name)].append(name)

    def find(self, name: str) -> tuple[str | None, str]:
        """The file for a name in a label file.

        Returns:
            The file's path below the folder, or None, and what to report (empty if nothing).
        """
        name = str(PurePosixPath(name.replace("\\", "/")))
        if name in self._exact:
            return name, ""
        lookups = [(self._folded[_fold(name)], "images found under a name in other case")]
        if self.any_suffix:
            lookups.append((self._stems[_stem(name)], ""))  # expected of the set, no problem
        for matches, report in lookups:
            if len(matches) == 1:
                return matches[0], report
            if matches:
                return None, "names that match several images, rows dropped"
        return None, "missing images, rows dropped"


def collect(
    info: DatasetInfo,
    root: Path,
    rows: Iterable[Row],
    images: ImageIndex,
    *,
    scale: Scale | None = None,
    ignore_extra: Sequence[str] = (),
) -> Dataset:
    """Match rows with images and build the data set.

    Args:
        info: card of the data set.
        root: folder the sample ids are relative to; holds the image folder.
        rows: of the label file, in order. The first of several rows for an image counts.
        images: the image files.
        scale: overrides the card's.
        ignore_extra: images, as paths below the image folder, known to have no row.

    Raises:
        DatasetError: if no row is usable.
    """
    scale = scale or info.scale
    assert scale is not None, "data sets without a native scale pass one"
    problems = Problems()
    samples: dict[str, Sample] = {}
    known = set(ignore_extra)
    prefix = images.folder.relative_to(root)
    count = 0
    for row in rows:
        count += 1
        file, report = images.find(row.name)
        if report:
            problems.add(report, row.name)
        if file is None:
            continue
        known.add(file)
        fault = _fault(row, scale)
        if fault:
            problems.add(f"{fault}, rows dropped", row.name)
            continue
        sample_id = (prefix / file).as_posix()
        if sample_id in samples:
            problems.add("duplicate rows, dropped", row.name)
            continue
        votes = row.votes and tuple(vote / math.fsum(row.votes) for vote in row.votes)
        samples[sample_id] = Sample(
            sample_id, root / sample_id, row.mos, row.mos_std, votes, row.split, row.subset
        )
    for extra in images.files:
        if extra not in known:
            problems.add("images without a row, ignored", extra)
    if not samples:
        found = "; ".join(problems.lines()) or "an empty label file"
        raise DatasetError(
            f"got no usable row of {count} for {info.name} in {root} ({found}), "
            f"expected {info.layout}"
        )
    return Dataset(info.name, root, tuple(samples.values()), scale, problems.lines())


def existing_root(info: DatasetInfo, root: str | Path) -> Path:
    """The root as a path.

    Raises:
        DatasetError: if it is no folder.
    """
    path = Path(root)
    if not path.is_dir():
        raise DatasetError(f"got {path} for {info.name}, expected a folder with {info.layout}")
    return path


def image_folder(info: DatasetInfo, root: Path, names: Sequence[str]) -> Path:
    """The first of the named folders below the root that is there; ``""`` names the root itself.

    Raises:
        DatasetError: if none is there.
    """
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DatasetError(f"got {root} without {' or '.join(names)}/, expected {info.layout}")


def label_file(
    info: DatasetInfo, root: Path, names: Sequence[str], *, given: str | Path | None = None
) -> Path:
    """The label file: the one given, else the first of the names below the root that is there.

    Raises:
        DatasetError: if it is not there.
    """
    for candidate in [Path(given)] if given else [root / name for name in names]:
        if candidate.is_file():
            return candidate
    if given:
        raise DatasetError(f"got label file {given}, expected an existing file for {info.name}")
    raise DatasetError(f"got {root} without {' or '.join(names)}, expected {info.layout}")


def read_table(info: DatasetInfo, path: Path, *, columns: Sequence[str] = ()) -> pl.DataFrame:
    """A CSV or Parquet file; the cells of a CSV stay text.

    Args:
        info: card of the data set, for the error.
        path: the file.
        columns: columns that have to be there.

    Raises:
        DatasetError: if it cannot be read or lacks a column.
    """
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            frame = pl.read_parquet(path)
        else:
            frame = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DatasetError(
            f"got {path}, which cannot be read as a table ({reason}), expected {info.layout}"
        ) from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise DatasetError(
            f"got {path} with columns {', '.join(frame.columns)}, "
            f"expected also {', '.join(missing)} for {info.name}"
        )
    return frame


def number(row: Mapping[str, Any], column: str) -> float:
    """A cell as a number; NaN where it is empty or no number."""
    try:
        return float(row[column])
    except (TypeError, ValueError):
        return math.nan


def text(row: Mapping[str, Any], column: str) -> str:
    """A cell as text without outer blanks; empty where the column or the cell is."""
    value = row.get(column)
    return "" if value is None else str(value).strip()


def vote_fractions(counts: Sequence[float]) -> tuple[float, ...]:
    """Counts of votes as fractions; all NaN, which is reported later, if there are none."""
    total = math.fsum(counts)
    return tuple(count / total if total > 0 else math.nan for count in counts)


def _fault(row: Row, scale: Scale) -> str:
    """What is wrong with the labels of a row, empty if nothing."""
    if row.mos is not None and not math.isfinite(row.mos):
        return "rows without a MOS"
    if row.mos is not None and row.mos not in scale:
        return f"MOS outside {scale.minimum:g} to {scale.maximum:g}"
    if row.mos_std is not None and not (math.isfinite(row.mos_std) and row.mos_std >= 0):
        return "standard deviations that are negative or no number"
    if row.votes is not None:
        valid = all(vote >= 0 for vote in row.votes)
        if not (valid and abs(math.fsum(row.votes) - 1) <= VOTE_TOLERANCE):
            return "votes that are negative, no number or do not sum to 1"
    return ""


def _images(folder: Path, *, recursive: bool) -> Iterator[str]:
    """Paths of image files below a folder, with forward slashes, hidden ones left out."""
    visited: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in visited:  # a link back up
            folders.clear()
            continue
        visited.add(real)
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        below = Path(place).relative_to(folder)
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                yield (below / name).as_posix()


def _fold(name: str) -> str:
    """A name as file systems that ignore case and compose accents see it."""
    return unicodedata.normalize("NFC", name).casefold()


def _stem(name: str) -> str:
    path = PurePosixPath(name)
    return _fold(str(path.parent / path.stem))
