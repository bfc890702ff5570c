"""Results of many photographs in one folder: a folder a photograph, an index, a manifest."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halfsight.outputs import OutputError, write_atomic
from halfsight.report.folder import versions

if TYPE_CHECKING:
    from halfsight.explanation import Explanation
    from halfsight.scorer import Scorer

MANIFEST = "manifest.json"


@dataclass
class Gallery:
    """Where the results of one run go.

    One file given by name goes straight into the folder. Otherwise each photograph has a folder of
    its own, which appears whole when the photograph is finished, so that a run that was killed can
    go on.

    Attributes:
        folder: the run's folder.
        places: folder of each photograph.
        single: True if the run's folder is the photograph's.
        run: what must agree for finished results to be kept.
    """

    folder: Path
    places: Mapping[Path, Path]
    single: bool
    overwrite: bool
    run: dict[str, Any]
    kept: set[Path] = field(default_factory=set)

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
                made.kept = {path for path, place in places.items() if _whole(place)}
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
        return path in self.kept

    def add(self, path: Path, result: Explanation) -> None:
        """Save one photograph's result.

        Raises:
            OutputError: if it cannot be written.
        """
        place = self.places[path]
        result.save(place, overwrite=self.overwrite or not self.single)

    def close(self, problems: Sequence[object]) -> None:
        """Write the final manifest."""
        if not self.single:
            self._write_manifest(finished=True, problems=problems)

    def _write_manifest(self, *, finished: bool, problems: Sequence[object]) -> None:
        manifest = {
            "made_by": "halfsight",
            "made_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "run": self.run,
            "finished": finished,
            "photographs": {
                str(path): place.relative_to(self.folder).as_posix()
                for path, place in self.places.items()
            },
            "failures": [str(problem) for problem in problems],
        }
        write_atomic(self.folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def _places(folder: Path, files: Sequence[Path]) -> dict[Path, Path]:
    """A folder for each file, named after it; equal names are numbered in order."""
    taken: dict[str, int] = {}
    places = {}
    for path in files:
        count = taken[path.name.lower()] = taken.get(path.name.lower(), 0) + 1
        places[path] = folder / (path.name if count == 1 else f"{path.name}~{count}")
    return places


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _whole(place: Path) -> bool:
    return (place / MANIFEST).is_file() and (place / "explanation.json").is_file()
