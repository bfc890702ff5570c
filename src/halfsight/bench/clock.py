"""Time, memory, and the machine they were measured on."""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import torch

from halfsight.threads import threads_restored

Result = TypeVar("Result")

MB = 1 << 20


@dataclass(frozen=True)
class Cost:
    """What a call took.

    Attributes:
        seconds: wall time, the median of all rounds.
        fastest: the shortest round.
        cpu_seconds: processor time of all threads, the median.
    """

    seconds: float
    fastest: float
    cpu_seconds: float


def interleaved(calls: Mapping[str, Callable[[], object]], *, repeats: int) -> dict[str, Cost]:
    """Time calls in turn, round after round, so that what disturbs one disturbs all.

    Each is called once before, unmeasured.
    """
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repeats):
        for name, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: Cost(
            median(wall for wall, _ in rounds),
            min(wall for wall, _ in rounds),
            median(cpu for _, cpu in rounds),
        )
        for name, rounds in taken.items()
    }


@contextmanager
def threads(count: int | None) -> Iterator[int]:
    """Torch's number of threads within the block; None leaves it."""
    with threads_restored():
        if count is not None:
            torch.set_num_threads(count)
        yield torch.get_num_threads()


def machine() -> dict[str, Any]:
    """Processor, cores, versions, and how busy the machine was at that moment."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cores = os.cpu_count() or 1
    return {
        "processor": _processor(),
        "cores": cores,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": version("torch"),
        "halfsight": version("halfsight"),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def in_child(call: Callable[..., Result], *arguments: object) -> Result:
    """Call a module's function in a fresh process, so that memory is that of the call alone."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(call, *arguments).result()


def peak_extra_mb(call: Callable[[], object]) -> float:
    """Highest resident memory during a call, less that before it, in MB of 2**20 bytes.

    Call it in a process of its own. On Linux the kernel's high-water mark is reset first; elsewhere
    a call whose peak stays below an earlier one counts as nothing.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = _status("VmRSS")
        call()
        return (_status("VmHWM") - before) / 1024
    except OSError:
        unit = 1 if platform.system() == "Darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        call()
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * unit / MB


def _status(key: str) -> int:
    """A value of /proc/self/status in kB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise OSError(f"/proc/self/status has no {key}")
