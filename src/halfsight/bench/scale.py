"""What the cost grows with: regions, tokens, photographs, workers; with memory as a column."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from halfsight.bench import clock, photographs
from halfsight.bench.masks import Setting
from halfsight.engines import local
from halfsight.engines.plan import plan
from halfsight.engines.units import Job
from halfsight.grid import RegionGrid
from halfsight.masking.attention import exact_table
from halfsight.masking.base import Encoded
from halfsight.models.triq import TRIQ, TRIQConfig

GRIDS = ("2x3", "3x3", "3x4", "4x4")
MAPS = ((12, 16), (24, 32))
"""Token maps: 192 and 768 tokens."""

Row = dict[str, Any]
Told = Callable[[str], None]


def measure(
    model: str,
    *,
    grids: Sequence[str] = GRIDS,
    maps: Sequence[tuple[int, int]] = MAPS,
    images: Sequence[int] = (1, 10, 100),
    ray_workers: Sequence[int] = (1, 2),
    ray_images: int = 64,
    size: tuple[int, int] = Setting.size,
    threads: int | None = None,
    tell: Told | None = None,
) -> dict[str, Any]:
    """Measure every row in a process of its own.

    Args:
        model: name or weight file, for the rows of whole photographs.
        grids: regions as rows x columns.
        maps: (rows, cols) of tokens.
        images: numbers of photographs for the local engine.
        ray_workers: numbers of workers for Ray; none leaves Ray out.
        ray_images: photographs of each of these rows.
        size: (height, width) of the photographs made.
        threads: of the kernel; torch's own choice by default.
        tell: told what is measured next.

    Returns:
        ``kernel``: rows of regions, tokens, coalitions, seconds, peak_mb; ``local`` and ``ray``:
        rows of images, workers, seconds (with starting), images_per_s, peak_mb.
    """
    tell = tell or (lambda what: None)
    count = threads or torch.get_num_threads()
    kernel = []
    for shape in maps:
        for grid in grids:
            tell(f"{grid} regions, {shape[0] * shape[1]} tokens")
            kernel.append(clock.in_child(kernel_row, grid, shape, count))
    engine, cluster = [], []
    with tempfile.TemporaryDirectory(prefix="halfsight-") as scratch:
        folder = Path(scratch)
        wanted = max([*images, ray_images if ray_workers else 0], default=0)
        items = photographs.generate(folder / "photographs", wanted, size=size)
        for number in images:
            tell(f"{number} photographs")
            engine.append(
                clock.in_child(engine_row, model, items[:number], folder / f"local{number}", 0)
            )
        for workers in ray_workers:
            tell(f"Ray, {workers} workers")
            cluster.append(
                clock.in_child(
                    engine_row, model, items[:ray_images], folder / f"ray{workers}", workers
                )
            )
    return {
        "kernel": kernel,
        "local": engine,
        "ray": cluster,
        "threads": count,
        "model": model,
        "size": list(size),
        "machine": clock.machine(),
    }


def kernel_row(grid: str, shape: tuple[int, int], threads: int) -> Row:
    """One table of the paper's encoder with random weights; for a process of its own."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    # the encoder is the paper's; the backbone is not run
    net = TRIQ(TRIQConfig(backbone="test_resnet", position_grid=shape)).eval()
    tokens = torch.randn(1, 1 + shape[0] * shape[1], net.config.width)
    encoded = Encoded(tokens, shape, (0, 0))
    exact_table(net, encoded, RegionGrid(1, 2))  # libraries load on first use
    regions = RegionGrid.parse(grid)
    peak = clock.peak_extra_mb(lambda: exact_table(net, encoded, regions))
    cost = clock.interleaved({"table": lambda: exact_table(net, encoded, regions)}, repeats=3)
    return {
        "regions": len(regions),
        "tokens": shape[0] * shape[1],
        "coalitions": 1 << len(regions),
        "seconds": cost["table"].seconds,
        "peak_mb": peak,
    }


def engine_row(model: str, items: list[tuple[str, str]], folder: Path, workers: int) -> Row:
    """A whole table on disk, with the local engine or (``workers`` > 0) Ray, in its own process."""
    job = Job(model)
    scorer = job.load()
    made = plan(folder, items, job.provenance(scorer), job.regions, shard=8)
    started = time.perf_counter()
    if workers:
        from halfsight.engines import ray as cluster

        cluster.run(made, job, workers=workers)
        peak = None  # it is the workers' memory, not this process's
    else:
        peak = clock.peak_extra_mb(lambda: local.run(made, job, scorer))
    seconds = time.perf_counter() - started
    return {
        "images": len(items),
        "workers": workers or local.cores(),
        "seconds": seconds,
        "images_per_s": len(items) / seconds,
        "peak_mb": peak,
    }


def text(found: dict[str, Any]) -> str:
    """The result as Markdown."""
    width, height = found["size"][1], found["size"][0]
    lines = [
        (
            "Tables of one photograph by the exact kernel, "
            f"{found['threads']} threads. Memory is what "
            "comes on top of model and tokens, each row in a process of its own."
        ),
        "",
        "| regions | coalitions | tokens | seconds | MB |",
        "|---|---|---|---|---|",
        *(
            f"| {row['regions']} | {row['coalitions']} | {row['tokens']} | "
            f"{row['seconds']:.4f} | {row['peak_mb']:.0f} |"
            for row in found["kernel"]
        ),
        "",
        (
            f"From {width}x{height} JPEG files to a table on disk; Ray's rows include starting the "
            "cluster and loading the model in every worker."
        ),
        "",
        "| engine | photographs | workers | seconds | images a second | MB |",
        "|---|---|---|---|---|---|",
    ]
    for engine in ("local", "ray"):
        for row in found[engine]:
            memory = "" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
            lines.append(
                f"| {engine} | {row['images']} | {row['workers']} | {row['seconds']:.1f} | "
                f"{row['images_per_s']:.2f} | {memory} |"
            )
    return "\n".join(lines)
