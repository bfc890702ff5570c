from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from halfsight.models import listing, registry
from halfsight.weights import store

ROOT = Path(__file__).parents[2]


def test_all_five_models_have_a_card() -> None:
    cards = {card["model"]: card for card in listing.cards()}
    assert list(cards)[:5] == ["triq", "aihiqnet", "koncept512", "dbcnn", "swin_iqa"]
    for name in registry.BUILT_IN:
        card = cards[name]
        assert card["title"]
        assert card["paper"]
        assert card["licence"]
        assert card["reading"]
        trained = store.embedded(name) is not None
        assert card["status"] == ("trained here" if trained else "not trained here")
        assert bool(card["figures"]) == trained
    assert cards["swin_iqa"]["status"] == "not trained here"


@pytest.mark.parametrize("name", [n for n in registry.BUILT_IN if store.embedded(n)])
def test_embedded_weights_say_how_they_were_made(name: str) -> None:
    card = listing.card(name)
    assert card.data
    assert card.command.startswith(f"halfsight train {name} ")
    assert card.sha256
    assert card.seed is not None
    assert (card.scale.min, card.scale.max) == (1, 5)
    assert {(one.dataset, one.split) for one in card.figures} >= {("clive", "val")}
    for figure in card.figures:  # nothing is reported on what was trained on
        assert figure.split in ("val", "test")
    used = {source["name"]: source["splits"] for source in card.recipe["sources"]}
    assert all(splits == ["train"] for splits in used.values())
    assert card.bytes < 5_000_000 or name == "triq"


def test_the_page_of_the_docs_is_written_from_the_cards() -> None:
    path = ROOT / "scripts" / "models_page.py"
    spec = importlib.util.spec_from_file_location("models_page", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    written = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert written == script.page(), "run: python scripts/models_page.py"
