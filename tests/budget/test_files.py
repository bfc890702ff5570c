from __future__ import annotations

import operator
from dataclasses import replace
from functools import reduce
from pathlib import Path

import pytest
import torch
from tests.pictures import picture

import halfsight as hs
from halfsight.budget import files
from halfsight.budget.crops import BudgetError, answer, read_blocks
from halfsight.budget.files import BudgetHead
from halfsight.budget.policy import Budget
from halfsight.budget.scorer import BudgetScorer
from halfsight.budget.selector import kept, ranking
from halfsight.images import ImageError
from halfsight.models.backbone import WeightsError
from halfsight.scorer import Scorer


@pytest.fixture
def made(scorer: Scorer, head: BudgetHead) -> BudgetScorer:
    return files.assemble(scorer, head, Budget(regions=6))


def test_a_head_of_its_own_on_the_same_backbone(scorer: Scorer, head: BudgetHead) -> None:
    full = scorer.transformer()
    assert head.net.backbone is full.backbone
    assert head.net.positions is not full.positions
    assert head.net.project is not full.project
    assert set(head.net.state_dict()) == set(full.state_dict())


def test_half_is_read_and_the_score_is_that_of_its_blocks(made: BudgetScorer) -> None:
    pixels = picture(300, 260)
    found = made.predict(pixels)
    assert len(found.regions) == 6
    assert found.grid.shape == (4, 3)
    layout = made.layout(300, 260)
    order = ranking(made.selector.values(pixels, layout.grid))
    assert found.regions == kept(order, 6)
    with torch.inference_mode():
        blocks = read_blocks(made.transformer(), made.policy, pixels, layout, found.regions)
        expected = made.net.scores(answer(made.transformer(), blocks, layout))
    assert found.score == pytest.approx(float(expected), abs=1e-5)
    assert "read 6 of 12 regions" in found.notes[-1]
    assert 1 <= made.score(pixels) <= 5


def test_what_is_not_read_does_not_matter(made: BudgetScorer) -> None:
    pixels = picture(300, 260)
    layout = made.layout(300, 260)
    before = made.of_regions(pixels, layout, (0, 1, 2))
    top, left, bottom, right = layout.box(7)
    changed = pixels.copy()
    changed[top:bottom, left:right] = 0
    assert made.of_regions(changed, layout, (0, 1, 2)).score == before.score
    assert (
        made.of_regions(changed, layout, (0, 1, 7)).score
        != made.of_regions(pixels, layout, (0, 1, 7)).score
    )


def test_auto_reads_until_the_bound_is_within_the_tolerance(
    scorer: Scorer, head: BudgetHead
) -> None:
    pixels = picture(200, 260)
    counts = []
    for tolerance in (0.01, 0.3, 2.0):
        scorer_of = files.assemble(scorer, head, Budget(tolerance=tolerance))
        found = scorer_of.predict(pixels)
        counts.append(len(found.regions))
        assert found.bound is not None
        assert found.bound <= tolerance or len(found.regions) == 12
        layout = scorer_of.layout(200, 260)
        order = ranking(scorer_of.selector.values(pixels, layout.grid))
        net, policy = scorer_of.transformer(), scorer_of.policy
        with torch.inference_mode():
            steps = [
                read_blocks(net, policy, pixels, layout, order[start : start + 2])
                for start in range(0, len(found.regions), 2)
            ]
            again = net.scores(answer(net, reduce(operator.add, steps), layout))
        assert found.score == pytest.approx(float(again), abs=1e-5)
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 2
    with pytest.raises(BudgetError, match="without measured bounds"):
        files.assemble(scorer, head, Budget(tolerance=0.1), selector="centre")


def test_large_small_and_odd_photographs(made: BudgetScorer) -> None:
    assert made.predict(picture(1200, 900)).size == (1024, 768)
    assert made.predict(picture(40, 60)).size == (128, 192)
    with pytest.raises(ImageError, match="at least 32"):
        made.predict(picture(10, 60))


def test_the_hash_knows_selector_and_budget(made: BudgetScorer, scorer: Scorer) -> None:
    others = {
        made.hash,
        scorer.hash,
        replace(made, budget=Budget(regions=5)).hash,
        replace(made, selector=files.selectors.load("centre")).hash,
    }
    assert len(others) == 4


def test_saved_and_loaded_alike(budgeted: Path, head: BudgetHead, scorer: Scorer) -> None:
    loaded = hs.load(budgeted, budget=0.5)
    assert isinstance(loaded, BudgetScorer)
    pixels = picture(200, 260)
    assert loaded.score(pixels) == pytest.approx(
        files.assemble(scorer, head, Budget(regions=6)).score(pixels), abs=1e-6
    )
    assert files.path_beside(budgeted).stat().st_size < 1_100_000
    full = files.load_full(budgeted)
    found = files.load_head(files.path_beside(budgeted), full)
    assert found.downscaled is not None
    assert found.downscaled.backbone is full.transformer().backbone


def test_damaged_missing_and_foreign_files(weights: Path, head: BudgetHead, tmp_path: Path) -> None:
    beside = copy_of(weights, tmp_path)
    place = files.path_beside(beside)
    with pytest.raises(WeightsError, match="halfsight budget train"):
        files.load(beside)
    files.save(place, head)  # made for the fixture's model, which is no file
    with pytest.raises(WeightsError, match="made for the model"):
        files.load(beside)
    place.write_bytes(place.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="get it again"):
        files.load(beside)
    with pytest.raises(BudgetError, match="without a budget"):
        files.model_path("model.onnx")


def copy_of(weights: Path, folder: Path) -> Path:
    made = folder / weights.name
    made.write_bytes(weights.read_bytes())
    made.with_suffix(".json").write_bytes(weights.with_suffix(".json").read_bytes())
    return made
