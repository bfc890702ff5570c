"""One browser, and pages made once, for all tests of the report and the index."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.browser.pages import rows
from tests.pictures import picture

from halfsight.explanation import Explanation, explain
from halfsight.report import index, page
from halfsight.scorer import Scorer

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 800}


@dataclass
class Tab:
    """A page from disk in a browser without network, and what went on in it."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))


Open = Callable[..., Tab]


@pytest.fixture(scope="module")  # while it runs, nothing else can start an event loop
def browser() -> Iterator[Any]:
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as runner:
        running = runner.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Open a file: ``visit(path, size=PHONE, dark=True)``."""
    contexts = []

    def go(path: Path, *, size: dict[str, int] = DESKTOP, dark: bool = False, at: str = "") -> Tab:
        context = browser.new_context(
            viewport=size, color_scheme="dark" if dark else "light", offline=True
        )
        contexts.append(context)
        tab = Tab(context.new_page())
        tab.page.set_default_timeout(60_000)
        context.route("http*://**", lambda route: route.abort())
        tab.page.on("request", lambda request: tab.requests.append(request.url))
        tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.page.on("console", lambda said: tab.complaints.append(said.text))
        tab.page.goto(path.as_uri() + at)
        return tab

    yield go
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def explanation(scorer: Scorer) -> Explanation:
    """All masks of one picture, with two further maps, one of them with a sign."""
    across = np.linspace(0, 1, 160, dtype=np.float32)[None].repeat(128, 0)
    return explain(scorer, picture(128, 160)).with_maps({"saliency": across, "lime": across - 0.3})


@pytest.fixture(scope="session")
def sampled(scorer: Scorer) -> Explanation:
    return explain(scorer, picture(128, 160), masks=150)


@pytest.fixture(scope="session")
def report(explanation: Explanation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _written(explanation, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def sampled_report(sampled: Explanation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _written(sampled, tmp_path_factory.mktemp("sampled"))


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of 10,000 photographs; a few have small pictures."""
    folder = tmp_path_factory.mktemp("gallery")
    found = rows(10_000)
    for row in found[:20]:
        (folder / row.folder).mkdir()
        Image.fromarray(picture(40, 60)).save(folder / row.folder / "thumb.jpg")
    (folder / "index.html").write_text(index.render(found, ["/p/broken.jpg: got no picture"]))
    return folder / "index.html"


def _written(explanation: Explanation, folder: Path) -> Path:
    path = folder / "explanation.html"
    path.write_text(page.render(explanation), encoding="utf-8")
    return path
