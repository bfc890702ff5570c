"""LIVE In the Wild Image Quality Challenge Database (CLIVE)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from halfsight.datasets.base import Dataset, DatasetError, DatasetInfo, Scale
from halfsight.datasets.collect import (
    ImageIndex,
    Row,
    collect,
    existing_root,
    image_folder,
    label_file,
    number,
    read_table,
    text,
)

INFO = DatasetInfo(
    name="clive",
    title="LIVE In the Wild Image Quality Challenge Database",
    images=1162,
    scale=Scale(0, 100),
    licence="free to use, copy, modify and distribute with its copyright notice and citation",
    source="Laboratory for Image and Video Engineering, The University of Texas at Austin "
    "(live.ece.utexas.edu/research/ChallengeDB)",
    layout="the authors' release (Images/ and Data/ with AllImages_release.mat, "
    "AllMOS_release.mat, AllStdDev_release.mat), or clive.csv with columns filename, mos, "
    "mos_std and split (optional) beside the images it names",
    paper="D. Ghadiyaram and A. C. Bovik, Massive online crowdsourced study of subjective and "
    "objective picture quality, IEEE Transactions on Image Processing 25(1), 2016",
)

TRAINING_IMAGES = 7
"""The first rows of the release: shown to the viewers for practice, not part of the test."""

_MAT_FILES = ("AllImages_release", "AllMOS_release", "AllStdDev_release")


def load(root: str | Path, *, labels: str | Path | None = None) -> Dataset:
    """Load CLIVE.

    Args:
        root: folder of the release or of ``clive.csv``.
        labels: a label CSV, or the folder with the three .mat files, kept elsewhere.

    Raises:
        DatasetError: if nothing usable is there.
    """
    folder = existing_root(INFO, root)
    mats = Path(labels) if labels else folder / "Data"
    if mats.is_dir():
        images = ImageIndex(image_folder(INFO, folder, ("Images", "images")), recursive=True)
        practice = [name for name in images.files if name.startswith("trainingImages/")]
        return collect(INFO, folder, _released(mats), images, ignore_extra=practice)
    path = label_file(INFO, folder, ("clive.csv",), given=labels)
    return collect(INFO, folder, _table(path), ImageIndex(folder, recursive=True))


def _released(folder: Path) -> Iterator[Row]:
    """Rows of the authors' .mat files."""
    names, mos, std = (_mat(folder / f"{name}.mat", name) for name in _MAT_FILES)
    if not len(names) == len(mos) == len(std):
        raise DatasetError(
            f"got {len(names)} names, {len(mos)} MOS and {len(std)} deviations in {folder}, "
            "expected as many of each; get the files again"
        )
    for name, mean, spread in list(zip(names, mos, std, strict=True))[TRAINING_IMAGES:]:
        yield Row(str(name), float(mean), float(spread))


def _mat(path: Path, variable: str) -> list[Any]:
    """The values of one variable of a .mat file, flat; cells are unpacked."""
    try:
        values = np.ravel(scipy.io.loadmat(str(path), variable_names=[variable])[variable])
        return [np.ravel(v)[0] if isinstance(v, np.ndarray) else v.item() for v in values]
    except Exception as error:  # damaged .mat files bring all sorts out of the reader
        raise DatasetError(
            f"got {path}, which cannot be read ({type(error).__name__}), expected {INFO.layout}"
        ) from error


def _table(path: Path) -> Iterator[Row]:
    frame = read_table(INFO, path, columns=("filename", "mos", "mos_std"))
    for row in frame.iter_rows(named=True):
        yield Row(
            text(row, "filename"),
            number(row, "mos"),
            number(row, "mos_std"),
            split=text(row, "split"),
        )
