from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.pictures import picture
from tests.training.conftest import RECIPE

from halfsight import datasets
from halfsight.models import registry
from halfsight.models.base import mean_level
from halfsight.training import ladder, run
from halfsight.training.cache import FeatureCache
from halfsight.training.ladder import KINDS, RUNGS, Ladders
from halfsight.training.module import run_from
from halfsight.training.recipe import Recipe
from halfsight.weights import store

FROZEN = RECIPE | {"epochs": 1, "average": 0.0, "batch_norm": "frozen"}


@pytest.fixture(scope="module")
def ladders(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Ladders:
    recipe = Recipe.model_validate(FROZEN)
    entry = registry.entry("triq")
    net = entry.build(**recipe.config)
    net.load_backbone(offline=True)
    place = tmp_path_factory.mktemp("cache")
    cache = FeatureCache(net, entry.policy(net), place, stage=recipe.stage)
    made = Ladders([datasets.load("clive", root)], cache, count=6, seed=3)
    assert made.fill() == 6
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_copies_are_further_from_the_photograph_the_more_severe_they_are(kind: str) -> None:
    pixels = picture(96, 128, 1)
    before = pixels.copy()
    copies = [ladder.worse(pixels, kind, severity, (1, 2)) for severity in (0.0, 0.5, 1.0)]
    assert all(copy.shape == pixels.shape and copy.dtype == np.uint8 for copy in copies)
    errors = [np.square(copy.astype(float) - pixels).mean() for copy in copies]
    assert 0 < errors[0] < errors[1] < errors[2]
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(copies[1], ladder.worse(pixels, kind, 0.5, (1, 2)))


def test_another_defect_is_an_error() -> None:
    with pytest.raises(KeyError):
        ladder.worse(picture(32, 32, 0), "scratches", 0.5, (0,))


def test_a_ladder_is_the_photograph_and_its_copies(ladders: Ladders) -> None:
    assert len(ladders) == 6
    assert {ladders.kind(i) for i in range(6)} == set(KINDS)
    first = ladders[0]
    dataset, sample = ladders.items[0]
    assert first.shape[0] == 1 + RUNGS
    np.testing.assert_array_equal(first[0], ladders.cache.load(dataset, sample))
    assert all(not torch.equal(first[rung], first[rung + 1]) for rung in range(RUNGS))
    assert ladders.fill() == 0  # all there


def test_a_step_draws_the_same_again(ladders: Ladders) -> None:
    once, again = ladders.drawn(5, 4), ladders.drawn(5, 4)
    assert len(once) == 4
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    more = [ladders.drawn(step, 4)[0] for step in range(8)]
    assert any(one.shape != more[0].shape or not torch.equal(one, more[0]) for one in more)


def test_the_loss_asks_for_a_fall_that_fits_the_photograph() -> None:
    good = torch.tensor([4.0, 3.5, 3.0, 2.5])
    assert float(ladder.falls(good, 0.15)) == 0  # 0.45 wanted, 0.5 there
    flat = torch.tensor([4.0, 4.0, 4.0, 4.0])
    assert float(ladder.falls(flat, 0.15)) == pytest.approx(0.45)
    bad = torch.tensor([1.2, 1.2, 1.2, 1.2])
    assert float(ladder.falls(bad, 0.15)) == pytest.approx(0.03)
    assert ladder.in_order(torch.tensor([4.0, 3.0, 3.5, 2.0])) == pytest.approx(2 / 3)
    risen = torch.tensor([3.0, 3.4], requires_grad=True)
    ladder.falls(risen, 0.1).backward()  # type: ignore[no-untyped-call]
    assert risen.grad is not None
    assert risen.grad.tolist() == [-1.0, 1.0]


def test_training_brings_the_scores_into_order(root: Path, tmp_path: Path) -> None:
    shares = []
    for rungs in (None, {"photographs": 6, "batch": 4, "weight": 20.0, "margin": 0.2}):
        recipe = Recipe.model_validate(FROZEN | {"epochs": 6, "ladder": rungs})
        out = tmp_path / str(rungs is None)
        run.train(recipe, {"clive": root}, out=out, cache=tmp_path / "cache", quiet=True)
        net, card = store.load(out / "triq.safetensors")
        parts = run.parts_of(recipe, {"clive": root}, hashes=tmp_path / "cache")
        cache = FeatureCache(
            net, registry.entry("triq").policy(net), tmp_path / "cache", stage=recipe.stage
        )
        made = Ladders([part.train for part in parts], cache, count=6, seed=recipe.seed)
        made.fill()
        with torch.inference_mode():
            shares.append(
                np.mean([ladder.in_order(mean_level(run_from(net, 5, made[i]))) for i in range(6)])
            )
        told = {name for name in card.recipe["validation"] if name.startswith("val_in_order_")}
        assert bool(told) == (rungs is not None)
    assert shares[1] > shares[0]
    assert shares[1] > 0.8


@pytest.mark.parametrize("wrong", [{"stage": None}, {"batch_norm": "batch"}])
def test_recipes_that_cannot_have_ladders(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="ladder reads cached features"):
        Recipe.model_validate(FROZEN | {"ladder": {"photographs": 5}} | wrong)
