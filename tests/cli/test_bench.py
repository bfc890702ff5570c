from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from halfsight.bench import clock, rivals
from halfsight.cli import app

run = CliRunner()


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs in processes of its own runs here: starting them is slow, and tested elsewhere."""

    def here(call: Callable[..., object], *arguments: object) -> object:
        with clock.threads(None):
            return call(*arguments)

    monkeypatch.setattr(clock, "in_child", here)


SMALL = ["--backbone", "test_resnet", "--size", "160x128", "--grid", "2x2", "--repeats", "1"]


def test_masks_gives_the_promised_keys(tmp_path: Path) -> None:
    document = tmp_path / "b.md"
    asked = ["bench", "masks", *SMALL, "--threads", "1", "--json", "--markdown", str(document)]
    result = run.invoke(app, asked)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    keys = "plain_s fast_s speedup max_abs_diff backbone_s table_over_backbone peak_extra_mb"
    assert list(found)[:7] == keys.split()
    assert found["max_abs_diff"] < 1e-5
    assert found["speedup"] == pytest.approx(found["plain_s"] / found["fast_s"])
    assert found["table_over_backbone"] == pytest.approx(found["fast_s"] / found["backbone_s"])
    assert found["coalitions"] == 16
    assert found["threads"] == 1
    text = document.read_text()
    assert "## All coalitions of a photograph" in text
    command = "--grid 2x2 --size 160x128 --backbone test_resnet --repeats 1 --threads 1"
    assert f"\nhalfsight bench masks {command}\n" in text


def test_pipeline_times_stages_and_predicts(weights: Path, tmp_path: Path) -> None:
    document = tmp_path / "b.md"
    asked = ["bench", "pipeline", "-m", str(weights), "--size", "160x128", "--limit", "3"]
    result = run.invoke(app, [*asked, "--grid", "2x2", "--json", "--markdown", str(document)])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert list(found["stages"]) == ["decode", "backbone", "table", "rest", "write"]
    assert found["images"] == 3
    assert found["images_per_s"] == pytest.approx(3 / found["seconds"])
    model = found["cost_model"]
    assert model["images"] == 21_198
    assert model["core_seconds_per_image"] == pytest.approx(sum(found["stages"].values()))
    assert model["hours"]["2"] == pytest.approx(8 * model["hours"]["16"])
    choices = found["choices"]
    assert set(choices["batch_s"]) == {"2", "8"}
    assert choices["float32_s"] > 0 < choices["bfloat16_s"]
    assert choices["unfused_s"] > 0
    assert 0 < choices["bfloat16_error"] < 1
    text = document.read_text()
    assert "## From files to a table" in text
    assert "in bfloat16, which moves scores by up to" in text
    assert "## A whole data set" in text


def test_scale_has_a_row_for_every_case(weights: Path) -> None:
    asked = ["bench", "scale", "--quick", "-m", str(weights), "--size", "160x128", "--json"]
    result = run.invoke(app, [*asked, "--threads", "1"])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert [row["coalitions"] for row in found["kernel"]] == [64, 4096]
    assert [row["images"] for row in found["local"]] == [1]
    assert found["ray"] == []
    assert all(row["peak_mb"] is not None for row in found["kernel"] + found["local"])


def test_rivals_are_counted_and_extrapolated_openly(
    weights: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = partial(rivals.solvers, regions=6, tables=3)  # twelve take the other side seconds
    monkeypatch.setattr(rivals, "solvers", small)
    result = run.invoke(app, ["bench", "rivals", str(photo), "-m", str(weights), "--json"])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    rows = {row["name"]: row for row in found["rows"]}
    assert not rows["halfsight, attention masked"]["extrapolated"]
    ablation = rows["captum FeatureAblation"]
    assert ablation["evaluations"] == ablation["usual_evaluations"] == 13
    sampling = rows["captum ShapleyValueSampling"]
    assert sampling["extrapolated"]
    assert sampling["usual_s"] == pytest.approx(
        sampling["measured_s"] / sampling["evaluations"] * 301
    )
    assert rows["whole model, every coalition"]["usual_evaluations"] == 4096
    assert found["games"].get("max_abs_diff", 0) < 1e-8
    assert found["games"].get("speedup", 50) > 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["masks", "--size", "big"], "expected WIDTHxHEIGHT"),
        (["masks", *SMALL, "--grid", "9x9"], "expected 2 to 16 regions"),
        (["masks", "--backbone", "nothing"], "got backbone 'nothing'"),
        (["scale", "--images", "1,x"], "expected numbers"),
        (["pipeline", "-m", "none.safetensors"], "needs its card"),
        (["pipeline", "--root", "nowhere"], "nowhere"),
    ],
)
def test_usage_errors_end_with_two(arguments: list[str], said: str, weights: Path) -> None:
    if "--root" in arguments:
        arguments = [*arguments, "-m", str(weights)]
    result = run.invoke(app, ["bench", *arguments])
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
