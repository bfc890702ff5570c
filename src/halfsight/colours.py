"""Pixels of any depth and colour space, as sRGB bytes.

The steps between a decoder and :class:`halfsight.images.Photograph`; see there for the rules.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from halfsight.formats import PixelError

Pixels = npt.NDArray[np.uint8]
AnyArray = npt.NDArray[Any]

STRIP_PIXELS = 1 << 20
"""Pixels converted at a time, so that a large photograph is not held three times over."""

SAME_COLOUR = 2
"""A profile that moves no colour by more levels than this is sRGB by another name."""

_GREY_MODES = ("1", "L", "LA", "La", "F", "I", "I;16", "I;16L", "I;16B", "I;16N")
_MODE_OF_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_LEVELS = np.arange(0, 256, 15, dtype=np.uint8)
_CUBE = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS), axis=-1).reshape(len(_LEVELS), -1, 3)


def eight_bits(values: AnyArray) -> Pixels:
    """Samples of any supported type as bytes.

    Args:
        values: any shape; uint8 as is, uint16 as ``round(value / 257)``, floats in [0, 1] as
            ``round(255 * value)``.

    Raises:
        PixelError: if the type is another one, or a float is NaN or outside [0, 1].
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.newbyteorder("=") == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if values.dtype.kind != "f":
        raise PixelError(
            f"got values of type {values.dtype}, expected uint8, uint16 or floats in [0, 1]",
            "convert them with .astype(numpy.uint8)",
        )
    low, high = float(values.min()), float(values.max())
    if not (low >= 0.0 and high <= 1.0):  # so written that NaN is refused
        raise PixelError(
            f"got floats from {low:g} to {high:g}, expected 0 to 1", "scale them to that range"
        )
    return np.rint(values * 255.0).astype(np.uint8)


def over_white(colours: Pixels, alpha: Pixels) -> Pixels:
    """Composite over white.

    Args:
        colours: shape (H, W, 3), not premultiplied.
        alpha: shape (H, W), 255 is opaque.
    """
    weight = alpha[..., None].astype(np.uint16)
    white = 255 * (255 - weight)
    return ((colours * weight + white + 127) // 255).astype(np.uint8)


def strips(image: Image.Image, notes: list[str]) -> Iterator[tuple[int, Pixels]]:
    """The image as sRGB, composited over white, a strip at a time.

    Args:
        image: loaded, of any mode.
        notes: is told what was done.

    Yields:
        The first row of the strip, and its pixels of shape (rows, width, 3).

    Raises:
        PixelError: if the samples are out of range.
    """
    mode, transform = _transform(image, notes)
    width, height = image.size
    step = max(1, STRIP_PIXELS // width)
    seen_through = False
    for top in range(0, height, step):
        strip = image.crop((0, top, width, min(top + step, height)))
        if strip.mode == "F" or strip.mode.startswith("I"):
            strip = Image.fromarray(eight_bits(_samples(strip)))
        if strip.mode == "La":  # Pillow converts it to LA only
            strip = strip.convert("LA")
        alpha = None
        if strip.has_transparency_data:
            strip = strip.convert("RGBA")
            alpha = np.asarray(strip.getchannel("A"))
            seen_through = seen_through or bool(alpha.min() < 255)
        if strip.mode != mode:
            strip = strip.convert(mode)
        if transform:
            strip = ImageCms.applyTransform(strip, transform) or strip
        colours = np.asarray(strip.convert("RGB"))
        yield top, colours if alpha is None else over_white(colours, alpha)
    if seen_through:
        notes.append("alpha composited over white")


def _samples(strip: Image.Image) -> AnyArray:
    """Samples of a grey image deeper than 8 bits; mode I holds 16-bit values in 32 bits."""
    values = np.asarray(strip)
    if strip.mode != "I":
        return values
    if values.min() < 0 or values.max() > 65535:
        raise PixelError(
            f"got whole numbers from {values.min()} to {values.max()}, expected 0 to 65535",
            "save it with 8 or 16 bits",
        )
    return values.astype(np.uint16)


def _transform(
    image: Image.Image, notes: list[str]
) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """The mode to bring pixels to first, and the transform from there to sRGB, if any."""
    if image.mode == "LAB":
        notes.append("CIELAB converted to sRGB")
        lab = ImageCms.createProfile("LAB")
        return "LAB", ImageCms.buildTransform(lab, ImageCms.createProfile("sRGB"), "LAB", "RGB")
    kind = "GRAY" if image.mode in _GREY_MODES else "CMYK" if image.mode == "CMYK" else "RGB"
    embedded = image.info.get("icc_profile")
    if embedded:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
            space = profile.profile.xcolor_space.strip()
            if space != kind and (kind, space) != ("GRAY", "RGB"):
                raise ValueError(f"it is for {space}, the pixels are {kind}")
            mode = _MODE_OF_SPACE[space]
            transform = ImageCms.buildTransform(
                profile, ImageCms.createProfile("sRGB"), mode, "RGB"
            )
            if mode != "CMYK" and _changes_nothing(transform, mode):
                return "RGB", None
            name = ImageCms.getProfileDescription(profile).strip()
        except Exception as error:  # a broken profile is no reason to refuse the pixels
            notes.append(f"unusable colour profile ignored ({error})")
        else:
            notes.append(f"colour profile {name!r} converted to sRGB")
            return mode, transform
    if kind == "CMYK":
        notes.append("CMYK converted without a colour profile")
    return "RGB", None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform leaves sRGB or grey levels where they are."""
    before = _CUBE[..., :1].repeat(3, axis=2) if mode == "L" else _CUBE
    probe = Image.fromarray(before[..., 0].copy() if mode == "L" else before)
    after = np.asarray(ImageCms.applyTransform(probe, transform))
    return bool(np.abs(after.astype(np.int16) - before).max() <= SAME_COLOUR)
