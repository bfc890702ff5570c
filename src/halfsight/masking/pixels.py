"""Hiding regions in the pixels: for models of any kind (METHOD section 4)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from halfsight import coalitions
from halfsight.grid import IntArray, RegionGrid
from halfsight.masking.base import Answers, Masker, Progress, Subject

if TYPE_CHECKING:
    from halfsight.images import Photograph
    from halfsight.scorer import Scorer

Fill = Literal["zero", "mean", "blur", "zero-normalised"]
FILLS: tuple[Fill, ...] = get_args(Fill)

BLUR = 1 / 32
"""Standard deviation of the blur, in longer sides of the photograph: an eighth of a region."""

BATCH_PIXELS = 250_000
"""Pixels that go through the network at once: five images of 224x224, or one of 500x500 and more.

On a processor more of them at once take longer: four images of 500x500 half as long again.
"""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PixelMasker(Masker):
    """Puts something else in place of the pixels of a region.

    Regions are filled in the photograph at its own size, which is then brought to the network's
    input as any photograph is: zero first, then resize. ``zero-normalised`` fills the network's
    input instead, after resizing and normalisation.

    Attributes:
        fill: ``zero`` is black; ``mean`` the photograph's mean colour; ``blur`` the photograph
            itself under a heavy Gaussian; ``zero-normalised`` zero after normalisation, which for
            most networks is the mean colour of their training images.
        tokens: (rows, cols) of a token map to cut the regions on, so that they are those of
            another model; None takes the model's own if it has one, and cuts the pixels otherwise.
    """

    fill: Fill = "zero"
    tokens: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.fill not in FILLS:
            raise ValueError(f"got fill {self.fill!r}, expected one of {', '.join(FILLS)}")

    @property
    def name(self) -> str:
        """The fill."""
        return self.fill

    def subject(
        self, scorer: Scorer, photograph: Photograph, grid: RegionGrid, *, tensor: Tensor
    ) -> Subject:
        """Prepare one photograph.

        Raises:
            GridError: if a region would have no pixel.
        """
        tokens = self.tokens or scorer.token_shape(tensor)
        kind = _Normalised if self.fill == "zero-normalised" else _Painted
        return kind(scorer, photograph, grid, tokens=tokens, tensor=tensor, fill=self.fill)


class _Filled(Subject):
    """A photograph whose regions are filled in, mask after mask, and scored in batches."""

    def __init__(
        self,
        scorer: Scorer,
        photograph: Photograph,
        grid: RegionGrid,
        *,
        tokens: tuple[int, int] | None,
        tensor: Tensor,
        fill: Fill,
    ) -> None:
        self.scorer = scorer
        self.grid = grid
        self.tokens = tokens
        self.seconds = {}
        self.pixels: Pixels = np.asarray(photograph.pixels)
        self.tensor = tensor
        self.filling = filling(self.pixels, fill)
        height, width = self.sides()
        self.boxes = grid.boxes(height, width, tokens=tokens)
        self.chunk = at_once(tensor)

    @abstractmethod
    def sides(self) -> tuple[int, int]:
        """(height, width) that the regions are cut on."""

    @abstractmethod
    def masked(self, regions: tuple[int, ...]) -> Tensor:
        """The network's input (1, 3, H, W) with these regions filled."""

    @torch.inference_mode()
    def answer(self, masks: IntArray, progress: Progress | None = None) -> Answers:
        """The model's answers with the regions of each bit set in ``masks`` (M,) filled."""
        net, n = self.scorer.net, len(self.grid)
        outputs = []
        for start in range(0, len(masks), self.chunk):
            part = masks[start : start + self.chunk]
            batch = torch.cat([self.masked(coalitions.regions_of(int(m), n)) for m in part])
            outputs.append(net(batch).float().cpu())
            if progress is not None:
                progress(start + len(part), len(masks))
        return as_answers(self.scorer, torch.cat(outputs))


class _Painted(_Filled):
    """Regions are filled in the photograph, before it is resized."""

    def sides(self) -> tuple[int, int]:
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])

    def masked(self, regions: tuple[int, ...]) -> Tensor:
        painted = self.pixels.copy()
        for top, left, bottom, right in self.boxes[list(regions)]:
            painted[top:bottom, left:right] = self.filling[top:bottom, left:right]
        return self.scorer.policy.prepare(painted).tensor


class _Normalised(_Filled):
    """Regions are set to zero in the network's input."""

    def sides(self) -> tuple[int, int]:
        return int(self.tensor.shape[-2]), int(self.tensor.shape[-1])

    def masked(self, regions: tuple[int, ...]) -> Tensor:
        filled = self.tensor.clone()
        for top, left, bottom, right in self.boxes[list(regions)]:
            filled[..., top:bottom, left:right] = 0
        return filled


def at_once(tensor: Tensor) -> int:
    """How many inputs like this one (..., H, W) go through the network at once."""
    return max(1, BATCH_PIXELS // (int(tensor.shape[-2]) * int(tensor.shape[-1])))


def filling(pixels: Pixels, fill: Fill) -> Pixels:
    """What takes the place of the photograph's pixels, uint8 (H, W, 3)."""
    if fill == "mean":
        colour = np.floor(pixels.reshape(-1, 3).mean(0) + 0.5).astype(np.uint8)
        return np.broadcast_to(colour, pixels.shape)
    if fill == "blur":
        radius = BLUR * max(pixels.shape[:2])
        return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))
    return np.broadcast_to(np.uint8(0), pixels.shape)


def as_answers(scorer: Scorer, output: Tensor) -> Answers:
    """A network's output, (M, K) probabilities or (M,) scores, as answers."""
    scores = scorer.net.scores(output).numpy().astype(np.float32)
    return Answers(scores, output.numpy().astype(np.float32) if output.ndim == 2 else None)
