"""The examples and the documentation of own models run as they are written."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

import halfsight as hs
from halfsight.models import registry

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "own-model.md"
PHOTO = ROOT / "examples" / "coffee.jpg"


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_own_model(capsys: pytest.CaptureFixture[str]) -> None:
    example = module(ROOT / "examples" / "own_model.py")
    result = example.main(PHOTO)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 12 + 2
    assert sum("important" in line for line in lines[1:13]) == 6
    assert result.estimated
    assert result.score_important_masked < result.score_trivial_masked < result.score
    # the metric itself, worked out by hand
    pixels = np.asarray(Image.open(PHOTO).resize((192, 144), Image.Resampling.BICUBIC), float)
    down, across = np.abs(np.diff(pixels, axis=0)).sum(), np.abs(np.diff(pixels, axis=1)).sum()
    assert result.score == pytest.approx((down + across) / pixels.size, rel=1e-4)
    with Image.open(PHOTO) as photo:
        assert example.scorer().score(photo.filter(ImageFilter.GaussianBlur(3))) < result.score


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_on_own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {"__name__": "their_package"}
    for block in blocks("python"):
        exec(compile(block, str(PAGE), "exec"), known)
    assert isinstance(known["scorer"], hs.Scorer)
    # the entry point of the page's pyproject.toml names a function of the page
    (project,) = (tomllib.loads(text) for text in blocks("toml"))
    ((name, value),) = project["project"]["entry-points"]["halfsight.models"].items()
    made = SimpleNamespace(
        name=name, value=value, load=lambda: known[value.partition(":")[2]], dist=None
    )
    monkeypatch.setattr(registry, "_plugins", lambda: {name: made})
    assert hs.load(name).score(PHOTO) == pytest.approx(known["scorer"].score(PHOTO))
