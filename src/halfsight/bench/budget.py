"""Is half of the photograph half of the cost: speed and agreement in one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np

from halfsight import statistics
from halfsight.bench import clock
from halfsight.budget import rivals
from halfsight.budget.scorer import BudgetScorer
from halfsight.datasets.base import Dataset, DatasetError
from halfsight.experiments.budget_scores import Plan, pixels_of
from halfsight.images import ImageError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Speed:
    """What reading a part of the photographs saves and loses.

    Attributes:
        k: regions read.
        n: photographs.
        size: ``1024x768``, or ``native``.
        dataset: where they come from.
        split: its part.
        full_seconds: median from decoded pixels to the full score.
        budget_seconds: median from decoded pixels to the budget's, the choice of regions included.
        threads: that torch used.
        cpu_speedup: ratio of the processor time of the two, which a busy machine disturbs less.
        plcc_full: PLCC of the two scores.
        plcc_full_interval: 95 %, over photographs.
        plcc_mos: PLCC of the budget's score with the MOS, None without opinions.
        plcc_mos_drop: PLCC with the MOS of the full score less that of the budget's, None without
            opinions.
        plcc_mos_drop_interval: 95 %, over photographs, both resampled together.
        failures: photographs that could not be used.
    """

    k: int
    n: int
    size: str
    dataset: str
    split: str
    full_seconds: float
    budget_seconds: float
    threads: int
    cpu_speedup: float
    plcc_full: float
    plcc_full_interval: tuple[float, float]
    plcc_mos: float | None
    plcc_mos_drop: float | None
    plcc_mos_drop_interval: tuple[float, float] | None
    failures: tuple[str, ...] = ()

    @property
    def speedup(self) -> float:
        """How many times as fast."""
        return self.full_seconds / self.budget_seconds

    def to_dict(self) -> dict[str, Any]:
        """For JSON, the three figures first."""
        figures = {
            "speedup": self.speedup,
            "plcc_full": self.plcc_full,
            "plcc_mos_drop": self.plcc_mos_drop,
        }
        rest = {name: value for name, value in vars(self).items() if name not in figures}
        return {
            **figures,
            **rest,
            "failures": list(self.failures),
            "machine": clock.machine(),
        }


def measure(
    part: Dataset,
    plan: Plan,
    budget: BudgetScorer,
    *,
    split: str = "all",
    threads: int = 1,
    progress: Progress | None = None,
) -> Speed:
    """Score every photograph in full and within the budget, taking turns.

    Args:
        part: the photographs.
        plan: the model and the size that photographs are brought to.
        budget: with a number of regions.
        split: the part's name.
        threads: torch's; one by default, as scoring gives every photograph one core.
        progress: called with (done, total).

    Raises:
        DatasetError: if fewer than 5 photographs can be used.
    """
    with clock.threads(threads):
        rows, failures = _scored(part, plan, budget, progress)
    if len(rows) < 5:
        raise DatasetError(
            f"got {len(rows)} usable photographs of {part.name}, expected at least 5"
        )
    table = np.array(rows)
    full_scores, scores, opinions = table[:, 0], table[:, 1], table[:, 2]
    plcc_mos = drop = drop_interval = None
    known = np.isfinite(opinions)
    if known.sum() >= 5:
        given = full_scores[known], scores[known], opinions[known]
        plcc_mos = statistics.plcc(given[1], given[2])
        drop = _drop(*given)
        drop_interval = statistics.bootstrap_interval(_drop, *given, resamples=500)
    return Speed(
        k=budget.budget.regions or 0,
        n=len(rows),
        size="native" if plan.size is None else f"{plan.size[1]}x{plan.size[0]}",
        dataset=part.name,
        split=split,
        full_seconds=median(table[:, 3].tolist()),
        budget_seconds=median(table[:, 4].tolist()),
        threads=threads,
        cpu_speedup=float(np.median(table[:, 5]) / max(np.median(table[:, 6]), 1e-9)),
        plcc_full=statistics.plcc(scores, full_scores),
        plcc_full_interval=statistics.bootstrap_interval(statistics.plcc, scores, full_scores),
        plcc_mos=plcc_mos,
        plcc_mos_drop=drop,
        plcc_mos_drop_interval=drop_interval,
        failures=tuple(failures),
    )


def _scored(
    part: Dataset, plan: Plan, budget: BudgetScorer, progress: Progress | None
) -> tuple[list[tuple[float, ...]], list[str]]:
    """Both scores, the MOS, and the seconds and processor seconds of both; what failed."""
    net, policy = plan.full.transformer(), plan.full.policy
    rows: list[tuple[float, ...]] = []
    failures: list[str] = []
    for done, sample in enumerate(part, 1):
        try:
            pixels = pixels_of(plan, sample)
        except ImageError as error:
            failures.append(str(error))
            continue
        if not rows:  # the first pass of each is slower
            rivals.whole(net, policy, pixels)
            budget.of_pixels(pixels)
        started, cpu_started = perf_counter(), process_time()
        full = rivals.score_features(net, rivals.whole(net, policy, pixels))
        between, cpu_between = perf_counter(), process_time()
        part_score = budget.of_pixels(pixels).score
        ended, cpu_ended = perf_counter(), process_time()
        mos = np.nan if sample.mos is None else float(part.scale.to_five(sample.mos))
        wall = between - started, ended - between
        cpu = cpu_between - cpu_started, cpu_ended - cpu_between
        rows.append((full, part_score, mos, *wall, *cpu))
        if progress is not None:
            progress(done, len(part))
    return rows, failures


def _drop(full: Any, scores: Any, mos: Any) -> float:
    """How much lower the PLCC with the MOS is."""
    return statistics.plcc(full, mos) - statistics.plcc(scores, mos)
