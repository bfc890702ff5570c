from __future__ import annotations

import numpy as np
import pytest

from halfsight import coalitions
from halfsight.experiments import halves


def test_bits_are_coalition_indices() -> None:
    chosen = np.random.default_rng(0).random((20, 12)) < 0.5
    wanted = [coalitions.index_of(np.flatnonzero(row)) for row in chosen]
    assert halves.bits(chosen).tolist() == wanted


def test_top_ranks_by_magnitude_and_ties_by_number() -> None:
    assert np.flatnonzero(halves.top([[1.0, -3.0, 2.0, -2.0]], 2)).tolist() == [1, 2]


def test_the_centre_is_the_middle_columns_or_rows() -> None:
    landscape, portrait = halves.centre([(3, 4), (4, 3)])
    assert np.flatnonzero(landscape).tolist() == [1, 2, 5, 6, 9, 10]
    assert np.flatnonzero(portrait).tolist() == [3, 4, 5, 6, 7, 8]


def test_random_halves_come_in_pairs() -> None:
    drawn = halves.random(30, 12, 5, seed=1)
    assert drawn.shape == (5, 30, 12)
    assert (drawn.sum(2) == 6).all()
    assert (drawn[1] == ~drawn[0]).all()
    assert (drawn == halves.random(30, 12, 5, seed=1)).all()
    assert (drawn[0] != drawn[2]).any()
    assert len(halves.every(12)) == 924


def test_shuffled_halves_are_anothers_with_the_same_grid() -> None:
    chosen = np.eye(12, dtype=bool)
    grids = [(3, 4)] * 5 + [(4, 3)] * 7
    moved = halves.shuffled(chosen, grids, seed=0).argmax(axis=1)
    assert sorted(moved) == list(range(12))
    assert (moved != np.arange(12)).all()
    assert (moved[:5] < 5).all()
    assert halves.likeliest(grids) == (4, 3)


@pytest.mark.parametrize("n", [4, 12])
def test_every_half_has_half_the_regions(n: int) -> None:
    assert (coalitions.sizes(n)[halves.every(n)] == n // 2).all()
