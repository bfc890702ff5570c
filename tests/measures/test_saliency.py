import cv2
import numpy as np
import pytest
from scipy import ndimage

from halfsight.measures.base import MeasureError
from halfsight.measures.saliency import BooleanMap, CentreBias, FineGrained, SpectralResidual

MEASURES = [BooleanMap(), SpectralResidual(), FineGrained(), CentreBias()]
CONTENT = MEASURES[:3]


def patch(height=240, width=320, *, top=90, left=200, side=40):
    """A red square on a grey ground, and where it is."""
    pixels = np.random.default_rng(0).integers(118, 123, (height, width, 3), dtype=np.uint8)
    inside = np.zeros((height, width), dtype=bool)
    inside[top : top + side, left : left + side] = True
    pixels[inside] = (200, 30, 30)
    return pixels, inside


@pytest.mark.parametrize("measure", CONTENT, ids=lambda m: m.name)
def test_what_stands_out_is_salient(measure):
    pixels, inside = patch()
    found = measure(pixels)
    assert found[inside].mean() > 2 * found[~inside].mean()


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 2), (5, 7), (40, 30), (600, 33)])
def test_every_size_gives_a_finite_map_of_that_size(measure, shape):
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = measure(pixels)
    assert found.shape == shape
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.min() >= 0


@pytest.mark.parametrize("measure", CONTENT, ids=lambda m: m.name)
@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1), (60, 80)])
def test_one_colour_gives_zeros(measure, level, shape):
    assert not measure(np.full((*shape, 3), level, np.uint8)).any()


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
def test_same_image_same_map(measure):
    pixels, _ = patch()
    kept = pixels.copy()
    assert np.array_equal(measure(pixels), measure(pixels))
    assert np.array_equal(pixels, kept)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
def test_read_only_images_are_taken(measure):
    pixels, _ = patch()
    pixels.flags.writeable = False
    assert measure(pixels).shape == pixels.shape[:2]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)],
)
def test_other_arrays_are_refused(measure, pixels):
    with pytest.raises(MeasureError, match="expected uint8 RGB"):
        measure(pixels)


def test_boolean_map_ignores_what_touches_the_border():
    pixels, inside = patch()
    pixels[200:, :100] = (30, 30, 200)  # as strong, but it runs out of the image
    found = BooleanMap(blur=0)(pixels)
    corner = found[210:, :90]
    assert corner.max() < 0.2 * found[inside].mean()


def oracle_boolean_map(pixels, measure):
    """The definition with labelled components instead of a flood fill."""
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    total = np.zeros(pixels.shape[:2])
    opening = np.ones((measure.opening, measure.opening), bool)
    thick = np.ones((measure.thickening, measure.thickening), bool)
    for channel in range(3):
        smooth = cv2.medianBlur(np.ascontiguousarray(lab[..., channel]), 3)
        for threshold in range(smooth.min() + measure.step // 2, int(smooth.max()), measure.step):
            for shapes in (smooth > threshold, smooth <= threshold):
                eroded = ndimage.binary_erosion(shapes, opening, border_value=1)
                parts, count = ndimage.label(ndimage.binary_dilation(eroded, opening))
                border = {*parts[0], *parts[-1], *parts[:, 0], *parts[:, -1]}
                kept = np.isin(parts, [p for p in range(1, count + 1) if p not in border])
                kept = ndimage.binary_dilation(kept, thick)
                if kept.any():
                    total += kept / np.linalg.norm(kept.astype(float))
    return total


def test_boolean_map_equals_the_plain_definition():
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    pixels = cv2.resize(coarse, (120, 90), interpolation=cv2.INTER_CUBIC)
    measure = BooleanMap(blur=0)
    assert measure(pixels).max() > 0.5  # the comparison is not of two empty maps
    assert np.allclose(measure(pixels), oracle_boolean_map(pixels, measure), atol=1e-4)


def test_centre_bias_is_highest_in_the_middle_and_symmetric():
    found = CentreBias()(np.zeros((31, 41, 3), np.uint8))
    assert np.unravel_index(found.argmax(), found.shape) == (15, 20)
    assert found[15, 20] == pytest.approx(1)
    assert np.allclose(found, found[::-1, ::-1])
    # One standard deviation to the side: exp(-1/2).
    wide = CentreBias(across=0.25)(np.zeros((1, 401, 3), np.uint8))
    assert wide[0, 200 + 100] == pytest.approx(np.exp(-0.5), rel=0.01)
