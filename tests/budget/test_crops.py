from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
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
    assert layout.window(0) == (0, 0, 288, 288)
    assert layout.window(5) == (224, 224, 544, 544)
    assert layout.inside(5) == (slice(1, 9), slice(1, 9))
    corners, above_and_below, sides, inner = [0, 3, 8, 11], [1, 2, 9, 10], [4, 7], [5, 6]
    assert layout.by_size(range(12)) == [corners, above_and_below, sides, inner]


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
    found = block_features(net, scorer.policy, pixels, layout, range(12))
    for region, features in found.items():
        top, left, bottom, right = (edge * layout.scale for edge in layout.spans[region])
        assert torch.allclose(features, whole[:, top:bottom, left:right], atol=1e-6)


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
    assert errors[0] > 1.5 * errors[1] > 1.5 * errors[2]


@torch.inference_mode()
@pytest.mark.parametrize("size", [(300, 260), (260, 330)])
def test_leaving_tokens_out_equals_masking_them(scorer: Scorer, size: tuple[int, int]) -> None:
    net = scorer.transformer()
    pixels = picture(*size)
    layout = Layout.of(net, *size, GRID)
    kept = [1, 2, 7, 8]
    some = answer(net, read_blocks(net, scorer.policy, pixels, layout, kept), layout)
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
