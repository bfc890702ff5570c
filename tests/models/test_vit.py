"""timm transformers in other people's modules: hiding a token is leaving it out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from tests.foreign import Behind, small_vit
from torch import Tensor

from halfsight.models import vit
from halfsight.models.card import Scale
from halfsight.models.external import External

IMAGES = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
MASKS = torch.zeros(4, 13, dtype=torch.bool)
MASKS[1, 3] = MASKS[2, 1:] = True
MASKS[3, 1::2] = True


def external(module: torch.nn.Module) -> External:
    return External(module, name="theirs", scale=Scale(min=0, max=100))


def without(net: Any, images: Tensor, mask: Tensor) -> Tensor:
    """The transformer's answer with the hidden tokens taken out of the sequence: the oracle."""
    tokens = net._pos_embed(net.patch_embed(images))
    prefix = net.num_prefix_tokens
    kept = torch.cat((torch.ones(prefix, dtype=torch.bool), ~mask[1:]))
    tokens = net.norm_pre(tokens[:, kept])
    for block in net.blocks:
        tokens = block(tokens)
    answer: Tensor = net.forward_head(net.norm(tokens))
    return answer[:, 0]


@pytest.mark.parametrize(
    "options", [{}, {"reg_tokens": 2}, {"init_values": 0.5}, {"qk_norm": True, "depth": 3}]
)
@torch.no_grad()
def test_masking_equals_dropping_tokens(options: dict[str, Any]) -> None:
    net = small_vit(**options)
    masked = external(net).masked(IMAGES, MASKS)
    wanted = torch.cat([without(net, IMAGES, mask) for mask in MASKS])
    torch.testing.assert_close(masked, wanted, atol=1e-5, rtol=1e-5)
    assert len(set(masked.tolist())) == 4
    torch.testing.assert_close(masked[:1], net(IMAGES)[:, 0])


@torch.no_grad()
def test_a_transformer_behind_other_code_is_masked_too() -> None:
    net = small_vit()
    masked = external(Behind(net)).masked(IMAGES, MASKS)
    wanted = torch.cat([without(net, IMAGES * 2, mask) for mask in MASKS])
    torch.testing.assert_close(masked, wanted, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_other_sizes_where_the_transformer_takes_them() -> None:
    net = small_vit(dynamic_img_size=True)
    found = external(net)
    assert vit.input_size(net) is None
    assert found.token_shape(80, 112) == (5, 7)
    larger = torch.rand(1, 3, 80, 112)
    mask = torch.rand(1, 36) > 0.5
    mask[:, 0] = False
    torch.testing.assert_close(
        found.masked(larger, mask), without(net, larger, mask[0]), atol=1e-5, rtol=1e-5
    )
    fixed = small_vit()
    assert vit.input_size(fixed) == (48, 64)
    assert external(fixed).token_shape(48, 64) == (3, 4)


@pytest.mark.parametrize(
    "module",
    [
        small_vit(global_pool="avg"),
        small_vit(class_token=False, global_pool="avg"),
        Behind(small_vit(), patches=True),  # hiding patches would not hide them from the answer
        torch.nn.ModuleList([small_vit(), small_vit()]),
        torch.nn.Identity(),
    ],
    ids=["average", "no class token", "reads patches", "two", "none"],
)
def test_others_have_no_tokens_to_hide(module: torch.nn.Module) -> None:
    assert external(module).transformer is None


def test_the_class_token_is_never_hidden() -> None:
    with pytest.raises(ValueError, match="class token"):
        external(small_vit()).masked(IMAGES, torch.ones(1, 13, dtype=torch.bool))


@torch.no_grad()
def test_hooks_are_gone_after_an_error_and_other_threads_see_none() -> None:
    net = small_vit()
    plain = net(IMAGES)
    with ThreadPoolExecutor(1) as threads, vit.hidden(net, MASKS[2:3]):
        torch.testing.assert_close(threads.submit(net, IMAGES).result(), plain)
        assert not torch.allclose(net(IMAGES), plain)
    with pytest.raises(ZeroDivisionError), vit.hidden(net, MASKS[2:3]):
        raise ZeroDivisionError
    assert all(not block._forward_pre_hooks for block in net.blocks)
    torch.testing.assert_close(net(IMAGES), plain)
