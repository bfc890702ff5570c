from __future__ import annotations

import pytest
import torch

from halfsight.models.backbone import KERAS_RESNET50, LITE0, Backbone, normalisation_of
from halfsight.models.base import WHOLE


@pytest.mark.parametrize(("name", "stages"), [(LITE0, 7), ("resnet18", 4), ("vgg11", 5)])
def test_cut_and_joined_is_the_whole(name: str, stages: int) -> None:
    torch.manual_seed(0)
    backbone = Backbone(name).eval()
    x = torch.randn(1, 3, 70, 90)
    with torch.inference_mode():
        whole = backbone(x)
        assert whole.shape[1] == backbone.channels
        torch.testing.assert_close(backbone.first(x, WHOLE), whole)
        before = sum(p.numel() for p in backbone.parameters()) + 1
        for stage in range(stages + 1):
            joined = backbone.after(backbone.first(x, stage), stage)
            torch.testing.assert_close(joined, whole)
            late = sum(p.numel() for p in backbone.late_parameters(stage))
            assert late < before
            before = late
    with pytest.raises(ValueError, match=f"expected 0 to {stages}"):
        backbone.first(x, stages + 1)


def test_a_family_that_cannot_be_cut_is_named() -> None:
    with torch.device("meta"):
        backbone = Backbone("mobilenetv3_small_050")
    backbone.net.conv_head = None
    del backbone.net.conv_head
    with pytest.raises(ValueError, match="freeze it whole"):
        backbone.first(torch.zeros(1, 3, 64, 64, device="meta"), 0)


@pytest.mark.parametrize(
    ("name", "channels", "first"),
    [
        (LITE0, (24, 40, 112, 320), 2),
        ("resnet50", (256, 512, 1024, 2048), 1),
        (KERAS_RESNET50, (256, 512, 1024, 2048), 1),
        ("swin_tiny_patch4_window7_224", (96, 192, 384, 768), 1),
    ],
)
def test_levels_have_strides_4_to_32(name: str, channels: tuple[int, ...], first: int) -> None:
    with torch.device("meta"):
        backbone = Backbone(name, pyramid=True).eval()
        assert backbone.level_channels == channels
        assert backbone.channels == channels[-1]
        assert backbone.first_level == first
        if name.startswith("swin"):
            return  # its attention masks need real numbers; tested with the model
        maps = backbone.levels(backbone.first(torch.zeros(1, 3, 768, 1024), first), first)
    assert [tuple(one.shape[1:]) for one in maps] == [
        (count, 768 // stride, 1024 // stride)
        for count, stride in zip(channels, (4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize("name", ["vgg11", "inception_resnet_v2"])
def test_backbones_without_levels_are_refused(name: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match="maps of strides 4, 8, 16 and 32"):
        Backbone(name, pyramid=True)


def test_inception_has_three_stages() -> None:
    with torch.device("meta"):
        backbone = Backbone("inception_resnet_v2").eval()
        x = torch.zeros(1, 3, 384, 512)
        shapes = [tuple(backbone.first(x, stage).shape[1:]) for stage in range(4)]
        last = backbone.after(backbone.first(x, 1), 1)
    assert shapes == [(192, 45, 61), (320, 45, 61), (1088, 22, 30), (2080, 10, 14)]
    assert last.shape == backbone(x).shape == (1, 1536, 10, 14)
    assert normalisation_of("inception_resnet_v2").mean == (0.5, 0.5, 0.5)


def test_vgg_ends_before_its_last_pooling() -> None:
    with torch.device("meta"):
        backbone = Backbone("vgg16")
        assert backbone(torch.zeros(1, 3, 384, 512)).shape == (1, 512, 24, 32)
    assert sum(p.numel() for p in backbone.parameters()) == 14_714_688


def test_keras_resnet_strides_in_the_first_convolution() -> None:
    with torch.device("meta"):
        net = Backbone(KERAS_RESNET50).net
    for layer in (net.layer2, net.layer3, net.layer4):
        assert layer[0].conv1.stride == (2, 2)
        assert layer[0].conv2.stride == (1, 1)
        assert layer[1].conv1.stride == (1, 1)
    assert net.layer1[0].conv1.stride == (1, 1)
    assert net.bn1.eps == 1.001e-5
