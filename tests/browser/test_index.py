from __future__ import annotations

from pathlib import Path

import pytest
from tests.browser.conftest import PHONE, Open, Tab
from tests.browser.pages import brightness, rows, violations, width

COUNT = 10_000


def names(tab: Tab) -> list[str]:
    """Names of the rows that are drawn, from the top."""
    return [text.strip() for text in tab.page.locator("#rows .name").all_inner_texts()]


def sort(tab: Tab, column: str) -> None:
    tab.page.click(f"[data-sort={column}]")


def test_draws_only_what_is_in_sight(visit: Open, gallery: Path) -> None:
    tab = visit(gallery)
    assert tab.text("#shown") == f"{COUNT} shown"
    assert names(tab)[:3] == ["IMG 0.jpg", "IMG 1.jpg", "IMG 2.jpg"]  # by number, not by letter
    assert len(names(tab)) < 40
    assert tab.page.evaluate("document.getElementById('table').ariaRowCount") == str(COUNT + 1)
    picture = "document.querySelector('#rows img').naturalWidth"
    tab.page.wait_for_function(f"{picture} > 0")
    tab.page.evaluate("scrollTo(0, document.getElementById('rows').offsetTop + 72 * 5000)")
    tab.page.wait_for_function("document.querySelector('#rows [aria-rowindex=\"5002\"]')")
    assert "IMG 5000.jpg" in names(tab)
    assert len(names(tab)) < 40
    assert not [url for url in tab.requests if not url.startswith("file:")]


def test_sorts(visit: Open, gallery: Path) -> None:
    tab = visit(gallery)
    found = rows(COUNT)
    by_score = sorted(range(COUNT), key=lambda i: found[i].score)
    sort(tab, "scores")
    assert names(tab)[:5] == [f"IMG {i}.jpg" for i in by_score[:5]]
    header = tab.page.locator("[role=columnheader][aria-sort]")
    assert header.get_attribute("aria-sort") == "ascending"
    sort(tab, "scores")
    assert names(tab)[:5] == [f"IMG {i}.jpg" for i in by_score[::-1][:5]]
    assert header.get_attribute("aria-sort") == "descending"

    for turn in (1, -1):  # what is missing comes last, whichever way
        sort(tab, "important")
        assert "IMG 0.jpg" not in names(tab)
        change = tab.page.locator("#rows .row").first.locator("[role=cell]").nth(4).inner_text()
        assert change == ("\N{MINUS SIGN}0.500" if turn == 1 else "+0.500")
    sort(tab, "names")
    assert names(tab)[0] == "IMG 0.jpg"


def test_filters(visit: Open, gallery: Path) -> None:
    tab = visit(gallery)
    found = rows(COUNT)
    tab.page.fill("#from", "4.9")
    high = [i for i, row in enumerate(found) if row.score >= 4.9]
    assert tab.text("#shown") == f"{len(high)} of {COUNT} shown"
    assert names(tab)[:4] == [f"IMG {i}.jpg" for i in high[:4]]
    tab.page.fill("#to", "4.95")
    some = [i for i in high if found[i].score <= 4.95]
    assert tab.text("#shown") == f"{len(some)} of {COUNT} shown"
    tab.page.fill("#text", "img 77")
    some = [i for i in some if str(i).startswith("77")]
    assert names(tab) == [f"IMG {i}.jpg" for i in some]
    tab.page.fill("#text", "nothing like it")
    assert names(tab) == []
    assert tab.text("#shown") == f"0 of {COUNT} shown"
    tab.page.click("button[type=reset]")
    tab.page.wait_for_selector("#rows a")
    assert tab.text("#shown") == f"{COUNT} shown"


def test_keyboard_and_links(visit: Open, gallery: Path) -> None:
    tab = visit(gallery)
    tab.page.locator("#rows a").first.focus()
    for _ in range(12):
        tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("ArrowUp")
    assert tab.page.evaluate("document.activeElement.textContent") == "IMG 11.jpg"
    address = tab.page.evaluate("document.activeElement.href")
    assert address == (gallery.parent / "IMG 11.jpg" / "explanation.html").as_uri()


@pytest.mark.parametrize(("dark", "phone"), [(False, False), (True, True)])
def test_looks(visit: Open, gallery: Path, dark: bool, phone: bool) -> None:
    tab = visit(gallery, dark=dark, **({"size": PHONE} if phone else {}))
    tab.page.click("summary")
    assert "broken.jpg" in tab.text("header")
    assert (brightness(tab.page) < 60) is dark
    assert width(tab.page) <= tab.page.viewport_size["width"]
    assert violations(tab.page) == []
    assert [text for text in tab.complaints if "ERR_FILE_NOT_FOUND" not in text] == []
