"""The figure of an explanation: photograph, importance, important half, trivial half."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

if TYPE_CHECKING:
    from halfsight.explanation import Explanation

LONGEST = 1024
"""Longest side in pixels of the photograph as shown."""

Pixels = npt.NDArray[np.uint8]


def shown(pixels: Pixels, *, longest: int = LONGEST) -> Pixels:
    """The photograph (H, W, 3), reduced so that its longer side is at most ``longest``."""
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def importance_colours(values: npt.NDArray[np.floating], *, signed: bool) -> tuple[Any, Any]:
    """A colour-blind safe map and the scale of its values: diverging about 0 when signed."""
    if signed:
        reach = float(np.abs(values).max()) or 1.0
        return colormaps["PuOr"], TwoSlopeNorm(0, -reach, reach)
    low, high = float(values.min()), float(values.max())
    return colormaps["viridis"], Normalize(low, high if high > low else low + 1)


def draw(explanation: Explanation) -> Figure:
    """Four panels side by side; below portrait photographs they stand closer."""
    picture = shown(np.asarray(explanation.photograph.pixels))
    height, width = picture.shape[:2]
    boxes = explanation.grid.boxes(height, width, tokens=explanation.tokens)
    panel = 3.6
    figure = Figure(
        figsize=(4 * panel, panel * height / width + 0.75), dpi=110, layout="constrained"
    )
    axes = figure.subplots(1, 4)
    for ax in axes:
        ax.set_axis_off()
    scale = explanation.scale
    axes[0].imshow(picture)
    axes[0].set_title(f"score {explanation.score:.2f} of {scale.min:g} to {scale.max:g}")
    _heat(axes[1], picture, explanation, boxes)
    _half(axes[2], picture, boxes, explanation.important)
    axes[2].set_title(f"important half (without it {explanation.score_important_masked:.2f})")
    _half(axes[3], picture, boxes, explanation.trivial)
    axes[3].set_title(f"trivial half (without it {explanation.score_trivial_masked:.2f})")
    return figure


def _heat(
    ax: Axes, picture: Pixels, explanation: Explanation, boxes: npt.NDArray[np.int64]
) -> None:
    signed = explanation.criterion == "shapley"
    colours, norm = importance_colours(explanation.importance, signed=signed)
    grey = np.repeat(picture.mean(-1, keepdims=True), 3, -1).astype(np.uint8)
    ax.imshow(grey)
    for value, (top, left, bottom, right) in zip(explanation.importance, boxes, strict=True):
        colour = colours(norm(value))
        ax.add_patch(
            Rectangle(
                (left - 0.5, top - 0.5),
                right - left,
                bottom - top,
                facecolor=(*colour[:3], 0.62),
                edgecolor="white",
                linewidth=0.8,
            )
        )
        ax.text(
            (left + right) / 2,
            (top + bottom) / 2,
            f"{value:.3f}" if not signed else f"{value:+.3f}",
            ha="center",
            va="center",
            fontsize=9,
            color="white",
            bbox={"boxstyle": "round,pad=0.15", "facecolor": (0, 0, 0, 0.45), "edgecolor": "none"},
        )
    ax.set_title(f"importance ({explanation.criterion})")


def _half(ax: Axes, picture: Pixels, boxes: npt.NDArray[np.int64], kept: Iterable[int]) -> None:
    dimmed = np.full_like(picture, 235)
    for region in kept:
        top, left, bottom, right = boxes[region]
        dimmed[top:bottom, left:right] = picture[top:bottom, left:right]
    ax.imshow(dimmed)
