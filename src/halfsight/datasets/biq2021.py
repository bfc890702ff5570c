"""BIQ2021: a large-scale blind image quality assessment database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from halfsight.datasets.base import Dataset, DatasetInfo, Scale
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

_OFFICIAL = {"train": "Train (Images and MOS).csv", "test": "Test (Images and MOS).csv"}

INFO = DatasetInfo(
    name="biq2021",
    title="BIQ2021: A Large-Scale Blind Image Quality Assessment Database",
    images=12000,
    scale=Scale(0, 1),
    licence="none stated",
    source="repository nisarahmedrana/BIQ2021 on GitHub",
    layout='Images/ with "Train (Images and MOS).csv" and "Test (Images and MOS).csv", or '
    "biq2021.csv with columns filename, mos, split (optional) and subset (optional) beside the "
    "images it names",
    paper="N. Ahmed and S. Asif, BIQ2021: a large-scale blind image quality assessment database, "
    "Journal of Electronic Imaging 31(5), 053010, 2022",
    splits=(("train", 10000), ("test", 2000)),
)


def load(root: str | Path, *, labels: str | Path | None = None) -> Dataset:
    """Load BIQ2021.

    The subset (``ss01`` a private gallery, ``ss02`` taken for the purpose, ``ss03`` stock
    photographs) is read from the file name.

    Args:
        root: folder of the repository or of ``biq2021.csv``.
        labels: a label CSV, or the folder with the two official ones, kept elsewhere.

    Raises:
        DatasetError: if nothing usable is there.
    """
    folder = existing_root(INFO, root)
    tables = Path(labels) if labels else folder
    if tables.is_dir() and any((tables / name).is_file() for name in _OFFICIAL.values()):
        images = ImageIndex(image_folder(INFO, folder, ("Images", "images")))
        return collect(INFO, folder, _released(tables), images)
    path = label_file(INFO, folder, ("biq2021.csv",), given=labels)
    return collect(INFO, folder, _table(path), ImageIndex(folder, recursive=True))


def _released(folder: Path) -> Iterator[Row]:
    """Rows of the two official files; the training file ends each row with two empty cells."""
    for split, file in _OFFICIAL.items():
        path = label_file(INFO, folder, (file,))
        frame = read_table(INFO, path, columns=("Image Name", "MOS"))
        for row in frame.iter_rows(named=True):
            name = text(row, "Image Name")
            yield Row(name, number(row, "MOS"), split=split, subset=_subset(name))


def _table(path: Path) -> Iterator[Row]:
    frame = read_table(INFO, path, columns=("filename", "mos"))
    for row in frame.iter_rows(named=True):
        name = text(row, "filename")
        yield Row(
            name,
            number(row, "mos"),
            split=text(row, "split"),
            subset=text(row, "subset") or _subset(name),
        )


def _subset(name: str) -> str:
    """``ss01`` of ``Images/ss01 (737).jpg``; empty for other names."""
    start = name.rpartition("/")[2][:4].lower()
    return start if start in ("ss01", "ss02", "ss03") else ""
