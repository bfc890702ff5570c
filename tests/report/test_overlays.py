from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from halfsight.explanation import Explanation, Further
from halfsight.report import embed
from halfsight.report.overlays import chance, overlays


def test_known_maps_have_titles_and_others_their_names(explanation: Explanation) -> None:
    first, second = overlays(explanation)
    assert (first.title, second.title) == ("Saliency", "mine")
    assert first.meaning
    assert not second.meaning
    assert (first.colours, second.colours) == ("unsigned", "signed")
    assert second.low == -second.high


def test_matching_counts_the_important_among_the_highest(explanation: Explanation) -> None:
    marked = np.zeros(12)
    marked[list(explanation.important[:4])] = 1
    marked[explanation.trivial[0]] = 2
    painted = explanation.grid.paint(marked, 128, 160, tokens=explanation.tokens)
    (found,) = overlays(replace(explanation, overlays={"mine": painted}))
    assert {*explanation.important[:4], explanation.trivial[0]} < set(found.highest)
    assert found.matching == len(set(found.highest) & set(explanation.important))
    np.testing.assert_allclose(found.values, marked)


def test_what_lowers_the_score_ranks_as_high(explanation: Explanation) -> None:
    values = np.linspace(-6, 5, 12)
    painted = explanation.grid.paint(values, 128, 160, tokens=explanation.tokens)
    (found,) = overlays(replace(explanation, overlays={"mine": painted}))
    assert found.highest == (0, 1, 2, 3, 10, 11)


def test_region_values_of_the_method_come_first(explanation: Explanation) -> None:
    own = Further(np.arange(12.0), 0.1)
    (first, _) = overlays(replace(explanation, also={"saliency": own}))
    assert first.values == tuple(range(12))


def test_chance(explanation: Explanation) -> None:
    assert chance(explanation) == 3


@pytest.mark.parametrize(("low", "high"), [(0.2, 7.0), (-3.0, 1.0)])
def test_a_picture_gives_back_its_values(low: float, high: float) -> None:
    values = np.linspace(low, high, 48, dtype=np.float32).reshape(6, 8)
    data, first, last = embed.map_png(values, side=256)
    levels = np.asarray(Image.open(io.BytesIO(data)))
    assert levels.shape == (6, 8)
    again = first + (last - first) * levels / 255
    np.testing.assert_allclose(again, values, atol=(last - first) / 500)
    assert (first == -last) is (low < 0)


def test_float32_text_is_exact() -> None:
    values = np.array([1.1, np.nan, -2.5e-7], np.float32)
    again = np.frombuffer(base64.b64decode(embed.float32_text(values)), "<f4")
    np.testing.assert_array_equal(again, values)
