from __future__ import annotations

import os
import platform
import signal
from pathlib import Path

import numpy as np
import pytest

from halfsight.engines import local
from halfsight.engines.plan import Item, Plan, Shard, plan
from halfsight.engines.units import Job
from halfsight.outputs import OutputError
from halfsight.scorer import Scorer
from halfsight.table import CoalitionTable, TableError

ray = pytest.importorskip("ray")
engine = pytest.importorskip("halfsight.engines.ray")


def lay_out(folder: Path, items: list[Item], job: Job, scorer: Scorer) -> Plan:
    return plan(folder, items, job.provenance(scorer), job.regions, shard=3)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_lost_worker_is_replaced_and_the_bytes_are_the_local_ones(
    items: list[Item],
    tiny: Scorer,
    tiny_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = Job(str(tiny_file), "2x2")
    local.run(lay_out(tmp_path / "local", items, job, tiny), job, tiny)

    deaths = tmp_path / "deaths"
    monkeypatch.chdir(tmp_path)  # relative paths must reach workers elsewhere
    made = lay_out(Path("cluster"), items, job, tiny)
    fatal = made.shards[3].name

    class Mortal(engine.Worker):  # type: ignore[misc, name-defined]
        """Killed in the middle of the fourth shard, once."""

        def make(self, shard: Shard) -> None:
            with (deaths.parent / "pids").open("a") as pids:
                pids.write(f"{os.getpid()}\n")
            if shard.name == fatal and not deaths.exists():
                deaths.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            super().make(shard)

    monkeypatch.setattr(engine, "Worker", Mortal)
    seen: list[int] = []
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        engine.run(made, job, workers=2, progress=lambda done, total: seen.append(done))
        assert ray.is_initialized()  # what the caller began is left to the caller
    finally:
        ray.shutdown()
    assert deaths.read_text() in (tmp_path / "pids").read_text().split()
    assert len(set((tmp_path / "pids").read_text().split())) >= 2
    assert contents(tmp_path / "cluster") == contents(tmp_path / "local")
    assert seen[0] == 0
    assert seen[-1] == 20
    assert len(seen) == 1 + len(made.shards)
    assert dict(CoalitionTable.load("cluster").failures).keys() == {"07.jpg", "13.jpg"}


def test_a_worker_makes_a_shard_once(
    items: list[Item], tiny: Scorer, tiny_file: Path, tmp_path: Path
) -> None:
    job = Job(str(tiny_file), "2x2")
    made = lay_out(tmp_path / "t", items[:6], job, tiny)
    worker = engine.Worker(made, job)
    assert worker({"shard": np.array([1])})["photographs"].tolist() == [3]
    assert [made.has(shard) for shard in made.shards] == [False, True]
    written = (tmp_path / "t" / made.shards[1].name).stat().st_mtime_ns
    assert worker({"shard": np.array([0, 1])})["photographs"].tolist() == [3, 3]
    assert (tmp_path / "t" / made.shards[1].name).stat().st_mtime_ns == written


def test_nodes_with_another_model_or_version_are_refused(
    items: list[Item], tiny: Scorer, tiny_file: Path, tmp_path: Path
) -> None:
    job = Job(str(tiny_file), "2x2")
    other = {**job.provenance(tiny), "model_hash": "0" * 64}
    made = plan(tmp_path / "t", items, other, 4)
    with pytest.raises(TableError, match=f"on node {platform.node()}, expected 0000"):
        engine.Worker(made, job)


def test_causes_are_unwrapped() -> None:
    full = OutputError("t", "the disk is full", "free some space")
    wrapped = ray.exceptions.RayTaskError("make", "traceback", full)
    assert engine._cause(wrapped) is full
    lost = ray.exceptions.RaySystemError("first line\nthe node is gone")
    assert "the node is gone" in str(engine._cause(lost))
    assert "--resume" in str(engine._cause(lost))


def test_nothing_to_do_starts_no_cluster(
    items: list[Item], tiny: Scorer, tiny_file: Path, tmp_path: Path
) -> None:
    job = Job(str(tiny_file), "2x2")
    made = lay_out(tmp_path / "t", items[:3], job, tiny)
    local.run(made, job, tiny)
    engine.run(made, job)
    assert not ray.is_initialized()
