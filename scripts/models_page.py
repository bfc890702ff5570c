"""Write docs/models.md from the cards, so that it cannot drift: python scripts/models_page.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halfsight.models import listing, registry
from halfsight.models.card import ModelCard

PAGE = Path(__file__).resolve().parents[1] / "docs" / "models.md"

HEAD = """# Models

This page is written from the models' cards by `python scripts/models_page.py`; do not edit it.
`halfsight models --json` prints the same cards.

Figures are agreement with mean opinion scores on images that were neither trained on nor used to
choose anything, with 95 % bootstrap intervals. The command is
`halfsight evaluate MODEL DATASET --root DIR --split SPLIT`.
"""


def figures(card: ModelCard) -> list[str]:
    """A table of what was measured."""
    if not card.figures:
        return []
    rows = [
        "| data set | part | images | PLCC | SROCC | KROCC | RMSE (levels) | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in card.figures:
        plcc, srocc = one.plcc_interval, one.srocc_interval
        rows.append(
            f"| {one.dataset} | {one.split} | {one.n} | "
            f"{one.plcc:.3f} [{plcc[0]:.3f}, {plcc[1]:.3f}] | "
            f"{one.srocc:.3f} [{srocc[0]:.3f}, {srocc[1]:.3f}] | "
            f"{one.krocc:.3f} | {one.rmse:.3f} | {one.note} |"
        )
    return [*rows, ""]


def facts(card: ModelCard) -> list[str]:
    """What the card says, one line a fact; what it does not say is left out."""
    known: list[tuple[str, Any]] = [
        ("Status", card.status),
        ("Paper", card.paper),
        ("Licence", card.licence),
        ("Our reading", card.reading),
        ("Recipe", card.recipe.get("origin", "")),
        ("Trained on", "; ".join(card.data)),
        ("Made again by", f"`{card.command}`" if card.command else ""),
        ("Options", ", ".join(f"{k} {v}" for k, v in card.config.items())),
        ("Scale", f"{card.scale.min:g} (worst) to {card.scale.max:g} (best)"),
        ("Parameters", f"{card.parameters:,}" if card.parameters else ""),
        ("The file holds", f"{card.tensors}, {card.bytes / 1e6:.2f} MB" if card.bytes else ""),
        ("Backbone", card.backbone),
        ("Made on", card.date),
        ("Limits", card.limits),
    ]
    return [f"- **{name}**: {value}" for name, value in known if value]


def page() -> str:
    """The page as text."""
    parts = [HEAD]
    for name in registry.BUILT_IN:
        card = listing.card(name)
        parts += [f"## {card.title} (`{name}`)", "", *figures(card), *facts(card), ""]
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
