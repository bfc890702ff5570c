"""Other ways to spend the same number of pixels, to be compared with.

The whole photograph at fewer pixels, one crop from the middle, and blocks anywhere scored as
photographs of their own. ``share`` is the part of the pixels that is read.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from halfsight.budget.crops import Layout, Pixels
from halfsight.budget.views import downscaled
from halfsight.models.inputs import InputPolicy
from halfsight.models.triq import TRIQ


def centre_crop(pixels: Pixels, share: float) -> Pixels:
    """The middle of a photograph, its proportions kept."""
    factor = math.sqrt(share)
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def random_blocks(
    pixels: Pixels, layout: Layout, count: int, draw: np.random.Generator
) -> list[Pixels]:
    """Blocks of a region's size at places drawn by chance; they may overlap."""
    top, left, bottom, right = layout.box(0)
    height, width = bottom - top, right - left
    ys = draw.integers(pixels.shape[0] - height + 1, size=count)
    xs = draw.integers(pixels.shape[1] - width + 1, size=count)
    return [
        np.ascontiguousarray(pixels[y : y + height, x : x + width])
        for y, x in zip(ys, xs, strict=True)
    ]


@torch.inference_mode()
def whole(net: TRIQ, policy: InputPolicy, pixels: Pixels) -> Tensor:
    """Features (1, C, h, w) of pixels as they are, without a further resize."""
    features: Tensor = net.backbone(policy.normalise(pixels))
    return features


@torch.inference_mode()
def answer(net: TRIQ, features: Tensor) -> Tensor:
    """A head's output (1, levels) or (1,) to a whole feature map."""
    tokens, _ = net.tokens(features)
    return net.head(net.encode(tokens))


def score_features(net: TRIQ, features: Tensor) -> float:
    """A head's score of a whole feature map."""
    return float(net.scores(answer(net, features))[0])


def by_downscaling(net: TRIQ, policy: InputPolicy, pixels: Pixels, share: float) -> float:
    """Score of the photograph reduced to a share of its pixels."""
    return score_features(net, whole(net, policy, downscaled(pixels, share)))


def by_centre(net: TRIQ, policy: InputPolicy, pixels: Pixels, share: float) -> float:
    """Score of the middle of the photograph."""
    return score_features(net, whole(net, policy, centre_crop(pixels, share)))


@torch.inference_mode()
def by_blocks(net: TRIQ, policy: InputPolicy, blocks: list[Pixels]) -> list[float]:
    """Scores of blocks of one size, each taken for a photograph of its own."""
    batch = torch.cat([policy.normalise(block) for block in blocks])
    tokens, _ = net.tokens(net.backbone(batch))
    return [float(score) for score in net.scores(net.head(net.encode(tokens)))]
