from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from tests.browser.pages import rows

from halfsight.report import index
from halfsight.report.rows import Row, write_tables


def test_data_has_a_line_a_photograph() -> None:
    found = index.data(rows(101))
    assert found["names"][:2] == ["IMG 0.jpg", "IMG 1.jpg"]
    assert found["links"][1] == "./IMG%201.jpg"
    assert found["important"][0] is None  # not evaluated
    assert found["important"][1] == pytest.approx(-0.5 + 1 / 101)
    assert found["scale"] == {"min": 1.0, "max": 5.0}


def test_names_are_text_and_links_are_paths() -> None:
    hostile = "</script><img src=x onerror=alert(1)>.jpg"
    row = replace(rows(2)[1], path=f"/p/{hostile}", folder="javascript:alert(1)")
    html = index.render([row], [f"/p/{hostile}: bad"])
    assert "<img src=x" not in html
    assert html.count("</script>") == 2
    data = re.search(r'id="data">(.*?)</script>', html, re.S)
    assert data
    assert json.loads(data[1])["links"] == ["./javascript%3Aalert%281%29"]


def test_an_empty_run_has_a_page() -> None:
    html = index.render([], ["a.jpg: broken"])
    assert "None was explained" in html
    assert "a.jpg: broken" in html
    assert "<script" not in html


def test_names_are_shortened_to_what_differs() -> None:
    assert index.names(["/a/b/c/1.jpg", "/a/b/d/1.jpg"]) == ["c/1.jpg", "d/1.jpg"]
    assert index.names(["/a/1.jpg", "2.jpg"]) == ["/a/1.jpg", "2.jpg"]


def test_tables_give_back_the_numbers(tmp_path: Path) -> None:
    made = rows(101)
    write_tables(made, tmp_path)
    for table in (
        pl.read_parquet(tmp_path / "scores.parquet"),
        pl.read_csv(tmp_path / "scores.csv", schema_overrides={"score": pl.Float32}),
    ):
        assert table["score"].to_list() == [row.score for row in made]
        assert table["path"].to_list() == [row.path for row in made]
        assert table["important"][3] == "0 1 2 3 4 5"
        assert table["importance_11"].to_list() == [0.1] * 101
        assert math.isnan(float(table["score_important_masked"][0]))


def test_a_record_without_a_score_of_a_half_is_a_row() -> None:
    row = rows(2)[1]
    record = {
        "path": row.path,
        "model": "triq",
        "score": 3.0,
        "scale": {"min": 1, "max": 5, "higher_is_better": True},
        "score_important_masked": None,
        "score_trivial_masked": 2.0,
        "criterion": "abs_delta",
        "grid": [1, 2],
        "importance": [0.1, None],
        "important": [0],
        "trivial": [1],
        "size": [10, 20],
        "notes": [],
    }
    made = Row.of(record, "x")
    assert math.isnan(made.score_important_masked)
    assert math.isnan(made.importance[1])
    with pytest.raises(KeyError):
        Row.of({"path": "x"}, "x")
