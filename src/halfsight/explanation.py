"""Explain one photograph: its score, the table of all coalitions, and what decides it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from halfsight import coalitions, importance
from halfsight.grid import RegionGrid
from halfsight.images import Photograph
from halfsight.importance import Criterion
from halfsight.masking.base import (
    Coalitions,
    Masker,
    Masks,
    Progress,
    check_masks,
    collect,
    complete,
)
from halfsight.masking.choose import choose
from halfsight.models.card import ModelCard, Scale
from halfsight.outputs import claim_folder, write_atomic
from halfsight.scorer import Scorer, Source

Floats = npt.NDArray[np.float32]

DRAWN = 512
"""Masks drawn by default where each costs a pass of the network; all of them if there are fewer."""


@dataclass(frozen=True)
class Further:
    """What a measure or an attribution method says of the regions; its map is an overlay.

    Attributes:
        regions: float64 (n,), row-major; signed where the method is.
        seconds: wall time.
        options: the options as they were used, ready for JSON.
    """

    regions: npt.NDArray[np.float64]
    seconds: float
    options: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "regions": [float(v) for v in self.regions],
            "seconds": self.seconds,
            "options": self.options,
        }


def shortest(value: np.float32) -> float:
    """The number with the fewest digits that is this float32; keeps JSON small and exact."""
    return float(str(value))


@dataclass(frozen=True)
class Explanation:
    """Which regions decide a photograph's score.

    Attributes:
        path: the file, or None for arrays.
        score: unmasked score; equal to ``table[0]``.
        distribution: unmasked level probabilities (K,), None for scalar heads.
        scale: what the score means.
        grid: the regions, turned to the photograph.
        criterion: how importance was measured.
        importance: float64 (n,), row-major; higher decides more; signed for ``shapley``.
        important: the half of the regions that decides most, by number.
        trivial: the other half.
        table: float32 (2**n,), score by bit set of masked regions (bit 0 = top-left); nan where a
            sample of the masks did not include it.
        tokens: (rows, cols) of the token map, None for models without tokens.
        notes: what was done to the photograph on the way, in words.
        seconds: wall time of the stages.
        model: card of the model.
        model_hash: SHA-256 of its tensors and input policy.
        photograph: the pixels that were read.
        importances: importance (n,) by every criterion that the model's answers allow,
            ``criterion`` among them.
        overlays: further maps of the photograph by name, each (height, width) or smaller in the
            same proportions; added with :meth:`with_maps`.
        estimated: True if importance was estimated from a sample of the masks.
        standard_errors: float64 (n,) of the importance where it was estimated, None otherwise.
        masking: how regions were hidden: ``attention`` (the transformer's keys) or, for maskers
            that change the photograph, what they put in place of its pixels.
        seed: what the masks were drawn with, None if all were evaluated.
        also: what measures and attribution methods say of the regions, by name; added with
            :func:`halfsight.also.add`.
    """

    path: str | None
    score: float
    distribution: tuple[float, ...] | None
    scale: Scale
    grid: RegionGrid
    criterion: Criterion
    importance: npt.NDArray[np.float64]
    important: tuple[int, ...]
    trivial: tuple[int, ...]
    table: Floats = field(repr=False)
    tokens: tuple[int, int] | None
    notes: tuple[str, ...]
    seconds: dict[str, float]
    model: ModelCard = field(repr=False)
    model_hash: str = field(repr=False)
    photograph: Photograph = field(repr=False)
    importances: dict[Criterion, npt.NDArray[np.float64]] = field(default_factory=dict, repr=False)
    overlays: dict[str, npt.NDArray[np.floating]] = field(default_factory=dict, repr=False)
    estimated: bool = False
    standard_errors: npt.NDArray[np.float64] | None = None
    masking: str = "attention"
    seed: int | None = None
    also: dict[str, Further] = field(default_factory=dict, repr=False)

    @property
    def options(self) -> dict[str, Any]:
        """What the result depends on besides photograph and model, for manifests."""
        return {
            "grid": str(self.grid),
            "criterion": self.criterion,
            "masking": self.masking,
            "masks": self.masks if self.estimated else "all",
            "seed": self.seed,
            "also": {name: one.options for name, one in self.also.items()},
        }

    @property
    def masks(self) -> int:
        """Number of masks evaluated that hide some but not all regions: 4094 if all of twelve."""
        return int(np.isfinite(self.table[1:-1]).sum())

    @property
    def score_important_masked(self) -> float:
        """Score with the important half masked."""
        return float(self.table[coalitions.index_of(self.important)])

    @property
    def score_trivial_masked(self) -> float:
        """Score with the trivial half masked."""
        return float(self.table[coalitions.index_of(self.trivial)])

    @cached_property
    def maps(self) -> dict[str, npt.NDArray[np.floating]]:
        """Signed raw maps over the photograph's pixels, by name, each (height, width)."""
        height, width = self.photograph.height, self.photograph.width
        painted = self.grid.paint(self.importance, height, width, tokens=self.tokens)
        return {"importance": painted, **self.overlays}

    def with_maps(self, maps: Mapping[str, npt.NDArray[np.floating]]) -> Explanation:
        """This explanation with further maps over the photograph, saliency for example.

        Args:
            maps: by name, each of shape (height, width), or smaller in the same proportions.

        Raises:
            ValueError: if a map is not two-dimensional, holds nan or infinity, or takes the name
                ``importance``.
        """
        for name, values in maps.items():
            if name == "importance":
                raise ValueError(
                    "got a map named 'importance', expected another name; that one is the result's"
                )
            if np.ndim(values) != 2 or not np.isfinite(values).all():
                raise ValueError(
                    f"got map {name!r} of shape {np.shape(values)}, expected finite numbers of "
                    "shape (height, width); aggregate channels and replace nan"
                )
        return replace(self, overlays={**self.overlays, **maps})

    def boxes(self) -> npt.NDArray[np.int64]:
        """Pixel boxes of the regions on the photograph, (n, 4): top, left, bottom, right."""
        return self.grid.boxes(self.photograph.height, self.photograph.width, tokens=self.tokens)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``halfsight explain``; scores that were not evaluated are null."""
        table = [shortest(v) if np.isfinite(v) else None for v in self.table]
        sampled: dict[str, Any] = {}
        if self.standard_errors is not None:
            sampled["standard_error"] = [float(v) for v in self.standard_errors]
            sampled["seed"] = self.seed
        further = {name: one.to_dict() for name, one in self.also.items()}
        return {
            "path": self.path,
            "model": self.model.model,
            "score": table[0],
            "scale": self.scale.model_dump(),
            "grid": list(self.grid.shape),
            "criterion": self.criterion,
            "masks": self.masks,
            "masking": self.masking,
            "estimated": self.estimated,
            "importance": [float(v) for v in self.importance],
            **sampled,
            "importances": {
                name: [float(v) for v in values] for name, values in self.importances.items()
            },
            "important": list(self.important),
            "trivial": list(self.trivial),
            "table": table,
            "score_important_masked": table[coalitions.index_of(self.important)],
            "score_trivial_masked": table[coalitions.index_of(self.trivial)],
            "distribution": None if self.distribution is None else list(self.distribution),
            "size": [self.photograph.height, self.photograph.width],
            "notes": list(self.notes),
            "seconds": self.seconds,
            **({"also": further} if further else {}),
        }

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the result into a folder: JSON, interactive page, figure, maps, manifest.

        Nothing half-written is left: the folder appears whole, or not at all.

        Args:
            folder: created; refused if it exists and is not empty.
            overwrite: replace an earlier result.

        Returns:
            The folder.

        Raises:
            OutputError: if it exists, or cannot be written.
        """
        from halfsight.report import folder as report_folder

        target = Path(folder)
        with claim_folder(target, overwrite=overwrite) as working:
            report_folder.write(self, working)
            write_atomic(
                working / "manifest.json",
                json.dumps(report_folder.manifest(self, working), indent=2) + "\n",
            )
        return target


def explain(
    model: Scorer,
    source: Source,
    *,
    grid: str | RegionGrid = "3x4",
    criterion: str | None = None,
    turn: bool = True,
    masking: str | Masker = "auto",
    masks: Masks | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Explanation:
    """Explain the score of one photograph.

    Args:
        model: from :func:`halfsight.load`.
        source: path, array (H, W, 3), PIL image or photograph.
        grid: regions as rows x columns.
        criterion: one of :data:`halfsight.importance.CRITERIA`; None takes ``dist_plcc`` for models
            with level distributions and ``abs_delta`` for scalar ones.
        turn: lay the grid's longer side along the photograph's.
        masking: ``auto``, ``attention``, ``zero``, ``mean``, ``blur``, ``zero-normalised``, or a
            masker. ``auto`` hides regions in the attention of models with tokens, and blackens
            their pixels for other models.
        masks: ``all``, or how many masks to draw. None takes all where they cost little more than
            a few, as with TRIQ, and :data:`DRAWN` otherwise. Importance from drawn masks is an
            estimate and has standard errors.
        seed: of the drawing.
        progress: called with (masks done, masks in all).

    Raises:
        ImageError: if the photograph cannot be read, or its size is refused.
        GridError: if the grid does not fit.
        CriterionError: if the criterion is unknown or not to be had from the model.
        MaskingError: if the masking is unknown or not to be had from the model.
        ModelError: if a model that is not ours fails, or answers with something that is no score.
        SampleError: if there are too few masks to estimate from.
    """
    masker = choose(model, masking)
    chosen = None if criterion is None else importance.check(criterion)
    regions = RegionGrid.parse(grid) if isinstance(grid, str) else grid
    if masks is not None:
        check_masks(masks, len(regions))
    started = time.perf_counter()
    photograph, tensor, notes = model.read(source)
    if turn:
        regions = regions.oriented(photograph.height, photograph.width)
    decoded = time.perf_counter()
    subject = masker.subject(model, photograph, regions, tensor=tensor)
    prepared = time.perf_counter()
    wanted: Masks = ("all" if subject.exhaustive else DRAWN) if masks is None else masks
    answers = collect(subject, masks=wanted, seed=seed, progress=progress)
    tabled = time.perf_counter()
    result = importance.importance(answers, chosen)
    halves = (coalitions.index_of(half) for half in (result.important, result.trivial))
    answers = complete(answers, subject, halves)
    importances = {
        name: importance.importance(answers, name).values for name in importance.available(answers)
    }
    distribution = None
    if answers.distributions is not None:
        distribution = tuple(float(p) for p in answers.distributions[0])
    finished = time.perf_counter()
    return Explanation(
        path=photograph.path,
        score=float(answers.scores[0]),
        distribution=distribution,
        scale=model.scale,
        grid=regions,
        criterion=result.criterion,
        importance=result.values,
        important=result.important,
        trivial=result.trivial,
        table=answers.scores,
        tokens=subject.tokens,
        notes=(*notes, *_notes(masker, answers)),
        seconds={
            "read": decoded - started,
            **subject.seconds,
            "table": tabled - prepared,
            "total": finished - started,
        },
        model=model.card,
        model_hash=model.hash,
        photograph=photograph,
        importances=importances,
        estimated=answers.estimated,
        standard_errors=result.standard_errors,
        masking=masker.name,
        seed=None if answers.sample is None else answers.sample.seed,
    )


def _notes(masker: Masker, answers: Coalitions) -> tuple[str, ...]:
    """What is not as for the exact table of a transformer."""
    notes = []
    if masker.name != "attention":
        notes.append(f"regions hidden in the pixels ({masker.name})")
    if answers.sample is not None:
        notes.append(
            f"{answers.masks} of {len(answers.scores) - 2} masks evaluated (seed "
            f"{answers.sample.seed}): importance is an estimate, with standard errors"
        )
    return tuple(notes)
