"""The figure of an explanation: photograph, importance, important half, trivial half."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from halfsight import importance
from halfsight.report.words import TITLES, digits, number

if TYPE_CHECKING:
    from halfsight.explanation import Explanation

LONGEST = 1024
"""Longest side in pixels of the photograph as shown."""

WIDE, NARROW = 4.4, 2.9
"""Width in inches of a panel: of landscape photographs, two in a row; of portraits, four."""
TALLEST = 8.0
"""Height in inches that no panel exceeds."""
ABOVE, GAP, EDGE = 0.56, 0.16, 0.1
"""Inches above a panel for its title, between panels, and around them all."""
TRIM = 0.1
"""Share of the colour map left out at either end, where it is too dark to see through."""
TEXT, QUIET, HIDDEN = "#1b2023", "#566067", 228
"""Colours of words, of further words, and (grey, 0 to 255) of what a half leaves out."""

Pixels = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.int64]


def shown(pixels: Pixels, *, longest: int = LONGEST) -> Pixels:
    """The photograph (H, W, 3), reduced so that its longer side is at most ``longest``."""
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def importance_colours(values: npt.NDArray[np.floating], *, signed: bool) -> tuple[Any, Any]:
    """A colour-blind safe map and the scale of its values: diverging about 0 when signed.

    Values without a sign take the upper half of the colours, as on the page, so that more is
    always the same.
    """
    start = TRIM if signed else 0.5
    stops = colormaps["BrBG"](np.linspace(start, 1 - TRIM, 11))
    colours = LinearSegmentedColormap.from_list("importance", stops)
    if signed:
        reach = float(np.abs(values).max()) or 1.0
        return colours, TwoSlopeNorm(0, -reach, reach)
    low, high = float(values.min()), float(values.max())
    return colours, Normalize(low, high if high > low else low + 1)


def draw(explanation: Explanation) -> Figure:
    """Four panels: two rows of two, or side by side where the photograph stands upright."""
    picture = shown(np.asarray(explanation.photograph.pixels))
    height, width = picture.shape[:2]
    boxes = explanation.grid.boxes(height, width, tokens=explanation.tokens)
    scale, score = explanation.scale, explanation.score
    decimals = digits(scale.max - scale.min)
    figure, (photograph, heat, important, trivial) = _panels(height, width)

    def without(value: float) -> str:
        change = number(value - score, decimals, signed=True)
        return f"score without it: {number(value, decimals)} ({change})"

    photograph.imshow(picture)
    _heat(heat, picture, explanation, boxes)
    _half(important, picture, boxes, explanation.important)
    _half(trivial, picture, boxes, explanation.trivial)
    _title(
        photograph,
        f"Score {number(score, decimals)}",
        f"on a scale from {scale.min:g} to {scale.max:g}",
    )
    kind = " (estimated)" if explanation.estimated else ""
    _title(heat, f"Importance{kind}", TITLES[explanation.criterion])
    _title(important, "Important half", without(explanation.score_important_masked))
    _title(trivial, "Trivial half", without(explanation.score_trivial_masked))
    return figure


def _panels(height: int, width: int) -> tuple[Figure, list[Axes]]:
    """A figure with four empty panels in the photograph's proportions, room for titles above."""
    rows, cols, panel = (1, 4, NARROW) if height > width else (2, 2, WIDE)
    panel = min(panel, TALLEST * width / height)
    tall = panel * height / width
    across, down = cols * (panel + GAP) - GAP + 2 * EDGE, rows * (tall + ABOVE + GAP) - GAP + EDGE
    figure = Figure(figsize=(across, down), dpi=110)
    axes = []
    for row in range(rows):
        for col in range(cols):
            left = EDGE + col * (panel + GAP)
            top = row * (tall + ABOVE + GAP) + ABOVE
            place = left / across, 1 - (top + tall) / down, panel / across, tall / down
            axes.append(figure.add_axes(place))
            axes[-1].set_axis_off()
    return figure, axes


def _title(ax: Axes, title: str, further: str) -> None:
    """Two lines above a panel."""
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    ax.annotate(title, (0, 1), (0, 22), fontsize=12, fontweight="bold", color=TEXT, **place)
    ax.annotate(further, (0, 1), (0, 7), fontsize=10, color=QUIET, **place)


def _heat(ax: Axes, picture: Pixels, explanation: Explanation, boxes: Boxes) -> None:
    values = explanation.importance
    signed = explanation.criterion == "shapley"
    colours, norm = importance_colours(values, signed=signed)
    places = importance.decimals(values)
    grey = np.repeat(picture.mean(-1, keepdims=True), 3, -1).astype(np.uint8)
    ax.imshow(grey)
    for region, (top, left, bottom, right) in enumerate(boxes):
        ax.add_patch(
            Rectangle(
                (left - 0.5, top - 0.5),
                right - left,
                bottom - top,
                facecolor=(*colours(norm(values[region]))[:3], 0.62),
                edgecolor="white",
                linewidth=0.8,
            )
        )
        text = number(float(values[region]), places, signed=signed)
        if explanation.standard_errors is not None:
            text += f"\n±{explanation.standard_errors[region]:.{places}f}"
        ax.text(
            (left + right) / 2,
            (top + bottom) / 2,
            text,
            ha="center",
            va="center",
            fontsize=9.5,
            color="white",
            bbox={
                "boxstyle": "round,pad=0.25",
                "facecolor": (0, 0, 0, 0.6),
                "edgecolor": "white" if region in explanation.important else "none",
                "linewidth": 1.4,
            },
        )


def _half(ax: Axes, picture: Pixels, boxes: Boxes, kept: Iterable[int]) -> None:
    dimmed = np.full_like(picture, HIDDEN)
    for region in kept:
        top, left, bottom, right = boxes[region]
        dimmed[top:bottom, left:right] = picture[top:bottom, left:right]
    ax.imshow(dimmed)
