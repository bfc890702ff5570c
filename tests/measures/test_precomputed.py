import cv2
import numpy as np
import pytest

from halfsight.grid import RegionGrid
from halfsight.measures.base import MeasureError, for_image, region_values
from halfsight.measures.precomputed import PrecomputedMaps

PIXELS = np.zeros((60, 80, 3), np.uint8)


def test_npy_maps_are_found_by_name_and_fitted(tmp_path):
    (tmp_path / "sub").mkdir()
    np.save(tmp_path / "sub" / "a.npy", np.repeat([[0.0, 1.0]], 2, axis=0))
    measure = for_image(PrecomputedMaps(tmp_path), "sub/a.jpg")
    values = region_values(measure, PIXELS, RegionGrid(2, 2))
    assert measure(PIXELS).shape == (60, 80)
    assert values[0] == pytest.approx(values[2])
    assert values[1] - values[0] > 0.5


@pytest.mark.parametrize("name", ["a.png", "a.jpg.png"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_grey_images_of_8_and_16_bit(tmp_path, name, kind):
    values = np.arange(48, dtype=kind).reshape(6, 8) * (100 if kind == np.uint16 else 1)
    cv2.imwrite(str(tmp_path / name), values)
    found = PrecomputedMaps(tmp_path).for_image("a.jpg")(np.zeros((6, 8, 3), np.uint8))
    assert found.dtype == np.float32
    assert np.array_equal(found, values)


def test_without_a_name_it_says_so(tmp_path):
    with pytest.raises(MeasureError, match="for_image"):
        PrecomputedMaps(tmp_path)(PIXELS)


def test_a_missing_map_is_named(tmp_path):
    with pytest.raises(MeasureError, match=r"no map for image 'b.jpg' in .*b.npy"):
        PrecomputedMaps(tmp_path).for_image("b.jpg")(PIXELS)


@pytest.mark.parametrize("name", ["../b.jpg", "/etc/passwd", "a/../../b.jpg", "..\\b.jpg"])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    np.save(tmp_path / "b.npy", np.zeros((2, 2)))
    (tmp_path / "maps").mkdir()
    with pytest.raises(MeasureError, match="inside its data set"):
        PrecomputedMaps(tmp_path / "maps").for_image(name)(PIXELS)


def test_a_map_on_its_side_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((80, 60)))
    with pytest.raises(MeasureError, match="same orientation"):
        PrecomputedMaps(tmp_path).for_image("a.jpg")(PIXELS)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((4, 4, 3)),
        np.zeros(4),
        np.array([[np.nan, 1.0]]),
        np.zeros((0, 4)),
        np.array([[{}]], dtype=object),
        np.array([["a"]]),
    ],
)
def test_what_is_no_map_is_refused(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(MeasureError, match=r"a\.npy"):
        PrecomputedMaps(tmp_path).for_image("a.jpg")(PIXELS)


@pytest.mark.parametrize("suffix", [".npy", ".png"])
def test_damaged_files_are_refused(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(b"not a map")
    with pytest.raises(MeasureError, match="expected"):
        PrecomputedMaps(tmp_path).for_image("a.jpg")(PIXELS)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(MeasureError, match="folder of maps"):
        PrecomputedMaps(tmp_path / "none")
    with pytest.raises(MeasureError, match="give folder="):
        PrecomputedMaps()
