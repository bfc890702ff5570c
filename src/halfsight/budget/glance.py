"""A glance at the whole photograph, so that the score of a part of it knows a little of the rest.

The whole photograph, shrunk to a few pixels, passes the same network, and its answer is mixed into
that of the regions with a small weight. Once all regions are read there is nothing to add. On small
photographs none is taken: there it costs much and brings nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from halfsight.budget import rivals
from halfsight.budget.crops import Pixels
from halfsight.models.inputs import InputPolicy
from halfsight.models.triq import TRIQ

Floats = npt.NDArray[np.float64]
Answer = TypeVar("Answer", Tensor, Floats, float)
"""A network's output, or the score of one photograph or of several."""

SHRINK = 8
"""How many times shorter the sides of a glance are."""

SMALLEST = 640
"""Shorter side, in pixels, from which on a glance is taken."""

WEIGHTS = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1)
"""Weights of a glance that training tries."""

PRICE = 0.002
"""PLCC with the full score that a glance may cost, over the photographs that take one."""


@dataclass(frozen=True)
class Glance:
    """How a glance is taken.

    Attributes:
        weight: of its answer, 0 to 1; at 0 none is taken.
        shrink: how many times shorter its sides are.
        smallest: shorter side, in pixels, of the photographs that one is taken at.
    """

    weight: float = 0.0
    shrink: float = SHRINK
    smallest: int = SMALLEST

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Glance:
        """From a card; none from an empty one."""
        return cls(**stored)

    def taken(self, pixels: Pixels) -> bool:
        """Whether there is one at pixels uint8 (H, W, 3) of the network's input size."""
        return self.weight > 0 and min(pixels.shape[:2]) >= self.smallest

    def shrunk(self, pixels: Pixels) -> Pixels:
        """Pixels uint8 (H, W, 3) as small as they are seen."""
        height, width = (round(side / self.shrink) for side in pixels.shape[:2])
        small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8)

    def answer(self, net: TRIQ, policy: InputPolicy, pixels: Pixels) -> Tensor:
        """The network's answer (1, levels) to the whole of pixels uint8 (H, W, 3)."""
        return rivals.answer(net, rivals.whole(net, policy, self.shrunk(pixels)))

    def score(self, net: TRIQ, policy: InputPolicy, pixels: Pixels) -> float:
        """The score that goes with :meth:`answer`."""
        return float(net.scores(self.answer(net, policy, pixels))[0])

    def mixed(self, part: Answer, seen: Answer) -> Answer:
        """The answer to some regions with that to the glance."""
        return part + self.weight * (seen - part)


def by_weight(
    parts: Floats, seen: Floats, agreement: Callable[[Floats], float]
) -> dict[float, float]:
    """The PLCC with the full score that every weight gives.

    Args:
        parts: scores (N,) of some regions.
        seen: scores (N,) of the glances.
        agreement: the PLCC of scores (N,) with the full ones.
    """
    return {weight: agreement(Glance(weight).mixed(parts, seen)) for weight in WEIGHTS}


def heaviest(tried: Mapping[float, float]) -> float:
    """The largest weight that costs no more than :data:`PRICE`.

    Args:
        tried: PLCC with the full score by weight, 0 among them.
    """
    return max(weight for weight, plcc in tried.items() if plcc >= tried[0.0] - PRICE)
