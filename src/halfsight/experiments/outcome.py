"""What an experiment gives back: tables, figures, words, and the numbers for machines."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Measured:
    """A number and its interval.

    Attributes:
        value: the figure.
        low: lower end of the 95 % interval, nan if there is none.
        high: upper end.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    def to_dict(self) -> dict[str, float | None]:
        """Plain values for JSON: nan becomes None."""
        return {name: plain(value) for name, value in vars(self).items()}


Cell = str | int | float | Measured | None

RowKind = Literal["ours", "paper", "control"]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: name in the CSV; a :class:`Measured` also fills ``key_low`` and ``key_high``.
        title: what people read.
        digits: after the decimal point.
    """

    key: str
    title: str
    digits: int = 3


@dataclass(frozen=True)
class Row:
    """Cells in the order of the columns, and whose numbers they are."""

    cells: tuple[Cell, ...]
    kind: RowKind = "ours"


@dataclass(frozen=True)
class Table:
    """A table of an experiment.

    Attributes:
        name: file name without suffix.
        title: its heading.
        columns: the first one names the row.
        rows: every row has a cell a column.
        note: what to know when reading it.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(
                    f"got {len(row.cells)} cells for {len(self.columns)} columns of table "
                    f"{self.name!r}, expected one a column"
                )

    def to_csv(self) -> str:
        """CSV text with full precision; intervals are columns of their own."""
        measured = [
            any(isinstance(row.cells[at], Measured) for row in self.rows)
            for at in range(len(self.columns))
        ]
        header = ["source"]
        for column, wide in zip(self.columns, measured, strict=True):
            header += [column.key]
            header += [f"{column.key}_low", f"{column.key}_high"] if wide else []
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        for row in self.rows:
            line: list[Any] = [row.kind]
            for cell, wide in zip(row.cells, measured, strict=True):
                line += _csv_cells(cell, wide)
            writer.writerow(line)
        return text.getvalue()


@dataclass(frozen=True)
class Picture:
    """A figure of an experiment: file name without suffix, caption, and the drawing."""

    name: str
    caption: str
    figure: Figure = field(repr=False)


@dataclass(frozen=True)
class Section:
    """A part of the report: heading, a paragraph, tables and figures."""

    title: str
    text: str = ""
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The result of an experiment.

    Attributes:
        experiment: its name on the command line.
        title: for people.
        headline: what came out, in a sentence made of the numbers.
        facts: what it was run on and how, as (name, value).
        sections: the report.
        summary: the numbers, ready for JSON.
        frames: larger tables by file name, written as Parquet.
        caveats: what the numbers do not say.
        failures: photographs that could not be used, with reasons.
    """

    experiment: str
    title: str
    headline: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    summary: Mapping[str, Any]
    frames: Mapping[str, pl.DataFrame] = field(default_factory=dict, repr=False)
    caveats: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    @property
    def tables(self) -> Sequence[Table]:
        """All tables, in the order of the report."""
        return [table for section in self.sections for table in section.tables]

    @property
    def pictures(self) -> Sequence[Picture]:
        """All figures, in the order of the report."""
        return [picture for section in self.sections for picture in section.pictures]


def plain(value: float) -> float | None:
    """A number for JSON, which has no nan."""
    return float(value) if math.isfinite(value) else None


def shown(cell: Cell, digits: int) -> str:
    """A cell as people read it; a dash where there is no number."""
    if cell is None:
        return "–"
    if isinstance(cell, Measured):
        text = shown(cell.value, digits)
        if math.isfinite(cell.low) and math.isfinite(cell.high):
            text += f" [{shown(cell.low, digits)}, {shown(cell.high, digits)}]"
        return text
    if isinstance(cell, float):
        return f"{cell:.{digits}f}".replace("-", "−") if math.isfinite(cell) else "–"
    return str(cell)


def _csv_cells(cell: Cell, wide: bool) -> list[Any]:
    if isinstance(cell, Measured):
        return ["" if value is None else value for value in cell.to_dict().values()]
    if isinstance(cell, float):
        cell = plain(cell)
    value = "" if cell is None else cell
    return [value, "", ""] if wide else [value]
