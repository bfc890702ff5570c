"""Keras 2 weight files (.h5), read with h5py; TensorFlow is not needed.

The layout: the attribute ``layer_names`` lists groups, the attribute ``weight_names`` of each lists
its arrays, in the order in which Keras itself would load them. A whole model saved in one file has
the same under ``model_weights``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from halfsight.models.backbone import WeightsError
from halfsight.weights.importers.base import checked


@dataclass(frozen=True)
class Array:
    """One array of a file.

    Attributes:
        name: layer and full name of the array.
        kind: ``kernel``, ``bias``, ``gamma`` and so on.
        dataset: the h5py dataset, read when asked for.
    """

    name: str
    kind: str
    dataset: Any = field(repr=False)


class KerasFile:
    """The layers of a file by name, in its order; layers without weights are left out."""

    def __init__(self, path: Path, layers: dict[str, list[Array]]) -> None:
        self.path = path
        self.layers = layers
        self._unread = {array.name for arrays in layers.values() for array in arrays}

    def read(self, array: Array, shape: tuple[int, ...]) -> Tensor:
        """Contents of an array, float32.

        Raises:
            WeightsError: if it has another shape, or anything but finite numbers.
        """
        with _reading(self.path):
            found, dtype = tuple(array.dataset.shape or ()), array.dataset.dtype
        if found != shape:  # before reading: a damaged header may claim any size
            raise WeightsError(
                f"{self.path}: {array.name} has shape {found}, expected {shape}; "
                "expected the authors' network, unchanged"
            )
        if dtype.kind != "f":
            raise WeightsError(
                f"{self.path}: {array.name} holds {dtype}, expected floating-point "
                "numbers; get the file again"
            )
        with _reading(self.path):
            numbers = np.asarray(array.dataset[()], dtype=np.float32)
        self._unread.discard(array.name)
        return checked(array.name, torch.from_numpy(numbers.copy()), self.path)

    def take(self, layer: str, kind: str, shape: tuple[int, ...]) -> Tensor:
        """The one array of a kind in a layer.

        Raises:
            WeightsError: if there is none, or as :meth:`read`.
        """
        for array in self.layers.get(layer, ()):
            if array.kind == kind:
                return self.read(array, shape)
        raise WeightsError(
            f"{self.path}: {layer}/{kind} is missing; expected the authors' network, unchanged"
        )

    def numbered(self, stem: str) -> list[str]:
        """Layers that Keras named by itself, ``stem`` or ``stem_7``, in the order of creation."""
        found = []
        for layer in self.layers:
            match = re.fullmatch(rf"{stem}(?:_(\d+))?", layer)
            if match is not None:
                found.append((int(match[1] or 0), layer))
        return [layer for _, layer in sorted(found)]

    def finish(self) -> None:
        """Check that nothing was left unread.

        Raises:
            WeightsError: names the first array that was.
        """
        for arrays in self.layers.values():
            for array in arrays:
                if array.name in self._unread:
                    raise WeightsError(
                        f"{self.path}: {array.name} is not part of the authors' network; "
                        "expected it unchanged"
                    )


@contextmanager
def open_keras(path: Path) -> Iterator[KerasFile]:
    """A Keras weight file, open for the block.

    Raises:
        WeightsError: if h5py is missing, or the file is damaged or of another kind.
    """
    try:
        import h5py
    except ModuleNotFoundError:
        raise WeightsError(
            "reading Keras files needs h5py; run: pip install 'halfsight[keras]'"
        ) from None
    with _reading(path):
        file = h5py.File(path, "r")
    with file:
        with _reading(path):
            root = file.get("model_weights", file)
            names = _names(root, "layer_names")
            if names is None:
                raise WeightsError(
                    f"{path}: has no layer_names, expected a file of Keras 2 (save_weights to .h5)"
                )
            layers = {name: _arrays(root[name], name, path, h5py.Dataset) for name in names}
        yield KerasFile(path, {name: arrays for name, arrays in layers.items() if arrays})


def _arrays(group: Any, layer: str, path: Path, dataset_type: type) -> list[Array]:
    found = []
    for name in _names(group, "weight_names") or ():
        dataset = group[name]
        if not isinstance(dataset, dataset_type):
            raise WeightsError(f"{path}: {name} is not an array; get the file again")
        array: Any = dataset
        if array.external or array.is_virtual or array.file.filename != group.file.filename:
            raise WeightsError(f"{path}: {name} points to another file; get the file again")
        # names begin with that of the layer or of a layer inside it, or with neither
        label = name if name.startswith(f"{layer}/") else f"{layer}/{name}"
        found.append(Array(label.removesuffix(":0"), name.rsplit("/", 1)[-1].split(":")[0], array))
    return found


def _names(group: Any, attribute: str) -> list[str] | None:
    """A list of names; Keras cuts long ones in ``attribute0``, ``attribute1`` and so on."""
    parts: list[Any] = []
    if attribute in group.attrs:
        parts = list(group.attrs[attribute])
    elif f"{attribute}0" in group.attrs:
        count = 0
        while f"{attribute}{count}" in group.attrs:
            parts += list(group.attrs[f"{attribute}{count}"])
            count += 1
    else:
        return None
    return [part.decode() if isinstance(part, bytes) else str(part) for part in parts]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """One line for everything that h5py raises on files that are damaged or of another kind."""
    try:
        yield
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, WeightsError):
            raise
        lines = str(error).strip().splitlines()
        raise WeightsError(
            f"{path}: not a readable Keras HDF5 file ({lines[0][:120] if lines else 'empty'}); "
            "get it again"
        ) from None
