"""What a score costs: seconds from decoded pixels to the score, and multiplications.

Seconds are medians over photographs; the ways to score take turns on each photograph, so that a
busy moment of the machine falls on all alike. Torch has one thread, as when a folder is scored, a
photograph a core. Floating-point operations are counted by torch over convolutions and matrix
products, two a multiplication; a measure that is no network counts none, so look at its seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.flop_counter import FlopCounterMode

from halfsight.threads import one_thread, threads_restored

Pixels = npt.NDArray[np.uint8]
Way = Callable[[Pixels], object]
"""From pixels uint8 (H, W, 3) to a score."""


@dataclass(frozen=True)
class Cost:
    """Of one way to score one photograph.

    Attributes:
        seconds: median over photographs.
        gflops: billions of floating-point operations, mean over photographs.
    """

    seconds: float
    gflops: float

    def plus(self, other: Cost) -> Cost:
        """The cost of doing both."""
        return Cost(self.seconds + other.seconds, self.gflops + other.gflops)

    def less(self, other: Cost) -> Cost:
        """The cost of leaving out what costs ``other``."""
        return Cost(self.seconds - other.seconds, self.gflops - other.gflops)


def seconds(
    ways: Mapping[str, Way], photographs: Sequence[Pixels], *, repeats: int = 1
) -> dict[str, list[float]]:
    """Seconds of every way on every photograph, the least of ``repeats``.

    Each way is warmed up on the first photograph.
    """
    for way in ways.values():
        way(photographs[0])
    found: dict[str, list[float]] = {name: [] for name in ways}
    for pixels in photographs:
        least = dict.fromkeys(ways, float("inf"))
        for _ in range(repeats):
            for name, way in ways.items():
                started = time.perf_counter()
                way(pixels)
                least[name] = min(least[name], time.perf_counter() - started)
        for name, value in least.items():
            found[name].append(value)
    return found


def gflops(way: Way, pixels: Pixels) -> float:
    """Floating-point operations of one way on one photograph, in billions."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        way(pixels)
    return float(counter.get_total_flops() / 1e9)


def costs(
    ways: Mapping[str, Way], photographs: Sequence[Pixels], *, repeats: int = 1
) -> dict[str, Cost]:
    """Seconds and operations of every way; operations from the first three photographs."""
    with threads_restored():
        one_thread()
        timed = seconds(ways, photographs, repeats=repeats)
    return {
        name: Cost(
            median(timed[name]),
            float(np.mean([gflops(way, pixels) for pixels in photographs[:3]])),
        )
        for name, way in ways.items()
    }
