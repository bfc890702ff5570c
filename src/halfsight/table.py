"""Tables of coalitions for many photographs, in memory and on disk.

On disk a table is a folder: ``manifest.json`` says what it was made from and with; ``shards/``
holds Parquet files of some photographs each, whose schema metadata repeat the provenance.
:mod:`halfsight.engines` makes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from halfsight import importance
from halfsight.explanation import Explanation
from halfsight.importance import Criterion
from halfsight.outputs import MANIFEST

PROVENANCE = b"halfsight"
"""Key of the provenance, as JSON, in a shard's schema metadata."""

Floats = npt.NDArray[np.float32]


class TableError(ValueError):
    """A table on disk that is missing, unfinished, or of another model or other options."""


@dataclass(frozen=True)
class CoalitionTable:
    """Scores of all coalitions for N photographs, with their provenance.

    Attributes:
        ids: N names, in the order of the data set.
        scores: float32 (N, 2**n); column m is the score with the regions of bit set m masked
            (bit 0 = top-left).
        grids: (rows, cols) of each photograph's grid; portrait ones may be turned.
        importances: float32 (N, n) by criterion, for every criterion the model allows.
        failures: (id, what was wrong) of photographs without a row.
        provenance: model, model hash, options, versions.
    """

    ids: tuple[str, ...]
    scores: Floats
    grids: tuple[tuple[int, int], ...]
    importances: Mapping[str, Floats] = field(repr=False)
    failures: tuple[tuple[str, str], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def regions(self) -> int:
        """Number of regions n."""
        return int(self.scores.shape[1]).bit_length() - 1

    @property
    def criteria(self) -> tuple[str, ...]:
        """Criteria there is importance by."""
        return tuple(self.importances)

    def importance(self, criterion: Criterion) -> Floats:
        """Importance (N, n) by a criterion.

        Raises:
            TableError: if the table's model does not allow it.
        """
        if criterion not in self.importances:
            raise TableError(
                f"got criterion {criterion!r}, expected one the table has: "
                f"{', '.join(self.importances)}"
            )
        return self.importances[criterion]

    def halves(self, criterion: Criterion) -> npt.NDArray[np.bool_]:
        """Important half of each photograph, bool (N, n)."""
        values = self.importance(criterion)
        chosen = np.zeros(values.shape, dtype=np.bool_)
        for row, one in enumerate(values):
            chosen[row, list(importance.split(one)[0])] = True
        return chosen

    def select(self, ids: Iterable[str]) -> CoalitionTable:
        """The rows of the given ids, in their order.

        Raises:
            TableError: names the first id that has no row.
        """
        where = {name: row for row, name in enumerate(self.ids)}
        wanted = tuple(ids)
        for name in wanted:
            if name not in where:
                raise TableError(f"got id {name!r}, which the table does not have; build it again")
        rows = [where[name] for name in wanted]
        return CoalitionTable(
            wanted,
            self.scores[rows],
            tuple(self.grids[row] for row in rows),
            {name: values[rows] for name, values in self.importances.items()},
            self.failures,
            self.provenance,
        )

    @classmethod
    def load(cls, folder: str | Path) -> CoalitionTable:
        """Read a finished table.

        Raises:
            TableError: if there is none, or it is unfinished.
        """
        place = Path(folder)
        manifest = read_manifest(place)
        missing = [name for name in manifest["shards"] if not (place / name).is_file()]
        if missing:
            raise TableError(
                f"{place}: {len(missing)} of {len(manifest['shards'])} shards are missing; "
                "go on with: halfsight table build ... --resume"
            )
        tables = []
        for name in manifest["shards"]:
            try:
                tables.append(pq.read_table(place / name))
            except pa.ArrowInvalid as error:
                raise TableError(
                    f"{place / name}: damaged ({error}); delete it and go on with: "
                    "halfsight table build ... --resume"
                ) from None
        return from_arrow(pa.concat_tables(tables), manifest["provenance"])


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a table.

    Raises:
        TableError: if there is none.
    """
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise TableError(
            f"{path}: {error.strerror or error}; expected a table made by halfsight table build"
        ) from None
    except ValueError:
        raise TableError(f"{path}: not JSON; make the table again") from None
    if not isinstance(found, dict) or found.get("kind") != "coalition table":
        raise TableError(f"{path}: not the manifest of a table of coalitions")
    return found


def row(name: str, result: Explanation) -> dict[str, Any]:
    """One photograph's row.

    Raises:
        TableError: if the masks were sampled; a table holds every coalition.
    """
    if result.estimated:
        raise TableError(f"{name}: got a sample of the masks, expected all; use masks='all'")
    return {
        "id": name,
        "rows": result.grid.rows,
        "cols": result.grid.cols,
        "height": result.photograph.height,
        "width": result.photograph.width,
        "scores": result.table,
        "distribution": result.distribution,
        **{key: values.astype(np.float32) for key, values in result.importances.items()},
    }


def failed_row(name: str, error: object) -> dict[str, Any]:
    """The row of a photograph that could not be read; it keeps the reason."""
    return {"id": name, "error": str(error)}


def to_arrow(
    rows: Sequence[Mapping[str, Any]], regions: int, provenance: Mapping[str, Any]
) -> pa.Table:
    """Rows to an Arrow table with a fixed schema, so that shards of all kinds can be joined."""

    def floats(length: int) -> pa.DataType:
        return pa.list_(pa.float32(), length)

    schema = pa.schema(
        [
            ("id", pa.string()),
            ("rows", pa.int8()),
            ("cols", pa.int8()),
            ("height", pa.int32()),
            ("width", pa.int32()),
            ("scores", floats(1 << regions)),
            ("distribution", pa.list_(pa.float32())),
            *((name, floats(regions)) for name in importance.CRITERIA),
            ("error", pa.string()),
        ],
        metadata={PROVENANCE: json.dumps(provenance, sort_keys=True).encode()},
    )
    columns = [pa.array([one.get(part.name) for one in rows], type=part.type) for part in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def from_arrow(table: pa.Table, provenance: Mapping[str, Any]) -> CoalitionTable:
    """An Arrow table of shards to a table in memory."""
    broken = table.filter(pc.is_valid(table["error"]))
    whole = table.filter(pc.is_null(table["error"]))

    def stacked(name: str) -> Floats:
        length = table.schema.field(name).type.list_size
        flat = whole[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return np.asarray(flat, dtype=np.float32).reshape(len(whole), length)

    criteria = [name for name in importance.CRITERIA if whole[name].null_count == 0]
    return CoalitionTable(
        ids=tuple(whole["id"].to_pylist()),
        scores=stacked("scores"),
        grids=tuple(zip(whole["rows"].to_pylist(), whole["cols"].to_pylist(), strict=True)),
        importances={name: stacked(name) for name in criteria},
        failures=tuple(zip(broken["id"].to_pylist(), broken["error"].to_pylist(), strict=True)),
        provenance=dict(provenance),
    )
