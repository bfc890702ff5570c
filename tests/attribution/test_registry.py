from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest
import torch
from tests.attribution.nets import ConvNet, scorer_of, small_triq
from tests.pictures import picture
from torch import nn

from halfsight import attribution
from halfsight.attribution import Answer, AttributionError, Question, attribute, registry
from halfsight.grid import RegionGrid
from halfsight.scorer import Scorer

GRID = RegionGrid(2, 3)
QUICK: dict[str, dict[str, int]] = {"lime": {"samples": 12, "batch": 6}}
PIXELS = picture(96, 128)


def state(net: nn.Module) -> list[object]:
    """Everything about a network that an attribution could leave changed."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [
        [(name, module.training) for name, module in net.named_modules()],
        [
            (name, len(getattr(module, kind)))
            for name, module in net.named_modules()
            for kind in hooks
        ],
        [(name, one.requires_grad, one.grad is None) for name, one in net.named_parameters()],
        {name: tensor.numpy().tobytes() for name, tensor in net.state_dict().items()},
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_rng_state().numpy().tobytes(),
    ]


@pytest.fixture
def unusual() -> Scorer:
    """A scorer whose network is in a state of its user's own making."""
    scorer = scorer_of(small_triq())
    scorer.net.train()
    scorer.net.encoder[0].eval()
    scorer.net.project.weight.requires_grad_(False)
    return scorer


@pytest.mark.parametrize("method", attribution.names())
def test_the_model_is_left_as_it_was(unusual: Scorer, method: str) -> None:
    before = state(unusual.net)
    attribute(method, unusual, PIXELS, GRID, **QUICK.get(method, {}))
    assert state(unusual.net) == before
    with torch.no_grad():
        before = state(unusual.net)
        attribute(method, unusual, PIXELS, GRID, **QUICK.get(method, {}))
        assert state(unusual.net) == before


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("lime", {"samples": 12}),
        ("gradcam", {}),
        ("gradcam", {"layer": "project"}),
        ("gradcam", {"layer": "backbone.net.bn2"}),
    ],
)
def test_also_when_the_target_raises(unusual: Scorer, method: str, options: dict[str, Any]) -> None:
    def raises(output: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("the target's own error")

    before = state(unusual.net)
    with pytest.raises(RuntimeError, match="the target's own error"):
        attribute(method, unusual, PIXELS, GRID, target=raises, **options)
    assert state(unusual.net) == before


def test_also_when_the_network_raises(unusual: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: object) -> None:
        raise RuntimeError("the network's own error")

    before = state(unusual.net)
    for method, part in (("gradcam", "head"), ("rollout", "tokens"), ("lime", "head")):
        with monkeypatch.context() as patch:
            patch.setattr(unusual.net, part, raises)
            with pytest.raises(RuntimeError, match="the network's own error"):
                attribute(method, unusual, PIXELS, GRID, **QUICK.get(method, {}))
        assert state(unusual.net) == before


@pytest.mark.parametrize("method", attribution.names())
def test_results_are_frozen_and_say_what_made_them(method: str) -> None:
    scorer = scorer_of(small_triq())
    found = attribute(method, scorer, PIXELS, GRID, **QUICK.get(method, {}))
    assert found.method == method
    assert found.map.shape == (96, 128)
    assert found.map.dtype == np.float32
    assert found.regions.shape == (6,)
    assert found.regions.dtype == np.float64
    np.testing.assert_array_equal(found.regions, GRID.aggregate(found.map))
    assert found.seconds > 0
    assert found.provenance["model"] == "small"
    assert found.provenance["model_hash"] == scorer.hash
    assert found.provenance["target"] == "mean_level"
    with pytest.raises(AttributeError):
        found.method = "other"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        found.map[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        found.regions[0] = 1


@pytest.mark.parametrize("method", attribution.names())
def test_the_same_twice(method: str) -> None:
    scorer = scorer_of(small_triq())
    first, again = (
        attribute(method, scorer, PIXELS, GRID, **QUICK.get(method, {})) for _ in range(2)
    )
    np.testing.assert_array_equal(first.map, again.map)


def test_regions_by_other_aggregates() -> None:
    scorer = scorer_of(ConvNet())
    found = attribute("gradcam", scorer, PIXELS, GRID, how="max", tokens=(3, 5))
    np.testing.assert_array_equal(
        found.regions, GRID.aggregate(found.map, how="max", tokens=(3, 5))
    )
    assert found.options["how"] == "max"


@pytest.mark.parametrize("method", ["lime", "gradcam"])
@pytest.mark.parametrize(
    ("target", "words"),
    [
        (lambda output: output, r"target of shape \(\d+, 3\) for \d+ images"),
        (lambda output: output.sum(), "one number an image"),
        (lambda output: 3.0, "target that returns float"),
        (lambda output: output[:, 0] / 0, "not finite"),
    ],
)
def test_targets_must_give_one_number(method: str, target: object, words: str) -> None:
    with pytest.raises(AttributionError, match=words):
        attribute(method, scorer_of(ConvNet()), PIXELS, GRID, target=target)  # type: ignore[arg-type]


def test_a_column_of_numbers_is_one_number_an_image() -> None:
    scorer = scorer_of(ConvNet())
    flat = attribute("lime", scorer, PIXELS, GRID, target=lambda output: output[:, 1])
    column = attribute("lime", scorer, PIXELS, GRID, target=lambda output: output[:, 1:2])
    np.testing.assert_array_equal(flat.map, column.map)


def test_names_and_options_that_are_unknown() -> None:
    scorer = scorer_of(ConvNet())
    assert attribution.names()[:3] == ("lime", "gradcam", "rollout")
    with pytest.raises(AttributionError, match="got method 'shap', expected one of lime, gradcam"):
        attribute("shap", scorer, PIXELS, GRID)
    with pytest.raises(AttributionError, match="got option 'samples' for method 'gradcam'"):
        attribute("gradcam", scorer, PIXELS, GRID, samples=3)


def brightness(question: Question, *, factor: float = 1.0) -> Answer:
    """A method of another package: the photograph's own brightness."""
    return Answer(question.photograph.pixels.mean(-1) * factor, {"factor": factor})


def small(question: Question) -> Answer:
    return Answer(np.zeros((2, 2)), {})


def nothing(question: Question) -> None:
    return None


def test_other_packages_add_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    here = "tests.attribution.test_registry"
    added = [
        EntryPoint(name, f"{here}:{what}", registry.GROUP)
        for name, what in (
            ("brightness", "brightness"),
            ("small", "small"),
            ("nothing", "nothing"),
            ("gone", "no_such_thing"),
            ("lime", "brightness"),
        )
    ]
    monkeypatch.setattr(registry, "entry_points", lambda *, group: added)
    registry._added.cache_clear()
    try:
        scorer = scorer_of(ConvNet())
        assert attribution.names() == (
            "lime", "gradcam", "rollout", "brightness", "gone", "nothing", "small"
        )  # fmt: skip
        found = attribute("brightness", scorer, PIXELS, GRID, factor=2.0)
        np.testing.assert_allclose(found.map, 2 * PIXELS.mean(-1), rtol=1e-6)
        assert found.options == {"factor": 2.0, "how": "mean"}
        assert "segments" in attribute("lime", scorer, PIXELS, GRID).options
        for name, words in (
            ("small", r"got a map of shape \(2, 2\) from method 'small'"),
            ("nothing", "got NoneType from method 'nothing'"),
            ("gone", "cannot be imported"),
        ):
            with pytest.raises(AttributionError, match=words):
                attribute(name, scorer, PIXELS, GRID)
    finally:
        registry._added.cache_clear()
