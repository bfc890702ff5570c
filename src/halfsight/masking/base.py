"""What every masker takes and gives.

A *masker* hides regions of a photograph from a model in one way: in its attention, or in its
pixels. It makes a *subject* of one photograph: what the model answers when a set of regions is
hidden. :func:`collect` asks a subject for all coalitions, or for a sample of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from halfsight import coalitions
from halfsight.grid import IntArray, RegionGrid
from halfsight.masking import sampling
from halfsight.masking.sampling import Sample, SampleError

if TYPE_CHECKING:  # a scorer has maskers; they are handed it, and import nothing of it
    from halfsight.images import Photograph
    from halfsight.scorer import Scorer

Floats = npt.NDArray[np.float32]
Masks = int | Literal["all"]
Progress = Callable[[int, int], None]


class MaskingError(ValueError):
    """A way of masking that is unknown, or that the model does not allow."""


@dataclass(frozen=True)
class Encoded:
    """A photograph as a transformer's input tokens, before anything is masked.

    Attributes:
        tokens: (1, 1 + rows * cols, width); token 0 is the quality token, never masked.
        shape: (rows, cols) of the token map.
        size: (height, width) in pixels of the network's input.
    """

    tokens: Tensor
    shape: tuple[int, int]
    size: tuple[int, int]


@dataclass(frozen=True)
class Coalitions:
    """A model's answers under every coalition of masked regions of one photograph.

    Row m belongs to the bit set m of masked regions (bit 0 = top-left); row 0 masks nothing. Rows
    that were not evaluated are nan; there are none unless the masks were sampled.

    Attributes:
        scores: float32 (2**n,).
        distributions: float32 (2**n, K) level probabilities, None for scalar heads.
        quality: float32 (2**n, width) quality tokens, None for models without one.
        sample: the masks that were drawn, None if all were evaluated.
    """

    scores: Floats
    distributions: Floats | None = None
    quality: Floats | None = None
    sample: Sample | None = None

    @property
    def estimated(self) -> bool:
        """True if only a sample of the masks was evaluated."""
        return self.sample is not None

    @property
    def regions(self) -> int:
        """Number of regions n."""
        return coalitions.region_count(len(self.scores))

    @property
    def evaluated(self) -> npt.NDArray[np.bool_]:
        """Which rows the model was asked for, bool (2**n,)."""
        return np.isfinite(self.scores)

    @property
    def masks(self) -> int:
        """Number of masks evaluated that hide some but not all regions: 4094 if all of twelve."""
        return int(self.evaluated[1:-1].sum())


@dataclass(frozen=True)
class Answers:
    """A model's answers to M masks, in the order they were asked.

    Attributes:
        scores: float32 (M,).
        distributions: float32 (M, K), or None.
        quality: float32 (M, width), or None.
    """

    scores: Floats
    distributions: Floats | None = None
    quality: Floats | None = None


class Subject(ABC):
    """One photograph before one model, its regions ready to be hidden.

    Attributes:
        grid: the regions.
        tokens: (rows, cols) of the token map the regions were cut on; None if pixels were cut.
        exhaustive: True if all coalitions cost about as much as a few.
        seconds: wall time of the preparation, by stage.
    """

    grid: RegionGrid
    tokens: tuple[int, int] | None = None
    exhaustive: bool = False
    seconds: dict[str, float]

    @abstractmethod
    def answer(self, masks: IntArray, progress: Progress | None = None) -> Answers:
        """The model's answers with the regions of each bit set in ``masks`` (M,) hidden."""

    def everything(self, progress: Progress | None = None) -> Coalitions:
        """The answers to all coalitions."""
        found = self.answer(np.arange(1 << len(self.grid), dtype=np.int64), progress)
        return Coalitions(found.scores, found.distributions, found.quality)


class Masker(ABC):
    """A way to hide regions from a model."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What the results call it."""

    @abstractmethod
    def subject(
        self, scorer: Scorer, photograph: Photograph, grid: RegionGrid, *, tensor: Tensor
    ) -> Subject:
        """Prepare one photograph.

        Args:
            scorer: the model.
            photograph: its pixels.
            grid: the regions, turned as wanted.
            tensor: the network's input (1, 3, H, W), as :meth:`Scorer.read` gives it.

        Raises:
            GridError: if a region would be empty.
            MaskingError: if the model cannot be masked this way.
        """

    def coalitions(
        self,
        scorer: Scorer,
        photograph: Photograph,
        grid: RegionGrid,
        *,
        masks: Masks = "all",
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Coalitions:
        """Answers of a model to the coalitions of one photograph.

        Args:
            scorer: the model.
            photograph: its pixels.
            grid: the regions, turned as wanted.
            masks: ``all``, or how many to draw.
            seed: of the drawing.
            progress: called with (masks done, masks in all).

        Raises:
            GridError: if a region would be empty.
            SampleError: if there are too few masks to estimate from.
            MaskingError: if the model cannot be masked this way.
        """
        _, tensor, _ = scorer.read(photograph)
        subject = self.subject(scorer, photograph, grid, tensor=tensor)
        return collect(subject, masks=masks, seed=seed, progress=progress)


def collect(
    subject: Subject, *, masks: Masks = "all", seed: int = 0, progress: Progress | None = None
) -> Coalitions:
    """A subject's answers to all coalitions, or to a sample of them.

    Args:
        subject: one photograph before one model.
        masks: ``all``, or how many masks to draw that hide some but not all regions. Nothing
            hidden and everything hidden are always asked for as well. As many as there are, or
            more, mean all.
        seed: of the drawing.
        progress: called with (masks done, masks in all).

    Raises:
        SampleError: if there are too few masks to estimate from.
    """
    n = len(subject.grid)
    check_masks(masks, n)
    last = coalitions.full_mask(n)
    if masks == "all" or masks >= last - 1:
        return subject.everything(progress)
    sample = sampling.draw(n, masks, seed=seed)
    asked = np.concatenate(([0, last], sample.masks))
    return _placed(
        Coalitions(np.full(1 << n, np.nan, np.float32), sample=sample),
        asked,
        subject.answer(asked, progress),
    )


def check_masks(masks: Masks, n: int) -> None:
    """Refuse a number of masks that importance of n regions cannot be estimated from.

    Raises:
        SampleError: says how many it takes.
    """
    if masks == "all":
        return
    everything = coalitions.full_mask(n) - 1
    fewest = min(sampling.smallest(n), everything)
    if not isinstance(masks, int) or masks < fewest:
        expected = f"all {everything}"
        if fewest < everything:
            expected = f"at least {fewest} for {n} regions, or {expected}"
        raise SampleError(f"got {masks!r} masks, expected {expected}")


def parse_masks(text: str) -> Masks:
    """Read ``all`` or a number of masks.

    Raises:
        SampleError: if it is neither.
    """
    if text == "all":
        return "all"
    if not text.isdecimal():
        raise SampleError(f"got masks {text!r}, expected all or a whole number")
    return int(text)


def complete(found: Coalitions, subject: Subject, masks: Iterable[int]) -> Coalitions:
    """Also evaluate the given masks, where that was not done. They do not join the sample."""
    missing = np.array([m for m in set(masks) if not found.evaluated[m]], dtype=np.int64)
    return _placed(found, missing, subject.answer(missing)) if missing.size else found


def _placed(table: Coalitions, masks: IntArray, answers: Answers) -> Coalitions:
    """The table with the answers in their rows."""

    def rows(old: Floats | None, new: Floats | None) -> Floats | None:
        if new is None:
            return None
        shape = (len(table.scores), *new.shape[1:])
        full = np.full(shape, np.nan, np.float32) if old is None else old.copy()
        full[masks] = new
        return full

    scores = table.scores.copy()
    scores[masks] = answers.scores
    return replace(
        table,
        scores=scores,
        distributions=rows(table.distributions, answers.distributions),
        quality=rows(table.quality, answers.quality),
    )


def token_masks(
    grid: RegionGrid, shape: tuple[int, int], membership: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Which tokens each coalition masks, the quality token first and never masked.

    Args:
        grid: the regions.
        shape: (rows, cols) of the token map.
        membership: bool (M, n), True where coalition m masks region i.

    Returns:
        bool (M, 1 + rows * cols).
    """
    owners: IntArray = grid.token_owners(*shape)
    masks = np.zeros((len(membership), 1 + owners.size), dtype=np.bool_)
    masks[:, 1:] = membership[:, owners]
    return masks
