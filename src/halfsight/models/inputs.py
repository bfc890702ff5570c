"""From pixels to a network's input: the stated policy on sizes, and normalisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from halfsight.models.backbone import Normalisation


class InputError(ValueError):
    """A photograph the input policy refuses; the message says its size and the limits."""


@dataclass(frozen=True)
class Prepared:
    """A network's input and how it came about.

    Attributes:
        tensor: float32 (1, 3, height, width), normalised.
        size: (height, width) of the tensor.
        note: what was done to the size, empty if nothing.
    """

    tensor: Tensor
    size: tuple[int, int]
    note: str


@dataclass(frozen=True)
class InputPolicy:
    """How photographs of any size reach a network.

    With ``size`` set, every photograph is stretched to it. Otherwise photographs keep their size,
    except that those above ``max_pixels`` are reduced to it and those whose shorter side is under
    ``min_side`` are enlarged to it, both with their proportions kept (bicubic, antialiased).

    Attributes:
        normalisation: mean and standard deviation on RGB in [0, 1].
        size: fixed (height, width) in pixels, or None.
        max_pixels: largest area in pixels, or None.
        min_side: smallest shorter side in pixels that the network's grid of tokens can take.
        smallest: photographs with a shorter side below this are refused.
    """

    normalisation: Normalisation
    size: tuple[int, int] | None = None
    max_pixels: int | None = 1024 * 768
    min_side: int = 128
    smallest: int = 32

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """Input (height, width) for a photograph of the given size.

        Raises:
            InputError: if the photograph is too small or too elongated.
        """
        if min(height, width) < self.smallest:
            raise InputError(
                f"got {width}x{height} pixels, expected at least {self.smallest} on the shorter "
                "side; use a larger version"
            )
        if self.size is not None:
            return self.size
        scale = max(1.0, self.min_side / min(height, width))
        if self.max_pixels is not None and height * width * scale**2 > self.max_pixels:
            scale = math.sqrt(self.max_pixels / (height * width))
        new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
        if min(new_height, new_width) < self.min_side and min(height, width) * scale < (
            self.min_side - 0.5
        ):
            limit = int((self.max_pixels or 0) // self.min_side**2)
            raise InputError(
                f"got {width}x{height} pixels, expected sides that differ at most {limit} times; "
                "crop the photograph"
            )
        return new_height, new_width

    def normalise(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """uint8 (H, W, 3) to float32 (1, 3, H, W), channels-last in memory."""
        mean = torch.tensor(self.normalisation.mean, dtype=torch.float32)
        std = torch.tensor(self.normalisation.std, dtype=torch.float32)
        rgb = torch.tensor(pixels, dtype=torch.float32)
        return ((rgb / 255 - mean) / std).permute(2, 0, 1)[None]

    def resize(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """uint8 (H, W, 3) at the network's input size.

        Raises:
            InputError: as :meth:`target_size`.
        """
        height, width = self.target_size(pixels.shape[0], pixels.shape[1])
        if (height, width) == pixels.shape[:2]:
            return pixels
        image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(image)

    def prepare(self, pixels: npt.NDArray[np.uint8]) -> Prepared:
        """Pixels uint8 (H, W, 3) to the network's input.

        Raises:
            InputError: as :meth:`target_size`.
        """
        resized = self.resize(pixels)
        size = (int(resized.shape[0]), int(resized.shape[1]))
        note = ""
        if size != pixels.shape[:2]:
            note = f"resized from {pixels.shape[1]}x{pixels.shape[0]} to {size[1]}x{size[0]} pixels"
        return Prepared(self.normalise(resized), size, note)

    def to_dict(self) -> dict[str, object]:
        """Plain values, for cards."""
        return {
            "mean": list(self.normalisation.mean),
            "std": list(self.normalisation.std),
            "size": None if self.size is None else list(self.size),
            "max_pixels": self.max_pixels,
            "min_side": self.min_side,
        }
