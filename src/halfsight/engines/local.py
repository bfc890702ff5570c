"""One machine: a thread a core, each taking photographs from decoding to the finished row.

Decoding, the network and the table of one photograph overlap with those of the others; a shard is
written in the background as soon as its last photograph is done.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from halfsight.engines.units import Job, one_row, one_thread
from halfsight.scorer import Scorer
from halfsight.table import Plan, Shard

Progress = Callable[[int, int], None]


def run(
    plan: Plan,
    job: Job,
    scorer: Scorer,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Make the missing shards of a plan.

    Args:
        plan: from :func:`halfsight.table.plan`.
        job: the options.
        scorer: the job's model.
        workers: photographs worked on at once; the number of cores by default.
        progress: called with (photographs done, photographs in all).

    Raises:
        OutputError: if a shard cannot be written.
    """
    count = workers or os.cpu_count() or 1
    total = sum(len(shard.items) for shard in plan.shards)
    missing = list(plan.missing())
    done = total - sum(len(shard.items) for shard in missing)
    if progress is not None:
        progress(done, total)
    with (
        ThreadPoolExecutor(count, initializer=one_thread) as pool,
        ThreadPoolExecutor(1) as writer,
    ):
        flying: deque[tuple[Shard, list[Future[dict[str, Any]]]]] = deque()
        writing: list[Future[None]] = []
        queue = iter(missing)
        try:
            while True:
                # two shards in flight: the next one keeps the cores busy while one is finished
                while len(flying) < 2 and (shard := next(queue, None)) is not None:
                    flying.append(
                        (
                            shard,
                            [
                                pool.submit(one_row, scorer, job, name, path)
                                for name, path in shard.items
                            ],
                        )
                    )
                if not flying:
                    break
                shard, futures = flying.popleft()
                rows = []
                for future in futures:
                    rows.append(future.result())
                    done += 1
                    if progress is not None:
                        progress(done, total)
                writing.append(writer.submit(shard.write, plan.folder, rows, plan.regions))
                writing = [one for one in writing if not one.done() or one.result()]
            for one in writing:
                one.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
