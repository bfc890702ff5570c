from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image
from tests.pictures import picture
from typer.testing import CliRunner

from halfsight.cli import app
from halfsight.scorer import Scorer

run = CliRunner()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    (place / "sub").mkdir(parents=True)
    Image.fromarray(picture(140, 180, 1)).save(place / "a.png")
    Image.fromarray(picture(180, 140, 2)).save(place / "sub" / "b.JPG", quality=95)
    Image.fromarray(picture(150, 150, 3)).convert("L").save(place / "c.bmp")
    (place / "notes.txt").write_text("not a photograph")
    return place


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_one_json_object_a_line(folder: Path, weights: Path, scorer: Scorer) -> None:
    result = run.invoke(app, ["score", str(folder), "--json", "-m", str(weights)])
    assert result.exit_code == 0, result.stderr
    found = lines(result.stdout)
    assert [Path(str(row["path"])).name for row in found] == ["a.png", "c.bmp", "b.JPG"]
    for row in found:
        assert row["scale"] == {"min": 1.0, "max": 5.0, "higher_is_better": True}
        assert row["score"] == pytest.approx(scorer.score(str(row["path"])), abs=1e-6)


def test_the_same_alone_in_a_folder_by_pattern_and_from_stdin(folder: Path, weights: Path) -> None:
    def scores(*arguments: str, stdin: str | None = None) -> dict[str, float]:
        result = run.invoke(app, ["score", *arguments, "--json", "-m", str(weights)], input=stdin)
        assert result.exit_code == 0, result.stderr
        return {str(row["path"]): float(str(row["score"])) for row in lines(result.stdout)}

    together = scores(str(folder))
    alone: dict[str, float] = {}
    for path in together:
        alone |= scores(path)
    assert alone == together
    assert scores("-", stdin="\n".join(together)) == together
    pattern = scores(str(folder / "*.png"))
    assert pattern == {path: together[path] for path in pattern}
    assert len(pattern) == 1


def test_csv_has_the_scale_in_every_row(folder: Path, weights: Path, tmp_path: Path) -> None:
    target = tmp_path / "scores.csv"
    result = run.invoke(app, ["score", str(folder), "--csv", str(target), "-m", str(weights)])
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    assert len(rows) == 3
    assert {row["min"] for row in rows} == {"1.0"}
    assert all(1 <= float(row["score"]) <= 5 for row in rows)


def test_failures_are_listed_and_the_others_finish(folder: Path, weights: Path) -> None:
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("hello")
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    whole = (folder / "sub" / "b.JPG").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    result = run.invoke(app, ["score", str(folder), "--json", "-m", str(weights)])
    assert result.exit_code == 1
    assert len(lines(result.stdout)) == 3
    listed = result.stderr.splitlines()
    for name in ("empty.jpg", "text.jpg", "dot.png", "cut.jpg"):
        assert sum(name in line for line in listed) == 1
    assert listed[-1] == "halfsight: 4 of 7 inputs failed"
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["missing.jpg", "nothing/*.jpg"])
def test_missing_inputs(name: str, weights: Path, tmp_path: Path) -> None:
    result = run.invoke(app, ["score", str(tmp_path / name), "-m", str(weights)])
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert name in result.stderr


def test_empty_folder(weights: Path, tmp_path: Path) -> None:
    result = run.invoke(app, ["score", str(tmp_path), "-m", str(weights)])
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x.jpg", "--model", "triqqq"], "did you mean 'triq'"),
        (["x.jpg", "--csv", "a.csv", "--json"], "expected one of them"),
        (["x.jpg", "--model", "none.safetensors"], "needs its card"),
        ([], "Missing argument"),
        (["x.jpg", "--sale"], "No such option"),
    ],
)
def test_usage_errors_end_with_two(arguments: list[str], said: str) -> None:
    result = run.invoke(app, ["score", *arguments])
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_csv_that_cannot_be_written(photo: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    target = tmp_path / "file" / "scores.csv"
    result = run.invoke(app, ["score", str(photo), "--csv", str(target), "-m", str(weights)])
    assert result.exit_code == 2
    assert "scores.csv" in result.stderr
    assert len(result.stderr.splitlines()) == 1
