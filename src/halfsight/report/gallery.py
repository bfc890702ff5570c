"""Results of many photographs in one folder: a folder a photograph, an index, a manifest."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halfsight.outputs import OutputError, write_atomic
from halfsight.report import index
from halfsight.report.rows import Row, write_tables
from halfsight.versions import versions

if TYPE_CHECKING:
    from halfsight.explanation import Explanation
    from halfsight.scorer import Scorer

MANIFEST = "manifest.json"
RESERVED = (MANIFEST, "index.html", "scores.csv", "scores.parquet")
"""Names in the run's folder that no photograph's folder may take."""


@dataclass
class Gallery:
    """Where the results of one run go.

    One file given by name goes straight into the folder. Otherwise each photograph has a folder of
    its own, which appears whole when the photograph is finished, so that a run that was killed can
    go on. When all are done, an index of them and tables of their scores are written beside them.

    Attributes:
        folder: the run's folder.
        places: folder of each photograph.
        single: True if the run's folder is the photograph's.
        run: what must agree for finished results to be kept.
        rows: line of each finished photograph in the index, those an earlier run left included.
    """

    folder: Path
    places: Mapping[Path, Path]
    single: bool
    overwrite: bool
    run: dict[str, Any]
    rows: dict[Path, Row] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        folder: Path,
        files: Sequence[Path],
        scorer: Scorer,
        options: Mapping[str, Any],
        *,
        single: bool,
        overwrite: bool,
        resume: bool,
    ) -> Gallery:
        """Claim the folder.

        Raises:
            OutputError: if it has results already and neither ``overwrite`` nor ``resume`` is set,
                or if it holds something else, or results of another model or other options.
        """
        run = {"model": scorer.name, "model_hash": scorer.hash, "options": dict(options)}
        single = single and len(files) <= 1
        places = {files[0]: folder} if single and files else _places(folder, files)
        made = cls(folder, places, single, overwrite, run)
        if single:
            return made
        if folder.exists() and not folder.is_dir():
            raise OutputError(str(folder), "got a file, expected a folder", "give another name")
        if folder.is_dir() and any(folder.iterdir()):
            earlier = _read(folder / MANIFEST)
            if earlier is None or earlier.get("made_by") != "halfsight":
                raise OutputError(
                    str(folder),
                    "got a folder that is not empty and not a result of halfsight",
                    "give another folder",
                )
            if resume:
                if earlier.get("run") != run:
                    raise OutputError(
                        str(folder),
                        "was made with another model or other options",
                        "give another folder, or --overwrite",
                    )
                made._keep()
            elif not overwrite:
                raise OutputError(
                    str(folder),
                    "has results already",
                    "use --overwrite, --resume or another folder",
                )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                str(folder), error.strerror or str(error), "give another folder"
            ) from None
        made._write_manifest(finished=False, problems=())
        return made

    def finished(self, path: Path) -> bool:
        """True if an earlier run left the photograph's result whole."""
        return path in self.rows

    def add(self, path: Path, result: Explanation) -> None:
        """Save one photograph's result.

        Raises:
            OutputError: if it cannot be written.
        """
        place = self.places[path]
        result.save(place, overwrite=self.overwrite or not self.single)
        if not self.single:
            self.rows[path] = Row.of(result.to_dict(), self._relative(place))

    def close(self, problems: Sequence[object]) -> None:
        """Write the index, the tables of scores and the final manifest.

        Raises:
            OutputError: if they cannot be written.
        """
        if self.single:
            return
        rows = [self.rows[path] for path in self.places if path in self.rows]
        write_atomic(self.folder / "index.html", index.render(rows, problems))
        write_tables(rows, self.folder)
        self._write_manifest(finished=True, problems=problems)

    def _keep(self) -> None:
        """Take over the results that an earlier run left whole."""
        for path, place in self.places.items():
            manifest, record = _read(place / MANIFEST), _read(place / "explanation.json")
            if manifest is None or record is None or record.get("path") != str(path):
                continue  # not finished, or the folder of another photograph of that name
            if all(
                (place / name).is_file()
                for name in ("explanation.html", *manifest.get("files", ()))
            ):
                with suppress(KeyError, TypeError, ValueError):  # made by an earlier version
                    self.rows[path] = Row.of(record, self._relative(place))

    def _relative(self, place: Path) -> str:
        return place.relative_to(self.folder).as_posix()

    def _write_manifest(self, *, finished: bool, problems: Sequence[object]) -> None:
        manifest = {
            "made_by": "halfsight",
            "made_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "run": self.run,
            "finished": finished,
            "photographs": {
                str(path): self._relative(place) for path, place in self.places.items()
            },
            "failures": [str(problem) for problem in problems],
        }
        write_atomic(self.folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def _places(folder: Path, files: Sequence[Path]) -> dict[Path, Path]:
    """A folder for each file, named after it; equal names are numbered in order."""
    counts: dict[str, int] = {}
    taken = set(RESERVED)
    places = {}
    for path in files:
        name = path.name
        while name.lower() in taken:  # on some disks Photo.jpg and photo.jpg are one
            count = counts[path.name.lower()] = counts.get(path.name.lower(), 1) + 1
            name = f"{path.name}~{count}"
        taken.add(name.lower())
        places[path] = folder / name
    return places


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
