"""BING objectness (OpenCV contrib), with its trained files from a folder of the user."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from halfsight.measures.base import (
    MapArray,
    MeasureError,
    MeasureInfo,
    Pixels,
    check_pixels,
    fit_map,
    is_flat,
    shrink,
)
from halfsight.measures.objectness import Boxes, vote_map

FOLDER_VARIABLE = "HALFSIGHT_BING_DIR"
FILES = tuple(
    f"ObjNessB2W8{space}.{part}.yml.gz"
    for space in ("MAXBGR", "HSV", "I")
    for part in ("wS1", "wS2", "idx")
)
SMALLEST = 16
"""BING's smallest window, in pixels."""

_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Bing:
    """Votes of BING's boxes, weighted by their rank within each of its three colour spaces.

    OpenCV returns the boxes of the three colour spaces one after the other, each from the best
    down, and the values it gives them are only ``(rank + 300)`` times 1, 3 or 5, not scores. The
    rank is read back from them; a box votes with ``exp(-rank / fade) / sqrt(area)``.

    Attributes:
        folder: where the nine trained files are; None takes the environment variable
            ``HALFSIGHT_BING_DIR``.
        side: the longer side of the working copy, in pixels.
        fade: rank at which a box counts 1/e of the best.
    """

    info: ClassVar[MeasureInfo] = MeasureInfo(
        name="bing",
        title="BING votes",
        definition="Boxes of BING over a pixel, each weighted by its rank within its colour space "
        "and the inverse square root of its area.",
        source="Cheng et al., CVPR 2014; OpenCV contrib ObjectnessBING and its trained model",
        licence="Apache-2.0 (OpenCV)",
        needs="the nine trained files ObjNessB2W8*.yml.gz of OpenCV contrib "
        f"(option folder, or {FOLDER_VARIABLE})",
        kind="objectness",
    )
    folder: Path | str | None = None
    side: int = 320
    fade: float = 300.0

    def __post_init__(self) -> None:
        folder = self.folder or os.environ.get(FOLDER_VARIABLE)
        missing = [name for name in FILES if not (Path(folder or "") / name).is_file()]
        if not folder or missing:
            raise MeasureError(
                f"got BING folder {str(folder) if folder else None!r}, expected one with the files "
                f"{', '.join(missing)}; give folder=... or set {FOLDER_VARIABLE}"
            )
        if self.side < SMALLEST or not self.fade > 0:
            raise MeasureError(
                f"got side {self.side} and fade {self.fade}, expected at least {SMALLEST} and a "
                "positive number"
            )
        object.__setattr__(self, "folder", str(folder))

    @property
    def name(self) -> str:
        """Which measure this is."""
        return self.info.name

    def __call__(self, pixels: Pixels) -> MapArray:
        """Map of shape (height, width), not negative.

        Zeros for an image of one colour and for one under 16 pixels high or wide.
        """
        height, width = check_pixels(pixels)
        if min(height, width) < SMALLEST or is_flat(pixels):
            return np.zeros((height, width), dtype=np.float32)
        small = shrink(pixels, self.side, shortest=SMALLEST)
        boxes, ranks = self.boxes(small)
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        weights = np.exp(-ranks / self.fade) / np.sqrt(area)
        return fit_map(vote_map(boxes, weights, size=small.shape[:2]), height, width)

    def boxes(self, pixels: Pixels) -> tuple[Boxes, npt.NDArray[np.int64]]:
        """All proposed boxes and the rank of each within its colour space, 0 the best.

        Args:
            pixels: uint8 RGB image of at least 16 x 16 pixels, used as it is.

        Returns:
            boxes (count, 4): left, top, right, bottom (exclusive); ranks (count,).
        """
        detector = cv2.saliency.ObjectnessBING.create()
        detector.setTrainingPath(str(self.folder))
        # OpenCV writes a list of the boxes; without a folder it does so at the file system's root.
        with tempfile.TemporaryDirectory(prefix="halfsight-bing-") as folder, _silent_stdout():
            detector.setBBResDir(folder)
            _, found = detector.computeSaliency(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        # No box at all comes as None.
        boxes = np.array([] if found is None else found, dtype=np.int64).reshape(-1, 4)
        boxes[:, :2] -= 1  # OpenCV counts the first corner from 1, the second is the last pixel
        return boxes, ranks_of(detector.getobjectnessValues())


def ranks_of(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Rank of each box within its colour space, from OpenCV's objectness values.

    Args:
        values: shape (count,): (rank + 300) x 1 for the first colour space, then x 3, then x 5.

    Returns:
        int64 array of shape (count,).

    Raises:
        MeasureError: if the values are not of that form.
    """
    left = np.asarray(values, dtype=np.int64).reshape(-1)
    ranks: list[npt.NDArray[np.int64]] = []
    for factor, following in ((1, 3), (3, 5), (5, None)):
        run = np.arange(left.size)
        fits = left == factor * (run + 300)
        length = left.size if fits.all() else int(np.argmin(fits))
        if following and 0 < length < left.size and left[length] != following * 300:
            length -= 1  # the next run's first value happened to continue this one
        ranks.append(run[:length])
        left = left[length:]
    if left.size:
        raise MeasureError(
            f"got {left.size} BING values that continue no run, expected three runs of "
            "(rank + 300) x 1, 3, 5; use another measure with this OpenCV"
        )
    return np.concatenate(ranks)


@contextmanager
def _silent_stdout() -> Iterator[None]:
    """Drop what OpenCV's C code prints on standard output, where answers for machines go.

    The file descriptor is the process's: what another thread prints meanwhile is dropped too.
    """
    with _one_at_a_time:
        sys.stdout.flush()
        _flush_c()
        kept = os.dup(1)
        try:
            with Path(os.devnull).open("wb") as nothing:
                os.dup2(nothing.fileno(), 1)
            yield
            _flush_c()  # before the descriptor is back, or the text appears after all
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def _flush_c() -> None:
    """Flush the C library's own buffers."""
    library = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
    library.fflush(None)
