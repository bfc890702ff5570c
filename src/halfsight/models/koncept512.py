"""KonCept512: Inception-ResNet-v2 with a deep regressor (Hosu et al., TIP 2020, KonIQ-10k).

The layers follow the authors' repository (subpic/koniq, MIT).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from halfsight.models.backbone import Backbone
from halfsight.models.base import WHOLE, QualityNet
from halfsight.models.inputs import InputPolicy
from halfsight.models.packaged import load_imagenet
from halfsight.models.registry import ModelEntry

Pool = Literal["global", "corner"]
CORNER = 8
"""Side of the part of the feature map that ``pool="corner"`` averages."""


@dataclass(frozen=True)
class KonCept512Config:
    """Shape of a KonCept512; the defaults are the authors'.

    Attributes:
        backbone: timm name.
        widths: hidden widths of the regressor.
        dropout: dropout rate after each of them.
        size: (height, width) in pixels to which photographs are stretched.
        pool: ``global`` averages the whole feature map; ``corner`` its upper left 8x8 alone, as
            the PyTorch port does (an 8x8 average pooling on a 10x14 map), for weights of the port.
    """

    backbone: str = "inception_resnet_v2"
    widths: tuple[int, ...] = (2048, 1024, 256)
    dropout: tuple[float, ...] = (0.25, 0.25, 0.5)
    size: tuple[int, int] = (384, 512)
    pool: Pool = "global"


class KonCept512(QualityNet):
    """Backbone, average pooling, three layers of ReLU, normalisation and dropout, one score.

    ``forward`` gives scores (N,).
    """

    def __init__(self, config: KonCept512Config | None = None) -> None:
        super().__init__()
        self.config = config = config or KonCept512Config()
        if len(config.widths) != len(config.dropout):
            raise ValueError(
                f"got {len(config.widths)} widths and {len(config.dropout)} dropout rates, "
                "expected as many of each"
            )
        self.backbone = Backbone(config.backbone)
        layers: list[nn.Module] = []
        before = self.backbone.channels
        for width, rate in zip(config.widths, config.dropout, strict=True):
            layers += [
                nn.Linear(before, width),
                nn.ReLU(),
                nn.BatchNorm1d(width),
                nn.Dropout(rate),
            ]
            before = width
        self.head = nn.Sequential(*layers, nn.Linear(before, 1))

    def stem(self, images: Tensor, stage: int) -> Tensor:
        """Images (N, 3, H, W) to the feature map after ``stage`` backbone stages."""
        return self.backbone.first(images, stage)

    def rest(self, features: Tensor, stage: int) -> Tensor:
        """What :meth:`stem` gave to scores (N,)."""
        pooled = self.summary(self.backbone.after(features, stage), WHOLE)
        scores: Tensor = self.head(pooled.flatten(1))
        return scores[:, 0]

    def summary(self, features: Tensor, stage: int) -> Tensor:
        """A last feature map (N, C, h, w) to its average (N, C, 1, 1); earlier maps as they are.

        The average of an average is itself, so :meth:`rest` takes both.
        """
        if stage != WHOLE:
            return features
        if self.config.pool == "corner":
            features = features[..., :CORNER, :CORNER]
        return features.mean((2, 3), keepdim=True)

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters of the regressor."""
        return list(self.head.parameters())

    def backbone_parameters(self, stage: int) -> list[nn.Parameter]:
        """Parameters of the backbone after ``stage`` stages."""
        return self.backbone.late_parameters(stage)

    def load_backbone(self, *, offline: bool) -> str:
        """Load the backbone's ImageNet weights; returns a line that says where from."""
        return load_imagenet(self.backbone, offline=offline)


def build(**options: Any) -> KonCept512:
    """A KonCept512 from options of :class:`KonCept512Config`; lists do for tuples."""
    for name in ("widths", "dropout", "size"):
        if name in options:
            options[name] = tuple(options[name])
    return KonCept512(KonCept512Config(**options))


ENTRY = ModelEntry(
    name="koncept512",
    title="KonCept512",
    paper=(
        "Hosu, Lin, Sziranyi & Saupe, KonIQ-10k: an ecologically valid database for deep learning "
        "of blind image quality assessment, IEEE TIP 29, 2020, arXiv 1910.06180"
    ),
    licence="Apache-2.0 (our code; the authors' repository subpic/koniq is MIT)",
    build=build,
    policy=lambda net: InputPolicy(net.backbone.normalisation, size=net.config.size),
    reading=(
        "The authors train by squared error on MOS 1 to 100 with photographs of 4:3; ours are "
        "trained on 1 to 5 like all models here, and photographs of other proportions, on which "
        "the authors are silent, are stretched to 512x384."
    ),
)
