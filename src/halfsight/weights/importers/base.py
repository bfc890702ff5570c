"""What a reader of authors' files gives, and the checks that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from halfsight.models.backbone import WeightsError
from halfsight.models.card import Scale
from halfsight.models.dbcnn import read_state_dict

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Imported:
    """An authors' file in our names.

    Attributes:
        config: options of the model's constructor that make it the authors'.
        state: tensors by our names, all that the model has but for counters of batches.
        scale: what the scores mean, as far as the authors say.
        limits: what a user of the weights must know, for the card.
    """

    config: dict[str, Any]
    state: dict[str, Tensor] = field(repr=False)
    scale: Scale
    limits: str = ""


@dataclass(frozen=True)
class Importer:
    """How the authors' file of one model is read.

    Attributes:
        model: name in the registry.
        repository: where the authors publish code and the link to the file.
        weights: what the authors say the file was trained on.
        keras: whether it is a Keras HDF5 file; a PyTorch file otherwise.
        read: path and options to the file's contents; raises :class:`WeightsError`.
        options: names of the options that ``read`` takes, with their values, the default first.
    """

    model: str
    repository: str
    weights: str
    keras: bool
    read: Callable[..., Imported]
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a PyTorch file by name, without the ``module.`` of parallel training.

    Raises:
        WeightsError: if it is damaged, or holds anything but tensors by name.
    """
    try:
        return read_state_dict(path)
    except WeightsError:
        raise
    except Exception as error:  # on damaged bytes the unpickler fails in any way there is
        raise WeightsError(
            f"{path}: not a PyTorch file of tensors ({type(error).__name__}); get it again"
        ) from None


def checked(name: str, tensor: Tensor, path: Path) -> Tensor:
    """A tensor as float32, dense and finite.

    Raises:
        WeightsError: if it holds anything but finite numbers.
    """
    if tensor.is_meta or tensor.layout != torch.strided or not tensor.is_floating_point():
        kind = "no numbers" if tensor.is_meta else f"{tensor.dtype} ({tensor.layout})"
        raise WeightsError(
            f"{path}: {name} holds {kind}, expected floating-point numbers; get the file again"
        )
    numbers = tensor.detach().to(torch.float32)
    if not bool(numbers.isfinite().all()):
        raise WeightsError(
            f"{path}: {name} holds NaN or infinite values; the file is damaged or its training "
            "diverged: get it again"
        )
    return numbers


def renamed(
    stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor], names: Mapping[str, str], path: Path
) -> dict[str, Tensor]:
    """Tensors of a PyTorch file under our names.

    Counters of batches, which scoring does not use and old files lack, are left out.

    Args:
        stored: tensors by the authors' names.
        wanted: state dict of the network that is to hold them.
        names: our name to the authors', for every tensor of ``wanted``.
        path: the file, for messages.

    Raises:
        WeightsError: names the first tensor that is missing, of another shape or too many.
    """
    state = {}
    for ours, like in wanted.items():
        theirs = names[ours]
        if ours.endswith("num_batches_tracked"):
            continue
        if theirs not in stored:
            raise WeightsError(f"{path}: tensor {theirs} is missing; expected the authors' network")
        tensor = stored[theirs]
        if tensor.shape != like.shape:
            raise WeightsError(
                f"{path}: {theirs} has shape {tuple(tensor.shape)}, expected {tuple(like.shape)}; "
                "expected the authors' network, unchanged"
            )
        state[ours] = checked(theirs, tensor, path)
    known = set(names.values())
    for theirs in stored:
        if theirs not in known:
            raise WeightsError(
                f"{path}: {theirs} is not part of the authors' network; expected it unchanged"
            )
    return state
