"""AIHIQnet: the authors' Keras files (junyongyou/aihiqnet)."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from halfsight.models.backbone import KERAS_RESNET50, WeightsError
from halfsight.models.card import Scale
from halfsight.weights.importers.base import Imported, Importer
from halfsight.weights.importers.keras import KerasFile, open_keras
from halfsight.weights.importers.keras_resnet import kernel, read_resnet50

WIDTH, HEADS = 256, 5
CHANNELS = (256, 512, 1024, 2048)


def read(path: Path) -> Imported:
    """The authors' AIHIQnet on ResNet-50 with feature fusion and attention, five levels or one.

    Raises:
        WeightsError: if it is damaged, of another shape or of another network.
    """
    with open_keras(path) as file:
        if "fpn_P2" not in file.layers:
            raise WeightsError(
                f"{path}: has no feature pyramid (fpn_P2), expected AIHIQnet with feature fusion; "
                "other models and their ablations cannot be imported as aihiqnet"
            )
        state = _pyramid(file) | _heads(file)
        backbone = read_resnet50(file)
        file.finish()
    state |= {f"backbone.net.{name}": tensor for name, tensor in backbone.items()}
    return Imported(
        config={"backbone": KERAS_RESNET50, "levels": len(state["heads.0.predict.bias"])},
        state=state,
        scale=Scale(min=1, max=5),
        limits="Photographs above 1024x768 pixels are reduced to that area; the authors' code "
        "takes them as they are.",
    )


def _pyramid(file: KerasFile) -> dict[str, Tensor]:
    state = {}
    for level, channels in enumerate(CHANNELS):
        for ours, layer, shape in (
            (f"pyramid.reduce.{level}", f"fpn_C{level + 2}_reduced", (1, 1, channels, WIDTH)),
            (f"pyramid.smooth.{level}", f"fpn_P{level + 2}", (3, 3, WIDTH, WIDTH)),
        ):
            state[f"{ours}.weight"] = kernel(file, layer, shape)
            state[f"{ours}.bias"] = file.take(layer, "bias", (WIDTH,))
    state["pyramid.coarsest.weight"] = kernel(file, "fpn_P6", (3, 3, CHANNELS[-1], WIDTH))
    state["pyramid.coarsest.bias"] = file.take("fpn_P6", "bias", (WIDTH,))
    return state


def _heads(file: KerasFile) -> dict[str, Tensor]:
    """Gates and predictions, from the finest level on.

    The gates' layers carry no level in their names, only Keras' count, which grows with it.
    """
    channel, spatial = file.numbered("dense"), file.numbered("conv2d")
    for kind, found in (("channel", channel), ("spatial", spatial)):
        if len(found) != HEADS:
            raise WeightsError(
                f"{file.path}: has {len(found)} {kind} gates, expected {HEADS}; "
                "only AIHIQnet with its attention module can be imported"
            )
    last = file.layers.get("P0_fc_prediction", [])
    levels = 1 if last and tuple(last[-1].dataset.shape or ()) == (1,) else 5
    state = {}
    for level in range(HEADS):
        ours, predict = f"heads.{level}", f"P{level}_fc_prediction"
        state[f"{ours}.channel.weight"] = file.take(
            channel[level], "kernel", (WIDTH, WIDTH)
        ).T.contiguous()
        state[f"{ours}.channel.bias"] = file.take(channel[level], "bias", (WIDTH,))
        state[f"{ours}.spatial.weight"] = kernel(file, spatial[level], (7, 7, 2, 1))
        state[f"{ours}.predict.weight"] = file.take(
            predict, "kernel", (WIDTH, levels)
        ).T.contiguous()
        state[f"{ours}.predict.bias"] = file.take(predict, "bias", (levels,))
    return state


IMPORTER = Importer(
    model="aihiqnet",
    repository="junyongyou/aihiqnet",
    weights="KonIQ-10k or SPAQ; the file does not say which",
    keras=True,
    read=read,
)
