"""Attention rollout (Abnar & Zuidema, ACL 2020, arXiv 2005.00928).

How much of each input token reaches the quality token, if attention were all that mixes tokens: the
product over the layers of (A + I) / 2, A being the attention averaged over the heads. The identity
stands for the residual connection. It is never negative, and it knows nothing of the score: what is
looked at may raise the score or lower it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from halfsight.attribution.base import Answer, AttributionError, Interpolation, Question
from halfsight.models.base import WHOLE
from halfsight.models.triq import TRIQ


@dataclass(frozen=True)
class Attentions:
    """The attention of one image in every layer.

    Attributes:
        weights: a tensor (1, heads, T, T) a layer, first layer first; rows are queries.
        shape: (rows, cols) of the token map.
        prefix: tokens before those of the map: quality, class and register tokens.
        pooled: True if the answer is read from the mean of the map's tokens, False if from token 0.
    """

    weights: tuple[Tensor, ...]
    shape: tuple[int, int]
    prefix: int = 1
    pooled: bool = False


@runtime_checkable
class Attentive(Protocol):
    """A network that tells its attention itself, so that rollout works for it."""

    def attentions(self, images: Tensor) -> Attentions:
        """Attention of one normalised image (1, 3, H, W)."""


def rollout(question: Question, *, interpolation: Interpolation = "bilinear") -> Answer:
    """Attention rollout of one photograph: the quality token's row, without its own entry.

    Args:
        question: what is explained; the target plays no part.
        interpolation: ``bilinear`` or ``nearest``, from the token map to the photograph.

    Raises:
        AttributionError: if the model is no transformer over one map of tokens.
    """
    with torch.no_grad():
        found = attentions(question.net, question.tensor)
        row = read_row(found)
    large = question.enlarge(row, interpolation)
    return Answer(large, {"layers": len(found.weights), "interpolation": interpolation})


def roll(weights: Sequence[Tensor]) -> Tensor:
    """Product of (A + I) / 2 over the layers, the last layer leftmost.

    Args:
        weights: attention (1, heads, T, T) a layer, first layer first.

    Returns:
        float64 (T, T): row q says what token q of the last layer is made of; rows sum to 1.
    """
    size = weights[0].shape[-1]
    rolled = identity = torch.eye(size, dtype=torch.float64, device=weights[0].device)
    for layer in weights:
        rolled = (layer[0].double().mean(0) + identity) / 2 @ rolled
    return rolled


def read_row(found: Attentions) -> Tensor:
    """The row the answer is read from, over the token map: (rows, cols)."""
    rolled = roll(found.weights)
    row = rolled[found.prefix :].mean(0) if found.pooled else rolled[0]
    return row[found.prefix :].reshape(found.shape)


def attentions(net: nn.Module, images: Tensor) -> Attentions:
    """Attention of one image in every layer of a transformer.

    Args:
        net: a TRIQ, an :class:`Attentive` network, or one with a timm vision transformer inside.
        images: normalised, (1, 3, H, W).

    Raises:
        AttributionError: if the network is none of them.
    """
    if isinstance(net, TRIQ):
        return _triq(net, images)
    if isinstance(net, Attentive):
        return net.attentions(images)
    inside = [module for module in net.modules() if isinstance(module, VisionTransformer)]
    if len(inside) == 1 and all(_has_weights(block) for block in inside[0].blocks):
        return _vision_transformer(net, inside[0], images)
    raise AttributionError(
        f"got {type(net).__name__} for rollout, expected a transformer over one map of tokens "
        "(TRIQ, or a vision transformer); use lime or gradcam"
    )


def _triq(net: TRIQ, images: Tensor) -> Attentions:
    tokens, shape = net.tokens(net.stem(images, WHOLE))
    weights = []
    for layer in net.encoder:
        tokens, attention = layer(tokens)
        weights.append(attention)
    return Attentions(tuple(weights), shape)


def _has_weights(block: nn.Module) -> bool:
    attention = getattr(block, "attn", None)
    return isinstance(getattr(attention, "attn_drop", None), nn.Module)


def _vision_transformer(net: nn.Module, inside: Any, images: Tensor) -> Attentions:
    """Attention of the timm transformer ``inside`` while ``net`` sees ``images``."""
    weights: list[Tensor] = []
    sizes: list[tuple[int, int]] = []

    def note_weights(module: nn.Module, given: Any, output: Tensor) -> None:
        weights.append(output)

    def note_size(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        height, width = given[0].shape[-2:]
        sizes.append((int(height), int(width)))

    with ExitStack() as undo:
        undo.callback(inside.patch_embed.register_forward_pre_hook(note_size).remove)
        for block in inside.blocks:
            fused = block.attn.fused_attn
            undo.callback(_setter(block.attn, fused))
            block.attn.fused_attn = False  # the fused kernel never shows its weights
            undo.callback(block.attn.attn_drop.register_forward_hook(note_weights).remove)
        net(images)
    if len(weights) != len(inside.blocks) or len(weights[0]) != 1:
        raise AttributionError(
            f"got {len(weights)} attentions of {len(inside.blocks)} layers from "
            f"{type(net).__name__}, expected the transformer to run once on one image; "
            "use lime or gradcam"
        )
    rows, cols = inside.patch_embed.dynamic_feat_size(sizes[0])
    prefix = int(inside.num_prefix_tokens)
    if weights[0].shape[-1] != prefix + rows * cols:
        raise AttributionError(
            f"got {weights[0].shape[-1]} tokens for {rows}x{cols} patches, expected one a patch "
            "and those before; use lime or gradcam"
        )
    pooled = not inside.has_class_token or inside.global_pool not in ("token", "")
    return Attentions(tuple(weights), (rows, cols), prefix, pooled)


def _setter(attention: Any, fused: bool) -> Callable[[], None]:
    def restore() -> None:
        attention.fused_attn = fused

    return restore
