"""Near-identical photographs: find them, and keep them on one side of a split.

Two pictures are twins if both of two 64-bit perceptual hashes are close: the DCT hash (``phash``,
coarse layout, holds through blur and exposure) and the gradient hash (``dhash``, guards against
pictures that merely share a dark border or a horizon).

The thresholds were chosen on the 12,000 images of BIQ2021. Its gallery (2,000, series of one scene
at several exposures and focus settings) shows true pairs; its stock photographs (8,000) show false
ones: besides 323 copies (at most 3 bits apart by the DCT hash), 199 of their pairs are within 12
bits of the DCT hash. With the gradient hash within 14 bits, 8 pairs with a stock photograph that
are no such copies within one subset remain of some 64 million, and half of these show one scene
after all. Of the pairs in the gallery that pass, all of the 64 looked at show one scene.
Photographs of one scene from another viewpoint are further apart and are not found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from halfsight.datasets.base import Dataset, DatasetError, Sample
from halfsight.images import ImageError, Photograph, read

IntArray = npt.NDArray[np.int64]
HashArray = npt.NDArray[np.uint64]
Progress = Callable[[int, int], None]

MAX_DISTANCE = 12
"""Largest distance of the DCT hashes of twins, in bits of 64 (unrelated pictures: about 32)."""

MAX_GRADIENT_DISTANCE = 14
"""Largest distance of the gradient hashes of twins, in bits of 64."""

_FLAT_BITS = 8
"""The DCT hash sets half of its bits, by a median; fewer than this means a picture of one colour,
which looks like no other in particular."""

_BLOCK = 1024
"""Rows compared at a time: with 12,000 images a block of distances takes 50 MB."""


@dataclass(frozen=True, eq=False)
class Hashes:
    """Perceptual hashes of n images.

    Attributes:
        dct: uint64 array of shape (n,).
        gradient: uint64 array of shape (n,).
    """

    dct: HashArray
    gradient: HashArray

    def __len__(self) -> int:
        return len(self.dct)


def hash_photograph(photograph: Photograph) -> tuple[int, int]:
    """The DCT hash and the gradient hash of a photograph, 64 bits each."""
    grey = Image.fromarray(photograph.pixels).convert("L")
    return int(str(imagehash.phash(grey)), 16), int(str(imagehash.dhash(grey)), 16)


def hash_files(
    paths: Sequence[Path],
    *,
    cache: Path | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> Hashes:
    """Hash image files, in threads.

    Args:
        paths: n files.
        cache: Parquet file that keeps the hashes of files by path, size and time of change; read
            if it is there, then written.
        workers: number of threads.
        progress: called with the number of files done and n.

    Raises:
        ImageError: if a file cannot be read.
    """
    stamps = [_stamp(path) for path in paths]
    known = _read_cache(cache)
    missing = [i for i, stamp in enumerate(stamps) if stamp not in known]
    done = len(paths) - len(missing)
    with ThreadPoolExecutor(workers) as pool:
        fresh = pool.map(lambda i: hash_photograph(read(paths[i])), missing)
        try:
            for i, pair in zip(missing, fresh, strict=True):
                known[stamps[i]] = pair
                done += 1
                if progress:
                    progress(done, len(paths))
        finally:
            pool.shutdown(cancel_futures=True)
            if missing:
                _write_cache(cache, known)
    pairs = np.array([known[stamp] for stamp in stamps], dtype=np.uint64).reshape(-1, 2)
    return Hashes(pairs[:, 0], pairs[:, 1])


def group(
    hashes: Hashes,
    *,
    max_distance: int = MAX_DISTANCE,
    max_gradient_distance: int = MAX_GRADIENT_DISTANCE,
) -> IntArray:
    """Group images by likeness: twins of twins belong together.

    Args:
        hashes: of n images.
        max_distance: largest distance of the DCT hashes of twins, in bits.
        max_gradient_distance: largest distance of their gradient hashes, in bits.

    Returns:
        int64 array of shape (n,): the number of each image's group, from 0 in order of appearance.
        Pictures of one colour are groups of their own.
    """
    count = len(hashes)
    # Bits as -1 and 1: the inner product of two hashes is 64 - 2 x distance, so that the distances
    # of a block of images come from one matrix product.
    dct, gradient = _signs(hashes.dct), _signs(hashes.gradient)
    flat = (dct > 0).sum(axis=1) < _FLAT_BITS
    left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start in range(0, count, _BLOCK):
        products = dct[start : start + _BLOCK] @ dct[start:].T
        i, j = np.nonzero(products >= 64 - 2 * max_distance)
        i, j = i[i < j] + start, j[i < j] + start
        likeness = np.einsum("pk,pk->p", gradient[i], gradient[j])
        kept = (likeness >= 64 - 2 * max_gradient_distance) & ~flat[i] & ~flat[j]
        left.append(i[kept])
        right.append(j[kept])
    edges = np.concatenate(left), np.concatenate(right)
    graph = coo_array((np.ones(len(edges[0]), np.int8), edges), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse], dtype=np.int64)


def near_duplicates(
    paths: Sequence[Path],
    *,
    max_distance: int = MAX_DISTANCE,
    cache: Path | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> IntArray:
    """Group image files by likeness: :func:`hash_files`, then :func:`group`.

    Args:
        paths: n files.
        max_distance: largest distance of the DCT hashes of twins, in bits.
        cache: as in :func:`hash_files`.
        workers: as in :func:`hash_files`.
        progress: as in :func:`hash_files`.

    Returns:
        int64 array of shape (n,): the number of each file's group; see :func:`twins`.

    Raises:
        ImageError: if a file cannot be read.
    """
    hashes = hash_files(paths, cache=cache, workers=workers, progress=progress)
    return group(hashes, max_distance=max_distance)


def twins(groups: IntArray) -> tuple[IntArray, ...]:
    """The groups of two images and more, as arrays of indices."""
    order = np.argsort(groups, kind="stable")
    runs = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    return tuple(run for run in runs if len(run) > 1)


def grouped_split(
    samples: Sequence[Sample],
    *,
    fractions: Mapping[str, float],
    seed: int,
    groups: Sequence[int] | IntArray | None = None,
) -> tuple[Sample, ...]:
    """Split samples at random, so that no group straddles.

    Large groups are placed first, each into the split that lacks most, so the sizes come out as
    asked as long as no group is larger than a split.

    Args:
        samples: n samples; their own splits are replaced.
        fractions: share of each split, summing to 1.
        seed: of the order groups of one size are placed in.
        groups: n group numbers, from :func:`near_duplicates`; None for every sample on its own.

    Returns:
        The samples in the order given.

    Raises:
        DatasetError: if the fractions do not sum to 1 or the groups are of another number.
    """
    shares = np.array(list(fractions.values()), dtype=np.float64)
    if not (len(shares) and (shares >= 0).all() and abs(shares.sum() - 1) < 1e-6):
        raise DatasetError(f"got fractions {dict(fractions)}, expected shares that sum to 1")
    labels = np.arange(len(samples)) if groups is None else np.asarray(groups)
    if labels.shape != (len(samples),):
        raise DatasetError(f"got {labels.size} groups, expected one for each of {len(samples)}")
    _, members, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    lacking = shares * len(samples)
    place = np.empty(len(sizes), dtype=np.int64)
    for number in order:
        place[number] = np.argmax(lacking)
        lacking[place[number]] -= sizes[number]
    names = list(fractions)
    return tuple(
        replace(sample, split=names[place[member]])
        for sample, member in zip(samples, members, strict=True)
    )


def drawn(dataset: Dataset, limit: int | None, *, seed: int) -> Dataset:
    """As many samples as the limit says, drawn at random, in their order; None takes all.

    A larger limit adds to what a smaller one draws, so that cached features stay of use.
    """
    if limit is None or limit >= len(dataset):
        return dataset
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:limit]
    return dataset.replace(tuple(dataset[int(i)] for i in sorted(chosen)))


def twin_groups(dataset: Dataset, hashes: Path) -> IntArray:
    """:func:`near_duplicates` of a data set's images.

    Args:
        dataset: n samples.
        hashes: folder that keeps the perceptual hashes, a file a data set.

    Returns:
        int64 array of shape (n,).

    Raises:
        ImageError: if a file cannot be read.
    """
    paths = [sample.path for sample in dataset]
    return near_duplicates(paths, cache=hashes / f"{dataset.name}-hashes.parquet")


def held_out(dataset: Dataset, share: float, *, seed: int, hashes: Path) -> Dataset:
    """The data set split into ``train`` and ``val``, near-identical twins on one side.

    Args:
        dataset: its own splits are replaced.
        share: of the samples, for ``val``.
        seed: of the draw.
        hashes: as in :func:`twin_groups`.

    Raises:
        ImageError: if a file cannot be read.
    """
    return dataset.replace(
        grouped_split(
            dataset.samples,
            fractions={"train": 1 - share, "val": share},
            seed=seed,
            groups=twin_groups(dataset, hashes),
        )
    )


def drop_twins(
    test: Dataset,
    train: Dataset,
    *,
    max_distance: int = MAX_DISTANCE,
    cache: Path | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> Dataset:
    """The test set without its images that are, or look like, an image of the training set.

    Twins of dropped images are dropped too. A line of ``problems`` says how many there were.

    Raises:
        ImageError: if a file cannot be read.
    """
    groups = near_duplicates(
        [sample.path for sample in (*test, *train)],
        max_distance=max_distance,
        cache=cache,
        workers=workers,
        progress=progress,
    )
    seen = np.isin(groups[: len(test)], groups[len(test) :])
    if not seen.any():
        return test
    kept = tuple(sample for sample, twin in zip(test, seen, strict=True) if not twin)
    line = f"{int(seen.sum())} images with a twin among the training images, dropped"
    return replace(test, samples=kept, problems=(*test.problems, line))


_Stamp = tuple[str, int, int]
_COLUMNS = ("path", "size", "changed", "dct", "gradient")


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError as error:
        raise ImageError(str(path), "no such file", "check the spelling") from error
    return str(path.absolute()), status.st_size, status.st_mtime_ns


def _read_cache(cache: Path | None) -> dict[_Stamp, tuple[int, int]]:
    if cache is None or not cache.is_file():
        return {}
    try:
        rows = pl.read_parquet(cache, columns=list(_COLUMNS)).iter_rows()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DatasetError(
            f"got {cache}, which is no cache of hashes ({str(error).partition(chr(10))[0]}), "
            "expected one; delete it or name another"
        ) from error
    return {row[:3]: row[3:] for row in rows}


def _write_cache(cache: Path | None, known: Mapping[_Stamp, tuple[int, int]]) -> None:
    if cache is None:
        return
    cache.parent.mkdir(parents=True, exist_ok=True)
    schema = dict(zip(_COLUMNS, (pl.String, pl.Int64, pl.Int64, pl.UInt64, pl.UInt64), strict=True))
    rows = [(*stamp, *pair) for stamp, pair in known.items()]
    part = cache.with_name(f"{cache.name}.part")  # a reader never sees half a file
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(part)
    part.replace(cache)


def _signs(hashes: HashArray) -> npt.NDArray[np.float32]:
    """The bits of n hashes as -1 and 1, shape (n, 64)."""
    bits = np.unpackbits(hashes.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    return bits.astype(np.float32) * 2 - 1
