from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from halfsight.models import registry
from halfsight.models.koncept512 import KonCept512, KonCept512Config, build


def test_paper_configuration_has_its_layers_and_size() -> None:
    with torch.device("meta"):
        net = KonCept512().eval()
        assert net.stem(torch.zeros(1, 3, 384, 512), -1).shape == (1, 1536, 10, 14)
    kinds = [type(layer) for layer in net.head]
    assert kinds == [nn.Linear, nn.ReLU, nn.BatchNorm1d, nn.Dropout] * 3 + [nn.Linear]
    assert [layer.p for layer in net.head if isinstance(layer, nn.Dropout)] == [0.25, 0.25, 0.5]
    widths = [1536, 2048, 1024, 256]
    hidden = sum(a * b + 3 * b for a, b in itertools.pairwise(widths))
    assert sum(p.numel() for p in net.head_parameters()) == hidden + 257
    assert sum(p.numel() for p in net.backbone.parameters()) == 54_306_464
    policy = registry.entry("koncept512").policy(net)
    assert policy.size == (384, 512)
    assert policy.normalisation.mean == policy.normalisation.std == (0.5, 0.5, 0.5)


def test_pooling_takes_the_whole_map_or_the_ports_corner() -> None:
    torch.manual_seed(0)
    options = {"backbone": "tf_efficientnet_lite0", "widths": [8], "dropout": [0.0]}
    whole = build(**options).eval()
    corner = build(**options, pool="corner").eval()
    corner.load_state_dict(whole.state_dict())
    features = torch.randn(1, 1280, 10, 14)
    outside = features.clone()
    outside[..., 8:, :] += 1
    outside[..., 8:] += 1
    with torch.inference_mode():
        assert whole.rest(features, -1) != whole.rest(outside, -1)
        assert torch.equal(corner.rest(features, -1), corner.rest(outside, -1))
        average = nn.AvgPool2d(8, count_include_pad=False)(features).flatten(1)
        torch.testing.assert_close(corner.rest(features, -1), corner.head(average)[:, 0])


def test_lists_do_for_tuples_and_lengths_must_agree() -> None:
    options = {"backbone": "tf_efficientnet_lite0", "size": [96, 128]}
    with torch.device("meta"):
        assert build(**options).config.size == (96, 128)
    with pytest.raises(ValueError, match="got 2 widths and 1 dropout rates"):
        KonCept512(KonCept512Config(widths=(8, 4), dropout=(0.1,)))


@pytest.mark.parametrize("pool", ["global", "corner"])
def test_the_summary_stands_for_the_map(pool: str) -> None:
    torch.manual_seed(0)
    options = {"backbone": "tf_efficientnet_lite0", "widths": [8], "dropout": [0.0]}
    net = build(**options, pool=pool).eval()
    features = torch.randn(2, 1280, 10, 14)
    summary = net.summary(features, -1)
    assert summary.shape == (2, 1280, 1, 1)
    with torch.inference_mode():
        torch.testing.assert_close(net.rest(summary, -1), net.rest(features, -1))
    assert net.summary(features, 3) is features
