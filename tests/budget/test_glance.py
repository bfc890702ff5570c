from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tests.pictures import picture

import halfsight as hs
from halfsight.budget import files, glance
from halfsight.budget.files import BudgetHead
from halfsight.budget.glance import Glance
from halfsight.budget.policy import Budget
from halfsight.budget.scorer import BudgetScorer
from halfsight.scorer import Scorer

FIFTH = Glance(weight=0.2)


@pytest.fixture
def plain(scorer: Scorer, head: BudgetHead) -> BudgetScorer:
    return files.assemble(scorer, head, Budget(regions=6))


def look(made: BudgetScorer, pixels: np.ndarray) -> float:
    height, width = (round(side / 8) for side in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    with torch.inference_mode():
        output = made.net(made.policy.normalise(np.asarray(small)))
    return float(made.net.scores(output)[0])


def test_the_score_is_mixed_from_the_regions_and_the_whole(plain: BudgetScorer) -> None:
    pixels = picture(700, 640)
    before, after = plain.predict(pixels), replace(plain, glance=FIFTH).predict(pixels)
    assert after.regions == before.regions
    assert after.score == pytest.approx(0.8 * before.score + 0.2 * look(plain, pixels), abs=1e-5)
    assert after.distribution is not None
    assert sum(after.distribution) == pytest.approx(1, abs=1e-5)


def test_what_is_not_read_is_glanced_at(plain: BudgetScorer) -> None:
    made, pixels = replace(plain, glance=FIFTH), picture(700, 640)
    layout = made.layout(700, 640)
    before = made.of_regions(pixels, layout, (0, 1, 2))
    top, left, bottom, right = layout.box(7)
    changed = pixels.copy()
    changed[top:bottom, left:right] = 0
    assert made.of_regions(changed, layout, (0, 1, 2)).score != before.score


def test_nothing_is_added_to_the_whole(plain: BudgetScorer) -> None:
    pixels = picture(700, 640)
    all_read = replace(plain, budget=Budget(regions=12))
    assert replace(all_read, glance=FIFTH).score(pixels) == all_read.score(pixels)


def test_a_tolerance_counts_the_glance(scorer: Scorer, head: BudgetHead) -> None:
    pixels = picture(640, 660)
    plain = files.assemble(scorer, head, Budget(tolerance=2.0))
    before, after = plain.predict(pixels), replace(plain, glance=FIFTH).predict(pixels)
    assert len(before.regions) == len(after.regions) == 2
    assert after.score == pytest.approx(0.8 * before.score + 0.2 * look(plain, pixels), abs=1e-5)


def test_the_hash_knows_it(plain: BudgetScorer) -> None:
    assert replace(plain, glance=FIFTH).hash != plain.hash


def test_it_comes_with_the_file(budgeted: Path, tmp_path: Path) -> None:
    model = tmp_path / budgeted.name
    for suffix in (".safetensors", ".json"):
        model.with_suffix(suffix).write_bytes(budgeted.with_suffix(suffix).read_bytes())
    head = files.load_head(files.path_beside(budgeted), files.load_full(model))
    recipe = {**head.card.recipe, "glance": {"weight": 0.2, "shrink": 8}}
    files.save(
        files.path_beside(model),
        replace(head, card=head.card.model_copy(update={"recipe": recipe})),
    )
    made = hs.load(model, budget=6)
    assert isinstance(made, BudgetScorer)
    assert made.glance == FIFTH


def test_small_photographs_take_none(plain: BudgetScorer) -> None:
    pixels = picture(639, 800)
    assert replace(plain, glance=FIFTH).score(pixels) == plain.score(pixels)
    assert not FIFTH.taken(pixels)
    assert FIFTH.taken(picture(640, 800))
    assert not Glance().taken(picture(640, 800))
    assert FIFTH.shrunk(picture(640, 800)).shape == (80, 100, 3)


def test_the_heaviest_weight_that_costs_little() -> None:
    draw = np.random.default_rng(0)
    full = draw.normal(size=400)
    parts, seen = full + 0.2 * draw.normal(size=400), 0.5 * full + draw.normal(size=400)
    tried = glance.by_weight(parts, seen, lambda scores: float(np.corrcoef(scores, full)[0, 1]))
    assert tried[0.0] == pytest.approx(np.corrcoef(parts, full)[0, 1])
    assert tried[0.1] == pytest.approx(np.corrcoef(0.9 * parts + 0.1 * seen, full)[0, 1])
    best = glance.heaviest(tried)
    assert 0 < best < 0.1
    assert tried[best] >= tried[0.0] - glance.PRICE
    assert all(plcc < tried[0.0] - glance.PRICE for weight, plcc in tried.items() if weight > best)
