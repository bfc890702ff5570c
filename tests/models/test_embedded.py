"""The TRIQ that comes with the package knows worse copies of a photograph as worse."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter

import halfsight as hs

PHOTO = Path(__file__).parents[2] / "examples" / "coffee.jpg"


def blurred(photo: Image.Image, radius: int) -> Image.Image:
    return photo.filter(ImageFilter.GaussianBlur(radius))


def noisy(photo: Image.Image, deviation: int) -> Image.Image:
    pixels = np.asarray(photo)
    noise = np.random.default_rng(0).normal(0, deviation, pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))


def compressed(photo: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    photo.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def pixels(photo: Image.Image) -> npt.NDArray[np.uint8]:
    return np.asarray(photo)


@pytest.mark.parametrize(
    ("worse", "steps"),
    [(blurred, (1, 2, 4)), (noisy, (15, 30, 60)), (compressed, (20, 10, 5))],
)
def test_worse_copies_score_lower_in_order(
    worse: Callable[[Image.Image, int], Image.Image], steps: tuple[int, ...]
) -> None:
    model = hs.load("triq")
    photo = Image.open(PHOTO).convert("RGB")
    scores = [model.score(pixels(photo))]
    scores += [model.score(pixels(worse(photo, step))) for step in steps]
    assert all(np.diff(scores) < -0.1), scores
