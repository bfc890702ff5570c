"""Positional masking as the paper has it: one whole encoder pass a mask, -1e9 at masked keys.

This is the definition. It is slow, and it is the oracle the fast kernel is tested against.
"""

from __future__ import annotations

import numpy as np
import torch

from halfsight import coalitions
from halfsight.grid import RegionGrid
from halfsight.masking.base import Coalitions, Encoded, token_masks
from halfsight.models.base import mean_level
from halfsight.models.triq import TRIQ


@torch.inference_mode()
def plain_table(net: TRIQ, encoded: Encoded, grid: RegionGrid, *, chunk: int = 64) -> Coalitions:
    """All 2**n coalitions of one photograph, by ``ceil(2**n / chunk)`` masked encoder passes.

    Args:
        net: in evaluation mode.
        encoded: the photograph's tokens.
        grid: the regions; each must hold at least one token.
        chunk: masks in a pass; bounds the memory.

    Source: METHOD sections 2 and 3; slides "Positionally masked TRIQ" and "Region importance".
    """
    masks = torch.from_numpy(token_masks(grid, encoded.shape, coalitions.membership(len(grid)))).to(
        encoded.tokens.device
    )
    quality = torch.cat([net.encode(encoded.tokens, part) for part in torch.split(masks, chunk)])
    return answers(net, quality)


def answers(net: TRIQ, quality: torch.Tensor) -> Coalitions:
    """Quality tokens (M, width) to scores and distributions."""
    output = net.head(quality)
    scores = mean_level(output).cpu().numpy().astype(np.float32)
    distributions = output.cpu().numpy().astype(np.float32) if output.ndim == 2 else None
    return Coalitions(scores, distributions, quality.cpu().numpy().astype(np.float32))
