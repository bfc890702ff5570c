"""Weights on disk: a safetensors file and its card, the digest checked at load.

A file holds only the tensors that training changed; the rest of the backbone comes from where its
card says. The card lies beside the file as ``NAME.json``.
"""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes
from torch import Tensor

from halfsight.models import registry
from halfsight.models.backbone import WeightsError
from halfsight.models.base import QualityNet
from halfsight.models.card import Figure, ModelCard
from halfsight.outputs import write_atomic


def embedded(name: str) -> Path | None:
    """The weight file that ships with the package for a model, or None."""
    path = Path(str(resources.files("halfsight.weights") / "files" / f"{name}.safetensors"))
    return path if path.is_file() else None


def read_card(weights: Path) -> ModelCard:
    """The card beside a weight file.

    Raises:
        WeightsError: if it is missing or not a card.
    """
    path = weights.with_suffix(".json")
    try:
        return ModelCard.model_validate_json(path.read_bytes())
    except OSError as error:
        raise WeightsError(
            f"{path}: {error.strerror or error}; a weight file needs its card beside it"
        ) from None
    except ValidationError as error:
        raise WeightsError(
            f"{path}: not a model card ({error.errors()[0]['msg']}); make the file again"
        ) from None


def save(weights: Path, net: QualityNet, card: ModelCard, *, names: set[str]) -> ModelCard:
    """Write the named tensors and the card; returns the card with size and digest filled in."""
    state = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in net.state_dict().items()
        if name in names
    }
    blob = save_bytes(state, metadata={"model": card.model, "config": json.dumps(card.config)})
    finished = card.model_copy(
        update={
            "sha256": hashlib.sha256(blob).hexdigest(),
            "bytes": len(blob),
            "parameters": sum(p.numel() for p in net.parameters()),
        }
    )
    write_atomic(weights, blob)
    write_atomic(weights.with_suffix(".json"), finished.model_dump_json(indent=2) + "\n")
    return finished


def record(weights: Path, figure: Figure) -> ModelCard:
    """Write measured figures into the card; those of the same data set and split are replaced."""
    card = read_card(weights)
    others = tuple(
        one for one in card.figures if (one.dataset, one.split) != (figure.dataset, figure.split)
    )
    updated = card.model_copy(update={"figures": (*others, figure)})
    write_atomic(weights.with_suffix(".json"), updated.model_dump_json(indent=2) + "\n")
    return updated


def load(weights: Path, *, offline: bool = True) -> tuple[QualityNet, ModelCard]:
    """A network with its weights, in evaluation mode, and its card.

    Raises:
        WeightsError: if the file is missing, damaged, or of another shape than the model.
    """
    card = read_card(weights)
    try:
        blob = weights.read_bytes()
    except OSError as error:
        raise WeightsError(f"{weights}: {error.strerror or error}") from None
    digest = hashlib.sha256(blob).hexdigest()
    if digest != card.sha256:
        raise WeightsError(
            f"{weights}: SHA-256 is {digest}, expected {card.sha256} as its card says; "
            "the file is damaged or of another version: get it again"
        )
    try:
        state = load_bytes(blob)
    except SafetensorError as error:
        raise WeightsError(f"{weights}: not a safetensors file ({error})") from None
    net = registry.entry(card.model).build(**card.config)
    if set(net.state_dict()) - set(state):
        net.load_backbone(offline=offline)
    _load_strictly(net, state, weights)
    return net.eval(), card


def _load_strictly(net: QualityNet, state: dict[str, Tensor], weights: Path) -> None:
    """Load ``state``; everything but backbone tensors must be in it, with the model's shapes."""
    wanted = net.state_dict()
    head = {id(parameter) for parameter in net.head_parameters()}
    needed = {name for name, parameter in net.named_parameters() if id(parameter) in head}
    for name in sorted(needed - set(state)):
        raise WeightsError(f"{weights}: tensor {name} is missing")
    for name, tensor in state.items():
        if name not in wanted:
            raise WeightsError(f"{weights}: tensor {name} is not part of the model")
        if wanted[name].shape != tensor.shape:
            raise WeightsError(
                f"{weights}: tensor {name} has shape {tuple(tensor.shape)}, "
                f"expected {tuple(wanted[name].shape)}"
            )
    net.load_state_dict(state, strict=False)
