"""Experiment I: is half of the image enough for other models too?

The regions come from one model (TRIQ in the paper); the pixels of one half are filled, and every
model scores what is left (METHOD section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from halfsight import images
from halfsight.datasets import Sample
from halfsight.experiments import figures, halves, own, published, resampling
from halfsight.experiments.outcome import (
    Column,
    Measured,
    Outcome,
    Picture,
    Row,
    Section,
    Table,
)
from halfsight.experiments.store import Progress, RowStore
from halfsight.experiments.study import Study
from halfsight.masking.pixels import FILLS, Fill, PixelMasker
from halfsight.scorer import Scorer
from halfsight.statistics import plcc, srocc

Floats = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

HALVES = ("trivial", "important", "random", "random'", "centre", "border")
"""What is filled in: a half by the regions' model, a random half and its complement, the middle."""

OWN = ("own trivial", "own important")

DEFAULT_FILLS: tuple[Fill, ...] = ("zero", "mean", "blur")


CAVEATS = (
    (
        "A photograph half black is nothing these models have learnt; the fill is an input of "
        "its own, and the borders of the filled regions are something to see. The three fills "
        "together say more than one."
    ),
    (
        "The regions are those of the model named above, found by hiding them in its attention, "
        "not in its pixels."
    ),
    (
        "The random row is the mean of two draws: a random half of every photograph, and its "
        "complement."
    ),
)


@dataclass(frozen=True)
class Cell:
    """One model with one half filled in one way.

    Attributes:
        predicted: PLCC with the model's scores of the originals.
        predicted_srocc: SROCC likewise.
        mos: PLCC with the MOS.
        mos_srocc: SROCC with the MOS.
    """

    predicted: Measured
    predicted_srocc: Measured
    mos: Measured
    mos_srocc: Measured


@dataclass(frozen=True)
class Scores:
    """Scores of one model.

    Attributes:
        whole: float64 (N,), of the originals.
        filled: float64 (N,) by fill and half.
    """

    whole: Floats
    filled: Mapping[tuple[Fill, str], Floats]


class FillError(ValueError):
    """A fill that is unknown."""


def parse_fills(text: str) -> tuple[Fill, ...]:
    """Fills from ``zero,mean,blur``.

    Raises:
        FillError: lists those there are.
    """
    found: list[Fill] = []
    for name in (part.strip() for part in text.split(",")):
        match = [fill for fill in FILLS if fill == name]
        if not match:
            raise FillError(f"got fill {name!r}, expected some of {', '.join(FILLS)}")
        found += [fill for fill in match if fill not in found]
    return tuple(found)


def run(
    study: Study,
    models: Sequence[Scorer],
    *,
    fills: Sequence[Fill] = DEFAULT_FILLS,
    own_masks: int | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """The experiment.

    Args:
        study: gives the regions.
        models: what scores the photographs.
        fills: what takes the place of the pixels.
        own_masks: also take each model's own regions, from so many masks in its pixels; None
            leaves them out.
        progress: told after every photograph.
    """
    failures = dict[str, str]()
    scored: dict[str, Scores] = {}
    for scorer in models:
        scored[scorer.name], broken = score(study, scorer, fills, progress=progress)
        failures |= broken
        if own_masks is not None:
            more, broken = score_own(study, scorer, fills, masks=own_masks, progress=progress)
            both = {**scored[scorer.name].filled, **more}
            scored[scorer.name] = Scores(scored[scorer.name].whole, both)
            failures |= broken
    cells = {
        (name, fill, half): _cell(study, scores, fill, half)
        for name, scores in scored.items()
        for fill in fills
        for half in _kinds(own_masks)
    }
    whole = {
        name: resampling.correlation(scores.whole, study.mos, seed=study.seed)
        for name, scores in scored.items()
    }
    first, fill = models[0].name, fills[0]
    headline = (
        f"{first} with the trivial half filled ({fill}) agrees with itself by PLCC "
        f"{cells[first, fill, 'trivial'].predicted.value:.3f}, with the important half filled by "
        f"{cells[first, fill, 'important'].predicted.value:.3f}, with a random half filled by "
        f"{cells[first, fill, 'random'].predicted.value:.3f} ({len(study)} photographs)."
    )
    masks = "" if own_masks is None else f"; own regions from {own_masks} masks"
    return Outcome(
        experiment="half",
        title="Experiment I: half of the image for other models",
        headline=headline,
        facts=(
            *study.facts(),
            ("Models", ", ".join(f"{one.name} ({one.hash[:12]})" for one in models)),
            ("Filled with", ", ".join(fills) + masks),
        ),
        sections=tuple(
            _section(study, one, list(scored), cells, whole, own_masks) for one in fills
        ),
        summary={
            **study.summary(),
            "models": {one.name: one.hash for one in models},
            "fills": list(fills),
            "own_masks": own_masks,
            "mos_plcc": {name: number.to_dict() for name, number in whole.items()},
            "cells": [
                {
                    "model": name,
                    "fill": fill,
                    "half": half,
                    **{key: number.to_dict() for key, number in vars(cell).items()},
                }
                for (name, fill, half), cell in cells.items()
            ],
            "published": [
                {"model": name, **vars(row), "source": published.SOURCE}
                for name in scored
                if (row := published.half(study.dataset, name)) is not None
            ],
        },
        frames={"scores": _frame(study, scored)},
        caveats=CAVEATS,
        failures=(*study.failures, *failures.values()),
    )


def score(
    study: Study, scorer: Scorer, fills: Sequence[Fill], *, progress: Progress | None = None
) -> tuple[Scores, dict[str, str]]:
    """Scores of one model with the study's halves filled; and reasons of failures by id."""
    masks = _masks(study)
    columns = ["whole", *(f"{fill} {half}" for fill in fills for half in HALVES)]
    key = {**_key(study, scorer), "fills": list(fills)}
    store = RowStore(study.cache, f"half-{scorer.name}", columns, key)
    work = _work(study, scorer, fills, masks, whole=True)
    failures = store.fill(study.samples, work, stage=scorer.name, progress=progress)
    found = store.array(study.table.ids)
    filled = {
        (fill, half): found[:, columns.index(f"{fill} {half}")] for fill in fills for half in HALVES
    }
    return Scores(found[:, 0], filled), failures


def score_own(
    study: Study,
    scorer: Scorer,
    fills: Sequence[Fill],
    *,
    masks: int,
    progress: Progress | None = None,
) -> tuple[dict[tuple[Fill, str], Floats], dict[str, str]]:
    """Scores of one model with its own halves filled; and reasons of failures by id."""
    values, failures = own.pixel_importance(
        study, scorer, study.samples, masks=masks, progress=progress
    )
    there = np.asarray(np.isfinite(values).all(axis=1))
    chosen = halves.top(np.nan_to_num(values), values.shape[1] // 2)
    bits = np.stack([halves.bits(~chosen), halves.bits(chosen)], axis=1)
    columns = [f"{fill} {half}" for fill in fills for half in OWN]
    key = {
        "model": scorer.hash,
        "cut": study.cut,
        "fills": list(fills),
        "masks": masks,
        "seed": study.seed,
    }
    store = RowStore(study.cache, f"half-own-{scorer.name}", columns, key)
    samples = [sample for sample, ok in zip(study.samples, there, strict=True) if ok]
    work = _work(study, scorer, fills, bits, whole=False)
    failures |= store.fill(samples, work, stage=f"{scorer.name}, own halves", progress=progress)
    found = store.array(study.table.ids)
    return {
        (fill, half): found[:, columns.index(f"{fill} {half}")] for fill in fills for half in OWN
    }, failures


def _key(study: Study, scorer: Scorer) -> dict[str, object]:
    return {
        "model": scorer.hash,
        "regions": study.model_hash,
        "criterion": study.criterion,
        "grid": study.table.provenance.get("grid"),
        "seed": study.seed,
        "first": study.table.ids[0],
        "count": len(study),  # the random halves depend on both
    }


def _masks(study: Study) -> IntArray:
    """Bit sets of the halves of every photograph, (N, len(HALVES))."""
    chosen = study.table.halves(study.criterion)
    drawn, other = halves.random(len(study), study.table.regions, 2, seed=study.seed)
    middle = halves.centre(study.table.grids)
    return np.stack(
        [halves.bits(one) for one in (~chosen, chosen, drawn, other, middle, ~middle)], axis=1
    )


def _work(
    study: Study, scorer: Scorer, fills: Sequence[Fill], masks: IntArray, *, whole: bool
) -> Callable[[Sample], Sequence[float]]:
    """A photograph to the score of the original, if wanted, and those of every fill and mask."""

    def work(sample: Sample) -> Sequence[float]:
        photograph, tensor, _ = scorer.read(images.read(sample.path))
        tokens = study.tokens(photograph.height, photograph.width)
        grid, asked = study.grid(sample), masks[study.row[sample.id]]
        found: list[float] = []
        for fill in fills:
            subject = PixelMasker(fill, tokens=tokens).subject(
                scorer, photograph, grid, tensor=tensor
            )
            first = [0] if whole and not found else []
            answers = subject.answer(np.array([*first, *asked], dtype=np.int64))
            found += [float(value) for value in answers.scores]
        return found

    return work


def _kinds(own_masks: int | None) -> tuple[str, ...]:
    kinds = tuple(half for half in HALVES if half != "random'")
    return kinds if own_masks is None else (*kinds, *OWN)


def _cell(study: Study, scores: Scores, fill: Fill, half: str) -> Cell:
    names = ("random", "random'") if half == "random" else (half,)
    filled = np.stack([scores.filled[fill, name] for name in names], axis=1)
    return Cell(
        *(
            resampling.mean_correlation(filled, reference, stat=stat, seed=study.seed)
            if len(names) > 1
            else resampling.correlation(filled[:, 0], reference, stat=stat, seed=study.seed)
            for reference in (scores.whole, study.mos)
            for stat in (plcc, srocc)
        )
    )


def _frame(study: Study, scored: Mapping[str, Scores]) -> pl.DataFrame:
    """Every score, for use elsewhere."""
    columns: dict[str, Any] = {"id": study.table.ids}
    columns["mos"] = pl.Series(study.mos, dtype=pl.Float64).fill_nan(None)
    for name, scores in scored.items():
        columns[f"{name} whole"] = scores.whole.astype(np.float32)
        for (fill, half), values in scores.filled.items():
            columns[f"{name} {fill} {half}"] = values.astype(np.float32)
    return pl.DataFrame(columns)


def _section(
    study: Study,
    fill: Fill,
    names: Sequence[str],
    cells: Mapping[tuple[str, Fill, str], Cell],
    whole: Mapping[str, Measured],
    own_masks: int | None,
) -> Section:
    kinds = _kinds(own_masks)
    rows = []
    for name in names:
        paper = published.half(study.dataset, name) if fill == "zero" else None
        if paper is not None:
            plain_cells = {
                "trivial": (paper.trivial_predicted, paper.trivial_mos),
                "important": (paper.important_predicted, paper.important_mos),
            }
            rows.append(Row((f"{name}, whole (paper)", None, None, paper.plcc, None), "paper"))
        rows.append(Row((f"{name}, whole", 1.0, 1.0, whole[name], None)))
        for half in kinds:
            cell = cells[name, fill, half]
            kind = "ours" if half in ("trivial", "important", *OWN) else "control"
            if paper is not None and half in plain_cells:
                predicted, mos = plain_cells[half]
                rows.append(Row((f"{name}, {half} (paper)", predicted, None, mos, None), "paper"))
            rows.append(
                Row(
                    (
                        f"{name}, {half}",
                        cell.predicted,
                        cell.predicted_srocc,
                        cell.mos,
                        cell.mos_srocc,
                    ),
                    "control" if kind == "control" else "ours",
                )
            )
    source = f" Paper: {published.SOURCE}." if any(row.kind == "paper" for row in rows) else ""
    table = Table(
        f"half-{fill}",
        f"Filled with {fill}",
        (
            Column("filled", "model, filled half"),
            Column("predicted_plcc", "Predicted PLCC"),
            Column("predicted_srocc", "Predicted SROCC"),
            Column("mos_plcc", "MOS PLCC"),
            Column("mos_srocc", "MOS SROCC"),
        ),
        tuple(rows),
        "Predicted: scores with the half filled against the scores of the originals. MOS: against "
        f"the opinions on the originals.{source}",
    )
    return Section(
        {"zero": "Black", "mean": "Mean colour", "blur": "Blurred"}.get(fill, fill.capitalize()),
        "",
        (table,),
        (
            Picture(
                f"half-{fill}",
                f"PLCC of every model with its scores of the originals, a half filled ({fill}).",
                figures.intervals(
                    [
                        (half, [(name, cells[name, fill, half].predicted) for name in names])
                        for half in kinds
                    ],
                    label="PLCC with the scores of the originals",
                ),
            ),
        ),
    )
