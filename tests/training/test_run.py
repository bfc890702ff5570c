from __future__ import annotations

from pathlib import Path

import pytest
import torch
import typer
from tests.training.conftest import RECIPE
from typer.testing import CliRunner

from halfsight import scorer as scorers
from halfsight.cli import app
from halfsight.datasets import DatasetError
from halfsight.training import recipe as recipes
from halfsight.training import run
from halfsight.training.recipe import Recipe, RecipeError
from halfsight.weights import store


def trained(root: Path, out: Path, **changes: object) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    recipe = Recipe.model_validate(RECIPE | changes)
    card = run.train(recipe, {"clive": root}, out=out, cache=out.parent / "cache", quiet=True)
    assert card.status == "trained here"
    return load_file(out / "triq.safetensors")


def test_a_resumed_run_repeats_the_original_exactly(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(root, tmp_path / "whole")

    from halfsight.training.module import QualityTraining

    original = QualityTraining.on_train_epoch_start

    def stopped(self: QualityTraining) -> None:
        if self.current_epoch == 2:
            raise KeyboardInterrupt
        original(self)

    with monkeypatch.context() as patch:
        patch.setattr(QualityTraining, "on_train_epoch_start", stopped)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            trained(root, tmp_path / "halves")
    assert not (tmp_path / "halves" / "triq.safetensors").exists()
    first = (tmp_path / "halves" / "log" / "metrics.csv").read_bytes()
    resumed = trained(root, tmp_path / "halves")
    assert (tmp_path / "halves" / "log" / "metrics.csv").read_bytes() == first
    assert (tmp_path / "halves" / "log-from-epoch-2" / "metrics.csv").is_file()
    assert whole.keys() == resumed.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name


def test_the_free_part_is_trained_and_the_rest_is_not(root: Path, tmp_path: Path) -> None:
    state = trained(root, tmp_path / "run", epochs=1)
    assert "head_output.weight" in state
    assert any(name.startswith("backbone.net.blocks.5") for name in state)
    assert not any(name.startswith("backbone.net.blocks.4") for name in state)
    scorer = scorers.load(tmp_path / "run" / "triq.safetensors")
    fresh = scorers.registry.entry("triq").build(**RECIPE["config"])  # type: ignore[arg-type]
    fresh.load_backbone(offline=True)
    ours, theirs = scorer.net.state_dict(), fresh.state_dict()
    late, early = "backbone.net.blocks.5.0.conv_pw.weight", "backbone.net.blocks.3.0.conv_pw.weight"
    assert torch.equal(ours[early], theirs[early])
    assert not torch.equal(ours[late], theirs[late])
    card = scorer.card
    assert card.data[0].startswith("clive: ")
    assert card.recipe["epochs"] == 1
    assert 1 <= scorer.score(root / "images" / "3.png") <= 5


def test_a_frozen_backbone_stores_the_head_alone(root: Path, tmp_path: Path) -> None:
    state = trained(root, tmp_path / "run", epochs=1, stage=-1, backbone_rate=0.0)
    assert not any(name.startswith("backbone.") for name in state)


def test_noisy_labels_can_be_shrunk_and_the_card_says_by_how_much(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from halfsight.training import denoise

    monkeypatch.setattr(denoise, "SMALLEST", 3)
    sources = [{"name": "clive", "denoise": True}]
    trained(root, tmp_path / "run", epochs=1, stage=-1, backbone_rate=0.0, sources=sources)
    card = scorers.load(tmp_path / "run" / "triq.safetensors").card
    assert card.recipe["labels_keep"] == {"clive": 1.0}
    assert "val_plcc_clive" in card.recipe["validation"]


def test_train_and_evaluate_commands(root: Path, tmp_path: Path) -> None:
    import json

    import yaml

    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(RECIPE | {"epochs": 1}))
    cli = CliRunner()
    out = tmp_path / "run"
    arguments = ["train", "triq", "clive", "--root", str(root), "-o", str(out)]
    made = cli.invoke(app, [*arguments, "--recipe", str(file)])
    assert made.exit_code == 0, made.stderr
    weights = made.stdout.strip().splitlines()[-1]
    assert (out / "log" / "metrics.csv").is_file()
    shown = cli.invoke(
        app, ["evaluate", weights, "clive", "--root", str(root), "--split", "val", "--json"]
    )
    assert shown.exit_code == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert found["parts"]["all"]["n"] == 3
    assert -1 <= found["parts"]["all"]["srocc"] <= 1
    recorded = cli.invoke(
        app, ["evaluate", weights, "clive", "--root", str(root), "--split", "val", "--record"]
    )
    assert recorded.exit_code == 0, recorded.stderr
    card = store.read_card(Path(weights))
    assert [(one.dataset, one.split, one.n) for one in card.figures] == [("clive", "val", 3)]
    wrong = cli.invoke(app, [*arguments, "--recipe", str(tmp_path / "none.yaml")])
    assert wrong.exit_code == 2
    assert len(wrong.stderr.splitlines()) == 1


def test_recipes_are_checked(tmp_path: Path) -> None:
    for name in recipes.shipped():
        assert recipes.read(name).epochs >= 1
    file = tmp_path / "bad.yaml"
    for text, said in [
        ("model: [", "not valid YAML"),
        ("model: triq", "Field required"),
        ("model: triq\nepochz: 3", "epochz|Field required"),
    ]:
        file.write_text(text)
        with pytest.raises(RecipeError, match=said):
            recipes.read(file)


def test_missing_roots_and_splits_are_named(root: Path, tmp_path: Path) -> None:
    recipe = Recipe.model_validate(RECIPE)
    with pytest.raises(RecipeError, match="--root clive=DIR"):
        run.parts_of(recipe, {}, hashes=tmp_path)
    wrong = Recipe.model_validate(RECIPE | {"validation": {"split": "holdout"}})
    with pytest.raises(DatasetError, match="holdout"):
        run.parts_of(wrong, {"clive": root}, hashes=tmp_path)


def test_pooled_features_are_cached_and_images_can_be_drawn(root: Path, tmp_path: Path) -> None:
    import numpy as np

    recipe = Recipe.model_validate(
        {
            "model": "koncept512",
            "config": {"backbone": "tf_efficientnet_lite0", "widths": [8, 4], "dropout": [0, 0]},
            "sources": [{"name": "clive", "splits": ["train", "val"], "limit": 9}],
            "validation": {"fraction": 0.4},
            "epochs": 2,
            "batch": 4,
            "head_rate": 1e-3,
            "loss": {"cross_entropy": 0, "squared_error": 1},
            "batch_norm": "batch",
        }
    )
    out = tmp_path / "run"
    card = run.train(recipe, {"clive": root}, out=out, quiet=True)
    stored = sorted((out / "cache").rglob("*.npy"))
    assert len(stored) == 9
    assert np.load(stored[0]).shape == (1280, 1, 1)
    assert (card.scale.min, card.scale.max) == (1, 5)
    assert card.tensors == "head alone"
    assert set(card.recipe["validation"]) == {"val_plcc", "val_plcc_clive", "val_srocc_clive"}
    scorer = scorers.load(out / "koncept512.safetensors")
    features = torch.tensor(np.load(stored[0]), dtype=torch.float32)[None]
    name = stored[0].relative_to(out / "cache").parts[2:]
    image = root.joinpath(*name).with_suffix("")
    with torch.inference_mode():
        cached = float(scorer.net.rest(features, -1)[0])
    assert scorer.score(image) == pytest.approx(cached, abs=2e-2)  # kept as float16


def test_the_whole_network_is_trained_from_pixels(root: Path, tmp_path: Path) -> None:
    state = trained(
        root,
        tmp_path / "run",
        stage=None,
        epochs=1,
        average=0.0,
        optimiser="sgd",
        batch_norm="batch",
        clip=None,
        crop={},
    )
    net, card = store.load(tmp_path / "run" / "triq.safetensors")
    assert card.tensors == "all"
    assert set(state) == set(net.state_dict())
    pretrained = scorers.registry.entry("triq").build(**card.config)
    pretrained.load_backbone(offline=True)
    for name in ("backbone.net.conv_stem.weight", "backbone.net.conv_head.weight"):
        assert not torch.equal(state[name], pretrained.state_dict()[name])
    assert not any((tmp_path / "cache").rglob("*.npy")) if (tmp_path / "cache").exists() else True


def test_a_second_stage_from_the_command_line(root: Path, tmp_path: Path, weights: Path) -> None:
    import yaml

    file = tmp_path / "second.yaml"
    config = {"backbone": "tf_efficientnet_lite0", "position_grid": [8, 8], "pool_from": 8}
    second = {"epochs": 1, "start_from": "earlier", "config": config, "stage": -1}
    file.write_text(yaml.safe_dump(RECIPE | second | {"backbone_rate": 0.0, "average": 0.0}))
    cli = CliRunner()
    arguments = ["train", "triq", "clive", "--root", str(root), "-o", str(tmp_path / "run")]
    arguments += ["--recipe", str(file)]
    missing = cli.invoke(app, arguments)
    assert missing.exit_code == 2
    assert "--start-from" in missing.stderr
    made = cli.invoke(app, [*arguments, "--start-from", str(weights)])
    assert made.exit_code == 0, made.stderr
    card = store.read_card(tmp_path / "run" / "triq.safetensors")
    assert "--start-from EARLIER1/triq.safetensors" in card.command
    assert str(tmp_path) not in card.model_dump_json()


def test_options_on_the_command_line_are_read_as_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    from halfsight.cli.training import options_of

    pairs = ["labels=a=b.csv", "scale=[0, 100]", "any_suffix=true"]
    assert options_of(pairs) == {"labels": "a=b.csv", "scale": [0, 100], "any_suffix": True}
    for wrong in ("labels", "=x", "scale=[0"):
        with pytest.raises(typer.Exit) as stopped:
            options_of([wrong])
        assert stopped.value.exit_code == 2
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_recalibration_changes_statistics_alone(root: Path, tmp_path: Path) -> None:
    options = {"batch_norm": "batch", "epochs": 1, "batch": 2}
    plain = trained(root, tmp_path / "plain", **options)
    again = trained(root, tmp_path / "again", **options, recalibrate=6)
    differing = {name for name in plain if not torch.equal(plain[name], again[name])}
    assert differing
    assert all(
        name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in differing
    )
    assert any(name.endswith("running_mean") for name in differing)
    assert all(torch.isfinite(value).all() for value in again.values())


def test_frozen_statistics_are_recalibrated_before_training(root: Path, tmp_path: Path) -> None:
    options = {"batch_norm": "frozen", "epochs": 1, "batch": 2}
    plain = trained(root, tmp_path / "plain", **options)
    again = trained(root, tmp_path / "again", **options, recalibrate=6)
    means = {name for name in again if name.endswith("running_mean")}
    assert means
    assert not means & set(plain)  # pretrained ones stay with the backbone
    differing = {name for name in plain if not torch.equal(plain[name], again[name])}
    assert "head_output.weight" in differing  # the weights were trained on the new statistics
