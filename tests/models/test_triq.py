from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from halfsight.models.triq import TRIQ, TRIQConfig, build

SMALL = TRIQConfig(backbone="tf_efficientnet_lite0")


@pytest.fixture(scope="module")
def net() -> TRIQ:
    torch.manual_seed(0)
    return TRIQ(SMALL).eval()


def test_paper_configuration_has_the_papers_shapes() -> None:
    with torch.device("meta"):
        net = TRIQ().eval()
        features = net.stem(torch.zeros(1, 3, 768, 1024), -1)
    assert features.shape == (1, 2048, 24, 32)
    assert sum(p.numel() for p in net.backbone.parameters()) == 23_508_032
    tokens, shape = net.tokens(features)
    assert net.backbone.channels == 2048
    assert shape == (12, 16)
    assert tokens.shape == (1, 193, 32)
    assert net.positions.shape == (1, 193, 32)
    head = sum(p.numel() for p in net.head_parameters())
    layer = 4 * (32 * 32 + 32) + 2 * 64 + (32 * 64 + 64) + (64 * 32 + 32)
    assert head == 2048 * 32 + 32 + 32 + 193 * 32 + 2 * layer + (32 * 64 + 64) + (64 * 5 + 5)


@pytest.mark.parametrize(
    ("features", "tokens"),
    [
        ((24, 32), (12, 16)),
        ((32, 24), (16, 12)),
        ((16, 16), (8, 8)),
        ((15, 40), (15, 40)),
        ((17, 33), (8, 16)),
    ],
)
def test_pooling_from_sixteen_rows(
    net: TRIQ, features: tuple[int, int], tokens: tuple[int, int]
) -> None:
    with torch.inference_mode():
        _, shape = net.tokens(torch.zeros(1, net.backbone.channels, *features))
    assert shape == tokens


def test_encoder_layer_matches_torchs_own(net: TRIQ) -> None:
    layer = net.encoder[0]
    theirs = torch.nn.TransformerEncoderLayer(
        32, 8, 64, dropout=0.0, layer_norm_eps=1e-6, batch_first=True
    ).eval()
    a = layer.attention
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(
            torch.cat([a.query.weight, a.key.weight, a.value.weight])
        )
        theirs.self_attn.in_proj_bias.copy_(torch.cat([a.query.bias, a.key.bias, a.value.bias]))
        theirs.self_attn.out_proj.load_state_dict(a.output.state_dict())
        theirs.linear1.load_state_dict(layer.expand.state_dict())
        theirs.linear2.load_state_dict(layer.contract.state_dict())
        theirs.norm1.load_state_dict(layer.norm1.state_dict())
        theirs.norm2.load_state_dict(layer.norm2.state_dict())
        x = torch.randn(2, 9, 32)
        masked = torch.zeros(2, 9, dtype=torch.bool)
        masked[1, 3:6] = True
        ours, weights = layer(x, masked)
        assert torch.allclose(ours, theirs(x, src_key_padding_mask=masked), atol=1e-5)
        assert (weights[1, :, :, 3:6] == 0).all()
        assert torch.allclose(weights.sum(-1), torch.ones(2, 8, 9), atol=1e-5)


def test_masking_equals_dropping_the_tokens(net: TRIQ) -> None:
    torch.manual_seed(1)
    tokens = torch.randn(1, 21, 32)
    masks = torch.rand(16, 21) < 0.5
    masks[:, 0] = False
    with torch.inference_mode():
        together = net.encode(tokens, masks)
        for mask, quality in zip(masks, together, strict=True):
            alone = net.encode(tokens[:, ~mask])
            assert torch.allclose(alone[0], quality, atol=1e-5)


def test_the_quality_token_cannot_be_masked(net: TRIQ) -> None:
    with pytest.raises(ValueError, match="quality token"):
        net.encode(torch.randn(1, 5, 32), torch.ones(1, 5, dtype=torch.bool))


def test_positions_are_interpolated_in_two_dimensions(net: TRIQ) -> None:
    with torch.inference_mode():
        table = net.position_table(6, 8)
        grid = net.positions[:, 1:].transpose(1, 2).reshape(1, 32, 12, 16)
        wanted = F.interpolate(grid, size=(6, 8), mode="bilinear", align_corners=False)
    assert torch.equal(table[:, 0], net.positions[:, 0])
    assert torch.equal(table[:, 1:], wanted.flatten(2).transpose(1, 2))
    assert net.position_table(12, 16) is net.positions


def test_truncated_positions_are_the_authors(net: TRIQ) -> None:
    authors = build(backbone="tf_efficientnet_lite0", positions="truncate")
    assert torch.equal(authors.position_table(5, 7), authors.positions[:, :36])
    with pytest.raises(ValueError, match="at most 192"):
        authors.position_table(13, 16)


def test_outputs_and_the_cut_for_caching(net: TRIQ) -> None:
    images = torch.randn(2, 3, 128, 160)
    with torch.inference_mode():
        p = net(images)
        assert p.shape == (2, 5)
        assert torch.allclose(p.sum(1), torch.ones(2), atol=1e-6)
        for stage in (-1, 0, 3, 7):
            assert torch.allclose(net.rest(net.stem(images, stage), stage), p, atol=1e-6)
        scalar = build(backbone="tf_efficientnet_lite0", levels=1).eval()
        assert scalar(images).shape == (2,)
    with pytest.raises(ValueError, match="expected 0 to 7"):
        net.stem(images, 8)


def test_stage_parameters_partition_the_network(net: TRIQ) -> None:
    everything = {id(p) for p in net.parameters()}
    head = {id(p) for p in net.head_parameters()}
    assert head | {id(p) for p in net.backbone.parameters()} == everything
    assert net.backbone_parameters(-1) == []
    sizes = [len(net.backbone_parameters(stage)) for stage in range(8)]
    assert sizes == sorted(sizes, reverse=True)
    assert not head & {id(p) for p in net.backbone_parameters(0)}


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads to divide"):
        build(backbone="tf_efficientnet_lite0", width=30)
