"""The work unit all engines share: photographs to rows."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

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


def one_row(scorer: Scorer, job: Job, name: str, path: str) -> dict[str, Any]:
    """The row of one photograph; one that fails becomes a row with the reason."""
    try:
        result = explain(
            scorer, path, grid=job.grid, turn=job.turn, masking=job.masking, masks="all"
        )
        return row(name, result)
    except (ImageError, GridError, ModelError) as error:
        return failed_row(name, error)
