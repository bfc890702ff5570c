"""A scorer that reads a part of each photograph."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from halfsight import images
from halfsight.budget.crops import Blocks, BudgetError, Layout, Pixels, answer, read_blocks
from halfsight.budget.glance import Glance
from halfsight.budget.policy import STEP, Budget, Stopping
from halfsight.budget.selector import Learned, Selector, kept, ranking
from halfsight.grid import GridError, RegionGrid
from halfsight.images import ImageError
from halfsight.models.inputs import InputError
from halfsight.scorer import Prediction, Scorer, Source


@dataclass(frozen=True)
class BudgetPrediction(Prediction):
    """The score of one photograph from a part of it.

    Attributes:
        regions: numbers of the regions read, row-major from the top-left.
        grid: the regions' grid, turned as the photograph.
        bound: with a tolerance, how far off the score may be for nine of ten photographs.
    """

    regions: tuple[int, ...] = ()
    grid: RegionGrid = field(default_factory=RegionGrid)
    bound: float | None = None


@dataclass(frozen=True)
class BudgetScorer(Scorer):
    """Scores photographs from some of their regions.

    ``net`` is TRIQ with the full model's own backbone and a head trained under masks; on a whole
    photograph it can be used like any other.

    Attributes:
        selector: ranks the regions.
        budget: how many to read.
        stopping: the bounds a tolerance needs.
        glance: at the whole photograph, beside the regions.
        grid: the regions of a landscape photograph.
    """

    selector: Selector = field(kw_only=True)
    budget: Budget = field(kw_only=True)
    stopping: Stopping = field(kw_only=True, default_factory=lambda: Stopping({}))
    glance: Glance = field(kw_only=True, default_factory=Glance)
    grid: RegionGrid = field(kw_only=True, default_factory=RegionGrid)

    def __post_init__(self) -> None:
        if self.budget.tolerance is not None and not self.stopping.bounds:
            raise BudgetError(
                "got a tolerance for a model without measured bounds; "
                "give a number of regions, or train it: halfsight budget train"
            )

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the network, the input policy, the selector, the glance and the budget."""
        digest = hashlib.sha256(super().hash.encode())
        digest.update(f"{self.selector.name} {self.budget} {self.glance} {self.grid}".encode())
        if isinstance(self.selector, Learned):
            for name, tensor in self.selector.net.state_dict().items():
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def layout(self, height: int, width: int) -> Layout:
        """The regions of a photograph at the network's input size."""
        return Layout.of(self.transformer(), height, width, self.grid)

    def predict(self, source: Source) -> BudgetPrediction:
        """Score one photograph from as many of its regions as the budget allows.

        Args:
            source: path, array (H, W, 3), PIL image or :class:`~halfsight.images.Photograph`.

        Raises:
            ImageError: if it cannot be read, or its size is refused.
        """
        photograph = images.read(source)
        name = photograph.path or "array"
        given = np.asarray(photograph.pixels)
        try:
            pixels = self.policy.resize(given)
            found = self.of_pixels(pixels)
        except InputError as error:
            problem, _, remedy = str(error).partition("; ")
            raise ImageError(name, problem, remedy) from None
        except GridError as error:
            problem, _, remedy = str(error).partition("; ")
            raise ImageError(name, problem, remedy or "score it without a budget") from None
        read = ", ".join(map(str, found.regions))
        notes = [*photograph.notes]
        if pixels.shape != given.shape:
            notes.append(
                f"resized from {given.shape[1]}x{given.shape[0]} to "
                f"{pixels.shape[1]}x{pixels.shape[0]} pixels"
            )
        notes.append(f"read {len(found.regions)} of {len(found.grid)} regions: {read}")
        return BudgetPrediction(
            found.score,
            found.distribution,
            found.size,
            tuple(notes),
            found.regions,
            found.grid,
            found.bound,
        )

    def of_pixels(self, pixels: Pixels) -> BudgetPrediction:
        """Score pixels uint8 (H, W, 3) that already have the network's input size."""
        layout = self.layout(pixels.shape[0], pixels.shape[1])
        order = ranking(self.selector.values(pixels, layout.grid))
        if self.budget.regions is not None:
            return self.of_regions(pixels, layout, kept(order, self.budget.regions))
        return self._until_certain(pixels, layout, order)

    @torch.inference_mode()
    def of_regions(
        self, pixels: Pixels, layout: Layout, regions: Sequence[int]
    ) -> BudgetPrediction:
        """Score pixels uint8 (H, W, 3) from the given regions."""
        blocks = read_blocks(self.transformer(), self.policy, pixels, layout, regions)
        seen = self._glance(pixels)
        return self._answer(blocks, layout, regions, seen)

    @torch.inference_mode()
    def _until_certain(
        self, pixels: Pixels, layout: Layout, order: Sequence[int]
    ) -> BudgetPrediction:
        """Read a few regions at a time until the bound is within the tolerance."""
        assert self.budget.tolerance is not None
        net = self.transformer()
        blocks: Blocks | None = None
        before: float | None = None
        seen = self._glance(pixels)
        for start in range(0, len(order), STEP):
            more = order[start : start + STEP]
            new = read_blocks(net, self.policy, pixels, layout, more)
            blocks = new if blocks is None else blocks + new
            found = self._answer(blocks, layout, order[: start + len(more)], seen)
            known = self.stopping.bounds.get(len(found.regions))
            bound = (
                None if known is None else known(before if before is None else found.score - before)
            )
            if bound is not None and bound <= self.budget.tolerance:
                break
            before = found.score
        return BudgetPrediction(
            found.score, found.distribution, found.size, (), found.regions, found.grid, bound
        )

    def _glance(self, pixels: Pixels) -> torch.Tensor | None:
        if not self.glance.taken(pixels):
            return None
        return self.glance.answer(self.transformer(), self.policy, pixels)

    def _answer(
        self, blocks: Blocks, layout: Layout, regions: Sequence[int], seen: torch.Tensor | None
    ) -> BudgetPrediction:
        output = answer(self.transformer(), blocks, layout)
        if seen is not None and len(regions) < len(layout.grid):
            output = self.glance.mixed(output, seen)
        distribution = tuple(float(p) for p in output[0]) if output.ndim == 2 else None
        score = float(self.net.scores(output)[0])
        return BudgetPrediction(
            score, distribution, layout.size, (), tuple(sorted(regions)), layout.grid
        )
