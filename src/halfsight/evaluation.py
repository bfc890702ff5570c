"""Agreement of a model's scores with the opinions in a data set."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from halfsight import datasets, statistics
from halfsight.datasets.base import DatasetError, Sample
from halfsight.datasets.splits import drop_twins
from halfsight.images import ImageError
from halfsight.models.card import Figure
from halfsight.scorer import Scorer

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Report:
    """Figures of one model on one part of a data set, MOS in five-level units (1..5).

    Attributes:
        dataset: name of the data set.
        split: the part, as asked for.
        model_hash: of the model's tensors and input policy.
        parts: figures of ``all`` images, and of each subset the data set names.
        rows: (id, score, MOS in five-level units) of every image.
        failures: images that could not be scored.
        notes: what was left out, in words.
    """

    dataset: str
    split: str
    model: str
    model_hash: str
    parts: dict[str, statistics.Evaluation]
    rows: tuple[tuple[str, float, float], ...] = field(repr=False)
    failures: tuple[ImageError, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Number of images asked for."""
        return len(self.rows) + len(self.failures)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "dataset": self.dataset,
            "split": self.split,
            "model": self.model,
            "model_hash": self.model_hash,
            "scale": "MOS mapped linearly to 1..5",
            "parts": {name: part.to_dict() for name, part in self.parts.items()},
            "failures": [str(failure) for failure in self.failures],
            "notes": list(self.notes),
        }

    def figure(self, *, note: str = "") -> Figure:
        """The figures of all images, for a card."""
        whole = self.parts["all"]
        return Figure(
            dataset=self.dataset,
            split=self.split,
            n=whole.n,
            plcc=whole.plcc,
            plcc_interval=whole.intervals["plcc"],
            srocc=whole.srocc,
            srocc_interval=whole.intervals["srocc"],
            krocc=whole.krocc,
            rmse=whole.rmse,
            note=note,
        )

    def scores_csv(self) -> str:
        """CSV text: id, score, mos."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("id", "score", "mos_1_to_5"))
        writer.writerows(self.rows)
        return text.getvalue()


def evaluate(
    scorer: Scorer,
    name: str,
    root: str | Path,
    *,
    split: str | None = None,
    without_twins_of: str | None = None,
    limit: int | None = None,
    resamples: int = 2000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Score a part of a data set and compare with its MOS.

    Args:
        scorer: the model.
        name: data set in the registry.
        root: its folder.
        split: the part; None takes all images.
        without_twins_of: leave out images that look like one of this split.
        limit: only the first images of the part.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        progress: called with (done, total).

    Raises:
        DatasetError: if the data set cannot be loaded or has no MOS.
    """
    whole = datasets.load(name, root)
    part = whole if split is None else whole.split(split)
    notes: tuple[str, ...] = ()
    if without_twins_of is not None:
        kept = drop_twins(part, whole.split(without_twins_of))
        if len(kept) < len(part):
            notes = (f"{len(part) - len(kept)} images left out that look like training images",)
        part = kept
    samples = [sample for sample in part if sample.mos is not None][:limit]
    rows: list[tuple[str, float, float]] = []
    subsets: list[str] = []
    failures: list[ImageError] = []
    for done, sample in enumerate(samples, 1):
        try:
            rows.append((sample.id, scorer.score(sample.path), _five(sample, whole.scale)))
            subsets.append(sample.subset)
        except ImageError as error:
            failures.append(error)
        if progress is not None:
            progress(done, len(samples))
    if len(rows) < 3:
        raise DatasetError(
            f"got {len(rows)} scored images with a MOS in {name} {split or ''}, expected at least 3"
        )
    scores = np.array([row[1] for row in rows])
    mos = np.array([row[2] for row in rows])
    parts = {"all": statistics.evaluate(scores, mos, resamples=resamples, seed=seed)}
    for subset in sorted(set(subsets) - {""}):
        chosen = np.array([one == subset for one in subsets])
        if 3 <= chosen.sum() < len(rows):
            parts[subset] = statistics.evaluate(
                scores[chosen], mos[chosen], resamples=resamples, seed=seed
            )
    return Report(
        name, split or "all", scorer.name, scorer.hash, parts, tuple(rows), tuple(failures), notes
    )


def _five(sample: Sample, scale: datasets.Scale) -> float:
    if sample.mos is None:
        raise DatasetError(f"got {sample.id} without a MOS, expected a labelled image")
    return float(scale.to_five(sample.mos))
