"""Training examples: cached features, five-level targets, crops and flips, batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler

from halfsight.datasets.base import Dataset, Sample, five_level_target
from halfsight.training.cache import FeatureCache
from halfsight.training.recipe import Crop


@dataclass(frozen=True)
class Example:
    """One image of one data set, with its target.

    Attributes:
        dataset: index of its data set among the run's sources.
        target: distribution over levels 1..5, shape (5,).
        score: MOS in five-level units.
    """

    dataset: int
    sample: Sample
    target: Tensor
    score: float


def examples(
    dataset: Dataset, index: int, *, level_std: float, repeat: int = 1
) -> tuple[Example, ...]:
    """Examples of a data set, each ``repeat`` times."""
    made = []
    for sample in dataset:
        target = five_level_target(sample, dataset.scale, fixed_std=level_std)
        if sample.mos is None:
            raise ValueError(f"got {sample.id} without a MOS, expected a labelled image")
        made.append(
            Example(
                index,
                sample,
                torch.tensor(target, dtype=torch.float32),
                float(dataset.scale.to_five(sample.mos)),
            )
        )
    return tuple(made) * repeat


class Examples(TorchDataset[tuple[Tensor, Tensor, float, int]]):
    """Features with augmentation that does not change quality: flips, and crops with care.

    An item is asked for as (epoch, position, crop fraction), so that the augmentation depends on
    the seed, the epoch and the position alone; a resumed run repeats the original exactly.
    """

    def __init__(
        self,
        items: tuple[Example, ...],
        cache: FeatureCache,
        datasets: tuple[Dataset, ...],
        *,
        flip: bool,
        seed: int,
    ) -> None:
        self.items = items
        self.cache = cache
        self.datasets = datasets
        self.flip = flip
        self.seed = seed

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: tuple[int, int, float]) -> tuple[Tensor, Tensor, float, int]:
        epoch, position, fraction = key
        item = self.items[position]
        features = self.cache.load(self.datasets[item.dataset], item.sample)
        draw = np.random.default_rng((self.seed, epoch, position))
        height, width = features.shape[1:]
        keep_height, keep_width = round(height * fraction), round(width * fraction)
        top = int(draw.integers(height - keep_height + 1))
        left = int(draw.integers(width - keep_width + 1))
        features = features[:, top : top + keep_height, left : left + keep_width]
        if self.flip and draw.random() < 0.5:
            features = features[:, :, ::-1]
        tensor = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))
        return tensor, item.target, item.score, item.dataset


class GroupedBatches(Sampler[list[tuple[int, int, float]]]):
    """Batches of images of one feature shape, shuffled anew each epoch.

    Crop fractions are drawn once a batch, so that a batch stays rectangular. A last batch of fewer
    than ``smallest`` images joins the one before it: batch normalisation over images needs two.
    """

    def __init__(
        self,
        shapes: list[tuple[int, int]],
        *,
        batch: int,
        crop: Crop,
        seed: int,
        shuffle: bool = True,
        smallest: int = 1,
    ) -> None:
        self.smallest = smallest
        self.shapes = shapes
        self.batch = batch
        self.crop = crop
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def _batches(self) -> list[list[int]]:
        draw = np.random.default_rng((self.seed, self.epoch))
        order = draw.permutation(len(self.shapes)) if self.shuffle else np.arange(len(self.shapes))
        groups: dict[tuple[int, int], list[int]] = {}
        for position in order:
            groups.setdefault(self.shapes[position], []).append(int(position))
        batches = []
        for group in groups.values():
            cut = [group[start : start + self.batch] for start in range(0, len(group), self.batch)]
            if len(cut) > 1 and len(cut[-1]) < self.smallest:
                cut[-2:] = [cut[-2] + cut[-1]]
            batches += cut
        if self.shuffle:
            draw.shuffle(batches)
        return batches

    def __iter__(self) -> Iterator[list[tuple[int, int, float]]]:
        draw = np.random.default_rng((self.seed, self.epoch, 1))
        for batch in self._batches():
            fraction = float(draw.uniform(self.crop.smallest, self.crop.largest))
            yield [(self.epoch, position, fraction) for position in batch]

    def __len__(self) -> int:
        return len(self._batches())
