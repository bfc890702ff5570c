"""A small network that ranks regions from a thumbnail."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from halfsight.budget.crops import Pixels
from halfsight.grid import RegionGrid

CELL = 64
"""Pixels of the thumbnail under a region, along a side; the network's stride."""

WIDTHS = (12, 16, 24, 32, 48, 48)
"""Channels of the six convolutions of stride 2."""


class ThumbnailNet(nn.Module):
    """Thumbnail (N, 3, 64 rows, 64 cols) to one value a region (N, rows * cols).

    Six convolutions of stride 2 see a region and its surroundings; the mean over all regions and
    the region's place in the frame are added before the value is read.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *widths[:-1]), widths, strict=True):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        last = widths[-1]
        self.mix = nn.Sequential(nn.Conv2d(2 * last + 3, last, 1), nn.ReLU())
        self.read = nn.Conv2d(last, 1, 1)

    def forward(self, thumbnails: Tensor) -> Tensor:
        """Values in no particular unit: only their order within a photograph means something."""
        x = self.layers(thumbnails)
        rows, cols = x.shape[-2:]
        y = torch.linspace(-1, 1, rows, dtype=x.dtype, device=x.device)[:, None].expand(rows, cols)
        z = torch.linspace(-1, 1, cols, dtype=x.dtype, device=x.device).expand(rows, cols)
        place = torch.stack((y, z.abs(), y.square() + z.square()))
        mean = x.mean((2, 3), keepdim=True).expand_as(x)
        mixed = self.mix(torch.cat((x, mean, place.expand(len(x), -1, -1, -1)), 1))
        out: Tensor = self.read(mixed).flatten(1)
        return out


def thumbnail(pixels: Pixels, grid: RegionGrid) -> Pixels:
    """A photograph as uint8 (64 rows, 64 cols, 3), its proportions those of the grid."""
    size = CELL * grid.cols, CELL * grid.rows
    shrinks = pixels.shape[0] >= size[1] and pixels.shape[1] >= size[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=how), np.uint8)


def as_input(thumbnails: Pixels) -> Tensor:
    """uint8 (N, h, w, 3) to the network's input (N, 3, h, w)."""
    return torch.tensor(thumbnails, dtype=torch.float32).permute(0, 3, 1, 2) / 128 - 1
