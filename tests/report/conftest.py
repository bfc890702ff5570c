from __future__ import annotations

import numpy as np
import pytest
from tests.pictures import picture

from halfsight.explanation import Explanation, explain
from halfsight.scorer import Scorer


@pytest.fixture(scope="session")
def explanation(scorer: Scorer) -> Explanation:
    """All masks of one picture, with two further maps, one of them with a sign."""
    across = np.linspace(0, 1, 160, dtype=np.float32)[None].repeat(128, 0)
    return explain(scorer, picture(128, 160)).with_maps({"saliency": across, "mine": across - 0.3})
