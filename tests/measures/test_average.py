from dataclasses import dataclass

import numpy as np
import pytest

from halfsight.grid import RegionGrid
from halfsight.measures.average import Averaged, average, min_max
from halfsight.measures.base import MeasureError, region_values
from halfsight.measures.registry import load


@dataclass(frozen=True)
class Channel:
    """One colour channel as a measure."""

    index: int
    name: str = "channel"

    def __call__(self, pixels):
        return pixels[..., self.index].astype(np.float32)


def photo(height=60, width=80):
    return np.random.default_rng(4).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_min_max():
    assert min_max([2, 6, 4]).tolist() == [0, 1, 0.5]
    assert min_max([[1, 3], [2, 1]]).tolist() == [[0, 1], [0.5, 0]]
    assert min_max([7, 7, 7]).tolist() == [0, 0, 0]


def test_average_of_known_values():
    assert average([[0, 1, 2], [10, 10, 20], [5, 5, 5]]) == pytest.approx([0, 0.5 / 3, 2 / 3])


@pytest.mark.parametrize("how", ["mean", "max"])
def test_region_values_are_averaged_after_normalising_the_regions(how):
    pixels, grid = photo(12, 16), RegionGrid()
    parts = [Channel(0), Channel(1), Channel(2)]
    expected = np.zeros(12)
    for part in parts:
        values = grid.aggregate(part(pixels), how=how)
        expected += (values - values.min()) / (values.max() - values.min()) / 3
    assert region_values(Averaged(parts), pixels, grid, how=how) == pytest.approx(expected)


def test_a_constant_measure_changes_no_rank():
    pixels, grid = photo(), RegionGrid()
    pixels[..., 1] = 50
    both = region_values(Averaged([Channel(0), Channel(1)]), pixels, grid)
    alone = region_values(Averaged([Channel(0)]), pixels, grid)
    assert both == pytest.approx(alone / 2)


def test_default_is_saliency_frequency_objectness():
    assert [part.name for part in Averaged().measures] == [
        load(kind).name for kind in ("saliency", "frequency", "objectness")
    ]


def test_default_in_a_photograph():
    pixels = np.full((120, 160, 3), 90, np.uint8)
    pixels[50:70, 90:110] = photo(20, 20)
    values = region_values(load("averaged"), pixels, RegionGrid())
    assert values.argmax() == 6
    assert values.min() >= 0
    assert values.max() <= 1


def test_one_colour_gives_zeros_everywhere():
    pixels = np.full((60, 80, 3), 90, np.uint8)
    assert region_values(Averaged(), pixels, RegionGrid()) == pytest.approx(np.zeros(12), abs=1e-12)


def test_map_is_the_mean_of_the_normalised_maps():
    pixels = photo()
    found = Averaged([Channel(0), Channel(2)])(pixels)
    assert found.shape == (60, 80)
    assert found.dtype == np.float32
    expected = (min_max(pixels[..., 0]) + min_max(pixels[..., 2])) / 2
    assert np.allclose(found, expected, atol=1e-6)


def test_parts_may_be_names_and_are_told_the_image(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(48.0).reshape(6, 8))
    maps = load("precomputed", folder=tmp_path)
    bound = Averaged(["centre-bias", maps]).for_image("a.jpg")
    assert [part.name for part in bound.measures] == ["centre-bias", "precomputed"]
    assert region_values(bound, photo(6, 8), RegionGrid(2, 2)).shape == (4,)


def test_nothing_to_average_is_refused():
    with pytest.raises(MeasureError, match="at least one"):
        Averaged([])
