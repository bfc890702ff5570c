"""What people give by mistake, through the command line: one clear line each, never a traceback."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.foreign import Places
from tests.pictures import picture
from typer.testing import CliRunner

from halfsight.cli import app
from halfsight.models import registry
from halfsight.wrapping import wrap

run = CliRunner()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that takes no time, registered as ``quick``."""
    made = SimpleNamespace(
        name="quick", value="", load=lambda: lambda: wrap(Places(), scale=(0, 20), name="quick")
    )
    monkeypatch.setattr(registry, "_plugins", lambda: {"quick": made})


def called(command: str, *arguments: object, code: int = 0) -> tuple[list[Any], list[str]]:
    result = run.invoke(app, [command, *map(str, arguments), "-m", "quick", "--json"])
    assert result.exit_code == code, result.stderr
    assert "Traceback" not in result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()], result.stderr.splitlines()


def broken(kind: str, path: Path) -> None:
    """Put a file or folder of the kind at the path."""
    if kind == "empty folder":
        path.mkdir()
    elif kind == "zero bytes":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("hello")
    elif kind == "truncated":
        Image.fromarray(picture(64, 80)).save(path, "JPEG")
        path.write_bytes(path.read_bytes()[:-900])
    elif kind == "1x1":
        Image.new("RGB", (1, 1)).save(path, "JPEG")
    elif kind == "4x4000":
        Image.new("RGB", (4, 4000)).save(path, "JPEG")
    elif kind == "bomb":
        path.write_bytes(b"P6 60000 60000 255\n")


@pytest.mark.parametrize("command", ["score", "explain"])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "no such file or folder; check the spelling"),
        ("empty folder", "no photograph in this folder"),
        ("zero bytes", "empty file (0 bytes)"),
        ("text", "expected a photograph"),
        ("truncated", "damaged or cut short"),
        ("1x1", "got 1x1 pixels, expected at least 32"),
        ("4x4000", "got 4x4000 pixels, expected at least 32"),
        ("bomb", "got 3600.0 megapixels (60000x60000), expected at most 200"),
    ],
)
def test_one_line_that_names_the_file(command: str, kind: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    broken(kind, path)
    found, lines = called(command, path, code=1)
    assert found == []
    assert len(lines) == 1
    assert lines[0].startswith(f"halfsight: {path}: ")
    assert said in lines[0]


def test_a_file_that_may_not_be_read(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def forbidden(self: Path, *arguments: Any, **options: Any) -> Any:
        if self == photo:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", forbidden)
    _, lines = called("explain", photo, code=1)
    (line,) = lines
    assert line.startswith(f"halfsight: {photo}: cannot be read (Permission denied); check")


def test_the_good_ones_of_a_folder_are_done(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for kind in ("zero bytes", "text", "truncated", "1x1"):
        broken(kind, folder / f"{kind}.jpg")
    Image.fromarray(picture(64, 80)).save(folder / "good.png")
    found, lines = called("explain", folder, "--grid", "2x2", "-o", tmp_path / "out", code=1)
    assert [Path(one["path"]).name for one in found] == ["good.png"]
    assert len(lines) == 5
    assert lines[-1] == "halfsight: 4 of 5 inputs failed"
    index = (tmp_path / "out" / "index.html").read_text()
    assert "truncated.jpg" in index


def test_a_full_disk_leaves_no_table(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    target = tmp_path / "out" / "scores.csv"
    result = run.invoke(app, ["score", str(photo), "--csv", str(target), "-m", "quick"])
    assert result.exit_code == 2
    assert "the disk is full" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


SCORE_108_MEGAPIXELS = """
import resource, sys
from tests.foreign import Places
from tests.pictures import picture
from halfsight.wrapping import wrap
scorer = wrap(Places())
scorer.score(picture(768, 1024))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
prediction = scorer.predict(sys.argv[1])
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert prediction.size == (768, 1024), prediction.size
assert prediction.notes == ("resized from 12000x9000 to 1024x768 pixels",), prediction.notes
print((after - before) * 1024)
"""


def test_108_megapixels_are_scored_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.new("RGB", (12000, 9000), (200, 100, 50)).save(path)
    done = subprocess.run(
        [sys.executable, "-c", SCORE_108_MEGAPIXELS, str(path)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1_500_000_000


def test_sampled_masks_say_so(photo: Path) -> None:
    (found,), lines = called("explain", photo, "--masks", 60, "--seed", 5, "--masking", "mean")
    assert lines == []
    assert found["estimated"] is True
    assert found["seed"] == 5
    assert found["masking"] == "mean"
    assert len(found["standard_error"]) == 12
    assert 60 <= found["masks"] <= 62
    result = run.invoke(app, ["explain", str(photo), "-m", "quick", "--masks", "60"])
    assert "standard errors" in result.stdout
    assert "of 4094 masks evaluated (seed 0): importance is an estimate" in result.stdout
    (whole,), _ = called("explain", photo, "--masks", "all", "--grid", "2x3")
    assert whole["estimated"] is False
    assert whole["masks"] == 62
    assert "standard_error" not in whole
    assert None not in whole["table"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--masks", "3"], "got 3 masks, expected at least 44 for 12 regions, or all 4094"),
        (["--masks", "most"], "got masks 'most', expected all or a whole number"),
        (["--masking", "pink"], "got masking 'pink', expected one of auto, attention, zero"),
        (["--masking", "attention"], "expected a model with tokens"),
        (["--also", "limes"], "--also: got 'limes', expected some of lime, gradcam, rollout"),
        (["--also", ""], "--also: got '', expected some of lime"),
    ],
)
def test_options_that_cannot_be(arguments: list[str], said: str, photo: Path) -> None:
    found, lines = called("explain", photo, *arguments, code=2)
    assert found == []
    assert len(lines) == 1
    assert said in lines[0]


def test_further_maps(photo: Path, tmp_path: Path) -> None:
    (found,), _ = called("explain", photo, "--grid", "2x2")
    assert "also" not in found  # nobody would see them
    (found,), lines = called("explain", photo, "--grid", "2x2", "--also", "saliency, gradcam")
    assert lines == []
    assert set(found["also"]) == {"saliency", "gradcam"}
    assert all(len(one["regions"]) == 4 for one in found["also"].values())
    out = tmp_path / "out"
    (found,), _ = called("explain", photo, "--grid", "2x2", "-o", out)
    assert set(found["also"]) == {"saliency", "frequency", "objectness", "gradcam"}
    with np.load(out / "maps.npz") as maps:
        assert set(maps) == {"importance", *found["also"]}
    (found,), _ = called(
        "explain", photo, "--grid", "2x2", "-o", out, "--overwrite", "--also", "none"
    )
    assert "also" not in found
    with np.load(out / "maps.npz") as maps:
        assert set(maps) == {"importance"}


def test_a_view_that_was_asked_for_and_failed_is_listed(photo: Path) -> None:
    (found,), lines = called(
        "explain", photo, "--grid", "2x2", "--also", "rollout,saliency", code=1
    )
    assert set(found["also"]) == {"saliency"}
    assert len(lines) == 1
    assert lines[0].startswith(f"halfsight: {photo}: rollout: got External")
