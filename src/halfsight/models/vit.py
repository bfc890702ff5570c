"""timm VisionTransformers inside other people's modules: finding them, hiding their tokens."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import get_ident
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from halfsight.models.triq import MASK_LOGIT


def find(module: nn.Module) -> Any | None:
    """The one timm VisionTransformer in a module that is read by its class token, or None.

    Blocks must take an attention mask, as timm's plain ones do.
    """
    found: list[Any] = [part for part in module.modules() if isinstance(part, VisionTransformer)]
    if len(found) != 1:
        return None
    vit = found[0]
    if vit.global_pool != "token" or vit.cls_token is None or vit.attn_pool is not None:
        return None
    if not all("attn_mask" in inspect.signature(block.forward).parameters for block in vit.blocks):
        return None
    return vit


def input_size(vit: Any) -> tuple[int, int] | None:
    """(height, width) in pixels of the images it takes, None if it takes all sizes."""
    if vit.dynamic_img_size or vit.patch_embed.img_size is None:
        return None
    height, width = vit.patch_embed.img_size
    return int(height), int(width)


def token_shape(vit: Any, height: int, width: int) -> tuple[int, int]:
    """(rows, cols) of its patch tokens for an image of this size in pixels."""
    if vit.dynamic_img_size:
        rows, cols = vit.patch_embed.dynamic_feat_size((height, width))
    else:
        rows, cols = vit.patch_embed.grid_size
    return int(rows), int(cols)


@contextmanager
def hidden(vit: Any, masks: Tensor) -> Iterator[None]:
    """Add -1e9 at the keys of hidden tokens in every block, as long as the context lasts.

    Only calls from this thread are masked. The hooks are gone afterwards, whatever happens.

    Args:
        vit: the transformer.
        masks: bool (N, 1 + rows * cols), True at tokens hidden from image n. The first column
            stands for the class token, and for further prefix tokens such as registers.
    """
    prefix = masks[:, :1].expand(-1, vit.num_prefix_tokens)
    keys = MASK_LOGIT * torch.cat((prefix, masks[:, 1:]), 1).float()
    thread = get_ident()

    def add(_: nn.Module, given: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if get_ident() != thread:
            return None
        bias = keys[:, None, None, :].to(given[0])
        return given, {**options, "attn_mask": bias}

    with ExitStack() as hooks:
        for block in vit.blocks:
            hooks.callback(block.register_forward_pre_hook(add, with_kwargs=True).remove)
        yield
