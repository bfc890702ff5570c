"""Statistics of batch normalisation taken anew on whole photographs, after training on crops.

A crop's features are not distributed as those of a whole photograph, so the running statistics that
training on crops leaves behind are a little off for scoring (Touvron et al., Fixing the train-test
resolution discrepancy, NeurIPS 2019, arXiv 1906.06423).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from halfsight.datasets.base import Dataset
from halfsight.models.base import QualityNet
from halfsight.training.cache import FeatureCache
from halfsight.training.module import backbone_parameters, run_from
from halfsight.training.recipe import Recipe


@torch.inference_mode()
def recalibrate(
    net: QualityNet,
    recipe: Recipe,
    sets: Sequence[Dataset],
    cache: FeatureCache,
) -> int:
    """Average the statistics of ``recipe.recalibrate`` training images, of one size a batch.

    Only layers after the recipe's frozen part change; no weight does.

    Args:
        net: left in evaluation mode.
        recipe: the run.
        sets: its training images.
        cache: their features.

    Returns:
        Number of images whose statistics were used: incomplete batches are left out.
    """
    late = {id(parameter) for parameter in backbone_parameters(net, recipe)}
    layers = [
        module
        for module in net.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and id(module.weight) in late
    ]
    every = [(number, i) for number, one in enumerate(sets) for i in range(len(one))]
    order = np.random.default_rng(recipe.seed).permutation(len(every))[: recipe.recalibrate]
    net.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain average over the batches
        layer.train()
    waiting: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
    used = 0
    for number, i in (every[int(place)] for place in order):
        features = cache.load(sets[number], sets[number][i])
        batch = waiting[features.shape]
        batch.append(torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32)))
        if len(batch) == recipe.batch:
            run_from(net, recipe.stage, torch.stack(batch))
            used += len(batch)
            batch.clear()
    net.eval()
    return used
