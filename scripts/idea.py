"""Make the pictures of docs/idea.md from the bundled photograph: python scripts/idea.py."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

import halfsight as hs
from halfsight import coalitions

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "images"
MASKS = (0, 0b000000000011, 0b111100000000, 0b000001100110, 0b101010101010, 0b111111011111)
GREY = 0.18


def show(axes: Axes, pixels: np.ndarray, title: str = "") -> None:
    """One picture without ticks."""
    axes.imshow(pixels)
    axes.set_axis_off()
    axes.set_title(title, fontsize=10, loc="left")


def hidden(result: hs.Explanation, mask: int) -> np.ndarray:
    """The photograph with the regions of a mask darkened."""
    pixels = np.asarray(result.photograph.pixels).copy()
    for region in coalitions.regions_of(mask, len(result.grid)):
        top, left, bottom, right = result.boxes()[region]
        pixels[top:bottom, left:right] = pixels[top:bottom, left:right] * GREY
    return pixels


def lines(axes: Axes, result: hs.Explanation) -> None:
    """The grid, over a picture."""
    for top, left, bottom, right in result.boxes():
        axes.add_patch(
            Rectangle((left, top), right - left, bottom - top, fill=False, ec="white", lw=1)
        )


def save(figure: plt.Figure, name: str) -> None:
    """A PNG of moderate size."""
    figure.savefig(OUT / name, dpi=90, bbox_inches="tight", facecolor="white")
    plt.close(figure)


def main() -> None:
    """All four pictures."""
    OUT.mkdir(parents=True, exist_ok=True)
    result = hs.explain(hs.load("triq"), ROOT / "examples" / "coffee.jpg")
    pixels = np.asarray(result.photograph.pixels)

    figure, axes = plt.subplots(figsize=(6, 4))
    show(axes, pixels)
    lines(axes, result)
    for region, (top, left, bottom, right) in enumerate(result.boxes()):
        place = (left + right) / 2, (top + bottom) / 2
        axes.text(*place, str(region), color="white", ha="center", va="center", fontsize=13)
    save(figure, "idea-grid.png")

    figure, grid = plt.subplots(2, 3, figsize=(9, 4.6))
    for axes, mask in zip(grid.flat, MASKS, strict=True):
        count = len(coalitions.regions_of(mask, 12))
        title = f"{count} hidden: {result.table[mask]:.2f}" if mask else f"all: {result.score:.2f}"
        show(axes, hidden(result, mask), title)
    figure.tight_layout()
    save(figure, "idea-masks.png")

    figure, axes = plt.subplots(figsize=(6, 4))
    show(axes, pixels)
    heat = axes.imshow(result.maps["importance"], cmap="magma", alpha=0.6)
    lines(axes, result)
    figure.colorbar(heat, ax=axes, shrink=0.7, label=f"importance ({result.criterion})")
    save(figure, "idea-importance.png")

    figure, grid = plt.subplots(1, 2, figsize=(9, 3.2))
    for axes, regions, name in zip(
        grid, (result.trivial, result.important), ("trivial", "important"), strict=True
    ):
        mask = coalitions.index_of(regions)
        change = result.table[mask] - result.score
        show(axes, hidden(result, mask), f"{name} half hidden: {change:+.2f}")
    figure.tight_layout()
    save(figure, "idea-halves.png")


if __name__ == "__main__":
    main()
