"""Explain a metric from another library: which regions hold a photograph's detail.

``TotalVariation`` of torchmetrics is the sum of the differences between neighbouring pixels. A
pixel's share of it is a plain no-reference measure of detail (and of noise): blurred photographs
score low. Any torch module can take its place.

    pip install torchmetrics
    python examples/own_model.py [PHOTO]
"""

from __future__ import annotations

import sys
from pathlib import Path

from torch import Tensor, nn
from torchmetrics.functional.image import total_variation

import halfsight as hs


class Detail(nn.Module):
    """Mean difference between neighbouring pixels, in grey levels."""

    def forward(self, images: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in 0..255 to one number an image, (N,)."""
        pixels = images[0].numel()
        return total_variation(images, reduction="none") / pixels


def scorer() -> hs.Scorer:
    """The metric as halfsight sees it: what it wants to be given, and what its numbers mean."""
    return hs.wrap(Detail(), name="detail", std=1 / 255, size=(144, 192), scale=(0, 40))


PHOTO = Path(__file__).with_name("coffee.jpg")


def main(photo: str | Path = PHOTO) -> hs.Explanation:
    """Explain one photograph and print what decides its score."""
    result = hs.explain(scorer(), photo, masking="blur", masks=100, seed=0)
    errors = result.standard_errors
    print(f"score {result.score:.2f} on {result.scale.min:g} to {result.scale.max:g}")
    for region, value in enumerate(result.importance):
        row, col = divmod(region, result.grid.cols)
        error = "" if errors is None else f" +- {errors[region]:.3f}"
        half = "important" if region in result.important else ""
        print(f"row {row + 1} column {col + 1}: {value:.3f}{error} {half}")
    print(f"important half blurred: {result.score_important_masked:.2f}")
    print(f"trivial half blurred: {result.score_trivial_masked:.2f}")
    return result


if __name__ == "__main__":
    main(*sys.argv[1:2])
