"""The work unit all engines share: photographs to rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from halfsight.explanation import explain
from halfsight.grid import GridError, RegionGrid
from halfsight.images import ImageError
from halfsight.scorer import Scorer, load
from halfsight.table import failed_row, row


@dataclass(frozen=True)
class Job:
    """What a worker must know; small enough to be sent anywhere.

    Attributes:
        model: name or weight file, as :func:`halfsight.load` takes it.
        grid: regions as rows x columns.
        turn: turn the grid on portrait photographs.
    """

    model: str
    grid: str = "3x4"
    turn: bool = True

    def load(self) -> Scorer:
        """The model."""
        return load(self.model)

    def provenance(self, scorer: Scorer) -> dict[str, Any]:
        """Everything a table depends on but the photographs."""
        return {
            "model": scorer.name,
            "model_hash": scorer.hash,
            "grid": self.grid,
            "turn": self.turn,
        }

    @property
    def regions(self) -> int:
        """Number of regions."""
        return len(RegionGrid.parse(self.grid))


def one_thread() -> None:
    """Give the calling thread's network one core.

    Engines run as many photographs at once as there are cores. That keeps the cores busier than
    several cores on one photograph, and the sums are formed in one order, so that all engines give
    the same bytes.
    """
    torch.set_num_threads(1)


def rows(scorer: Scorer, job: Job, items: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Rows of photographs; one that fails becomes a row with the reason."""
    return [one_row(scorer, job, name, path) for name, path in items]


def one_row(scorer: Scorer, job: Job, name: str, path: str) -> dict[str, Any]:
    """The row of one photograph."""
    try:
        return row(name, explain(scorer, path, grid=job.grid, turn=job.turn, masks="all"))
    except (ImageError, GridError) as error:
        return failed_row(name, error)
