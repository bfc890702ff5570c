from dataclasses import dataclass

import numpy as np
import pytest

from halfsight.grid import GridError, RegionGrid
from halfsight.measures.base import (
    CellMeasure,
    Measure,
    MeasureError,
    for_image,
    is_flat,
    region_values,
    shrink,
)


@dataclass
class Returns:
    """A measure that answers with what it was given."""

    answer: object
    name: str = "returns"

    def __call__(self, pixels):
        return self.answer


@dataclass
class ReturnsCells(Returns):
    def cell_values(self, pixels, grid, *, tokens=None, how="mean"):
        return [*range(len(grid) - 1), 100.0 if how == "max" else 50.0]


PIXELS = np.zeros((12, 16, 3), np.uint8)


@pytest.mark.parametrize("how", ["mean", "max", "top10"])
@pytest.mark.parametrize("tokens", [None, (5, 7)])
def test_region_values_aggregate_the_map(how, tokens):
    values = np.random.default_rng(0).random((12, 16)).astype(np.float32)
    grid = RegionGrid()
    found = region_values(Returns(values), PIXELS, grid, how=how, tokens=tokens)
    assert found.dtype == np.float64
    assert np.array_equal(found, grid.aggregate(values, how=how, tokens=tokens))
    if how == "mean" and tokens is None:
        assert found[1] == pytest.approx(values[:4, 4:8].mean())


def test_a_measure_of_regions_is_asked_for_regions():
    measure = ReturnsCells(None)
    assert isinstance(measure, CellMeasure)
    assert region_values(measure, PIXELS, RegionGrid(2, 2)).tolist() == [0, 1, 2, 50]
    assert region_values(measure, PIXELS, RegionGrid(2, 2), how="max").tolist() == [0, 1, 2, 100]


@pytest.mark.parametrize("answer", [np.zeros((16, 12)), np.zeros((12, 16, 1)), np.zeros(12)])
def test_a_map_of_another_shape_is_refused(answer):
    with pytest.raises(MeasureError, match=r"'returns', expected \(12, 16\)"):
        region_values(Returns(answer), PIXELS, RegionGrid())


def test_values_that_are_not_finite_are_refused():
    answer = np.zeros((12, 16))
    answer[3, 3] = np.nan
    with pytest.raises(MeasureError, match="not finite"):
        region_values(Returns(answer), PIXELS, RegionGrid())


def test_an_unknown_aggregate_is_refused():
    with pytest.raises(GridError, match="median"):
        region_values(Returns(np.zeros((12, 16))), PIXELS, RegionGrid(), how="median")


def test_other_images_are_refused():
    with pytest.raises(MeasureError, match="float64"):
        region_values(Returns(np.zeros((12, 16))), np.zeros((12, 16, 3)), RegionGrid())


def test_for_image_leaves_most_measures_alone():
    measure = Returns(None)
    assert isinstance(measure, Measure)
    assert for_image(measure, "a.jpg") is measure


def test_is_flat():
    assert is_flat(PIXELS)
    other = PIXELS.copy()
    other[11, 15, 2] = 1
    assert not is_flat(other)


@pytest.mark.parametrize(
    ("shape", "shortest", "expected"),
    [
        ((768, 1024), 1, (150, 200)),
        ((1024, 768), 1, (200, 150)),
        ((100, 120), 1, (100, 120)),
        ((5, 4000), 1, (1, 800)),
        ((40, 4000), 16, (16, 1600)),
    ],
)
def test_shrink(shape, shortest, expected):
    small = shrink(np.full((*shape, 3), 9, np.uint8), 200, shortest=shortest)
    assert small.shape == (*expected, 3)
    assert small.dtype == np.uint8
    assert (small == 9).all()
