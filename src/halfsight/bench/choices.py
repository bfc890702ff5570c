"""What the pipeline could do otherwise: bfloat16, batches of one size, batch norms left alone.

They are measured against what it does, float32 and a photograph a thread, so that the choice can be
looked at again on another machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import Tensor

from halfsight.bench import clock
from halfsight.scorer import Scorer
from halfsight.threads import one_thread, threads_restored

BATCHES = (2, 8)


@torch.inference_mode()
def measure(scorer: Scorer, inputs: Sequence[Tensor], *, workers: int) -> dict[str, Any]:
    """Time the backbone on inputs of one size, each way.

    Args:
        scorer: a model with tokens.
        inputs: normalised photographs (1, 3, H, W) of one size; at least one.
        workers: threads that each take a photograph.

    Returns:
        ``float32_s``, ``unfused_s``, ``bfloat16_s`` (seconds a photograph, a photograph a thread),
        ``batch_s`` (by batch size, a batch on all threads), ``bfloat16_error`` (largest difference
        of a score).
    """
    net = scorer.transformer()
    backbone = net.backbone
    several = [inputs[i % len(inputs)] for i in range(max(BATCHES))]

    def by_thread(each: Callable[[Tensor], object]) -> None:
        with threads_restored(), ThreadPoolExecutor(workers, initializer=one_thread) as pool:
            list(pool.map(each, several))

    def in_batch(size: int) -> None:
        with clock.threads(workers):
            backbone(torch.cat(several[:size]))

    @torch.inference_mode()
    def full(x: Tensor) -> Tensor:
        features: Tensor = backbone(x)
        return features

    def unfused(x: Tensor) -> Tensor:
        # a backbone runs fused in inference mode alone
        with torch.inference_mode(False), torch.no_grad():
            features: Tensor = backbone(x)
        return features

    @torch.inference_mode()
    def half(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            features: Tensor = backbone(x)
        return features.float()

    def score(features: Tensor) -> float:
        return float(net.scores(net.head(net.encode(net.tokens(features)[0])))[0])

    ways = {
        "float32": partial(by_thread, full),
        "unfused": partial(by_thread, unfused),
        "bfloat16": partial(by_thread, half),
    }
    batches = {str(size): partial(in_batch, size) for size in BATCHES}
    costs = clock.interleaved({**ways, **batches}, repeats=1)
    return {
        **{f"{name}_s": costs[name].seconds / len(several) for name in ways},
        "batch_s": {size: costs[size].seconds / int(size) for size in batches},
        "bfloat16_error": max(abs(score(half(x)) - score(full(x))) for x in inputs),
    }


def text(found: dict[str, Any]) -> str:
    """A sentence as Markdown."""
    base = found["float32_s"]
    batches = ", ".join(
        f"{seconds / base:.2f} in batches of {size} that share the threads"
        for size, seconds in found["batch_s"].items()
    )
    return (
        "The backbone in float32 with a photograph a thread, which is what the engine does, "
        f"against other ways, in times of its time: {batches}; "
        f"{found['unfused_s'] / base:.2f} with batch norms not fused into convolutions; "
        f"{found['bfloat16_s'] / base:.2f} in bfloat16, which moves scores by up to "
        f"{found['bfloat16_error']:.3f}."
    )
