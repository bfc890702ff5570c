from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image
from tests.pictures import picture

RECIPE = {
    "model": "triq",
    "config": {"backbone": "tf_efficientnet_lite0", "position_grid": [4, 4], "pool_from": 8},
    "sources": [{"name": "clive", "repeat": 2}],
    "validation": {"fraction": 0.3},
    "stage": 5,
    "epochs": 3,
    "batch": 4,
    "head_rate": 1e-3,
    "backbone_rate": 1e-4,
    "schedule": {"warmup": 0.5},
    "loss": {"cross_entropy": 1.0, "correlation": 0.5},
    "crop": {"smallest": 0.7, "largest": 1.0},
    "average": 0.9,
    "seed": 5,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set in the layout of CLIVE's CSV; quality falls with the noise."""
    place = tmp_path_factory.mktemp("clive")
    (place / "images").mkdir()
    with (place / "clive.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("filename", "mos", "mos_std", "split"))
        for number in range(14):
            size = (128, 160) if number % 2 else (144, 144)
            name = f"images/{number}.png"
            Image.fromarray(picture(*size, number)).save(place / name)
            writer.writerow((name, 10 + 6 * number, 18, "train" if number < 11 else "val"))
    return place
