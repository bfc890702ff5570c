"""Small generated images and label files in the layouts of the real data sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).resolve().parents[2].parent / "shared"

MakeImages = Callable[[Path, Iterable[str]], None]
WriteCsv = Callable[..., Path]


@pytest.fixture
def make_images() -> MakeImages:
    """Write a small image, different for each name, under every name."""

    def make(folder: Path, names: Iterable[str]) -> None:
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            seed = sum(ord(c) * (i + 1) for i, c in enumerate(name))
            pixels = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
            suffix = path.suffix.lower().replace(".", "").replace("jpg", "jpeg")
            Image.fromarray(pixels).resize((24, 16)).save(path, format=suffix)

    return make


@pytest.fixture
def write_csv() -> WriteCsv:
    """Write rows of cells under a header."""

    def write(path: Path, header: str, *rows: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def scene() -> Callable[[int], Image.Image]:
    """A picture with broad light and dark areas and some grain, another for every seed."""

    def make(seed: int) -> Image.Image:
        rng = np.random.default_rng(seed)
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((96, 96), Image.Resampling.BICUBIC), dtype=np.float64)
        grainy = smooth + rng.normal(0, 5, smooth.shape)
        return Image.fromarray(np.clip(grainy, 0, 255).astype(np.uint8))

    return make


@pytest.fixture
def shared() -> Path:
    """The folder with the real label files, where there is one."""
    return SHARED
