from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tests.browser.conftest import PHONE, Open, Tab
from tests.browser.pages import brightness, violations, width

from halfsight import coalitions
from halfsight.explanation import Explanation, shortest
from halfsight.report.page import digits, number

MINUS = "\N{MINUS SIGN}"


def shown(tab: Tab) -> tuple[str, int, str]:
    """The score as shown, and the table's entry it names with its exact value."""
    found = re.fullmatch(r"Table entry (\d+): (.+)", tab.text("#exact"))
    assert found, tab.text("#exact")
    return tab.text("#score"), int(found[1]), found[2]


def check(tab: Tab, explanation: Explanation, mask: int) -> None:
    """The page shows the table's entry of a mask, its change, and which regions are masked."""
    entry = explanation.table[mask]
    decimals = digits(explanation.scale.max - explanation.scale.min)
    assert shown(tab) == (number(float(entry), decimals), mask, str(shortest(entry)))
    change = number(float(entry) - float(explanation.table[0]), decimals, signed=True)
    if mask:
        assert tab.text("#change").startswith(f"{change} MOS")
        assert f"change {change} MOS" in tab.text("#said")
    pressed = tab.page.eval_on_selector_all(
        ".region", "all => all.map(one => one.getAttribute('aria-pressed') === 'true')"
    )
    assert pressed == [bool(mask >> region & 1) for region in range(len(explanation.grid))]


def test_opens_from_disk_and_asks_for_nothing(visit: Open, report: Path) -> None:
    tab = visit(report)
    assert tab.page.evaluate("document.querySelector('.frame img').naturalWidth") == 160
    assert [url for url in tab.requests if not url.startswith("data:")] == [report.as_uri()]
    assert tab.complaints == []


def test_a_region_touched_is_masked(visit: Open, report: Path, explanation: Explanation) -> None:
    tab = visit(report)
    check(tab, explanation, 0)
    mask = 0
    for region in (0, 5, 11, 5, 2, 7):
        tab.page.locator(".region").nth(region).click()
        mask ^= 1 << region
        check(tab, explanation, mask)
    place = tab.page.evaluate("parseFloat(document.getElementById('now').style.left)")
    assert place == pytest.approx(100 * (float(explanation.table[mask]) - 1) / 4, abs=1e-3)


def test_any_entry_has_an_address(visit: Open, report: Path, explanation: Explanation) -> None:
    tab = visit(report, at="#mask=2741")
    check(tab, explanation, 2741)
    for mask in np.random.default_rng(0).integers(4096, size=10):
        tab.page.evaluate(f"location.hash = '#mask={mask}'")
        tab.page.wait_for_function(
            f"document.getElementById('exact').textContent.startsWith('Table entry {mask}:')"
        )
        check(tab, explanation, int(mask))


def test_presets(visit: Open, report: Path, explanation: Explanation) -> None:
    tab = visit(report)

    def press(name: str) -> None:
        tab.page.get_by_role("button", name=name, exact=True).click()

    important = coalitions.index_of(explanation.important)
    for name, mask in (
        ("Important half", important),
        ("Trivial half", 4095 - important),
        ("All", 4095),
        ("None", 0),
    ):
        press(name)
        check(tab, explanation, mask)
        button = tab.page.get_by_role("button", name=name, exact=True)
        assert button.get_attribute("aria-pressed") == "true"
    tab.page.locator(".region").nth(3).click()
    press("Swap")
    check(tab, explanation, 4095 - 8)
    sizes = coalitions.sizes(12)
    for count in (3, 6, 10):
        tab.page.locator("#count").fill(str(count))
        scores = np.where(sizes == count, explanation.table, np.nan)
        press("Best score")
        check(tab, explanation, int(np.nanargmax(scores)))
        press("Worst score")
        check(tab, explanation, int(np.nanargmin(scores)))
        kept = [explanation.table[sizes == count].astype(np.float64)]
        best, mean, worst = (f"{part(kept):.3f}" for part in (np.max, np.mean, np.min))
        assert tab.text("#curve-text").startswith(
            f"With {12 - count} of 12 regions kept: best {best}, mean {mean}, worst {worst};"
        )


def test_the_curve_can_be_touched(visit: Open, report: Path, explanation: Explanation) -> None:
    tab = visit(report)
    hits = tab.page.locator("#curve .hit")
    assert hits.count() == 2 * 13
    hits.nth(4).dispatch_event("click")  # the highest scores come first, by regions masked
    scores = np.where(coalitions.sizes(12) == 4, explanation.table, np.nan)
    check(tab, explanation, int(np.nanargmax(scores)))
    assert tab.page.locator("#count").input_value() == "4"


def test_keyboard(visit: Open, report: Path, explanation: Explanation) -> None:
    tab = visit(report)
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.classList.contains('region')")
    for keys, mask in (
        (["Space"], 1),
        (["ArrowRight", "Enter"], 3),
        (["ArrowDown", "Space"], 3 + 32),
        (["ArrowUp", "Space"], 1 + 32),
        (["End", "Space"], 1 + 32 + 2048),
        (["ArrowRight", "Space"], 1 + 32),  # the last one in its row: it stays
        (["Home", "Space"], 32),
    ):
        for key in keys:
            tab.page.keyboard.press(key)
        check(tab, explanation, mask)
    tab.page.keyboard.press("Tab")  # the regions are one stop
    assert tab.page.evaluate("document.activeElement.id") == "layer"


def values(tab: Tab) -> list[str]:
    return [text.strip() for text in tab.page.locator(".region .value").all_inner_texts()]


def test_every_criterion_by_colour_and_number(
    visit: Open, report: Path, explanation: Explanation
) -> None:
    tab = visit(report)
    assert len(explanation.importances) == 4
    for criterion, numbers in explanation.importances.items():
        tab.page.select_option("#layer", f"criterion:{criterion}")
        texts = values(tab)
        decimals = len(texts[0].split(".")[1])
        signed = criterion == "shapley"
        assert texts == [number(float(v), decimals, signed=signed) for v in numbers]
        heats = [
            tab.page.locator(".region").nth(i).evaluate("b => b.style.getPropertyValue('--heat')")
            for i in range(12)
        ]
        assert all(heat.startswith("rgb(") for heat in heats)
        assert len(set(heats)) > 3
        ringed = tab.page.locator(".region.decides").count()
        assert ringed == (6 if criterion == explanation.criterion else 0)
    assert (
        tab.page.locator(".region")
        .nth(0)
        .get_attribute("aria-label")
        .startswith(f"Mask region A1, value {values(tab)[0]}")
    )
    tab.page.select_option("#layer", "interactions")
    assert values(tab).count("") == 1
    tab.page.select_option("#layer", "none")
    assert set(values(tab)) == {""}
    assert not tab.page.locator("#legend").is_visible()


def test_signed_values_share_one_scale_about_zero(
    visit: Open, report: Path, explanation: Explanation
) -> None:
    tab = visit(report)
    tab.page.select_option("#layer", "criterion:shapley")
    low, high = tab.text("#low"), tab.text("#high")
    assert low.replace(MINUS, "+") == high
    reach = np.abs(explanation.importances["shapley"]).max()
    assert float(high.split(" ")[0]) == pytest.approx(reach, rel=0.05)


def test_maps_and_how_well_they_match(visit: Open, report: Path, explanation: Explanation) -> None:
    tab = visit(report)
    tab.page.get_by_role("button", name="LIME").click()
    assert tab.page.locator("img.map:visible").count() == 1
    assert tab.page.locator("#layer").input_value() == "map:1"
    assert "linear model" in tab.text("#meaning")
    regions = explanation.grid.aggregate(explanation.overlays["lime"], tokens=explanation.tokens)
    decimals = len(values(tab)[0].split(".")[1])
    assert values(tab) == [number(float(v), decimals, signed=True) for v in regions]
    highest = set(np.argsort(-np.abs(regions), kind="stable")[:6].tolist())
    hits = len(highest & set(explanation.important))
    row = tab.page.locator(".matching tbody tr").nth(1)
    assert f"{hits} of 6" in row.inner_text()
    assert tab.page.locator(".region.decides").count() == 6
    tab.page.get_by_role("button", name="LIME").click()
    assert tab.page.locator("img.map:visible").count() == 0


def test_a_sample_says_what_was_not_evaluated(
    visit: Open, sampled_report: Path, sampled: Explanation
) -> None:
    tab = visit(sampled_report)
    assert f"Only {sampled.masks} of 4,094 masks were evaluated" in tab.text(".note")
    assert all("\N{PLUS-MINUS SIGN}" in text for text in values(tab))
    absent = int(np.flatnonzero(np.isnan(sampled.table))[0])
    tab.page.evaluate(f"location.hash = '#mask={absent}'")
    tab.page.wait_for_selector("#nearest:visible")
    assert tab.text("#exact") == f"Table entry {absent} was not evaluated"
    assert tab.text("#change") == "not evaluated"
    assert "not evaluated" in tab.text("#said")
    tab.page.click("#nearest")
    _, mask, _ = shown(tab)
    check(tab, sampled, mask)
    apart = [bin(absent ^ int(m)).count("1") for m in np.flatnonzero(np.isfinite(sampled.table))]
    assert bin(absent ^ mask).count("1") == min(apart)
    assert "nan" not in tab.text("body").lower()
    assert tab.complaints == []


@pytest.mark.parametrize("dark", [False, True])
def test_phone(visit: Open, report: Path, explanation: Explanation, dark: bool) -> None:
    tab = visit(report, size=PHONE, dark=dark)
    tab.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert width(tab.page) <= PHONE["width"]
    assert (brightness(tab.page) < 60) is dark
    tab.page.locator(".region").nth(6).click()
    check(tab, explanation, 64)
    assert tab.page.locator("#score").is_visible()  # it stays in sight over the photograph
    if dark:
        assert violations(tab.page) == []


def test_accessible(visit: Open, report: Path) -> None:
    tab = visit(report)
    tab.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    tab.page.get_by_role("button", name="Important half", exact=True).click()
    tab.page.get_by_role("button", name="Saliency").click()
    assert violations(tab.page) == []


def test_on_paper(visit: Open, report: Path) -> None:
    tab = visit(report, dark=True)
    tab.page.emulate_media(media="print", color_scheme="light")
    assert not tab.page.locator(".controls:visible").count()
    assert brightness(tab.page) > 240
    tab.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert tab.page.locator("details:not([open])").count() == 0
