"""The folder of an experiment: claimed at the start, filled at the end, resumable in between.

``manifest.json`` says what is being run; ``table/`` and ``cache/`` keep what is costly. Results are
written file by file, each whole or not at all, the finished manifest last.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halfsight.experiments import figures, page
from halfsight.experiments.outcome import Outcome
from halfsight.outputs import MANIFEST, OutputError, is_ours, write_atomic
from halfsight.versions import versions

KIND = "experiment"


@dataclass(frozen=True)
class Place:
    """A claimed folder.

    Attributes:
        folder: the experiment's.
        run: what the results depend on.
        command: the command, without this machine's paths.
    """

    folder: Path
    run: Mapping[str, Any]
    command: str

    @property
    def table(self) -> Path:
        """Where the table of coalitions is built."""
        return self.folder / "table"

    @property
    def cache(self) -> Path:
        """Where other intermediate results are kept."""
        return self.folder / "cache"

    @classmethod
    def claim(
        cls, folder: Path, run: Mapping[str, Any], *, command: str, overwrite: bool = False
    ) -> Place:
        """Take a new or empty folder, or go on with an unfinished run of the same experiment.

        Raises:
            OutputError: if it holds something else, results, or another unfinished run, and
                ``overwrite`` is not set; what is not halfsight's is never overwritten.
        """
        made = cls(folder, dict(run), command)
        name = str(folder)
        if folder.exists() and not folder.is_dir():
            raise OutputError(name, "got a file, expected a folder", "choose another name")
        if folder.is_dir() and any(folder.iterdir()):
            earlier = _manifest(folder)
            if earlier is None:
                raise OutputError(
                    name,
                    "got a folder that is not empty and not of an experiment",
                    "use another folder",
                )
            if not overwrite:
                if earlier.get("finished"):
                    raise OutputError(
                        name, "has results already", "use --overwrite or another folder"
                    )
                if earlier.get("run") != _as_json(run):
                    raise OutputError(
                        name,
                        "has an unfinished run of another experiment or other options",
                        "use --overwrite or another folder",
                    )
            for old in earlier.get("files", {}):
                (folder / old).unlink(missing_ok=True)
        made._write_manifest({})
        return made

    def finish(self, outcome: Outcome) -> None:
        """Write the results.

        Raises:
            OutputError: if they cannot be written.
        """
        files: dict[str, str] = {}
        for name, data in contents(outcome, self).items():
            write_atomic(self.folder / name, data)
            files[name] = hashlib.sha256(data).hexdigest()
        self._write_manifest(files)

    def _write_manifest(self, files: Mapping[str, str]) -> None:
        document = {
            "made_by": "halfsight",
            "kind": KIND,
            "finished": bool(files),
            "made_at": now().isoformat(timespec="seconds"),
            "command": self.command,
            "run": _as_json(self.run),
            "versions": versions(),
            "files": dict(files),
        }
        write_atomic(self.folder / MANIFEST, json.dumps(document, indent=2) + "\n")


def contents(outcome: Outcome, place: Place) -> dict[str, bytes]:
    """The files of a result by relative name."""
    made: dict[str, bytes] = {}
    for table in outcome.tables:
        made[f"tables/{table.name}.csv"] = table.to_csv().encode()
    for name, frame in outcome.frames.items():
        stream = io.BytesIO()
        frame.write_parquet(stream, compression="zstd")
        made[f"tables/{name}.parquet"] = stream.getvalue()
    drawn = {}
    for picture in outcome.pictures:
        drawn[picture.name] = figures.svg(picture.figure)
        made[f"figures/{picture.name}.svg"] = drawn[picture.name].encode()
        made[f"figures/{picture.name}.png"] = figures.png(picture.figure)
    made["summary.json"] = (
        json.dumps({"experiment": outcome.experiment, **outcome.summary}, indent=2) + "\n"
    ).encode()
    about = page.About(place.command, now().date().isoformat(), versions())
    made["report.md"] = page.markdown(outcome, about).encode()
    made["index.html"] = page.html(outcome, about, drawn).encode()
    return made


def now() -> datetime.datetime:
    """The time, UTC."""
    return datetime.datetime.now(datetime.UTC)


def _manifest(folder: Path) -> dict[str, Any] | None:
    if not is_ours(folder):
        return None
    found = json.loads((folder / MANIFEST).read_bytes())
    return found if found.get("kind") == KIND else None


def _as_json(run: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(dict(run), default=str))
