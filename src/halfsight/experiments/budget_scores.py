"""Every score the budget experiment compares, a line a photograph.

Every choice of regions is read as it would be for use; windows that several choices of one
photograph share pass the backbone once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from halfsight import images, importance
from halfsight.budget import rivals
from halfsight.budget import selector as selectors
from halfsight.budget.crops import Box, Layout, Pixels
from halfsight.budget.crops import score as read_score
from halfsight.budget.files import BudgetHead
from halfsight.budget.selector import Selector
from halfsight.budget.views import downscaled, framed
from halfsight.datasets.base import Dataset, Sample
from halfsight.experiments.store import Progress, RowStore
from halfsight.grid import RegionGrid
from halfsight.images import ImageError
from halfsight.importance import Criterion
from halfsight.masking.base import Encoded
from halfsight.models.inputs import InputError
from halfsight.models.triq import TRIQ
from halfsight.scorer import Scorer

Floats = npt.NDArray[np.float64]

RIVALS = ("downscaled", "downscaled, trained", "centre crop", "random crops")
ORACLE = "oracle"
WITHOUT = "without training"
NO_GLANCE = "without the glance"


@dataclass(frozen=True)
class Plan:
    """What is compared.

    Attributes:
        full: the model.
        head: its budget.
        selectors: names of selectors, the budget's own first.
        oracle: also rank by the model's own table, which costs far more than it saves.
        size: (height, width) that photographs are brought to, None as they are.
        seed: of the random crops and regions.
        grid: the regions of a landscape photograph.
    """

    full: Scorer = field(repr=False)
    head: BudgetHead = field(repr=False)
    selectors: tuple[str, ...]
    oracle: bool = True
    size: tuple[int, int] | None = None
    seed: int = 0
    grid: RegionGrid = field(default_factory=RegionGrid)

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of regions read: 2 to all."""
        return tuple(range(2, len(self.grid) + 1))

    @property
    def rival_counts(self) -> tuple[int, ...]:
        """Numbers of regions whose cost the rivals are given: every other one, all left out."""
        return tuple(range(2, len(self.grid), 2))

    @property
    def rivals(self) -> tuple[str, ...]:
        """The rivals there are."""
        return tuple(r for r in RIVALS if r != "downscaled, trained" or self.head.downscaled)

    @property
    def rankers(self) -> tuple[str, ...]:
        """Selectors and, if asked for, the oracle."""
        return (*self.selectors, ORACLE) if self.oracle else self.selectors

    @property
    def own(self) -> str:
        """The selector that the budget comes with."""
        return self.selectors[0]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the numbers of a photograph."""
        return (
            "full",
            "head, whole",
            *(f"{name} {k}" for name in self.rankers for k in self.counts),
            *(f"{name} {k}" for name in (WITHOUT, NO_GLANCE) for k in self.counts),
            *(f"{name} {k}" for name in self.rivals for k in self.rival_counts),
        )

    def key(self) -> Mapping[str, Any]:
        """What the numbers depend on."""
        return {
            "model": self.full.hash,
            "head": self.head.card.sha256,
            "glance": str(self.head.glance),
            "size": self.size,
            "seed": self.seed,
            "grid": str(self.grid),
        }

    def load_selectors(self) -> list[Selector]:
        """The selectors, ready."""
        return [
            selectors.load(name, learned=self.head.selector, seed=self.seed)
            for name in self.selectors
        ]


@dataclass(frozen=True)
class Scores:
    """Scores of all ways on the photographs that could be used.

    Attributes:
        ids: of the photographs.
        mos: float64 (N,) on 1..5, nan where unknown.
        rows: float64 (N, columns).
        columns: names.
        failures: reasons of the others.
    """

    ids: tuple[str, ...]
    mos: Floats
    rows: Floats
    columns: tuple[str, ...]
    failures: tuple[str, ...]

    def __getitem__(self, name: str) -> Floats:
        return np.asarray(self.rows[:, self.columns.index(name)])


def pixels_of(plan: Plan, sample: Sample) -> Pixels:
    """A photograph at the network's input size.

    Raises:
        ImageError: if it cannot be read, or its size is refused.
    """
    photograph = images.read(sample.path)
    if plan.size is not None:
        photograph = images.read(framed(np.asarray(photograph.pixels), plan.size))
    try:
        return plan.full.policy.resize(np.asarray(photograph.pixels))
    except InputError as error:
        problem, _, remedy = str(error).partition("; ")
        raise ImageError(str(sample.path), problem, remedy) from None


class Work:
    """A photograph to its line of numbers, in the order of :attr:`Plan.columns`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.selectors = plan.load_selectors()

    @torch.inference_mode()
    def __call__(self, sample: Sample) -> Sequence[float]:
        """The numbers of one photograph.

        Raises:
            ImageError: if it cannot be read, or its size is refused.
        """
        plan, net, policy = self.plan, self.plan.full.transformer(), self.plan.full.policy
        pixels = pixels_of(plan, sample)
        layout = Layout.of(net, pixels.shape[0], pixels.shape[1], plan.grid)
        features = rivals.whole(net, policy, pixels)
        found = [
            rivals.score_features(net, features),
            rivals.score_features(plan.head.net, features),
        ]
        values = {one.name: one.values(pixels, layout.grid) for one in self.selectors}
        if plan.oracle:
            tokens, shape = net.tokens(features)
            answers = plan.full.coalitions(Encoded(tokens, shape, layout.size), layout.grid)
            criterion: Criterion = importance.default_criterion(answers)
            values[ORACLE] = np.abs(importance.importance(answers, criterion).values)
        orders = [selectors.ranking(values[name]) for name in plan.rankers]
        seen: dict[Box, torch.Tensor] = {}

        def scores(one: TRIQ, order: Sequence[int]) -> list[float]:
            return [
                read_score(one, policy, pixels, layout, selectors.kept(order, k), seen=seen)
                for k in plan.counts
            ]

        glance, head = plan.head.glance, plan.head.net
        looks = (
            {one: glance.score(one, policy, pixels) for one in (head, net)}
            if glance.taken(pixels)
            else {}
        )

        def mixed(one: TRIQ, parts: Sequence[float]) -> list[float]:
            if one not in looks:
                return list(parts)
            return [*(glance.mixed(part, looks[one]) for part in parts[:-1]), parts[-1]]

        by_head = [scores(head, order) for order in orders]
        for parts in by_head:
            found += mixed(head, parts)
        found += mixed(net, scores(net, orders[0]))
        found += by_head[0]
        return [*found, *self._rivals(pixels, layout, sample)]

    def _rivals(self, pixels: Pixels, layout: Layout, sample: Sample) -> list[float]:
        plan, net, policy = self.plan, self.plan.full.transformer(), self.plan.full.policy
        shares = [k / len(plan.grid) for k in plan.rival_counts]
        small = [rivals.whole(net, policy, downscaled(pixels, share)) for share in shares]
        found = [rivals.score_features(net, one) for one in small]
        if plan.head.downscaled is not None:
            found += [rivals.score_features(plan.head.downscaled, one) for one in small]
        found += [rivals.by_centre(net, policy, pixels, share) for share in shares]
        draw = np.random.default_rng((plan.seed, *sample.id.encode()))
        blocks = rivals.random_blocks(pixels, layout, plan.rival_counts[-1], draw)
        scores = rivals.by_blocks(net, policy, blocks)
        return [*found, *(float(np.mean(scores[:k])) for k in plan.rival_counts)]


def score(part: Dataset, plan: Plan, cache: Path, *, progress: Progress | None = None) -> Scores:
    """All scores, kept in the cache a line a photograph."""
    store = RowStore(cache, "budget", plan.columns, plan.key())
    failures = store.fill(part.samples, Work(plan), stage="scores", progress=progress)
    used = [sample for sample in part if sample.id not in failures]
    mos = [np.nan if s.mos is None else float(part.scale.to_five(s.mos)) for s in used]
    ids = tuple(sample.id for sample in used)
    return Scores(
        ids,
        np.array(mos, dtype=np.float64),
        store.array(ids),
        plan.columns,
        tuple(failures.values()),
    )
