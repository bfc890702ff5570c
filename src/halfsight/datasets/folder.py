"""A plain folder of photographs, without labels."""

from __future__ import annotations

from pathlib import Path

from halfsight.datasets.base import UNLABELLED, Dataset, DatasetError, DatasetInfo, Sample
from halfsight.datasets.collect import existing_root
from halfsight.images import find

INFO = DatasetInfo(
    name="folder",
    title="Any folder of photographs, without labels",
    images=None,
    scale=None,
    licence="your own",
    source="your own",
    layout="photographs, at any depth",
)


def load(root: str | Path) -> Dataset:
    """Load all photographs below a folder, in natural order (``2.jpg`` before ``10.jpg``).

    Raises:
        DatasetError: if there is none.
    """
    folder = existing_root(INFO, root)
    found = find([folder])
    if not found.files:
        raise DatasetError(f"got {folder} without a photograph, expected {INFO.layout}")
    samples = tuple(Sample(path.relative_to(folder).as_posix(), path) for path in found.files)
    problems = tuple(str(error) for error in found.errors)
    return Dataset(INFO.name, folder, samples, UNLABELLED, problems)
