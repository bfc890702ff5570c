"""A model's own importance of the regions, with the regions hidden in the pixels.

For models without tokens every mask is a forward pass, so a sample of the masks is scored and the
importance is an estimate (:mod:`halfsight.masking.sampling`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from halfsight import images
from halfsight.datasets import Sample
from halfsight.experiments.store import Progress, RowStore
from halfsight.experiments.study import Study
from halfsight.explanation import explain
from halfsight.masking.pixels import Fill, PixelMasker
from halfsight.scorer import Scorer

Floats = npt.NDArray[np.float64]


def pixel_importance(
    study: Study,
    scorer: Scorer,
    samples: Sequence[Sample],
    *,
    masks: int,
    fill: Fill = "zero",
    progress: Progress | None = None,
) -> tuple[Floats, dict[str, str]]:
    """Importance by the model's default criterion, on the study's regions.

    Args:
        study: gives the regions.
        scorer: the model.
        samples: photographs of the study.
        masks: how many masks to score of each.
        fill: what takes the place of hidden pixels.
        progress: told after every photograph.

    Returns:
        float64 (len(samples), n), nan where a photograph failed, and reasons by id.
    """
    n = study.table.regions
    store = RowStore(
        study.cache,
        f"own-{scorer.name}",
        [f"r{region}" for region in range(n)],
        {
            "model": scorer.hash,
            "cut": study.cut,
            "masks": masks,
            "fill": fill,
            "seed": study.seed,
        },
    )
    failures = store.fill(
        samples, _work(study, scorer, masks, fill), stage=f"own {scorer.name}", progress=progress
    )
    return store.array([sample.id for sample in samples]), failures


def _work(
    study: Study, scorer: Scorer, masks: int, fill: Fill
) -> Callable[[Sample], Sequence[float]]:
    def work(sample: Sample) -> Sequence[float]:
        photograph = images.read(sample.path)
        masker = PixelMasker(fill, tokens=study.tokens(photograph.height, photograph.width))
        found = explain(
            scorer,
            photograph,
            grid=study.grid(sample),
            turn=False,
            masking=masker,
            masks=masks,
            seed=study.seed,
        )
        return [float(value) for value in found.importance]

    return work
