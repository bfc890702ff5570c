from __future__ import annotations

import pytest
import torch

from halfsight.models.swin_iqa import ChannelAttention, SwinIQA, SwinIQAConfig


def test_sizes_of_our_reading() -> None:
    with torch.device("meta"):
        net = SwinIQA()
    channels = (96, 192, 384, 768)
    project = sum(2 * count + count * 256 + 256 for count in channels)
    attention = 256 * 64 + 64 + 64 * 256 + 256
    head = 1024 * 64 + 64 + 64 * 5 + 5
    assert sum(p.numel() for p in net.head_parameters()) == project + attention + head
    assert sum(p.numel() for p in net.backbone.parameters()) == 27_517_818


def test_a_real_swin_takes_odd_sizes_and_is_cut_where_it_should() -> None:
    torch.manual_seed(0)
    net = SwinIQA(SwinIQAConfig(width=32)).eval()
    x = torch.randn(1, 3, 130, 150)
    with torch.inference_mode():
        out = net(x)
        first = net.stem(x, -1)
        maps = net.backbone.levels(first, 1)
        shapes = [tuple(one.shape[1:]) for one in maps]
        assert shapes == [(96, 33, 38), (192, 17, 19), (384, 9, 10), (768, 5, 5)]
        assert [one.shape[1] for one in net.tokens(maps)] == [33 * 38, 17 * 19, 90, 25]
        torch.testing.assert_close(net.rest(net.stem(x, 0), 0), out)
    torch.testing.assert_close(out.sum(1), torch.ones(1))


def test_attention_is_one_for_all_stages_and_bounded() -> None:
    torch.manual_seed(0)
    attention = ChannelAttention(8, 4)
    tokens = torch.randn(2, 5, 8)
    gates = attention(tokens)
    assert gates.shape == (2, 1, 8)
    assert ((gates > 0) & (gates < 1)).all()
    torch.testing.assert_close(attention(tokens.flip(1)), gates)
    with pytest.raises(ValueError, match="expected reduction to divide it"):
        ChannelAttention(8, 3)
