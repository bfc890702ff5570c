from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.pictures import picture

from halfsight import coalitions, datasets
from halfsight.budget import distil, files, rank, training, views
from halfsight.budget.distil import Settings
from halfsight.datasets.base import DatasetError
from halfsight.grid import RegionGrid
from halfsight.scorer import Scorer

QUICK = Settings(epochs=2, batch=4, masks=2, selector_epochs=2, held_out=0.3)


def test_sets_keep_at_least_two_and_one_in_two_is_central() -> None:
    sets = distil.drawn_kept(400, RegionGrid(), np.random.default_rng(0))
    assert set(sets.sum(1)) == set(range(2, 13))
    central = sets[1::2]
    assert {tuple(np.flatnonzero(one)) for one in central if one.sum() == 6} == {
        (1, 2, 5, 6, 9, 10)
    }
    assert {tuple(np.flatnonzero(one)) for one in central if one.sum() == 3} == {
        (5, 6, extra) if extra > 6 else (extra, 5, 6) for extra in (1, 2, 9, 10)
    }
    assert len({tuple(np.flatnonzero(one)) for one in sets[::2] if one.sum() == 6}) > 5


def test_region_values_are_means_over_all_masks(
    weights: Path, photos: Path, tmp_path: Path
) -> None:
    full = files.load_full(weights)
    net, cache = full.transformer(), views.ViewCache(full, tmp_path)
    items = training.items_of(datasets.load("biq2021", photos, split="train"))[:1]
    cache.fill(items)
    hidden = coalitions.membership(12).astype(bool)[1:-1]
    whole = distil.subset_scores(net, items[0], cache, np.ones((1, 12), bool), view="full")
    read = np.concatenate(
        [distil.subset_scores(net, items[0], cache, ~some) for some in np.split(hidden, 89)]
    )
    expected = np.abs(read - whole) @ hidden / hidden.sum(0)
    answers = distil.teach(net, items, cache)
    (error,) = rank.region_values(net, net, items, answers, cache, "error")
    assert error == pytest.approx(expected, abs=1e-5)
    (importance,) = rank.region_values(net, net, items, answers, cache, "importance")
    assert importance.shape == (12,)
    assert (importance > 0).all()


def test_framed_keeps_proportions_and_turns() -> None:
    assert views.framed(picture(100, 100), (48, 64)).shape == (48, 64, 3)
    assert views.framed(picture(120, 100), (48, 64)).shape == (64, 48, 3)
    middle = picture(60, 64)
    assert np.array_equal(views.framed(middle, (48, 64)), middle[6:54])
    assert views.downscaled(picture(96, 128), 0.25).shape == (48, 64, 3)


@torch.no_grad()
def test_mirrored_tokens_are_those_of_the_mirrored_map(scorer: Scorer, tmp_path: Path) -> None:
    net = scorer.transformer()
    features = torch.randn(1, net.backbone.channels, 4, 6)
    layout = distil.Layout.of(net, 128, 192, RegionGrid())
    one = distil.tokens_of(net, features, layout, flip=True)
    two = distil.tokens_of(net, features.flip(-1), layout)
    assert torch.allclose(one, two, atol=1e-6)


def test_a_run_from_photographs_to_a_usable_file(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SHARES", (0.5, 1.0))
    full = files.load_full(weights)
    before = {name: tensor.clone() for name, tensor in full.net.state_dict().items()}
    model = tmp_path / "triq.safetensors"
    model.write_bytes(weights.read_bytes())
    model.with_suffix(".json").write_bytes(weights.with_suffix(".json").read_bytes())
    told: list[str] = []
    card = training.train(
        full,
        [datasets.load("biq2021", photos, split="train")],
        out=files.path_beside(model),
        cache=tmp_path / "cache",
        enlarged=1,
        size=(192, 256),
        settings=QUICK,
        command="halfsight budget train",
        progress=lambda what, done, total: told.append(what),
    )
    for name, tensor in full.net.state_dict().items():
        assert torch.equal(tensor, before[name]), name  # the model itself is untouched
    assert {"features", "head", "selector by error"} <= set(told)
    assert card.recipe["model_sha256"] == full.card.sha256
    assert set(card.recipe["stopping"]) == {"2", "4", "6", "8", "10", "12"}
    assert "also at 256x192" in card.data[0]
    shares = card.recipe["validation"]["share_of_pixels_half_read"]
    assert all(0.3 < share <= 1 for share in shares.values())
    assert card.recipe["share_of_training"] in (0.5, 1.0)
    loaded = files.load(model, budget=4)
    assert len(loaded.predict(picture(150, 200)).regions) == 4
    trained, start = loaded.net.state_dict(), full.net.state_dict()
    assert not torch.equal(trained["positions"], start["positions"])
    items = training.items_of(datasets.load("biq2021", photos, split="train"))
    assert views.ViewCache(full, tmp_path / "cache").fill(items) == 0


def test_too_few_photographs(weights: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        training.train(
            files.load_full(weights),
            [datasets.load("biq2021", photos, split="train")],
            out=tmp_path / "x.safetensors",
            cache=tmp_path / "cache",
            limit=5,
            settings=QUICK,
        )


def test_the_selector_that_reads_least_is_taken_among_equals() -> None:
    tried = {"learned": (0.981, 0.6), "checkerboard": (0.982, 0.62), "centre": (0.979, 0.56)}
    assert training.cheapest(tried) == "centre"
    tried["centre"] = (0.970, 0.56)
    assert training.cheapest(tried) == "learned"
    tried["learned"] = (0.981, 0.7)  # too many pixels, though nearly the best
    assert training.cheapest(tried) == "checkerboard"


def test_where_every_selector_reads_much_the_least_is_taken_all_the_same() -> None:
    tried = {"learned": (0.981, 0.8), "checkerboard": (0.982, 0.82), "centre": (0.970, 0.76)}
    assert training.cheapest(tried) == "learned"


def test_between_two_heads(scorer: Scorer) -> None:
    start, end = scorer.transformer(), files.with_own_head(scorer.transformer())
    with torch.no_grad():
        end.positions.add_(1)
    made = training.between(start, end, 0.25)
    assert torch.allclose(made.positions, start.positions + 0.25, atol=1e-6)
    assert made.backbone is start.backbone
    assert torch.equal(training.between(start, end, 0).positions, start.positions)
