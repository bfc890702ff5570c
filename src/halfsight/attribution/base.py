"""What an attribution is, what a method is asked, and how a model is left as it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from halfsight.grid import RegionGrid
from halfsight.images import Photograph
from halfsight.models.base import QualityNet
from halfsight.models.inputs import InputPolicy

MapArray = npt.NDArray[np.float32]
"""Signed values over the photograph, shape (height, width)."""

Target = Callable[[Tensor], Tensor]
"""A model's output (N, K) or (N,) to one number an image, (N,)."""

Interpolation = Literal["bilinear", "nearest"]


class AttributionError(ValueError):
    """A method that is unknown, that the model does not allow, or that was asked wrongly."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """How much each part of one photograph counts for a model's score, by one method.

    Attributes:
        method: name of the method.
        map: float32 (height, width) at the photograph's size, signed and raw: neither clipped nor
            rescaled. Read-only.
        regions: float64 (n,), the map aggregated over the grid's regions. Read-only.
        options: the options as they were used, defaults included.
        seconds: wall time of the method, without reading the photograph.
        provenance: what was explained: model, SHA-256 of its tensors and input policy, target.
    """

    method: str
    map: MapArray = field(repr=False)
    regions: npt.NDArray[np.float64]
    options: dict[str, Any]
    seconds: float
    provenance: dict[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for array in (self.map, self.regions):
            array.setflags(write=False)


@dataclass(frozen=True)
class Answer:
    """What a method gives back.

    Attributes:
        map: float (height, width) at the photograph's size.
        options: the options as they were used, ready for JSON.
    """

    map: npt.NDArray[np.floating[Any]]
    options: dict[str, Any]


@dataclass(frozen=True)
class Question:
    """What a method is asked.

    Attributes:
        net: the network, in evaluation mode, its parameters without gradients.
        policy: how photographs reach it.
        photograph: as read, at its own size.
        tensor: the network's input, float32 (1, 3, h, w).
        grid: the regions.
        tokens: (rows, cols) of the token map the regions were cut on, None for pixels.
        target: from the network's output to the number that is explained.
    """

    net: QualityNet
    policy: InputPolicy
    photograph: Photograph
    tensor: Tensor
    grid: RegionGrid
    tokens: tuple[int, int] | None
    target: Target

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the network's input in pixels."""
        return int(self.tensor.shape[-2]), int(self.tensor.shape[-1])

    def number(self, output: Tensor) -> Tensor:
        """The explained number of every image: output (N, K) or (N,) to (N,).

        Raises:
            AttributionError: if the target gives anything but one finite number an image.
        """
        values = self.target(output)
        if not isinstance(values, Tensor):
            raise AttributionError(
                f"got a target that returns {type(values).__name__}, expected a tensor of one "
                "number an image; compute it with torch"
            )
        if values.shape not in ((len(output),), (len(output), 1)):
            raise AttributionError(
                f"got a target of shape {tuple(values.shape)} for {len(output)} images, expected "
                f"({len(output)},): one number an image; reduce the model's output to one number"
            )
        if not torch.isfinite(values).all():
            raise AttributionError(
                "got a target that is not finite, expected a finite number an image; "
                "use another target or photograph"
            )
        return values.reshape(len(output))

    def enlarge(self, coarse: Tensor, interpolation: Interpolation) -> MapArray:
        """A map (rows, cols) of any size, brought to the photograph's.

        Raises:
            AttributionError: if the interpolation is unknown.
        """
        if interpolation not in get_args(Interpolation):
            raise AttributionError(
                f"got interpolation {interpolation!r}, expected bilinear or nearest"
            )
        size = (self.photograph.height, self.photograph.width)
        align = False if interpolation == "bilinear" else None
        large = F.interpolate(
            coarse.detach().float()[None, None], size, mode=interpolation, align_corners=align
        )
        return large[0, 0].cpu().numpy()


@contextmanager
def undisturbed(net: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients into parameters; on leaving, everything as it was before.

    Gradients with respect to activations are to be had inside, whatever the caller's grad mode.
    Restored, also after an error: the mode of every module, the ``requires_grad`` flag of every
    parameter, the grad and inference modes, and torch's random state.
    """
    modes = [(module, module.training) for module in net.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in net.parameters()]
    try:
        net.eval()
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, required in flags:
            parameter.requires_grad_(required)
