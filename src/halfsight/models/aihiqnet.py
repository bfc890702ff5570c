"""AIHIQnet: a feature pyramid with channel and spatial gates (You & Korhonen, JVCIR 2022).

The layers follow the authors' repository (junyongyou/aihiqnet, MIT). Beyond theirs: any timm
backbone with maps of strides 4 to 32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from halfsight.models.backbone import Backbone
from halfsight.models.base import WHOLE, QualityNet
from halfsight.models.inputs import InputPolicy
from halfsight.models.packaged import load_imagenet
from halfsight.models.registry import ModelEntry


@dataclass(frozen=True)
class AIHIQnetConfig:
    """Shape of an AIHIQnet; the defaults are the authors'.

    Attributes:
        backbone: timm name, with maps of strides 4 to 32.
        levels: quality levels of the softmax heads; 1 makes linear scalar heads.
        width: channels of the pyramid.
        max_pixels: larger photographs are reduced to this area; 1024x768 by default.
    """

    backbone: str = "resnet50"
    levels: int = 5
    width: int = 256
    max_pixels: int = 1024 * 768


class SameConv(nn.Conv2d):
    """Convolution padded as TensorFlow's SAME: what does not halve goes to the end."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', ceil(H / stride), ceil(W / stride))."""
        padding = []
        for side, kernel, stride in zip(
            reversed(x.shape[-2:]), reversed(self.kernel_size), reversed(self.stride), strict=True
        ):
            missing = max(0, (-(-side // stride) - 1) * stride + kernel - side)
            padding += [missing // 2, missing - missing // 2]
        return super().forward(F.pad(x, padding))


def nearest(x: Tensor, like: Tensor) -> Tensor:
    """(N, C, h, w) by nearest neighbour to the height and width of ``like``.

    Pixels are compared by their centres, as TensorFlow 2 does; on maps that do not double exactly
    PyTorch's plain ``nearest`` picks others.
    """
    size = (int(like.shape[-2]), int(like.shape[-1]))
    return F.interpolate(x, size=size, mode="nearest-exact")


class Pyramid(nn.Module):
    """Feature pyramid network: the maps C2..C5 to P2..P6, all of one width.

    As in the authors' code a map is passed on to the next level before its 3x3 convolution, and
    P6 comes from C5.
    """

    def __init__(self, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.smooth = nn.ModuleList(SameConv(width, width, 3) for _ in channels)
        self.coarsest = SameConv(channels[-1], width, 3, stride=2)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Four maps of strides 4 to 32 to five of strides 4 to 64, each (N, width, h, w)."""
        merged = [reduce(one) for reduce, one in zip(self.reduce, maps, strict=True)]
        for level in reversed(range(len(merged) - 1)):
            merged[level] = merged[level] + nearest(merged[level + 1], merged[level])
        smoothed = [smooth(one) for smooth, one in zip(self.smooth, merged, strict=True)]
        return [*smoothed, self.coarsest(maps[-1])]


class GatedHead(nn.Module):
    """Channel and spatial gates side by side on one map, then pooling and a linear layer."""

    def __init__(self, width: int, levels: int) -> None:
        super().__init__()
        self.channel = nn.Linear(width, width)
        self.spatial = SameConv(2, 1, 7, bias=False)
        self.predict = nn.Linear(width, levels)

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Gates of a map (N, C, h, w): channel (N, C, 1, 1) and spatial (N, 1, h, w)."""
        average = self.channel(x.mean((2, 3))).sigmoid()
        peak = self.channel(x.amax((2, 3))).sigmoid()
        pooled = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
        return ((average + peak) / 2)[:, :, None, None], self.spatial(pooled).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """A map (N, width, h, w) to logits (N, levels), or scores (N, 1)."""
        channel, spatial = self.gates(x)
        out: Tensor = self.predict((x * channel * spatial).mean((2, 3)))
        return out


class AIHIQnet(QualityNet):
    """Backbone, pyramid, one gated head a level; the output is the mean of the five.

    ``forward`` gives level probabilities (N, levels), or scores (N,) for ``levels=1``. The head
    reads four maps of the backbone, all of which follow from that of stride 4. That map is
    what :meth:`stem` gives at stage -1, and :meth:`rest` then runs the remaining stages too.
    """

    def __init__(self, config: AIHIQnetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AIHIQnetConfig()
        self.backbone = Backbone(config.backbone, pyramid=True)
        self.pyramid = Pyramid(self.backbone.level_channels, config.width)
        levels = len(self.backbone.level_channels) + 1
        self.heads = nn.ModuleList(GatedHead(config.width, config.levels) for _ in range(levels))

    def stem(self, images: Tensor, stage: int) -> Tensor:
        """Images (N, 3, H, W) to the map after ``stage`` stages, -1: that of stride 4."""
        return self.backbone.first(images, self._stage(stage))

    def rest(self, features: Tensor, stage: int) -> Tensor:
        """What :meth:`stem` gave to probabilities (N, levels) or scores (N,)."""
        maps = self.pyramid(self.backbone.levels(features, self._stage(stage)))
        outputs = torch.stack([head(one) for head, one in zip(self.heads, maps, strict=True)])
        if self.config.levels == 1:
            return outputs[..., 0].mean(0)
        return outputs.softmax(-1).mean(0)

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters of the pyramid and the heads."""
        return [*self.pyramid.parameters(), *self.heads.parameters()]

    def backbone_parameters(self, stage: int) -> list[nn.Parameter]:
        """Parameters of the backbone after ``stage`` stages; -1 freezes them all."""
        return self.backbone.late_parameters(stage)

    def load_backbone(self, *, offline: bool) -> str:
        """Load the backbone's ImageNet weights; returns a line that says where from."""
        return load_imagenet(self.backbone, offline=offline)

    def _stage(self, stage: int) -> int:
        return self.backbone.first_level if stage == WHOLE else stage


def build(**options: Any) -> AIHIQnet:
    """An AIHIQnet from options of :class:`AIHIQnetConfig`."""
    return AIHIQnet(AIHIQnetConfig(**options))


ENTRY = ModelEntry(
    name="aihiqnet",
    title="AIHIQnet",
    paper=(
        "You & Korhonen, Attention integrated hierarchical networks for no-reference image "
        "quality assessment, Journal of Visual Communication and Image Representation 82, 2022"
    ),
    licence="Apache-2.0 (our code; the authors' repository junyongyou/aihiqnet is MIT)",
    build=build,
    policy=lambda net: InputPolicy(net.backbone.normalisation, max_pixels=net.config.max_pixels),
    reading=(
        "Layers as in the authors' code. Their loss is cross-entropy on five levels, or squared "
        "error on MOS with levels=1; for our cross-entropy the heads' probabilities are averaged "
        "first, as theirs. Theirs takes photographs of any size as they are; ours reduces those "
        "above 1024x768 pixels."
    ),
)
