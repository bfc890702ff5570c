from __future__ import annotations

import csv
import io
import math

import pytest

from halfsight.experiments import figures, page
from halfsight.experiments.outcome import (
    Column,
    Measured,
    Outcome,
    Picture,
    Row,
    Section,
    Table,
    shown,
)

TABLE = Table(
    "t",
    "A <table>",
    (Column("name", "name"), Column("r", "r"), Column("n", "n")),
    (
        Row(("a|b", Measured(0.123456, 0.1, 0.2), 3)),
        Row(("b", 0.5, None), "paper"),
        Row(("c", Measured(math.nan), -0.25), "control"),
    ),
)


def outcome() -> Outcome:
    figure = figures.intervals([("a", [("x", Measured(0.5, 0.4, 0.6))])], label="r")
    section = Section("S", "text", (TABLE,), (Picture("p", 'a "figure" & more', figure),))
    return Outcome("e", "Title", "Headline.", (("Fact", "value"),), (section,), {}, failures=("x",))


ABOUT = page.About("halfsight experiment e", "2026-01-01", {"halfsight": "1", "numpy": "2"})


def test_cells_as_people_and_machines_read_them() -> None:
    assert shown(Measured(0.9876, 0.9, 1.0), 2) == "0.99 [0.90, 1.00]"
    assert shown(-0.5, 1) == "−0.5"
    assert shown(None, 1) == shown(math.nan, 1) == shown(Measured(math.nan), 1) == "–"
    rows = list(csv.DictReader(io.StringIO(TABLE.to_csv())))
    assert rows[0] == {
        "source": "ours",
        "name": "a|b",
        "r": "0.123456",
        "r_low": "0.1",
        "r_high": "0.2",
        "n": "3",
    }
    assert (rows[1]["source"], rows[1]["r"], rows[1]["r_low"], rows[1]["n"]) == (
        "paper",
        "0.5",
        "",
        "",
    )
    assert rows[2]["r"] == ""


def test_a_table_with_holes_is_refused() -> None:
    with pytest.raises(ValueError, match="2 cells for 3 columns"):
        Table("t", "T", TABLE.columns, (Row(("a", 1)),))


def test_markdown_has_every_table_and_figure() -> None:
    text = page.markdown(outcome(), ABOUT)
    assert "| a\\|b | 0.123 [0.100, 0.200] | 3 |" in text
    assert "| *b* | *0.500* | *–* |" in text
    assert "(figures/p.png)" in text
    assert "halfsight experiment e" in text


def test_the_page_escapes_and_takes_the_pages_colours() -> None:
    made = outcome()
    drawn = {one.name: figures.svg(one.figure) for one in made.pictures}
    assert drawn["p"] == figures.svg(outcome().pictures[0].figure)
    text = page.html(made, ABOUT, drawn)
    assert "A &lt;table&gt;" in text
    assert 'aria-label="a &#34;figure&#34; &amp; more"' in text
    body = text.partition("</style>")[2]
    assert "var(--series-0)" in body
    assert figures.COLOURS[0] not in body
    assert figures.png(made.pictures[0].figure).startswith(b"\x89PNG")
