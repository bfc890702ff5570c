from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.pictures import picture

from halfsight import scorer as scorers
from halfsight.models.backbone import WeightsError
from halfsight.models.card import ModelCard
from halfsight.models.registry import UnknownModelError
from halfsight.scorer import Scorer
from halfsight.weights import store

CONFIG = {"backbone": "tf_efficientnet_lite0", "position_grid": [8, 8], "pool_from": 8}


@pytest.fixture
def saved(scorer: Scorer, tmp_path: Path) -> tuple[Path, ModelCard]:
    head = {id(p) for p in scorer.net.head_parameters()}
    names = {name for name, p in scorer.net.named_parameters() if id(p) in head}
    path = tmp_path / "triq.safetensors"
    card = scorer.card.model_copy(update={"config": CONFIG})
    return path, store.save(path, scorer.net, card, names=names)


def test_a_head_comes_back_on_its_backbone(scorer: Scorer, saved: tuple[Path, ModelCard]) -> None:
    path, card = saved
    assert card.bytes == path.stat().st_size < 1_000_000
    again = scorers.load(path)
    pixels = picture(160, 200)
    assert again.score(pixels) == pytest.approx(scorer.score(pixels), abs=1e-6)
    assert again.card.sha256 == card.sha256


def test_damage_is_noticed(saved: tuple[Path, ModelCard]) -> None:
    path, _ = saved
    blob = bytearray(path.read_bytes())
    blob[len(blob) // 2] ^= 1
    path.write_bytes(blob)
    with pytest.raises(WeightsError, match="SHA-256 is"):
        store.load(path)


def test_missing_files_and_bad_cards(saved: tuple[Path, ModelCard], tmp_path: Path) -> None:
    path, _ = saved
    with pytest.raises(WeightsError, match="needs its card"):
        store.load(tmp_path / "none.safetensors")
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(WeightsError, match="not a model card"):
        store.load(path)


@pytest.mark.parametrize("case", ["missing", "unknown", "shape"])
def test_wrong_tensors_are_named(saved: tuple[Path, ModelCard], case: str) -> None:
    from safetensors.torch import load_file

    path, _ = saved
    state = load_file(path)
    if case == "missing":
        del state["quality_token"]
    elif case == "unknown":
        state["other"] = torch.zeros(1)
    else:
        state["quality_token"] = torch.zeros(1, 1, 7)
    save_file(state, path)
    card_path = path.with_suffix(".json")
    card = json.loads(card_path.read_text())
    card["sha256"] = store.hashlib.sha256(path.read_bytes()).hexdigest()
    card_path.write_text(json.dumps(card))
    wanted = {
        "missing": "quality_token is missing",
        "unknown": "other is not part",
        "shape": r"\(1, 1, 7\), expected \(1, 1, 32\)",
    }[case]
    with pytest.raises(WeightsError, match=wanted):
        store.load(path)


def test_unknown_models_are_guessed_at() -> None:
    with pytest.raises(UnknownModelError, match="did you mean 'triq'"):
        scorers.load("triqq")
