"""The TRIQ that comes with the package knows worse copies of a photograph as worse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import halfsight as hs
from halfsight import images
from halfsight.training.ladder import worse

PHOTO = Path(__file__).parents[2] / "examples" / "coffee.jpg"


@pytest.mark.parametrize(
    ("kind", "severities"),
    [
        ("blur", (0.125, 0.511, 0.898)),  # standard deviations of 1, 2 and 4 pixels
        ("noise", (0.195, 0.528, 0.862)),  # of 15, 30 and 60 of 255
        ("compression", (0.363, 0.637, 0.912)),  # JPEG of quality 20, 10 and 5
    ],
)
def test_worse_copies_score_lower_in_order(kind: str, severities: tuple[float, ...]) -> None:
    model = hs.load("triq")
    photo = images.read(PHOTO).pixels
    copies = [worse(photo, kind, severity, (0,)) for severity in severities]
    scores = [model.score(pixels) for pixels in (photo, *copies)]
    assert all(np.diff(scores) < -0.1), scores
