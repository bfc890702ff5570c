"""Data sets of photographs with opinion scores."""

from halfsight.datasets.base import (
    Dataset,
    DatasetError,
    DatasetInfo,
    Sample,
    Scale,
    five_level_target,
)
from halfsight.datasets.registry import info, load, names

__all__ = [
    "Dataset",
    "DatasetError",
    "DatasetInfo",
    "Sample",
    "Scale",
    "five_level_target",
    "info",
    "load",
    "names",
]
