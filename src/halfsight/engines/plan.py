"""What is to be built and what is there already: a table laid out in shards.

A shard's name is a digest of the model, the options and the photographs in it, so a shard that is
there is a shard that is right. An interrupted run loses at most the shards in flight, and no
photograph is ever in two shards of a table.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from halfsight.outputs import MANIFEST, OutputError, atomic_path, write_atomic
from halfsight.table import TableError, read_manifest, to_arrow

SHARD = 32
"""Photographs in a shard: what each worker loses when it is killed."""

SHARDS = "shards"
FORMAT = 1

Item = tuple[str, str]
"""Id and file of a photograph."""


@dataclass(frozen=True)
class Shard:
    """Photographs that are worked on and written together: the unit of every engine.

    Attributes:
        name: file name below the table's folder.
        items: the photographs.
    """

    name: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Plan:
    """A table to be built.

    Attributes:
        folder: the table's.
        shards: in the order of the photographs.
        regions: number of regions.
        provenance: everything the scores depend on but the photographs.
    """

    folder: Path
    shards: tuple[Shard, ...]
    regions: int
    provenance: Mapping[str, Any]

    @property
    def photographs(self) -> int:
        """Number of photographs, those that fail included."""
        return sum(len(shard.items) for shard in self.shards)

    def missing(self) -> Iterator[Shard]:
        """Shards still to be made."""
        return (shard for shard in self.shards if not self.has(shard))

    def has(self, shard: Shard) -> bool:
        """Whether a shard is there, and so is right."""
        return (self.folder / shard.name).is_file()

    def tidy(self) -> None:
        """Delete what is no shard of this table: outdated ones, and files of killed writers."""
        wanted = {self.folder / shard.name for shard in self.shards}
        for path in (self.folder / SHARDS).glob("*.parquet"):  # hidden names too
            if path not in wanted:
                path.unlink(missing_ok=True)

    def write(self, shard: Shard, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the rows of a shard, whole or not at all.

        Raises:
            OutputError: if it cannot be written.
        """
        with atomic_path(self.folder / shard.name) as temporary:
            pq.write_table(
                to_arrow(rows, self.regions, self.provenance), temporary, compression="zstd"
            )


def plan(
    folder: str | Path,
    items: Sequence[Item],
    provenance: Mapping[str, Any],
    regions: int,
    *,
    resume: bool = False,
    overwrite: bool = False,
    shard: int = SHARD,
) -> Plan:
    """Lay out a table and write its manifest.

    Args:
        folder: the table's folder.
        items: (id, file) of each photograph; ids are unique.
        provenance: everything the scores depend on but the photographs.
        regions: number of regions.
        resume: go on with an earlier run of the same table; photographs whose file has changed
            since are done again, with the rest of their shard.
        overwrite: drop an earlier table.
        shard: photographs in a shard; a resumed table keeps the number it was begun with.

    Raises:
        OutputError: if the folder holds something else, or a table and neither ``resume`` nor
            ``overwrite`` is set, or it cannot be written.
        TableError: if an id comes twice, or ``resume`` finds a table of another model, other
            options or photographs.
    """
    place = Path(folder)
    twice = [name for name, count in Counter(name for name, _ in items).items() if count > 1]
    if twice:
        raise TableError(f"got id {twice[0]!r} more than once, expected every photograph once")
    if shard < 1:
        raise TableError(f"got shards of {shard} photographs, expected at least 1")
    earlier = _earlier(place, resume=resume, overwrite=overwrite)
    given: dict[str, Any] = {
        "format": FORMAT,
        "provenance": dict(provenance),
        "photographs": len(items),
        "ids": _digest([name for name, _ in items]),
    }
    if earlier is not None and resume:
        if any(earlier.get(key) != value for key, value in given.items()):
            raise TableError(
                f"{place}: was begun with another model, version, options or photographs; "
                "give another folder, or --overwrite"
            )
        shard = earlier["shard"]
    shards = []
    for start in range(0, len(items), shard):
        part = tuple(items[start : start + shard])
        stamped = [(name, _stamp(path)) for name, path in part]
        shards.append(Shard(f"{SHARDS}/{_digest([given['provenance'], stamped])}.parquet", part))
    made = Plan(place, tuple(shards), regions, given["provenance"])
    if earlier is not None:
        (made if resume else replace(made, shards=())).tidy()
    manifest = {
        "made_by": "halfsight",
        "kind": "coalition table",
        **given,
        "shard": shard,
        "shards": [one.name for one in shards],
    }
    write_atomic(place / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    return made


def _earlier(place: Path, *, resume: bool, overwrite: bool) -> dict[str, Any] | None:
    """The manifest of the table that is there, if it may be touched."""
    try:
        if not place.exists() or not any(place.iterdir()):
            return None
    except OSError as error:
        raise OutputError(
            str(place), f"cannot be used ({error.strerror})", "give another folder"
        ) from None
    try:
        earlier = read_manifest(place)
    except TableError:
        raise OutputError(
            str(place), "got a folder that is not empty and not a table", "give another folder"
        ) from None
    if not (resume or overwrite):
        raise OutputError(
            str(place), "has a table already", "use --resume, --overwrite or another folder"
        )
    return earlier


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def _stamp(path: str) -> tuple[int, int] | None:
    """Size and time of change of a file: a photograph that is replaced is done again."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns
