"""``halfsight table build`` for a model without tokens: every mask in the pixels."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.foreign import Places
from tests.pictures import picture
from typer.testing import CliRunner

import halfsight as hs
from halfsight.cli import app
from halfsight.models import registry
from halfsight.table import CoalitionTable
from halfsight.wrapping import wrap

run = CliRunner()


def made() -> hs.Scorer:
    return wrap(Places(), size=(36, 48), scale=(0, 20), name="quick")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    point = SimpleNamespace(name="quick", value="", load=lambda: made)
    monkeypatch.setattr(registry, "_plugins", lambda: {"quick": point})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    place.mkdir()
    Image.fromarray(picture(64, 80, 1)).save(place / "wide.png")
    Image.fromarray(picture(80, 64, 2)).save(place / "high.png")
    (place / "zero.jpg").write_bytes(b"")
    return place


def build(folder: Path, *arguments: object, code: int = 0) -> Any:
    command = ["table", "build", "folder", "--root", folder, "-m", "quick", *arguments]
    result = run.invoke(app, [*map(str, command)])
    assert result.exit_code == code, result.stderr
    assert "Traceback" not in result.stderr
    return result


def test_the_table_holds_every_mask(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "table"
    result = build(
        folder, "-o", out, "--grid", "2x3", "--masking", "mean", "--json", "--workers", 1, code=1
    )
    said = json.loads(result.stdout)
    assert said["photographs"] == 2
    assert said["coalitions"] == 64
    assert said["criteria"] == ["abs_delta", "shapley"]
    assert said["provenance"]["masking"] == "mean"
    assert [name for name, _ in said["failures"]] == ["zero.jpg"]
    table = CoalitionTable.load(out)
    assert np.isfinite(table.scores).all()
    for name, scores in zip(table.ids, table.scores, strict=True):
        alone = hs.explain(made(), folder / name, grid="2x3", masking="mean", masks="all")
        np.testing.assert_allclose(scores, alone.table, atol=1e-5)
    assert dict(zip(table.ids, table.grids, strict=True)) == {
        "wide.png": (2, 3),
        "high.png": (3, 2),
    }
    again = build(folder, "-o", out, "--grid", "2x3", "--masking", "blur", "--resume", code=2)
    assert "another model" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--masking", "attention"], "expected a model with tokens"),
        (["--masking", "pink"], "got masking 'pink'"),
        (["--grid", "9x9"], "2 to 16 regions"),
    ],
)
def test_usage_errors(arguments: list[str], said: str, folder: Path, tmp_path: Path) -> None:
    result = build(folder, "-o", tmp_path / "table", *arguments, code=2)
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_same_from_python(folder: Path) -> None:
    table = hs.build_table(made(), [folder / "wide.png"], grid="2x2", masking="zero", workers=1)
    assert table.scores.shape == (1, 16)
    assert table.provenance["masking"] == "zero"
