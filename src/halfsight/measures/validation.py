"""Saliency measures against where people looked: OSIE, with the centre bias as control."""

from __future__ import annotations

import csv
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.integrate import trapezoid
from scipy.stats import spearmanr

from halfsight import images
from halfsight.datasets import osie
from halfsight.grid import RegionGrid
from halfsight.measures import registry
from halfsight.measures.base import (
    Measure,
    MeasureError,
    RegionArray,
    for_image,
)
from halfsight.measures.saliency import CentreBias

Mask = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]

SIGMA = 24.0
"""Blur of the fixations in pixels of OSIE's 800 x 600 images: the kernel of the data set's authors
(their ``config.m``), about one degree at their viewing distance."""


@dataclass(frozen=True)
class SaliencyRow:
    """How well one measure predicts the viewers; means over images, ``_se`` their standard errors.

    Attributes:
        measure: its name.
        images: how many.
        nss: normalised scanpath saliency: mean of the z-scored map at the fixated pixels.
        nss_se: its standard error.
        auc_judd: area under the curve of fixated against other pixels.
        auc_judd_se: its standard error.
        cc: Pearson correlation of the map and the blurred fixations.
        cc_se: its standard error.
        region_srocc: Spearman correlation, over the regions of the 3x4 grid, of the map's means and
            the blurred fixations' means.
        region_matches: how many of the measure's six highest regions are among the viewers' six
            (3 by chance).
        beats_centre: share of the images on which its NSS is above the centre bias's.
        seconds: median time an image.
    """

    measure: str
    images: int
    nss: float
    nss_se: float
    auc_judd: float
    auc_judd_se: float
    cc: float
    cc_se: float
    region_srocc: float
    region_matches: float
    beats_centre: float
    seconds: float


def nss(image_map: npt.ArrayLike, fixated: Mask) -> float:
    """Normalised scanpath saliency (Peters et al., Vision Research 45, 2005).

    Args:
        image_map: shape (height, width).
        fixated: shape (height, width), true at the pixels looked at; at least one.

    Returns:
        mean z-score of the map at those pixels; 0 for a constant map.
    """
    values = np.asarray(image_map, dtype=np.float64)
    spread = values.std()
    return float((values[fixated].mean() - values.mean()) / spread) if spread > 0 else 0.0


def auc_judd(image_map: npt.ArrayLike, fixated: Mask) -> float:
    """Area under the ROC curve with a threshold at each fixated value (Judd et al., ICCV 2009).

    Args:
        image_map: shape (height, width).
        fixated: shape (height, width), true at some but not all pixels.

    Returns:
        0..1; 0.5 for a constant map. Equal values count half, where the authors add noise.
    """
    values = np.asarray(image_map, dtype=np.float64)
    hits, others = np.sort(values[fixated]), np.sort(values[~fixated])
    thresholds = hits[::-1]
    caught = 1 - np.searchsorted(hits, thresholds, side="left") / hits.size
    alarms = 1 - np.searchsorted(others, thresholds, side="left") / others.size
    return float(trapezoid(np.concatenate(([0], caught, [1])), np.concatenate(([0], alarms, [1]))))


def correlation(image_map: npt.ArrayLike, density: npt.ArrayLike) -> float:
    """Pearson correlation over the pixels (CC); 0 if either map is constant."""
    first = np.asarray(image_map, dtype=np.float64).ravel()
    second = np.asarray(density, dtype=np.float64).ravel()
    first, second = first - first.mean(), second - second.mean()
    norm = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / norm) if norm > 0 else 0.0


def fixated_pixels(x: npt.ArrayLike, y: npt.ArrayLike, *, size: tuple[int, int]) -> Mask:
    """Pixels that were looked at, those off the image moved to its border.

    Args:
        x: pixels from the left edge, shape (n,).
        y: pixels from the top edge, shape (n,).
        size: (height, width) of the image.

    Returns:
        bool array of shape (height, width).
    """
    height, width = size
    mask = np.zeros(size, dtype=np.bool_)
    rows = np.clip(np.floor(np.asarray(y)).astype(np.int64), 0, height - 1)
    cols = np.clip(np.floor(np.asarray(x)).astype(np.int64), 0, width - 1)
    mask[rows, cols] = True
    return mask


def fixation_density(fixated: Mask, *, sigma: float = SIGMA) -> Float64:
    """Fixated pixels blurred with a Gaussian of ``sigma`` pixels, shape (height, width)."""
    return np.asarray(
        cv2.GaussianBlur(fixated.astype(np.float64), (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    )


def validate_saliency(
    root: str | Path,
    measures: Sequence[str | Measure] | None = None,
    *,
    limit: int | None = None,
    sigma: float = SIGMA,
    progress: Callable[[int, int], None] | None = None,
) -> list[SaliencyRow]:
    """Compare measures with the fixations of OSIE.

    Args:
        root: folder of the data set, as in :func:`halfsight.datasets.osie.load`.
        measures: names or measures; None takes every saliency measure that loads here.
        limit: use only this many images.
        sigma: blur of the fixations, in pixels.
        progress: called with (images done, images in all).

    Returns:
        a row a measure, the best NSS first; the centre bias is always among them.

    Raises:
        MeasureError: if a named measure does not load, or fewer than two images are used.
        halfsight.datasets.base.DatasetError: if the data set is not there.
    """
    chosen = _chosen(measures)
    data = osie.load(root)
    samples = data.samples[:limit]
    if len(samples) < 2:
        raise MeasureError(f"got {len(samples)} images, expected at least 2 for standard errors")
    scores = np.empty((len(chosen), len(samples), 5))
    seconds = np.empty((len(chosen), len(samples)))
    for column, sample in enumerate(samples):
        pixels = np.asarray(images.read(sample.path).pixels)
        gaze = data.fixations(sample.id)
        fixated = fixated_pixels(gaze.x, gaze.y, size=pixels.shape[:2])
        density = fixation_density(fixated, sigma=sigma)
        for row, measure in enumerate(chosen):
            started = time.perf_counter()
            found = for_image(measure, sample.id)(pixels)
            seconds[row, column] = time.perf_counter() - started
            scores[row, column] = _scores(found, fixated, density)
        if progress:
            progress(column + 1, len(samples))
    centre = next(i for i, measure in enumerate(chosen) if isinstance(measure, CentreBias))
    rows = [
        _row(measure.name, scores[i], scores[centre], seconds[i])
        for i, measure in enumerate(chosen)
    ]
    return sorted(rows, key=lambda row: -row.nss)


def save_rows(
    rows: Sequence[SaliencyRow], folder: str | Path, *, command: str, sigma: float = SIGMA
) -> list[Path]:
    """Write the comparison as ``saliency.csv`` and ``saliency.json``.

    Args:
        rows: of :func:`validate_saliency`.
        folder: created if missing; files of these names in it are replaced.
        command: what produced the rows, kept in the JSON.
        sigma: blur of the fixations that was used, in pixels.

    Returns:
        the two files.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    table, document = target / "saliency.csv", target / "saliency.json"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(SaliencyRow)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    packages = ("halfsight", "numpy", "scipy", "opencv-contrib-python-headless")
    content: dict[str, Any] = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "data": {"name": osie.INFO.title, "source": osie.INFO.source, "licence": osie.INFO.licence},
        "fixation_blur_pixels": sigma,
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
        "cards": {
            row.measure: asdict(registry.info(row.measure))
            for row in rows
            if row.measure in registry.names()
        },
        "rows": [asdict(row) for row in rows],
    }
    document.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return [table, document]


def _chosen(measures: Sequence[str | Measure] | None) -> list[Measure]:
    """The measures to compare, loaded, the centre bias among them."""
    if measures is None:
        measures = [
            card["name"]
            for card in registry.cards()
            if card["kind"] == "saliency" and card["available"]
        ]
    chosen = [registry.load(one) if isinstance(one, str) else one for one in measures]
    if not any(isinstance(one, CentreBias) for one in chosen):
        chosen.append(CentreBias())
    return chosen


def _scores(found: npt.ArrayLike, fixated: Mask, density: Float64) -> Float64:
    """NSS, AUC-Judd, CC, Spearman over regions, matches of the highest half; shape (5,)."""
    image_map = np.asarray(found, dtype=np.float64)
    grid = RegionGrid().oriented(*fixated.shape)
    here, there = (np.asarray(grid.aggregate(one), np.float64) for one in (image_map, density))
    constant = here.max() == here.min()
    return np.array(
        [
            nss(image_map, fixated),
            auc_judd(image_map, fixated),
            correlation(image_map, density),
            0.0 if constant else spearmanr(here, there).statistic,
            len(_highest_half(here) & _highest_half(there)),
        ]
    )


def _highest_half(values: RegionArray) -> set[int]:
    """Indices of the highest half, ties by index."""
    return set(np.argsort(-values, kind="stable")[: len(values) // 2].tolist())


def _row(name: str, scores: Float64, centre: Float64, seconds: Float64) -> SaliencyRow:
    """Means and standard errors over the images."""
    mean = scores.mean(axis=0)
    error = scores.std(axis=0, ddof=1) / np.sqrt(len(scores))
    return SaliencyRow(
        measure=name,
        images=len(scores),
        nss=float(mean[0]),
        nss_se=float(error[0]),
        auc_judd=float(mean[1]),
        auc_judd_se=float(error[1]),
        cc=float(mean[2]),
        cc_se=float(error[2]),
        region_srocc=float(mean[3]),
        region_matches=float(mean[4]),
        beats_centre=float(np.mean(scores[:, 0] > centre[:, 0])),
        seconds=float(np.median(seconds)),
    )
