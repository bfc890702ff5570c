from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.training.conftest import RECIPE

from halfsight import datasets
from halfsight.datasets.base import Dataset, Sample, Scale
from halfsight.models import registry
from halfsight.training import denoise
from halfsight.training.cache import FeatureCache
from halfsight.training.recipe import Recipe, RecipeError

N = 400


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Features, true quality, labels, subsets: the labels of "bad" carry noise, "good" hardly."""
    draw = np.random.default_rng(3)
    features = draw.normal(size=(2 * N, 6))
    truth = 3 + 0.5 * np.tanh(features[:, 0]) + 0.3 * features[:, 1]
    noise = np.repeat((0.05, 0.8), N) * draw.normal(size=2 * N)
    return features, truth, truth + noise, ["good"] * N + ["bad"] * N


def test_noisy_labels_come_nearer_to_the_truth_and_the_others_stay(
    world: tuple[np.ndarray, np.ndarray, np.ndarray, list[str]],
) -> None:
    features, truth, labels, subsets = world
    predicted = denoise.cross_fitted(features, labels, np.arange(2 * N))
    new, kept = denoise.shrunk(labels, predicted, subsets)
    assert kept["good"] == 1.0
    np.testing.assert_allclose(new[:N], labels[:N], rtol=1e-12)
    assert kept["bad"] < 0.3
    error = np.square(new[N:] - truth[N:]).mean() / np.square(labels[N:] - truth[N:]).mean()
    assert error < 0.4
    assert new[N:].mean() == pytest.approx(labels[N:].mean())


def test_a_label_does_not_help_to_predict_itself_or_its_twin(
    world: tuple[np.ndarray, np.ndarray, np.ndarray, list[str]],
) -> None:
    features, _, labels, _ = world
    features, labels = features[:100].copy(), labels[:100].copy()
    features[1] = features[0]
    groups = np.arange(100)
    groups[1] = 0
    before = denoise.cross_fitted(features, labels, groups)
    labels[0] += 1.0
    after = denoise.cross_fitted(features, labels, groups)
    np.testing.assert_allclose(after[:2], before[:2], atol=1e-6)
    assert np.abs(after[2:] - before[2:]).max() > 1e-3


def test_images_that_all_look_alike_are_one_clear_line() -> None:
    with pytest.raises(RecipeError, match="all look alike"):
        denoise.cross_fitted(np.eye(4), np.arange(4.0), np.zeros(4, np.int64))


def test_a_small_subset_stays_as_it_is() -> None:
    labels, predicted = np.arange(60.0), np.zeros(60)
    predicted[:55] = labels[:55] + np.tile((1.0, -1.0), 28)[:55]
    new, kept = denoise.shrunk(labels, predicted, ["large"] * 55 + ["small"] * 5)
    assert kept == {"large": 1.0}
    np.testing.assert_array_equal(new[55:], labels[55:])


def test_only_the_chosen_sets_change_and_labels_stay_on_their_scale() -> None:
    draw = np.random.default_rng(0)

    def made(name: str, scale: Scale) -> tuple[Dataset, np.ndarray]:
        features = draw.normal(size=(120, 3))
        five = (3 + features[:, 0] + draw.normal(size=120)).clip(1, 5)
        samples = tuple(
            Sample(f"{i}", Path(f"{i}"), float(scale.from_five(v)), subset="ab"[i % 2])
            for i, v in enumerate(five)
        )
        return Dataset(name, Path(), samples, scale), features

    plain, plain_features = made("plain", Scale(0, 100))
    noisy, noisy_features = made("noisy", Scale(0, 1))
    (same, new), kept = denoise.denoise(
        (plain, noisy), (plain_features, noisy_features), (np.arange(120),) * 2, (False, True)
    )
    assert same is plain
    assert set(kept) == {"noisy a", "noisy b"}
    assert max(kept.values()) == 1.0
    assert all(0 <= s.mos <= 1 for s in new if s.mos is not None)
    moved = [a.mos != pytest.approx(b.mos) for a, b in zip(new, noisy, strict=True)]
    assert any(moved)
    assert [s.id for s in new] == [s.id for s in noisy]


def test_pooled_features_are_kept_and_those_of_the_photograph(root: Path, tmp_path: Path) -> None:
    recipe = Recipe.model_validate(RECIPE)
    net = registry.entry("triq").build(**recipe.config)
    net.load_backbone(offline=True)
    policy = registry.entry("triq").policy(net)
    data = datasets.load("clive", root)
    cache = FeatureCache(net, policy, tmp_path, stage=recipe.stage)
    cache.fill(data, data.samples)
    first = denoise.pooled(net, data.replace(data.samples[:3]), cache)
    whole = denoise.pooled(net, data, cache)
    np.testing.assert_array_equal(whole[:3], first)
    last = net.backbone(cache.prepare(data[0]))[0].detach().numpy()  # type: ignore[operator]
    channels = len(last)
    np.testing.assert_allclose(
        whole[0, -2 * channels : -channels], last.mean((1, 2)), atol=2e-2
    )  # the cache holds half precision
    assert (tmp_path / cache.folder.name / "clive-pooled.npz").is_file()


def test_pooled_features_of_a_killed_run_are_there_for_the_next(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe.model_validate(RECIPE)
    net = registry.entry("triq").build(**recipe.config)
    data = datasets.load("clive", root)
    cache = FeatureCache(net, registry.entry("triq").policy(net), tmp_path, stage=recipe.stage)
    cache.fill(data, data.samples)
    monkeypatch.setattr(denoise, "SAVED", 2)

    def killed(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        denoise.pooled(net, data, cache, killed)
    left: list[int] = []
    denoise.pooled(net, data, cache, lambda _, total: left.append(total))
    assert set(left) == {len(data) - 2}


def test_a_recipe_that_caches_nothing_cannot_denoise() -> None:
    with pytest.raises(ValueError, match="denoise reads cached features"):
        Recipe.model_validate(
            RECIPE | {"stage": None, "sources": [{"name": "clive", "denoise": True}]}
        )
