"""The shipped recipes: what the authors state, and that each fits its model."""

from __future__ import annotations

import pytest
import torch

from halfsight.models import registry
from halfsight.training import recipe as recipes
from halfsight.training.module import rate_factor
from halfsight.training.recipe import RecipeError
from halfsight.weights import store


@pytest.mark.parametrize("name", sorted(recipes.shipped()))
def test_every_recipe_fits_its_model(name: str) -> None:
    recipe = recipes.read(name)
    assert name.startswith(f"{recipe.model}-")
    with torch.device("meta"):
        net = registry.entry(recipe.model).build(**recipe.config)
        stage = 0 if recipe.stage is None else recipe.stage
        assert bool(net.backbone_parameters(stage)) >= bool(recipe.backbone_rate)
        out = net(torch.zeros(2, 3, 224, 256)) if recipe.model != "swin_iqa" else None
    if out is not None:  # levels take cross-entropy, scores take errors
        assert bool(recipe.loss.cross_entropy) == (out.ndim == 2)
    if "paper" in name:
        assert recipe.origin.startswith("The authors'")
        assert recipe.average == 0
        assert recipe.clip is None
    else:
        assert recipe.origin.startswith("Ours")


def test_the_authors_recipe_for_triq() -> None:
    first, second = recipes.read("triq-paper"), recipes.read("triq-paper-2")
    for one in (first, second):
        assert (one.stage, one.batch, one.optimiser, one.flip) == (None, 8, "adam", True)
        assert (one.crop.smallest, one.loss.cross_entropy, one.loss.correlation) == (1, 1, 0)
        assert one.validation.split == "val"
        assert one.config == {}  # the paper's network
    assert (first.head_rate, first.backbone_rate, first.epochs) == (5e-5, 5e-5, 120)
    assert [rate_factor(epoch, 120, first.schedule) for epoch in (5, 10, 40, 80, 120)] == (
        pytest.approx([0.5, 1, 1, 0.5, 0])
    )
    assert (second.start_from, second.head_rate, second.backbone_rate) == ("earlier", 1e-6, 1e-6)


def test_koncept_and_dbcnn_keep_their_rates() -> None:
    rates = {"": 1e-4, "-2": 2e-5, "-3": 1e-5}
    for stage, rate in rates.items():
        recipe = recipes.read(f"koncept512-paper{stage}")
        assert (recipe.head_rate, recipe.backbone_rate) == (rate, rate)
        assert rate_factor(recipe.epochs, recipe.epochs, recipe.schedule) == 1
        assert (recipe.start_from == "earlier") == bool(stage)
    linear, whole = recipes.read("dbcnn-paper"), recipes.read("dbcnn-paper-2")
    assert (linear.optimiser, linear.head_rate, linear.backbone_rate) == ("sgd", 1e-3, 0)
    assert (whole.optimiser, whole.head_rate, whole.backbone_rate) == ("adam", 1e-5, 1e-5)
    assert linear.weight_decay == whole.weight_decay == 5e-4
    assert round(500 * linear.crop.largest) == 448


def test_each_model_has_a_default() -> None:
    assert recipes.default("triq") == "triq-lite0"
    assert recipes.default("aihiqnet") == "aihiqnet-lite0"
    assert recipes.default("koncept512") == "koncept512-lite0"
    assert recipes.default("dbcnn") == "dbcnn-small"
    assert recipes.default("swin_iqa") == "swin_iqa-tiny"
    with pytest.raises(RecipeError, match="no recipe for mine"):
        recipes.default("mine")


@pytest.mark.parametrize("name", ["triq", "aihiqnet", "koncept512", "dbcnn"])
def test_the_command_on_a_card_names_the_recipe_of_its_weights(name: str) -> None:
    weights = store.embedded(name)
    assert weights is not None
    card = store.read_card(weights)
    words = card.command.split()
    recipe = recipes.read(words[words.index("--recipe") + 1])
    fields = set(recipes.Recipe.model_fields) - {"validation", "start_from", "origin", "limits"}
    there = recipes.Recipe.model_validate({k: card.recipe[k] for k in fields if k in card.recipe})
    for field in fields:
        assert getattr(there, field) == getattr(recipe, field), field
    assert ("--start-from" in words) == (recipe.start_from == "earlier")
