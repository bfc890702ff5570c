from __future__ import annotations

import operator
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.pictures import picture
from torch import nn

from halfsight.budget import crops, files
from halfsight.budget.crops import BudgetError, Layout, answer, block_features, read_blocks
from halfsight.budget.views import crop_map
from halfsight.grid import GridError, RegionGrid
from halfsight.models.triq import TRIQ, TRIQConfig
from halfsight.scorer import Scorer

GRID = RegionGrid()


def test_blocks_of_the_paper_size(scorer: Scorer) -> None:
    layout = Layout.of(scorer.transformer(), 768, 1024, GRID)
    assert layout.shape == (12, 16)
    boxes = [layout.box(region) for region in range(12)]
    assert boxes[0] == (0, 0, 256, 256)
    assert boxes[-1] == (512, 768, 768, 1024)
    assert layout.window((0, 0, 1, 1)) == (0, 0, 288, 288)
    assert layout.window((1, 1, 2, 2)) == (224, 224, 544, 544)
    assert layout.within(5, (224, 224, 544, 544)) == (slice(1, 9), slice(1, 9))
    middle = (0, 1, 3, 3)
    assert layout.window(middle) == (0, 224, 768, 800)
    assert layout.inside(middle) == [1, 2, 5, 6, 9, 10]


@pytest.mark.parametrize(
    ("regions", "wanted"),
    [
        ([1, 2, 5, 6, 9, 10], [(0, 1, 3, 3)]),
        ([10, 1, 6, 2, 9, 5], [(0, 1, 3, 3)]),
        ([0, 2, 5, 7], [(0, 0, 1, 1), (0, 2, 1, 3), (1, 1, 2, 2), (1, 3, 2, 4)]),
        ([0, 1, 4, 5, 6], [(0, 0, 1, 2), (1, 0, 2, 3)]),
        ([0, 1, 8, 9], [(0, 0, 1, 2), (2, 0, 3, 2)]),
        ([3, 7, 10, 11], [(0, 3, 2, 4), (2, 2, 3, 4)]),
        (range(12), [(0, 0, 3, 4)]),
    ],
)
def test_neighbours_are_read_together(
    scorer: Scorer, regions: list[int], wanted: list[tuple[int, ...]]
) -> None:
    layout = Layout.of(scorer.transformer(), 768, 1024, GRID)
    assert layout.rectangles(regions) == wanted


@given(st.sets(st.integers(0, 11), min_size=1))
def test_rectangles_hold_each_region_once(regions: set[int]) -> None:
    layout = Layout((768, 1024), GRID, pooled=True)
    boxes = layout.rectangles(sorted(regions))
    inside = [region for box in boxes for region in layout.inside(box)]
    assert sorted(inside) == sorted(regions)
    assert len(boxes) <= len(regions)


@pytest.mark.parametrize("size", [(500, 500), (137, 190), (203, 128), (600, 800), (768, 1024)])
def test_every_token_lies_in_one_block(scorer: Scorer, size: tuple[int, int]) -> None:
    layout = Layout.of(scorer.transformer(), *size, GRID)
    places = np.concatenate([layout.places(region) for region in range(12)])
    assert sorted(places.tolist()) == list(range(layout.shape[0] * layout.shape[1]))
    owners = layout.grid.token_owners(*layout.shape)
    for region in range(12):
        assert set(owners[layout.places(region)]) == {region}
        top, left, bottom, right = layout.box(region)
        assert 0 <= top < bottom <= size[0]
        assert 0 <= left < right <= size[1]


@torch.inference_mode()
@pytest.mark.parametrize("size", [(137, 190), (203, 128), (330, 300)])
def test_token_shapes_agree_with_the_network(scorer: Scorer, size: tuple[int, int]) -> None:
    net = scorer.transformer()
    features = net.backbone(torch.zeros(1, 3, *size))
    layout = Layout.of(net, *size, GRID)
    assert tuple(features.shape[-2:]) == layout.features
    assert net.tokens(features)[1] == layout.shape


@torch.inference_mode()
def test_the_inside_of_a_block_is_what_the_whole_photograph_gives(scorer: Scorer) -> None:
    """Only features near a block's border see zeros where the neighbours would be."""
    net = scorer.transformer()
    stem = net.backbone.net.conv_stem
    pixels = picture(384, 512)
    layout = Layout.of(net, 384, 512, GRID)
    whole = stem(scorer.policy.normalise(pixels))
    top, left, bottom, right = layout.box(5)
    block = stem(scorer.policy.normalise(pixels[top:bottom, left:right]))
    inside = whole[:, :, top // 2 : bottom // 2, left // 2 : right // 2]
    assert torch.allclose(block[..., :-1, :-1], inside[..., :-1, :-1], atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("size", [(768, 1024), (500, 500), (137, 190), (203, 128), (600, 800)])
def test_features_come_from_where_the_block_is(scorer: Scorer, size: tuple[int, int]) -> None:
    """A backbone that sees 32x32 pixels and no more tells a window's place exactly."""
    net = files.with_own_head(scorer.transformer())
    cells = nn.AvgPool2d(32, ceil_mode=True)
    net._modules["backbone"] = cells
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    layout = Layout.of(net, *size, GRID)
    whole = cells(scorer.policy.normalise(pixels))[0]
    for regions in (range(12), [0], [5], [11], [1, 2, 5, 7, 8]):
        found = block_features(net, scorer.policy, pixels, layout, regions)
        assert sorted(found) == sorted(regions)
        for region, features in found.items():
            top, left, bottom, right = (edge * layout.scale for edge in layout.spans[region])
            assert torch.allclose(features, whole[:, top:bottom, left:right], atol=1e-6)


def test_a_part_never_costs_more_than_the_whole(scorer: Scorer) -> None:
    small = Layout.of(scorer.transformer(), 128, 160, GRID)
    assert small.windows([0, 2, 5, 7]) == {(0, 0, 128, 160): [0, 2, 5, 7]}
    large = Layout.of(scorer.transformer(), 768, 1024, GRID)
    assert len(large.windows([0, 2, 5, 7])) == 4


@torch.inference_mode()
def test_windows_seen_before_are_used_again(scorer: Scorer) -> None:
    net, pixels = scorer.transformer(), picture(768, 1024)
    layout = Layout.of(net, 768, 1024, GRID)
    seen: dict[crops.Box, torch.Tensor] = {}
    first = block_features(net, scorer.policy, pixels, layout, [1, 2, 8], seen=seen)
    assert set(seen) == set(layout.windows([1, 2, 8]))
    net_without = files.with_own_head(net)
    net_without._modules["backbone"] = nn.Identity()
    again = block_features(net_without, scorer.policy, pixels, layout, [1, 2, 8], seen=seen)
    assert all(torch.equal(first[region], again[region]) for region in (1, 2, 8))


@torch.inference_mode()
def test_context_brings_features_nearer_to_the_whole_photographs(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = scorer.transformer()
    pixels = picture(384, 512)
    layout = Layout.of(net, 384, 512, GRID)
    whole = net.backbone(scorer.policy.normalise(pixels))[0]
    errors = []
    for context in (0, 1, 3):
        monkeypatch.setattr(crops, "CONTEXT", context)
        seen = crop_map(net, scorer.policy, pixels, layout)
        errors.append(float((seen - whole).square().mean()))
    assert errors[0] > 1.2 * errors[1]
    assert errors[1] > 1.2 * errors[2]


@torch.inference_mode()
@pytest.mark.parametrize("size", [(300, 260), (260, 330)])
def test_leaving_tokens_out_equals_masking_them(scorer: Scorer, size: tuple[int, int]) -> None:
    net = scorer.transformer()
    pixels = picture(*size)
    layout = Layout.of(net, *size, GRID)
    kept = [1, 2, 7, 8]
    alone = [read_blocks(net, scorer.policy, pixels, layout, [region]) for region in kept]
    some = answer(net, reduce(operator.add, alone), layout)
    tokens, shape = net.tokens(crop_map(net, scorer.policy, pixels, layout)[None])
    assert shape == layout.shape
    hidden = ~np.isin(layout.grid.token_owners(*shape), kept)
    mask = torch.from_numpy(np.concatenate(([False], hidden)))[None]
    assert torch.allclose(some, net.head(net.encode(tokens, mask)), atol=1e-5)
    assert not torch.allclose(some, net.head(net.encode(tokens)), atol=1e-4)


def test_another_stride_is_refused(scorer: Scorer) -> None:
    net = TRIQ(TRIQConfig(backbone="vgg16", pool_from=64)).eval()
    layout = Layout.of(net, 128, 128, GRID)
    with pytest.raises(BudgetError, match="use a backbone of stride 32"):
        block_features(net, scorer.policy, picture(128, 128), layout, [0])


def test_a_grid_finer_than_the_tokens_is_refused(scorer: Scorer) -> None:
    layout = Layout.of(scorer.transformer(), 128, 160, RegionGrid(2, 8))
    with pytest.raises(GridError):
        layout.box(0)
    assert replace(layout, grid=GRID).box(0)[:2] == (0, 0)
