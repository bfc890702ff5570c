import numpy as np
import pytest

from halfsight.measures.base import MeasureError
from halfsight.measures.objectness import SelectiveSearch, touched, vote_map


def scene(height=240, width=320):
    """A disc on a textured ground, and where it is."""
    rng = np.random.default_rng(0)
    ground = 100 + 20 * np.sin(np.arange(width) / 9)[None, :, None] * np.ones((height, 1, 3))
    y, x = np.mgrid[:height, :width]
    disc = (y - 110) ** 2 + (x - 210) ** 2 < 50**2
    ground[disc] = (210, 160, 40)
    return np.clip(ground + rng.normal(0, 3, ground.shape), 0, 255).astype(np.uint8), disc


def oracle_votes(boxes, weights, size):
    out = np.zeros(size)
    for (left, top, right, bottom), weight in zip(boxes, weights, strict=True):
        out[top:bottom, left:right] += weight
    return out


def test_vote_map_equals_painting_every_box():
    rng = np.random.default_rng(3)
    corners = np.sort(rng.integers(0, 31, (200, 2, 2)), axis=1)
    boxes = np.concatenate([corners[:, 0], corners[:, 1]], axis=1)
    boxes[:, [1, 3]] = boxes[:, [1, 3]] * 19 // 30
    weights = rng.random(200)
    assert np.allclose(
        vote_map(boxes, weights, size=(19, 30)), oracle_votes(boxes, weights, (19, 30))
    )


def test_no_boxes_no_votes():
    assert not vote_map(np.zeros((0, 4), np.int64), [], size=(4, 5)).any()


def test_touched_sides_are_counted():
    boxes = np.array([[1, 1, 9, 4], [0, 1, 9, 4], [0, 0, 9, 4], [0, 0, 10, 4], [0, 0, 10, 5]])
    assert touched(boxes, (5, 10)).tolist() == [0, 1, 2, 3, 4]


def test_the_object_gets_the_votes():
    pixels, disc = scene()
    found = SelectiveSearch()(pixels)
    assert found.shape == disc.shape
    assert found.dtype == np.float32
    assert found[disc].mean() > 3 * found[~disc].mean()


def test_the_random_order_of_the_boxes_does_not_matter():
    pixels, _ = scene()
    first = SelectiveSearch()(pixels)
    assert np.array_equal(first, SelectiveSearch()(pixels))


def test_map_is_the_vote_of_the_boxes():
    pixels, _ = scene(150, 200)
    measure = SelectiveSearch(side=200, kept=0.5)
    boxes, size = measure.boxes(pixels)
    assert size == (150, 200)
    assert len(np.unique(boxes, axis=0)) == len(boxes) > 1
    votes = oracle_votes(boxes, 0.5 ** touched(boxes, size), size)
    assert np.allclose(measure(pixels), votes, atol=1e-4)


def test_the_working_copy_is_small():
    pixels, _ = scene(120, 400)
    boxes, size = SelectiveSearch(side=100).boxes(pixels)
    assert size == (30, 100)
    assert boxes[:, 2].max() <= 100


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 2), (5, 7), (20, 20), (900, 3)])
def test_every_size_gives_a_finite_map(shape):
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = SelectiveSearch()(pixels)
    assert found.shape == shape
    assert np.isfinite(found).all()
    assert found.min() >= 0


def test_one_colour_has_no_object():
    assert not SelectiveSearch()(np.full((60, 80, 3), 90, np.uint8)).any()


@pytest.mark.parametrize("options", [{"side": 8}, {"kept": -0.1}, {"kept": 2}])
def test_wrong_options_are_refused(options):
    with pytest.raises(MeasureError, match="expected"):
        SelectiveSearch(**options)
