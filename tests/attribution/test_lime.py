from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.attribution.nets import ConvNet, LinearNet, scorer_of, small_triq
from tests.pictures import picture

from halfsight.attribution import AttributionError, attribute
from halfsight.attribution.lime import LeastSquares, draw, proximity
from halfsight.grid import RegionGrid

GRID = RegionGrid(3, 4)


def exact(net: LinearNet, pixels: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """What each region of a linear model is worth over its fill, (n,)."""
    scorer = scorer_of(net)
    full = scorer.read(pixels)[1][0].double()
    empty = scorer.read(fill)[1][0].double()
    worth = (net.weight.detach().double() * (full - empty)).sum(0).numpy()
    return np.array(
        [worth[top:bottom, left:right].sum() for top, left, bottom, right in GRID.boxes(48, 70)]
    )


@pytest.mark.parametrize("options", [{}, {"samples": 40}, {"seed": 7, "kernel_width": 2.0}])
def test_a_linear_model_gets_its_exact_weights(options: dict[str, float]) -> None:
    net, pixels = LinearNet(48, 70), picture(48, 70)
    found = attribute("lime", scorer_of(net), pixels, GRID, fill="black", **options)
    wanted = exact(net, pixels, np.zeros_like(pixels))
    assert np.ptp(wanted) > 1
    np.testing.assert_allclose(found.regions, wanted, atol=2e-4)


def test_segments_are_filled_with_their_own_mean() -> None:
    net, pixels = LinearNet(48, 70), picture(48, 70)
    fill = pixels.astype(float)
    for top, left, bottom, right in GRID.boxes(48, 70):
        cell = fill[top:bottom, left:right]
        cell[:] = cell.mean((0, 1))
    means = (torch.tensor(fill / 255) - torch.tensor((0.5, 0.4, 0.3))) / torch.tensor(
        (0.25, 0.2, 0.5)
    )
    full = scorer_of(net).read(pixels)[1][0].double().permute(1, 2, 0)
    worth = ((full - means) * net.weight.detach().double().permute(1, 2, 0)).sum(-1)
    wanted = [worth[a:c, b:d].sum().item() for a, b, c, d in GRID.boxes(48, 70)]
    found = attribute("lime", scorer_of(net), pixels, GRID)
    np.testing.assert_allclose(found.regions, wanted, atol=2e-4)
    assert found.options["fill"] == "segment"


def test_the_mean_colour_fills_all() -> None:
    net, pixels = LinearNet(48, 70), picture(48, 70)
    net.weight.data[:] = 1e-2
    found = attribute("lime", scorer_of(net), pixels, GRID, fill="mean")
    # with the same weight everywhere, what is above the mean and what is below cancel
    assert found.regions.sum() == pytest.approx(0, abs=1e-3)
    assert found.regions.min() < -0.1 < 0.1 < found.regions.max()


def test_few_segments_are_scored_in_full() -> None:
    net = ConvNet()
    pixels, grid = picture(48, 70), RegionGrid(2, 2)
    found = attribute("lime", scorer_of(net), pixels, grid, fill="black", kernel_width=1e6)
    assert found.options["samples"] == 16
    scorer = scorer_of(net)
    scores, switches = [], []
    for subset in range(16):
        hidden = pixels.copy()
        on = [(subset >> i) & 1 for i in range(4)]
        for (top, left, bottom, right), shown in zip(grid.boxes(48, 70), on, strict=True):
            hidden[top:bottom, left:right] *= np.uint8(shown)
        scores.append(scorer.score(hidden))
        switches.append([*on, 1])
    wanted = np.linalg.lstsq(np.array(switches, float), np.array(scores), rcond=None)[0][:4]
    np.testing.assert_allclose(found.regions, wanted, atol=1e-5)


def test_regions_follow_the_token_map() -> None:
    net, pixels = LinearNet(48, 70), picture(48, 70)
    grid, tokens = RegionGrid(2, 2), (3, 5)
    found = attribute("lime", scorer_of(net), pixels, grid, tokens=tokens)
    for value, (top, left, bottom, right) in zip(
        found.regions, grid.boxes(48, 70, tokens=tokens), strict=True
    ):
        np.testing.assert_array_equal(found.map[top:bottom, left:right], np.float32(value))


def test_superpixels_follow_edges() -> None:
    pixels = np.full((64, 96, 3), 40, np.uint8)
    pixels[20:44, 30:66] = (220, 180, 90)  # a bright rectangle, cut by no superpixel
    net = LinearNet(64, 96)
    found = attribute(
        "lime", scorer_of(net), pixels, GRID, segments="superpixels", superpixels=12, fill="black"
    )
    assert found.map.shape == (64, 96)
    assert 4 <= found.options["count"] <= 40
    assert len(np.unique(found.map)) == found.options["count"]
    inside = set(np.unique(found.map[23:41, 33:63]))
    outside = set(np.unique(np.concatenate((found.map[:17].ravel(), found.map[47:].ravel()))))
    assert not inside & outside
    # the superpixels' weights are exact too, so that together they make the whole difference
    scorer = scorer_of(net)
    firsts = [found.map.ravel()[i] for i in np.unique(found.map, return_index=True)[1]]
    difference = scorer.score(pixels) - scorer.score(np.zeros_like(pixels))
    assert sum(firsts) == pytest.approx(difference, abs=2e-3)


def test_maps_have_the_size_of_the_photograph() -> None:
    scorer = scorer_of(LinearNet(40, 60), size=(40, 60))
    for segments in ("regions", "superpixels"):
        found = attribute("lime", scorer, picture(75, 123), GRID, segments=segments, superpixels=10)
        assert found.map.shape == (75, 123)
        assert found.map.dtype == np.float32
        assert found.map.min() < 0 < found.map.max()


def test_the_seed_decides() -> None:
    scorer, pixels = scorer_of(small_triq()), picture(96, 128)
    before = torch.get_rng_state()
    first, again, other = (
        attribute("lime", scorer, pixels, GRID, samples=30, seed=seed) for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first.map, again.map)
    assert not np.allclose(first.map, other.map, rtol=1e-3)
    assert torch.equal(before, torch.get_rng_state())


def test_batches_do_not_change_the_answer() -> None:
    scorer, pixels = scorer_of(ConvNet()), picture(48, 70)
    one, many = (
        attribute("lime", scorer, pixels, GRID, samples=50, batch=batch) for batch in (1, 7)
    )
    np.testing.assert_allclose(one.regions, many.regions, atol=1e-5)


def test_the_target_is_what_is_explained() -> None:
    scorer, pixels = scorer_of(ConvNet()), picture(48, 70)
    level = attribute("lime", scorer, pixels, GRID, target=lambda output: output[:, 2])
    twice = attribute("lime", scorer, pixels, GRID, target=lambda output: 2 * output[:, 2])
    np.testing.assert_allclose(twice.regions, 2 * level.regions, atol=1e-6)
    score = attribute("lime", scorer, pixels, GRID)
    assert not np.allclose(level.regions, score.regions, atol=1e-5)


def test_subsets_start_whole_and_come_in_pairs() -> None:
    subsets = draw(12, 101, seed=0)
    assert subsets.shape == (101, 12)
    assert subsets[0].all()
    assert (subsets[1::2] + subsets[2::2] == 1).all()
    assert len(draw(12, 64, seed=0)) == 64
    every = draw(5, 64, seed=0)
    assert len(every) == len({tuple(row.tolist()) for row in every}) == 32
    assert every[0].all()


def test_proximity_is_the_cosine_kernel() -> None:
    whole = torch.ones(1, 12)
    half = torch.tensor([[1, 0] * 6])
    assert proximity(whole, 0.25).item() == 1
    cosine = torch.cosine_similarity(half.double(), whole.double()).item()
    wanted = np.sqrt(np.exp(-((1 - cosine) ** 2) / 0.25**2))
    assert proximity(half, 0.25).item() == pytest.approx(wanted)
    assert 0 < proximity(0 * whole, 0.25).item() < 1e-3


def test_ridge_against_the_normal_equations() -> None:
    draw_from = np.random.default_rng(0)
    x = draw_from.integers(0, 2, (30, 4)).astype(float)
    y, w = draw_from.normal(size=30), draw_from.uniform(0.1, 1, 30)
    model = LeastSquares(0.7)
    model.fit([tuple(torch.tensor(part) for part in (x, y, w))])  # type: ignore[arg-type]
    full = np.column_stack((x, np.ones(30)))
    penalty = 0.7 * np.diag([1, 1, 1, 1, 0])
    wanted = np.linalg.solve(full.T @ (w[:, None] * full) + penalty, full.T @ (w * y))
    np.testing.assert_allclose(model.representation().numpy(), wanted[:4], atol=1e-10)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples": 12}, "got 12 samples for 12 segments"),
        ({"segments": "squares"}, "expected regions or superpixels"),
        ({"fill": "white"}, "expected segment, mean or black"),
        ({"kernel_width": 0}, "kernel width 0"),
        ({"ridge": -1.0}, "ridge -1.0"),
        ({"batch": 0}, "batch 0"),
        ({"segments": "superpixels", "superpixels": 1}, "got 1 superpixels"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(AttributionError, match=words):
        attribute("lime", scorer_of(LinearNet(48, 70)), picture(48, 70), GRID, **options)
