from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from tests.pictures import picture

from halfsight.explanation import Explanation
from halfsight.images import Photograph
from halfsight.report.figure import draw, importance_colours, shown


def words(figure: Figure) -> str:
    return " | ".join(text.get_text() for ax in figure.axes for text in ax.texts)


def test_says_the_scores_and_every_value(explanation: Explanation) -> None:
    text = words(draw(explanation))
    assert f"Score {explanation.score:.3f}" in text
    assert f"score without it: {explanation.score_important_masked:.3f}" in text
    assert f"score without it: {explanation.score_trivial_masked:.3f}" in text
    heat = draw(explanation).axes[1]
    values = [float(t.get_text()) for t in heat.texts if t.get_text()[0].isdigit()]
    span = np.ptp(explanation.importance)
    np.testing.assert_allclose(values, explanation.importance, atol=span / 10)
    ringed = [
        region
        for region, one in enumerate(heat.texts[:12])
        if one.get_bbox_patch().get_edgecolor()[:3] == to_rgb("white")
    ]
    assert tuple(ringed) == explanation.important


def test_estimates_have_their_errors(explanation: Explanation) -> None:
    errors = np.full(12, float(np.ptp(explanation.importance)) / 3)
    text = words(draw(replace(explanation, estimated=True, standard_errors=errors)))
    assert "Importance (estimated)" in text
    assert text.count("\N{PLUS-MINUS SIGN}") == 12


def test_halves_together_are_the_photograph(explanation: Explanation) -> None:
    figure = draw(explanation)
    whole, _, important, trivial = (
        np.asarray(ax.get_images()[0].get_array()) for ax in figure.axes
    )
    boxes = explanation.boxes()
    for part, regions in ((important, explanation.important), (trivial, explanation.trivial)):
        for region, (top, left, bottom, right) in enumerate(boxes):
            cell = slice(top, bottom), slice(left, right)
            if region in regions:
                np.testing.assert_array_equal(part[cell], whole[cell])
            else:
                assert np.ptp(part[cell]) == 0


@pytest.mark.parametrize(("height", "width"), [(120, 160), (160, 120), (40, 900), (900, 40)])
def test_stays_a_figure_at_any_shape(explanation: Explanation, height: int, width: int) -> None:
    photograph = Photograph(picture(height, width), None, (), (width, height))
    grid = explanation.grid.oriented(height, width)
    figure = draw(replace(explanation, photograph=photograph, grid=grid, tokens=None))
    across, down = figure.get_size_inches()
    assert down < 20
    assert across < 20
    for ax in figure.axes:
        place = ax.get_position()
        assert place.x0 >= 0
        assert place.y0 >= 0
        assert place.x1 <= 1
        assert place.y1 < 1
        shape = (place.width * across) / (place.height * down)
        assert shape == pytest.approx(width / height, rel=1e-6)


def test_colours_agree_whatever_the_sign() -> None:
    signed, norm = importance_colours(np.array([-1.0, 0.5]), signed=True)
    assert norm(0) == 0.5
    assert (norm.vmin, norm.vmax) == (-1, 1)
    plain, _ = importance_colours(np.array([0.1, 0.5]), signed=False)
    np.testing.assert_allclose(signed(1.0), plain(1.0))
    importance_colours(np.zeros(12), signed=True)[1](0.0)


def test_shown_keeps_small_photographs() -> None:
    pixels = picture(30, 40)
    assert shown(pixels) is pixels
    assert shown(pixels, longest=20).shape == (15, 20, 3)
