"""Copies of training photographs made worse step by step, whose scores have to fall.

Photographs from the wild hold few examples of plain noise or compression, and none of the same
photograph before and after. A network tuned on their opinions alone may score heavy noise as well
as light one.

Source: Liu, van de Weijer & Bagdanov, RankIQA, ICCV 2017, arXiv 1707.08347. The margin that grows
with the photograph's own score is ours: what is bad already cannot fall far.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from halfsight import images
from halfsight.datasets.base import Dataset, Sample
from halfsight.training.cache import FeatureCache, Progress, store

Pixels = npt.NDArray[np.uint8]

KINDS = ("noise", "blur", "compression")
RUNGS = 3
"""Worse copies of a photograph."""


def worse(pixels: Pixels, kind: str, severity: float, seed: Sequence[int]) -> Pixels:
    """A copy of a photograph with one defect.

    Args:
        pixels: (height, width, 3).
        kind: ``noise``: Gaussian, standard deviation 10 to 80 of 255; ``blur``: Gaussian, standard
            deviation 0.8 to 4.8 pixels; ``compression``: JPEG of quality 50 to 4.
        severity: 0 to 1; the scale in between is geometric.
        seed: of the noise.

    Raises:
        KeyError: for another kind.
    """
    if kind == "noise":
        noise = np.random.default_rng(seed).normal(0, 10 * 8**severity, pixels.shape)
        return (pixels + noise).clip(0, 255).round().astype(np.uint8)
    picture = Image.fromarray(pixels)
    if kind == "blur":
        return np.asarray(picture.filter(ImageFilter.GaussianBlur(0.8 * 6**severity)))
    if kind == "compression":
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=round(50 / 12.5**severity))
        return np.asarray(Image.open(stream).convert("RGB"))
    raise KeyError(kind)


class Ladders:
    """Cached features of photographs and their worse copies.

    Which photograph meets which defect, and how severe it is, depends on the seed alone.

    Args:
        sets: data sets to draw from.
        cache: features of the photographs themselves; those of the copies lie beside them.
        count: photographs drawn.
        seed: of the draw.
    """

    def __init__(
        self, sets: Sequence[Dataset], cache: FeatureCache, *, count: int, seed: int
    ) -> None:
        every = [(one, sample) for one in sets for sample in one]
        order = np.random.default_rng((seed, 1)).permutation(len(every))[:count]
        self.items: list[tuple[Dataset, Sample]] = [every[int(place)] for place in order]
        self.cache = cache
        self.seed = seed

    def __len__(self) -> int:
        return len(self.items)

    def kind(self, index: int) -> str:
        """Defect of a photograph's copies."""
        return KINDS[index % len(KINDS)]

    def _path(self, index: int, rung: int) -> Path:
        dataset, sample = self.items[index]
        name = f"{self.kind(index)}-{self.seed}-{index}-{rung}"
        return self.cache.folder / "ladder" / dataset.name / sample.id / f"{name}.npy"

    def fill(self, progress: Progress | None = None) -> int:
        """Compute what is missing; returns the number of photographs computed."""
        missing = [i for i in range(len(self)) if not self._path(i, RUNGS - 1).exists()]
        for done, index in enumerate(missing, 1):
            dataset, sample = self.items[index]
            self.cache.fill(dataset, [sample])
            pixels = images.read(sample.path).pixels
            start = np.random.default_rng((self.seed, index)).random()
            for rung in range(RUNGS):
                severity = (start + rung) / RUNGS
                copy = worse(pixels, self.kind(index), severity, (self.seed, index, rung))
                store(self._path(index, rung), self.cache.compute(copy))
            if progress is not None:
                progress(done, len(missing))
        return len(missing)

    def __getitem__(self, index: int) -> Tensor:
        """Features (1 + RUNGS, C, h, w): the photograph, then its copies, from bad to worse."""
        rungs = [self.cache.load(*self.items[index])]
        rungs += [np.load(self._path(index, rung)) for rung in range(RUNGS)]
        return torch.from_numpy(np.stack(rungs).astype(np.float32))

    def drawn(self, step: int, count: int) -> list[Tensor]:
        """The photographs of one step of training; a resumed run draws the same."""
        draw = np.random.default_rng((self.seed, 2, step))
        return [self[int(index)] for index in draw.integers(0, len(self), count)]


def falls(scores: Tensor, margin: float) -> Tensor:
    """Loss of one ladder: how much less than wanted the score falls from rung to rung.

    Args:
        scores: (1 + RUNGS,) on 1..5, the photograph first.
        margin: share of the photograph's distance from 1 that each rung has to lose.
    """
    wanted = margin * (scores[0].detach() - 1).clamp_min(0)
    return (wanted + scores[1:] - scores[:-1]).clamp_min(0).mean()


def in_order(scores: Tensor) -> float:
    """Share of the rungs that score lower than the one before."""
    return float((scores[1:] < scores[:-1]).double().mean())
