from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.pictures import picture
from torch import nn
from typer.testing import CliRunner

from halfsight.cli import app
from halfsight.models.dbcnn import DBCNN

run = CliRunner()


@pytest.fixture(scope="module")
def dbcnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authors' names around a fresh network."""
    torch.manual_seed(0)
    net: nn.Module = DBCNN()
    path = tmp_path_factory.mktemp("authors") / "net_params_best.pkl"
    theirs = {"backbone.net.features": "features1", "scnn": "features2", "head": "fc"}
    state = {}
    for name, tensor in net.state_dict().items():
        prefix = next(ours for ours in theirs if name.startswith(ours))
        state["module." + name.replace(prefix, theirs[prefix], 1)] = tensor
    torch.save(state, path)
    return path


def test_import_then_score(dbcnn: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "dbcnn.safetensors"
    result = run.invoke(app, ["weights", "import", str(dbcnn), "--as", "dbcnn", "-o", str(out)])
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{out}\n"
    assert json.loads(out.with_suffix(".json").read_text())["status"] == "imported"
    photo = tmp_path / "photo.png"
    Image.fromarray(picture(140, 180)).save(photo)
    scored = run.invoke(app, ["score", str(photo), "--json", "--model", str(out)])
    assert scored.exit_code == 0, scored.stderr
    row = json.loads(scored.stdout)
    assert row["model"] == "dbcnn"
    assert row["scale"] == {"min": 0.0, "max": 100.0, "higher_is_better": True}


def test_json_is_the_card(dbcnn: Path, tmp_path: Path) -> None:
    out = tmp_path / "dbcnn.safetensors"
    result = run.invoke(
        app,
        f"weights import {dbcnn} --as dbcnn -o {out} --json --scale 1 9 --lower-is-better".split(),
    )
    assert result.exit_code == 0, result.stderr
    card = json.loads(result.stdout)
    assert card == json.loads(out.with_suffix(".json").read_text())
    assert card["scale"] == {"min": 1.0, "max": 9.0, "higher_is_better": False}
    assert card["recipe"]["imported"]["file"] == dbcnn.name


def test_a_file_that_fails_is_exit_one(tmp_path: Path) -> None:
    path = tmp_path / "TRIQ.h5"
    path.write_text("<html>Google Drive: quota exceeded</html>")
    out = tmp_path / "triq.safetensors"
    result = run.invoke(app, ["weights", "import", str(path), "--as", "triq", "-o", str(out)])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        f"halfsight: {path}: is no HDF5 file, expected the Keras .h5 file of junyongyou/triq; "
        "check --as, or get the file again\n"
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--as", "triqq", "-o", "x.safetensors"], "did you mean 'triq'"),
        (["--as", "swin_iqa", "-o", "x.safetensors"], "expected one of triq, aihiqnet"),
        (["--as", "triq", "-o", "x.pth"], "ends in .safetensors"),
        (["--as", "triq", "-o", "x.safetensors", "--positions", "cut"], "truncate or interpolate"),
        (["--as", "dbcnn", "-o", "x.safetensors", "--lower-is-better"], "expected --scale"),
        (["--as", "dbcnn", "-o", "x.safetensors", "--scale", "5", "1"], "lower number first"),
        (["--as", "dbcnn", "-o", "x.safetensors", "--scale", "0", "nan"], "lower number first"),
        (["--as", "triq"], "Missing option"),
    ],
)
def test_usage_errors_end_with_two(arguments: list[str], said: str) -> None:
    result = run.invoke(app, ["weights", "import", "file.h5", *arguments])
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_an_output_that_cannot_be_written(dbcnn: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    out = tmp_path / "file" / "dbcnn.safetensors"
    result = run.invoke(app, ["weights", "import", str(dbcnn), "--as", "dbcnn", "-o", str(out)])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr
