"""Other views of an explained photograph: the semantic measures, LIME, Grad-CAM, rollout.

Each gives the explanation one more map and one more value a region, on the regions it has, so that
they can be laid beside the exact importance.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from halfsight.attribution import registry as attribution
from halfsight.attribution.base import AttributionError
from halfsight.explanation import Explanation, Further
from halfsight.grid import GridError
from halfsight.measures import registry as measures
from halfsight.measures.base import CellMeasure, MeasureError, check_pixels, region_values
from halfsight.models.external import ModelError
from halfsight.scorer import Scorer

CHEAP = ("saliency", "frequency", "objectness", "gradcam", "rollout")
"""Those that take about a second together. LIME takes a hundred passes of the network."""

LONGEST = 1024
"""Longer side in pixels that maps of larger photographs are averaged down to."""


class AlsoError(ValueError):
    """A measure or method that is unknown, or that fails for a photograph or a model."""


def names() -> tuple[str, ...]:
    """Names of all attribution methods and measures."""
    return (*attribution.names(), *measures.names())


def check(wanted: Iterable[str]) -> tuple[str, ...]:
    """The names, each once.

    Raises:
        AlsoError: names the first that is unknown.
    """
    known = names()
    chosen = tuple(dict.fromkeys(wanted))
    for name in chosen:
        if name not in known:
            raise AlsoError(f"got {name!r}, expected some of {', '.join(known)}")
    return chosen


def add(
    result: Explanation, model: Scorer, wanted: Iterable[str] = CHEAP, *, skip: bool = False
) -> Explanation:
    """The explanation with the maps and region values of measures and attribution methods.

    Args:
        result: an explanation of ``model``.
        model: the model.
        wanted: any of :func:`names`.
        skip: leave out what cannot be had here or from this model, instead of failing.

    Returns:
        The explanation; its ``overlays`` and ``also`` have an entry a name.

    Raises:
        AlsoError: names what is unknown or failed.

    Example:
        >>> import halfsight as hs
        >>> model = hs.load("triq")
        >>> result = hs.explain(model, "examples/coffee.jpg")
        >>> result = add(result, model, ["gradcam", "saliency"])
        >>> result.also["gradcam"].regions.shape
        (12,)
    """
    for name in check(wanted):
        try:
            view = _attribution if name in attribution.names() else _measure
            values, found = view(result, model, name)
        except (AttributionError, MeasureError, ModelError, GridError) as error:
            if skip:
                continue
            raise AlsoError(f"{name}: {error}") from error
        result = replace(
            result.with_maps({name: shrunk(values)}), also={**result.also, name: found}
        )
    return result


def _attribution(
    result: Explanation, model: Scorer, name: str
) -> tuple[npt.NDArray[np.floating], Further]:
    found = attribution.attribute(
        name,
        model,
        result.photograph,
        result.grid,
        tokens=result.tokens,
        target=model.net.scores,  # in units of the model's scale
    )
    return found.map, Further(found.regions, found.seconds, found.options)


def _measure(
    result: Explanation, model: Scorer, name: str
) -> tuple[npt.NDArray[np.floating], Further]:
    started = time.perf_counter()
    measure = measures.load(name)
    pixels = np.asarray(result.photograph.pixels)
    height, width = check_pixels(pixels)
    values = np.asarray(measure(pixels), dtype=np.float32)
    if values.shape != (height, width) or not np.isfinite(values).all():
        raise MeasureError(
            f"got an answer of shape {values.shape} from measure {measure.name!r}, expected finite "
            f"values of shape {(height, width)}"
        )
    if isinstance(measure, CellMeasure):
        regions = region_values(measure, pixels, result.grid, tokens=result.tokens)
    else:
        regions = np.asarray(result.grid.aggregate(values, tokens=result.tokens), np.float64)
    options = {"measure": measure.name, "how": "mean"}
    return values, Further(regions, time.perf_counter() - started, options)


def shrunk(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """A map with its longer side at most :data:`LONGEST` pixels, averaged down to it."""
    height, width = values.shape
    scale = LONGEST / max(height, width)
    small = np.asarray(values, dtype=np.float32)
    if scale >= 1:
        return small
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
