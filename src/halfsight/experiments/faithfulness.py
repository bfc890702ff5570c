"""Do LIME, Grad-CAM and attention rollout rank the regions as the exact Shapley values do?"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from halfsight import images
from halfsight.attribution.base import AttributionError
from halfsight.attribution.registry import attribute
from halfsight.datasets import Sample
from halfsight.experiments import halves, resampling, rowwise
from halfsight.experiments.outcome import Measured
from halfsight.experiments.store import Progress, RowStore
from halfsight.experiments.study import Study
from halfsight.scorer import Scorer

Floats = npt.NDArray[np.float64]

METHODS = ("lime", "gradcam", "rollout")
LIME_SAMPLES = 128


@dataclass(frozen=True)
class Faithfulness:
    """Agreement of one method with the exact Shapley values; means over photographs.

    Attributes:
        method: its name.
        photographs: how many it was run on.
        signed: Spearman correlation of the values, nan for methods without a sign.
        magnitude: Spearman correlation of the magnitudes.
        jaccard: overlap of the halves of largest magnitude.
    """

    method: str
    photographs: int
    signed: Measured
    magnitude: Measured
    jaccard: Measured


def compare(
    study: Study,
    *,
    methods: Sequence[str] = METHODS,
    limit: int = 40,
    progress: Progress | None = None,
) -> tuple[list[Faithfulness], dict[str, str]]:
    """Run the methods on the first photographs and compare.

    Args:
        study: gives the exact values.
        methods: of :mod:`halfsight.attribution`.
        limit: photographs each method is run on, 0 for none; LIME scores 128 pictures for each.
        progress: told after every photograph.

    Returns:
        A row a method that the model allows, and reasons of failures by photograph or method.
    """
    if limit < 1 or study.scorer is None or "shapley" not in study.table.criteria:
        return [], {}
    scorer, workers = _one_a_thread(study.scorer)
    samples = study.samples[:limit]
    exact = study.table.importance("shapley")[: len(samples)].astype(np.float64)
    rows, failures = [], dict[str, str]()
    for method in methods:
        options = {"samples": LIME_SAMPLES, "seed": study.seed} if method == "lime" else {}
        key = {"model": study.model_hash, "method": method, "options": options}
        columns = [f"r{region}" for region in range(study.table.regions)]
        store = RowStore(study.cache, f"attribution-{method}", columns, key)
        try:
            failures |= store.fill(
                samples,
                _work(study, scorer, method, options),
                stage=method,
                workers=workers,
                progress=progress,
            )
        except AttributionError as error:
            failures[method] = f"{method}: {error}"
            continue
        values = store.array([sample.id for sample in samples])
        rows.append(_row(method, values, exact, seed=study.seed))
    return rows, failures


def _one_a_thread(scorer: Scorer) -> tuple[Callable[[], Scorer], int | None]:
    """The calling thread's scorer, and how many photographs may be worked on at once.

    Attribution hooks and switches the network while it works, so every thread has a copy; a
    network that cannot be copied works alone.
    """
    try:
        copy.deepcopy(scorer.net)
    except Exception:  # another's network may refuse in any way
        return lambda: scorer, 1
    own = threading.local()

    def mine() -> Scorer:
        if not hasattr(own, "scorer"):
            own.scorer = replace(scorer, net=copy.deepcopy(scorer.net))
        made: Scorer = own.scorer
        return made

    return mine, None


def _work(
    study: Study, scorer: Callable[[], Scorer], method: str, options: dict[str, Any]
) -> Callable[[Sample], Sequence[float]]:
    def work(sample: Sample) -> Sequence[float]:
        photograph = images.read(sample.path)
        found = attribute(
            method,
            scorer(),
            photograph,
            study.grid(sample),
            tokens=study.tokens(photograph.height, photograph.width),
            **options,
        )
        return [float(value) for value in found.regions]

    return work


def _row(method: str, values: Floats, exact: Floats, *, seed: int) -> Faithfulness:
    there = np.isfinite(values).all(axis=1)
    values, exact = values[there], exact[there]
    half = values.shape[1] // 2
    unsigned = method == "rollout"
    signed = np.full(len(values), np.nan) if unsigned else rowwise.spearman(values, exact)
    overlap = rowwise.jaccard(halves.top(values, half), halves.top(exact, half))
    return Faithfulness(
        method,
        int(there.sum()),
        resampling.mean(signed, seed=seed),
        resampling.mean(rowwise.spearman(np.abs(values), np.abs(exact)), seed=seed),
        resampling.mean(overlap, seed=seed),
    )
