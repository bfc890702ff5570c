"""One machine: a thread a core, each taking photographs from decoding to the finished row.

Decoding, the network and the table of one photograph overlap with those of the others; a shard is
written in the background as soon as its last photograph is done, at most two behind.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from halfsight.engines.plan import Plan, Shard
from halfsight.engines.units import Job, one_row
from halfsight.scorer import Scorer
from halfsight.threads import one_thread, threads_restored

Progress = Callable[[int, int], None]
"""Called with (photographs done, photographs in all)."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Cores this process may use; fewer than the machine's in a container or a batch job."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int | None = None
) -> Generator[tuple[Item, Future[Result]], None, None]:
    """Work on items, a thread a core, and give them back in their order.

    Args:
        work: what is done with one item; its errors are those of the future.
        items: taken a few ahead of those that are given back.
        workers: items worked on at once; one a core by default.
    """
    count, waiting = workers or cores(), iter(items)
    with threads_restored(), ThreadPoolExecutor(count, initializer=one_thread) as pool:
        flying = deque(
            (item, pool.submit(work, item)) for item in itertools.islice(waiting, 2 * count)
        )
        try:
            while flying:
                yield flying.popleft()
                for item in itertools.islice(waiting, 1):
                    flying.append((item, pool.submit(work, item)))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


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
