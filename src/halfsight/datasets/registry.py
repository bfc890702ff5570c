"""The data sets there are: the built-in ones, and those other packages announce.

A data set is a module, or any object, with a card ``INFO`` and a function ``load(root, *, ...)``
that returns a :class:`~halfsight.datasets.base.Dataset`. Another package announces one through the
entry-point group ``halfsight.datasets``::

    [project.entry-points."halfsight.datasets"]
    mine = "mypackage.mine"
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol, cast

from halfsight.datasets.base import Dataset, DatasetError, DatasetInfo

GROUP = "halfsight.datasets"

BUILT_IN = ("biq2021", "clive", "folder", "koniq10k", "osie", "spaq", "table")


class _Load(Protocol):
    def __call__(self, root: str | Path, **options: object) -> Dataset: ...


class DatasetModule(Protocol):
    """What a registered module offers."""

    INFO: DatasetInfo
    load: _Load


def names() -> tuple[str, ...]:
    """Names of all data sets, sorted."""
    return tuple(sorted({*BUILT_IN, *_announced()}))


def info(name: str) -> DatasetInfo:
    """The card of a data set.

    Raises:
        DatasetError: if there is no such data set.
    """
    return _module(name).INFO


def load(
    name: str, root: str | Path, *, split: str | Iterable[str] | None = None, **options: object
) -> Dataset:
    """Load a data set.

    Args:
        name: one of :func:`names`.
        root: its folder.
        split: keep these splits only (a name or several).
        **options: the data set's own, see its ``load``.

    Raises:
        DatasetError: if there is no such data set, option, folder or split.
    """
    module = _module(name)
    accepted = inspect.signature(module.load).parameters
    unknown = [option for option in options if option not in accepted]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
        raise DatasetError(
            f"got option {', '.join(unknown)} for {name}, "
            f"expected {', '.join(o for o in accepted if o != 'root') or 'none'}"
        )
    dataset = module.load(root, **options)
    if split is None:
        return dataset
    return dataset.split(*([split] if isinstance(split, str) else split))


def _announced() -> dict[str, EntryPoint]:
    """Entry points of other packages; the built-in names cannot be taken."""
    return {p.name: p for p in entry_points(group=GROUP) if p.name not in BUILT_IN}


def _module(name: str) -> DatasetModule:
    if name in BUILT_IN:
        return cast(DatasetModule, importlib.import_module(f"halfsight.datasets.{name}"))
    announced = _announced()
    if name not in announced:
        raise DatasetError(f"got data set {name!r}, expected one of {', '.join(names())}")
    try:
        return cast(DatasetModule, announced[name].load())
    except Exception as error:  # another package's code
        raise DatasetError(
            f"got data set {name!r} from {announced[name].value}, which cannot be loaded ({error})"
        ) from error
