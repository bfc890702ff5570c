from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import halfsight as hs
from halfsight.models.backbone import LITE0, Backbone
from halfsight.models.base import WHOLE
from halfsight.models.fusion import fused


def shaken(backbone: Backbone) -> Backbone:
    """With normalisations that do something."""
    draw = torch.Generator().manual_seed(0)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for tensor, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.3, 3.0),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.5, 0.5),
            ):
                tensor.copy_(torch.rand(tensor.shape, generator=draw) * (high - low) + low)
    return backbone.eval()


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    return torch.randn(1, 3, 96, 128, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "name", [LITE0, "efficientnet_b0", "mobilenetv3_small_050", "resnet18", "inception_resnet_v2"]
)
@torch.inference_mode()
def test_a_fused_network_answers_alike(name: str, picture: torch.Tensor) -> None:
    torch.manual_seed(0)
    net = shaken(Backbone(name)).net
    before = copy.deepcopy(net.state_dict())
    made = fused(net)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in made.modules())
    expected = net.forward_features(picture)
    size = float(expected.abs().max())
    assert size > 0.1
    torch.testing.assert_close(
        made.forward_features(picture) / size,  # type: ignore[operator]
        expected / size,
        rtol=0,
        atol=1e-5,
    )
    assert all(torch.equal(net.state_dict()[key], tensor) for key, tensor in before.items())


@pytest.mark.parametrize("pyramid", [False, True])
def test_every_way_through_a_fused_backbone_is_the_same(
    pyramid: bool, picture: torch.Tensor
) -> None:
    torch.manual_seed(0)
    backbone = shaken(Backbone(LITE0, pyramid=pyramid))
    plain = copy.deepcopy(backbone)
    backbone.fuse()
    assert backbone.state_dict().keys() == plain.state_dict().keys()
    with torch.inference_mode():
        ways: list[Callable[[Backbone], list[torch.Tensor]]] = [
            lambda one: [one.first(picture, WHOLE)],
            lambda one: [one.after(one.first(picture, 2), 2)],
        ]
        if pyramid:
            ways.append(lambda one: one.levels(one.first(picture, 2), 2))
        for way in ways:
            for got, expected in zip(way(backbone), way(plain), strict=True):
                assert not torch.equal(got, expected)  # the fused network did run
                size = float(expected.abs().max())
                torch.testing.assert_close(got / size, expected / size, rtol=0, atol=1e-5)
    # with gradients it is the network itself
    assert torch.equal(backbone(picture), plain(picture))


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.train().eval(),
        lambda one: one.to(torch.float64).to(torch.float32),
        lambda one: one.load_state_dict(one.state_dict()),
        lambda one: nn.Sequential(one).load_state_dict(nn.Sequential(one).state_dict()),
    ],
    ids=["training", "moving", "loading", "loading from above"],
)
def test_what_makes_fused_weights_stale_drops_them(
    change: Callable[[Backbone], object], picture: torch.Tensor
) -> None:
    torch.manual_seed(0)
    backbone = shaken(Backbone(LITE0))
    plain = copy.deepcopy(backbone)
    backbone.fuse()
    with torch.inference_mode():
        assert not torch.equal(backbone(picture), plain(picture))
    change(backbone)
    with torch.inference_mode():
        assert torch.equal(backbone(picture), plain(picture))


@torch.inference_mode()
def test_a_resnet_is_left_as_it_is(picture: torch.Tensor) -> None:
    torch.manual_seed(0)
    backbone = shaken(Backbone("resnet18"))
    plain = copy.deepcopy(backbone)
    backbone.fuse()
    assert torch.equal(backbone(picture), plain(picture))


def test_a_loaded_model_is_fused_and_keeps_its_answers_and_hash() -> None:
    photo = Path(__file__).parents[2] / "examples" / "coffee.jpg"
    model = hs.load("triq")
    plain = copy.deepcopy(model)
    plain.net.load_state_dict(plain.net.state_dict())  # not fused any more
    assert model.hash == plain.hash
    assert model.score(photo) == pytest.approx(plain.score(photo), abs=1e-5)
    table, expected = (hs.explain(one, photo).table for one in (model, plain))
    assert (table != expected).any()
    assert abs(table - expected).max() < 1e-5
