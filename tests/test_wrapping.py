"""Anyone's model: from a torch module to an explanation, and models that other packages bring."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.foreign import MEAN, STD, Places, small_vit
from tests.pictures import picture
from torch import nn
from typer.testing import CliRunner

import halfsight as hs
from halfsight.cli import app
from halfsight.models import listing, registry
from halfsight.models.backbone import WeightsError
from halfsight.models.external import ModelError


def test_photographs_reach_the_module_as_stated() -> None:
    seen: list[torch.Tensor] = []

    class Looking(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images)
            return images.mean((1, 2, 3))

    pixels = picture(40, 56)
    hs.wrap(Looking(), mean=MEAN, std=STD).score(pixels)
    wanted = (pixels / 255 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(seen[0][0].permute(1, 2, 0), wanted, atol=1e-5)
    hs.wrap(Looking(), std=1 / 255).score(pixels)
    np.testing.assert_allclose(seen[1][0].permute(1, 2, 0), pixels, atol=1e-3)
    assert hs.wrap(Looking(), size=(33, 44)).predict(pixels).size == (33, 44)
    assert seen[-1].shape == (1, 3, 33, 44)
    assert hs.wrap(Looking(), max_pixels=2240).predict(picture(80, 112)).size == (40, 56)


def test_a_scalar_model_is_explained() -> None:
    scorer = hs.wrap(Places(), mean=MEAN, std=STD, scale=(0, 20), name="places")
    pixels = picture(70, 100)
    found = hs.explain(scorer, pixels, grid="2x3", masks="all", masking="mean")
    assert found.criterion == "abs_delta"
    assert set(found.importances) == {"abs_delta", "shapley"}
    assert found.distribution is None
    assert found.model.model == "places"
    assert found.model.status == "user's own"
    assert found.scale.max == 20
    assert found.score == pytest.approx(scorer.score(pixels), abs=1e-4)
    assert found.importances["shapley"].sum() == pytest.approx(
        float(found.table[0] - found.table[-1]), abs=1e-4
    )
    assert "regions hidden in the pixels (mean)" in found.notes


def test_levels_and_impairment() -> None:
    scorer = hs.wrap(Places(levels=4), logits=True, scale=(0, 3), higher_is_better=False)
    found = hs.explain(scorer, picture(40, 56), grid="2x2")
    assert found.criterion == "dist_plcc"
    assert found.distribution is not None
    assert found.score == pytest.approx(float(np.dot(found.distribution, [0, 1, 2, 3])), abs=1e-4)
    assert found.to_dict()["scale"]["higher_is_better"] is False


def test_a_transformers_size_is_taken_from_it() -> None:
    assert hs.wrap(small_vit()).policy.size == (48, 64)
    assert hs.wrap(small_vit(dynamic_img_size=True)).policy.size is None
    assert hs.wrap(small_vit(), size=(48, 64)).policy.size == (48, 64)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": (0, 40)}, "expected (height, width)"),
        ({"size": (40,)}, "expected (height, width)"),
        ({"mean": (0.5, 0.5)}, "expected one number or three"),
        ({"std": 0}, "expected numbers above 0"),
        ({"scale": (5, 1)}, "give higher_is_better=False"),
        ({"batch": 0}, "expected at least 1"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the text is compared below)
        hs.wrap(Places(), **options)
    assert said in str(caught.value)


def test_functions_are_no_modules() -> None:
    with pytest.raises(TypeError, match="write a module whose forward calls them"):
        hs.wrap(lambda x: x)  # type: ignore[arg-type]


def point(name: str, made: Any) -> Any:
    """An entry point as another package would register it."""

    def load() -> Any:
        if isinstance(made, Exception):
            raise made
        return made

    dist = SimpleNamespace(name="their-package", version="1.2", metadata={})
    return SimpleNamespace(name=name, value="theirs:make", load=load, dist=dist)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    def failing() -> Any:
        raise OSError("weights.bin is missing")

    entry = registry.entry("triq")
    found = {
        "places": lambda: hs.wrap(Places(), scale=(0, 20), name="places"),
        "none": lambda: None,
        "failing": failing,
        "broken": ImportError("no module named theirs"),
        "number": 3,
        "untrained": entry,
    }
    points = {name: point(name, made) for name, made in found.items()}
    monkeypatch.setattr(registry, "_plugins", lambda: points)
    return points


def test_models_of_other_packages_by_name(plugins: dict[str, Any], photo: Any) -> None:
    wanted = hs.wrap(Places()).score(photo)
    assert hs.load("places").score(photo) == pytest.approx(wanted)
    result = CliRunner().invoke(app, ["score", str(photo), "-m", "places", "--json"])
    assert result.exit_code == 0, result.stderr
    row = json.loads(result.stdout)
    assert row["model"] == "places"
    assert row["score"] == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", "got NoneType from model 'none' of another package, expected a Scorer"),
        ("failing", "OSError: weights.bin is missing"),
        ("broken", "cannot be imported: no module named theirs"),
        ("number", "got int registered as 'number'"),
        ("untrained", "no weights of TRIQ come with the package"),
        ("place", "did you mean 'places'"),
    ],
)
def test_their_failures_are_one_line(
    name: str, said: str, plugins: dict[str, Any], photo: Any
) -> None:
    with pytest.raises((WeightsError, registry.UnknownModelError)) as caught:
        hs.load(name)
    assert said in str(caught.value)
    result = CliRunner().invoke(app, ["score", str(photo), "-m", name])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_they_are_listed_without_being_loaded(plugins: dict[str, Any]) -> None:
    cards = {card["model"]: card for card in listing.cards()}
    assert set(registry.BUILT_IN) | set(plugins) == set(cards)
    assert cards["failing"]["title"] == "of their-package 1.2"
    assert cards["failing"]["scale"] is None
    assert "cannot be imported" in cards["broken"]["tensors"]
    assert cards["untrained"]["status"] == "not trained here"
    assert CliRunner().invoke(app, ["models"]).exit_code == 0
    with pytest.raises(registry.UnknownModelError, match="a finished scorer"):
        registry.entry("places")


def test_failing_models_are_listed_on_the_command_line(
    plugins: dict[str, Any], photo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("wrong size")

    plugins["places"].load = lambda: lambda: hs.wrap(Failing(), name="places")
    with pytest.raises(ModelError):
        hs.load("places").score(photo)
    for command in ("score", "explain"):
        result = CliRunner().invoke(app, [command, str(photo), "-m", "places"])
        assert result.exit_code == 1
        assert len(result.stderr.splitlines()) == 1
        assert "RuntimeError: wrong size" in result.stderr
