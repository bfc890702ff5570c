"""Generated pictures for the tests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def picture(height: int, width: int, seed: int = 0) -> Pixels:
    """A picture with smooth parts, edges and texture, so that regions differ."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = 127 + 80 * np.sin(x / 9 + seed) * np.cos(y / 13)
    pixels = np.stack([waves, np.roll(waves, 7, 0), 255 - waves], -1)
    pixels[: height // 2, : width // 2] += draw.normal(0, 40, (height // 2, width // 2, 3))
    pixels[height // 2 :, width // 3 :] = pixels[height // 2 :, width // 3 :].mean() + 10
    return pixels.clip(0, 255).astype(np.uint8)
