"""One row a photograph: what the index and the tables of scores hold of an explanation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halfsight.outputs import atomic_path

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Row:
    """One photograph of a run.

    Attributes:
        path: the file.
        folder: its results' folder, relative to the run's, with forward slashes.
        importance: of every region, by the run's criterion. This and the scores of the halves are
            nan where the masks were sampled and this one was not among them.
    """

    path: str
    folder: str
    model: str
    score: float
    lowest: float
    highest: float
    higher_is_better: bool
    score_important_masked: float
    score_trivial_masked: float
    criterion: str
    grid: tuple[int, int]
    importance: tuple[float, ...]
    important: tuple[int, ...]
    trivial: tuple[int, ...]
    size: tuple[int, int]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, record: Mapping[str, Any], folder: str) -> Row:
        """The row of one ``explanation.json``.

        Raises:
            KeyError, TypeError, ValueError: if it is not one.
        """
        scale = record["scale"]
        rows, cols = record["grid"]
        height, width = record["size"]
        return cls(
            path=str(record["path"]),
            folder=folder,
            model=str(record["model"]),
            score=float(record["score"]),
            lowest=float(scale["min"]),
            highest=float(scale["max"]),
            higher_is_better=bool(scale["higher_is_better"]),
            score_important_masked=_number(record["score_important_masked"]),
            score_trivial_masked=_number(record["score_trivial_masked"]),
            criterion=str(record["criterion"]),
            grid=(int(rows), int(cols)),
            importance=tuple(map(_number, record["importance"])),
            important=tuple(map(int, record["important"])),
            trivial=tuple(map(int, record["trivial"])),
            size=(int(height), int(width)),
            notes=tuple(map(str, record["notes"])),
        )


def frame(rows: Sequence[Row]) -> polars.DataFrame:
    """The rows as a table; its columns are the same for any photographs of one run.

    Scores are float32, as in the table of masks, so that files give back the same numbers.
    Regions are listed by number, with spaces between. Bytes of a file name that are not UTF-8 are
    written in hexadecimal.
    """
    import polars as pl

    regions = len(rows[0].importance) if rows else 0
    scores = ("score", "score_important_masked", "score_trivial_masked")
    schema: dict[str, Any] = {
        "path": pl.String,
        "folder": pl.String,
        "model": pl.String,
        **dict.fromkeys(scores, pl.Float32),
        "min": pl.Float64,
        "max": pl.Float64,
        "higher_is_better": pl.Boolean,
        "criterion": pl.String,
        "grid": pl.String,
        "important": pl.String,
        "trivial": pl.String,
        **{f"importance_{region}": pl.Float64 for region in range(regions)},
        "width": pl.Int64,
        "height": pl.Int64,
        "notes": pl.String,
    }
    values = [
        (
            _text(row.path),
            _text(row.folder),
            row.model,
            row.score,
            row.score_important_masked,
            row.score_trivial_masked,
            row.lowest,
            row.highest,
            row.higher_is_better,
            row.criterion,
            f"{row.grid[0]}x{row.grid[1]}",
            " ".join(map(str, row.important)),
            " ".join(map(str, row.trivial)),
            *row.importance,
            row.size[1],
            row.size[0],
            "; ".join(row.notes),
        )
        for row in rows
    ]
    return pl.DataFrame(values, schema=schema, orient="row")


def write_tables(rows: Sequence[Row], folder: Path) -> None:
    """Write ``scores.csv`` and ``scores.parquet``.

    Raises:
        OutputError: if they cannot be written.
    """
    made = frame(rows)
    with atomic_path(folder / "scores.csv") as path:
        made.write_csv(path)
    with atomic_path(folder / "scores.parquet") as path:
        made.write_parquet(path)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _text(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
