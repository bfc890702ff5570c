from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.training.conftest import RECIPE

from halfsight.models import registry
from halfsight.models.backbone import WeightsError
from halfsight.models.base import QualityNet
from halfsight.training import run
from halfsight.training.cache import FeatureCache
from halfsight.training.recipe import Recipe, RecipeError
from halfsight.training.start import begin
from halfsight.weights import store

CLIVE = RECIPE | {"epochs": 1, "average": 0.0}


def trained(root: Path, out: Path, **changes: object) -> Path:
    recipe = Recipe.model_validate(CLIVE | changes)
    run.train(recipe, {"clive": root}, out=out, cache=out.parent / "cache", quiet=True)
    return out / f"{recipe.model}.safetensors"


@pytest.fixture(scope="module")
def first(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(root, tmp_path_factory.mktemp("runs") / "first")


def test_a_second_stage_goes_on_from_the_first(root: Path, first: Path, tmp_path: Path) -> None:
    second = trained(
        root, tmp_path / "second", start_from=str(first), stage=-1, backbone_rate=0.0, epochs=1
    )
    before, card = store.load(first)
    after, told = store.load(second)
    assert told.recipe["start_from"] == f"triq.safetensors, SHA-256 {card.sha256}"
    assert told.backbone == card.backbone
    late, head = "backbone.net.blocks.5.0.conv_pw.weight", "head_output.weight"
    fresh = registry.entry("triq").build(**card.config)
    fresh.load_backbone(offline=True)
    # the first stage tuned the late blocks, the second leaves them so, and its file keeps them
    assert not torch.equal(before.state_dict()[late], fresh.state_dict()[late])
    assert torch.equal(before.state_dict()[late], after.state_dict()[late])
    assert not torch.equal(before.state_dict()[head], after.state_dict()[head])
    assert told.tensors == "head and late stages"


def test_a_rate_of_nearly_nothing_stays_where_it_was(
    root: Path, first: Path, tmp_path: Path
) -> None:
    second = trained(
        root,
        tmp_path / "second",
        start_from=str(first),
        head_rate=1e-12,
        backbone_rate=1e-12,
    )
    before, after = store.load(first)[0].state_dict(), store.load(second)[0].state_dict()
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, atol=1e-6, rtol=0, msg=name)


def test_a_run_goes_on_from_the_mean_of_several(root: Path, first: Path, tmp_path: Path) -> None:
    other = trained(root, tmp_path / "other", seed=7)
    recipe = Recipe.model_validate(CLIVE | {"start_from": [str(first), str(other)]})
    net = registry.entry("triq").build(**recipe.config)
    start = begin(net, recipe, offline=True)
    one, two = (store.load(path)[0].state_dict() for path in (first, other))
    assert any(not torch.equal(one[name], two[name]) for name in one)
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(
                tensor, (one[name] + two[name]) / 2, atol=1e-6, rtol=1e-5, msg=name
            )
        else:
            assert torch.equal(tensor, one[name])
    digests = [store.read_card(path).sha256 for path in (first, other)]
    assert start.said == " + ".join(f"triq.safetensors, SHA-256 {one}" for one in digests)
    assert start.held >= set(net.state_dict()) & {"head_output.weight", "positions"}


def test_the_mean_of_runs_on_different_backbones_is_refused(
    root: Path, first: Path, tmp_path: Path
) -> None:
    scratch = trained(root, tmp_path / "scratch", start_from="scratch", stage=5)
    recipe = Recipe.model_validate(CLIVE | {"start_from": [str(first), str(scratch)]})
    net = registry.entry("triq").build(**recipe.config)
    with pytest.raises(RecipeError, match="different backbones"):
        begin(net, recipe, offline=True)


def test_from_scratch_the_file_holds_everything(root: Path, tmp_path: Path) -> None:
    made = trained(root, tmp_path / "run", start_from="scratch", stage=5)
    net, card = store.load(made)
    assert card.tensors == "all"
    assert card.backbone == ""
    pretrained = registry.entry("triq").build(**card.config)
    pretrained.load_backbone(offline=True)
    name = "backbone.net.conv_stem.weight"
    assert not torch.equal(net.state_dict()[name], pretrained.state_dict()[name])


def test_wrong_starts_are_named(tmp_path: Path, weights: Path) -> None:
    recipe = Recipe.model_validate(CLIVE)
    net = registry.entry("triq").build(**recipe.config)
    with torch.device("meta"):
        other = registry.entry("koncept512").build(backbone="tf_efficientnet_lite0")
    for start, said in [
        ("earlier", r"add --start-from with its weight file, such as RUN/triq\.safetensors"),
        ("imagenett", "expected imagenet, scratch or .safetensors files"),
    ]:
        with pytest.raises(RecipeError, match=said):
            begin(net, recipe.model_copy(update={"start_from": start}), offline=True)
    with pytest.raises(WeightsError, match="No such file"):
        begin(
            net,
            recipe.model_copy(update={"start_from": str(tmp_path / "none.safetensors")}),
            offline=True,
        )
    with pytest.raises(RecipeError, match="got weights of triq, expected koncept512"):
        begin(
            other,
            recipe.model_copy(update={"start_from": str(weights), "model": "koncept512"}),
            offline=True,
        )
    wrong_shape = registry.entry("triq").build(**recipe.config)  # a table of 4x4, the file has 8x8
    with pytest.raises(WeightsError, match="positions has shape"):
        begin(wrong_shape, recipe.model_copy(update={"start_from": str(weights)}), offline=True)


def test_networks_that_differ_after_the_frozen_part_share_their_cache(
    first: Path, tmp_path: Path
) -> None:
    tuned, _ = store.load(first)
    recipe = Recipe.model_validate(CLIVE)
    entry = registry.entry("triq")
    fresh = entry.build(**recipe.config)
    fresh.load_backbone(offline=True)

    def folder(net: QualityNet, stage: int) -> Path:
        return FeatureCache(net, entry.policy(net), tmp_path, stage=stage).folder

    assert folder(tuned, 5) == folder(fresh, 5)
    assert folder(tuned, -1) != folder(fresh, -1)  # the whole backbone is read, and was tuned
    assert folder(fresh, 5) != folder(fresh, 4)
    with torch.no_grad():
        dict(fresh.named_parameters())["backbone.net.conv_stem.weight"].add_(1)
    assert folder(tuned, 5) != folder(fresh, 5)
