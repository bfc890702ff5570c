"""How much of a photograph to read: a number of regions, or as many as a tolerance needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from halfsight.budget.crops import BudgetError

Floats = npt.NDArray[np.float64]

STEP = 2
"""Regions read at a time with a tolerance."""

LEVEL = 0.9
"""Share of photographs that a bound holds for."""


@dataclass(frozen=True)
class Budget:
    """How much to read.

    Attributes:
        regions: how many; None with a tolerance.
        tolerance: largest error against the full score, in units of the score, that nine of ten
            photographs should keep to; None with a number of regions.
    """

    regions: int | None = None
    tolerance: float | None = None

    @classmethod
    def parse(
        cls, given: str | float, *, regions: int = 12, tolerance: float | None = None
    ) -> Budget:
        """Read ``0.5`` (a share), ``6`` (regions) or ``auto`` (needs a tolerance).

        Args:
            given: text, a whole number of regions, or a float share of them.
            regions: how many there are.
            tolerance: of ``auto``.

        Raises:
            BudgetError: says what is expected.
        """
        text = str(given).strip().lower()
        if text == "auto":
            if tolerance is None or not 0 < tolerance < float("inf"):
                raise BudgetError(
                    f"got budget 'auto' with tolerance {tolerance}, expected a tolerance above 0 "
                    "in units of the score, such as 0.1"
                )
            return cls(tolerance=float(tolerance))
        if tolerance is not None:
            raise BudgetError(
                f"got a tolerance with budget {text}, expected it with 'auto' alone; leave it out"
            )
        problem = BudgetError(
            f"got budget {text!r}, expected a share such as 0.5, 1 to {regions} regions, or auto"
        )
        try:
            if text.isdecimal():
                count = int(text)
            else:
                share = float(text)
                if not 0 < share <= 1:
                    raise problem
                count = max(1, round(share * regions))
        except ValueError:
            raise problem from None
        if not 1 <= count <= regions:
            raise problem
        return cls(regions=count)

    def __str__(self) -> str:
        return str(self.regions) if self.tolerance is None else f"auto within {self.tolerance:g}"


@dataclass(frozen=True)
class Bound:
    """How far the score of so many regions may be off: ``base + slope * change``.

    Attributes:
        base: in units of the score.
        slope: of the change since :data:`STEP` regions fewer.
    """

    base: float
    slope: float

    def __call__(self, change: float | None) -> float:
        """The bound after a change of the score; None where there was no score before."""
        return self.base + self.slope * abs(change or 0.0)


@dataclass(frozen=True)
class Stopping:
    """The bounds by number of regions, measured on photographs not trained on."""

    bounds: Mapping[int, Bound]

    @classmethod
    def fit(cls, scores: Mapping[int, Floats], full: Floats) -> Stopping:
        """Bounds that hold for :data:`LEVEL` of the photographs.

        Args:
            scores: scores (N,) by number of regions, in rising order, :data:`STEP` apart.
            full: the full scores (N,).
        """
        bounds: dict[int, Bound] = {}
        before: Floats | None = None
        for count, now in scores.items():
            error = np.abs(now - full)
            change = np.zeros_like(error) if before is None else np.abs(now - before)
            bounds[count] = _tightest(error, change)
            before = now
        return cls(bounds)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Stopping:
        """From a card."""
        return cls({int(k): Bound(float(b), float(s)) for k, (b, s) in stored.items()})

    def to_dict(self) -> dict[str, list[float]]:
        """For a card."""
        return {str(k): [bound.base, bound.slope] for k, bound in self.bounds.items()}


def _tightest(error: Floats, change: Floats) -> Bound:
    """The bound of the right coverage with the smallest mean excess, over a few slopes."""
    best, least = Bound(0.0, 0.0), np.inf
    rank = min(len(error), int(np.ceil(LEVEL * (len(error) + 1)))) - 1
    for slope in np.linspace(0.0, 2.0, 9):
        left = error - slope * change
        base = float(max(0.0, np.sort(left)[rank]))
        off = left - base
        loss = float(np.mean(np.maximum(LEVEL * off, (LEVEL - 1) * off)))
        if loss < least - 1e-12:
            best, least = Bound(base, float(slope)), loss
    return best
