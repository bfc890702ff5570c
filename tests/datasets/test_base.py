from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from halfsight.datasets import Dataset, DatasetError, Sample, Scale, five_level_target


def sample(**fields: object) -> Sample:
    return Sample("a.jpg", Path("a.jpg"), **fields)  # type: ignore[arg-type]


def test_scale_ends_map_to_one_and_five() -> None:
    scale = Scale(0, 100)
    assert [scale.to_five(v) for v in (0.0, 50.0, 100.0)] == [1, 3, 5]
    assert scale.std_to_five(25.0) == 1
    assert 100 in scale
    assert 100.1 not in scale
    assert math.nan not in scale


def test_impairment_scale_is_turned_round() -> None:
    scale = Scale(0, 8, higher_is_better=False)
    assert scale.to_five(0.0) == 5
    assert scale.to_five(8.0) == 1
    assert scale.std_to_five(2.0) == 1


@given(st.floats(-1e3, 1e3), st.floats(1e-2, 1e3), st.floats(0, 1), st.booleans())
def test_scale_round_trip(minimum: float, width: float, where: float, better: bool) -> None:
    scale = Scale(minimum, minimum + width, better)
    value = minimum + where * width
    assert scale.from_five(scale.to_five(value)) == pytest.approx(value, abs=1e-9 * (1e3 + width))
    assert scale.std_from_five(scale.std_to_five(width)) == pytest.approx(width)
    assert 1 - 1e-9 <= scale.to_five(value) <= 5 + 1e-9


@pytest.mark.parametrize("ends", [(1, 1), (5, 1), (0, math.inf), (math.nan, 1)])
def test_scale_refuses(ends: tuple[float, float]) -> None:
    with pytest.raises(DatasetError, match="lower one first"):
        Scale(*ends)


def test_target_is_the_votes() -> None:
    target = five_level_target(sample(mos=3.0, votes=(0, 0.5, 0.25, 0.25, 0)), Scale(1, 5))
    np.testing.assert_allclose(target, [0, 0.5, 0.25, 0.25, 0])


def test_target_is_a_sampled_normal() -> None:
    target = five_level_target(sample(mos=60.0, mos_std=20.0), Scale(0, 100))
    expected = norm.pdf(np.arange(1, 6), loc=3.4, scale=0.8)
    np.testing.assert_allclose(target, expected / expected.sum())


def test_target_with_fixed_deviation() -> None:
    target = five_level_target(sample(mos=0.25), Scale(0, 1), fixed_std=0.5)
    expected = norm.pdf(np.arange(1, 6), loc=2, scale=0.5)
    np.testing.assert_allclose(target, expected / expected.sum())


def test_target_on_other_levels() -> None:
    target = five_level_target(sample(mos=5.0, mos_std=1.0), Scale(1, 5), levels=9)
    expected = norm.pdf(np.arange(1, 10), loc=9, scale=2)
    np.testing.assert_allclose(target, expected / expected.sum())


@pytest.mark.parametrize(("mos", "best"), [(1.0, 0), (2.9, 2), (5.0, 4)])
def test_unanimous_opinions_stay_finite(mos: float, best: int) -> None:
    target = five_level_target(sample(mos=mos, mos_std=0.0), Scale(1, 5))
    np.testing.assert_allclose(target, np.eye(5)[best], atol=1e-12)


def test_target_needs_labels_on_the_levels() -> None:
    with pytest.raises(DatasetError, match="without votes or a MOS"):
        five_level_target(sample(), Scale(1, 5))
    with pytest.raises(DatasetError, match="votes on 3 levels"):
        five_level_target(sample(votes=(0.5, 0.5, 0)), Scale(1, 5))


def test_dataset_splits() -> None:
    samples = tuple(
        Sample(f"{i}.jpg", Path(f"{i}.jpg"), split=split)
        for i, split in enumerate(["train", "val", "train", "test"])
    )
    dataset = Dataset("made", Path(), samples, Scale(1, 5), ("1 oddity: x",))
    assert dataset.splits == {"train": 2, "val": 1, "test": 1}
    chosen = dataset.split("test", "train")
    assert [s.id for s in chosen] == ["0.jpg", "2.jpg", "3.jpg"]
    assert len(chosen) == 3
    assert chosen[1].id == "2.jpg"
    assert chosen.problems == dataset.problems
    with pytest.raises(DatasetError, match="expected one of 'train', 'val', 'test'"):
        dataset.split("training")
