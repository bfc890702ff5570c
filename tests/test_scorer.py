from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.pictures import Pixels, picture

from halfsight import coalitions, images
from halfsight.explanation import explain
from halfsight.grid import GridError, RegionGrid
from halfsight.importance import CRITERIA, CriterionError
from halfsight.masking.base import token_masks
from halfsight.models.base import mean_level
from halfsight.outputs import OutputError
from halfsight.scorer import Scorer


def test_one_score_from_path_array_image_and_photograph(
    scorer: Scorer, photo: Path, photo_pixels: Pixels
) -> None:
    scores = {
        scorer.score(photo),
        scorer.score(str(photo)),
        scorer.score(photo_pixels),
        scorer.score(Image.fromarray(photo_pixels)),
        scorer.score(images.read(photo)),
    }
    assert len(scores) == 1


def test_scores_do_not_depend_on_what_was_scored_before(scorer: Scorer) -> None:
    pictures = [picture(160, 200, seed) for seed in range(4)]
    there = [scorer.score(p) for p in pictures]
    back = [scorer.score(p) for p in reversed(pictures)][::-1]
    assert there == back
    assert len(set(there)) == 4


def test_prediction_says_what_was_done(scorer: Scorer) -> None:
    prediction = scorer.predict(picture(1000, 2000))
    assert prediction.size == (627, 1254)
    assert prediction.notes == ("resized from 2000x1000 to 1254x627 pixels",)
    assert prediction.distribution is not None
    assert sum(prediction.distribution) == pytest.approx(1, abs=1e-5)
    mean = sum(k * p for k, p in enumerate(prediction.distribution, 1))
    assert prediction.score == pytest.approx(mean, abs=1e-5)


def test_refused_sizes_name_the_file(scorer: Scorer, tmp_path: Path) -> None:
    path = tmp_path / "dot.png"
    Image.new("RGB", (1, 1)).save(path)
    with pytest.raises(images.ImageError) as caught:
        scorer.score(path)
    assert str(caught.value).startswith(f"{path}: got 1x1 pixels, expected at least 32")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(240, 320), (320, 240), (256, 256), (130, 411)])
def test_explanation_is_consistent(scorer: Scorer, size: tuple[int, int]) -> None:
    pixels = picture(*size)
    result = explain(scorer, pixels)
    assert result.grid.shape == ((4, 3) if size[0] > size[1] else (3, 4))
    assert result.masks == 4094
    assert result.table.shape == (4096,)
    assert result.score == float(result.table[0])
    assert result.score == pytest.approx(scorer.score(pixels), abs=1e-5)
    assert sorted(result.important + result.trivial) == list(range(12))
    found = result.to_dict()
    assert found["score"] == found["table"][0]
    bits = sum(1 << region for region in found["important"])
    assert found["score_important_masked"] == found["table"][bits]
    assert found["score_trivial_masked"] == found["table"][4095 - bits]
    assert np.array_equal(np.array(found["table"], dtype=np.float32), result.table)
    assert result.maps["importance"].shape == size


def test_table_entries_equal_masked_forward_passes(scorer: Scorer, photo_pixels: Pixels) -> None:
    result = explain(scorer, photo_pixels)
    _, tensor, _ = scorer.read(photo_pixels)
    net = scorer.net
    chosen = [0, 1, 2048, 0b101010101010, result.table.size - 1]
    membership = coalitions.membership(12)[chosen]
    assert result.tokens is not None
    masks = torch.from_numpy(token_masks(result.grid, result.tokens, membership))
    with torch.inference_mode():
        wanted = mean_level(net.masked(tensor, masks))  # type: ignore[operator]
    assert result.table[chosen] == pytest.approx(wanted.numpy(), abs=1e-5)


def test_criteria_grids_and_turning(scorer: Scorer) -> None:
    pixels = picture(320, 240)
    assert {explain(scorer, pixels, criterion=c).criterion for c in CRITERIA} == set(CRITERIA)
    kept = explain(scorer, pixels, turn=False)
    assert kept.grid == RegionGrid(3, 4)
    small = explain(scorer, pixels, grid="2x2", criterion="shapley")
    assert small.masks == 14
    assert small.importance.sum() == pytest.approx(
        float(small.table[0] - small.table[-1]), abs=1e-5
    )
    with pytest.raises(CriterionError):
        explain(scorer, pixels, criterion="best")
    with pytest.raises(GridError, match="smaller grid"):
        explain(scorer, picture(128, 128), grid="1x16")


def test_explanations_repeat(scorer: Scorer, photo_pixels: Pixels) -> None:
    first, second = (explain(scorer, photo_pixels) for _ in range(2))
    assert np.array_equal(first.table, second.table)
    assert first.model_hash == second.model_hash == scorer.hash


def test_save_writes_everything_once(scorer: Scorer, photo: Path, tmp_path: Path) -> None:
    import json

    result = explain(scorer, photo)
    folder = result.save(tmp_path / "out")
    names = {path.name for path in folder.iterdir()}
    assert {"explanation.json", "explanation.png", "explanation.html", "manifest.json"} <= names
    stored = json.loads((folder / "explanation.json").read_text())
    assert stored["table"] == result.to_dict()["table"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["model_hash"] == scorer.hash
    assert manifest["options"]["criterion"] == "dist_plcc"
    with Image.open(folder / "explanation.png") as figure:
        assert figure.width > 1000
    with pytest.raises(OutputError, match="overwrite"):
        result.save(folder)
    result.save(folder, overwrite=True)


def test_hash_tells_models_apart(scorer: Scorer) -> None:
    import copy

    other = copy.deepcopy(scorer.net)
    with torch.no_grad():
        next(iter(other.parameters())).add_(1e-3)
    assert Scorer(other, scorer.policy, scorer.card).hash != scorer.hash
