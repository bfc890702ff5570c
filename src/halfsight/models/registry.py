"""The models by name. A new one is a file with an ``ENTRY`` and a line here, or an entry point.

Other packages add models through the entry-point group ``halfsight.models``; the entry point names
a :class:`ModelEntry`.
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
        found = _plugins()[name].load()
    else:
        close = get_close_matches(name, names(), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(names())}"
        raise UnknownModelError(f"got model {name!r}; {hint}")
    if not isinstance(found, ModelEntry):
        raise UnknownModelError(
            f"got {type(found).__name__} registered as {name!r}, expected a ModelEntry"
        )
    return found
