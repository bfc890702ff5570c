"""Agreement of a model's scores with the opinions in a data set."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from halfsight import datasets, statistics
from halfsight.datasets.base import LEVELS, DatasetError, Sample
from halfsight.datasets.splits import drop_twins
from halfsight.images import ImageError
from halfsight.models.card import Figure, Scale
from halfsight.scorer import Scorer

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Report:
    """Figures of one model on one part of a data set, all in five-level units (1..5).

    Attributes:
        dataset: name of the data set.
        split: the part, as asked for.
        model_hash: of the model's tensors and input policy.
        parts: figures of ``all`` images, and of each subset the data set names.
        rows: (id, score, MOS) of every image; the score is mapped from the scale on the model's
            card, the MOS from that of the data set.
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
            "scale": "MOS and scores mapped linearly to 1..5",
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
        """CSV text: id, score and MOS, both in five-level units."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("id", "score_1_to_5", "mos_1_to_5"))
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
    hashes: Path | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Report:
    """Score a part of a data set and compare with its MOS.

    Args:
        scorer: the model.
        name: data set in the registry.
        root: its folder.
        split: the part; None takes all images.
        without_twins_of: leave out images that look like one of this split.
        limit: only so many images of the part, drawn at random by ``seed``.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        hashes: file that keeps perceptual hashes, by which twins are found.
        progress: called with (done, total).
        **options: of the data set, such as ``labels``.

    Raises:
        DatasetError: if the data set cannot be loaded or has no MOS.
    """
    whole = datasets.load(name, root, **options)
    part = whole if split is None else whole.split(split)
    notes: tuple[str, ...] = ()
    if without_twins_of is not None:
        kept = drop_twins(part, whole.split(without_twins_of), cache=hashes)
        left_out = len(part) - len(kept)
        notes = (f"{left_out} images left out that look like one of split {without_twins_of}",)
        part = kept
    samples = [sample for sample in part if sample.mos is not None]
    if limit is not None and limit < len(samples):
        notes = (*notes, f"{limit} of {len(samples)} images, drawn at random with seed {seed}")
        drawn = np.random.default_rng(seed).choice(len(samples), limit, replace=False)
        samples = [samples[int(i)] for i in sorted(drawn)]
    rows: list[tuple[str, float, float]] = []
    subsets: list[str] = []
    failures: list[ImageError] = []
    for done, sample in enumerate(samples, 1):
        try:
            score = _in_five(scorer.score(sample.path), scorer.scale)
            rows.append((sample.id, score, _five(sample, whole.scale)))
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


def _in_five(score: float, scale: Scale) -> float:
    """A score in five-level units, where the model's scale is known and another."""
    native = (scale.min, scale.max, scale.higher_is_better)
    if native == (1, LEVELS, True) or not math.isfinite(scale.max - scale.min):
        return score
    return datasets.Scale(*native).to_five(score)


def _five(sample: Sample, scale: datasets.Scale) -> float:
    if sample.mos is None:
        raise DatasetError(f"got {sample.id} without a MOS, expected a labelled image")
    return float(scale.to_five(sample.mos))
