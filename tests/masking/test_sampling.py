"""Estimates from some of the masks, against the exact values from all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.foreign import Places
from tests.pictures import picture

from halfsight import coalitions, images
from halfsight.explanation import DRAWN, explain
from halfsight.grid import RegionGrid
from halfsight.importance import importance
from halfsight.masking import sampling
from halfsight.masking.base import check_masks, collect, complete, parse_masks
from halfsight.masking.pixels import PixelMasker
from halfsight.masking.sampling import SampleError, draw, estimate, smallest
from halfsight.wrapping import wrap


def game(n: int, seed: int = 0) -> Any:
    """A table with main effects, pairs, triples and noise."""
    random = np.random.default_rng(seed)
    members = coalitions.membership(n).astype(float)
    pairs = members @ random.normal(0, 0.5, (n, n)) * members
    triples = members[:, 0] * members[:, 1] * members[:, -1]
    noise = random.normal(0, 0.2, 1 << n)
    return members @ random.normal(0, 1, n) + pairs.sum(1) + 2 * triples + noise


def averages(n: int) -> Any:
    weights = coalitions.membership(n) / ((1 << n - 1) - 1)
    weights[-1] = 0
    return weights


@pytest.mark.parametrize("n", [4, 5, 8, 9])
def test_all_masks_drawn_give_the_exact_values(n: int) -> None:
    table = game(n)
    everything = draw(n, (1 << n) - 2)
    assert sorted(everything.masks) == list(range(1, (1 << n) - 1))
    values, errors = estimate(table, everything, coalitions.shapley_weights(n))
    assert values == pytest.approx(coalitions.shapley(table), abs=1e-9)
    assert errors.tolist() == [0] * n
    values, errors = estimate(table, everything, averages(n))
    assert values == pytest.approx(coalitions.average_over_masks(table, n), abs=1e-9)
    assert errors.tolist() == [0] * n


@pytest.mark.parametrize("masks", [44, 100, 101, 512, 4000])
def test_what_is_drawn(masks: int) -> None:
    sample = draw(12, masks, seed=3)
    drawn = sample.masks
    assert len(drawn) == masks - masks % 2
    assert len(set(drawn.tolist())) == len(drawn)
    assert set((4095 ^ drawn).tolist()) == set(drawn.tolist())
    assert {1 << region for region in range(12)} <= set(drawn.tolist())
    assert drawn.min() > 0
    assert drawn.max() < 4095
    assert np.array_equal(draw(12, masks, seed=3).masks, drawn)
    if 44 < masks < 4000:
        assert not np.array_equal(draw(12, masks, seed=4).masks, drawn)


def test_additive_games_are_exact_from_the_fewest_masks() -> None:
    worth = np.random.default_rng(1).normal(size=12)
    table = -(coalitions.membership(12) @ worth)
    sample = draw(12, smallest(12))
    values, errors = estimate(table, sample, coalitions.shapley_weights(12))
    assert values == pytest.approx(worth, abs=1e-9)
    assert errors == pytest.approx(np.zeros(12), abs=1e-6)


def test_shapley_estimates_add_up_and_read_only_what_was_drawn() -> None:
    table = game(12)
    sample = draw(12, 120, seed=5)
    values, errors = estimate(table, sample, coalitions.shapley_weights(12))
    assert values.sum() == pytest.approx(table[0] - table[-1], abs=1e-9)
    assert (errors > 0).all()
    known = np.full(4096, np.nan)
    for mask in (0, 4095, *sample.masks):
        known[mask] = table[mask]
    again = estimate(known, sample, coalitions.shapley_weights(12))
    assert np.array_equal(again[0], values)
    assert np.array_equal(again[1], errors)


@pytest.mark.parametrize("kind", ["shapley", "averages"])
def test_standard_errors_are_honest(kind: str) -> None:
    n, table = 8, game(8)
    weights = coalitions.shapley_weights(n) if kind == "shapley" else averages(n)
    exact = table @ weights
    found = [estimate(table, draw(n, 80, seed=seed), weights) for seed in range(200)]
    values, errors = (np.array(part) for part in zip(*found, strict=True))
    spread = values.std(0)
    assert np.abs(values.mean(0) - exact).max() < 4 * spread.max() / np.sqrt(200)
    assert np.sqrt((errors**2).mean(0)) / spread == pytest.approx(np.ones(n), abs=0.45)
    covered = (np.abs(values - exact) < 2 * errors).mean()
    assert 0.88 < covered < 0.995


def test_more_masks_give_smaller_errors() -> None:
    table, weights = game(12), coalitions.shapley_weights(12)
    exact = table @ weights
    rms = [
        np.sqrt(
            np.mean([(estimate(table, draw(12, m, seed=s), weights)[0] - exact) ** 2
                     for s in range(10)])
        )
        for m in (60, 400, 3000)
    ]  # fmt: skip
    assert rms[0] > 1.5 * rms[1] > 3 * rms[2]


@pytest.mark.parametrize("masks", [0, -3, 43, 1.5, "some"])
def test_too_few_masks_are_refused(masks: Any) -> None:
    with pytest.raises(SampleError, match=r"at least 44 for 12 regions, or all 4094"):
        check_masks(masks, 12)
    with pytest.raises(SampleError):
        explain(wrap(Places()), picture(40, 56), masks=masks)


def test_masks_as_text() -> None:
    assert parse_masks("all") == "all"
    assert parse_masks("300") == 300
    for text in ("", "-1", "1e3", "every"):
        with pytest.raises(SampleError, match="expected all or a whole number"):
            parse_masks(text)
    check_masks("all", 4)
    with pytest.raises(SampleError, match="got 2 masks, expected all 6"):
        check_masks(2, 3)


def test_a_sample_of_a_model_is_a_part_of_its_table() -> None:
    scorer, grid = wrap(Places(levels=3), logits=True), RegionGrid(2, 3)
    photograph, tensor, _ = scorer.read(picture(40, 56))
    subject = PixelMasker().subject(scorer, photograph, grid, tensor=tensor)
    whole = collect(subject)
    some = collect(subject, masks=30, seed=1)
    assert some.estimated
    assert some.masks == 30
    assert some.evaluated[[0, 63]].all()
    assert some.scores[some.evaluated] == pytest.approx(whole.scores[some.evaluated], abs=1e-5)
    assert np.isnan(some.scores[~some.evaluated]).all()
    assert some.distributions is not None
    missing = np.flatnonzero(~some.evaluated)[:2]
    more = complete(some, subject, missing.tolist())
    assert more.scores[missing] == pytest.approx(whole.scores[missing], abs=1e-5)
    for criterion in ("abs_delta", "dist_plcc", "shapley"):
        # what joins the table later is no part of the random sample
        first, second = (importance(one, criterion) for one in (some, more))  # type: ignore[arg-type]
        assert np.array_equal(first.values, second.values)
        every = importance(collect(subject, masks=62), criterion)  # type: ignore[arg-type]
        assert every.standard_errors is None
        drawn = importance(_as_sample(whole), criterion)  # type: ignore[arg-type]
        assert drawn.values == pytest.approx(every.values, abs=1e-6)
        assert first.standard_errors is not None
        assert (np.abs(first.values - every.values) < 5 * first.standard_errors + 1e-6).all()


def _as_sample(whole: Any) -> Any:
    from dataclasses import replace

    return replace(whole, sample=draw(6, 62))


def test_explanations_say_that_they_are_estimates() -> None:
    pixels = picture(40, 56)
    found = explain(wrap(Places()), pixels, masks=60, seed=7)
    assert found.estimated
    assert found.standard_errors is not None
    assert 60 <= found.masks <= 62  # and the two halves
    said = found.to_dict()
    assert said["estimated"] is True
    assert said["seed"] == 7
    assert len(said["standard_error"]) == 12
    assert said["table"].count(None) == 4096 - 2 - found.masks
    assert said["score_important_masked"] is not None
    assert any("estimate, with standard errors" in note for note in found.notes)
    assert found.options == {
        "grid": "3x4",
        "criterion": "abs_delta",
        "masking": "zero",
        "masks": found.masks,
        "seed": 7,
        "also": {},
    }
    small = explain(wrap(Places()), pixels, grid="2x2")  # fewer masks than are drawn
    assert not small.estimated
    assert small.options["masks"] == "all"
    assert "standard_error" not in small.to_dict()
    assert DRAWN == 512


def test_the_photographs_own_masker_draws_too() -> None:
    masker, photograph = PixelMasker("mean"), images.read(picture(40, 56))
    found = masker.coalitions(wrap(Places()), photograph, RegionGrid(2, 3), masks=20, seed=2)
    assert found.sample is not None
    assert found.sample.seed == 2
    assert np.array_equal(found.sample.masks, sampling.draw(6, 20, seed=2).masks)
