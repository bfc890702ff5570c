"""What a run starts from: pretrained weights, none, or those of an earlier run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from halfsight.models.base import QualityNet
from halfsight.models.packaged import load_exactly
from halfsight.training.recipe import Recipe, RecipeError
from halfsight.weights import store


@dataclass(frozen=True)
class Start:
    """How a network got the weights it has before training.

    Attributes:
        backbone: where the tensors come from that a weight file need not hold.
        said: what the card says of it.
        held: names of the tensors a weight file has to hold, trained further or not.
    """

    backbone: str
    said: str
    held: frozenset[str] = frozenset()


def begin(net: QualityNet, recipe: Recipe, *, offline: bool) -> Start:
    """Give a network the weights that its recipe starts from.

    Raises:
        RecipeError: if the earlier run's file is not given, or of another model.
        WeightsError: if weights are not to be had, damaged, or of another shape.
    """
    if recipe.start_from == "imagenet":
        return Start(net.load_backbone(offline=offline), "imagenet")
    if recipe.start_from == "scratch":
        return Start("", "scratch", frozenset(net.state_dict()))
    if recipe.start_from == "earlier":
        raise RecipeError(
            "the recipe goes on from an earlier run; add --start-from with its weight file, "
            f"such as RUN/{recipe.model}.safetensors"
        )
    path = Path(recipe.start_from)
    if path.suffix != ".safetensors":
        raise RecipeError(
            f"got start_from {recipe.start_from!r}, expected imagenet, scratch or a .safetensors "
            "file; import the authors' files first (halfsight weights import)"
        )
    earlier, card = store.load(path, offline=offline)
    if card.model != recipe.model:
        raise RecipeError(f"{path}: got weights of {card.model}, expected {recipe.model}")
    load_exactly(net, earlier.state_dict(), path)
    with safe_open(path, framework="pt") as file:
        held = frozenset(file.keys())
    return Start(card.backbone, f"{path.name}, SHA-256 {card.sha256}", held)
