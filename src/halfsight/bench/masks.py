"""The table of all coalitions: the plain way, the exact kernel, and the backbone beside them.

Random weights: times do not depend on them, and the difference between the two ways is looked for
on every coalition.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from halfsight.bench import clock
from halfsight.grid import RegionGrid
from halfsight.masking.attention import exact_table
from halfsight.masking.base import Encoded
from halfsight.masking.plain import plain_table
from halfsight.models.triq import TRIQ, TRIQConfig

PLAIN_CHUNKS = (1, 4, 16, 64)
"""Masks a pass that the plain way may choose from: it is measured at its fastest."""

FAST_CALLS = 3
"""Calls of the kernel a round; one is over too soon to be timed well."""


@dataclass(frozen=True)
class Setting:
    """What is measured; the defaults are the paper's TRIQ on a KonIQ photograph.

    Attributes:
        grid: regions as rows x columns.
        size: (height, width) of the network's input in pixels.
        backbone: timm name.
        layers: encoder layers.
        seed: of weights and pixels.
    """

    grid: str = "3x4"
    size: tuple[int, int] = (768, 1024)
    backbone: str = "resnet50"
    layers: int = 2
    seed: int = 0

    @torch.inference_mode()
    def network(self) -> tuple[TRIQ, Tensor]:
        """A network and an input (1, 3, H, W), both channels-last, which is faster."""
        torch.manual_seed(self.seed)
        net = TRIQ(TRIQConfig(backbone=self.backbone, layers=self.layers)).eval()
        net.backbone.to(memory_format=torch.channels_last)
        image = torch.randn(1, 3, *self.size).to(memory_format=torch.channels_last)
        return net, image

    @torch.inference_mode()
    def tokens(self, net: TRIQ, image: Tensor) -> Encoded:
        """The input's tokens; those of random weights are all alike, so noise is added."""
        tokens, shape = net.tokens(net.backbone(image))
        return Encoded(torch.randn_like(tokens), shape, self.size)


def measure(
    setting: Setting | None = None, *, repeats: int = 3, threads: int | None = None
) -> dict[str, Any]:
    """Time both ways and the backbone in turn.

    Args:
        setting: what is measured.
        repeats: rounds; medians are given.
        threads: torch's; its own choice by default.

    Returns:
        ``plain_s``, ``fast_s``, ``speedup``, ``max_abs_diff`` (of scores and distributions),
        ``backbone_s``, ``table_over_backbone``, ``peak_extra_mb``, then the fastest rounds, the
        processor times, the setting and the machine.
    """
    setting = setting or Setting()
    grid = RegionGrid.parse(setting.grid)
    net, image = setting.network()
    with clock.threads(threads) as count:
        encoded = setting.tokens(net, image)
        chunk = fastest_chunk(net, encoded, grid)

        def fast() -> None:
            for _ in range(FAST_CALLS):
                exact_table(net, encoded, grid)

        @torch.inference_mode()
        def backbone() -> None:
            net.backbone(image)

        costs = clock.interleaved(
            {
                "plain": partial(plain_table, net, encoded, grid, chunk=chunk),
                "fast": fast,
                "backbone": backbone,
            },
            repeats=repeats,
        )
        plain, exact = plain_table(net, encoded, grid, chunk=chunk), exact_table(net, encoded, grid)
    difference = float(np.abs(plain.scores - exact.scores).max())
    if plain.distributions is not None and exact.distributions is not None:
        levels = np.abs(plain.distributions - exact.distributions).max()
        difference = max(difference, float(levels))
    fast_s = costs["fast"].seconds / FAST_CALLS
    return {
        "plain_s": costs["plain"].seconds,
        "fast_s": fast_s,
        "speedup": costs["plain"].seconds / fast_s,
        "max_abs_diff": difference,
        "backbone_s": costs["backbone"].seconds,
        "table_over_backbone": fast_s / costs["backbone"].seconds,
        "peak_extra_mb": clock.in_child(peak_extra_mb, setting, count),
        "fastest": {
            "plain_s": costs["plain"].fastest,
            "fast_s": costs["fast"].fastest / FAST_CALLS,
            "backbone_s": costs["backbone"].fastest,
        },
        "cpu": {
            "plain_s": costs["plain"].cpu_seconds,
            "fast_s": costs["fast"].cpu_seconds / FAST_CALLS,
            "backbone_s": costs["backbone"].cpu_seconds,
        },
        "plain_chunk": chunk,
        "coalitions": len(plain.scores),
        "tokens": int(encoded.tokens.shape[1]),
        "setting": {**vars(setting), "size": list(setting.size)},
        "repeats": repeats,
        "threads": count,
        "machine": clock.machine(),
    }


@torch.inference_mode()
def fastest_chunk(net: TRIQ, encoded: Encoded, grid: RegionGrid) -> int:
    """Masks a pass at which the plain way is fastest here: memory makes large ones slow."""
    tokens = int(encoded.tokens.shape[1])
    masks = torch.zeros(min(64, 1 << len(grid)), tokens, dtype=torch.bool)

    def encode(chunk: int) -> None:
        for part in torch.split(masks, chunk):
            net.encode(encoded.tokens, part)

    costs = clock.interleaved(
        {str(chunk): partial(encode, chunk) for chunk in PLAIN_CHUNKS}, repeats=2
    )
    return int(min(costs, key=lambda name: costs[name].fastest))


def peak_extra_mb(setting: Setting, threads: int) -> float:
    """Memory a table takes beyond the model and the tokens; for a process of its own."""
    torch.set_num_threads(threads)
    net, image = setting.network()
    encoded = setting.tokens(net, image)
    del image
    exact_table(net, encoded, RegionGrid(1, 2))  # libraries load on first use
    return clock.peak_extra_mb(lambda: exact_table(net, encoded, RegionGrid.parse(setting.grid)))


def text(found: dict[str, Any]) -> str:
    """The result as Markdown."""
    size = "x".join(str(side) for side in reversed(found["setting"]["size"]))
    return "\n".join(
        [
            (
                f"All {found['coalitions']} coalitions of one {size} photograph "
                f"({found['tokens']} tokens, {found['setting']['layers']} encoder layers), "
                f"{found['threads']} threads, float32, random weights; "
                f"medians of {found['repeats']} "
                "rounds in which the three take turns."
            ),
            "",
            "| | seconds |",
            "|---|---|",
            (
                "| one encoder pass a mask, -1e9 at masked keys "
                f"({found['plain_chunk']} masks a pass, "
                f"its fastest) | {found['plain_s']:.3f} |"
            ),
            f"| exact kernel | {found['fast_s']:.4f} |",
            f"| {found['setting']['backbone']} alone, forward | {found['backbone_s']:.3f} |",
            "",
            (
                f"The kernel is **{found['speedup']:.0f} times** as fast "
                "as the plain way and takes "
                f"**{found['table_over_backbone']:.1%}** of the "
                "backbone's time. Largest difference "
                "of any score or probability: "
                f"{found['max_abs_diff']:.1e}. Memory beyond model and "
                f"tokens: {found['peak_extra_mb']:.0f} MB (high-water mark of resident memory in a "
                "process of its own)."
            ),
        ]
    )
