"""What a run starts from: pretrained weights, none, or those of earlier runs.

Source of the mean of several runs: Wortsman et al., Model soups, ICML 2022.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

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
        RecipeError: if an earlier run's file is not given, or of another model or backbone.
        WeightsError: if weights are not to be had, damaged, or of another shape.
    """
    if recipe.start_from == "imagenet":
        return Start(net.load_backbone(offline=offline), "imagenet")
    if recipe.start_from == "scratch":
        return Start("", "scratch", frozenset(net.state_dict()))
    if recipe.earlier == ("earlier",):
        raise RecipeError(
            "the recipe goes on from an earlier run; add --start-from with its weight file, "
            f"such as RUN/{recipe.model}.safetensors"
        )
    paths = [Path(one) for one in recipe.earlier]
    for path in paths:
        if path.suffix != ".safetensors":
            raise RecipeError(
                f"got start_from {str(path)!r}, expected imagenet, scratch or .safetensors "
                "files; import the authors' files first (halfsight weights import)"
            )
    runs = [_earlier(net, path, recipe.model, offline=offline) for path in paths]
    if len({run.backbone for run in runs}) > 1:
        raise RecipeError("got weight files on different backbones, expected several runs on one")
    net.load_state_dict(_mean([run.state for run in runs]))
    return Start(
        runs[0].backbone,
        " + ".join(run.said for run in runs),
        frozenset().union(*(run.held for run in runs)),
    )


@dataclass(frozen=True)
class _Earlier:
    state: dict[str, Tensor]
    backbone: str
    said: str
    held: frozenset[str]


def _earlier(net: QualityNet, path: Path, model: str, *, offline: bool) -> _Earlier:
    earlier, card = store.load(path, offline=offline)
    if card.model != model:
        raise RecipeError(f"{path}: got weights of {card.model}, expected {model}")
    load_exactly(net, earlier.state_dict(), path)
    with safe_open(path, framework="pt") as file:
        held = frozenset(file.keys())
    return _Earlier(
        earlier.state_dict(), card.backbone, f"{path.name}, SHA-256 {card.sha256}", held
    )


def _mean(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of each tensor; counters are taken from the first."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(first.dtype)
        if first.is_floating_point()
        else first
        for name, first in states[0].items()
    }
