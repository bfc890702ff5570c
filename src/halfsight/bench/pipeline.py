"""From files to a table on disk: the stages one by one, then the engine as a whole."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from torch import Tensor

from halfsight.bench import choices, clock
from halfsight.engines import local
from halfsight.engines.plan import Item, plan
from halfsight.engines.units import Job, one_row
from halfsight.grid import RegionGrid
from halfsight.images import ImageError
from halfsight.scorer import Scorer

STAGES = ("decode", "backbone", "table", "rest", "write")
"""Read and prepare the input; backbone to tokens; all coalitions; criteria; Parquet."""

KONIQ_SPAQ = 10_073 + 11_125
"""Photographs of KonIQ-10k and SPAQ together."""

CORES = (2, 16, 64, 256)


def measure(
    scorer: Scorer,
    items: Sequence[Item],
    *,
    model: str = "triq",
    grid: str = "3x4",
    staged: int = 8,
    workers: int | None = None,
) -> dict[str, Any]:
    """Time the stages on some photographs with one core, then the local engine on all.

    Args:
        scorer: a model with tokens.
        items: id and file of each photograph.
        model: the scorer's name, for the table.
        grid: regions as rows x columns.
        staged: photographs the stages are timed on.
        workers: of the engine; one a core by default.

    Returns:
        ``stages`` in processor seconds a photograph, ``images_per_s``, ``cpu_use`` (processor time
        over wall time of all cores), ``choices`` (:mod:`halfsight.bench.choices`), and the cost
        model: core seconds a photograph that the stages add up to, ``efficiency`` (that, over what
        the engine took), and hours for KonIQ and SPAQ.

    Raises:
        ImageError: if none of the first photographs can be read.
        TypeError: for models without tokens.
    """
    job = Job(model, grid)
    cores = local.cores()
    count = workers or cores
    with tempfile.TemporaryDirectory(prefix="halfsight-") as scratch:
        with clock.threads(1):
            stages = _stages(scorer, job, items[: max(2, staged)], Path(scratch) / "staged")
        compared = choices.measure(scorer, _inputs(scorer, items), workers=count)
        laid_out = plan(Path(scratch) / "table", items, job.provenance(scorer), job.regions)
        wall, cpu = time.perf_counter(), time.process_time()
        local.run(laid_out, job, scorer, workers=count)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    core_seconds = sum(stages.values())
    efficiency = core_seconds * len(items) / (wall * min(count, cores))
    return {
        "images": len(items),
        "workers": count,
        "stages": stages,
        "seconds": wall,
        "images_per_s": len(items) / wall,
        "cpu_use": cpu / (wall * cores),
        "choices": compared,
        "cost_model": {
            "core_seconds_per_image": core_seconds,
            "efficiency": efficiency,
            "images": KONIQ_SPAQ,
            "hours": {str(n): KONIQ_SPAQ * core_seconds / efficiency / n / 3600 for n in CORES},
        },
        "model": scorer.name,
        "grid": grid,
        "machine": clock.machine(),
    }


def _inputs(scorer: Scorer, items: Sequence[Item], count: int = 4) -> list[Tensor]:
    """Inputs of the first photographs that have the size of the first."""
    found: list[Tensor] = []
    for _, path in items:
        try:
            tensor = scorer.read(path)[1]
        except ImageError:
            continue
        if not found or tensor.shape == found[0].shape:
            found.append(tensor)
        if len(found) == count:
            break
    return found


def _stages(scorer: Scorer, job: Job, items: Sequence[Item], folder: Path) -> dict[str, float]:
    """Median processor seconds a photograph of each stage, on one thread; the first warms up."""
    grid = RegionGrid.parse(job.grid)
    taken: dict[str, list[float]] = {name: [] for name in STAGES}
    problem: ImageError | None = None
    for name, path in items:
        moments = [time.thread_time()]
        try:
            photograph, tensor, _ = scorer.read(path)
        except ImageError as error:
            problem = error
            continue
        moments.append(time.thread_time())
        encoded = scorer.encode(tensor)
        moments.append(time.thread_time())
        height, width = photograph.pixels.shape[:2]
        scorer.coalitions(encoded, grid.oriented(height, width) if job.turn else grid)
        moments.append(time.thread_time())
        made = one_row(scorer, job, name, path)  # all of it, the criteria included
        moments.append(time.thread_time())
        laid_out = plan(folder / name, [(name, path)], job.provenance(scorer), job.regions)
        written = time.thread_time()
        laid_out.write(laid_out.shards[0], [made] * 32)
        steps = [b - a for a, b in itertools.pairwise(moments)]
        steps[3] = max(0.0, steps[3] - sum(steps[:3]))
        for stage, seconds in zip(
            STAGES, [*steps, (time.thread_time() - written) / 32], strict=True
        ):
            taken[stage].append(seconds)
    if not taken["decode"]:
        assert problem is not None
        raise problem
    return {stage: median(times[1:] or times) for stage, times in taken.items()}


def text(found: dict[str, Any]) -> str:
    """The result as Markdown."""
    total = found["cost_model"]["core_seconds_per_image"]
    rows = [
        f"| {stage} | {1000 * seconds:.1f} | {seconds / total:.0%} |"
        for stage, seconds in found["stages"].items()
    ]
    return "\n".join(
        [
            (
                f"{found['images']} photographs through {found['model']} "
                f"({found['grid']} regions), "
                f"local engine, {found['workers']} workers: **{found['images_per_s']:.1f} images a "
                f"second, {found['cpu_use']:.0%} of the cores in use**."
            ),
            "",
            "| stage | core ms a photograph | share |",
            "|---|---|---|",
            *rows,
            "",
            "`rest` is the importance by all criteria; `write` is its share of a shard of 32.",
            "",
            choices.text(found["choices"]),
        ]
    )


def cost_text(found: dict[str, Any]) -> str:
    """The cost model as Markdown."""
    model = found["cost_model"]
    hours = [f"| {n} | {h:.2f} |" for n, h in model["hours"].items()]
    return "\n".join(
        [
            (
                f"KonIQ-10k and SPAQ together, {model['images']} "
                "photographs, by a model fitted to the "
                "stage times above: hours = photographs x core seconds / "
                "(cores x efficiency), with "
                f"{model['core_seconds_per_image']:.3f} core seconds a "
                "photograph, and an efficiency "
                f"of {model['efficiency']:.2f}, which is that time over "
                "what the engine took in the "
                "same run. A prediction, not a measurement: photographs of this run's size and "
                "cores of this machine's kind, and storage that keeps up; "
                "shards are independent, so "
                "nothing else grows with the number of cores."
            ),
            "",
            "| cores | hours |",
            "|---|---|",
            *hours,
        ]
    )
