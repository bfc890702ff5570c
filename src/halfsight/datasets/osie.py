"""OSIE: Object and Semantic Images and Eye-tracking; ground truth for saliency, no scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from halfsight.datasets.base import (
    UNLABELLED,
    Dataset,
    DatasetError,
    DatasetInfo,
    FloatArray,
)
from halfsight.datasets.collect import (
    ImageIndex,
    Row,
    collect,
    existing_root,
    image_folder,
    label_file,
    read_table,
)

INFO = DatasetInfo(
    name="osie",
    title="OSIE: Object and Semantic Images and Eye-tracking",
    images=700,
    scale=None,
    licence="MIT",
    source="repository NUS-VIP/predicting-human-gaze-beyond-pixels on GitHub",
    layout="the images in stimuli/ and fixations.csv with columns image, subject, x, y and "
    "duration_ms",
    paper="J. Xu, M. Jiang, S. Wang, M. S. Kankanhalli and Q. Zhao, Predicting human gaze beyond "
    "pixels, Journal of Vision 14(1):28, 2014",
)

_COLUMNS = ("image", "subject", "x", "y", "duration_ms")


@dataclass(frozen=True, eq=False)
class Fixations:
    """Where viewers looked in one image, all arrays of shape (n,), in the order recorded.

    Attributes:
        subject: int64, number of the viewer.
        x: float64, pixels from the left edge.
        y: float64, pixels from the top edge.
        duration: float64, milliseconds.
    """

    subject: npt.NDArray[np.int64]
    x: FloatArray
    y: FloatArray
    duration: FloatArray

    def __len__(self) -> int:
        return len(self.x)

    def inside(self, height: int, width: int) -> Fixations:
        """The fixations whose pixel lies in an image of this size."""
        kept = (self.x >= 0) & (self.x < width) & (self.y >= 0) & (self.y < height)
        return Fixations(*(getattr(self, part.name)[kept] for part in fields(self)))


@dataclass(frozen=True)
class GazeDataset(Dataset):
    """Images without scores, with the fixations of their viewers.

    Attributes:
        gaze: fixations by sample id.
    """

    gaze: Mapping[str, Fixations] = field(default_factory=dict, repr=False)

    def fixations(self, name: str) -> Fixations:
        """Fixations in an image.

        Args:
            name: a sample's id, or its file name alone.

        Raises:
            DatasetError: if there is no such image.
        """
        for sample in self.samples:
            if name in (sample.id, sample.path.name):
                return self.gaze[sample.id]
        raise DatasetError(
            f"got {name!r}, expected the id of one of {len(self)} images, "
            f"such as {self.samples[0].id if self.samples else 'none'}"
        )


def load(root: str | Path, *, labels: str | Path | None = None) -> GazeDataset:
    """Load OSIE.

    Args:
        root: folder with ``stimuli/``.
        labels: the table of fixations kept elsewhere.

    Raises:
        DatasetError: if nothing usable is there.
    """
    folder = existing_root(INFO, root)
    path = label_file(INFO, folder, ("fixations.csv",), given=labels)
    images = ImageIndex(image_folder(INFO, folder, ("stimuli",)))
    numbers = _COLUMNS[1:]
    table = read_table(INFO, path, columns=_COLUMNS).with_columns(
        pl.col(column).cast(pl.Float64, strict=False) for column in numbers
    )
    usable = table.filter(
        pl.all_horizontal(pl.col(column).is_finite().fill_null(False) for column in numbers)
    )
    parts = {
        str(name): Fixations(
            part["subject"].cast(pl.Int64).to_numpy(), *(part[c].to_numpy() for c in numbers[1:])
        )
        for (name,), part in usable.group_by("image", maintain_order=True)
    }
    found = collect(INFO, folder, map(Row, parts), images, scale=UNLABELLED)
    gaze = {f"stimuli/{images.find(name)[0]}": part for name, part in reversed(parts.items())}
    problems = found.problems
    if len(usable) < len(table):
        problems += (
            f"{len(table) - len(usable)} fixations with a cell that is no number, dropped",
        )
    return GazeDataset(found.name, found.root, found.samples, found.scale, problems, gaze)
