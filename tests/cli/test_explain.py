from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.pictures import picture
from typer.testing import CliRunner

from halfsight.cli import app

run = CliRunner()

KEYS = {
    "path",
    "model",
    "score",
    "scale",
    "grid",
    "criterion",
    "masks",
    "importance",
    "important",
    "trivial",
    "table",
    "score_important_masked",
    "score_trivial_masked",
    "seconds",
}


def explain(*arguments: object, code: int = 0) -> tuple[list[dict[str, Any]], list[str]]:
    result = run.invoke(app, ["explain", *map(str, arguments), "--json"])
    assert result.exit_code == code, result.stderr
    assert "Traceback" not in result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()], result.stderr.splitlines()


def test_json_keeps_the_contract(photo: Path, weights: Path) -> None:
    (found,), said = explain(photo, "-m", weights)
    assert said == []
    assert set(found) >= KEYS
    assert found["path"] == str(photo)
    assert found["grid"] == [3, 4]
    assert found["masks"] == 4094
    assert len(found["table"]) == 4096
    assert len(found["importance"]) == 12
    assert sorted(found["important"] + found["trivial"]) == list(range(12))
    assert found["table"][0] == found["score"]
    bits = sum(1 << region for region in found["important"])
    assert found["table"][bits] == found["score_important_masked"]
    assert found["table"][4095 - bits] == found["score_trivial_masked"]


def test_many_photographs_have_a_folder_each(weights: Path, tmp_path: Path) -> None:
    for number, place in enumerate(("a", "b")):
        (tmp_path / "in" / place).mkdir(parents=True)
        Image.fromarray(picture(140, 180, number)).save(tmp_path / "in" / place / "same.png")
    (tmp_path / "in" / "bad.jpg").write_text("no")
    out = tmp_path / "out"
    found, said = explain(tmp_path / "in", "-m", weights, "-o", out, "--grid", "2x2", code=1)
    assert len(found) == 2
    assert "bad.jpg" in said[0]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["finished"] is True
    assert len(manifest["failures"]) == 1
    for path, place in manifest["photographs"].items():
        if "bad" not in path:
            stored = json.loads((out / place / "explanation.json").read_text())
            assert stored["path"] == path
    assert (out / "index.html").is_file()

    explain(tmp_path / "in", "-m", weights, "-o", out, "--grid", "2x2", code=2)
    again, _ = explain(
        tmp_path / "in", "-m", weights, "-o", out, "--grid", "2x2", "--resume", code=1
    )
    assert again == []  # finished ones are kept
    _, said = explain(tmp_path / "in", "-m", weights, "-o", out, "--resume", code=2)
    assert "other options" in said[0]
    explain(tmp_path / "in", "-m", weights, "-o", out, "--overwrite", "--grid", "2x2", code=1)


def test_output_folder_is_refused_then_replaced(photo: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    explain(photo, "-m", weights, "-o", out, "--grid", "2x2")
    before = (out / "manifest.json").read_bytes()
    _, said = explain(photo, "-m", weights, "-o", out, "--grid", "2x2", code=1)
    assert len(said) == 1
    assert "overwrite" in said[0]
    assert (out / "manifest.json").read_bytes() == before
    explain(photo, "-m", weights, "-o", out, "--grid", "2x2", "--overwrite")
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.doc").write_text("years of work")
    explain(photo, "-m", weights, "-o", other, "--grid", "2x2", "--overwrite", code=1)
    assert (other / "thesis.doc").read_text() == "years of work"


def test_full_disk_leaves_nothing(
    photo: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    out = tmp_path / "out"
    _, said = explain(photo, "-m", weights, "-o", out, "--grid", "2x2", code=1)
    assert "No space left" in said[0] or "disk is full" in said[0]
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("grey", ""),
        ("16-bit", "16-bit"),
        ("cmyk", "CMYK"),
        ("alpha", "alpha"),
        ("palette", ""),
        ("gif", "first of"),
        ("rotated", "orient"),
        ("large", "resized from"),
    ],
)
def test_every_kind_of_photograph(kind: str, note: str, weights: Path, tmp_path: Path) -> None:
    pixels = picture(150, 200)
    image = Image.fromarray(pixels)
    if kind == "grey":
        path = save(tmp_path / "x.png", image.convert("L"))
    elif kind == "16-bit":
        deep = pixels[..., 0].astype(np.uint16) * 257
        path = save(tmp_path / "x.png", Image.fromarray(deep))
    elif kind == "cmyk":
        path = save(tmp_path / "x.jpg", image.convert("CMYK"))
    elif kind == "alpha":
        layered = image.copy()
        layered.putalpha(Image.linear_gradient("L").resize(image.size))
        path = save(tmp_path / "x.png", layered)
    elif kind == "palette":
        path = save(tmp_path / "x.png", image.quantize(64))
    elif kind == "gif":
        frames = [Image.fromarray(picture(150, 200, seed)) for seed in range(3)]
        path = save(tmp_path / "x.gif", frames[0], save_all=True, append_images=frames[1:])
    elif kind == "rotated":
        exif = Image.Exif()
        exif[0x0112] = 6
        path = save(tmp_path / "x.jpg", image, exif=exif)
    else:
        path = save(tmp_path / "x.jpg", image.resize((3000, 2250)))
    (found,), said = explain(path, "-m", weights, "--grid", "2x2")
    assert said == []
    assert any(note.lower() in one.lower() for one in found["notes"]) or note == ""
    if kind == "rotated":
        assert found["size"] == [200, 150]


def test_elongated_and_tiny(weights: Path, tmp_path: Path) -> None:
    Image.new("RGB", (4000, 4)).save(tmp_path / "wire.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    found, said = explain(tmp_path / "wire.png", tmp_path / "dot.png", "-m", weights, code=1)
    assert found == []
    assert "4000x4" in said[0]
    assert "1x1" in said[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--grid", "9x9"], "2 to 16 regions"),
        (["--grid", "three"], "expected ROWSxCOLUMNS"),
        (["--criterion", "best"], "expected one of dist_plcc"),
    ],
)
def test_usage_errors(arguments: list[str], said: str, photo: Path, weights: Path) -> None:
    _, lines = explain(photo, "-m", weights, *arguments, code=2)
    assert said in lines[0]


def test_summary_for_people(photo: Path, weights: Path) -> None:
    result = run.invoke(app, ["explain", str(photo), "-m", str(weights), "--grid", "2x2"])
    assert result.exit_code == 0
    assert "on 1 to 5 (higher is better)" in result.stdout
    assert result.stdout.count("[") == 2  # the important half
    assert "important half masked" in result.stdout
    assert result.stderr == ""
