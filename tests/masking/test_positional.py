"""Hiding regions in the attention of TRIQ and of transformers that are not ours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.attribution.nets import scorer_of, small_triq
from tests.foreign import MEAN, STD, Places, small_vit
from tests.pictures import picture

from halfsight import coalitions, images
from halfsight.explanation import explain
from halfsight.grid import GridError, RegionGrid
from halfsight.masking.base import MaskingError, collect, token_masks
from halfsight.masking.pixels import PixelMasker
from halfsight.masking.positional import PositionalMasker
from halfsight.wrapping import wrap

GRID = RegionGrid(2, 2)


def test_single_masks_equal_the_whole_table() -> None:
    scorer = scorer_of(small_triq())
    photograph, tensor, _ = scorer.read(picture(96, 128))
    seen: list[tuple[int, int]] = []
    subject = PositionalMasker().subject(scorer, photograph, GRID, tensor=tensor)
    assert subject.exhaustive
    whole = collect(subject, progress=lambda *done: seen.append(done))
    assert seen[-1] == (16, 16)
    some = subject.answer(np.array([9, 0, 15, 4]))
    assert some.scores == pytest.approx(whole.scores[[9, 0, 15, 4]], abs=1e-5)
    assert some.quality is not None
    assert whole.quality is not None
    assert some.quality[0] == pytest.approx(whole.quality[9], abs=1e-5)
    assert len(set(whole.scores.tolist())) == 16


def test_other_peoples_transformers_run_once_a_mask() -> None:
    scorer = wrap(small_vit(), mean=MEAN, std=STD)
    pixels = picture(96, 128)
    found = explain(scorer, pixels, grid=GRID)
    assert found.masking == "attention"
    assert found.tokens == (3, 4)
    assert found.masks == 14
    assert not any("pixels (" in note for note in found.notes)
    _, tensor, _ = scorer.read(pixels)
    members = coalitions.membership(4)
    net = scorer.net
    for mask in (0, 1, 6, 15):
        hidden = torch.from_numpy(token_masks(GRID, (3, 4), members[mask : mask + 1]))
        with torch.inference_mode():
            wanted = net.masked(tensor, hidden)  # type: ignore[operator]
        assert found.table[mask] == pytest.approx(float(wanted[0]), abs=1e-5)
    assert found.score == pytest.approx(scorer.score(pixels), abs=1e-5)


def test_pixels_of_a_transformer_are_cut_on_its_tokens() -> None:
    scorer = wrap(small_vit(), mean=MEAN, std=STD)
    found = explain(scorer, picture(96, 128), grid=GRID, masking=PixelMasker())
    assert found.tokens == (3, 4)
    assert "regions hidden in the pixels (zero)" in found.notes
    assert found.boxes()[0].tolist() == [0, 0, 64, 64]  # two of three token rows


def test_what_does_not_fit() -> None:
    photograph = images.read(picture(96, 128))
    for scorer in (wrap(small_vit()), scorer_of(small_triq())):
        with pytest.raises(GridError, match="at least one token a region"):
            PositionalMasker().coalitions(scorer, photograph, RegionGrid(4, 1), masks="all")
    with pytest.raises(MaskingError, match="expected a model with tokens"):
        PositionalMasker().coalitions(wrap(Places()), photograph, GRID)
