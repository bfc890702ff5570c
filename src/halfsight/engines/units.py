"""The work unit all engines share: photographs to rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from halfsight.explanation import explain
from halfsight.grid import GridError, RegionGrid
from halfsight.images import ImageError
from halfsight.masking.choose import choose
from halfsight.models.external import ModelError
from halfsight.scorer import Scorer, load
from halfsight.table import failed_row, row


@dataclass(frozen=True)
class Job:
    """What a worker must know; small enough to be sent anywhere.

    Attributes:
        model: name or weight file, as :func:`halfsight.load` takes it.
        grid: regions as rows x columns.
        turn: turn the grid on portrait photographs.
        masking: how regions are hidden, as :func:`halfsight.explain` takes it. A table holds every
            coalition, so all masks are evaluated, also where each costs a pass of the network.
    """

    model: str
    grid: str = "3x4"
    turn: bool = True
    masking: str = "auto"

    def load(self) -> Scorer:
        """The model."""
        return load(self.model)

    def provenance(self, scorer: Scorer) -> dict[str, Any]:
        """Everything a table depends on but the photographs: one table, one version of all.

        Raises:
            MaskingError: if the masking is unknown or not to be had from the model.
        """
        return {
            "model": scorer.name,
            "model_hash": scorer.hash,
            "grid": self.grid,
            "turn": self.turn,
            "masking": choose(scorer, self.masking).name,
            "versions": {name: version(name) for name in ("halfsight", "torch", "pillow")},
        }

    @property
    def regions(self) -> int:
        """Number of regions.

        Raises:
            GridError: if the grid is not one.
        """
        return len(RegionGrid.parse(self.grid))


def one_thread() -> None:
    """Give the calling thread's network one core.

    Engines run as many photographs at once as there are cores. That keeps the cores busier than
    several cores on one photograph, and the sums are formed in one order, so that all engines give
    the same bytes.
    """
    torch.set_num_threads(1)


@contextmanager
def threads_restored() -> Iterator[None]:
    """Undo what :func:`one_thread` in other threads does to threads that start later.

    torch keeps the number for each thread, but a new thread begins with the last one set anywhere.
    """
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_row(scorer: Scorer, job: Job, name: str, path: str) -> dict[str, Any]:
    """The row of one photograph; one that fails becomes a row with the reason."""
    try:
        result = explain(
            scorer, path, grid=job.grid, turn=job.turn, masking=job.masking, masks="all"
        )
        return row(name, result)
    except (ImageError, GridError, ModelError) as error:
        return failed_row(name, error)
