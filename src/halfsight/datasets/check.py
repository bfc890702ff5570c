"""Check that a data set on disk is what it should be, before anything is trained on it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from halfsight.datasets import registry
from halfsight.datasets.base import Dataset, DatasetError, DatasetInfo
from halfsight.datasets.splits import Hashes, IntArray, group, hash_photograph, twins
from halfsight.images import ImageError, read

NAMED = 5
"""Examples given of each finding."""


@dataclass(frozen=True)
class Range:
    """Lowest, mean and highest value of a label.

    Attributes:
        count: samples that have it.
        minimum: lowest value, NaN if no sample has it.
        mean: mean value.
        maximum: highest value.
    """

    count: int
    minimum: float
    mean: float
    maximum: float

    @classmethod
    def of(cls, values: list[float]) -> Range:
        """The range of some values."""
        if not values:
            return cls(0, math.nan, math.nan, math.nan)
        return cls(len(values), min(values), math.fsum(values) / len(values), max(values))


@dataclass(frozen=True)
class Twins:
    """Near-identical images.

    Attributes:
        groups: number of groups of two and more.
        images: images in them.
        largest: images in the largest.
        examples: sample ids of some groups, the largest first.
    """

    groups: int
    images: int
    largest: int
    examples: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Leak:
    """Images of one split that have a twin in another.

    Attributes:
        split: the split they are in.
        other: the split their twins are in.
        images: how many they are.
        examples: sample ids of some.
    """

    split: str
    other: str
    images: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class CheckReport:
    """What :func:`check` found.

    Attributes:
        name: name of the data set.
        title: its full name.
        root: its folder.
        images: usable samples.
        expected: images in the whole set, None if the card does not say.
        splits: samples a split.
        subsets: samples a subset.
        scale: lowest and highest MOS possible, native units; None without MOS.
        mos: range of the MOS, native units.
        mos_std: range of the standard deviations, native units.
        votes: samples with votes.
        problems: what the loader found.
        unreadable: images that cannot be decoded, one line each.
        twins: near-identical images, None if nothing was decoded.
        leaks: twins across splits, None if nothing was decoded.
        seconds: time taken.
    """

    name: str
    title: str
    root: str
    images: int
    expected: int | None
    splits: Mapping[str, int]
    subsets: Mapping[str, int]
    scale: tuple[float, float] | None
    mos: Range
    mos_std: Range
    votes: int
    problems: tuple[str, ...]
    unreadable: tuple[str, ...]
    twins: Twins | None
    leaks: tuple[Leak, ...] | None
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with what is there: no problem, no damage, no leak."""
        return not (self.problems or self.unreadable or self.leaks)

    @property
    def complete(self) -> bool:
        """Whether as many images are usable as the whole set has, where the card says it."""
        return self.expected is None or self.images == self.expected

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON, with ``ok`` and ``complete``; null where there is no value."""
        return {"ok": self.ok, "complete": self.complete, **_plain(asdict(self))}

    def lines(self) -> tuple[str, ...]:
        """The report for people: one line a finding, its name first."""
        of = "" if self.expected is None else f" of {self.expected}"
        absent = (self.expected or 0) - self.images
        found = [
            f"data set: {self.title} ({self.name}) in {self.root}",
            f"images: {self.images} usable{of}" + (f", {absent} not here" if absent > 0 else ""),
            f"splits: {_counts(self.splits, 'none')}",
        ]
        if set(self.subsets) != {""}:
            found.append(f"subsets: {_counts(self.subsets, 'none')}")
        if self.scale is not None:
            low, high = self.scale
            found.append(f"MOS: {_spread(self.mos)}; the scale goes from {low:g} to {high:g}")
            found.append(f"standard deviations: {_spread(self.mos_std)}")
            found.append(f"votes: on {self.votes} images" if self.votes else "votes: none")
        found += [f"problem: {problem}" for problem in self.problems]
        found += [f"unreadable: {problem}" for problem in self.unreadable]
        if self.twins is None or self.leaks is None:
            unseen = "not decoded: damage, twins and leaks were not looked for"
            return (*found, unseen, f"result: {self.verdict}")
        if self.twins.groups:
            found.append(
                f"twins: {self.twins.images} near-identical images in {self.twins.groups} groups, "
                f"at most {self.twins.largest} in one"
            )
            found += [f"  {' = '.join(group)}" for group in self.twins.examples]
        else:
            found.append("twins: none")
        for leak in self.leaks:
            more = ", ..." if leak.images > len(leak.examples) else ""
            found.append(
                f"leak: {leak.images} images of {leak.split} have a twin in {leak.other}: "
                f"{', '.join(leak.examples)}{more}"
            )
        if not self.leaks:
            found.append("leaks between splits: none")
        return (*found, f"result: {self.verdict}")

    @property
    def verdict(self) -> str:
        """The whole in a few words."""
        kinds = {
            "problems with labels or files": len(self.problems),
            "unreadable images": len(self.unreadable),
            "leaks between splits": len(self.leaks or ()),
        }
        wrong = ", ".join(kind for kind, count in kinds.items() if count)
        part = "" if self.complete else "; part of the whole set"
        return f"{wrong or 'nothing wrong'}{part}"


def check(
    name: str,
    root: str | Path,
    *,
    decode: bool = True,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> CheckReport:
    """Check a data set: files, labels, and, by decoding every image, damage, twins and leaks.

    Args:
        name: of the data set in the registry.
        root: its folder.
        decode: decode every image; without it only names and labels are checked.
        workers: number of threads.
        progress: called with the number of images decoded and of all.
        **options: of the data set, such as ``labels``.

    Raises:
        DatasetError: if the data set cannot be loaded at all.
    """
    start = time.perf_counter()
    dataset = registry.load(name, root, **options)
    unreadable: tuple[str, ...] = ()
    likeness: tuple[Twins, tuple[Leak, ...]] | tuple[None, None] = None, None
    if decode:
        hashed = _decode(dataset, workers, progress)
        unreadable = tuple(str(outcome) for outcome in hashed if isinstance(outcome, ImageError))
        readable = [i for i, outcome in enumerate(hashed) if not isinstance(outcome, ImageError)]
        pairs = np.array([hashed[i] for i in readable], dtype=np.uint64).reshape(-1, 2)
        whole = dataset.replace(tuple(dataset[i] for i in readable))
        groups = group(Hashes(pairs[:, 0], pairs[:, 1]))
        likeness = _twins(whole, groups), _leaks(whole, groups)
    return CheckReport(
        name=dataset.name,
        title=registry.info(name).title,
        root=str(dataset.root),
        images=len(dataset),
        expected=registry.info(name).images,
        splits=dataset.splits,
        subsets=dict(Counter(sample.subset for sample in dataset)),
        scale=(
            (dataset.scale.minimum, dataset.scale.maximum)
            if any(sample.mos is not None for sample in dataset)
            else None
        ),
        mos=Range.of([s.mos for s in dataset if s.mos is not None]),
        mos_std=Range.of([s.mos_std for s in dataset if s.mos_std is not None]),
        votes=sum(sample.votes is not None for sample in dataset),
        problems=dataset.problems,
        unreadable=unreadable,
        twins=likeness[0],
        leaks=likeness[1],
        seconds=time.perf_counter() - start,
    )


def cards() -> list[dict[str, Any]]:
    """The cards of all data sets, for JSON; a broken one has ``name`` and ``error`` alone."""
    found: list[dict[str, Any]] = []
    for name in registry.names():
        try:
            card: DatasetInfo = registry.info(name)
        except DatasetError as error:
            found.append({"name": name, "error": str(error)})
        else:
            found.append({**_plain(asdict(card)), "splits": dict(card.splits)})
    return found


def _counts(parts: Mapping[str, int], without: str) -> str:
    """``train 790, val 140``; samples of no part under a name of their own."""
    return ", ".join(f"{name or without} {count}" for name, count in parts.items())


def _spread(values: Range) -> str:
    if not values.count:
        return "none"
    return (
        f"{values.minimum:.4g} to {values.maximum:.4g}, mean {values.mean:.4g}, "
        f"on {values.count} images"
    )


def _decode(
    dataset: Dataset, workers: int, progress: Callable[[int, int], None] | None
) -> list[tuple[int, int] | ImageError]:
    """The hashes of every image, or why there are none."""

    def one(path: Path) -> tuple[int, int] | ImageError:
        try:
            return hash_photograph(read(path))
        except ImageError as error:
            return error

    outcomes: list[tuple[int, int] | ImageError] = []
    with ThreadPoolExecutor(workers) as pool:
        try:
            for outcome in pool.map(one, [sample.path for sample in dataset]):
                outcomes.append(outcome)
                if progress:
                    progress(len(outcomes), len(dataset))
        finally:
            pool.shutdown(cancel_futures=True)
    return outcomes


def _twins(dataset: Dataset, groups: IntArray) -> Twins:
    found = sorted(twins(groups), key=len, reverse=True)
    return Twins(
        groups=len(found),
        images=sum(map(len, found)),
        largest=len(found[0]) if found else 0,
        examples=tuple(
            tuple(dataset[int(i)].id for i in members[:NAMED]) for members in found[:NAMED]
        ),
    )


def _leaks(dataset: Dataset, groups: IntArray) -> tuple[Leak, ...]:
    """For each two named splits that share groups, the images of the smaller one concerned."""
    sizes = dataset.splits
    splits = np.array([sample.split for sample in dataset])
    leaks = []
    for one, two in combinations(sorted(filter(None, sizes), key=lambda s: (sizes[s], s)), 2):
        shared = np.isin(groups, groups[splits == two]) & (splits == one)
        ids = [dataset[int(i)].id for i in np.flatnonzero(shared)]
        if ids:
            leaks.append(Leak(one, two, len(ids), tuple(ids[:NAMED])))
    return tuple(leaks)


def _plain(value: Any) -> Any:
    """Values as JSON has them: lists for tuples, null for NaN."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value
