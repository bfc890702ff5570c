from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from halfsight.models.aihiqnet import AIHIQnet, AIHIQnetConfig, GatedHead, Pyramid, SameConv, build


def test_paper_configuration_has_its_shapes_and_size() -> None:
    with torch.device("meta"):
        net = AIHIQnet().eval()
        maps = net.backbone.levels(net.stem(torch.zeros(1, 3, 768, 1024), -1), 1)
        levels = net.pyramid(maps)
    assert [tuple(one.shape) for one in levels] == [
        (1, 256, 192, 256),
        (1, 256, 96, 128),
        (1, 256, 48, 64),
        (1, 256, 24, 32),
        (1, 256, 12, 16),
    ]
    reduce = (256 + 512 + 1024 + 2048) * 256 + 4 * 256
    smooth = 4 * (256 * 256 * 9 + 256)
    coarsest = 2048 * 256 * 9 + 256
    head = (256 * 256 + 256) + 2 * 7 * 7 + (256 * 5 + 5)
    assert sum(p.numel() for p in net.head_parameters()) == reduce + smooth + coarsest + 5 * head
    assert sum(p.numel() for p in net.backbone.parameters()) == 23_508_032


@pytest.mark.parametrize("side", [7, 8, 9, 10])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_is_tensorflows_same(side: int, stride: int) -> None:
    conv = SameConv(1, 1, 3, stride=stride, bias=False)
    torch.nn.init.ones_(conv.weight)
    x = torch.arange(side * side, dtype=torch.float32).view(1, 1, side, side)
    out = conv(x)
    expected = -(-side // stride)
    assert out.shape[-2:] == (expected, expected)
    before = 0 if stride == 2 and side % 2 == 0 else 1  # an even side is padded at its end alone
    wide = F.pad(x, (before, 2, before, 2))
    torch.testing.assert_close(out[0, 0, 0, 0], wide[0, 0, :3, :3].sum())


def test_the_pyramid_passes_on_maps_before_their_last_convolution() -> None:
    torch.manual_seed(0)
    pyramid = Pyramid((4, 6), 5)
    fine, coarse = torch.randn(1, 4, 6, 8), torch.randn(1, 6, 3, 4)
    first, second, third = pyramid([fine, coarse])
    reduced = pyramid.reduce[1](coarse)
    up = reduced.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(first, pyramid.smooth[0](pyramid.reduce[0](fine) + up))
    torch.testing.assert_close(second, pyramid.smooth[1](reduced))
    torch.testing.assert_close(third, pyramid.coarsest(coarse))


def test_gates_by_hand() -> None:
    torch.manual_seed(0)
    head = GatedHead(3, 2)
    x = torch.randn(1, 3, 4, 5)
    channel, spatial = head.gates(x)
    average = torch.sigmoid(head.channel.weight @ x[0].mean((1, 2)) + head.channel.bias)
    peak = torch.sigmoid(head.channel.weight @ x[0].amax((1, 2)) + head.channel.bias)
    torch.testing.assert_close(channel[0, :, 0, 0], (average + peak) / 2)
    both = torch.stack((x[0].mean(0), x[0].amax(0)))[None]
    torch.testing.assert_close(
        spatial, torch.sigmoid(F.conv2d(both, head.spatial.weight, padding=3))
    )
    pooled = (x * channel * spatial).mean((2, 3))
    torch.testing.assert_close(head(x), pooled @ head.predict.weight.T + head.predict.bias)


def test_levels_are_averaged_as_probabilities() -> None:
    torch.manual_seed(0)
    net = build(backbone="tf_efficientnet_lite0", width=16).eval()
    assert net.config == AIHIQnetConfig("tf_efficientnet_lite0", 5, 16)
    x = torch.randn(1, 3, 128, 160)
    with torch.inference_mode():
        maps = net.pyramid(net.backbone.levels(net.stem(x, 0), 0))
        each = [head(one).softmax(-1) for head, one in zip(net.heads, maps, strict=True)]
        torch.testing.assert_close(net(x), torch.stack(each).mean(0))
