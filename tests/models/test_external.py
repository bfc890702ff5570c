"""Modules that were not made for us: what they may answer, and how they are left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.attribution.nets import ConvNet
from tests.foreign import MEAN, STD, Places
from tests.pictures import picture
from torch import Tensor, nn

from halfsight.attribution.registry import attribute
from halfsight.grid import RegionGrid
from halfsight.models.card import Scale
from halfsight.models.external import External, ModelError
from halfsight.wrapping import wrap

IMAGES = torch.rand(5, 3, 40, 56, generator=torch.Generator().manual_seed(0))


def external(module: nn.Module, **options: Any) -> External:
    return External(module, name="theirs", scale=Scale(min=0, max=100), **options)


class Answering(nn.Module):
    """Answers with whatever the function says."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, images: Tensor) -> Any:
        return self.answer(images)


def test_scores_come_as_they_are_in_any_shape() -> None:
    plain = Places().eval()
    with torch.no_grad():
        wanted = plain(IMAGES)
        column = external(Answering(lambda x: plain(x)[:, None]))
        single = external(Answering(lambda x: plain(x).squeeze()), batch=1)
        for net in (external(plain), column, single):
            torch.testing.assert_close(net(IMAGES), wanted)
            torch.testing.assert_close(net.scores(net(IMAGES)), wanted)


def test_levels_lie_evenly_on_the_scale() -> None:
    shares = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0, 0.5], [0.2, 0.3, 0.5]])
    net = external(Answering(lambda x: shares[: len(x)]))
    assert net.scores(net(IMAGES)).tolist() == pytest.approx([0, 50, 100, 50, 65])
    logits = external(Answering(lambda x: (shares[: len(x)] + 1e-9).log()), logits=True)
    torch.testing.assert_close(logits(IMAGES), shares)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: (x.mean((1, 2, 3)), x), "got tuple, expected one tensor"),
        (lambda x: x.mean(), "got an output of shape (), expected (5,), (5, 1) or (5, K)"),
        (lambda x: x, "expected (5,), (5, 1) or (5, K) for 5 images"),
        (lambda x: x.mean((1, 2, 3)) * torch.nan, "got nan or infinity"),
        (lambda x: x.mean((2, 3)) + 3, "give logits=True if they are logits"),
        (lambda x: x.view(5, -1, 7, 7, 7), "RuntimeError: "),
        (lambda x: {}["score"], "KeyError: 'score'; it was given images of shape (5, 3, 40, 56)"),
    ],
)
def test_other_answers_are_one_clear_error(answer: Any, said: str) -> None:
    with pytest.raises(ModelError) as caught:
        external(Answering(answer))(IMAGES)
    assert said in str(caught.value)
    assert str(caught.value).startswith("theirs: ")


def test_the_module_is_left_as_it_was() -> None:
    module = nn.Sequential(Places(), nn.Identity()).train()
    module[1].eval()
    net = external(module)
    assert torch.equal(net(IMAGES), net(IMAGES))  # its dropout is off
    assert module[0].training
    assert not module[1].training
    assert all(parameter.grad is None for parameter in module.parameters())
    failing = nn.Sequential(Answering(lambda x: 1 / 0)).train()
    with pytest.raises(ModelError):
        external(failing)(IMAGES)
    assert failing[0].training


def test_batches_are_no_larger_than_the_module_takes() -> None:
    seen: list[int] = []

    def answer(images: Tensor) -> Tensor:
        seen.append(len(images))
        return images.mean((1, 2, 3))

    torch.testing.assert_close(external(Answering(answer), batch=2)(IMAGES), IMAGES.mean((1, 2, 3)))
    assert seen == [2, 2, 1, 1]  # the last one checks that neighbours do not matter
    with pytest.raises(ValueError, match="at least 1"):
        external(Answering(answer), batch=0)


def test_scores_that_depend_on_neighbours_are_refused() -> None:
    def answer(images: Tensor) -> Tensor:
        return 100 * (images - images.mean(0)).mean((1, 2, 3)) + 50

    with pytest.raises(ModelError, match=r"moves by .* batch=1"):
        external(Answering(answer))(IMAGES)
    assert external(Answering(answer), batch=1)(IMAGES).tolist() == pytest.approx([50] * 5)


def test_the_modules_precision_is_kept() -> None:
    answer = external(Places().bfloat16())(IMAGES)
    assert answer.dtype == torch.float32
    torch.testing.assert_close(answer, external(Places())(IMAGES), rtol=0.05, atol=0.05)


def test_nothing_made_in_inference_mode_stays_in_the_module() -> None:
    class Remembering(Places):
        def forward(self, images: Tensor) -> Tensor:
            self.last = images
            return super().forward(images)

    module = Remembering()
    with torch.inference_mode():
        answer = external(module)(IMAGES)
    assert not module.last.is_inference()
    assert not answer.requires_grad


def test_hashes_tell_modules_apart_that_have_the_same_tensors() -> None:
    def hash_of(module: nn.Module, **options: Any) -> str:
        return wrap(module, name="x", **options).hash

    def conv(stride: int) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 1, 3, stride=stride), nn.AdaptiveAvgPool2d(1))

    assert hash_of(Places()) == hash_of(Places())
    different = [
        hash_of(Places()),
        hash_of(Places(), scale=(0, 1)),
        hash_of(Places(), logits=True),
        hash_of(Places(), mean=0.5),
        hash_of(conv(1)),
        hash_of(conv(2)),
        hash_of(nn.Sequential(nn.ReLU())),
        hash_of(nn.Sequential(nn.Sigmoid())),
        hash_of(nn.Sequential(nn.LeakyReLU(0.1))),
        hash_of(nn.Sequential(nn.LeakyReLU(0.2))),
    ]
    assert len(set(different)) == len(different)


class Foreign(nn.Module):
    """The convolutions of a network of ours in a module that is not."""

    def __init__(self, net: ConvNet) -> None:
        super().__init__()
        self.inside = net

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.inside.rest(self.inside.stem(images, -1), -1)
        return answer


def test_attribution_reaches_into_the_module() -> None:
    torch.manual_seed(0)
    net = ConvNet().eval()
    module = Foreign(net)
    scorer = wrap(module, mean=MEAN, std=STD, scale=(1, 3))
    pixels, grid = picture(64, 96), RegionGrid(2, 2)
    found = attribute("gradcam", scorer, pixels, grid, layer="module.inside.second")
    # by hand: mean gradient a channel times the channel
    _, tensor, _ = scorer.read(pixels)
    features = net.stem(tensor, -1).detach().requires_grad_()
    score = net.rest(features, -1).mul(torch.tensor([1.0, 2, 3])).sum()
    (gradient,) = torch.autograd.grad(score, features)
    wanted = (gradient.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True).detach()
    large = nn.functional.interpolate(wanted, (64, 96), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(found.map, large[0, 0].numpy(), atol=1e-6)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert attribute("gradcam", scorer, pixels, grid).options["layer"] == "module.inside.second"
