"""The page in a real browser, against a real server."""

from __future__ import annotations

import json
import shutil
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.pictures import picture
from tests.web.conftest import served

from halfsight.scorer import Scorer
from halfsight.web.app import create_app
from halfsight.web.limits import Limits
from halfsight.web.shelf import Shelf

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_core_python.sync_playwright")

expect = playwright.expect
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 120_000
"""Milliseconds: how long a slow machine may take."""

expect.set_options(timeout=PATIENCE)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def address(scorer: Scorer) -> Iterator[str]:
    """A server with one network under two names."""
    shelf = Shelf.of([("triq", scorer), ("other", scorer)])
    app = create_app(shelf, limits=Limits(photographs=3, megabytes=1))
    with served(app) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / "before.png", folder / "after.png"]
    for seed, path in enumerate(paths):
        Image.fromarray(picture(128, 160, seed)).save(path)
    return paths


@pytest.fixture(scope="module")
def finished(browser: Any, address: str, photos: list[Path]) -> str:
    """The address of a finished job of two photographs, made through the page."""
    page = open_page(browser, address)
    page.set_input_files("#files", photos)
    page.locator("summary").click()
    for box in page.locator("input[name=also]").all():
        box.uncheck()
    page.click("#start")
    page.wait_for_selector("#results:not([hidden])", timeout=PATIENCE)
    assert page.problems == []
    url = str(page.url)
    page.context.close()
    return url


def open_page(browser: Any, url: str, **options: Any) -> Any:
    """A page whose console is kept: errors of scripts and of the content security policy."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(PATIENCE)
    page.problems = []
    page.on("console", lambda said: said.type == "error" and page.problems.append(said.text))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.goto(url)
    return page


def violations(page: Any) -> list[tuple[str, str]]:
    found = axe.Axe().run(page)["violations"]
    return [(one["id"], node["html"]) for one in found for node in one["nodes"]]


def result(finished: str, number: int) -> dict[str, Any]:
    base, _, key = finished.partition("/#job=")
    with urllib.request.urlopen(f"{base}/api/jobs/{key}/results/{number}") as answer:
        return dict(json.load(answer))


def reload(browser: Any, finished: str, **options: Any) -> Any:
    page = open_page(browser, finished, **options)
    page.wait_for_selector("#results:not([hidden])")
    return page


def test_the_report_in_place(browser: Any, finished: str) -> None:
    page = reload(browser, finished)
    assert page.locator("#shelf button").count() == 2
    report = page.frame_locator("#frame")
    stored = result(finished, 0)
    mask = 0
    for region in (0, 5):
        report.locator(".region").nth(region).click()
        mask += 2**region
        entry = report.locator("#exact").inner_text().replace("\u2212", "-")
        assert entry == f"Table entry {mask}: {stored['table'][mask]}"
    page.locator("#shelf button").nth(1).click()
    other = result(finished, 1)
    expect(report.locator("#exact")).to_have_text(f"Table entry 0: {other['table'][0]}")
    assert page.problems == []
    page.context.close()


def test_two_side_by_side(browser: Any, finished: str) -> None:
    page = reload(browser, finished)
    page.click("#side-by-side")
    tables = [result(finished, number)["table"] for number in (0, 1)]
    page.locator(".side").nth(1).locator(".region").nth(3).click()
    for side, table in enumerate(tables):  # masked in one, masked in both
        expect(page.locator(f"#score-{side}")).to_have_text(f"{table[8]:.3f}")
        expect(page.locator(f"#score-{side}")).to_have_attribute("data-entry", "8")
    first = page.locator(".side").nth(0).locator(".region").nth(3)
    assert first.get_attribute("aria-pressed") == "true"
    row = page.locator("#compare tbody tr").nth(0).locator("td").all_inner_texts()
    assert row[:2] == [f"{table[0]:.3f}" for table in tables]
    assert float(row[2].replace("\u2212", "-")) == pytest.approx(
        tables[1][0] - tables[0][0], abs=0.0006
    )
    page.locator("#compare-0").select_option("1")
    expect(page.locator("#score-0")).to_have_text(f"{tables[1][0]:.3f}")
    page.keyboard.press("Tab")  # from the choice to the regions, and on with the arrows
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(page.locator("#score-1")).to_have_attribute("data-entry", "2")
    assert violations(page) == []
    assert page.problems == []
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_bars_anyone(scheme: str, browser: Any, finished: str) -> None:
    page = reload(browser, finished, color_scheme=scheme)
    page.frame_locator("#frame").locator("#score").wait_for()
    page.locator("summary").click()
    assert violations(page) == []
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(19, 23, 24)")
    page.context.close()


def test_on_a_phone(browser: Any, finished: str) -> None:
    page = reload(
        browser, finished, viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True
    )
    for shown in ("report", "compare"):
        if shown == "compare":
            page.tap("#side-by-side")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360
    page.locator(".side").nth(0).locator(".region").nth(0).tap()
    expect(page.locator("#score-1")).to_have_attribute("data-entry", "1")
    page.context.close()


def test_download_and_delete(
    browser: Any, address: str, photos: list[Path], tmp_path: Path
) -> None:
    page = open_page(browser, address)
    page.click("#start")
    assert "Choose a photograph" in page.locator("#problem").inner_text()
    page.set_input_files("#files", photos[0])
    page.locator("summary").click()
    page.select_option("#grid", "2x2")
    for box in page.locator("input[name=also]").all():
        box.uncheck()
    page.check("input[name=model][value=other]")
    page.click("#start")
    page.wait_for_selector("#results:not([hidden])")
    with page.expect_download() as waiting:
        page.click("#zip")
    waiting.value.save_as(tmp_path / "results.zip")
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        found = archive.namelist()
    assert sum(name.endswith("explanation.html") for name in found) == 2
    old = page.url
    page.click("#delete")
    page.wait_for_selector("#results", state="hidden")
    assert "#" not in page.url
    page.goto(old)
    page.reload()
    expect(page.locator("#problem")).to_contain_text("no longer")
    page.context.close()


def test_what_is_refused_is_said(browser: Any, address: str, tmp_path: Path) -> None:
    page = open_page(browser, address)
    bad = tmp_path / "notes.jpg"
    bad.write_text("not a photograph")
    page.set_input_files("#files", bad)
    page.click("#start")
    expect(page.locator("#problem")).to_contain_text("notes.jpg")
    heavy = tmp_path / "heavy.jpg"
    heavy.write_bytes(bytes(1_100_000))
    page.set_input_files("#files", heavy)
    assert "at most 1" in page.locator("#problem").inner_text()
    page.context.close()
