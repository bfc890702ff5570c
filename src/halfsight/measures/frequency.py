"""Spatial frequency: how much a place has of the detail that people see best.

The spectrum of a region is weighted by the contrast sensitivity function of Mannos & Sakrison
(IEEE Transactions on Information Theory 20, 1974), which is highest near 8 cycles a degree. What a
cycle a degree is in pixels depends on the viewing geometry, which is a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import cv2
import numpy as np
import numpy.typing as npt
import scipy.fft

from halfsight.grid import Aggregate, RegionGrid
from halfsight.measures.base import (
    MapArray,
    MeasureError,
    MeasureInfo,
    Pixels,
    RegionArray,
    check_pixels,
)

Weighting = Literal["csf", "band"]
Response = Literal["linear", "cube-root"]
Float64 = npt.NDArray[np.float64]

NOTHING = 1e-20
"""Energies below this are rounding error: one grey level in one of a million pixels gives 1e-13."""


def contrast_sensitivity(frequency: npt.ArrayLike) -> Float64:
    """Contrast sensitivity A(f) of Mannos & Sakrison (1974).

    A(f) = 2.6 (0.0192 + 0.114 f) exp(-(0.114 f)^1.1); its maximum is 0.98 near 8 cycles a degree.

    Args:
        frequency: spatial frequency in cycles a degree, any shape, not negative.

    Returns:
        float64 array of the same shape.
    """
    scaled = 0.114 * np.asarray(frequency, dtype=np.float64)
    return np.asarray(2.6 * (0.0192 + scaled) * np.exp(-(scaled**1.1)))


def pixels_per_degree(screen_height: int = 1080, *, distance: float = 3.2) -> float:
    """Pixels under one degree of visual angle at the centre of the screen.

    Args:
        screen_height: in pixels.
        distance: from eye to screen, in picture heights. 3.2 is the design viewing distance of a
            1080-line picture (ITU-R BT.2022), where a pixel is one minute of arc.

    Returns:
        pixels a degree: 60 for the default.
    """
    return float(screen_height * distance * np.tan(np.deg2rad(1)))


@lru_cache(maxsize=1)
def _linear_levels() -> Float64:
    """Linear light of the 256 sRGB levels (IEC 61966-2-1), 0..1."""
    level = np.arange(256) / 255
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


def luminance(pixels: Pixels, *, response: Response = "linear") -> Float64:
    """Relative luminance of an sRGB image.

    Args:
        pixels: uint8 RGB image, shape (height, width, 3).
        response: ``linear`` is luminance itself (ITU-R BT.709 weights on linear light);
            ``cube-root`` is its cube root, the eye's response in Mannos & Sakrison's model.

    Returns:
        float64 array of shape (height, width), 0..1.
    """
    light = _linear_levels()
    red, green, blue = (
        share * light[pixels[..., i]] for i, share in enumerate((0.2126, 0.7152, 0.0722))
    )
    total = np.asarray(red + green + blue)
    return np.cbrt(total) if response == "cube-root" else total


@dataclass(frozen=True)
class SpatialFrequency:
    """Energy of a region's spectrum, weighted by contrast sensitivity.

    Per region: luminance minus its mean, times a Hann window, squared magnitude of the Fourier
    transform without the constant term, weighted at each radial frequency in cycles a degree and
    added up. The sum is divided by the number of pixels and the window's energy, so that regions of
    different size compare: with all weights 1 it is the windowed variance of the luminance.

    The image is taken to be shown pixel for pixel. For a photograph shown smaller, multiply
    ``degree`` by its size in the file over its size on the screen.

    Attributes:
        degree: pixels a degree of visual angle. 60: one minute of arc a pixel, a 1080-line screen
            at 3.2 picture heights (:func:`pixels_per_degree`).
        weighting: ``csf`` weights the energy by :func:`contrast_sensitivity`; ``band`` gives the
            share of the energy inside ``band``, whatever the contrast.
        band: lower and upper end of the middle band, in cycles a degree; an octave either side of
            the peak.
        response: as in :func:`luminance`.
        window: side of the sliding window of the map, in pixels.
    """

    info: ClassVar[MeasureInfo] = MeasureInfo(
        name="frequency",
        title="Spatial frequency",
        definition="Energy of the Hann-windowed luminance spectrum of a region without its mean, "
        "weighted by contrast sensitivity at 60 pixels a degree (peak at 8 cycles a degree).",
        source="Mannos & Sakrison, IEEE Transactions on Information Theory 20, 1974; "
        "our implementation",
        licence="Apache-2.0 (this package)",
        kind="frequency",
    )
    degree: float = 60.0
    weighting: Weighting = "csf"
    band: tuple[float, float] = (4.0, 16.0)
    response: Response = "linear"
    window: int = 64

    def __post_init__(self) -> None:
        if self.weighting not in ("csf", "band") or self.response not in ("linear", "cube-root"):
            raise MeasureError(
                f"got weighting {self.weighting!r} and response {self.response!r}, expected csf or "
                "band and linear or cube-root"
            )
        if not self.degree > 0 or not 0 <= self.band[0] < self.band[1]:
            raise MeasureError(
                f"got {self.degree} pixels a degree and band {self.band}, expected a positive "
                "number and a rising pair of cycles a degree"
            )
        if self.window < 4 or self.window % 2:
            raise MeasureError(f"got window {self.window}, expected an even number from 4 up")

    @property
    def name(self) -> str:
        """Which measure this is."""
        return self.info.name

    def cell_values(
        self,
        pixels: Pixels,
        grid: RegionGrid,
        *,
        tokens: tuple[int, int] | None = None,
        how: Aggregate = "mean",
    ) -> RegionArray:
        """One value a region.

        Args:
            pixels: uint8 RGB image, shape (height, width, 3).
            grid: the regions.
            tokens: as in :meth:`halfsight.grid.RegionGrid.boxes`.
            how: ``mean`` takes the spectrum of the whole region; ``max`` and ``top10`` aggregate
                the sliding-window map.

        Returns:
            float64 array of shape (n,): squared relative luminance, or a share for ``band``.
        """
        height, width = check_pixels(pixels)
        if how != "mean":
            return np.asarray(grid.aggregate(self(pixels), how=how, tokens=tokens))
        light = luminance(pixels, response=self.response)
        boxes = grid.boxes(height, width, tokens=tokens)
        return np.array(
            [self.energies(light[None, t:b, le:r])[0] for t, le, b, r in boxes], dtype=np.float64
        )

    def __call__(self, pixels: Pixels) -> MapArray:
        """The same in sliding windows with half overlap, interpolated between their centres.

        Returns:
            float32 array of shape (height, width).
        """
        height, width = check_pixels(pixels)
        step = self.window // 2
        rows, cols = -(-height // step) + 1, -(-width // step) + 1
        pads = [
            (step, (count - 1) * step + self.window - step - length)
            for count, length in ((rows, height), (cols, width))
        ]
        padded = np.pad(luminance(pixels, response=self.response), pads, mode="symmetric")
        values = np.empty((rows, cols), dtype=np.float32)
        for row in range(rows):  # a row at a time bounds the memory on large photographs
            strip = padded[row * step : row * step + self.window]
            windows = np.lib.stride_tricks.sliding_window_view(strip, self.window, axis=1)
            values[row] = self.energies(windows[:, ::step].transpose(1, 0, 2))
        # Window i is centred between pixels i * step - 1 and i * step.
        ys = (np.arange(height, dtype=np.float32) + 0.5) / step
        xs = (np.arange(width, dtype=np.float32) + 0.5) / step
        return np.asarray(
            cv2.remap(
                values,
                np.ascontiguousarray(np.broadcast_to(xs, (height, width))),
                np.ascontiguousarray(np.broadcast_to(ys[:, None], (height, width))),
                cv2.INTER_LINEAR,
            )
        )

    def energies(self, cells: Float64) -> Float64:
        """Weighted energy of equally large pieces of luminance.

        Args:
            cells: shape (count, height, width).

        Returns:
            float64 array of shape (count,).
        """
        hann, hann_sum, scale, radius = _frame(*cells.shape[1:])
        mean = np.einsum("khw,hw->k", cells, hann) / hann_sum
        # Taking the mean off first keeps it from leaking past the constant term.
        spectrum = scipy.fft.rfft2((cells - mean[:, None, None]) * hann)
        power = (spectrum.real**2 + spectrum.imag**2) * scale
        cycles = radius * self.degree
        if self.weighting == "csf":
            return np.asarray(np.einsum("khw,hw->k", power, contrast_sensitivity(cycles)))
        inside = (self.band[0] <= cycles) & (cycles <= self.band[1])
        total = power.sum(axis=(1, 2))
        share = np.einsum("khw,hw->k", power, inside.astype(np.float64))
        return np.where(total > NOTHING, share / np.maximum(total, NOTHING), 0.0)


@lru_cache(maxsize=16)
def _frame(height: int, width: int) -> tuple[Float64, float, Float64, Float64]:
    """Window, its sum, scale and radial frequency of a ``height`` x ``width`` half spectrum.

    Returns:
        Hann window (height, width); its sum; what each squared magnitude of the half spectrum is
        multiplied with (height, width // 2 + 1), 0 for the constant term; radial frequency in
        cycles a pixel, same shape.
    """
    hann = np.outer(_hann(height), _hann(width))
    twice = np.full(width // 2 + 1, 2.0)  # the half that rfft2 leaves out mirrors the rest
    twice[0] = 1
    if width % 2 == 0:
        twice[-1] = 1
    scale = np.tile(twice / (height * width * (hann**2).sum()), (height, 1))
    scale[0, 0] = 0
    down, across = scipy.fft.fftfreq(height), scipy.fft.rfftfreq(width)
    return hann, float(hann.sum()), scale, np.hypot(down[:, None], across[None, :])


def _hann(length: int) -> Float64:
    """Hann window sampled between its zeros, so that it is symmetric and positive."""
    return np.asarray(np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2)
