"""A Ray cluster: the shards of a plan over Ray Data, one actor with its own model a core.

Nodes share a file system: the photographs, a weight file and the table are named by paths that are
the same everywhere. Each actor writes its shards itself, so results do not pass through the driver,
and a shard that is finished stays so whatever happens to driver or workers. Ray starts a lost actor
again and gives its shard to it or to another; making a shard twice is harmless.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
import ray.data
import ray.exceptions

from halfsight.engines.local import Progress
from halfsight.engines.plan import Plan, Shard
from halfsight.engines.units import Job, one_row
from halfsight.memory import settle
from halfsight.outputs import OutputError
from halfsight.table import TableError
from halfsight.threads import one_thread

Batch = dict[str, npt.NDArray[np.int64]]


class Worker:
    """An actor: holds the model, makes shards.

    Raises:
        TableError: if this node's model or versions are not the table's.
    """

    def __init__(self, plan: Plan, job: Job) -> None:
        one_thread()
        settle()
        self.plan = plan
        self.job = job
        self.scorer = job.load()
        _same(plan.provenance, job.provenance(self.scorer))

    def __call__(self, batch: Batch) -> Batch:
        """Make the shards of these numbers; says how many photographs they hold."""
        shards = [self.plan.shards[number] for number in batch["shard"]]
        for shard in shards:
            self.make(shard)
        return {"photographs": np.array([len(shard.items) for shard in shards])}

    def make(self, shard: Shard) -> None:
        """Make a shard unless it is there, as after the loss of a worker that had written it."""
        if not self.plan.has(shard):
            rows = [one_row(self.scorer, self.job, *item) for item in shard.items]
            self.plan.write(shard, rows)


def run(
    plan: Plan,
    job: Job,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Make the missing shards of a plan.

    Uses the cluster that the program is connected to or that ``RAY_ADDRESS`` names, and otherwise
    starts Ray on this machine until the plan is done.

    Args:
        plan: from :func:`halfsight.engines.plan.plan`.
        job: the options; its model must be to be had on every node.
        workers: actors; one a core of the cluster by default.
        progress: told after every shard.

    Raises:
        OutputError: if a shard cannot be written.
        TableError: if a node has another model or other versions than the table was begun with, or
            Ray gives up.
    """
    tell = progress or (lambda done, total: None)
    plan, job = _absolute(plan, job)
    numbers = [number for number, shard in enumerate(plan.shards) if not plan.has(shard)]
    done = plan.photographs - sum(len(plan.shards[number].items) for number in numbers)
    tell(done, plan.photographs)
    if not numbers:
        return
    ours = not ray.is_initialized()
    if ours:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    try:
        resources: dict[str, float] = ray.cluster_resources()
        count = workers or int(resources.get("CPU", 1))
        shards = ray.data.from_items(
            [{"shard": number} for number in numbers], override_num_blocks=len(numbers)
        )
        made = shards.map_batches(
            Worker,
            batch_size=1,
            fn_constructor_args=(plan, job),
            compute=ray.data.ActorPoolStrategy(size=min(count, len(numbers))),
            num_cpus=1,
        )
        made.context.enable_progress_bars = False
        for row in made.iter_rows():
            done += int(row["photographs"])
            tell(done, plan.photographs)
    except ray.exceptions.RayError as error:
        raise _cause(error) from error
    finally:
        if ours:
            ray.shutdown()
    plan.tidy()


def _absolute(plan: Plan, job: Job) -> tuple[Plan, Job]:
    """All paths made absolute: workers have other current folders."""

    def absolute(path: str) -> str:
        return str(Path(path).absolute())

    shards = tuple(
        replace(shard, items=tuple((name, absolute(path)) for name, path in shard.items))
        for shard in plan.shards
    )
    model = job.model
    if model.endswith(".safetensors"):
        model = absolute(model)
    return replace(plan, folder=plan.folder.absolute(), shards=shards), replace(job, model=model)


def _same(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    for key, value in wanted.items():
        if found.get(key) != value:
            raise TableError(
                f"got {key} {found.get(key)} on node {platform.node()}, expected {value}, with "
                "which the table was begun; install the same versions and weights on every node"
            )


def _cause(error: ray.exceptions.RayError) -> Exception:
    """What went wrong in a worker, without Ray's wrapping."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OutputError | TableError):
            return inner
        inner = getattr(inner, "cause", None) or inner.__cause__
    return TableError(f"Ray gave up: {str(error).strip().splitlines()[-1]}; go on with --resume")
