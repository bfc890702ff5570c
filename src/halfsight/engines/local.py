"""One machine: a thread a core, each taking photographs from decoding to the finished row.

Decoding, the network and the table of one photograph overlap with those of the others; a shard is
written in the background as soon as its last photograph is done, at most two behind.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from halfsight.engines.plan import Plan, Shard
from halfsight.engines.units import Job, one_row
from halfsight.scorer import Scorer
from halfsight.threads import one_thread, threads_restored

Progress = Callable[[int, int], None]
"""Called with (photographs done, photographs in all)."""


def cores() -> int:
    """Cores this process may use; fewer than the machine's in a container or a batch job."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


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
        plan: from :func:`halfsight.engines.plan.plan`.
        job: the options.
        scorer: the job's model.
        workers: photographs worked on at once; one a core by default.
        progress: told after every photograph.

    Raises:
        OutputError: if a shard cannot be written.
    """
    tell = progress or (lambda done, total: None)
    missing = deque(plan.missing())
    done = plan.photographs - sum(len(shard.items) for shard in missing)
    tell(done, plan.photographs)
    count = workers or cores()
    # the shards behind the first keep all cores busy while its last photographs are finished
    ahead = 2 + count // max(1, len(missing[0].items)) if missing else 0
    flying: deque[tuple[Shard, list[Future[dict[str, Any]]]]] = deque()
    writing: deque[Future[None]] = deque()
    with (
        threads_restored(),
        ThreadPoolExecutor(count, initializer=one_thread) as pool,
        ThreadPoolExecutor(1) as writer,
    ):
        try:
            while missing or flying:
                while missing and len(flying) < ahead:
                    shard = missing.popleft()
                    rows = [pool.submit(one_row, scorer, job, *item) for item in shard.items]
                    flying.append((shard, rows))
                shard, rows = flying.popleft()
                made = []
                for future in rows:
                    made.append(future.result())
                    done += 1
                    tell(done, plan.photographs)
                writing.append(writer.submit(plan.write, shard, made))
                while len(writing) > 1:  # a slow disk must not let finished rows pile up
                    writing.popleft().result()
            for one in writing:
                one.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
