from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter

from halfsight.datasets import Dataset, DatasetError, Sample, Scale
from halfsight.datasets.splits import (
    Hashes,
    drop_twins,
    group,
    grouped_split,
    hash_files,
    near_duplicates,
    twins,
)
from halfsight.images import ImageError

Scene = Callable[[int], Image.Image]


@pytest.fixture
def series(tmp_path: Path, scene: Scene) -> list[Path]:
    """Two scenes in three and two states, a third alone, and two pictures of one colour."""
    first, second = scene(1), scene(2)
    pictures = [
        first,
        second,
        ImageEnhance.Brightness(first).enhance(0.5),
        scene(3),
        first.filter(ImageFilter.GaussianBlur(2)).resize((64, 64)),
        second.resize((150, 150)),
        Image.new("RGB", (50, 50), "black"),
        Image.new("RGB", (50, 50), "white"),
    ]
    paths = [tmp_path / f"{i}.png" for i in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    return paths


SERIES = [0, 1, 0, 2, 0, 1, 3, 4]


def dataset(paths: list[Path]) -> Dataset:
    return Dataset("made", paths[0].parent, tuple(Sample(p.name, p) for p in paths), Scale(1, 5))


def test_twins_are_found(series: list[Path]) -> None:
    groups = near_duplicates(series)
    assert groups.tolist() == SERIES
    assert [run.tolist() for run in twins(groups)] == [[0, 2, 4], [1, 5]]


def test_only_copies_within_no_distance(series: list[Path]) -> None:
    copy = series[0].with_name("copy.png")
    copy.write_bytes(series[0].read_bytes())
    hashes = hash_files([*series[:2], copy])
    assert group(hashes, max_distance=0, max_gradient_distance=0).tolist() == [0, 1, 0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 60), st.integers(0, 20), st.integers(0, 20))
def test_group_against_a_plain_loop(seed: int, count: int, limit: int, gradient: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**64, (4, 2), dtype=np.uint64)
    bits = rng.integers(0, 64, (count, 8, 2)).astype(np.uint64)
    flips = np.bitwise_or.reduce(np.uint64(1) << bits, axis=1)
    pairs = base[rng.integers(0, 4, count)] ^ flips
    found = group(
        Hashes(pairs[:, 0], pairs[:, 1]), max_distance=limit, max_gradient_distance=gradient
    )

    label = list(range(count))
    flat = [int(p).bit_count() < 8 for p in pairs[:, 0]]
    for i in range(count):
        for j in range(i):
            near = (int(pairs[i, 0]) ^ int(pairs[j, 0])).bit_count() <= limit
            alike = (int(pairs[i, 1]) ^ int(pairs[j, 1])).bit_count() <= gradient
            if near and alike and not flat[i] and not flat[j]:
                old, new = max(label[i], label[j]), min(label[i], label[j])
                label = [new if x == old else x for x in label]
    expected = [sorted(set(label)).index(x) for x in label]
    assert found.tolist() == expected


def test_more_images_than_a_block() -> None:
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 2**64, (2500, 2), dtype=np.uint64)
    pairs[2400] = pairs[10]
    pairs[1030] = pairs[1020]
    found = twins(group(Hashes(pairs[:, 0], pairs[:, 1])))
    assert [run.tolist() for run in found] == [[10, 2400], [1020, 1030]]


def test_nothing_to_compare() -> None:
    assert len(near_duplicates([])) == 0
    assert twins(near_duplicates([])) == ()


def test_cache(
    series: list[Path], scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "caches" / "hashes.parquet"
    calls: list[tuple[int, int]] = []
    first = hash_files(series, cache=cache, progress=lambda *done: calls.append(done))
    assert calls == [(i + 1, 8) for i in range(8)]

    def refuse(path: Path) -> None:
        raise AssertionError(f"{path} read again")

    monkeypatch.setattr("halfsight.datasets.splits.read", refuse)
    again = hash_files(series[::-1], cache=cache)
    np.testing.assert_array_equal(again.dct, first.dct[::-1])
    np.testing.assert_array_equal(again.gradient, first.gradient[::-1])
    scene(9).resize((20, 20)).save(series[0])
    with pytest.raises(AssertionError, match="read again"):
        hash_files(series, cache=cache)
    cache.write_bytes(b"something else")
    with pytest.raises(DatasetError, match="which is no cache of hashes"):
        hash_files(series, cache=cache)


def test_hashes_before_a_damaged_file_are_kept(series: list[Path], tmp_path: Path) -> None:
    series[5].write_bytes(b"no picture")
    cache = tmp_path / "hashes.parquet"
    with pytest.raises(ImageError, match=r"5\.png"):
        hash_files(series, cache=cache)
    calls: list[tuple[int, int]] = []
    hash_files(series[:5], cache=cache, progress=lambda *done: calls.append(done))
    assert calls == []
    with pytest.raises(ImageError, match="no such file"):
        hash_files([tmp_path / "gone.png"])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.integers(0, 100))
def test_groups_never_straddle(groups: list[int], seed: int) -> None:
    samples = [Sample(f"{i}.png", Path(f"{i}.png"), split="old") for i in range(len(groups))]
    fractions = {"train": 0.8, "val": 0.2}
    made = grouped_split(samples, fractions=fractions, seed=seed, groups=groups)
    assert [s.id for s in made] == [s.id for s in samples]
    placed: dict[int, set[str]] = {}
    for number, sample in zip(groups, made, strict=True):
        placed.setdefault(number, set()).add(sample.split)
    assert all(len(splits) == 1 for splits in placed.values())
    assert grouped_split(samples, fractions=fractions, seed=seed, groups=groups) == made
    largest = max(Counter(groups).values())
    count = Counter(s.split for s in made)
    assert abs(count["val"] - 0.2 * len(groups)) <= largest


def test_split_sizes_and_seed() -> None:
    samples = [Sample(f"{i}.png", Path(f"{i}.png")) for i in range(100)]
    fractions = {"train": 0.7, "val": 0.2, "test": 0.1}
    one = grouped_split(samples, fractions=fractions, seed=1)
    two = grouped_split(samples, fractions=fractions, seed=2)
    assert Counter(s.split for s in one) == {"train": 70, "val": 20, "test": 10}
    assert one != two


@pytest.mark.parametrize("fractions", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}])
def test_fractions_that_are_none(fractions: dict[str, float]) -> None:
    with pytest.raises(DatasetError, match="expected shares that sum to 1"):
        grouped_split([Sample("a", Path("a"))], fractions=fractions, seed=0)


def test_groups_of_another_number() -> None:
    with pytest.raises(DatasetError, match="got 2 groups, expected one for each of 1"):
        grouped_split([Sample("a", Path("a"))], fractions={"x": 1}, seed=0, groups=[1, 2])


def test_drop_twins(series: list[Path]) -> None:
    train, test = dataset([series[0], series[6]]), dataset(series[1:6])
    kept = drop_twins(test, train)
    assert [s.id for s in kept] == ["1.png", "3.png", "5.png"]
    assert kept.problems == ("2 images with a twin among the training images, dropped",)
    assert drop_twins(dataset([series[3]]), train).problems == ()
