"""Features of a frozen network part, computed once an image and kept on disk.

One ``.npy`` file (float16, shape (C, h, w)) an image, under a folder named by everything the
features depend on: the network's frozen weights, the stage and the input policy. A run that is
killed goes on where it stopped; each file is written beside its place and renamed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch

from halfsight import images, outputs
from halfsight.datasets.base import Dataset, Sample
from halfsight.models.base import QualityNet, tensor_names
from halfsight.models.inputs import InputPolicy

Progress = Callable[[int, int], None]


@runtime_checkable
class Summarised(Protocol):
    """A network whose head reads less than the feature map, so that less need be kept."""

    def summary(self, features: torch.Tensor, stage: int) -> torch.Tensor:
        """What ``rest`` needs of what ``stem`` gave, (N, C, h, w), in as few numbers."""


def store(path: Path, features: npt.NDArray[np.float16]) -> None:
    """Write an array, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with outputs.atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, features)


class FeatureCache:
    """Reads cached features, computing what is missing.

    Args:
        net: the network whose ``stem`` is cached; that part's weights must stay as they are.
            Networks that differ after it alone share what is cached.
        policy: sizes and normalisation of the network's input.
        folder: where the cache lies.
        stage: stages in the frozen part; None caches nothing and gives normalised images.
    """

    def __init__(
        self, net: QualityNet, policy: InputPolicy, folder: Path, *, stage: int | None
    ) -> None:
        self.net = net
        self.policy = policy
        self.stage = stage
        self.folder = folder / self._key() if stage is not None else folder

    def _key(self) -> str:
        content: list[object] = [self.policy.to_dict(), self.stage]
        if isinstance(self.net, Summarised):
            content.append(type(self.net).__name__)
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        assert self.stage is not None
        late = self.net.backbone_parameters(self.stage)
        # a module's buffers, such as running statistics, are as free as its parameters
        free = tensor_names(self.net, (*self.net.head_parameters(), *late), buffers=True)
        for name, tensor in self.net.state_dict().items():
            if name not in free:
                digest.update(name.encode())
                digest.update(tensor.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def path(self, dataset: Dataset, sample: Sample) -> Path:
        """Where the sample's features lie."""
        return self.folder / dataset.name / f"{sample.id}.npy"

    def prepare(self, sample: Sample) -> torch.Tensor:
        """The sample as the network's input (1, 3, H, W)."""
        return self.policy.prepare(images.read(sample.path).pixels).tensor

    @torch.inference_mode()
    def compute(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float16]:
        """Features (C, h, w) of a photograph's pixels (height, width, 3)."""
        assert self.stage is not None
        was_training = self.net.training
        self.net.eval()
        try:
            features = self.net.stem(self.policy.prepare(pixels).tensor, self.stage)
            if isinstance(self.net, Summarised):
                features = self.net.summary(features, self.stage)
        finally:
            self.net.train(was_training)
        kept: npt.NDArray[np.float16] = features[0].to(torch.float16).numpy()
        return kept

    def fill(
        self, dataset: Dataset, samples: Sequence[Sample], *, progress: Progress | None = None
    ) -> int:
        """Compute what is missing; returns the number of images computed."""
        if self.stage is None:
            return 0
        missing = [s for s in samples if not self.path(dataset, s).exists()]
        for done, sample in enumerate(missing, 1):
            store(self.path(dataset, sample), self.compute(images.read(sample.path).pixels))
            if progress is not None:
                progress(done, len(missing))
        return len(missing)

    def shape(self, dataset: Dataset, sample: Sample) -> tuple[int, int]:
        """Height and width of what :meth:`load` gives."""
        if self.stage is None:
            height, width = images.read(sample.path).pixels.shape[:2]
            return self.policy.target_size(height, width)
        stored = np.load(self.path(dataset, sample), mmap_mode="r")
        return int(stored.shape[1]), int(stored.shape[2])

    def load(self, dataset: Dataset, sample: Sample) -> npt.NDArray[np.floating]:
        """Features (C, h, w), or the normalised image where nothing is cached."""
        if self.stage is None:
            return self.prepare(sample)[0].numpy()
        loaded: npt.NDArray[np.floating] = np.load(self.path(dataset, sample))
        return loaded
