"""DBCNN: bilinear pooling of two networks (Zhang et al., TCSVT 2020, arXiv 1907.02665).

The layers follow the authors' repository (zwx8981/DBCNN-PyTorch, MIT). Beyond theirs: any timm
backbone in the place of VGG-16.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from halfsight.models.backbone import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Backbone,
    Normalisation,
    WeightsError,
    file_sha256,
)
from halfsight.models.base import WHOLE, QualityNet
from halfsight.models.inputs import InputPolicy
from halfsight.models.packaged import load_exactly, load_imagenet
from halfsight.models.registry import ModelEntry

SCNN_CHANNELS = (48, 48, 64, 64, 64, 64, 128, 128, 128)
SCNN_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 2)
SCNN_VARIABLE = "HALFSIGHT_SCNN"
"""Environment variable with the path of the authors' ``scnn.pkl``."""
SCNN_SHA256 = "7ea73d75539cefcf4953800a896e024ea1a3216de2392f242810b113fd940a42"
"""Digest of that file, ``pretrained_scnn/scnn.pkl`` in zwx8981/DBCNN-PyTorch."""


@dataclass(frozen=True)
class DBCNNConfig:
    """Shape of a DBCNN; the defaults are the authors'.

    Attributes:
        backbone: timm name of the network for authentic distortions; VGG networks are taken
            without their last pooling.
        scnn: path of a file like the authors' ``scnn.pkl``, the network for synthetic distortions
            as they trained it. With None its weights come from a weight file that holds them, or
            else from the authors' file where :data:`SCNN_VARIABLE` says it lies.
        max_pixels: larger photographs are reduced to this area; 1024x768 by default.
    """

    backbone: str = "vgg16"
    scnn: str | None = None
    max_pixels: int = 1024 * 768


def scnn_layers() -> nn.Sequential:
    """The S-CNN without its classifier: nine 3x3 convolutions, stride 16, 128 channels."""
    layers: list[nn.Module] = []
    before = 3
    for channels, stride in zip(SCNN_CHANNELS, SCNN_STRIDES, strict=True):
        layers += [
            nn.Conv2d(before, channels, 3, stride=stride, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        ]
        before = channels
    return nn.Sequential(*layers)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors of a PyTorch file, without the ``module.`` of parallel training.

    Raises:
        WeightsError: if it cannot be read, or holds anything but tensors by name.
    """
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}") from None
    try:
        stored = torch.load(io.BytesIO(blob), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle fails in any way at all
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "empty"
        raise WeightsError(
            f"{path}: not a PyTorch file of tensors ({reason[:120]}); get it again"
        ) from None
    if isinstance(stored, dict) and isinstance(stored.get("state_dict"), dict):
        stored = stored["state_dict"]
    if not isinstance(stored, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in stored.items()
    ):
        raise WeightsError(f"{path}: expected a dictionary of tensors by name; get it again")
    return {name.removeprefix("module."): tensor for name, tensor in stored.items()}


class DBCNN(QualityNet):
    """Two networks on the same image, pooled by the outer product of their features.

    ``forward`` gives scores (N,). :meth:`stem` at stage -1 gives both maps in one tensor
    (N, channels + 128, h, w): the S-CNN's is resized to the backbone's. Before that there is no
    single map, so that -1 is the only stage.
    """

    def __init__(self, config: DBCNNConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DBCNNConfig()
        self.backbone = Backbone(config.backbone)
        self.scnn = scnn_layers()
        self.head = nn.Linear(self.backbone.channels * SCNN_CHANNELS[-1], 1)
        nn.init.kaiming_normal_(self.head.weight)  # as the authors start it
        nn.init.zeros_(self.head.bias)

    def stem(self, images: Tensor, stage: int) -> Tensor:
        """Images (N, 3, H, W) to both maps (N, channels + 128, h, w); at stage 0 themselves."""
        if self._stage(stage) == 0:
            return images
        authentic, synthetic = self.backbone(images), self.scnn(self.as_imagenet(images))
        if synthetic.shape[-2:] != authentic.shape[-2:]:
            size = (int(authentic.shape[-2]), int(authentic.shape[-1]))
            synthetic = F.interpolate(synthetic, size=size, mode="bilinear", align_corners=True)
        return torch.cat((authentic, synthetic), 1)

    def as_imagenet(self, images: Tensor) -> Tensor:
        """Images with the normalisation that the S-CNN was trained with."""
        used = self.backbone.normalisation
        if used == Normalisation(IMAGENET_MEAN, IMAGENET_STD):
            return images
        shape = (1, 3, 1, 1)
        mean, std, imagenet_mean, imagenet_std = (
            images.new_tensor(values).view(shape)
            for values in (used.mean, used.std, IMAGENET_MEAN, IMAGENET_STD)
        )
        return (images * std + mean - imagenet_mean) / imagenet_std

    def rest(self, features: Tensor, stage: int) -> Tensor:
        """What :meth:`stem` gave to scores (N,)."""
        if self._stage(stage) == 0:
            features = self.stem(features, WHOLE)
        scores: Tensor = self.head(self.bilinear(features))
        return scores[:, 0]

    def bilinear(self, features: Tensor) -> Tensor:
        """Both maps (N, channels + 128, h, w) to unit vectors (N, channels * 128)."""
        flat = features.flatten(2)
        authentic, synthetic = flat[:, : self.backbone.channels], flat[:, self.backbone.channels :]
        pooled = authentic @ synthetic.transpose(1, 2) / authentic.shape[-1]
        # features after a ReLU are never negative; the clamp serves backbones without one
        return F.normalize((pooled.flatten(1).clamp_min(0) + 1e-8).sqrt())

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters of the linear layer, which the authors' first training stage fits."""
        return list(self.head.parameters())

    def backbone_parameters(self, stage: int) -> list[nn.Parameter]:
        """Parameters of both networks from the pixels on, or none for -1."""
        if self._stage(stage) == WHOLE:
            return []
        return [*self.backbone.parameters(), *self.scnn.parameters()]

    def load_backbone(self, *, offline: bool) -> str:
        """Load both networks' pretrained weights; returns a line that says where from.

        Raises:
            WeightsError: if the S-CNN's are not given or do not fit.
        """
        path = self._scnn_file()
        state = read_state_dict(path)
        features = {
            name.removeprefix("features."): tensor
            for name, tensor in state.items()
            if name.startswith("features.")
        }
        load_exactly(self.scnn, features, path)
        line = load_imagenet(self.backbone, offline=offline)
        return f"{line}; S-CNN of the authors, SHA-256 {file_sha256(path)}"

    def _scnn_file(self) -> Path:
        if self.config.scnn is not None:
            return Path(self.config.scnn)
        named = os.environ.get(SCNN_VARIABLE)
        if not named:
            raise WeightsError(
                "the S-CNN's weights come with no package; take pretrained_scnn/scnn.pkl from the "
                "authors' repository zwx8981/DBCNN-PyTorch and say where it lies: "
                f"{SCNN_VARIABLE}=PATH"
            )
        path = Path(named)
        if not path.is_file():
            raise WeightsError(f"{SCNN_VARIABLE}: got {named}, expected an existing file")
        digest = file_sha256(path)
        if digest != SCNN_SHA256:
            raise WeightsError(
                f"{path}: SHA-256 is {digest}, expected {SCNN_SHA256}; get the authors' file again"
            )
        return path

    def _stage(self, stage: int) -> int:
        if stage not in (WHOLE, 0):
            raise ValueError(
                f"got stage {stage}, expected -1 (both networks frozen) or 0 (both trained)"
            )
        return stage


def build(**options: Any) -> DBCNN:
    """A DBCNN from options of :class:`DBCNNConfig`."""
    return DBCNN(DBCNNConfig(**options))


ENTRY = ModelEntry(
    name="dbcnn",
    title="DBCNN",
    paper=(
        "Zhang, Ma, Yan, Deng & Wang, Blind image quality assessment using a deep bilinear "
        "convolutional neural network, IEEE TCSVT 30, 2020, arXiv 1907.02665"
    ),
    licence="Apache-2.0 (our code; the authors' repository zwx8981/DBCNN-PyTorch is MIT)",
    build=build,
    policy=lambda net: InputPolicy(net.backbone.normalisation, max_pixels=net.config.max_pixels),
    reading=(
        "Layers as in the authors' PyTorch code, whose S-CNN has batch normalisation. They train "
        "by squared error on MOS in the data set's own units, the linear layer first and then all; "
        "ours are trained on 1 to 5 like all models here. With another backbone than VGG-16, on "
        "which the source is silent, the S-CNN still gets the ImageNet normalisation it was "
        "trained with."
    ),
)
