from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from halfsight.datasets import Sample
from halfsight.experiments.store import RowStore
from halfsight.images import ImageError

SAMPLES = [Sample(f"a,{at}.png", Path(f"/somewhere/{at}.png")) for at in range(6)]


def work(sample: Sample) -> list[float]:
    return [0.1 * int(sample.path.stem), 1 / 3]


def store(folder: Path, key: int = 0) -> RowStore:
    return RowStore(folder, "rows", ["x", "y"], {"key": key})


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole = store(tmp_path / "whole")
    assert whole.fill(SAMPLES, work) == {}
    begun = store(tmp_path / "begun")
    begun.fill(SAMPLES[:3], work)
    text = begun.path.read_text()
    begun.path.write_text(text + '"a,3.png",0.3000')  # killed while writing
    asked: list[str] = []

    def counted(sample: Sample) -> list[float]:
        asked.append(sample.id)
        return work(sample)

    again = store(tmp_path / "begun")
    again.fill(SAMPLES, counted, workers=1)
    assert asked == [sample.id for sample in SAMPLES[3:]]
    assert again.path.read_bytes() == whole.path.read_bytes()
    wanted = [work(sample) for sample in SAMPLES]
    assert store(tmp_path / "begun").array([s.id for s in SAMPLES]).tolist() == wanted


def test_other_options_have_another_file(tmp_path: Path) -> None:
    store(tmp_path).fill(SAMPLES, work)
    other = store(tmp_path, key=1)
    assert other.rows == {}
    assert np.isnan(other.array([SAMPLES[0].id])).all()


def test_photographs_that_fail_are_named_without_their_place(tmp_path: Path) -> None:
    def fails(sample: Sample) -> list[float]:
        if sample.path.stem == "2":
            raise ImageError(str(sample.path), "cut short", "get it again")
        return work(sample)

    seen: list[tuple[str, int, int]] = []
    made = store(tmp_path)
    failures = made.fill(SAMPLES, fails, stage="s", progress=lambda *at: seen.append(at))
    assert list(failures) == ["a,2.png"]
    assert "cut short" in failures["a,2.png"]
    assert "somewhere" not in failures["a,2.png"]
    assert len(made.rows) == 5
    assert seen[-1] == ("s", 6, 6)


def test_errors_of_ours_are_not_hidden(tmp_path: Path) -> None:
    def broken(sample: Sample) -> list[float]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store(tmp_path).fill(SAMPLES, broken)
