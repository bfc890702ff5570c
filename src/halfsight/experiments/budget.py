"""The same score from a part of the photograph: how much, how fast, and whether a rival is better.

Every way to score is measured on the same photographs: PLCC with the full score, PLCC with the
opinions, and what it costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from halfsight.budget import files, rivals
from halfsight.budget import selector as selectors
from halfsight.budget.policy import Budget
from halfsight.datasets.base import Dataset, DatasetError
from halfsight.experiments import budget_tables as tables
from halfsight.experiments.budget_cost import Pixels, Way, costs
from halfsight.experiments.budget_points import TOLERANCES, automatic, points_of
from halfsight.experiments.budget_scores import Plan, pixels_of, score
from halfsight.experiments.outcome import Outcome, plain
from halfsight.experiments.store import Progress

CAVEATS = (
    (
        "The full score is the model's on the whole photograph, not the truth: a score that agrees "
        "with it shares its errors."
    ),
    "Seconds are of this machine and these photographs; the operations are not.",
    "Random crops are scored as photographs of their own and averaged.",
    "Head, selector and bounds come with the model; nothing is chosen on these photographs.",
)


def ways(plan: Plan, *, counts: Sequence[int] | None = None) -> dict[str, Way]:
    """Ways to score pixels, to be timed: the model, its budget, selectors alone, the rivals."""
    net, policy = plan.full.transformer(), plan.full.policy
    budget = files.assemble(plan.full, plan.head, Budget(regions=6), selector=plan.own)

    def reading(k: int) -> Way:
        def way(pixels: Pixels) -> object:
            layout = budget.layout(pixels.shape[0], pixels.shape[1])
            order = selectors.ranking(budget.selector.values(pixels, layout.grid))
            return budget.of_regions(pixels, layout, selectors.kept(order, k))

        return way

    def rival(name: str, k: int) -> Way:
        share = k / len(plan.grid)

        def blocks(pixels: Pixels) -> object:
            layout = budget.layout(pixels.shape[0], pixels.shape[1])
            drawn = rivals.random_blocks(pixels, layout, k, np.random.default_rng(0))
            return rivals.by_blocks(net, policy, drawn)

        if name == "random crops":
            return blocks
        if name == "centre crop":
            return lambda pixels: rivals.by_centre(net, policy, pixels, share)
        return lambda pixels: rivals.by_downscaling(net, policy, pixels, share)

    made: dict[str, Way] = {
        "full": lambda pixels: rivals.score_features(net, rivals.whole(net, policy, pixels)),
        "glance": lambda pixels: (
            budget.glance.taken(pixels)
            and budget.glance.answer(budget.transformer(), policy, pixels)
        ),
    }
    for k in counts or plan.counts:
        made[f"{plan.own} {k}"] = reading(k)
    if counts is None:
        for one in plan.load_selectors():
            made[f"select {one.name}"] = (
                lambda pixels, one=one: one.values(  # type: ignore[misc]
                    pixels, plan.grid.oriented(*pixels.shape[:2])
                )
            )
        for name in plan.rivals:
            if name != "downscaled, trained":  # the same work as "downscaled"
                made |= {f"{name} {k}": rival(name, k) for k in plan.rival_counts}
    return made


def run(
    part: Dataset,
    plan: Plan,
    *,
    cache: Path,
    split: str | None = None,
    timed: int = 10,
    notes: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> Outcome:
    """The experiment.

    Args:
        part: the photographs.
        plan: what is compared.
        cache: folder of intermediate results.
        split: the part's name, for the report.
        timed: photographs that costs are measured on.
        notes: what was left out, in words.
        progress: told after every photograph.

    Raises:
        DatasetError: if fewer than 5 of the photographs can be used.
    """
    found = score(part, plan, cache, progress=progress)
    if len(found.ids) < 5:
        raise DatasetError(
            f"got {len(found.ids)} usable photographs of {part.name}, expected at least 5"
        )
    by_id = {sample.id: sample for sample in part}
    shown = [pixels_of(plan, by_id[name]) for name in found.ids[:timed]]
    if progress is not None:
        progress("costs", 0, 1)
    cost = costs(ways(plan), shown)
    points = points_of(plan, found, cost)
    half = len(plan.grid) // 2
    own = next(p for p in points if p.way == plan.own and p.regions == half)
    speedup = cost["full"].seconds / own.cost.seconds
    size = "native size" if plan.size is None else f"{plan.size[1]}x{plan.size[0]}"
    mos = "" if np.isnan(own.mos.value) else f", PLCC with MOS lower by {own.drop.value:.3f}"
    headline = (
        f"Reading {half} of {len(plan.grid)} regions is {speedup:.2f} times as fast; PLCC with the "
        f"full score {own.full.value:.3f} [{own.full.low:.3f}, {own.full.high:.3f}]{mos} "
        f"({len(found.ids)} photographs, {size}). {tables.verdict(points, own, half)}"
    )
    auto = [automatic(plan, found, tolerance) for tolerance in TOLERANCES]
    return Outcome(
        experiment="budget",
        title="The same score from a part of the photograph",
        headline=headline,
        facts=tables.facts(plan, part, split, size, notes, found, shown),
        sections=(
            tables.pareto(points, plan, cost["full"]),
            tables.choice(points, plan, half),
            tables.training(points, plan),
            tables.auto(auto),
        ),
        summary={
            "dataset": part.name,
            "split": split or "all",
            "photographs": len(found.ids),
            "size": size,
            "k": half,
            "speedup": speedup,
            "plcc_full": own.full.value,
            "plcc_mos_drop": plain(own.drop.value),
            "full_seconds": cost["full"].seconds,
            "full_gflops": cost["full"].gflops,
            "points": [point.to_dict() for point in points],
            "auto": auto,
            "selector": plan.own,
            "model_hash": plan.full.hash,
            "head_sha256": plan.head.card.sha256,
            "seed": plan.seed,
            "notes": list(notes),
            "failures": list(found.failures),
        },
        frames={
            "scores": pl.DataFrame(
                {"id": found.ids, "mos": found.mos}
                | {name: found[name].astype(np.float32) for name in found.columns}
            )
        },
        caveats=CAVEATS,
        failures=found.failures,
    )
