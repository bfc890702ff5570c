"""What every quality network offers, whatever its layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

WHOLE = -1
"""Stage number that stands for the whole backbone."""


def mean_level(output: Tensor) -> Tensor:
    """Model output to one number an image.

    Args:
        output: (N, K) probabilities of levels 1..K, or (N,) scores.

    Returns:
        (N,): sum of k * p_k for k = 1..K, or the scores as they are.
    """
    if output.ndim == 1:
        return output
    levels = torch.arange(1, output.shape[1] + 1, dtype=output.dtype, device=output.device)
    return output @ levels


def tensor_names(net: nn.Module, parameters: Iterable[nn.Parameter], *, buffers: bool) -> set[str]:
    """Names of some of a network's parameters, and of the buffers in the same modules if asked."""
    chosen = {id(parameter) for parameter in parameters}
    names = {name for name, parameter in net.named_parameters() if id(parameter) in chosen}
    if buffers:
        parents = {name.rpartition(".")[0] for name in names}
        names |= {name for name, _ in net.named_buffers() if name.rpartition(".")[0] in parents}
    return names


class QualityNet(nn.Module):
    """A no-reference quality network: normalised images in, level probabilities or scores out.

    The network is cut in two, so that training can cache the output of its frozen first part:
    ``forward(x) == rest(stem(x, stage), stage)`` for every stage it supports.
    """

    @abstractmethod
    def stem(self, images: Tensor, stage: int) -> Tensor:
        """Images (N, 3, H, W) to the feature map after ``stage`` backbone stages."""

    @abstractmethod
    def rest(self, features: Tensor, stage: int) -> Tensor:
        """What :meth:`stem` gave to probabilities (N, K) or scores (N,)."""

    def scores(self, output: Tensor) -> Tensor:
        """Output (N, K) or (N,) to scores (N,) on the model's scale: by default the mean level."""
        return mean_level(output)

    @abstractmethod
    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters outside the pretrained backbone."""

    @abstractmethod
    def backbone_parameters(self, stage: int) -> list[nn.Parameter]:
        """Parameters of the pretrained backbone that come after ``stage`` stages."""

    @abstractmethod
    def load_backbone(self, *, offline: bool) -> str:
        """Load the backbone's ImageNet weights; returns a line that says where from."""

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (N, 3, H, W) to probabilities (N, K) or scores (N,)."""
        return self.rest(self.stem(images, WHOLE), WHOLE)
