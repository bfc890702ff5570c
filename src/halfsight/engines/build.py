"""One call from a model and photographs to a table of coalitions."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from halfsight.datasets.base import Dataset
from halfsight.engines import local
from halfsight.engines.local import Progress
from halfsight.engines.plan import Item, plan
from halfsight.engines.units import Job
from halfsight.scorer import Scorer
from halfsight.table import CoalitionTable

Photographs = Dataset | Iterable[str | os.PathLike[str]]


def build_table(
    model: Scorer,
    dataset: Photographs,
    *,
    folder: str | os.PathLike[str] | None = None,
    grid: str = "3x4",
    turn: bool = True,
    masking: str = "auto",
    resume: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
) -> CoalitionTable:
    """Score every coalition of masked regions of many photographs, on this machine.

    Args:
        model: from :func:`halfsight.load` or :func:`halfsight.wrap`.
        dataset: a data set, or paths of photographs.
        folder: where the table is kept, as ``halfsight table build -o`` would; None keeps it in
            memory alone.
        grid: regions as rows x columns.
        turn: turn the grid on portrait photographs.
        masking: as in :func:`halfsight.explain`. All masks are evaluated.
        resume: with ``folder``, go on with an earlier run of the same table.
        workers: photographs worked on at once; one a core by default.
        progress: called with (photographs done, photographs in all).

    Returns:
        The table, scores of shape (N, 2**n) for n regions. Photographs that cannot be read have no
        row; they are its ``failures``.

    Raises:
        GridError: if the grid is not one.
        MaskingError: if the masking is unknown or not to be had from the model.
        OutputError: if the folder holds something else or cannot be written.
        TableError: if the folder has a table of another model, other options or photographs.
    """
    items: list[Item]
    if isinstance(dataset, Dataset):
        items = [(sample.id, str(sample.path)) for sample in dataset]
    else:
        items = [(os.fspath(path), os.fspath(path)) for path in dataset]
    job = Job(model.name, grid, turn, masking)
    with tempfile.TemporaryDirectory(prefix="halfsight-") as scratch:
        place = Path(scratch) / "table" if folder is None else Path(folder)
        laid_out = plan(place, items, job.provenance(model), job.regions, resume=resume)
        local.run(laid_out, job, model, workers=workers, progress=progress)
        return CoalitionTable.load(place)
