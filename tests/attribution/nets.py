"""Small networks whose attributions can be worked out by hand."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

from halfsight.models.backbone import Normalisation
from halfsight.models.base import QualityNet
from halfsight.models.card import ModelCard, Scale
from halfsight.models.inputs import InputPolicy
from halfsight.models.triq import TRIQ, TRIQConfig
from halfsight.scorer import Scorer

NORMALISATION = Normalisation((0.5, 0.4, 0.3), (0.25, 0.2, 0.5))


class SmallNet(QualityNet):
    """A network that is cut nowhere in particular: all of it is the rest."""

    def stem(self, images: Tensor, stage: int) -> Tensor:
        return images

    def rest(self, features: Tensor, stage: int) -> Tensor:
        raise NotImplementedError

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.parameters())

    def backbone_parameters(self, stage: int) -> list[nn.Parameter]:
        return []

    def load_backbone(self, *, offline: bool) -> str:
        return ""


class LinearNet(SmallNet):
    """A score that is linear in the pixels, with weights that differ from place to place."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randn(3, height, width, generator=draw) / height)

    def rest(self, features: Tensor, stage: int) -> Tensor:
        return (features * self.weight).sum((1, 2, 3)) + 2.5


class ConvNet(QualityNet):
    """Two convolutions with a dropout and a normalisation between them; three levels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 5, stride=4, padding=2)
        self.norm = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.5)
        self.second = nn.Conv2d(6, 4, 3, stride=2, padding=1)
        self.head = nn.Linear(4, 3)

    def stem(self, images: Tensor, stage: int) -> Tensor:
        return self.second(self.dropout(self.norm(self.first(images)).relu()))

    def rest(self, features: Tensor, stage: int) -> Tensor:
        return self.head(features.tanh().mean((2, 3))).softmax(-1)

    def head_parameters(self) -> list[nn.Parameter]:
        return list(self.head.parameters())

    def backbone_parameters(self, stage: int) -> list[nn.Parameter]:
        return []

    def load_backbone(self, *, offline: bool) -> str:
        return ""


class PyramidNet(ConvNet):
    """Cut at the finer of the two maps it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.ModuleDict({"fine": self.first, "coarse": self.second})
        del self.first, self.second

    def stem(self, images: Tensor, stage: int) -> Tensor:
        return self.norm(self.backbone["fine"](images)).relu()

    def rest(self, features: Tensor, stage: int) -> Tensor:
        coarse = self.backbone["coarse"](features)
        both = coarse.tanh().mean((2, 3)) + features.mean((2, 3))[:, :4]
        return self.head(both).softmax(-1)


class ChannelsLastNet(ConvNet):
    """Its map lies (N, h, w, C) in memory and in shape, as in Swin transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.turned = nn.Identity()

    def stem(self, images: Tensor, stage: int) -> Tensor:
        return images

    def rest(self, features: Tensor, stage: int) -> Tensor:
        x = self.second(self.norm(self.first(features)).relu())
        return self.head(self.turned(x.permute(0, 2, 3, 1)).tanh().mean((1, 2))).softmax(-1)


class VitNet(SmallNet):
    """A timm vision transformer behind a linear head."""

    def __init__(self, name: str = "test_vit", **options: Any) -> None:
        super().__init__()
        self.vit: Any = timm.create_model(name, img_size=(64, 96), num_classes=0, **options)
        self.head = nn.Linear(self.vit.num_features, 1)

    def rest(self, features: Tensor, stage: int) -> Tensor:
        return self.head(self.vit(features))[:, 0]


def small_triq(**options: Any) -> TRIQ:
    """A TRIQ with fresh weights that differ from token to token."""
    config = {"backbone": "test_efficientnet", "width": 16, "heads": 4, "position_grid": (4, 6)}
    torch.manual_seed(1)
    net = TRIQ(TRIQConfig(**{**config, **options}))
    with torch.no_grad():
        net.positions.mul_(40)
        for layer in net.encoder:
            layer.attention.query.weight.mul_(6)
        net.head_output.weight.mul_(8)
    return net.eval()


def scorer_of(net: QualityNet, **policy: Any) -> Scorer:
    policy = {"min_side": 32, "max_pixels": None, **policy}
    card = ModelCard(
        model="small",
        title="",
        status="user's own",
        paper="",
        licence="",
        scale=Scale(min=1, max=5),
    )
    return Scorer(net.eval(), InputPolicy(NORMALISATION, **policy), card)
