"""KonIQ-10k."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

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
    vote_fractions,
)

INFO = DatasetInfo(
    name="koniq10k",
    title="KonIQ-10k: an ecologically valid database for blind image quality assessment",
    images=10073,
    scale=Scale(1, 100),
    licence="images from YFCC100M under the Creative Commons licences of their authors",
    source="Multimedia Signal Processing Group, University of Konstanz "
    "(database.mmsp-kn.de); splits: repository subpic/koniq on GitHub",
    layout="koniq10k_distributions_sets.csv (or koniq10k_scores_and_distributions.csv without "
    'splits, or koniq_splits_you.csv with labels="you") and the images in 1024x768/, 512x384/ or '
    "beside it",
    paper="V. Hosu, H. Lin, T. Sziranyi and D. Saupe, KonIQ-10k: an ecologically valid database "
    "for deep learning of blind image quality assessment, IEEE Transactions on Image Processing "
    "29, 2020",
    splits=(("train", 7058), ("val", 1000), ("test", 2015)),
)

_OFFICIAL = ("koniq10k_distributions_sets.csv", "koniq10k_scores_and_distributions.csv")
_YOU = ("koniq_splits_you.csv",)
_FOLDERS = ("1024x768", "512x384", "")
_SETS = {"training": "train", "validation": "val", "test": "test"}
_LEVELS = ("c1", "c2", "c3", "c4", "c5")


def load(root: str | Path, *, labels: str | Path | None = None) -> Dataset:
    """Load KonIQ-10k.

    Two label files are in use. The official one has vote fractions, a MOS on 1 to 100 and the
    standard deviation of the votes in levels, turned here into the units of the MOS. Its MOS is no
    linear image of the mean vote (about 27.8 points a level instead of 24.75, correlation .995),
    so targets made of the votes and of the MOS differ a little. The file of TRIQ's authors
    (``"you"``) has vote counts, a MOS on 1 to 5 and another split (8124/975/974).

    Args:
        root: folder with the images; 1024x768/ counts where both sizes are in it (for the other,
            give its folder as the root and the label file as ``labels``).
        labels: ``"official"``, ``"you"``, or a label file of either kind kept elsewhere; by default
            the official file if it is in the root, else the other.

    Raises:
        DatasetError: if nothing usable is there.
    """
    folder = existing_root(INFO, root)
    choices: dict[str | Path | None, tuple[str, ...]] = {
        None: (*_OFFICIAL, *_YOU),
        "official": _OFFICIAL,
        "you": _YOU,
    }
    given = None if labels in choices else labels
    path = label_file(INFO, folder, choices.get(labels, ()), given=given)
    frame = read_table(INFO, path, columns=_LEVELS)
    images = ImageIndex(image_folder(INFO, folder, _FOLDERS))
    if {"image_name", "MOS"} <= set(frame.columns):
        return collect(INFO, folder, _official(frame), images)
    if {"filename", "mos"} <= set(frame.columns):
        return collect(INFO, folder, _you(frame), images, scale=Scale(1, 5))
    raise DatasetError(
        f"got {path} with columns {', '.join(frame.columns)}, "
        "expected image_name and MOS, or filename and mos, beside the votes"
    )


def _official(frame: pl.DataFrame) -> Iterator[Row]:
    scale = INFO.scale or Scale(1, 100)
    for row in frame.iter_rows(named=True):
        split = text(row, "set")
        yield Row(
            text(row, "image_name"),
            number(row, "MOS"),
            scale.std_from_five(number(row, "SD")) if "SD" in frame.columns else None,
            tuple(number(row, level) for level in _LEVELS),
            _SETS.get(split, split),
        )


def _you(frame: pl.DataFrame) -> Iterator[Row]:
    for row in frame.iter_rows(named=True):
        yield Row(
            text(row, "filename"),
            number(row, "mos"),
            votes=vote_fractions([number(row, level) for level in _LEVELS]),
            split=text(row, "split"),
        )
