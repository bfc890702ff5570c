"""The file of a budget: head and selector, beside the model they were made for.

``NAME-budget.safetensors`` belongs to ``NAME.safetensors``. It holds the head (``head.*``), the
network that ranks regions (``selector.*``) and the head of the rival that reads the whole
photograph at fewer pixels (``downscaled.*``), which experiments compare with. The backbone is the
model's own; the card keeps the digest of the model's file, and another model is refused.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes
from torch import Tensor, nn

from halfsight.budget import selector as selectors
from halfsight.budget.crops import BudgetError
from halfsight.budget.glance import Glance
from halfsight.budget.policy import Budget, Stopping
from halfsight.budget.scorer import BudgetScorer
from halfsight.budget.thumbnail import ThumbnailNet
from halfsight.models.backbone import WeightsError
from halfsight.models.card import ModelCard
from halfsight.models.triq import TRIQ
from halfsight.outputs import write_atomic
from halfsight.scorer import Scorer
from halfsight.scorer import load as load_full
from halfsight.weights import store

MODEL = "triq-budget"
"""The card's model name. It is not in the registry: without its model such a file is nothing."""


@dataclass(frozen=True)
class BudgetHead:
    """What a budget's file holds, ready to use.

    Attributes:
        net: TRIQ with the model's own backbone and the head trained under masks.
        selector: the network that ranks regions.
        downscaled: TRIQ with the head of the rival, None if the file has none.
        card: where it comes from.
    """

    net: TRIQ = field(repr=False)
    selector: ThumbnailNet = field(repr=False)
    card: ModelCard
    downscaled: TRIQ | None = field(repr=False, default=None)

    @property
    def stopping(self) -> Stopping:
        """The bounds that ``auto`` needs."""
        return Stopping.from_dict(self.card.recipe.get("stopping", {}))

    @property
    def glance(self) -> Glance:
        """At the whole photograph, beside the regions; files without one take none."""
        return Glance.from_dict(self.card.recipe.get("glance", {}))

    @property
    def best_selector(self) -> str:
        """The selector that did best on photographs kept from training."""
        return str(self.card.recipe.get("selector", "learned"))


def head_tensors(net: nn.Module) -> dict[str, Tensor]:
    """Tensors outside the backbone."""
    return {
        name: tensor
        for name, tensor in net.state_dict().items()
        if not name.startswith("backbone.")
    }


def with_own_head(full: TRIQ) -> TRIQ:
    """TRIQ with the same backbone, not a copy, and a head of its own that starts alike."""
    made = copy.copy(full)
    made._modules = {
        name: module if name == "backbone" else copy.deepcopy(module)
        for name, module in full._modules.items()
    }
    made._parameters = {
        name: None if tensor is None else nn.Parameter(tensor.detach().clone())
        for name, tensor in full._parameters.items()
    }
    return made


def path_beside(model: Path) -> Path:
    """Where the budget of a model's weight file lies."""
    return model.with_name(f"{model.stem}-budget.safetensors")


def model_path(name: str | os.PathLike[str]) -> Path:
    """The weight file of a model by name or path.

    Raises:
        BudgetError: for models without such a file.
    """
    text = os.fspath(name)
    if text.endswith(".safetensors"):
        return Path(text)
    found = None if text.endswith(".onnx") else store.embedded(text)
    if found is None:
        raise BudgetError(
            f"got model {text!r}, expected one with a .safetensors file; score it without a budget"
        )
    return found


def save(path: Path, made: BudgetHead) -> ModelCard:
    """Write the file and its card; returns the card with size and digest filled in."""
    parts: dict[str, dict[str, Tensor]] = {
        "head": head_tensors(made.net),
        "selector": dict(made.selector.state_dict()),
    }
    if made.downscaled is not None:
        parts["downscaled"] = head_tensors(made.downscaled)
    state = {
        f"{part}.{name}": tensor.detach().cpu().contiguous()
        for part, tensors in parts.items()
        for name, tensor in tensors.items()
    }
    blob = save_bytes(state, metadata={"model": MODEL, "config": json.dumps(made.card.config)})
    card = made.card.model_copy(
        update={
            "sha256": hashlib.sha256(blob).hexdigest(),
            "bytes": len(blob),
            "parameters": sum(tensor.numel() for tensor in state.values()),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, blob)
    write_atomic(path.with_suffix(".json"), card.model_dump_json(indent=2) + "\n")
    return card


def load_head(path: Path, full: Scorer) -> BudgetHead:
    """A budget's file for a model.

    Raises:
        WeightsError: if it is missing, damaged, or made for another model.
    """
    if not path.is_file():
        raise WeightsError(
            f"{path}: no such file; make it with: halfsight budget train DATASET --model MODEL"
        )
    card = store.read_card(path)
    blob = path.read_bytes()
    if hashlib.sha256(blob).hexdigest() != card.sha256:
        raise WeightsError(
            f"{path}: its SHA-256 is not {card.sha256} as its card says; get it again"
        )
    if card.model != MODEL:
        raise WeightsError(f"{path}: got weights of {card.model}, expected {MODEL}")
    wanted = card.recipe.get("model_sha256")
    if wanted != full.card.sha256:
        raise WeightsError(
            f"{path}: made for the model with SHA-256 {wanted}, got {full.card.sha256}; "
            "make it again with: halfsight budget train"
        )
    try:
        state = load_bytes(blob)
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a safetensors file ({error})") from None
    selector = ThumbnailNet()
    net = with_own_head(full.transformer())
    _fill(net, _part(state, "head"), path)
    _fill(selector, _part(state, "selector"), path)
    rival = None
    if _part(state, "downscaled"):
        rival = with_own_head(full.transformer())
        _fill(rival, _part(state, "downscaled"), path)
        rival.eval()
    return BudgetHead(net.eval(), selector.eval(), card, rival)


def _part(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k.partition(".")[2]: v for k, v in state.items() if k.partition(".")[0] == name}


def _fill(net: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load exactly the tensors outside the backbone."""
    wanted = head_tensors(net)
    for name in sorted(set(wanted) ^ set(state)):
        problem = "is missing" if name in wanted else "is not part of the model"
        raise WeightsError(f"{path}: tensor {name} {problem}")
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape:
            raise WeightsError(
                f"{path}: tensor {name} has shape {tuple(tensor.shape)}, "
                f"expected {tuple(wanted[name].shape)}"
            )
    net.load_state_dict(state, strict=False)


def load(
    name: str | os.PathLike[str] = "triq",
    *,
    budget: str | float = 0.5,
    tolerance: float | None = None,
    selector: str | None = None,
    offline: bool = True,
) -> BudgetScorer:
    """A model that scores photographs from a part of them.

    Args:
        name: a model with a budget beside its weight file.
        budget: a share such as ``0.5``, a number of regions such as ``6``, or ``auto``.
        tolerance: with ``auto``, the largest error against the full score, in its units.
        selector: what chooses the regions; by default what did best in training.
        offline: as in :func:`halfsight.scorer.load`.

    Raises:
        BudgetError: if the budget or the selector makes no sense for the model.
        WeightsError: if the weights are not at hand or damaged.
        UnknownModelError: if nothing is registered under the name.
    """
    asked = Budget.parse(budget, tolerance=tolerance)
    full = load_full(name, offline=offline)
    if not isinstance(full.net, TRIQ):
        raise BudgetError(
            f"got a budget for {full.name}, expected a model with tokens (triq); "
            "score it without a budget"
        )
    head = load_head(path_beside(model_path(name)), full)
    return assemble(full, head, asked, selector=selector)


def assemble(
    full: Scorer, head: BudgetHead, budget: Budget, *, selector: str | None = None
) -> BudgetScorer:
    """A scorer from a model, its budget's file and a budget."""
    chosen = selectors.load(selector or head.best_selector, learned=head.selector)
    return BudgetScorer(
        head.net,
        full.policy,
        head.card,
        selector=chosen,
        budget=budget,
        # the bounds hold for the selector that they were measured with
        stopping=head.stopping if chosen.name == head.best_selector else Stopping({}),
        glance=head.glance,
    )
