"""The figures of every way to score: agreement with the full score and with the opinions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from halfsight.budget.policy import STEP
from halfsight.experiments import resampling
from halfsight.experiments.budget_cost import Cost
from halfsight.experiments.budget_scores import NO_GLANCE, ORACLE, WITHOUT, Plan, Scores
from halfsight.experiments.outcome import Measured, plain
from halfsight.statistics import plcc, plcc_rows

Floats = npt.NDArray[np.float64]

RESAMPLES = 1000
"""Of the photographs, for the interval of a difference of correlations."""

TOLERANCES = (0.05, 0.1, 0.2)
"""Of ``auto``, in units of the score."""


@dataclass(frozen=True)
class Point:
    """One way to score at one cost.

    Attributes:
        way: its name.
        regions: read, or as many as cost the same; None for ways of their own.
        cost: seconds and operations.
        full: PLCC with the full scores.
        mos: PLCC with the MOS, nan without opinions.
        drop: PLCC of the full scores with the MOS less this one, resampled together.
    """

    way: str
    regions: int | None
    cost: Cost
    full: Measured
    mos: Measured
    drop: Measured

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "way": self.way,
            "regions": self.regions,
            "seconds": plain(self.cost.seconds),
            "gflops": plain(self.cost.gflops),
            **{name: getattr(self, name).to_dict() for name in ("full", "mos", "drop")},
        }


def points_of(plan: Plan, found: Scores, cost: Mapping[str, Cost]) -> list[Point]:
    """Every way at every cost."""
    reading = {k: cost[f"{plan.own} {k}"] for k in plan.counts}
    own = cost[f"select {plan.own}"]
    glance = cost["glance"]

    def chosen_by(name: str, k: int) -> Cost:
        if name == NO_GLANCE:
            return reading[k].less(glance)
        if name in (plan.own, WITHOUT):
            return reading[k]
        if name == ORACLE:  # it knows the full score already
            return Cost(float("nan"), float("nan"))
        return reading[k].less(own).plus(cost[f"select {name}"])

    points = [point("full", None, cost["full"], found["full"], found, plan.seed)]
    points.append(point("head, whole", None, cost["full"], found["head, whole"], found, plan.seed))
    for name in (*plan.rankers, WITHOUT, NO_GLANCE):
        for k in plan.counts:
            scores = found[f"{name} {k}"]
            points.append(point(name, k, chosen_by(name, k), scores, found, plan.seed))
    for name in plan.rivals:
        same = "downscaled" if name == "downscaled, trained" else name
        for k in plan.rival_counts:
            scores = found[f"{name} {k}"]
            points.append(point(name, k, cost[f"{same} {k}"], scores, found, plan.seed))
    return points


def point(
    way: str, regions: int | None, cost: Cost, scores: Floats, found: Scores, seed: int
) -> Point:
    """The figures of one way."""
    known = np.isfinite(found.mos)
    drop = Measured(np.nan)
    if known.sum() >= 5:
        full, now, mos = found["full"][known], scores[known], found.mos[known]

        draws = np.random.default_rng(seed).integers(len(mos), size=(RESAMPLES, len(mos)))
        drops = plcc_rows(full[draws], mos[draws]) - plcc_rows(now[draws], mos[draws])
        low, high = (float(edge) for edge in np.nanquantile(drops, [0.025, 0.975]))
        drop = Measured(plcc(full, mos) - plcc(now, mos), low, high)
    return Point(
        way,
        regions,
        cost,
        resampling.correlation(scores, found["full"], seed=seed),
        resampling.correlation(scores, found.mos, seed=seed),
        drop,
    )


def automatic(plan: Plan, found: Scores, tolerance: float) -> dict[str, float | None]:
    """What ``auto`` would have read, and how far off it would have been."""
    bounds = plan.head.stopping.bounds
    counts = [k for k in plan.counts if k % STEP == 0 and k in bounds]
    read, error = [], []
    for row in range(len(found.ids)):
        before: float | None = None
        for k in counts:
            now = float(found[f"{plan.own} {k}"][row])
            if bounds[k](None if before is None else now - before) <= tolerance or k == counts[-1]:
                break
            before = now
        read.append(k)
        error.append(abs(now - float(found["full"][row])))
    return {
        "tolerance": tolerance,
        "regions": float(np.mean(read)),
        "within": float(np.mean(np.array(error) <= tolerance)),
        "error_90": float(np.quantile(error, 0.9)),
    }
