"""The numbers of the paper, for the data sets it used.

Source: slides of You, Lin and Korhonen, *Half of an image is enough for quality assessment*
(ICIP 2023, arXiv 2301.12891). Nothing here is computed; nothing here is shown beside other data.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "You, Lin and Korhonen, ICIP 2023 (slides)"

DATASETS = ("koniq10k", "spaq")
"""Data sets of the paper, by their names in the registry."""


@dataclass(frozen=True)
class HalfRow:
    """A row of Experiment I: PLCC of one model on one data set.

    Attributes:
        plcc: model against MOS on the untouched test set.
        important_predicted: important regions zeroed, against the scores of the originals.
        important_mos: important regions zeroed, against the MOS.
        trivial_predicted: trivial regions zeroed, against the scores of the originals.
        trivial_mos: trivial regions zeroed, against the MOS.
    """

    plcc: float
    important_predicted: float
    important_mos: float
    trivial_predicted: float
    trivial_mos: float


_PAIR = {"koniq10k": (0.97, 0.67), "spaq": (0.96, 0.68)}

_HALF = {
    "koniq10k": {
        "triq": HalfRow(0.922, 0.680, 0.671, 0.972, 0.902),
        "aihiqnet": HalfRow(0.929, 0.816, 0.804, 0.959, 0.896),
        "koncept512": HalfRow(0.916, 0.817, 0.813, 0.960, 0.901),
        "dbcnn": HalfRow(0.856, 0.804, 0.796, 0.963, 0.887),
        "swin_iqa": HalfRow(0.956, 0.835, 0.811, 0.974, 0.921),
    },
    "spaq": {
        "triq": HalfRow(0.916, 0.695, 0.675, 0.969, 0.907),
        "aihiqnet": HalfRow(0.928, 0.810, 0.801, 0.958, 0.912),
        "koncept512": HalfRow(0.831, 0.802, 0.788, 0.957, 0.811),
        "dbcnn": HalfRow(0.894, 0.808, 0.797, 0.960, 0.868),
        "swin_iqa": HalfRow(0.933, 0.804, 0.782, 0.963, 0.902),
    },
}

_MATCHING = {
    "saliency": (100.0, 96.0, 69.2, 52.4, 37.8),
    "frequency": (100.0, 99.0, 70.1, 60.1, 40.8),
    "objectness": (100.0, 100.0, 77.3, 66.6, 44.7),
    "averaged": (100.0, 100.0, 79.5, 65.8, 45.6),
}


def pair(dataset: str) -> tuple[float, float] | None:
    """PLCC with the unmasked scores after masking the trivial and the important half."""
    return _PAIR.get(dataset)


def half(dataset: str, model: str) -> HalfRow | None:
    """The row of Experiment I of a model on a data set."""
    return _HALF.get(dataset, {}).get(model)


def matching(dataset: str, measure: str) -> tuple[float, ...] | None:
    """Matching degrees for T = 1..5 of a measure, in percent; over the paper's two data sets."""
    return _MATCHING.get(measure) if dataset in DATASETS else None
