"""Jobs: what they hold, who may see them, and how long they are kept."""

from __future__ import annotations

import logging
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halfsight.scorer import Prediction, Scorer
from halfsight.web.errors import ApiError, ErrorDetail, retry
from halfsight.web.limits import Limits
from halfsight.web.schemas import Stage, State, Summary

Clock = Callable[[], float]

_log = logging.getLogger(__name__)


@dataclass
class Item:
    """One photograph with one model.

    Attributes:
        name: what the client calls the photograph, cleaned.
        model: its name on the shelf.
        lock: held while the model works.
        photograph: the uploaded file in the job's folder.
        folder: where its results go, inside the job's folder.
        masks: masks evaluated so far and in all.
        result: of an explanation.
        prediction: of a score.
    """

    name: str
    model: str
    scorer: Scorer = field(repr=False)
    lock: threading.Lock = field(repr=False)
    photograph: Path
    folder: Path
    stage: Stage = "waiting"
    masks: tuple[int, int] | None = None
    error: ErrorDetail | None = None
    result: Summary | None = None
    prediction: Prediction | None = None


@dataclass
class Job:
    """The photographs of one request.

    The thread that works on it changes it; others read it. Every field is set in one step, so a
    reader sees a state from just before or just after.

    Attributes:
        id: random, and unguessable: 192 bits.
        folder: its private folder.
        items: what to do, in order.
        options: of the explanation.
        version: grows with every change.
        finished: when it ended, by the desk's clock.
        cancelled: set to make it stop at the next mask.
        streams: event streams that are open on it.
        archive: taken while its zip is made.
    """

    id: str
    folder: Path
    items: list[Item] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    state: State = "waiting"
    version: int = 0
    finished: float | None = None
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    streams: int = 0
    archive: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def moved(self) -> None:
        """Say that something changed."""
        self.version += 1


class Desk:
    """Takes jobs in, has them worked on in order, and clears away what is over.

    Args:
        limits: how many, how large, how long.
        clock: seconds that only grow.
    """

    def __init__(self, limits: Limits, *, clock: Clock = time.monotonic) -> None:
        self.limits = limits
        self.clock = clock
        self.root = Path(tempfile.mkdtemp(prefix="halfsight-"))  # for this user only: mode 0700
        self._lock = threading.RLock()
        self._jobs: dict[str, Job] = {}
        self._order: list[str] = []
        self._taken = 0
        self._typical = 2.0
        self._closed = False
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="halfsight-work")

    def open(self) -> Job:
        """A place in the queue and a folder to fill. Give it to :meth:`submit` or :meth:`drop`.

        Raises:
            ApiError: 429 if too many are waiting, 503 if there is no room on the disk or the
                server is stopping.
        """
        with self._lock:
            if self._closed:
                raise retry(503, "stopping", "the server is stopping", seconds=5)
            room = self.limits.workers + self.limits.waiting
            if self._taken >= room:
                raise retry(
                    429,
                    "busy",
                    f"got a request while {self._taken} jobs are at work or waiting, "
                    f"expected at most {room}",
                    seconds=min(60.0, self._typical * self._taken / self.limits.workers / 2),
                )
            self._taken += 1
        try:
            self.sweep()
            if self.kept_bytes() > self.limits.kept_bytes:
                raise retry(
                    503,
                    "storage_full",
                    f"results kept for others take {self.limits.kept_megabytes:g} MB",
                    seconds=min(60.0, self.limits.minutes * 60),
                )
            job = Job(secrets.token_urlsafe(24), self.root / secrets.token_hex(16))
            job.folder.mkdir(mode=0o700)
        except BaseException:
            self._leave()
            raise
        with self._lock:
            self._jobs[job.id] = job
            self._order.append(job.id)
        return job

    def submit(self, job: Job, work: Callable[[Job], None]) -> Future[None]:
        """Have a job worked on when its turn comes.

        Raises:
            ApiError: 503 if the server is stopping.
        """
        try:
            return self._pool.submit(self._run, job, work)
        except RuntimeError:
            self.drop(job)
            raise retry(503, "stopping", "the server is stopping", seconds=5) from None

    def drop(self, job: Job) -> None:
        """Give up a job that was opened and not submitted."""
        self._leave()
        self._forget(job)

    def get(self, key: str) -> Job:
        """The job of this id.

        Raises:
            ApiError: 404 if there is none, or its time is over.
        """
        with self._lock:
            job = self._jobs.get(key)
        if job is None or self._over(job):
            raise ApiError(
                404,
                "not_found",
                f"got a result that is unknown or no longer kept; they are kept "
                f"{self.limits.minutes:g} minutes: send the photograph again",
            )
        return job

    def remove(self, job: Job) -> None:
        """Stop a job if it is not finished, and delete its files; nobody finds it from now on."""
        with self._lock:
            job.cancelled.set()
            self._jobs.pop(job.id, None)
            finished = job.finished is not None
        job.moved()
        if finished:  # otherwise whoever works on it deletes them on leaving
            self._forget(job)

    def ahead(self, job: Job) -> int:
        """Jobs that come before a waiting one."""
        with self._lock:
            before = self._order[: self._order.index(job.id)] if job.id in self._order else []
            return len(before)

    def seconds_left(self, job: Job) -> float | None:
        """Until the job's files are deleted, None while it is not finished."""
        if job.finished is None:
            return None
        return max(0.0, job.finished + self.limits.minutes * 60 - self.clock())

    def sweep(self) -> None:
        """Delete the files of all jobs whose time is over."""
        with self._lock:
            over = [job for job in self._jobs.values() if self._over(job)]
        for job in over:
            self._forget(job)

    def kept_bytes(self) -> int:
        """Disk space of all files that are kept."""
        total = 0
        for path in self.root.rglob("*"):
            try:
                total += path.stat().st_size
            except OSError:  # deleted meanwhile
                continue
        return total

    def close(self) -> None:
        """Stop all work and delete everything."""
        with self._lock:
            self._closed = True
            jobs = list(self._jobs.values())
        for job in jobs:
            job.cancelled.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self.root, ignore_errors=True)

    def _run(self, job: Job, work: Callable[[Job], None]) -> None:
        started = time.monotonic()
        try:
            if not job.cancelled.is_set():
                job.state = "running"
                job.moved()
                work(job)
        except Exception:  # work itself reports what it expects to go wrong
            _log.exception("a job failed")
            for item in job.items:
                if item.stage not in ("done", "failed"):
                    item.error = ErrorDetail(
                        code="internal", message="something went wrong in the server"
                    )
                    item.stage = "failed"
        finally:
            with self._lock:
                spent = time.monotonic() - started
                self._typical += 0.2 * (spent - self._typical)
                job.finished = self.clock()
                cancelled = job.cancelled.is_set()
            job.state = "cancelled" if cancelled else "done"
            job.moved()
            self._leave(job)
            if cancelled:
                self._forget(job)

    def _over(self, job: Job) -> bool:
        return self.seconds_left(job) == 0

    def _leave(self, job: Job | None = None) -> None:
        """Free a place in the queue."""
        with self._lock:
            self._taken -= 1
            if job is not None and job.id in self._order:
                self._order.remove(job.id)

    def _forget(self, job: Job) -> None:
        with self._lock:
            self._jobs.pop(job.id, None)
            if job.id in self._order:
                self._order.remove(job.id)
        shutil.rmtree(job.folder, ignore_errors=True)
