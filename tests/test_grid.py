from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfsight.grid import GridError, RegionGrid, cuts


@given(st.integers(1, 400), st.integers(1, 16))
def test_cuts_are_those_of_array_split(length: int, parts: int) -> None:
    if parts > length:
        with pytest.raises(GridError, match="at least one item a part"):
            cuts(length, parts)
        return
    sizes = [len(part) for part in np.array_split(np.arange(length), parts)]
    assert np.diff(cuts(length, parts)).tolist() == sizes


def test_paper_grid_gives_blocks_of_four_by_four_tokens() -> None:
    owners = RegionGrid(3, 4).token_owners(12, 16).reshape(12, 16)
    for region in range(12):
        rows, cols = np.nonzero(owners == region)
        assert len(rows) == 16
        assert (rows.min() // 4, cols.min() // 4) == divmod(region, 4)


@given(st.integers(4, 40), st.integers(4, 40), st.sampled_from(["3x4", "4x3", "2x2", "1x4", "4x4"]))
def test_every_token_and_pixel_has_one_region(height: int, width: int, text: str) -> None:
    grid = RegionGrid.parse(text)
    owners = grid.token_owners(height, width)
    assert set(owners.tolist()) == set(range(len(grid)))
    painted = grid.paint(np.arange(len(grid)), height, width)
    assert np.array_equal(painted.reshape(-1), owners)


def test_pixel_boxes_follow_the_tokens() -> None:
    grid = RegionGrid(3, 4)
    boxes = grid.boxes(256, 256, tokens=(8, 8))
    # 8 token rows are cut 3, 3, 2: 96, 96 and 64 pixels
    assert boxes[0].tolist() == [0, 0, 96, 64]
    assert boxes[11].tolist() == [192, 192, 256, 256]
    covered = np.zeros((256, 256), dtype=int)
    for top, left, bottom, right in boxes:
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize(
    ("size", "text"), [((300, 400), "3x4"), ((400, 300), "4x3"), ((300, 300), "3x4")]
)
def test_grid_turns_with_the_photograph(size: tuple[int, int], text: str) -> None:
    assert str(RegionGrid(3, 4).oriented(*size)) == text
    assert str(RegionGrid(4, 3).oriented(*size)) == (
        "4x3" if text == "4x3" or size[0] == size[1] else "3x4"
    )


def test_aggregates() -> None:
    grid = RegionGrid(1, 2)
    values = np.zeros((10, 20))
    values[:, 10:] = np.arange(100).reshape(10, 10)
    assert grid.aggregate(values).tolist() == [0, 49.5]
    assert grid.aggregate(values, how="max").tolist() == [0, 99]
    assert grid.aggregate(values, how="top10").tolist() == [0, np.arange(90, 100).mean()]


@pytest.mark.parametrize("text", ["", "3", "3x", "x4", "3x4x5", "-3x4", "3.0x4", "0x4", "5x4"])
def test_bad_grids_say_what_was_expected(text: str) -> None:
    with pytest.raises(GridError, match="expected"):
        RegionGrid.parse(text)


def test_paint_and_aggregate_are_inverse() -> None:
    grid = RegionGrid(3, 4)
    values = np.arange(12.0)
    painted = grid.paint(values, 37, 53, tokens=(5, 7))
    assert np.allclose(grid.aggregate(painted, tokens=(5, 7)), values)
    with pytest.raises(GridError, match="expected 12"):
        grid.paint(np.arange(5), 37, 53)
