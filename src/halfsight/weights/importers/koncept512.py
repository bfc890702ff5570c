"""KonCept512: the PyTorch port's ``KonCept512.pth`` (ZhengyuZhao/koniq-PyTorch)."""

from __future__ import annotations

from pathlib import Path

import torch

from halfsight.models import registry
from halfsight.models.card import Scale
from halfsight.weights.importers.base import Imported, Importer, read_tensors, renamed

CHILDREN = (
    "conv2d_1a",
    "conv2d_2a",
    "conv2d_2b",
    "maxpool_3a",
    "conv2d_3b",
    "conv2d_4a",
    "maxpool_5a",
    "mixed_5b",
    "repeat",
    "mixed_6a",
    "repeat_1",
    "mixed_7a",
    "repeat_2",
    "block8",
    "conv2d_7b",
)
"""Parts of Inception-ResNet-v2, which the port knows by their numbers."""


def read(path: Path) -> Imported:
    """The port's KonCept512, which averages the upper left 8x8 of its 10x14 feature map.

    Raises:
        WeightsError: if it is damaged, of another shape or of another network.
    """
    config = {"pool": "corner"}
    with torch.device("meta"):
        wanted = registry.entry("koncept512").build(**config).state_dict()
    names = {}
    for ours in wanted:
        part, _, rest = ours.removeprefix("backbone.net.").partition(".")
        names[ours] = f"fc.{rest}" if part == "head" else f"base.{CHILDREN.index(part)}.{rest}"
    return Imported(
        config=config,
        state=renamed(read_tensors(path), wanted, names, path),
        scale=Scale(min=1, max=100),
        limits="Photographs of any size are stretched to 512x384. As in the port, whose pooling is "
        "narrower than its feature map, the right and the lower edge do not count.",
    )


IMPORTER = Importer(
    model="koncept512",
    repository="ZhengyuZhao/koniq-PyTorch",
    weights="KonIQ-10k at 512x384, MOS 1 to 100",
    keras=False,
    read=read,
)
