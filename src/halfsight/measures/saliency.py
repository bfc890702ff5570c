"""Saliency: how strongly viewers look at a place.

Four measures that need nothing but OpenCV. The default is :class:`BooleanMap`, which predicts the
viewers of OSIE best (see :mod:`halfsight.measures.validation`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from halfsight.measures.base import (
    MapArray,
    MeasureInfo,
    Pixels,
    check_pixels,
    fit_map,
    is_flat,
    shrink,
)


@dataclass(frozen=True)
class SpectralResidual:
    """What is unusual in the image's log amplitude spectrum (OpenCV contrib).

    Attributes:
        side: the image is brought to ``side`` x ``side`` pixels before its spectrum is taken; this
            sets the size of what stands out. 64 is the paper's and OpenCV's.
    """

    info: ClassVar[MeasureInfo] = MeasureInfo(
        name="spectral-residual",
        title="Spectral residual",
        definition="Log amplitude spectrum of a 64 x 64 copy minus its local mean, transformed "
        "back, squared and blurred.",
        source="Hou & Zhang, CVPR 2007; OpenCV contrib StaticSaliencySpectralResidual",
        licence="Apache-2.0 (OpenCV)",
        kind="saliency",
        evidence="NSS 1.06, AUC-Judd .757, CC .309 on OSIE (200 images)",
    )
    side: int = 64

    @property
    def name(self) -> str:
        """Which measure this is."""
        return self.info.name

    def __call__(self, pixels: Pixels) -> MapArray:
        """Map of shape (height, width) in 0..1; zeros for an image of one colour."""
        height, width = check_pixels(pixels)
        if is_flat(pixels):  # its residual is rounding error
            return np.zeros((height, width), dtype=np.float32)
        detector = cv2.saliency.StaticSaliencySpectralResidual.create()
        detector.setImageWidth(self.side)
        detector.setImageHeight(self.side)
        _, found = detector.computeSaliency(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        return fit_map(np.nan_to_num(np.asarray(found)), height, width)


@dataclass(frozen=True)
class FineGrained:
    """Centre against surround at several scales, on the full image (OpenCV contrib)."""

    info: ClassVar[MeasureInfo] = MeasureInfo(
        name="fine-grained",
        title="Fine-grained saliency",
        definition="On-centre and off-centre differences of brightness at several scales, from "
        "integral images, at full resolution.",
        source="Montabone & Soto, Image and Vision Computing 28, 2010; OpenCV contrib "
        "StaticSaliencyFineGrained",
        licence="Apache-2.0 (OpenCV)",
        kind="saliency",
        evidence="NSS 0.67, AUC-Judd .686, CC .209 on OSIE (200 images)",
    )

    @property
    def name(self) -> str:
        """Which measure this is."""
        return self.info.name

    def __call__(self, pixels: Pixels) -> MapArray:
        """Map of shape (height, width) in 0..1; zeros for an image of one colour."""
        height, width = check_pixels(pixels)
        if is_flat(pixels):
            return np.zeros((height, width), dtype=np.float32)
        detector = cv2.saliency.StaticSaliencyFineGrained.create()
        _, found = detector.computeSaliency(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        return fit_map(np.nan_to_num(np.asarray(found)), height, width)


@dataclass(frozen=True)
class BooleanMap:
    """Shapes that are surrounded: what does not touch the image border at some threshold.

    Each CIELAB channel is cut at evenly spaced thresholds. Of every binary picture and its
    complement, the parts connected to the border are removed; what stays is thickened, scaled to
    unit length (so that a picture of little counts as much as one of much) and added up. The sum is
    blurred.

    The parameters were set once and not fitted to any fixation data.

    Attributes:
        side: the longer side of the working copy, in pixels.
        step: distance of the thresholds, in levels of 0..255.
        opening: side of the square that removes specks, in working pixels.
        thickening: side of the square that thickens shapes, in working pixels.
        blur: standard deviation of the last blur, as a share of ``side``.
    """

    info: ClassVar[MeasureInfo] = MeasureInfo(
        name="boolean-map",
        title="Boolean map saliency",
        definition="Sum over thresholds of the CIELAB channels of the shapes that do not touch "
        "the image border, each threshold's picture scaled to unit length, then blurred.",
        source="after Zhang & Sclaroff, ICCV 2013; our implementation",
        licence="Apache-2.0 (this package)",
        kind="saliency",
        evidence="NSS 1.50, AUC-Judd .834, CC .457 on OSIE (200 images)",
    )
    side: int = 400
    step: int = 8
    opening: int = 5
    thickening: int = 7
    blur: float = 0.025

    @property
    def name(self) -> str:
        """Which measure this is."""
        return self.info.name

    def __call__(self, pixels: Pixels) -> MapArray:
        """Map of shape (height, width), not negative; zeros for an image of one colour."""
        height, width = check_pixels(pixels)
        small = shrink(pixels, self.side)
        total = np.zeros(small.shape[:2], dtype=np.float32)
        thick = np.ones((self.thickening, self.thickening), dtype=np.uint8)
        for channel in cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2LAB)):
            smooth = np.asarray(cv2.medianBlur(channel, 3))
            low, high = int(smooth.min()), int(smooth.max())
            for threshold in range(low + self.step // 2, high, self.step):
                above = smooth > threshold
                for shapes in (above, ~above):
                    inner = cv2.dilate(_surrounded(shapes.astype(np.uint8), self.opening), thick)
                    count = cv2.countNonZero(inner)
                    if count:
                        total += inner * np.float32(1 / np.sqrt(count))
        sigma = self.blur * max(small.shape[:2])
        if sigma > 0:
            total = np.asarray(
                cv2.GaussianBlur(total, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
            )
        return fit_map(total, height, width)


def _surrounded(shapes: Pixels, opening: int) -> Pixels:
    """The parts of a 0/1 picture that are not connected to its border, after an opening."""
    square = np.ones((opening, opening), dtype=np.uint8)
    opened = cv2.morphologyEx(shapes, cv2.MORPH_OPEN, square)
    # A frame of ones joins everything that touches the border, so one fill removes it all.
    framed = np.asarray(cv2.copyMakeBorder(opened, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=[1]))
    cv2.floodFill(framed, None, (0, 0), [0], flags=4)
    return np.ascontiguousarray(framed[1:-1, 1:-1], dtype=np.uint8)


@dataclass(frozen=True)
class CentreBias:
    """A fixed Gaussian at the centre: what one knows about fixations without the image.

    The control every saliency measure has to beat. The widths are near those found over ten
    data sets by Clarke & Tatler (Vision Research 102, 2014) and not fitted to OSIE.

    Attributes:
        down: standard deviation as a share of the image height.
        across: standard deviation as a share of the image width.
    """

    info: ClassVar[MeasureInfo] = MeasureInfo(
        name="centre-bias",
        title="Centre bias",
        definition="A Gaussian at the image centre, the same for every image.",
        source="after Clarke & Tatler, Vision Research 102, 2014",
        licence="Apache-2.0 (this package)",
        kind="control",
        evidence="NSS 0.88, AUC-Judd .744, CC .313 on OSIE (200 images)",
    )
    down: float = 0.215
    across: float = 0.24

    @property
    def name(self) -> str:
        """Which measure this is."""
        return self.info.name

    def __call__(self, pixels: Pixels) -> MapArray:
        """Map of shape (height, width), at most 1."""
        height, width = check_pixels(pixels)
        return np.outer(_bell(height, self.down), _bell(width, self.across)).astype(np.float32)


def _bell(length: int, share: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A Gaussian over ``length`` pixels, 1 in the middle, ``share`` of the length wide."""
    away = (np.arange(length) + 0.5) / length - 0.5
    return np.asarray(np.exp(-0.5 * (away / share) ** 2))
