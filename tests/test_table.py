from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from halfsight.grid import RegionGrid
from halfsight.table import (
    PROVENANCE,
    CoalitionTable,
    TableError,
    failed_row,
    from_arrow,
    row,
    to_arrow,
)

REGIONS = 4
PLACE = {"model": "triq", "grid": "2x2"}


def explained(seed: int, *, estimated: bool = False, **importances: Any) -> Any:
    """What :func:`row` reads of an explanation."""
    draw = np.random.default_rng(seed)
    return SimpleNamespace(
        grid=RegionGrid(2, 2),
        photograph=SimpleNamespace(height=100 + seed, width=200),
        table=draw.normal(size=1 << REGIONS).astype(np.float32),
        distribution=(0.25, 0.75),
        importances=importances or {"abs_delta": draw.normal(size=REGIONS)},
        estimated=estimated,
    )


def test_rows_come_back_bit_for_bit() -> None:
    given = [explained(seed) for seed in range(3)]
    rows = [row("a", given[0]), failed_row("b", "cut short"), row("c", given[1])]
    arrow = to_arrow(rows, REGIONS, PLACE)
    table = from_arrow(arrow, PLACE)
    assert arrow.schema.field("scores").type == pa.list_(pa.float32(), 1 << REGIONS)
    assert json.loads(arrow.schema.metadata[PROVENANCE]) == PLACE
    assert arrow["distribution"].to_pylist() == [[0.25, 0.75], None, [0.25, 0.75]]
    assert arrow["height"].to_pylist() == [100, None, 101]
    assert table.ids == ("a", "c")
    assert len(table) == 2
    assert table.regions == REGIONS
    assert table.grids == ((2, 2), (2, 2))
    assert table.scores.dtype == np.float32
    assert np.array_equal(table.scores, [given[0].table, given[1].table])
    wanted = np.array([one.importances["abs_delta"] for one in given[:2]], dtype=np.float32)
    assert np.array_equal(table.importance("abs_delta"), wanted)
    assert table.failures == (("b", "cut short"),)
    assert table.criteria == ("abs_delta",)


def test_halves_are_the_largest_magnitudes() -> None:
    given = explained(0, shapley=np.array([0.1, -0.9, 0.5, 0.2]))
    table = from_arrow(to_arrow([row("a", given)], REGIONS, PLACE), PLACE)
    assert table.halves("shapley").tolist() == [[False, True, True, False]]
    with pytest.raises(TableError, match="'dist_plcc', expected one the table has: shapley"):
        table.halves("dist_plcc")


def test_select_takes_rows_in_the_order_asked_for() -> None:
    rows = [row(name, explained(seed)) for seed, name in enumerate("abc")]
    table = from_arrow(to_arrow(rows, REGIONS, PLACE), PLACE)
    part = table.select(["c", "a"])
    assert part.ids == ("c", "a")
    assert np.array_equal(part.scores, table.scores[[2, 0]])
    assert np.array_equal(part.importance("abs_delta"), table.importance("abs_delta")[[2, 0]])
    with pytest.raises(TableError, match="'d'"):
        table.select(["a", "d"])


def test_table_of_failures_alone() -> None:
    table = from_arrow(to_arrow([failed_row("a", "bad")], REGIONS, PLACE), PLACE)
    assert len(table) == 0
    assert table.scores.shape == (0, 1 << REGIONS)
    assert table.failures == (("a", "bad"),)


def test_sampled_masks_are_refused() -> None:
    with pytest.raises(TableError, match="a sample of the masks, expected all"):
        row("a", explained(0, estimated=True))


def test_folders_that_are_no_table(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="expected a table made by halfsight table build"):
        CoalitionTable.load(tmp_path / "nothing")
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(TableError, match="not JSON"):
        CoalitionTable.load(tmp_path)
    (tmp_path / "manifest.json").write_text('{"made_by": "halfsight"}')
    with pytest.raises(TableError, match="not the manifest of a table"):
        CoalitionTable.load(tmp_path)
