from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from halfsight import coalitions
from halfsight.datasets import Sample
from halfsight.experiments.study import Study
from halfsight.table import CoalitionTable

Floats = npt.NDArray[np.float64]
Toy = Callable[..., Study]


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """A study of additive games: a score is a base and a weight a region that is not masked."""

    def make(
        base: Floats, weights: Floats, *, mos: Floats | None = None, **options: object
    ) -> Study:
        count, n = weights.shape
        scores = (base + weights.sum(1))[:, None] - coalitions.subset_sums(weights)
        change = np.abs(scores - scores[:, :1])
        ids = tuple(f"{at:03}.png" for at in range(count))
        table = CoalitionTable(
            ids,
            scores.astype(np.float32),
            ((3, 4),) * count if n == 12 else ((2, n // 2),) * count,
            {
                "abs_delta": coalitions.average_over_masks(change, n).astype(np.float32),
                "shapley": coalitions.shapley(scores).astype(np.float32),
            },
            provenance={"model": "toy", "model_hash": "0" * 64, "grid": "3x4"},
        )
        opinions = np.full(count, np.nan) if mos is None else mos
        return Study(
            dataset=str(options.get("dataset", "clive")),
            split="val",
            samples=tuple(Sample(name, tmp_path / name) for name in ids),
            mos=opinions,
            table=table,
            criterion="abs_delta",
            cache=tmp_path / "cache",
        )

    return make


@pytest.fixture
def half_game(toy: Toy) -> tuple[Study, Floats, Floats]:
    """Regions 0..5 decide part of the score, 6..11 nothing; study, base and weights."""
    rng = np.random.default_rng(3)
    base, strength = rng.normal(3, 0.3, 40), rng.uniform(0.5, 2, 40)
    weights = np.zeros((40, 12))
    weights[:, :6] = strength[:, None] * np.array([6, 5, 4, 3, 2, 1]) / 21
    return toy(base, weights, mos=rng.normal(3, 1, 40)), base, weights
