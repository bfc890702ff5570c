from __future__ import annotations

import numpy as np
import pytest
from tests.pictures import picture

from halfsight.budget import selector
from halfsight.budget.crops import BudgetError
from halfsight.budget.thumbnail import ThumbnailNet
from halfsight.grid import RegionGrid

LANDSCAPE, PORTRAIT = RegionGrid(3, 4), RegionGrid(4, 3)


@pytest.mark.parametrize("name", [n for n in selector.NAMES if n not in ("objectness", "averaged")])
@pytest.mark.parametrize("grid", [LANDSCAPE, PORTRAIT])
def test_every_selector_gives_one_value_a_region(name: str, grid: RegionGrid) -> None:
    chosen = selector.load(name, learned=ThumbnailNet().eval())
    height, width = (150, 200) if grid is LANDSCAPE else (200, 150)
    pixels = picture(height, width)
    values = chosen.values(pixels, grid)
    assert values.shape == (12,)
    assert np.isfinite(values).all()
    assert np.array_equal(values, chosen.values(pixels, grid))
    assert chosen.name == name


def test_rankings_break_ties_by_number() -> None:
    assert selector.ranking([1, 3, 3, 0]) == (1, 2, 0, 3)
    assert selector.kept((5, 1, 2, 0), 3) == (1, 2, 5)


def test_half_of_a_checkerboard_is_one_colour() -> None:
    order = selector.ranking(selector.Checkerboard().values(picture(30, 40), LANDSCAPE))
    assert set(order[:6]) == {0, 2, 5, 7, 8, 10}


def test_the_centre_comes_first() -> None:
    order = selector.ranking(selector.Centre().values(picture(30, 40), LANDSCAPE))
    assert set(order[:2]) == {5, 6}
    assert set(order[-4:]) == {0, 3, 8, 11}


def test_chance_depends_on_the_photograph_and_the_seed() -> None:
    one, two = picture(60, 80, 1), picture(60, 80, 2)
    draw = selector.Random(0).values
    assert not np.array_equal(draw(one, LANDSCAPE), draw(two, LANDSCAPE))
    assert not np.array_equal(draw(one, LANDSCAPE), selector.Random(1).values(one, LANDSCAPE))


def test_unknown_names_and_missing_networks() -> None:
    with pytest.raises(BudgetError, match="expected one of learned"):
        selector.load("oracle")
    with pytest.raises(BudgetError, match="halfsight budget train"):
        selector.load("learned")
