from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from halfsight import coalitions
from halfsight.explanation import Explanation
from halfsight.grid import RegionGrid
from halfsight.images import Photograph
from halfsight.models.card import Scale
from halfsight.report import embed, page

KB = 1024


def embedded(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def prose(html: str) -> str:
    """The page's words, without its tags."""
    body = html[html.index("<body>") : html.index('<script type="application/json"')]
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def test_holds_the_table_bit_for_bit(explanation: Explanation) -> None:
    data = embedded(page.render(explanation))
    table = np.frombuffer(base64.b64decode(data["table"]), "<f4")
    np.testing.assert_array_equal(table, explanation.table)
    assert data["important"] == list(explanation.important)
    assert list(data["criteria"]) == list(page.criteria(explanation))
    for criterion, values in explanation.importances.items():
        assert data["criteria"][criterion]["values"] == values.tolist()


def test_loads_nothing(explanation: Explanation) -> None:
    html = page.render(explanation)
    assert not re.search(r"(src|href)=[\"'](?!data:)", html)
    assert "@import" not in html
    assert not re.search(r"url\((?!data:)", html)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    assert "default-src &#39;none&#39;" in policy[1]


@pytest.mark.parametrize("grid", [(3, 4), (4, 4)])
def test_is_small_whatever_is_in_it(explanation: Explanation, grid: tuple[int, int]) -> None:
    draw = np.random.default_rng(0)
    count = grid[0] * grid[1]
    pixels = draw.integers(0, 256, (600, 800, 3), dtype=np.uint8)
    noise = {f"map {i}": draw.normal(size=(600, 800)).astype(np.float32) for i in range(7)}
    full = replace(
        explanation,
        grid=RegionGrid(*grid),
        tokens=None,
        photograph=Photograph(pixels, None, (), (800, 600)),
        table=draw.uniform(1, 5, 1 << count).astype(np.float32),
        importance=draw.normal(size=count),
        importances={name: draw.normal(size=count) for name in explanation.importances},
        important=tuple(range(count // 2)),
        trivial=tuple(range(count // 2, count)),
        overlays=noise,
    )
    html = page.render(full)
    picture = len(embed.data_uri(embed.jpeg(pixels), "image/jpeg"))
    assert len(html.encode()) - picture <= 600 * KB


def test_says_what_was_not_evaluated(explanation: Explanation) -> None:
    table = explanation.table.copy()
    table[1 << 3] = np.nan
    table[coalitions.sizes(12) == 6] = np.nan
    table[
        [coalitions.index_of(explanation.important), coalitions.index_of(explanation.trivial)]
    ] = 2
    errors = np.full(12, 0.0123)
    sample = replace(explanation, table=table, estimated=True, standard_errors=errors)
    html = page.render(sample)
    text = prose(html)
    assert f"Only {sample.masks:,} of 4,094 masks were evaluated" in text
    assert "estimates" in text
    assert text.count("not evaluated") == 2  # once in the words, once for the one region
    assert text.count("\N{PLUS-MINUS SIGN} 0.0123") == 12
    assert embedded(html)["criteria"][sample.criterion]["errors"] == errors.tolist()
    assert embedded(html)["interactions"] is None
    assert "nan" not in re.findall(r"\w+", text.lower())


def test_exact_tables_have_no_errors(explanation: Explanation) -> None:
    html = page.render(explanation)
    assert "\N{PLUS-MINUS SIGN}" not in prose(html)
    assert not any(one["errors"] for one in embedded(html)["criteria"].values())


def test_scalar_models_have_no_levels(explanation: Explanation) -> None:
    assert "Predicted opinions" in prose(page.render(explanation))
    assert "Predicted opinions" not in prose(page.render(replace(explanation, distribution=None)))


def test_best_is_lowest_where_lower_is_better(explanation: Explanation) -> None:
    worse = replace(explanation, scale=Scale(min=0, max=100, higher_is_better=False))
    html = page.render(worse)
    assert 'data-preset="lowest">Best score' in html
    assert 'data-preset="highest">Worst score' in html
    assert "lower is better" in prose(html)
    assert 'data-preset="highest">Best score' in page.render(explanation)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>.jpg", "a\u202egpj.exe", "</script><b>.png", 'x" onload="y']
)
def test_names_are_text(explanation: Explanation, name: str) -> None:
    html = page.render(
        replace(explanation, path=f"/secret/folder/{name}").with_maps({name: np.ones((4, 5))})
    )
    assert "secret" not in html
    assert "<b>" not in html
    assert "\u202e" not in html
    assert "alert(1)</script>" not in html
    assert html.count("<script") == 2
    assert 'onload="y' not in html


def test_halves(explanation: Explanation) -> None:
    found = page.halves(explanation)
    scores = explanation.table[coalitions.sizes(12) == 6].astype(np.float64)
    assert found["count"] == 924
    assert found["random"] == pytest.approx(scores.mean())
    assert found["important"] == explanation.score_important_masked
    assert found["everything"] == float(explanation.table[-1])


@pytest.mark.parametrize(
    ("value", "signed", "expected"),
    [
        (1.23456, False, "1.235"),
        (-0.5, False, "\N{MINUS SIGN}0.500"),
        (0.5, True, "+0.500"),
        (-0.0001, True, "0.000"),
        (0.0001, True, "0.000"),
        (math.nan, True, "\N{EN DASH}"),
    ],
)
def test_number(value: float, signed: bool, expected: str) -> None:
    assert page.number(value, 3, signed=signed) == expected


@pytest.mark.parametrize(("span", "decimals"), [(4, 3), (1, 4), (100, 2), (99, 2), (0, 3)])
def test_digits(span: float, decimals: int) -> None:
    assert page.digits(span) == decimals


def test_labels_and_places(explanation: Explanation) -> None:
    assert page.labels(2, 3) == ["A1", "A2", "A3", "B1", "B2", "B3"]
    first, last = page.places(explanation)[0], page.places(explanation)[-1]
    assert first.startswith("left:0.0000%;top:0.0000%")
    left, _, width, _ = (float(part) for part in re.findall(r"([\d.]+)%", last))
    assert left + width == pytest.approx(100, abs=1e-3)
