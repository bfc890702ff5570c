"""Further maps of a photograph as a page shows them: a picture, one value a region, the match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from halfsight.formats import one_line
from halfsight.matching import matching_counts
from halfsight.report import embed

if TYPE_CHECKING:
    from halfsight.explanation import Explanation

KNOWN: dict[str, tuple[str, str]] = {
    "saliency": ("Saliency", "how strongly a region draws the eye"),
    "frequency": ("Spatial frequency", "contrast energy, weighted by what the eye can see of it"),
    "objectness": ("Objectness", "how likely pixels belong to an object"),
    "averaged": (
        "Averaged measures",
        "mean of saliency, spatial frequency and objectness, each from 0 to 1 over the regions",
    ),
    "lime": (
        "LIME",
        "how much the score rises when a segment is there, by a linear model of random masks",
    ),
    "gradcam": (
        "Grad-CAM",
        "channels of the last feature map by the score's gradient; positive where it would rise",
    ),
    "rollout": (
        "Attention rollout",
        "how much attention reaches the quality token; it says nothing of the score",
    ),
}
"""Title and meaning of the maps that the package itself makes."""


@dataclass(frozen=True)
class Overlay:
    """One map, ready for a page.

    Attributes:
        title: what people call it.
        meaning: what its values are, in words; empty if unknown.
        picture: PNG as a ``data:`` address.
        low: value of the picture's first colour.
        high: value of its last.
        colours: which scale, ``signed`` or ``unsigned``.
        values: one value a region.
        highest: as many regions as the important half has, those with the highest values; by
            magnitude where values have a sign.
        matching: how many of them are important (M of the paper).
    """

    title: str
    meaning: str
    picture: str
    low: float
    high: float
    colours: str
    values: tuple[float, ...]
    highest: tuple[int, ...]
    matching: int


def overlays(explanation: Explanation) -> list[Overlay]:
    """The further maps of an explanation, in their order."""
    side = embed.map_side(len(explanation.overlays))
    return [
        _overlay(explanation, name, np.asarray(values), side)
        for name, values in explanation.overlays.items()
    ]


def chance(explanation: Explanation) -> float:
    """Matching of a map that ranks the regions at random, on average."""
    half = len(explanation.important)
    return half * half / len(explanation.grid)


def _overlay(
    explanation: Explanation, name: str, image_map: npt.NDArray[np.floating], side: int
) -> Overlay:
    title, meaning = KNOWN.get(name, (one_line(name), ""))
    png, low, high = embed.map_png(image_map, side=side)
    if name in explanation.also:
        values = np.asarray(explanation.also[name].regions, dtype=np.float64)
    else:
        found = explanation.grid.aggregate(image_map, tokens=explanation.tokens)
        values = np.asarray(found, dtype=np.float64)
    magnitude = np.abs(values)  # as importance ranks: what lowers the score counts as much
    order = np.argsort(-magnitude, kind="stable")  # ties as in matching.py
    matching = matching_counts(magnitude[None], np.array([explanation.important]))
    return Overlay(
        title=title,
        meaning=meaning,
        picture=embed.data_uri(png, "image/png"),
        low=low,
        high=high,
        colours="signed" if low < 0 else "unsigned",
        values=tuple(float(value) for value in values),
        highest=tuple(sorted(int(i) for i in order[: len(explanation.important)])),
        matching=int(matching[0]),
    )
