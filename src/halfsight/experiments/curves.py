"""How much of an image is enough: from the table, the scores with k of n regions kept.

Sufficiency: keep the k most important regions. Necessity: keep the k least important ones, that is,
take the n - k most important away. Between them lies the choice that knows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from halfsight import coalitions
from halfsight.experiments import halves, resampling
from halfsight.experiments.outcome import Measured
from halfsight.experiments.study import Study
from halfsight.importance import check

IntArray = npt.NDArray[np.int64]

DRAWS = 50
"""Random subsets a photograph and number of regions kept."""

ENOUGH = 0.95
"""PLCC with the full score that counts as enough."""


@dataclass(frozen=True)
class Curve:
    """PLCC over the data set with k = 1..n-1 regions kept.

    Attributes:
        kept: what is kept: ``best``, ``random`` or ``worst``.
        full: with the full scores.
        mos: with the MOS, nan without.
    """

    kept: str
    full: tuple[Measured, ...]
    mos: tuple[Measured, ...]

    def enough(self, level: float = ENOUGH) -> int | None:
        """Fewest regions from which on the PLCC with the full scores stays at ``level``."""
        found = None
        for k in range(len(self.full), 0, -1):
            if not self.full[k - 1].value >= level:
                break
            found = k
        return found


def curves(study: Study, criterion: str | None = None) -> dict[str, Curve]:
    """The three curves, regions ranked by a criterion (the study's by default)."""
    n = study.table.regions
    values = study.table.importance(check(criterion or study.criterion)).astype(np.float64)
    masks: dict[str, list[IntArray]] = {
        "best": [halves.bits(~halves.top(values, k))[:, None] for k in range(1, n)],
        "random": [_random(len(study), n, k, seed=study.seed) for k in range(1, n)],
        "worst": [halves.bits(halves.top(values, n - k))[:, None] for k in range(1, n)],
    }
    return {kept: _curve(study, kept, one) for kept, one in masks.items()}


def _curve(study: Study, kept: str, masks: Sequence[IntArray]) -> Curve:
    scores = [np.take_along_axis(study.scores, one, axis=1) for one in masks]
    full, mos = study.scores[:, 0], study.mos
    return Curve(
        kept,
        tuple(resampling.mean_correlation(one, full, seed=study.seed) for one in scores),
        tuple(resampling.mean_correlation(one, mos, seed=study.seed) for one in scores),
    )


def _random(count: int, n: int, k: int, *, seed: int) -> IntArray:
    """Bit sets of masked regions that keep k random ones, (count, DRAWS)."""
    pool = np.flatnonzero(coalitions.sizes(n) == n - k)
    rng = np.random.default_rng([seed, k])
    return np.asarray(rng.choice(pool, size=(count, DRAWS)))
