"""What every registered model promises, on the backbone that is always there."""

from __future__ import annotations

import pytest
import torch

from halfsight.models import registry
from halfsight.models.base import WHOLE, QualityNet, mean_level

LITE = {"backbone": "tf_efficientnet_lite0"}
STAGES = {
    "triq": (WHOLE, 0, 3),
    "aihiqnet": (WHOLE, 0, 1, 2),
    "koncept512": (WHOLE, 0, 3),
    "dbcnn": (WHOLE, 0),
    "swin_iqa": (WHOLE, 0, 1, 2),
}


def made(name: str) -> QualityNet:
    torch.manual_seed(0)
    net = registry.entry(name).build(**LITE)
    for module in net.modules():  # statistics as after training, not those of a fresh network
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


@pytest.fixture(scope="module", params=registry.BUILT_IN)
def model(request: pytest.FixtureRequest) -> tuple[str, QualityNet]:
    return request.param, made(request.param)


def images(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 150, 200, generator=torch.Generator().manual_seed(1))


def test_every_stage_gives_what_forward_gives(model: tuple[str, QualityNet]) -> None:
    name, net = model
    with torch.inference_mode():
        whole = net(images())
        for stage in STAGES[name]:
            stem = net.stem(images(), stage)
            assert isinstance(stem, torch.Tensor)
            assert stem.ndim == 4
            torch.testing.assert_close(net.rest(stem, stage), whole, atol=1e-5, rtol=1e-4)


def test_outputs_are_distributions_or_scores(model: tuple[str, QualityNet]) -> None:
    _, net = model
    with torch.inference_mode():
        out = net(images())
    assert out.isfinite().all()
    if out.ndim == 2:
        assert out.shape == (2, 5)
        assert (out >= 0).all()
        torch.testing.assert_close(out.sum(1), torch.ones(2))
        assert ((mean_level(out) >= 1) & (mean_level(out) <= 5)).all()
    else:
        assert out.shape == (2,)


def test_an_image_does_not_notice_its_neighbours(model: tuple[str, QualityNet]) -> None:
    _, net = model
    with torch.inference_mode():
        together = net(images())
        alone = torch.cat([net(images()[:1]), net(images()[1:])])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_parameters_are_counted_once(model: tuple[str, QualityNet]) -> None:
    name, net = model
    head = {id(p) for p in net.head_parameters()}
    late = {id(p) for p in net.backbone_parameters(STAGES[name][1])}
    assert head
    assert not head & late
    assert net.backbone_parameters(WHOLE) == []
    entry = {
        id(p)
        for part in ("conv_stem", "bn1")
        for p in getattr(net.backbone.net, part).parameters()  # type: ignore[union-attr]
    }
    everything = {id(p) for p in net.parameters()}
    assert everything - head - late == (set() if name == "dbcnn" else entry)


def test_gradients_reach_the_whole_head(model: tuple[str, QualityNet]) -> None:
    _, net = model
    for parameter in net.parameters():
        parameter.grad = None
    torch.manual_seed(3)
    net(images()).square().sum().backward()
    silent = [
        name
        for name, p in net.named_parameters()
        if p.grad is None and any(p is q for q in net.head_parameters())
    ]
    assert silent == []
    for parameter in net.parameters():
        parameter.grad = None


def test_the_entry_speaks_and_its_policy_prepares(model: tuple[str, QualityNet]) -> None:
    name, net = model
    entry = registry.entry(name)
    assert entry.name == name
    assert entry.title
    assert entry.paper
    assert entry.reading
    policy = entry.policy(net)
    assert policy.normalisation.mean == (127 / 255,) * 3
    size = policy.target_size(1500, 2000)
    assert size == ((384, 512) if name == "koncept512" else (768, 1024))


@pytest.mark.parametrize("name", ["aihiqnet", "swin_iqa"])
def test_one_level_gives_scores(name: str) -> None:
    torch.manual_seed(0)
    net = registry.entry(name).build(**LITE, levels=1).eval()
    with torch.inference_mode():
        assert net(images()).shape == (2,)


@pytest.mark.parametrize("name", ["aihiqnet", "swin_iqa"])
def test_stages_past_the_first_level_are_refused(name: str) -> None:
    net = made(name)
    with pytest.raises(ValueError, match="expected at most 2"):
        net.rest(torch.zeros(1, 40, 8, 8), 3)
