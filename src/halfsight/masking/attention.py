"""The exact kernel: positional masking under every coalition, for a fraction of a pass each.

The plain way runs the whole encoder once a mask. Three facts make that unnecessary:

- Nothing is masked before the first softmax, so the first layer's attention under any mask is a sum
  over the kept regions of sums that are formed once (:mod:`halfsight.masking.partial`).
- Only the quality token is read, so the last layer has one query, and no other token needs what
  the last layer makes of it.
- Masked keys have weights of exactly zero, so only kept tokens need the first layer's output: half
  of all tokens, on average.

What is left is mostly the first layer's feed-forward part on the kept tokens
(:mod:`halfsight.masking.kernel`). Layers between the first and the last cost more
(:mod:`halfsight.masking.deep`).

:mod:`halfsight.masking.plain` is the definition, and what this is tested against.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np
import torch
from torch import Tensor

from halfsight.grid import RegionGrid
from halfsight.masking.base import Coalitions, Encoded
from halfsight.masking.deep import deep, single
from halfsight.masking.kernel import Kernel
from halfsight.masking.plain import answers
from halfsight.models.triq import TRIQ, EncoderLayer
from halfsight.threads import one_thread, threads_restored

ROWS = 4096
"""Pairs of a token and a mask worked on at once: 3 MB at the paper's width."""

ROWS_ELSEWHERE = 1 << 20
"""The same for devices that want much work at once."""


@torch.inference_mode()
def exact_table(
    net: TRIQ, encoded: Encoded, grid: RegionGrid, *, rows: int | None = None
) -> Coalitions:
    """All 2**n coalitions of one photograph, equal to the plain way but for rounding.

    On the CPU the work is shared by as many threads as torch uses. Their number changes no bit.

    Args:
        net: in evaluation mode, with any number of layers.
        encoded: the photograph's tokens.
        grid: the regions; each must hold at least one token.
        rows: pairs of token and mask worked on at once; bounds the memory.

    Raises:
        GridError: if a region would have no token.
        ValueError: if there is more than one photograph.

    Source: METHOD section 2; DESIGN "The exact kernel".
    """
    if len(encoded.tokens) != 1:
        raise ValueError(
            f"got tokens of {len(encoded.tokens)} photographs, expected 1; use exact_tables"
        )
    return exact_tables(net, encoded, grid, rows=rows)[0]


@torch.inference_mode()
def exact_tables(
    net: TRIQ, encoded: Encoded, grid: RegionGrid, *, rows: int | None = None
) -> list[Coalitions]:
    """All coalitions of several photographs of one size.

    They are done one after the other: one fills the machine, and so an answer depends on nothing
    but the photograph.

    Args:
        net: in evaluation mode.
        encoded: tokens (N, 1 + rows * cols, width).
        grid: the regions.
        rows: as in :func:`exact_table`.

    Raises:
        GridError: if a region would have no token.
    """
    owners = grid.token_owners(*encoded.shape)
    sizes = [1, *np.bincount(owners, minlength=len(grid)).tolist()]
    order = torch.from_numpy(np.concatenate(([0], 1 + np.argsort(owners, kind="stable"))))
    tokens = encoded.tokens[:, order.to(encoded.tokens.device)]
    if rows is None:
        rows = ROWS if tokens.device.type == "cpu" else ROWS_ELSEWHERE
    return [answers(net, _quality(net, one, sizes, rows)) for one in tokens]


def _quality(net: TRIQ, tokens: Tensor, sizes: list[int], rows: int) -> Tensor:
    """Quality tokens (2**n, width) of one photograph's tokens (T, width), block after block."""
    layers = cast(list[EncoderLayer], list(net.encoder))
    if len(layers) == 1:
        return single(layers[0], tokens, sizes)
    if len(layers) > 2:
        return torch.cat(list(deep(layers, tokens, sizes, rows=rows)))
    first, last = layers
    kernel = Kernel(first, last, tokens, sizes, rows=rows)
    threads = min(torch.get_num_threads(), kernel.parts) if tokens.device.type == "cpu" else 1
    if threads > 1:
        return _shared(kernel, threads)
    scratch: dict[str, Tensor] = {}
    return torch.cat([kernel.quality(part, scratch) for part in range(kernel.parts)])


def _shared(kernel: Kernel, threads: int) -> Tensor:
    """The parts, a thread each.

    Threads that take whole parts need not wait for each other after every operation, as the
    threads inside torch's operations do.
    """
    own = threading.local()

    def prepare() -> None:
        one_thread()
        own.scratch = {}

    @torch.inference_mode()
    def quality(part: int) -> Tensor:
        return kernel.quality(part, own.scratch)

    with threads_restored(), ThreadPoolExecutor(threads, initializer=prepare) as pool:
        return torch.cat(list(pool.map(quality, range(kernel.parts))))
