"""Teaching the thumbnail network what a table of coalitions says about each region."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from halfsight.budget.distil import Settings, batches, same_size, tokens_of
from halfsight.budget.thumbnail import ThumbnailNet, as_input
from halfsight.budget.views import Item, View, ViewCache
from halfsight.coalitions import average_over_masks
from halfsight.importance import importance
from halfsight.masking.attention import exact_table
from halfsight.masking.base import Encoded
from halfsight.models.base import mean_level
from halfsight.models.triq import TRIQ

Progress = Callable[[int, int], None]
Values = npt.NDArray[np.float64]

Target = Literal["importance", "error"]
TARGETS: tuple[Target, ...] = get_args(Target)
"""``importance``: the paper's, of the full model: 1 - Pearson r of the masked and the original
distribution, mean over the masks with the region. ``error``: how far the budget's score from blocks
is from the full score, mean over the masks with the region."""


@torch.inference_mode()
def region_values(
    full: TRIQ,
    head: TRIQ,
    items: Sequence[Item],
    teacher: torch.Tensor,
    cache: ViewCache,
    target: Target,
    *,
    progress: Progress | None = None,
) -> list[Values]:
    """What the network is to learn: one value a region of every photograph, from all masks.

    Args:
        full: the full model.
        head: the head trained under masks.
        items: photographs with cached views.
        teacher: answers (N, levels) of the full model.
        cache: the views.
        target: one of :data:`TARGETS`.
        progress: called with (done, total).
    """
    view: View
    net, view = (full, "full") if target == "importance" else (head, "crops")
    wanted = mean_level(teacher).double().numpy()
    found = []
    for done, item in enumerate(items, 1):
        layout = cache.layout_of(item)
        tokens = tokens_of(net, cache.features([item], view), layout)
        table = exact_table(net, Encoded(tokens, layout.shape, layout.size), layout.grid)
        if target == "importance":
            found.append(importance(table, "dist_plcc").values)
        else:
            error = np.abs(table.scores - wanted[done - 1])
            found.append(average_over_masks(error, len(layout.grid)))
        if progress is not None:
            progress(done, len(items))
    return found


def standard(values: torch.Tensor) -> torch.Tensor:
    """Values (N, n) with mean 0 and deviation 1 within each photograph."""
    return (values - values.mean(1, keepdim=True)) / values.std(1, keepdim=True).clamp_min(1e-6)


def train_ranking(
    items: Sequence[Item],
    values: Sequence[Values],
    cache: ViewCache,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> ThumbnailNet:
    """A network fitted to the regions' values, standardised within each photograph."""
    torch.manual_seed(settings.seed)
    draw = np.random.default_rng(settings.seed)
    net = ThumbnailNet()
    thumbnails = [np.asarray(cache.array(item, "thumbnail"), np.uint8) for item in items]
    grids = [cache.layout_of(item).grid for item in items]
    groups: dict[tuple[int, int], list[int]] = {}
    for group in same_size(items, cache).values():
        for position in group:
            groups.setdefault(grids[position].shape, []).append(position)
    steps = len(batches(groups, 64, np.random.default_rng(0))) * settings.selector_epochs
    optimiser = torch.optim.AdamW(net.parameters(), settings.selector_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.selector_rate, total_steps=max(2, steps)
    )
    net.train()
    for epoch in range(settings.selector_epochs):
        for batch in batches(groups, 64, draw):
            shown = as_input(np.stack([thumbnails[position] for position in batch]))
            wanted = torch.tensor(np.stack([values[position] for position in batch])).float()
            if draw.random() < 0.5:
                shown = shown.flip(-1)
                rows, cols = grids[batch[0]].shape
                wanted = wanted.reshape(len(batch), rows, cols).flip(-1).flatten(1)
            if len(batch) < 2:
                continue  # batch normalisation needs more than one
            loss = (standard(net(shown)) - standard(wanted)).square().mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        if progress is not None:
            progress(epoch + 1, settings.selector_epochs)
    return net.eval()
