import csv
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import pearsonr
from sklearn.metrics import roc_auc_score

from halfsight.measures.base import MeasureError
from halfsight.measures.validation import (
    auc_judd,
    correlation,
    fixated_pixels,
    fixation_density,
    nss,
    save_rows,
    validate_saliency,
)

OSIE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "osie"


def case(seed=0, height=40, width=50, count=60):
    rng = np.random.default_rng(seed)
    fixated = np.zeros((height, width), bool)
    fixated[rng.integers(0, height, count), rng.integers(0, width, count)] = True
    return rng.random((height, width)) + 0.5 * fixated, fixated


def test_nss_is_the_mean_z_score():
    values, fixated = case()
    expected = np.mean([(v - values.mean()) / values.std() for v in values[fixated]])
    assert nss(values, fixated) == pytest.approx(expected)
    assert nss(3 * values + 7, fixated) == pytest.approx(expected)
    assert nss(np.ones_like(values), fixated) == 0


def oracle_auc_judd(values, fixated):
    """A threshold at each fixated value, the two rates counted pixel by pixel."""
    points = [(0.0, 0.0)]
    for threshold in sorted(values[fixated], reverse=True):
        points.append(
            (
                np.mean([v >= threshold for v in values[~fixated]]),
                np.mean([v >= threshold for v in values[fixated]]),
            )
        )
    points.append((1.0, 1.0))
    return sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(points))


def test_auc_judd_equals_counting():
    values, fixated = case()
    found = auc_judd(values, fixated)
    assert found == pytest.approx(oracle_auc_judd(values, fixated))
    # Thresholds at every value instead: nearly the same.
    assert found == pytest.approx(roc_auc_score(fixated.ravel(), values.ravel()), abs=0.01)
    assert 0.6 < found < 1


def test_auc_judd_of_extreme_maps():
    values, fixated = case()
    assert auc_judd(values + 10 * fixated, fixated) == pytest.approx(1, abs=0.01)
    assert auc_judd(values - 10 * fixated, fixated) == pytest.approx(0, abs=0.01)
    assert auc_judd(np.zeros(fixated.shape), fixated) == pytest.approx(0.5)


def test_correlation_is_pearsons():
    values, fixated = case()
    density = fixation_density(fixated, sigma=3)
    expected = pearsonr(values.ravel(), density.ravel()).statistic
    assert correlation(values, density) == pytest.approx(expected)
    assert correlation(np.ones_like(values), density) == 0


def test_density_of_one_fixation_is_a_gaussian():
    fixated = fixated_pixels([50.4], [40.9], size=(81, 101))
    assert np.argwhere(fixated).tolist() == [[40, 50]]
    density = fixation_density(fixated, sigma=4)
    assert density.sum() == pytest.approx(1, abs=1e-3)
    assert density[40, 54] / density[40, 50] == pytest.approx(np.exp(-0.5), rel=1e-3)


def test_fixations_off_the_image_move_to_its_border():
    mask = fixated_pixels([-3, 100], [5, 99], size=(10, 20))
    assert np.argwhere(mask).tolist() == [[5, 0], [9, 19]]


@dataclass(frozen=True)
class Bright:
    """Brightness as saliency."""

    name: str = "bright"

    def __call__(self, pixels):
        return pixels.mean(axis=2).astype(np.float32)


def make_osie(root, count=3, viewers=4):
    """Images with one bright square that every viewer looks at."""
    rng = np.random.default_rng(2)
    (root / "stimuli").mkdir(parents=True)
    with (root / "fixations.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "subject", "x", "y", "duration_ms"])
        for index in range(count):
            pixels = rng.integers(30, 40, (120, 160, 3), dtype=np.uint8)
            top, left = 5 + 40 * index, 5 + 60 * index
            pixels[top : top + 20, left : left + 20] = 220
            Image.fromarray(pixels).save(root / "stimuli" / f"{index}.jpg", quality=95)
            for viewer in range(viewers):
                x, y = left + 20 * rng.random(), top + 20 * rng.random()
                writer.writerow([f"{index}.jpg", viewer, x, y, 200])


def test_the_measure_that_knows_where_people_looked_wins(tmp_path):
    make_osie(tmp_path)
    seen = []
    rows = validate_saliency(
        tmp_path, ["spectral-residual", Bright()], sigma=6, progress=lambda *at: seen.append(at)
    )
    assert {row.measure for row in rows} == {"bright", "spectral-residual", "centre-bias"}
    assert [row.nss for row in rows] == sorted((row.nss for row in rows), reverse=True)
    best = rows[0]
    assert best.measure == "bright"
    assert best.images == 3
    assert best.nss > 4
    assert best.auc_judd > 0.97
    assert best.beats_centre == 1
    assert 3 <= best.region_matches <= 6
    assert best.seconds >= 0
    assert seen == [(1, 3), (2, 3), (3, 3)]
    centre = next(row for row in rows if row.measure == "centre-bias")
    assert centre.beats_centre == 0


def test_by_default_every_saliency_measure_that_loads_is_compared(tmp_path, monkeypatch):
    make_osie(tmp_path)
    monkeypatch.setattr(
        "halfsight.measures.registry.BUILT_IN",
        {
            "fine-grained": "halfsight.measures.saliency:FineGrained",
            "frequency": "halfsight.measures.frequency:SpatialFrequency",
        },
    )
    rows = validate_saliency(tmp_path, limit=2)
    assert {row.measure for row in rows} == {"fine-grained", "centre-bias"}
    assert rows[0].images == 2


def test_one_image_is_too_few(tmp_path):
    make_osie(tmp_path)
    with pytest.raises(MeasureError, match="got 1 images"):
        validate_saliency(tmp_path, ["centre-bias"], limit=1)


def test_rows_are_saved_with_what_made_them(tmp_path):
    make_osie(tmp_path)
    rows = validate_saliency(tmp_path, [Bright()])
    table, document = save_rows(rows, tmp_path / "out", command="a command")
    with table.open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [line["measure"] for line in lines] == [row.measure for row in rows]
    assert float(lines[0]["nss"]) == pytest.approx(rows[0].nss)
    content = json.loads(document.read_text())
    assert content["command"] == "a command"
    assert content["fixation_blur_pixels"] == 24
    assert set(content["cards"]) == {"centre-bias"}
    assert content["rows"][0]["cc"] == pytest.approx(rows[0].cc)
    assert content["versions"]["halfsight"]


if OSIE.is_dir():

    def test_the_default_beats_the_centre_bias_on_people():
        rows = {row.measure: row for row in validate_saliency(OSIE, ["saliency"], limit=6)}
        assert rows["boolean-map"].nss > rows["centre-bias"].nss + 0.1
        assert rows["boolean-map"].auc_judd > rows["centre-bias"].auc_judd
        assert rows["centre-bias"].nss > 0.4
