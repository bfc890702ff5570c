"""Any labelled set: a CSV or Parquet file whose columns the user names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from halfsight.datasets.base import UNLABELLED, Dataset, DatasetError, DatasetInfo, Scale
from halfsight.datasets.collect import (
    ImageIndex,
    Row,
    collect,
    existing_root,
    number,
    read_table,
    text,
    vote_fractions,
)

INFO = DatasetInfo(
    name="table",
    title="Your own images with a CSV or Parquet file of labels",
    images=None,
    scale=None,
    licence="your own",
    source="your own",
    layout="a CSV or Parquet file given as labels, with a column of image paths below the root, "
    "and the images",
)


def load(
    root: str | Path,
    *,
    labels: str | Path | None = None,
    path_column: str = "filename",
    mos_column: str | None = "mos",
    std_column: str | None = None,
    split_column: str | None = None,
    subset_column: str | None = None,
    level_columns: Sequence[str] = (),
    votes: Literal["fractions", "counts"] = "fractions",
    scale: Scale | tuple[float, float] | None = None,
    any_suffix: bool = False,
) -> Dataset:
    """Load a table of labels.

    Args:
        root: folder the paths in the table are relative to (absolute paths below it do too).
        labels: the table; not optional, there is no name to look for.
        path_column: column of image paths.
        mos_column: column of mean opinion scores, None for a table without.
        std_column: column of standard deviations, in the units of the MOS.
        split_column: column of split names, taken as they are.
        subset_column: column of subset names.
        level_columns: columns of the votes on the levels, the worst level first.
        votes: whether the level columns hold fractions that sum to 1, or counts.
        scale: lowest and highest MOS possible; needed with a MOS, because the range of the scores
            that happen to be there says little. Pass a Scale where lower is better.
        any_suffix: let ``a.png`` in the table find ``a.jpg``.

    Raises:
        DatasetError: if an option is missing or nothing usable is there.
    """
    folder = existing_root(INFO, root)
    if labels is None:
        raise DatasetError("got no labels for table, expected a CSV or Parquet file as labels=PATH")
    if not Path(labels).is_file():
        raise DatasetError(f"got labels {labels}, expected {INFO.layout}")
    if mos_column is not None and scale is None:
        raise DatasetError(
            f"got no scale for the MOS in column {mos_column}, "
            "expected its lowest and highest value, such as scale=(0, 100)"
        )
    if votes not in ("fractions", "counts"):
        raise DatasetError(f"got votes {votes!r}, expected fractions or counts")
    native = scale if isinstance(scale, Scale) else Scale(*scale) if scale else UNLABELLED
    single = (path_column, mos_column, std_column, split_column, subset_column)
    wanted = [column for column in single if column is not None]
    frame = read_table(INFO, Path(labels), columns=[*wanted, *level_columns])

    def cast(row: Mapping[str, Any]) -> tuple[float, ...] | None:
        cells = [number(row, column) for column in level_columns]
        return (vote_fractions(cells) if votes == "counts" else tuple(cells)) or None

    def rows() -> Iterator[Row]:
        for row in frame.iter_rows(named=True):
            yield Row(
                _below(folder, text(row, path_column)),
                None if mos_column is None else number(row, mos_column),
                None if std_column is None else number(row, std_column),
                cast(row),
                text(row, split_column or ""),
                text(row, subset_column or ""),
            )

    images = ImageIndex(folder, recursive=True, any_suffix=any_suffix)
    return collect(INFO, folder, rows(), images, scale=native)


def _below(root: Path, name: str) -> str:
    """A path relative to the root, if it is an absolute one below it."""
    path = Path(name)
    if path.is_absolute() and path.is_relative_to(root.absolute()):
        return path.relative_to(root.absolute()).as_posix()
    return name
