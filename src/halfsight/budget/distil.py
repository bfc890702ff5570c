"""Mask-aware training: a head that gives the whole photograph's score from a part of it.

The backbone is frozen. The teacher is the full model on the whole photograph; the student reads
features of blocks computed alone and of the whole photograph, under masks, and is drawn to the
teacher's distribution and score. One mask in two keeps the regions nearest the centre, as budgets
mostly do, the other keeps any. Regions that are read side by side are seen almost as in the whole
photograph, single ones are not, so that masked features are those of lone blocks and of the whole
photograph in turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from halfsight.budget.crops import STRIDE, Layout, project
from halfsight.budget.selector import Centre
from halfsight.budget.views import Item, View, ViewCache
from halfsight.grid import RegionGrid
from halfsight.models.base import mean_level
from halfsight.models.triq import TRIQ

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Settings:
    """Choices of a training run.

    Attributes:
        epochs: of the head.
        batch: photographs a step.
        rate: learning rate of the head, after a warm-up of half an epoch, falling as a cosine.
        weight_decay: of AdamW.
        masks: masks of each photograph in a step.
        squared_error: weight of the squared difference of the scores.
        opinions: weight of the cross-entropy with the opinions, against 1 for the teacher's answer.
        selector_epochs: of the network that ranks regions.
        selector_rate: its learning rate.
        held_out: share of the photographs that choose the selector and set the bounds.
        seed: of everything random.
    """

    epochs: int = 12
    batch: int = 16
    rate: float = 1e-3
    weight_decay: float = 0.01
    masks: int = 4
    squared_error: float = 5.0
    opinions: float = 0.0
    selector_epochs: int = 30
    selector_rate: float = 2e-3
    held_out: float = 0.1
    seed: int = 20231008


def same_size(items: Sequence[Item], cache: ViewCache) -> dict[tuple[int, int], list[int]]:
    """Positions of the items by the (height, width) of the network's input."""
    groups: dict[tuple[int, int], list[int]] = {}
    for position, item in enumerate(items):
        groups.setdefault(cache.layout_of(item).size, []).append(position)
    return groups


def batches(
    groups: dict[tuple[int, int], list[int]], size: int, draw: np.random.Generator
) -> list[list[int]]:
    """All positions in random order, in batches of one input size."""
    made = []
    for group in groups.values():
        order = draw.permutation(group)
        made += [order[i : i + size].tolist() for i in range(0, len(order), size)]
    draw.shuffle(made)
    return made


def drawn_kept(count: int, grid: RegionGrid, draw: np.random.Generator) -> np.ndarray:
    """Sets of 2 to all regions, bool (count, n), each size as likely: random and central in turn.

    A central one holds the regions nearest the centre of the frame; ties are drawn.
    """
    values = draw.random((count, len(grid)))
    outwards = -Centre().values(np.empty((0, 0, 3), np.uint8), grid)
    values[1::2] = outwards + 1e-6 * values[1::2]
    sizes = draw.integers(2, len(grid) + 1, count)
    return np.asarray(values.argsort(1).argsort(1) < sizes[:, None])


def token_mask(layout: Layout, kept: np.ndarray) -> Tensor:
    """Sets of kept regions (M, n) to masked tokens, bool (M, 1 + T)."""
    owners = layout.grid.token_owners(*layout.shape)
    hidden = ~kept[:, owners]
    return torch.from_numpy(np.concatenate((np.zeros((len(kept), 1), bool), hidden), 1))


def tokens_of(net: TRIQ, features: Tensor, layout: Layout, *, flip: bool = False) -> Tensor:
    """Features (N, C, h, w) to embedded tokens (N, 1 + T, width), mirrored if asked.

    Mirrored is the token map, not the features, so that pooling falls on the same features.
    """
    x = project(net, features, layout)
    if flip:
        x = mirrored(x, layout)
    sequence = torch.cat((net.quality_token.expand(len(x), -1, -1), x), 1)
    embedded: Tensor = net.dropout(sequence + net.position_table(*layout.shape))
    return embedded


def mirrored(tokens: Tensor, layout: Layout) -> Tensor:
    """Tokens, or anything else (N, T, ...) in their order, left and right exchanged."""
    rows, cols = layout.shape
    laid_out = tokens.reshape(len(tokens), rows, cols, *tokens.shape[2:])
    return laid_out.flip(2).flatten(1, 2)


@torch.no_grad()
def teach(net: TRIQ, items: Sequence[Item], cache: ViewCache) -> Tensor:
    """The full model's answers (N, levels) to whole photographs."""
    outputs = []
    for item in items:
        tokens, _ = net.tokens(cache.features([item], "full"))
        outputs.append(net.head(net.encode(tokens)))
    return torch.cat(outputs)


def loss_of(output: Tensor, teacher: Tensor, opinions: Tensor, settings: Settings) -> Tensor:
    """Cross-entropy with the teacher and the opinions, squared difference of the scores.

    Args:
        output: (N, levels).
        teacher: (N, levels).
        opinions: (N, levels).
        settings: the weights.
    """
    wanted = teacher + settings.opinions * opinions
    entropy = -(wanted * output.clamp_min(1e-7).log()).sum(1).mean()
    error = (mean_level(output) - mean_level(teacher)).square().mean()
    return entropy + settings.squared_error * error


def train_head(
    net: TRIQ,
    items: Sequence[Item],
    teacher: Tensor,
    cache: ViewCache,
    settings: Settings,
    *,
    view: View = "crops",
    progress: Progress | None = None,
) -> None:
    """Fit a head in place; the backbone is not touched.

    Args:
        net: starts as the teacher's head.
        items: photographs with cached views.
        teacher: answers (N, levels) of the full model.
        cache: the views.
        settings: of the run.
        view: ``crops`` under masks, in turn with the whole photograph under masks, or
            ``downscaled`` without; the whole photograph is learned beside either.
        progress: called with (epochs done, epochs).
    """
    draw = np.random.default_rng(settings.seed)
    torch.manual_seed(settings.seed)
    parameters = net.head_parameters()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    groups = same_size(items, cache)
    opinions = torch.tensor([item.target for item in items], dtype=torch.float32)
    steps = sum(math.ceil(len(group) / settings.batch) for group in groups.values())
    total = steps * settings.epochs
    optimiser = torch.optim.AdamW(parameters, settings.rate, weight_decay=settings.weight_decay)
    warmup = max(1, steps // 2)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / total)),
    )
    net.train()
    net.backbone.eval()
    for epoch in range(settings.epochs):
        for batch in batches(groups, settings.batch, draw):
            chosen = [items[position] for position in batch]
            layout = cache.layout_of(chosen[0])
            flip = bool(draw.random() < 0.5)
            loss = torch.zeros(())
            part: View = "full" if view == "crops" and draw.random() < 0.5 else view
            sources: tuple[tuple[View, bool], ...] = (("full", False), (part, view == "crops"))
            for one, masked in sources:
                features = cache.features(chosen, one)
                height, width = features.shape[-2:]
                seen = Layout.of(net, height * STRIDE, width * STRIDE, cache.grid)
                tokens = tokens_of(net, features, seen, flip=flip)
                repeat = settings.masks if masked else 1
                mask = None
                if masked:
                    sets = drawn_kept(len(batch) * repeat, layout.grid, draw)
                    mask = token_mask(layout, sets)
                    if flip:
                        mask = torch.cat((mask[:, :1], mirrored(mask[:, 1:], layout)), 1)
                output = net.head(net.encode(tokens.repeat_interleave(repeat, 0), mask))
                loss = loss + loss_of(
                    output,
                    teacher[batch].repeat_interleave(repeat, 0),
                    opinions[batch].repeat_interleave(repeat, 0),
                    settings,
                )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()
        if progress is not None:
            progress(epoch + 1, settings.epochs)
    net.eval()
    for parameter in net.parameters():
        parameter.requires_grad_(False)


@torch.inference_mode()
def subset_scores(
    net: TRIQ, item: Item, cache: ViewCache, kept: np.ndarray, *, view: View = "crops"
) -> np.ndarray:
    """Scores (M,) of a photograph from the given sets of regions, bool (M, n)."""
    layout = cache.layout_of(item)
    tokens = tokens_of(net, cache.features([item], view), layout)
    output = net.head(net.encode(tokens, token_mask(layout, kept)))
    return np.asarray(mean_level(output).double().numpy())
