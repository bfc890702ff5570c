from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.attribution.nets import (
    ChannelsLastNet,
    ConvNet,
    LinearNet,
    PyramidNet,
    VitNet,
    scorer_of,
    small_triq,
)
from tests.pictures import picture
from torch import Tensor

from halfsight.attribution import AttributionError, attribute
from halfsight.attribution.gradcam import layout_of
from halfsight.grid import RegionGrid
from halfsight.models import registry
from halfsight.models.base import WHOLE, QualityNet, mean_level

GRID = RegionGrid(3, 4)


def formula(features: Tensor, score: Tensor) -> Tensor:
    """Selvaraju et al., equations 1 and 2, without the ReLU: (h, w)."""
    (gradient,) = torch.autograd.grad(score, features)
    alpha = gradient[0].sum((1, 2)) / gradient[0, 0].numel()
    return torch.einsum("c,chw->hw", alpha, features[0]).detach()


def by_hand(net: QualityNet, images: Tensor) -> Tensor:
    features = net.stem(images, WHOLE).detach().requires_grad_()
    return formula(features, mean_level(net.rest(features, WHOLE))[0])


def enlarged(coarse: Tensor, height: int, width: int) -> np.ndarray:
    large = F.interpolate(coarse[None, None], (height, width), mode="bilinear")
    return large[0, 0].numpy()


@pytest.mark.parametrize("build", [ConvNet, small_triq])
def test_equals_the_formula_by_autograd(build: type[QualityNet]) -> None:
    torch.manual_seed(0)
    scorer, pixels = scorer_of(build()), picture(96, 128)
    wanted = enlarged(by_hand(scorer.net, scorer.read(pixels)[1]), 96, 128)
    found = attribute("gradcam", scorer, pixels, GRID)
    assert wanted.min() < 0 < wanted.max()
    np.testing.assert_allclose(found.map, wanted, atol=1e-6 * np.abs(wanted).max(), rtol=1e-5)
    np.testing.assert_allclose(found.regions, GRID.aggregate(wanted), rtol=1e-4, atol=1e-9)
    assert found.options["layer"] == "(features)"


def test_relu_keeps_what_is_positive() -> None:
    scorer, pixels = scorer_of(ConvNet()), picture(96, 128)
    signed, positive = (
        attribute("gradcam", scorer, pixels, GRID, relu=relu, interpolation="nearest").map
        for relu in (False, True)
    )
    np.testing.assert_array_equal(positive, np.maximum(signed, 0))
    assert signed.min() < 0


def test_a_named_layer_is_read() -> None:
    torch.manual_seed(0)
    scorer, pixels = scorer_of(ConvNet()), picture(96, 128)
    net = scorer.net
    images = scorer.read(pixels)[1]
    features = net.first(images).detach().requires_grad_()
    x = net.second(net.norm(features).relu())
    wanted = formula(features, mean_level(net.rest(x, WHOLE))[0])
    found = attribute("gradcam", scorer, pixels, GRID, layer="first", interpolation="nearest")
    large = F.interpolate(wanted[None, None], (96, 128))[0, 0].numpy()
    np.testing.assert_allclose(found.map, large, atol=1e-7)
    assert found.options["layer"] == "first"


def test_a_pyramid_is_read_at_its_coarsest_map() -> None:
    torch.manual_seed(0)
    scorer, pixels = scorer_of(PyramidNet()), picture(96, 128)
    net = scorer.net
    fine = net.stem(scorer.read(pixels)[1], WHOLE).detach()
    coarse = net.backbone["coarse"](fine).detach().requires_grad_()
    both = coarse.tanh().mean((2, 3)) + fine.mean((2, 3))[:, :4]
    wanted = formula(coarse, mean_level(net.head(both).softmax(-1))[0])
    found = attribute("gradcam", scorer, pixels, GRID)
    np.testing.assert_allclose(found.map, enlarged(wanted, 96, 128), atol=1e-7)
    assert found.options["layer"] == "backbone.coarse"


def test_channels_last_is_turned() -> None:
    torch.manual_seed(0)
    scorer, pixels = scorer_of(ChannelsLastNet()), picture(96, 128)
    net = scorer.net
    with torch.no_grad():
        x = net.second(net.norm(net.first(scorer.read(pixels)[1])).relu())
    x.requires_grad_()
    wanted = formula(x, mean_level(net.head(x.tanh().mean((2, 3))).softmax(-1))[0])
    found = attribute("gradcam", scorer, pixels, GRID)
    np.testing.assert_allclose(found.map, enlarged(wanted, 96, 128), atol=1e-7)
    assert found.options["layer"] == "turned"


def test_maps_have_the_size_of_the_photograph() -> None:
    scorer = scorer_of(ConvNet(), size=(64, 96))
    found = attribute("gradcam", scorer, picture(75, 123), GRID)
    assert found.map.shape == (75, 123)


def test_the_target_is_what_is_explained() -> None:
    scorer, pixels = scorer_of(ConvNet()), picture(48, 70)
    level = attribute("gradcam", scorer, pixels, GRID, target=lambda output: output[:, 2])
    minus = attribute("gradcam", scorer, pixels, GRID, target=lambda output: -output[:, 2])
    np.testing.assert_allclose(minus.map, -level.map, rtol=1e-6)


def test_works_in_inference_mode() -> None:
    scorer, pixels = scorer_of(ConvNet()), picture(48, 70)
    wanted = attribute("gradcam", scorer, pixels, GRID).map
    with torch.inference_mode():
        found = attribute("gradcam", scorer, pixels, GRID).map
        assert torch.is_inference_mode_enabled()
    np.testing.assert_array_equal(found, wanted)


def test_layouts() -> None:
    size = (96, 128)
    assert layout_of(torch.zeros(1, 8, 12, 16), size) == "channels first"
    assert layout_of(torch.zeros(1, 12, 16, 200), size) == "channels last"
    assert layout_of(torch.zeros(1, 24, 32, 24), size) == "channels last"
    assert layout_of(torch.zeros(1, 8, 1, 1), size) is None
    assert layout_of(torch.zeros(1, 3, 96, 128), size) is None
    assert layout_of(torch.zeros(2, 8, 12, 16), size) is None
    assert layout_of(torch.zeros(1, 8, 12), size) is None
    assert layout_of((torch.zeros(1, 8, 12, 16),), size) is None


def test_models_without_a_map_are_refused() -> None:
    with pytest.raises(AttributionError, match="got LinearNet for gradcam"):
        attribute("gradcam", scorer_of(LinearNet(48, 70)), picture(48, 70), GRID)
    with pytest.raises(AttributionError, match="got VitNet for gradcam"):
        attribute("gradcam", scorer_of(VitNet()), picture(64, 96), GRID)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": "third"}, "got layer 'third', expected a module of ConvNet such as"),
        ({"layer": "head"}, "gives no feature map"),
        ({"interpolation": "cubic"}, "expected bilinear or nearest"),
        ({"target": lambda output: output.detach().sum(1)}, "without a gradient"),
    ],
)
def test_impossible_questions_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(AttributionError, match=words):
        attribute("gradcam", scorer_of(ConvNet()), picture(48, 70), GRID, **options)


def test_a_layer_that_never_runs_is_refused() -> None:
    net = ConvNet()
    net.idle = torch.nn.Conv2d(3, 3, 1)
    with pytest.raises(AttributionError, match="name another layer"):
        attribute("gradcam", scorer_of(net), picture(48, 70), GRID, layer="idle")


MODELS = {
    "triq": ("test_efficientnet", "(features)"),
    "aihiqnet": ("tf_efficientnet_lite0", "backbone.net.blocks.6"),
    "koncept512": ("test_efficientnet", "(features)"),
    "dbcnn": ("test_efficientnet", "(features)"),
    "swin_iqa": ("swin_tiny_patch4_window7_224", "backbone.net.layers.3"),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_last_map(name: str) -> None:
    backbone, layer = MODELS[name]
    torch.manual_seed(0)
    net = registry.entry(name).build(backbone=backbone)
    found = attribute("gradcam", scorer_of(net), picture(160, 224), GRID, interpolation="nearest")
    assert found.options["layer"] == layer
    assert found.map.shape == (160, 224)
    cells = found.map[::32, ::32]
    assert np.ptp(cells) > 0
    np.testing.assert_array_equal(found.map, np.kron(cells, np.ones((32, 32))))


def test_no_model_is_forgotten() -> None:
    assert set(MODELS) == set(registry.BUILT_IN)
