"""The models by name. A new one is a file with an ``ENTRY`` and a line here, or an entry point.

Other packages add models through the entry-point group ``halfsight.models``. The entry point names
a :class:`ModelEntry`, or a function without arguments that returns a finished
:class:`halfsight.Scorer`, made with :func:`halfsight.wrap` for example.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module, metadata
from typing import Any

from halfsight.models.base import QualityNet
from halfsight.models.inputs import InputPolicy

BUILT_IN = {
    "triq": "halfsight.models.triq",
    "aihiqnet": "halfsight.models.aihiqnet",
    "koncept512": "halfsight.models.koncept512",
    "dbcnn": "halfsight.models.dbcnn",
    "swin_iqa": "halfsight.models.swin_iqa",
}


class UnknownModelError(ValueError):
    """A model name that nothing registers."""


@dataclass(frozen=True)
class ModelEntry:
    """How a model is built, and what there is to say about it before any weights.

    Attributes:
        build: options to an untrained network.
        policy: network to the sizes and normalisation of its input.
        reading: what we chose where the paper is silent.
    """

    name: str
    title: str
    paper: str
    licence: str
    build: Callable[..., QualityNet]
    policy: Callable[[Any], InputPolicy]
    reading: str = ""


@lru_cache(maxsize=1)
def _plugins() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group="halfsight.models")}


def names() -> tuple[str, ...]:
    """Names of all registered models, the built-in ones first."""
    return (*BUILT_IN, *sorted(set(_plugins()) - set(BUILT_IN)))


def entry(name: str) -> ModelEntry:
    """The model registered under a name.

    Raises:
        UnknownModelError: names the closest one.
    """
    if name in BUILT_IN:
        found = import_module(BUILT_IN[name]).ENTRY
    elif name in _plugins():
        found = _load(name)
    else:
        close = get_close_matches(name, names(), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(names())}"
        raise UnknownModelError(f"got model {name!r}; {hint}")
    if not isinstance(found, ModelEntry):
        raise UnknownModelError(
            f"got {type(found).__name__} registered as {name!r}, expected a ModelEntry; a finished "
            "scorer of another package can be used, but not built, trained or given weights here"
        )
    return found


def ready(name: str) -> Callable[[], Any] | None:
    """What makes the finished scorer that another package registers under a name, or None.

    Raises:
        UnknownModelError: if the package cannot be imported, or registers something else.
    """
    if name in BUILT_IN or name not in _plugins():
        return None
    found = _load(name)
    if isinstance(found, ModelEntry):
        return None
    if not callable(found):
        raise UnknownModelError(
            f"got {type(found).__name__} registered as {name!r}, expected a ModelEntry or a "
            "function that returns a Scorer"
        )
    return found  # type: ignore[no-any-return]


def provider(name: str) -> metadata.EntryPoint | None:
    """The entry point that registers a model of another package, None for the built-in ones."""
    return None if name in BUILT_IN else _plugins().get(name)


def _load(name: str) -> Any:
    point = _plugins()[name]
    try:
        return point.load()
    except Exception as error:  # another package's import may fail in any way
        raise UnknownModelError(
            f"got model {name!r} from {point.value}, which cannot be imported: {error}"
        ) from error
