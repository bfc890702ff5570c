"""Intermediate results on disk, a line a photograph, so that a run that was killed can go on."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from halfsight.datasets.base import Sample
from halfsight.engines.local import in_order
from halfsight.grid import GridError
from halfsight.images import ImageError
from halfsight.measures.base import MeasureError
from halfsight.outputs import write_atomic

Floats = npt.NDArray[np.float64]
Progress = Callable[[str, int, int], None]
"""Called with (what is done, photographs done, photographs in all)."""

Work = Callable[[Sample], Sequence[float]]


class RowStore:
    """A CSV of one line of numbers a photograph, appended to as they come.

    The name holds a digest of everything the numbers depend on, so a line that is there is right.
    A line that was being written when the run was killed is dropped.

    Attributes:
        path: the file.
        columns: names of the numbers.
        rows: numbers by photograph.
    """

    def __init__(
        self, folder: Path, name: str, columns: Sequence[str], key: Mapping[str, Any]
    ) -> None:
        known = json.dumps([dict(key), list(columns)], sort_keys=True, default=str)
        digest = hashlib.sha256(known.encode()).hexdigest()[:12]
        self.path = folder / f"{name}-{digest}.csv"
        self.columns = tuple(columns)
        self.rows: dict[str, tuple[float, ...]] = {}
        self._read()

    def _read(self) -> None:
        header = _line(("id", *self.columns))
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            text = ""
        whole = text[: text.rfind("\n") + 1]
        for row in csv.reader(io.StringIO(whole.removeprefix(header))):
            self.rows[row[0]] = tuple(float(value) for value in row[1:])
        if whole != text or not text:
            write_atomic(self.path, whole or header)

    def append(self, name: str, values: Sequence[float]) -> None:
        """Add a photograph's numbers; on disk before this returns."""
        self.rows[name] = tuple(float(value) for value in values)
        with self.path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(_line((name, *(repr(value) for value in self.rows[name]))))

    def fill(
        self,
        samples: Sequence[Sample],
        work: Work,
        *,
        stage: str = "",
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> dict[str, str]:
        """Do the photographs that have no line yet.

        Args:
            samples: the photographs.
            work: a photograph to its numbers.
            stage: what progress calls it.
            workers: photographs at once; one a core by default.
            progress: told after every photograph.

        Returns:
            Reasons of the photographs that failed, by id.
        """
        missing = [sample for sample in samples if sample.id not in self.rows]
        done, failures = len(samples) - len(missing), dict[str, str]()
        if progress:
            progress(stage, done, len(samples))
        for sample, future in in_order(work, missing, workers=workers):
            try:
                self.append(sample.id, future.result())
            except (ImageError, GridError, MeasureError) as error:
                failures[sample.id] = without_path(error, sample)
            done += 1
            if progress:
                progress(stage, done, len(samples))
        return failures

    def array(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> Floats:
        """Numbers of photographs, (N, columns); nan where there are none."""
        at = [self.columns.index(name) for name in columns or self.columns]
        empty = (np.nan,) * len(self.columns)
        return np.array([[self.rows.get(one, empty)[i] for i in at] for one in ids], np.float64)


def without_path(error: object, sample: Sample) -> str:
    """An error about a photograph by its id, not by where it is on this machine."""
    text = str(error).replace(str(sample.path), sample.id)
    return text if sample.id in text else f"{sample.id}: {text}"


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
