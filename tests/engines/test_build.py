from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import halfsight as hs
from halfsight import datasets
from halfsight.scorer import Scorer
from halfsight.table import TableError


def test_a_data_set_in_memory(tiny: Scorer, photographs: Path) -> None:
    dataset = datasets.load("folder", photographs)
    told: list[tuple[int, int]] = []
    table = hs.build_table(tiny, dataset, progress=lambda done, total: told.append((done, total)))
    assert table.scores.shape == (18, 4096)
    assert [name for name, _ in table.failures] == ["07.jpg", "13.jpg"]
    assert told[-1] == (20, 20)
    alone = hs.explain(tiny, photographs / "05.jpg")
    assert np.array_equal(table.select(["05.jpg"]).scores[0], alone.table)


def test_paths_in_a_folder_that_is_kept(tiny: Scorer, photographs: Path, tmp_path: Path) -> None:
    paths = [photographs / "01.jpg", photographs / "02.jpg"]
    first = hs.build_table(tiny, paths, folder=tmp_path / "table", grid="2x2")
    again = hs.build_table(tiny, paths, folder=tmp_path / "table", grid="2x2")
    assert first.scores.shape == (2, 16)
    assert np.array_equal(first.scores, again.scores)
    with pytest.raises(TableError, match="another model"):
        hs.build_table(tiny, paths, folder=tmp_path / "table", grid="2x3")


def test_the_public_names() -> None:
    assert set(hs.__all__) <= set(dir(hs))
    for name in hs.__all__:
        assert getattr(hs, name) is not None
