"""Photographs to try: one that comes with the package, and worse versions made from it."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from importlib import resources

import numpy as np
from PIL import Image, ImageFilter

from halfsight.report.embed import jpeg

SOURCE = "coffee.jpg"
"""Photograph by Rachel Michetti, courtesy of Pikolo Espresso Bar; CC0."""


def _blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(3))


def _noisy(image: Image.Image) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, 28, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def _dark(image: Image.Image) -> Image.Image:
    return Image.fromarray((255 * (np.asarray(image) / 255) ** 2.4 * 0.6).astype(np.uint8))


def _compressed(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=6)
    return Image.open(stream).convert("RGB")


EXAMPLES: dict[str, tuple[str, Callable[[Image.Image], Image.Image] | None]] = {
    "coffee": ("As taken", None),
    "coffee-blurred": ("Out of focus", _blurred),
    "coffee-noisy": ("Noisy", _noisy),
    "coffee-dark": ("Too dark", _dark),
    "coffee-compressed": ("Compressed hard", _compressed),
}
"""Title and treatment of each example."""


@cache
def data(name: str) -> bytes:
    """The JPEG file of an example.

    Raises:
        KeyError: if there is none of that name.
    """
    _, treatment = EXAMPLES[name]
    original = (resources.files(__package__) / "examples" / SOURCE).read_bytes()
    if treatment is None:
        return original
    with Image.open(io.BytesIO(original)) as image:
        return jpeg(np.asarray(treatment(image.convert("RGB"))), quality=92)
