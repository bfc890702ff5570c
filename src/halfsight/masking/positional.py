"""Hiding regions in a transformer's attention: no query sees the keys of a hidden region."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from halfsight import coalitions
from halfsight.grid import GridError, IntArray, RegionGrid
from halfsight.masking import plain
from halfsight.masking.base import (
    Answers,
    Coalitions,
    Encoded,
    Masker,
    MaskingError,
    Progress,
    Subject,
    token_masks,
)
from halfsight.masking.pixels import as_answers, at_once
from halfsight.models.external import External
from halfsight.models.triq import TRIQ

if TYPE_CHECKING:
    from halfsight.images import Photograph
    from halfsight.scorer import Scorer

CHUNK = 64
"""Masks in one pass of the encoder."""


def possible(scorer: Scorer) -> bool:
    """Whether the model is a transformer that regions can be hidden from."""
    net = scorer.net
    return isinstance(net, TRIQ) or (isinstance(net, External) and net.transformer is not None)


def check(scorer: Scorer) -> None:
    """Refuse models that regions cannot be hidden from.

    Raises:
        MaskingError: if the model has no tokens.
    """
    if not possible(scorer):
        raise MaskingError(
            f"got masking 'attention' for {scorer.name}, expected a model with tokens "
            "(TRIQ, or a timm VisionTransformer read by its class token); use zero, mean or blur"
        )


class PositionalMasker(Masker):
    """-1e9 on the logits of hidden tokens, in every layer and head; the class token stays.

    For TRIQ the photograph passes the backbone once and all coalitions come from the exact kernel.
    A timm VisionTransformer runs once a mask.

    Source: METHOD section 2; slide "Positionally masked TRIQ".
    """

    @property
    def name(self) -> str:
        """``attention``."""
        return "attention"

    def subject(
        self, scorer: Scorer, photograph: Photograph, grid: RegionGrid, *, tensor: Tensor
    ) -> Subject:
        """Prepare one photograph.

        Raises:
            GridError: if a region would have no token.
            MaskingError: if the model has no tokens.
        """
        check(scorer)
        if isinstance(scorer.net, External):
            return _Transformer(scorer, scorer.net, grid, tensor)
        return _Tokens(scorer, grid, tensor)


class _Tokens(Subject):
    """The tokens of one photograph before TRIQ's encoder."""

    exhaustive = True

    def __init__(self, scorer: Scorer, grid: RegionGrid, tensor: Tensor) -> None:
        started = time.perf_counter()
        self.encoded: Encoded = scorer.encode(tensor)
        self.seconds = {"backbone": time.perf_counter() - started}
        self.scorer = scorer
        self.net = scorer.transformer()
        self.grid = grid
        self.tokens = self.encoded.shape
        check_tokens(grid, self.encoded.shape)

    @torch.inference_mode()
    def answer(self, masks: IntArray, progress: Progress | None = None) -> Answers:
        hidden = _hidden(self.grid, self.encoded.shape, masks).to(self.encoded.tokens.device)
        quality = torch.cat(
            [self.net.encode(self.encoded.tokens, part) for part in torch.split(hidden, CHUNK)]
        )
        found = plain.answers(self.net, quality)
        if progress is not None:
            progress(len(masks), len(masks))
        return Answers(found.scores, found.distributions, found.quality)

    def everything(self, progress: Progress | None = None) -> Coalitions:
        found = self.scorer.coalitions(self.encoded, self.grid)
        if progress is not None:
            progress(len(found.scores), len(found.scores))
        return found


class _Transformer(Subject):
    """One photograph before a timm VisionTransformer."""

    def __init__(self, scorer: Scorer, net: External, grid: RegionGrid, tensor: Tensor) -> None:
        self.scorer = scorer
        self.net = net
        self.grid = grid
        self.tensor = tensor
        height, width = int(tensor.shape[-2]), int(tensor.shape[-1])
        self.shape = net.token_shape(height, width)
        self.tokens = self.shape
        self.seconds = {}
        self.chunk = at_once(tensor)
        check_tokens(grid, self.shape)

    @torch.inference_mode()
    def answer(self, masks: IntArray, progress: Progress | None = None) -> Answers:
        hidden = _hidden(self.grid, self.shape, masks)
        outputs, done = [], 0
        for part in torch.split(hidden, self.chunk):
            outputs.append(self.net.masked(self.tensor, part))
            done += len(part)
            if progress is not None:
                progress(done, len(masks))
        return as_answers(self.scorer, torch.cat(outputs))


def check_tokens(grid: RegionGrid, shape: tuple[int, int]) -> None:
    """Refuse a grid that leaves a region without tokens.

    Raises:
        GridError: if a region would have no token.
    """
    if shape[0] < grid.rows or shape[1] < grid.cols:
        raise GridError(
            f"got a {grid} grid for {shape[0]}x{shape[1]} tokens, expected at least one token a "
            "region; use a smaller grid or a larger photograph"
        )


def _hidden(grid: RegionGrid, shape: tuple[int, int], masks: IntArray) -> Tensor:
    """Hidden tokens of each mask, bool (M, 1 + rows * cols)."""
    members = coalitions.membership(len(grid))[masks]
    return torch.from_numpy(np.ascontiguousarray(token_masks(grid, shape, members)))
