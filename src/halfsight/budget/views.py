"""Features of a photograph seen whole, in blocks, and downscaled; kept on disk.

One ``.npz`` a photograph and size, under a folder named by everything the features depend on. A
run that is killed goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from halfsight import images, outputs
from halfsight.budget.crops import CONTEXT, Layout, Pixels, block_features
from halfsight.budget.thumbnail import thumbnail
from halfsight.datasets.base import Dataset, DatasetError, five_level_target
from halfsight.grid import RegionGrid
from halfsight.models.inputs import InputPolicy
from halfsight.models.triq import TRIQ
from halfsight.scorer import Scorer

View = Literal["full", "crops", "downscaled"]
VIEWS: tuple[View, ...] = ("full", "crops", "downscaled")
Progress = Callable[[int, int], None]

HALF = 0.5
"""Share of the pixels that the downscaled view keeps: the cost of six regions of twelve."""


@dataclass(frozen=True)
class Item:
    """One photograph of a data set at one size.

    Attributes:
        name: data set and id.
        path: the file.
        target: distribution over the five levels, shape (5,).
        mos: in five-level units.
        size: (height, width) it is brought to, None as it is.
    """

    name: str
    path: Path
    target: tuple[float, ...] = field(repr=False)
    mos: float
    size: tuple[int, int] | None = None

    def pixels(self, policy: InputPolicy) -> Pixels:
        """At the network's input size."""
        pixels = np.asarray(images.read(self.path).pixels)
        return policy.resize(pixels if self.size is None else framed(pixels, self.size))


def items_of(
    dataset: Dataset, *, size: tuple[int, int] | None = None, level_std: float = 0.7
) -> list[Item]:
    """The labelled photographs of a data set.

    Args:
        dataset: photographs with a MOS.
        size: (height, width) to bring them to, None as they are.
        level_std: standard deviation, in levels, of the target of sets that state none.
    """
    made = []
    for sample in dataset:
        if sample.mos is None:
            raise DatasetError(f"got {sample.id} without a MOS, expected a labelled photograph")
        target = five_level_target(sample, dataset.scale, fixed_std=level_std)
        mos = float(dataset.scale.to_five(sample.mos))
        made.append(
            Item(f"{dataset.name}/{sample.id}", sample.path, tuple(map(float, target)), mos, size)
        )
    return made


def framed(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """The largest centred part of a photograph with the proportions of ``size``, resized to it.

    Args:
        pixels: uint8 (H, W, 3).
        size: (height, width); turned to a portrait photograph.
    """
    height, width = pixels.shape[:2]
    tall, wide = size if (height > width) == (size[0] > size[1]) else size[::-1]
    scale = min(height / tall, width / wide)
    keep_height, keep_width = round(tall * scale), round(wide * scale)
    top, left = (height - keep_height) // 2, (width - keep_width) // 2
    part = np.ascontiguousarray(pixels[top : top + keep_height, left : left + keep_width])
    if part.shape[:2] == (tall, wide):
        return part
    return np.asarray(Image.fromarray(part).resize((wide, tall), Image.Resampling.BICUBIC))


def downscaled(pixels: Pixels, share: float) -> Pixels:
    """A photograph reduced to a share of its pixels, proportions kept (bicubic, antialiased)."""
    factor = math.sqrt(share)
    size = round(pixels.shape[1] * factor), round(pixels.shape[0] * factor)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def crop_map(net: TRIQ, policy: InputPolicy, pixels: Pixels, layout: Layout) -> Tensor:
    """Features (C, h, w) of all blocks, each read in a window of its own, put where they belong.

    A last row or column that pooling leaves out is zero.
    """
    whole = torch.zeros(net.backbone.channels, *layout.features)
    for region in range(len(layout.grid)):
        top, left, bottom, right = (edge * layout.scale for edge in layout.spans[region])
        block = block_features(net, policy, pixels, layout, [region])
        whole[:, top:bottom, left:right] = block[region]
    return whole


@dataclass(frozen=True)
class ViewCache:
    """Reads the views of photographs, computing what is missing.

    Attributes:
        full: the model; its backbone must stay as it is.
        folder: where the files lie.
        grid: the regions of a landscape photograph.
    """

    full: Scorer = field(repr=False)
    folder: Path
    grid: RegionGrid = field(default_factory=RegionGrid)

    @cached_property
    def place(self) -> Path:
        """The folder of this backbone's features."""
        net = self.full.transformer()
        known = [self.full.policy.to_dict(), str(self.grid), net.config.pool_from, HALF, CONTEXT]
        digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
        for name, tensor in net.backbone.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().numpy().tobytes())
        return self.folder / digest.hexdigest()[:16]

    def path(self, item: Item) -> Path:
        """Where an item's views lie."""
        size = "native" if item.size is None else f"{item.size[1]}x{item.size[0]}"
        return self.place / size / f"{item.name}.npz"

    @torch.inference_mode()
    def fill(self, items: Sequence[Item], *, progress: Progress | None = None) -> int:
        """Compute what is missing; returns how many photographs that were."""
        net, policy = self.full.transformer(), self.full.policy
        missing = [item for item in items if not self.path(item).exists()]
        for done, item in enumerate(missing, 1):
            pixels = item.pixels(policy)
            layout = self.layout(pixels)
            small = policy.normalise(downscaled(pixels, HALF))
            views = {
                "full": net.backbone(policy.normalise(pixels))[0],
                "crops": crop_map(net, policy, pixels, layout),
                "downscaled": net.backbone(small)[0],
            }
            arrays = {name: view.to(torch.float16).numpy() for name, view in views.items()}
            arrays["thumbnail"] = thumbnail(pixels, layout.grid)
            arrays["size"] = np.array(pixels.shape[:2])
            path = self.path(item)
            path.parent.mkdir(parents=True, exist_ok=True)
            with outputs.atomic_path(path) as temporary, temporary.open("wb") as stream:
                np.savez(stream, **arrays)
            if progress is not None:
                progress(done, len(missing))
        return len(missing)

    def layout(self, pixels: Pixels) -> Layout:
        """The regions of pixels at the network's input size."""
        return Layout.of(self.full.transformer(), pixels.shape[0], pixels.shape[1], self.grid)

    def layout_of(self, item: Item) -> Layout:
        """The regions of a cached item."""
        height, width = (int(side) for side in self.array(item, "size"))
        return Layout.of(self.full.transformer(), height, width, self.grid)

    def array(self, item: Item, name: str) -> npt.NDArray[np.generic]:
        """One array of an item: a view, ``thumbnail`` or ``size``."""
        with np.load(self.path(item)) as stored:
            found: npt.NDArray[np.generic] = stored[name]
        return found

    def features(self, items: Sequence[Item], view: View) -> Tensor:
        """Features (N, C, h, w), float32, of items of one size."""
        loaded = [torch.from_numpy(np.asarray(self.array(item, view))) for item in items]
        return torch.stack(loaded).float()
