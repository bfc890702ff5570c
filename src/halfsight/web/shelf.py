"""The models that a server offers: chosen when it starts, never by a path from a client."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from halfsight.scorer import Scorer
from halfsight.web.errors import ApiError


@dataclass(frozen=True)
class Shelf:
    """Loaded models by the names that clients use; the first is the default.

    Attributes:
        models: by name.
        locks: one a model, held while it works: attribution methods hang hooks into the network,
            which must not meet another thread's pass.
    """

    models: dict[str, Scorer]
    locks: dict[str, threading.Lock] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "locks", {name: threading.Lock() for name in self.models})

    @classmethod
    def of(cls, named: Sequence[tuple[str, Scorer]]) -> Shelf:
        """Put models on a shelf.

        Args:
            named: each model with the name or the path that it was loaded by. A path's last part
                becomes the name; equal names are numbered.
        """
        models: dict[str, Scorer] = {}
        for given, scorer in named:
            stem = PurePath(given).stem
            name, count = stem, 1
            while name in models:
                count += 1
                name = f"{stem}-{count}"
            models[name] = scorer
        return cls(models)

    @property
    def default(self) -> str:
        """Name of the model that is taken if none is asked for."""
        return next(iter(self.models))

    def pick(self, names: Sequence[str]) -> dict[str, Scorer]:
        """The models of these names, each once; the default if there are none.

        Raises:
            ApiError: 422 if one is not on the shelf.
        """
        for name in names:
            if name not in self.models:
                raise ApiError(
                    422,
                    "unknown_model",
                    f"got model {name[:60]!r}, expected one of {', '.join(self.models)}; "
                    "start the server with --model to offer others",
                )
        return {name: self.models[name] for name in names or [self.default]}
