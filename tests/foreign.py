"""Small modules of other people's making: no class of ours, answers of every kind."""

from __future__ import annotations

from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.5)


class Places(nn.Module):
    """A score (N,) that depends on what is where, by way of a convolution."""

    def __init__(self, levels: int = 0) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv = nn.Conv2d(3, 4, 5, stride=4)
        self.dropout = nn.Dropout(0.5)
        self.levels = levels
        if levels:
            self.head = nn.Linear(1, levels)

    def forward(self, images: Tensor) -> Tensor:
        found = self.dropout(self.conv(images).relu())
        height, width = found.shape[-2:]
        ramp = torch.linspace(0, 2, height)[:, None] + torch.linspace(1, 4, width) ** 2
        score = 5 * (found.mean(1) * ramp.to(found)).mean((1, 2))
        return self.head(score[:, None].tanh()) if self.levels else score


def small_vit(**options: Any) -> Any:
    """A timm transformer for 48x64 pixels: 3x4 tokens whose attention differs from 1/T."""
    torch.manual_seed(4)
    shape = {"img_size": (48, 64), "patch_size": 16, "embed_dim": 16, "depth": 2, "num_heads": 2}
    vit = VisionTransformer(**{**shape, "num_classes": 1, **options}).eval()
    with torch.no_grad():
        for block in vit.blocks:
            block.attn.qkv.weight.mul_(30)
        vit.head.weight.normal_()
        vit.pos_embed.normal_(0, 0.5)
    return vit


class Behind(nn.Module):
    """A transformer as part of a module that also does things of its own."""

    def __init__(self, vit: Any, *, patches: bool = False) -> None:
        super().__init__()
        self.vit = vit
        self.patches = patches

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.vit.forward_features(images * 2)
        read = tokens[:, 1:].mean(1) if self.patches else tokens[:, 0]
        answer: Tensor = self.vit.head(read)
        return answer
