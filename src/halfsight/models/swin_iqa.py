"""Swin-IQA: a Swin transformer read at every stage through one channel attention.

Our reading of a model that the slides name and do not define; the nearest description is You &
Zhang, arXiv 2203.14557 (a Swin transformer with multi-stage channel attention).
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
class SwinIQAConfig:
    """Shape of a Swin-IQA; all of it is our choice.

    Attributes:
        backbone: timm name, with maps of strides 4 to 32.
        levels: quality levels of the softmax head; 1 makes a linear scalar head.
        width: channels to which every stage is projected.
        reduction: how much narrower the hidden layer of the channel attention is.
        head_width: hidden width of the quality head.
        dropout: dropout rate in the head.
    """

    backbone: str = "swin_tiny_patch4_window7_224"
    levels: int = 5
    width: int = 256
    reduction: int = 4
    head_width: int = 64
    dropout: float = 0.1


class ChannelAttention(nn.Module):
    """Gates on channels from their means and their peaks, which share the layers."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        if width % reduction:
            raise ValueError(
                f"got width {width} and reduction {reduction}, expected reduction to divide it"
            )
        self.squeeze = nn.Linear(width, width // reduction)
        self.expand = nn.Linear(width // reduction, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N, T, width) to gates (N, 1, width) in (0, 1)."""
        pooled = torch.stack((x.mean(1), x.amax(1)), 1)
        gates: Tensor = self.expand(F.gelu(self.squeeze(pooled))).sum(1, keepdim=True).sigmoid()
        return gates


class SwinIQA(QualityNet):
    """Backbone, one projection a stage, a channel attention shared by all, pooling, head.

    ``forward`` gives level probabilities (N, levels), or scores (N,) for ``levels=1``. As the head
    reads four maps, which all follow from that of stride 4, :meth:`stem` at stage -1 gives that
    map and :meth:`rest` runs the remaining stages too.
    """

    def __init__(self, config: SwinIQAConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SwinIQAConfig()
        self.backbone = Backbone(config.backbone, pyramid=True)
        channels = self.backbone.level_channels
        self.norms = nn.ModuleList(nn.LayerNorm(count) for count in channels)
        self.project = nn.ModuleList(nn.Linear(count, config.width) for count in channels)
        self.attention = ChannelAttention(config.width, config.reduction)
        self.head = nn.Sequential(
            nn.Linear(len(channels) * config.width, config.head_width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.head_width, config.levels),
        )

    def tokens(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (N, C, h, w) of strides 4 to 32 to tokens (N, h * w, width), row-major."""
        return [
            project(norm(one.flatten(2).transpose(1, 2)))
            for norm, project, one in zip(self.norms, self.project, maps, strict=True)
        ]

    def stem(self, images: Tensor, stage: int) -> Tensor:
        """Images (N, 3, H, W) to the map after ``stage`` stages, -1: that of stride 4."""
        return self.backbone.first(images, self._stage(stage))

    def rest(self, features: Tensor, stage: int) -> Tensor:
        """What :meth:`stem` gave to probabilities (N, levels) or scores (N,)."""
        stages = self.tokens(self.backbone.levels(features, self._stage(stage)))
        pooled = torch.cat([(x * self.attention(x)).mean(1) for x in stages], 1)
        out: Tensor = self.head(pooled)
        return out[:, 0] if self.config.levels == 1 else out.softmax(-1)

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters outside the backbone."""
        return [p for name, p in self.named_parameters() if not name.startswith("backbone.")]

    def backbone_parameters(self, stage: int) -> list[nn.Parameter]:
        """Parameters of the backbone after ``stage`` stages; -1 freezes them all."""
        return self.backbone.late_parameters(stage)

    def load_backbone(self, *, offline: bool) -> str:
        """Load the backbone's ImageNet weights; returns a line that says where from."""
        return load_imagenet(self.backbone, offline=offline)

    def _stage(self, stage: int) -> int:
        return self.backbone.first_level if stage == WHOLE else stage


def build(**options: Any) -> SwinIQA:
    """A Swin-IQA from options of :class:`SwinIQAConfig`."""
    return SwinIQA(SwinIQAConfig(**options))


ENTRY = ModelEntry(
    name="swin_iqa",
    title="Swin-IQA",
    paper=(
        "named by You, Lin & Korhonen, ICIP 2023, arXiv 2301.12891; nearest description: You & "
        "Zhang, arXiv 2203.14557"
    ),
    licence="Apache-2.0 (our code)",
    build=build,
    policy=lambda net: InputPolicy(net.backbone.normalisation),
    reading=(
        "The slides name the model without defining it. Ours, from the idea of multi-stage channel "
        "attention alone: each Swin stage is normalised and projected to 256 channels, one channel "
        "attention shared by all stages gates them, their means are joined, and a head of two "
        "layers gives five levels. Sizes, loss and input size are our choice."
    ),
)
