"""Make the screenshots of the documentation: python scripts/screenshots.py.

They show the bundled photograph, crops of it and worse copies of it, explained by the shipped
model. Needs playwright and a Chromium.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter
from playwright.sync_api import sync_playwright

from halfsight.cli import app

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "images"
PHOTOGRAPH = ROOT / "examples" / "coffee.jpg"
MAPS = "saliency,frequency,objectness,averaged,lime,gradcam,rollout"
COLOURS = 256
"""Of a screenshot; keeps it small."""


def copies(folder: Path) -> None:
    """The photograph, crops of it, and copies with one distortion each."""
    whole = Image.open(PHOTOGRAPH).convert("RGB")
    width, height = whole.size
    noise = np.random.default_rng(0).normal(0, 25, (height, width, 3))
    noisy = Image.fromarray((np.asarray(whole) + noise).clip(0, 255).astype(np.uint8))
    squeezed = io.BytesIO()
    whole.save(squeezed, "JPEG", quality=6)
    made = {
        "coffee": whole,
        "coffee blurred": whole.filter(ImageFilter.GaussianBlur(3)),
        "coffee noisy": noisy,
        "coffee dark": ImageEnhance.Brightness(whole).enhance(0.25),
        "coffee pale": ImageEnhance.Contrast(whole).enhance(0.35),
        "coffee squeezed": Image.open(squeezed),
        "cup": whole.crop((width // 6, 0, width * 3 // 4, height * 3 // 4)),
        "spoon": whole.crop((width // 2, height // 3, width, height)),
    }
    for name, picture in made.items():
        picture.convert("RGB").save(folder / f"{name}.png")


def explain(*arguments: object) -> None:
    """The command, as typed."""
    app(["explain", *map(str, arguments)], standalone_mode=False)


def save(picture: bytes, name: str) -> None:
    """A PNG of few colours."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    few = image.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG)
    few.save(OUT / name, optimize=True)
    print(f"{name}: {few.width} x {few.height}, {(OUT / name).stat().st_size / 1024:.0f} KB")


def screenshot(browser: Any, page: Path, name: str, **look: Any) -> None:
    """One page, with a preset pressed if ``press`` names it."""
    press, height = look.pop("press", None), look.pop("height")
    context = browser.new_context(viewport={"width": look.pop("width"), "height": height}, **look)
    tab = context.new_page()
    tab.goto(page.as_uri())
    if press:
        tab.get_by_role("button", name=press, exact=True).click()
        tab.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
        tab.wait_for_timeout(400)  # the mark on the scale moves
    tab.wait_for_load_state("networkidle")
    save(tab.screenshot(), name)
    context.close()


def main() -> None:
    """All of them."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("got no Chromium on the PATH, expected chromium or google-chrome; install one")
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as runner:
        folder = Path(place)
        (folder / "photographs").mkdir()
        copies(folder / "photographs")
        explain(PHOTOGRAPH, "-o", folder / "one", "--also", MAPS)
        explain(folder / "photographs", "-o", folder / "many", "--also", "none")
        save((folder / "one" / "explanation.png").read_bytes(), "demo.png")
        browser = runner.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page, index = folder / "one" / "explanation.html", folder / "many" / "index.html"
        desktop = {"width": 1200, "height": 860}
        screenshot(browser, page, "report-desktop.png", **desktop)
        screenshot(
            browser,
            page,
            "report-dark.png",
            **desktop,
            color_scheme="dark",
            press="Trivial half",
        )
        phone = {"width": 360, "height": 740, "device_scale_factor": 2}
        screenshot(browser, page, "report-phone.png", **phone, press="Important half")
        screenshot(browser, index, "index.png", **desktop)
        browser.close()


if __name__ == "__main__":
    main()
