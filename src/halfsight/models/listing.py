"""The cards of all registered models, with or without weights at hand."""

from __future__ import annotations

from typing import Any

from halfsight.models import registry
from halfsight.models.card import ModelCard, Scale
from halfsight.weights import store


def card(name: str) -> ModelCard:
    """The card of a model: that of its embedded weights, or one that says there are none."""
    path = store.embedded(name)
    if path is not None:
        return store.read_card(path)
    entry = registry.entry(name)
    return ModelCard(
        model=name,
        title=entry.title,
        status="not trained here",
        paper=entry.paper,
        licence=entry.licence,
        scale=Scale(min=1, max=5),
        reading=entry.reading,
        tensors="none: train it, or import the authors' file",
    )


def cards() -> list[dict[str, Any]]:
    """All cards as plain values, for ``halfsight models --json``."""
    return [_added(name) or card(name).model_dump(mode="json") for name in registry.names()]


def _added(name: str) -> dict[str, Any] | None:
    """What is known of another package's finished scorer without loading it; None for the rest."""
    point = registry.provider(name)
    if point is None:
        return None
    try:
        if registry.ready(name) is None:
            return None
        tensors = "made when it is used"
    except registry.UnknownModelError as error:
        tensors = str(error)
    package = point.dist
    title = f"{package.name} {package.version}" if package else point.value
    licence = ""
    if package is not None and "License-Expression" in package.metadata:
        licence = str(package.metadata["License-Expression"])
    known = ModelCard(
        model=name,
        title=f"of {title}",
        status="user's own",
        paper="",
        licence=licence,
        scale=Scale(min=0, max=0),
        tensors=tensors,
    )
    return {**known.model_dump(mode="json"), "scale": None}  # only the scorer itself knows
