"""Semantic measures of image regions: saliency, spatial frequency, objectness, their average."""

from halfsight.measures.base import (
    CellMeasure,
    Measure,
    MeasureError,
    MeasureInfo,
    for_image,
    region_values,
)
from halfsight.measures.registry import cards, info, load, names

__all__ = [
    "CellMeasure",
    "Measure",
    "MeasureError",
    "MeasureInfo",
    "cards",
    "for_image",
    "info",
    "load",
    "names",
    "region_values",
]
