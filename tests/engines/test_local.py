from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from halfsight import explain
from halfsight.engines import local
from halfsight.engines.plan import Item, Plan, plan
from halfsight.engines.units import Job
from halfsight.outputs import OutputError
from halfsight.scorer import Scorer
from halfsight.table import CoalitionTable
from halfsight.threads import one_thread, threads_restored

GRID = "2x2"


def job_of(file: Path) -> Job:
    return Job(str(file), GRID)


def lay_out(folder: Path, items: list[Item], job: Job, scorer: Scorer, **options: bool) -> Plan:
    return plan(folder, items, job.provenance(scorer), job.regions, shard=2, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, items: list[Item], tiny: Scorer, tiny_file: Path
) -> Path:
    """The table made in one go."""
    folder = tmp_path_factory.mktemp("tables") / "whole"
    job = job_of(tiny_file)
    local.run(lay_out(folder, items, job, tiny), job, tiny)
    return folder


def test_rows_equal_explain(whole: Path, items: list[Item], tiny: Scorer) -> None:
    table = CoalitionTable.load(whole)
    assert table.ids == tuple(name for name, _ in items if name not in ("07.jpg", "13.jpg"))
    assert table.scores.shape == (18, 16)
    paths = dict(items)
    for number, name in enumerate(table.ids):
        wanted = explain(tiny, paths[name], grid=GRID)
        assert table.scores[number] == pytest.approx(wanted.table, abs=1e-5)
        for criterion in table.criteria:
            values = table.importance(criterion)[number]
            assert values == pytest.approx(wanted.importances[criterion], abs=1e-4)
    assert len(np.unique(table.scores[:, 0])) == 18


def test_bad_photographs_are_listed_and_do_not_stop_the_others(whole: Path) -> None:
    failures = dict(CoalitionTable.load(whole).failures)
    assert list(failures) == ["07.jpg", "13.jpg"]
    assert all(name in reason for name, reason in failures.items())


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_does_not_change_a_byte(
    whole: Path, items: list[Item], tiny: Scorer, tiny_file: Path, tmp_path: Path, workers: int
) -> None:
    job = job_of(tiny_file)
    seen: list[tuple[int, int]] = []
    local.run(
        lay_out(tmp_path / "t", items, job, tiny),
        job,
        tiny,
        workers=workers,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert contents(tmp_path / "t") == contents(whole)
    assert seen == [(done, 20) for done in range(21)]


KILLED = """
import os, signal, sys
import pyarrow.parquet as pq
from halfsight.engines import local
from halfsight.engines.plan import plan
from halfsight.engines.units import Job

model, folder, moment, *paths = sys.argv[1:]
job = Job(model, "2x2")
scorer = job.load()
items = [(os.path.basename(path), path) for path in paths]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def progress(done, total):
    if moment == "between" and done == 11:
        die()

write = pq.write_table
written = []

def half(table, path, **options):
    write(table, path, **options)
    written.append(path)
    if moment == "writing" and len(written) == 4:
        os.truncate(path, os.path.getsize(path) // 2)
        die()

pq.write_table = half
made = plan(folder, items, job.provenance(scorer), job.regions, shard=2, resume=True)
print(len(list(made.missing())), flush=True)
local.run(made, job, scorer, workers=2, progress=progress)
"""


def start(model: Path, folder: Path, moment: str, items: list[Item]) -> subprocess.Popen[str]:
    paths = [path for _, path in items]
    command = [sys.executable, "-c", KILLED, str(model), str(folder), moment, *paths]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("moment", ["between", "writing"])
def test_kill_9_and_resume_gives_the_same_bytes(
    whole: Path, items: list[Item], tiny: Scorer, tiny_file: Path, tmp_path: Path, moment: str
) -> None:
    folder = tmp_path / "t"
    killed = start(tiny_file, folder, moment, items)
    assert killed.communicate()[0] == "10\n"
    assert killed.returncode == -signal.SIGKILL
    # whole shards only: 11 photographs fill 5 of 10, of which one may not be written yet
    done = {path.name for path in (folder / "shards").glob("[!.]*.parquet")}
    assert len(done) == 3 if moment == "writing" else 4 <= len(done) <= 5
    if moment == "writing":
        assert len(list((folder / "shards").glob(".*.partial-*"))) == 1
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "shards").iterdir()}
    job = job_of(tiny_file)
    again = lay_out(folder, items, job, tiny, resume=True)
    assert len(list(again.missing())) == 10 - len(done)
    local.run(again, job, tiny)
    assert contents(folder) == contents(whole)
    after = {path.name: path.stat().st_mtime_ns for path in (folder / "shards").iterdir()}
    assert {name: before[name] for name in done} == {name: after[name] for name in done}
    ids = CoalitionTable.load(folder).ids
    assert len(set(ids)) == len(ids) == 18


def test_a_write_that_fails_stops_the_run(
    items: list[Item],
    tiny: Scorer,
    tiny_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = job_of(tiny_file)
    made = lay_out(tmp_path / "t", items, job, tiny)

    def full(self: Plan, shard: object, rows: object) -> None:
        raise OutputError("t", "the disk is full", "free some space")

    monkeypatch.setattr(Plan, "write", full)
    with pytest.raises(OutputError, match="disk is full"):
        local.run(made, job, tiny)
    assert len(list(made.missing())) == 10


def test_workers_have_a_thread_each_and_others_keep_theirs() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    found: list[int] = []

    def look(begin: bool) -> None:
        if begin:
            one_thread()
        found.append(torch.get_num_threads())

    def in_thread(begin: bool) -> None:
        thread = threading.Thread(target=look, args=(begin,))
        thread.start()
        thread.join()

    try:
        with threads_restored():
            in_thread(True)
            look(False)
        in_thread(False)
    finally:
        torch.set_num_threads(before)
    assert found == [1, 3, 3]


def test_photographs_and_writing_overlap(
    items: list[Item],
    tiny: Scorer,
    tiny_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of two photographs waits for the other, the first write for one that starts after it.

    The waits end by what others do, not by time: the limits only end a test that would hang.
    """
    job = job_of(tiny_file)
    made = lay_out(tmp_path / "t", items, job, tiny)
    together = threading.Barrier(2)
    later = threading.Event()
    waited: list[bool] = []

    def row(scorer: Scorer, job: Job, name: str, path: str) -> dict[str, str]:
        together.wait(300)
        if name >= items[6][0]:  # its shard is begun when the first one is being written
            later.set()
        return {"id": name}

    monkeypatch.setattr(local, "one_row", row)
    monkeypatch.setattr(Plan, "write", lambda *args: waited.append(later.wait(300)))
    local.run(made, job, tiny, workers=2)
    assert waited == [True] * 10


def test_items_come_back_in_order_and_each_has_one_thread() -> None:
    before = torch.get_num_threads()

    def work(number: int) -> tuple[int, int]:
        time.sleep(0.02 * (3 - number % 3))  # later ones are done first
        if number == 4:
            raise ValueError("four")
        return number, torch.get_num_threads()

    found = []
    for number, future in local.in_order(work, range(7), workers=3):
        if number == 4:
            with pytest.raises(ValueError, match="four"):
                future.result()
        else:
            found.append(future.result())
    assert found == [(number, 1) for number in (0, 1, 2, 3, 5, 6)]
    assert torch.get_num_threads() == before


def test_few_items_are_taken_ahead_and_leaving_stops_the_rest() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = local.in_order(lambda number: number, items(), workers=2)
    assert next(results)[0] == 0
    results.close()
    assert taken == [0, 1, 2, 3]
