"""What the four commands are asked alike, and the command as a report gives it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """Arguments of a command; those of one experiment alone are given beside it."""

    experiment: str
    dataset: str
    root: Path
    output: Path
    split: str | None
    model: str
    table: Path | None
    cache: Path | None
    limit: int | None
    twins: str | None
    labels: str | None
    criterion: str | None
    seed: int
    overwrite: bool
    as_json: bool

    @classmethod
    def of(cls, experiment: str, arguments: Mapping[str, Any]) -> Request:
        """From a command's arguments by name; others than these are passed over."""
        known = {one.name for one in fields(cls)} - {"experiment"}
        given = {name: value for name, value in arguments.items() if name in known}
        return cls(experiment, **given)

    def options(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        """What the results depend on, without this machine's paths."""
        return {
            "split": self.split,
            "model": Path(self.model).name,
            "limit": self.limit,
            "without-twins-of": self.twins,
            "labels": None if self.labels is None else Path(self.labels).name,
            "criterion": self.criterion,
            "seed": self.seed,
            **extra,
        }

    def command(self, extra: Mapping[str, Any]) -> str:
        """The command, with ``DIR`` in place of this machine's folders."""
        words = ["halfsight", "experiment", self.experiment, self.dataset, "--root", "DIR"]
        for name, value in self.options(extra).items():
            if value is not None:
                words += [f"--{name}", str(value)]
        return shlex.join([*words, "-o", "DIR"])
