from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.attribution.nets import ConvNet, VitNet, scorer_of, small_triq
from tests.pictures import picture

from halfsight.attribution import AttributionError, attribute
from halfsight.attribution.rollout import Attentions, attentions, roll
from halfsight.grid import RegionGrid

GRID = RegionGrid(2, 3)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_a_product_written_by_hand() -> None:
    scorer, pixels = scorer_of(small_triq(layers=3)), picture(128, 192)
    net = scorer.net
    with torch.no_grad():
        tokens, (rows, cols) = net.tokens(net.backbone(scorer.read(pixels)[1]))
        product = np.eye(1 + rows * cols)
        for layer in net.encoder:
            x, attention = tokens[0].double().numpy(), layer.attention
            q, k = (
                (x @ part.weight.double().numpy().T + part.bias.double().numpy()).reshape(
                    len(x), attention.heads, -1
                )
                for part in (attention.query, attention.key)
            )
            mean = np.zeros((len(x), len(x)))
            for head in range(attention.heads):
                logits = q[:, head] @ k[:, head].T / np.sqrt(q.shape[-1])
                mean += softmax(logits) / attention.heads
            product = (0.5 * mean + 0.5 * np.eye(len(x))) @ product
            tokens = layer(tokens)[0]
    wanted = product[0, 1:].reshape(rows, cols)
    found = attribute("rollout", scorer, pixels, GRID, interpolation="nearest")
    assert (rows, cols) == (4, 6)
    assert np.ptp(wanted) > 1e-3
    np.testing.assert_allclose(found.map[16::32, 16::32], wanted, rtol=1e-5)
    # each region holds whole tokens, so that its value is their mean
    np.testing.assert_allclose(
        found.regions, wanted.reshape(2, 2, 3, 2).mean((1, 3)).ravel(), rtol=1e-5
    )
    assert found.options == {"layers": 3, "interpolation": "nearest", "how": "mean"}


def test_rows_sum_to_one() -> None:
    scorer = scorer_of(small_triq(layers=3))
    with torch.no_grad():
        weights = attentions(scorer.net, scorer.read(picture(128, 192))[1]).weights
    rolled = roll(weights)
    assert len(weights) == 3
    torch.testing.assert_close(rolled.sum(-1), torch.ones(25, dtype=torch.float64))
    assert (rolled >= 0).all()
    assert not torch.allclose(rolled, rolled.T)


def test_the_last_layer_stands_leftmost() -> None:
    first = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])  # both tokens read token 0
    last = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])  # both tokens read token 1
    wanted = torch.tensor([[0.75, 0.25], [0.25, 0.75]], dtype=torch.float64)
    wanted = (
        torch.tensor([[0.5, 0.5], [0.0, 1.0]]).double()
        @ torch.tensor([[1.0, 0.0], [0.5, 0.5]]).double()
    )
    torch.testing.assert_close(roll([first, last]), wanted)


@pytest.mark.parametrize(
    ("options", "pooled"),
    [
        ({}, False),
        ({"global_pool": "avg"}, True),
        ({"class_token": False, "global_pool": "avg"}, True),
    ],
)
def test_vision_transformers(options: dict[str, object], pooled: bool) -> None:
    torch.manual_seed(0)
    scorer = scorer_of(VitNet(**options))
    vit, pixels = scorer.net.vit, picture(64, 96)
    # the same attention from the block's own layers
    weights = []
    with torch.no_grad():
        images = scorer.read(pixels)[1]
        before = scorer.net(images)
        x = vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(images))))
        for block in vit.blocks:
            attention, given = block.attn, block.norm1(x)
            n, t = given.shape[:2]
            qkv = attention.qkv(given).reshape(n, t, 3, attention.num_heads, -1)
            q, k, _ = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            q, k = attention.q_norm(q), attention.k_norm(k)
            weights.append((q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1))
            x = block(x)
    rolled = roll(weights).numpy()
    prefix = vit.num_prefix_tokens
    wanted = rolled[prefix:].mean(0) if pooled else rolled[0]
    fused = [block.attn.fused_attn for block in vit.blocks]
    found = attribute("rollout", scorer, pixels, GRID, interpolation="nearest")
    np.testing.assert_allclose(
        found.map[8::16, 8::16].ravel(), wanted[prefix:], rtol=1e-4, atol=1e-7
    )
    assert [block.attn.fused_attn for block in vit.blocks] == fused
    assert not any(block.attn.attn_drop._forward_hooks for block in vit.blocks)
    with torch.no_grad():
        assert torch.equal(scorer.net(images), before)


def test_networks_may_tell_their_attention() -> None:
    net = ConvNet()
    attention = torch.tensor([[[[0.4, 0.6, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]])
    net.attentions = lambda images: Attentions((attention,), (1, 2))  # type: ignore[assignment]
    found = attribute("rollout", scorer_of(net), picture(40, 80), RegionGrid(1, 2))
    assert found.map[0, 0] == pytest.approx(0.3)
    assert found.map[0, -1] == 0


def test_a_convolutional_network_is_refused() -> None:
    with pytest.raises(AttributionError, match="got ConvNet for rollout, expected a transformer"):
        attribute("rollout", scorer_of(ConvNet()), picture(48, 70), GRID)


def test_portrait_photographs() -> None:
    found = attribute("rollout", scorer_of(small_triq()), picture(192, 128), RegionGrid(3, 2))
    assert found.map.shape == (192, 128)
    assert found.map.min() >= 0
    assert found.regions.shape == (6,)
