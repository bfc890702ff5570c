"""SPAQ: Smartphone Photography Attribute and Quality database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
    name="spaq",
    title="SPAQ: Smartphone Photography Attribute and Quality database",
    images=11125,
    scale=Scale(0, 100),
    licence="none stated",
    source="repository h4nwei/SPAQ on GitHub",
    layout="the images in TestImage/, img/ or the root, and spaq_splits_you.csv or the authors' "
    'sheet saved as "MOS and Image attribute scores.csv" in the root or in Annotations/',
    paper="Y. Fang, H. Zhu, Y. Zeng, K. Ma and Z. Wang, Perceptual quality assessment of "
    "smartphone photography, CVPR 2020",
    splits=(("train", 8999), ("val", 1119), ("test", 1007)),
)

_SHEET = "MOS and Image attribute scores.csv"
_LABELS = ("spaq_splits_you.csv", f"Annotations/{_SHEET}", _SHEET)
_NAMES = ("filename", "Image name")
_SCORES = ("mos", "MOS")


def load(root: str | Path, *, labels: str | Path | None = None) -> Dataset:
    """Load SPAQ.

    The split file of TRIQ's authors names resized ``.png`` files, the release has ``.jpg``: images
    are matched by their stem. The authors' own sheet makes no split; the sizes on the card are
    those of the split file.

    Args:
        root: folder with the images.
        labels: a label file of either kind kept elsewhere.

    Raises:
        DatasetError: if nothing usable is there.
    """
    folder = existing_root(INFO, root)
    path = label_file(INFO, folder, _LABELS, given=labels)
    images = ImageIndex(image_folder(INFO, folder, ("TestImage", "img", "")), any_suffix=True)
    return collect(INFO, folder, _rows(path), images)


def _rows(path: Path) -> Iterator[Row]:
    frame = read_table(INFO, path)
    name = next((column for column in _NAMES if column in frame.columns), None)
    score = next((column for column in _SCORES if column in frame.columns), None)
    if name is None or score is None:
        raise DatasetError(
            f"got {path} with columns {', '.join(frame.columns)}, "
            f"expected {' or '.join(_NAMES)}, and {' or '.join(_SCORES)}"
        )
    for row in frame.iter_rows(named=True):
        yield Row(text(row, name), number(row, score), split=text(row, "split"))
