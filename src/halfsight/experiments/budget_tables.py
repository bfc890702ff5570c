"""The report of the budget experiment: facts, tables, the Pareto figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from halfsight import datasets
from halfsight.budget.selector import NAMES
from halfsight.datasets.base import Dataset
from halfsight.experiments import figures
from halfsight.experiments.budget_cost import Cost, Pixels
from halfsight.experiments.budget_points import Point
from halfsight.experiments.budget_scores import NO_GLANCE, ORACLE, RIVALS, WITHOUT, Plan, Scores
from halfsight.experiments.outcome import Column, Picture, Row, Section, Table

AGREEMENT = (
    Column("full", "PLCC with full score"),
    Column("mos", "PLCC with MOS"),
    Column("drop", "lower with MOS by"),
)


def verdict(points: Sequence[Point], own: Point, half: int) -> str:
    """Which rival agrees better at the same cost, or that none does."""
    rival = [p for p in points if p.regions == half and p.way in RIVALS]
    better = [p for p in rival if p.full.value > own.full.value]
    if not better:
        return "No rival at the same cost agrees better with the full score."
    best = max(better, key=lambda p: p.full.value)
    return (
        f"At the same number of pixels a rival agrees better with the full score: {best.way}, "
        f"PLCC {best.full.value:.3f}."
    )


def facts(
    plan: Plan,
    part: Dataset,
    split: str | None,
    size: str,
    notes: Sequence[str],
    found: Scores,
    shown: Sequence[Pixels],
) -> tuple[tuple[str, str], ...]:
    """What it was run on and how."""
    how = "" if plan.size is None else "; the middle of the photograph at that size"
    return (
        ("Data set", f"{datasets.info(part.name).title}, {split or 'all'}"),
        ("Photographs", "; ".join((str(len(found.ids)), *notes))),
        ("Size", f"{size}{how}"),
        ("Model", f"{plan.full.name} ({plan.full.hash[:12]})"),
        ("Budget", f"SHA-256 {plan.head.card.sha256[:12]}, selector {plan.own}, {_glance(plan)}"),
        ("Costs", f"{len(shown)} photographs, one thread; decoding excluded, choosing included"),
        ("Seed", str(plan.seed)),
    )


def pareto(points: Sequence[Point], plan: Plan, full: Cost) -> Section:
    """Cost against agreement, the budget and its rivals."""
    shown = [p for p in points if p.way in ("full", plan.own, ORACLE, *RIVALS)]
    rows = [
        Row(
            (
                _title(p, plan),
                p.cost.seconds,
                full.seconds / p.cost.seconds,
                p.cost.gflops,
                p.full,
                p.mos,
                p.drop,
            ),
            "ours" if p.way in ("full", plan.own) else "control",
        )
        for p in shown
    ]
    table = Table(
        "budget-pareto",
        "Cost and agreement of every way",
        (
            Column("way", "way, regions read or their worth"),
            Column("seconds", "seconds", 4),
            Column("speedup", "times as fast", 2),
            Column("gflops", "GFLOP", 2),
            *AGREEMENT,
        ),
        tuple(rows),
        "The oracle ranks regions by the model's own table of coalitions, which needs the full "
        "score: a ceiling for selectors, without a cost of its own.",
    )
    return Section("Cost and agreement", "", (table,), _drawn(points, plan))


def choice(points: Sequence[Point], plan: Plan, half: int) -> Section:
    """The selectors at half of the regions."""
    rows = [
        Row(
            (p.way, p.cost.seconds, p.full, p.mos, p.drop),
            "ours" if p.way == plan.own else "control",
        )
        for p in points
        if p.regions == half and p.way in (*NAMES, ORACLE)
    ]
    table = Table(
        "budget-selectors",
        f"Who chooses the {half} regions",
        (Column("selector", "selector"), Column("seconds", "seconds", 4), *AGREEMENT),
        tuple(rows),
        "All read with the same head. Seconds include choosing; measures see the photograph at "
        "256 pixels.",
    )
    return Section("Which regions", "", (table,))


def training(points: Sequence[Point], plan: Plan) -> Section:
    """With and without training and glance, and what training does to the whole photograph."""
    by = {(p.way, p.regions): p for p in points}
    heads = [(plan.own, "trained under masks"), (WITHOUT, "the model's own head")]
    if plan.head.glance.weight:
        heads.append((NO_GLANCE, "trained, without the glance"))
    rows = []
    for k in plan.rival_counts:
        for name, title in heads:
            p = by[name, k]
            kind = "ours" if name == plan.own else "control"
            rows.append(Row((f"{k} regions, {title}", p.full, p.mos, p.drop), kind))  # type: ignore[arg-type]
    whole = by["head, whole", None]
    rows.append(Row(("whole photograph, trained under masks", whole.full, whole.mos, whole.drop)))
    model = by["full", None]
    rows.append(Row(("whole photograph, the model", model.full, model.mos, model.drop), "control"))
    table = Table(
        "budget-training",
        "With and without training under masks",
        (Column("way", "head"), *AGREEMENT),
        tuple(rows),
        f"The same regions, chosen by {plan.own}. The model itself is not changed by the training.",
    )
    return Section("Training under masks", "", (table,))


def auto(rows: Sequence[Mapping[str, float | None]]) -> Section:
    """What tolerances cost and keep."""
    table = Table(
        "budget-auto",
        "As many regions as a tolerance needs",
        (
            Column("tolerance", "tolerance", 2),
            Column("regions", "regions read, mean", 2),
            Column("within", "share within"),
            Column("error_90", "error of nine of ten"),
        ),
        tuple(
            Row((one["tolerance"], one["regions"], one["within"], one["error_90"])) for one in rows
        ),
        "Errors against the full score, in its units. A tolerance is meant for nine of ten.",
    )
    return Section("As much as a tolerance needs", "", (table,))


def _glance(plan: Plan) -> str:
    glance = plan.head.glance
    if not glance.weight:
        return "no glance at the whole photograph"
    return (
        f"a glance at 1/{glance.shrink:g} of each side with a weight of {glance.weight:g}, "
        f"from {glance.smallest} pixels on"
    )


def _title(p: Point, plan: Plan) -> str:
    if p.regions is None:
        return "the model, whole photograph"
    name = f"budget ({plan.own})" if p.way == plan.own else p.way
    return f"{name}, {p.regions}"


def _drawn(points: Sequence[Point], plan: Plan) -> tuple[Picture, ...]:
    made = []
    full = next(p for p in points if p.way == "full")
    for key, label in (("full", "PLCC with the full score"), ("mos", "PLCC with MOS")):
        if math.isnan(getattr(full, key).value):
            continue  # no opinions
        figure = figures.new(4.2)
        (ax,) = figures.axes(figure)
        for at, name in enumerate((plan.own, *plan.rivals)):
            line = [p for p in points if p.way == name]
            x = [p.cost.seconds for p in line]
            numbers = [getattr(p, key) for p in line]
            colour, marker = figures.COLOURS[at], figures.MARKERS[at]
            ax.fill_between(
                x,
                [n.low for n in numbers],
                [n.high for n in numbers],
                color=colour,
                alpha=0.12,
                lw=0,
            )
            title = f"budget ({name})" if name == plan.own else name
            ax.plot(x, [n.value for n in numbers], marker + "-", color=colour, ms=5, label=title)
        ax.plot(
            [full.cost.seconds],
            [getattr(full, key).value],
            "*",
            color=figures.INK,
            ms=10,
            label="the model, whole photograph",
        )
        ax.set_xlabel("seconds a photograph, decoding excluded")
        ax.set_ylabel(label)
        figure.legend(loc="outside upper left", ncols=2)
        caption = f"{label} against cost; bands are 95 % intervals over photographs."
        made.append(Picture(f"budget-{key}", caption, figure))
    return tuple(made)
