"""Experiment II: do saliency, spatial frequency and objectness find the important regions?

Matching degrees as in the paper (METHOD section 6), and the finer statistics: rank correlation and
ROC area of a measure's regions against importance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from halfsight import images, matching
from halfsight.datasets import Sample
from halfsight.experiments import figures, published, resampling, rowwise
from halfsight.experiments.outcome import (
    Column,
    Measured,
    Outcome,
    Picture,
    Row,
    RowKind,
    Section,
    Table,
)
from halfsight.experiments.store import Progress, RowStore
from halfsight.experiments.study import Study
from halfsight.grid import Aggregate
from halfsight.importance import check
from halfsight.measures import Measure, MeasureError, for_image, load, region_values
from halfsight.measures.average import average

Floats = npt.NDArray[np.float64]

PARTS = ("saliency", "frequency", "objectness")
"""What is averaged."""

CONTROL = "centre-bias"
"""The measure that does not look at the photograph."""


CAVEATS = (
    (
        "The authors name no model for any measure; these are ours, so that only the question "
        "is the same."
    ),
    (
        "A measure that prefers the middle of the picture gains or loses wherever important "
        "regions lie there more often than elsewhere: compare with the centre bias."
    ),
    "Importance is that of this model. It says nothing of what people look at.",
)


@dataclass(frozen=True)
class Match:
    """How one measure fits the importance by one criterion.

    Attributes:
        degrees: percentage of photographs with M > T, for T = 1..k-1.
        spearman: mean rank correlation over the regions of a photograph.
        auc: mean chance that an important region has a higher value than a trivial one.
        counts: mean of M.
    """

    degrees: tuple[Measured, ...]
    spearman: Measured
    auc: Measured
    counts: Measured


def open_measures(
    *,
    saliency: str = "saliency",
    objectness: str | None = None,
    bing: str | None = None,
    maps: str | None = None,
) -> tuple[dict[str, Measure], str]:
    """The measures by the paper's names, and which objectness it is and why.

    Args:
        saliency: name of a measure; ``precomputed`` reads ``maps``.
        objectness: name of a measure; None takes BING where its trained files are at hand, and
            selective search elsewhere.
        bing: folder of BING's trained files; None takes the environment's.
        maps: folder of maps for ``precomputed``.

    Raises:
        MeasureError: if a named measure does not load.
    """

    def get(name: str) -> Measure:
        if name == "bing":
            return load("bing", folder=bing)
        return load(name, folder=maps) if name == "precomputed" else load(name)

    why = ""
    if objectness is not None:
        found = get(objectness)
    else:
        try:
            found = get("bing")
        except MeasureError:
            if bing is not None:
                raise
            found, why = get("selective-search"), " (BING's trained files are not at hand)"
    measures = {
        "saliency": get(saliency),
        "frequency": get("frequency"),
        "objectness": found,
        CONTROL: get(CONTROL),
    }
    return measures, f"{found.name}{why}"


def run(
    study: Study,
    measures: dict[str, Measure],
    *,
    objectness: str = "",
    how: Aggregate = "mean",
    progress: Progress | None = None,
) -> Outcome:
    """The experiment.

    Args:
        study: gives the regions and their importance.
        measures: from :func:`open_measures`.
        objectness: which objectness measure it is, in words.
        how: how a map becomes one value a region.
        progress: told after every photograph.
    """
    values, failures = measured(study, measures, how=how, progress=progress)
    there = np.asarray(np.isfinite(np.stack(list(values.values()))).all(axis=(0, 2)))
    values = {name: one[there] for name, one in values.items()}
    found = {
        (name, criterion): match(study, one, criterion, there)
        for name, one in values.items()
        for criterion in study.table.criteria
    }
    default = study.criterion
    best = max(values, key=lambda name: found[name, default].auc.value)
    headline = (
        f"Of the four measures and the centre bias, {best} fits the important regions best: an "
        f"important region has the higher value with a chance of "
        f"{found[best, default].auc.value:.2f} (0.5 by chance), rank correlation "
        f"{found[best, default].spearman.value:+.2f} ({int(there.sum())} photographs, {default})."
    )
    names = {name: one.name for name, one in measures.items()}
    return Outcome(
        experiment="matching",
        title="Experiment II: do semantic measures find the important regions",
        headline=headline,
        facts=(
            *study.facts(),
            ("Saliency", names["saliency"]),
            ("Objectness", objectness or names["objectness"]),
            ("Value of a region", f"{how} of the map in it"),
        ),
        sections=(
            _degrees(study, list(values), found),
            _finer(study, list(values), found),
        ),
        summary={
            **study.summary(),
            "photographs": int(there.sum()),
            "measures": names,
            "objectness": objectness or names["objectness"],
            "aggregate": how,
            "matching": [
                {
                    "measure": name,
                    "criterion": criterion,
                    "degrees": [one.to_dict() for one in result.degrees],
                    "spearman": result.spearman.to_dict(),
                    "auc": result.auc.to_dict(),
                    "matches": result.counts.to_dict(),
                }
                for (name, criterion), result in found.items()
            ],
            "chance": list(_chance(study)),
            "published": {
                name: list(row)
                for name in values
                if (row := published.matching(study.dataset, name)) is not None
            },
        },
        frames={
            "measures": pl.DataFrame(
                {
                    "id": [one for one, ok in zip(study.table.ids, there, strict=True) if ok],
                    **{
                        name: pl.Series(
                            one.astype(np.float32), dtype=pl.Array(pl.Float32, one.shape[1])
                        )
                        for name, one in values.items()
                    },
                }
            )
        },
        caveats=CAVEATS,
        failures=(*study.failures, *failures.values()),
    )


def measured(
    study: Study,
    measures: dict[str, Measure],
    *,
    how: Aggregate = "mean",
    progress: Progress | None = None,
) -> tuple[dict[str, Floats], dict[str, str]]:
    """Region values of every measure, float64 (N, n) by name, ``averaged`` after its parts.

    Photographs that fail have nan; their reasons are given by id.
    """
    n = study.table.regions
    columns = [f"{name} {region}" for name in measures for region in range(n)]
    store = RowStore(
        study.cache,
        "measures",
        columns,
        {
            "measures": {name: repr(one) for name, one in measures.items()},
            "how": how,
            "cut": study.cut,
        },
    )
    failures = store.fill(
        study.samples,
        _work(study, list(measures.values()), how),
        stage="measures",
        progress=progress,
    )
    flat = store.array(study.table.ids).reshape(len(study), len(measures), n)
    found = {name: flat[:, at] for at, name in enumerate(measures)}
    parts = [found[name] for name in PARTS]
    averaged = np.full(parts[0].shape, np.nan)
    for row in range(len(study)):
        if all(np.isfinite(part[row]).all() for part in parts):
            averaged[row] = average([part[row] for part in parts])
    control = found.pop(CONTROL)
    return {**found, "averaged": averaged, CONTROL: control}, failures


def match(study: Study, values: Floats, criterion: str, there: npt.NDArray[np.bool_]) -> Match:
    """Figures of one measure, values (M, n) of the photographs that are ``there`` (N,)."""
    chosen = study.table.halves(check(criterion))[there]
    importance = np.abs(study.table.importance(check(criterion))[there])
    counts = matching.matching_counts(values, chosen)
    seed = study.seed
    return Match(
        degrees=tuple(
            resampling.mean(100.0 * (counts > t), seed=seed)
            for t in range(1, study.table.regions // 2)
        ),
        spearman=resampling.mean(rowwise.spearman(values, importance), seed=seed),
        auc=resampling.mean(rowwise.auc(values, chosen), seed=seed),
        counts=resampling.mean(counts, seed=seed),
    )


def _work(
    study: Study, measures: Sequence[Measure], how: Aggregate
) -> Callable[[Sample], Sequence[float]]:
    def work(sample: Sample) -> Sequence[float]:
        photograph = images.read(sample.path)
        pixels = np.asarray(photograph.pixels)
        grid, tokens = study.grid(sample), study.tokens(photograph.height, photograph.width)
        found = [
            region_values(for_image(one, sample.id), pixels, grid, tokens=tokens, how=how)
            for one in measures
        ]
        return [float(value) for value in np.concatenate(found)]

    return work


def _chance(study: Study) -> tuple[float, ...]:
    n = study.table.regions
    return tuple(matching.chance_matching(n, n // 2).values())


def _degrees(study: Study, names: Sequence[str], found: dict[tuple[str, str], Match]) -> Section:
    default, chance = study.criterion, _chance(study)
    ts = list(range(1, len(chance) + 1))
    rows = []
    for name in names:
        paper = published.matching(study.dataset, name)
        if paper is not None and len(paper) == len(ts):
            rows.append(Row((f"{name} (paper)", *paper), "paper"))
        kind: RowKind = "control" if name == CONTROL else "ours"
        rows.append(Row((name, *found[name, default].degrees), kind))
    rows.append(Row(("chance", *chance), "control"))
    papers = {
        f"{name} (paper)": row
        for name in names
        if (row := published.matching(study.dataset, name)) is not None and len(row) == len(ts)
    }
    note = f" Paper: {published.SOURCE}, over its two data sets together." if papers else ""
    return Section(
        "Matching degree",
        "M is how many of the important regions are among the same number of regions with the "
        "highest values of a measure. The matching degree is the percentage of photographs with "
        "M > T. Chance is exact.",
        (
            Table(
                "matching",
                f"Matching degree in percent ({default})",
                (Column("measure", "measure"), *(Column(f"t{t}", f"T = {t}", 1) for t in ts)),
                tuple(rows),
                f"With 95 % bootstrap intervals over photographs.{note}",
            ),
        ),
        (
            Picture(
                "matching",
                "Percentage of photographs with more than T of the important regions found.",
                figures.lines(
                    ts,
                    {name: found[name, default].degrees for name in names},
                    xlabel="T",
                    ylabel="photographs with M > T, %",
                    reference={"chance": chance, **papers},
                ),
            ),
        ),
    )


def _finer(study: Study, names: Sequence[str], found: dict[tuple[str, str], Match]) -> Section:
    rows = [
        Row(
            (f"{name}, {criterion}", one.spearman, one.auc, one.counts),
            "control" if name == CONTROL else "ours",
        )
        for criterion in sorted(study.table.criteria, key=lambda one: one != study.criterion)
        for name in names
        for one in (found[name, criterion],)
    ]
    half = study.table.regions // 2
    rows.append(Row(("chance", 0.0, 0.5, half * half / study.table.regions), "control"))
    return Section(
        "Rank correlation and ROC area",
        "Matching degrees saturate at small T and count only the upper half. Over the regions of "
        "a photograph, Spearman's correlation compares the whole order; the ROC area is the chance "
        "that an important region has the higher value. Means over photographs; the magnitude of "
        "signed importance.",
        (
            Table(
                "ranks",
                "Measures against importance",
                (
                    Column("measure", "measure, criterion"),
                    Column("spearman", "Spearman"),
                    Column("auc", "ROC area"),
                    Column("matches", "mean M", 2),
                ),
                tuple(rows),
            ),
        ),
        (
            Picture(
                "auc",
                "Chance that an important region has the higher value (0.5: no relation).",
                figures.intervals(
                    [
                        (name, [(c, found[name, c].auc) for c in study.table.criteria])
                        for name in names
                    ],
                    label="ROC area",
                ),
            ),
        ),
    )
