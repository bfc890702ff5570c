"""Keras' ResNet-50 v1, the backbone of TRIQ and AIHIQnet, under timm's names.

Its convolutions have biases. The batch normalisation that follows each takes them in:
``(w * x + b) - mean`` is ``w * x - (mean - b)``.
"""

from __future__ import annotations

from torch import Tensor

from halfsight.models.backbone import WeightsError
from halfsight.weights.importers.keras import KerasFile

BLOCKS = (3, 4, 6, 3)
"""Blocks of the stages ``conv2`` to ``conv5``."""


def read_resnet50(file: KerasFile) -> dict[str, Tensor]:
    """Tensors of the backbone by timm's names, without the counters of batches.

    Raises:
        WeightsError: as :meth:`KerasFile.take`, or if a variance is negative.
    """
    state = _unit(file, "conv1", "conv1", "bn1", (7, 7, 3, 64))
    before = 64
    for stage, blocks in enumerate(BLOCKS, 1):
        inner, outer = 64 * 2 ** (stage - 1), 256 * 2 ** (stage - 1)
        for block in range(blocks):
            theirs = f"conv{stage + 1}_block{block + 1}"
            ours = f"layer{stage}.{block}"
            if block == 0:
                state |= _unit(
                    file,
                    f"{theirs}_0",
                    f"{ours}.downsample.0",
                    f"{ours}.downsample.1",
                    (1, 1, before, outer),
                )
            shapes = ((1, 1, before, inner), (3, 3, inner, inner), (1, 1, inner, outer))
            for number, shape in enumerate(shapes, 1):
                state |= _unit(
                    file, f"{theirs}_{number}", f"{ours}.conv{number}", f"{ours}.bn{number}", shape
                )
            before = outer
    return state


def kernel(file: KerasFile, layer: str, shape: tuple[int, int, int, int]) -> Tensor:
    """A convolution's kernel (height, width, in, out) as (out, in, height, width)."""
    return file.take(layer, "kernel", shape).permute(3, 2, 0, 1).contiguous()


def _unit(
    file: KerasFile, theirs: str, conv: str, bn: str, shape: tuple[int, int, int, int]
) -> dict[str, Tensor]:
    """A convolution and its normalisation."""
    channels = shape[-1:]
    norm = f"{theirs}_bn"
    bias = file.take(f"{theirs}_conv", "bias", channels)
    variance = file.take(norm, "moving_variance", channels)
    if bool((variance < 0).any()):
        raise WeightsError(
            f"{file.path}: {norm}/moving_variance is negative; the file is damaged: get it again"
        )
    return {
        f"{conv}.weight": kernel(file, f"{theirs}_conv", shape),
        f"{bn}.weight": file.take(norm, "gamma", channels),
        f"{bn}.bias": file.take(norm, "beta", channels),
        f"{bn}.running_mean": file.take(norm, "moving_mean", channels) - bias,
        f"{bn}.running_var": variance,
    }
