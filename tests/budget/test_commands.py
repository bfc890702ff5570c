from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.pictures import picture
from typer.testing import CliRunner

from halfsight import datasets, images
from halfsight.budget import files
from halfsight.budget.views import framed
from halfsight.cli import app

run = CliRunner()


def test_score_within_a_budget(budgeted: Path, photo: Path) -> None:
    result = run.invoke(
        app, ["score", str(photo), "-m", str(budgeted), "--budget", "0.5", "--json"]
    )
    assert result.exit_code == 0, result.stderr
    row = json.loads(result.stdout)
    assert row["grid"] == [3, 4]
    assert len(row["regions"]) == 6
    assert row["bound"] is None
    assert row["notes"][-1].startswith("read 6 of 12 regions")
    assert 1 <= row["score"] <= 5


def test_score_within_a_tolerance(budgeted: Path, photo: Path) -> None:
    arguments = ["--budget", "auto", "--tolerance", "5", "--json"]
    result = run.invoke(app, ["score", str(photo), "-m", str(budgeted), *arguments])
    assert result.exit_code == 0, result.stderr
    row = json.loads(result.stdout)
    assert len(row["regions"]) == 2
    assert row["bound"] <= 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--budget", "13"], "1 to 12 regions"),
        (["--budget", "auto"], "expected a tolerance above 0"),
        (["--budget", "6", "--tolerance", "1"], "leave it out"),
        (["--tolerance", "1"], "without --budget"),
    ],
)
def test_budgets_that_make_no_sense(
    options: list[str], said: str, budgeted: Path, photo: Path
) -> None:
    result = run.invoke(app, ["score", str(photo), "-m", str(budgeted), *options])
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_a_model_without_a_budget(weights: Path, photo: Path) -> None:
    result = run.invoke(app, ["score", str(photo), "-m", str(weights), "--budget", "0.5"])
    assert result.exit_code == 2
    assert "halfsight budget train" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_experiment_and_what_it_writes(budgeted: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["experiment", "budget", "biq2021", "--root", str(photos), "--limit", "5"]
    arguments += ["-m", str(budgeted), "--no-oracle", "--timed", "1", "-o", str(out), "--json"]
    arguments += ["--selectors", "centre,random"]
    result = run.invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["photographs"] == 5
    assert summary["k"] == 6
    points = {(p["way"], p["regions"]): p for p in summary["points"]}
    assert points["full", None]["full"]["value"] == pytest.approx(1)
    assert {k for way, k in points if way == "learned"} == set(range(2, 13))
    assert {k for way, k in points if way == "centre crop"} == {2, 4, 6, 8, 10}
    half, whole = points["learned", 6], points["full", None]
    assert half["gflops"] < 1.1 * whole["gflops"]  # so small that windows cover them
    assert points["downscaled", 6]["gflops"] < whole["gflops"]
    for name in ("index.html", "report.md", "summary.json", "tables/budget-pareto.csv"):
        assert (out / name).is_file()
    assert (out / "figures" / "budget-full.png").is_file()
    assert "/" not in summary["points"][0]["way"]
    again = run.invoke(app, arguments)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


def test_bench_gives_the_three_figures(budgeted: Path, photos: Path) -> None:
    arguments = ["bench", "budget", "biq2021", "--root", str(photos), "--split", "train"]
    arguments += ["-m", str(budgeted), "--size", "256x192", "--limit", "6", "--json"]
    result = run.invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["n"] == 6
    assert found["k"] == 6
    assert found["size"] == "256x192"
    assert found["speedup"] == pytest.approx(found["full_seconds"] / found["budget_seconds"])
    assert -1 <= found["plcc_full"] <= 1
    low, high = found["plcc_mos_drop_interval"]
    assert low <= high
    assert found["threads"] == 1

    made = files.load(budgeted, budget=6)
    chosen = datasets.load("biq2021", photos, split="train").samples[:6]
    scores = [
        made.score(framed(np.asarray(images.read(one.path).pixels), (192, 256))) for one in chosen
    ]
    opinions = [one.mos for one in chosen]
    assert found["plcc_mos"] == pytest.approx(np.corrcoef(scores, opinions)[0, 1], abs=1e-4)


def test_a_photograph_that_cannot_be_read_is_listed(budgeted: Path, photos: Path) -> None:
    (photos / "0.png").write_bytes(b"not a photograph")
    arguments = ["bench", "budget", "biq2021", "--root", str(photos), "--split", "train"]
    arguments += ["-m", str(budgeted), "--size", "128x128", "--limit", "7"]
    result = run.invoke(app, arguments)
    assert result.exit_code == 1
    assert "0.png" in result.stderr
    assert "6 photographs" in result.stdout


@pytest.mark.parametrize("size", ["1024", "x", "10x10", "1e3x5", "99999x9"])
def test_sizes_that_make_no_sense(size: str, budgeted: Path, photos: Path) -> None:
    arguments = ["bench", "budget", "biq2021", "--root", str(photos), "--size", size]
    result = run.invoke(app, [*arguments, "-m", str(budgeted)])
    assert result.exit_code == 2
    assert "such as 1024x768" in " ".join(result.stderr.split())


def test_train_from_the_command_line(weights: Path, photos: Path, tmp_path: Path) -> None:
    arguments = ["budget", "train", "biq2021", "--root", str(photos), "-m", str(weights)]
    arguments += ["-o", str(tmp_path / "x.safetensors"), "--cache", str(tmp_path / "cache")]
    unknown = run.invoke(app, [*arguments, "--split", "val"])
    assert unknown.exit_code == 2
    assert "'val'" in unknown.stderr
    Image.fromarray(picture(64, 64)).save(photos / "extra.png")
    few = run.invoke(app, [*arguments, "--split", "test", "--enlarged", "0"])
    assert few.exit_code == 2
    assert "photographs" in few.stderr
