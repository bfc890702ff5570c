"""What a data set of photographs with opinion scores is: samples, a scale, a card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Number = TypeVar("Number", float, FloatArray)

LEVELS = 5
"""Levels of the absolute category rating scale: 1 bad, 2 poor, 3 fair, 4 good, 5 excellent."""


class DatasetError(ValueError):
    """A data set that cannot be read; the message is one line that names what was expected."""


@dataclass(frozen=True)
class Scale:
    """The native scale of a data set's mean opinion scores (MOS).

    Attributes:
        minimum: lowest score the scale allows.
        maximum: highest score the scale allows.
        higher_is_better: False for scales of impairment (DMOS); :meth:`to_five` turns them round.
    """

    minimum: float
    maximum: float
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        if not (np.isfinite([self.minimum, self.maximum]).all() and self.minimum < self.maximum):
            raise DatasetError(
                f"got a scale from {self.minimum} to {self.maximum}, "
                "expected two finite numbers, the lower one first"
            )

    def __contains__(self, value: float) -> bool:
        return self.minimum <= value <= self.maximum

    @property
    def _step(self) -> float:
        """Native units in one level of the five-level scale."""
        return (self.maximum - self.minimum) / (LEVELS - 1)

    def to_five(self, value: Number) -> Number:
        """Map a score linearly to 1..5, where 5 is best."""
        if self.higher_is_better:
            return 1.0 + (value - self.minimum) / self._step
        return 1.0 + (self.maximum - value) / self._step

    def from_five(self, value: Number) -> Number:
        """Map a score on 1..5 (5 best) back to this scale; the inverse of :meth:`to_five`."""
        if self.higher_is_better:
            return self.minimum + (value - 1.0) * self._step
        return self.maximum - (value - 1.0) * self._step

    def std_to_five(self, std: Number) -> Number:
        """Map a standard deviation in native units to levels of the five-level scale."""
        return std / self._step

    def std_from_five(self, std: Number) -> Number:
        """Map a standard deviation in levels back to native units."""
        return std * self._step


UNLABELLED = Scale(1, LEVELS)
"""The scale of data sets without scores: it means nothing there, and is never a surprise."""


@dataclass(frozen=True)
class Sample:
    """One photograph and what its viewers said.

    Attributes:
        id: path below the data set's root, with forward slashes; unique in the data set.
        path: the file.
        mos: mean opinion score in native units, None without labels.
        mos_std: standard deviation of the opinions in native units, None if unknown.
        votes: fractions of the opinions on levels 1..5, summing to 1, None if unknown.
        split: ``train``, ``val``, ``test``, or empty where the data set makes none.
        subset: a part the data set itself names, or empty.
    """

    id: str
    path: Path
    mos: float | None = None
    mos_std: float | None = None
    votes: tuple[float, ...] | None = None
    split: str = ""
    subset: str = ""


@dataclass(frozen=True)
class Dataset:
    """Photographs with labels on one scale.

    Attributes:
        name: name in the registry.
        root: folder the sample ids are relative to.
        samples: in the order of the label file.
        scale: scale of ``mos`` and ``mos_std``.
        problems: what was wrong with the files, one line a kind, with a count and the first names.
            Rows named here as dropped are not among ``samples``.
    """

    name: str
    root: Path
    samples: tuple[Sample, ...]
    scale: Scale
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    @property
    def splits(self) -> dict[str, int]:
        """Number of samples in each split."""
        return dict(Counter(sample.split for sample in self.samples))

    def split(self, *names: str) -> Dataset:
        """The samples of the named splits, in their order here.

        Raises:
            DatasetError: if a named split has no sample.
        """
        there = self.splits
        for name in names:
            if name not in there:
                raise DatasetError(
                    f"got split {name!r} of {self.name}, expected one of "
                    f"{', '.join(repr(s) for s in there) or 'none (the data set is empty)'}"
                )
        return self.replace(tuple(s for s in self.samples if s.split in names))

    def replace(self, samples: tuple[Sample, ...]) -> Dataset:
        """The same data set with other samples, for instance newly split ones."""
        return replace(self, samples=samples)


@dataclass(frozen=True)
class DatasetInfo:
    """The card of a data set.

    Attributes:
        name: name in the registry.
        title: full name.
        images: number of images in the whole set, None where it is the user's own.
        scale: native scale of its scores, None if it has no scores or the user says it.
        licence: what its authors state.
        source: where to get it.
        layout: the files and folders that are expected below the root.
        paper: the publication to cite, empty if none.
        splits: the splits its label files make, with their sizes in the whole set.
    """

    name: str
    title: str
    images: int | None
    scale: Scale | None
    licence: str
    source: str
    layout: str
    paper: str = ""
    splits: tuple[tuple[str, int], ...] = ()


def five_level_target(
    sample: Sample, scale: Scale, *, fixed_std: float = 0.7, levels: int = LEVELS
) -> FloatArray:
    """The distribution over quality levels a five-level head is trained towards.

    The vote fractions where they are known. Otherwise a normal distribution with the sample's mean
    and standard deviation, sampled at the levels and renormalised, as TRIQ's authors do for sets
    with MOS and standard deviation (You & Korhonen, ICIP 2021, arXiv 2101.01097).

    Args:
        sample: needs votes or a MOS.
        scale: scale of the sample's MOS.
        fixed_std: standard deviation, in levels of the five-level scale, where the sample has none.
        levels: number of levels; the MOS is spread linearly from the first to the last.

    Returns:
        float64 array of shape (levels,), not negative, summing to 1.

    Raises:
        DatasetError: if the sample has neither votes nor a MOS, or votes on other levels.
    """
    if sample.votes is not None:
        if len(sample.votes) != levels:
            raise DatasetError(
                f"got votes on {len(sample.votes)} levels for {sample.id}, expected {levels}"
            )
        votes = np.asarray(sample.votes, dtype=np.float64)
        return np.asarray(votes / votes.sum())
    if sample.mos is None:
        raise DatasetError(f"got {sample.id} without votes or a MOS, expected a labelled sample")
    spread = (levels - 1) / (LEVELS - 1)
    mean = 1.0 + (scale.to_five(sample.mos) - 1.0) * spread
    std = fixed_std if sample.mos_std is None else scale.std_to_five(sample.mos_std)
    # the floor keeps unanimous opinions finite, subtracting the peak keeps narrow ones from
    # underflowing at every level
    log_density = -0.5 * ((np.arange(1, levels + 1) - mean) / max(std * spread, 1e-3)) ** 2
    density = np.exp(log_density - log_density.max())
    return np.asarray(density / density.sum())
