"""Photographs to time the pipeline on, where no folder is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from halfsight.engines.plan import Item


def generate(folder: Path, count: int, *, size: tuple[int, int] = (768, 1024)) -> list[Item]:
    """JPEG files with edges and noise, about as costly to decode as photographs.

    Args:
        folder: where they are written.
        count: how many.
        size: (height, width) in pixels.

    Returns:
        Their ids and files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    height, width = size
    y, x = np.mgrid[0:height, 0:width]
    items = []
    for number in range(count):
        draw = np.random.default_rng(number)
        waves = 127 + 90 * np.sin(x / draw.uniform(5, 90) + number) * np.cos(y / 37)
        pixels = np.stack([waves, np.roll(waves, 9, 0), 255 - waves], -1)
        pixels += draw.normal(0, draw.uniform(2, 25), pixels.shape)
        path = folder / f"{number:05}.jpg"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=92)
        items.append((path.name, str(path)))
    return items
