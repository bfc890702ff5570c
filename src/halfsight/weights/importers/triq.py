"""TRIQ: the authors' ``TRIQ.h5`` (junyongyou/triq, Keras)."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from halfsight.models.backbone import KERAS_RESNET50, WeightsError
from halfsight.models.card import Scale
from halfsight.weights.importers.base import Imported, Importer
from halfsight.weights.importers.keras import Array, KerasFile, open_keras
from halfsight.weights.importers.keras_resnet import read_resnet50

POSITIONS = 193
"""Rows of the table of positions: the quality token and 12x16 tokens."""
WIDTH, FEED_FORWARD, HEAD, LAYERS = 32, 64, 64, 2
LIMITS = {
    "truncate": "Positions are truncated as in the authors' code, and photographs of more than 192 "
    "tokens, such as 640x480, refused; import with --positions interpolate to take them.",
    "interpolate": "Positions are interpolated: on other sizes than 1024x768 and 512x384 the "
    "answers are not those of the authors' code, which truncates.",
}


def read(path: Path, *, positions: str = "truncate") -> Imported:
    """The authors' TRIQ on ResNet-50, five levels or one score.

    Args:
        path: the file.
        positions: ``truncate`` takes the table's first rows on smaller photographs and refuses
            larger ones, as the authors' code; ``interpolate`` resizes the table instead.

    Raises:
        WeightsError: if it is damaged, of another shape or of another network.
    """
    with open_keras(path) as file:
        holders = [name for name, arrays in file.layers.items() if _named(arrays, "pos_emb")]
        if len(holders) != 1:
            raise WeightsError(
                f"{path}: has no table of positions (pos_emb), expected TRIQ's transformer; "
                "a backbone's weights alone or another model's cannot be imported as triq"
            )
        state = _transformer(file, file.layers[holders[0]])
        backbone = read_resnet50(file)
        file.finish()
    state |= {f"backbone.net.{name}": tensor for name, tensor in backbone.items()}
    levels = len(state["head_output.bias"])
    return Imported(
        config={
            "backbone": KERAS_RESNET50,
            "levels": levels,
            "positions": positions,
            "gelu": "tanh",
        },
        state=state,
        scale=Scale(min=1, max=5),
        limits=f"{LIMITS[positions]} Photographs above 1024x768 pixels are reduced to that area.",
    )


def _named(arrays: list[Array], kind: str) -> Array | None:
    return next((array for array in arrays if array.kind == kind), None)


def _transformer(file: KerasFile, arrays: list[Array]) -> dict[str, Tensor]:
    """Everything after the backbone.

    The layers' names count all layers of the session that made them, so they say nothing; their
    order in the file is the one in which the network makes them, and by which Keras loads them.
    """
    state = {}
    for kind, rows, ours in (
        ("pos_emb", POSITIONS, "positions"),
        ("quality_emb", 1, "quality_token"),
    ):
        array = _named(arrays, kind)
        if array is None:
            raise WeightsError(f"{file.path}: {kind} is missing; expected TRIQ's transformer")
        state[ours] = file.read(array, (1, rows, WIDTH))
    rest = [array for array in arrays if array.kind not in ("pos_emb", "quality_emb")]
    wanted = _order(_levels(rest))
    for number, (ours, kind, shape) in enumerate(wanted):
        if number >= len(rest) or rest[number].kind != kind:
            found = rest[number].name if number < len(rest) else "the end of the list"
            raise WeightsError(
                f"{file.path}: array {number + 1} of the transformer is {found}, expected a {kind} "
                f"of shape {shape}; expected {LAYERS} encoder layers as the authors'"
            )
        tensor = file.read(rest[number], shape)
        if kind == "kernel":
            tensor = tensor.T.contiguous() if tensor.ndim == 2 else tensor.permute(3, 2, 0, 1)
        state[ours] = tensor.contiguous()
    return state


def _levels(arrays: list[Array]) -> int:
    """Length of the last bias, 5 unless the head is a scalar."""
    shape = tuple(arrays[-1].dataset.shape or ()) if arrays else ()
    return 1 if shape == (1,) else 5


def _order(levels: int) -> list[tuple[str, str, tuple[int, ...]]]:
    """Our name, kind and shape of every array, in the order of the file."""
    order: list[tuple[str, str, tuple[int, ...]]] = []

    def dense(ours: str, *shape: int) -> None:
        order.append((f"{ours}.weight", "kernel", shape))
        order.append((f"{ours}.bias", "bias", shape[-1:]))

    dense("project", 1, 1, 2048, WIDTH)
    for layer in range(LAYERS):
        for part in ("query", "key", "value", "output"):
            dense(f"encoder.{layer}.attention.{part}", WIDTH, WIDTH)
        dense(f"encoder.{layer}.expand", WIDTH, FEED_FORWARD)
        dense(f"encoder.{layer}.contract", FEED_FORWARD, WIDTH)
        for norm in ("norm1", "norm2"):
            order.append((f"encoder.{layer}.{norm}.weight", "gamma", (WIDTH,)))
            order.append((f"encoder.{layer}.{norm}.bias", "beta", (WIDTH,)))
    dense("head_hidden", WIDTH, HEAD)
    dense("head_output", HEAD, levels)
    return order


IMPORTER = Importer(
    model="triq",
    repository="junyongyou/triq",
    weights="KonIQ-10k and LIVE In the Wild, as the authors' README says of TRIQ.h5",
    keras=True,
    read=read,
    options={"positions": ("truncate", "interpolate")},
)
