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
    return [card(name).model_dump(mode="json") for name in registry.names()]
