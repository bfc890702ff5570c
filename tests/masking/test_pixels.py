"""Filling regions in pixels, against photographs painted by hand and scored one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from tests.foreign import MEAN, STD, Places
from tests.pictures import Pixels, picture

from halfsight import coalitions, images
from halfsight.grid import RegionGrid
from halfsight.masking import pixels as module
from halfsight.masking.pixels import FILLS, PixelMasker
from halfsight.wrapping import wrap

GRID = RegionGrid(2, 3)
PHOTO = picture(70, 100)  # neither side divides evenly


def scorer(**options: Any) -> Any:
    return wrap(Places(), mean=MEAN, std=STD, **options)


def blurred(pixels: Pixels) -> Pixels:
    radius = max(pixels.shape[:2]) / 32
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


BY_HAND: dict[str, Callable[[Pixels], Any]] = {
    "zero": lambda pixels: np.zeros_like(pixels),
    "mean": lambda pixels: np.zeros_like(pixels) + np.uint8(pixels.mean((0, 1)) + 0.5),
    "blur": blurred,
}


@pytest.mark.parametrize("options", [{}, {"size": (40, 64)}, {"max_pixels": 4000}])
@pytest.mark.parametrize("fill", BY_HAND)
def test_the_table_equals_painted_photographs(fill: str, options: dict[str, Any]) -> None:
    model = scorer(**options)
    masker = PixelMasker(fill)  # type: ignore[arg-type]
    found = masker.coalitions(model, images.read(PHOTO), GRID)
    assert found.masks == 62
    assert not found.estimated
    rows, cols = (0, 35, 70), (0, 34, 67, 100)  # as numpy.array_split cuts
    instead = BY_HAND[fill](PHOTO)
    for mask in (0, 1, 0b010110, 0b100001, 63):
        painted = PHOTO.copy()
        for region in coalitions.regions_of(mask, 6):
            row, col = divmod(region, 3)
            place = np.s_[rows[row] : rows[row + 1], cols[col] : cols[col + 1]]
            painted[place] = instead[place]
        assert found.scores[mask] == pytest.approx(model.score(painted), abs=1e-4)
    assert len(set(found.scores.tolist())) == 64


def test_zero_after_normalisation_is_in_the_networks_input() -> None:
    model = scorer(size=(41, 60))
    found = PixelMasker("zero-normalised").coalitions(model, images.read(PHOTO), GRID)
    _, tensor, _ = model.read(PHOTO)
    rows, cols = (0, 21, 41), (0, 20, 40, 60)
    for mask in (0, 0b000101, 0b111000):
        by_hand = tensor.clone()
        for region in coalitions.regions_of(mask, 6):
            row, col = divmod(region, 3)
            by_hand[..., rows[row] : rows[row + 1], cols[col] : cols[col + 1]] = 0
        with torch.inference_mode():
            assert found.scores[mask] == pytest.approx(float(model.net(by_hand)), abs=1e-5)


def test_distributions_and_scores_agree() -> None:
    model = wrap(Places(levels=3), logits=True, scale=(1, 9))
    found = PixelMasker().coalitions(model, images.read(PHOTO), RegionGrid(2, 2))
    assert found.distributions is not None
    assert found.distributions.sum(1) == pytest.approx(np.ones(16), abs=1e-5)
    assert found.distributions @ [1, 5, 9] == pytest.approx(found.scores, abs=1e-4)
    assert found.quality is None


def test_regions_may_be_those_of_another_models_tokens() -> None:
    model = scorer()
    photograph, tensor, _ = model.read(PHOTO)
    cut = PixelMasker(tokens=(3, 5)).subject(model, photograph, GRID, tensor=tensor)
    # 3 token rows in 2 parts: two and one; 5 columns in 3: two, two and one
    assert cut.tokens == (3, 5)
    rows, cols = (0, 47, 70), (0, 40, 80, 100)
    painted = PHOTO.copy()
    painted[rows[1] :, cols[1] : cols[2]] = 0
    mask = np.array([1 << 4])
    assert cut.answer(mask).scores[0] == pytest.approx(model.score(painted), abs=1e-4)


def test_batches_and_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = PixelMasker().coalitions(scorer(), images.read(PHOTO), GRID)
    monkeypatch.setattr(module, "BATCH_PIXELS", 7000 * 5)
    seen: list[tuple[int, int]] = []
    parts = PixelMasker().coalitions(
        scorer(), images.read(PHOTO), GRID, progress=lambda *done: seen.append(done)
    )
    np.testing.assert_allclose(parts.scores, whole.scores, atol=1e-4)
    assert seen == [(min(done, 64), 64) for done in range(5, 69, 5)]


def test_the_photograph_stays_as_it_is() -> None:
    photograph = images.read(PHOTO)
    for fill in FILLS:
        PixelMasker(fill).coalitions(scorer(), photograph, RegionGrid(1, 2))
    assert np.array_equal(photograph.pixels, PHOTO)


def test_unknown_fill() -> None:
    with pytest.raises(ValueError, match="got fill 'pink', expected one of zero, mean, blur"):
        PixelMasker("pink")  # type: ignore[arg-type]
