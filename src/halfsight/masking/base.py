"""What every masker takes and gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from halfsight.grid import IntArray, RegionGrid

Floats = npt.NDArray[np.float32]


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

    Row m belongs to the bit set m of masked regions (bit 0 = top-left); row 0 masks nothing.

    Attributes:
        scores: float32 (2**n,).
        distributions: float32 (2**n, K) level probabilities, None for scalar heads.
        quality: float32 (2**n, width) quality tokens, None for models without one.
        estimated: True if some rows were interpolated from a sample of the masks.
    """

    scores: Floats
    distributions: Floats | None = None
    quality: Floats | None = None
    estimated: bool = False


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
