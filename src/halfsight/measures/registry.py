"""Which measures there are, and how to get one by name.

Another package adds a measure through the entry-point group ``halfsight.measures``: the entry
point's name is the measure's, and it loads to a callable that takes the measure's options and
returns a :class:`~halfsight.measures.base.Measure`. An attribute ``info`` on that callable, a
:class:`~halfsight.measures.base.MeasureInfo`, is its card.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from halfsight.measures.base import Measure, MeasureError, MeasureInfo

GROUP = "halfsight.measures"

BUILT_IN = {
    "boolean-map": "halfsight.measures.saliency:BooleanMap",
    "spectral-residual": "halfsight.measures.saliency:SpectralResidual",
    "fine-grained": "halfsight.measures.saliency:FineGrained",
    "img-focus": "halfsight.measures.focus:ImgFocus",
    "centre-bias": "halfsight.measures.saliency:CentreBias",
    "frequency": "halfsight.measures.frequency:SpatialFrequency",
    "selective-search": "halfsight.measures.objectness:SelectiveSearch",
    "bing": "halfsight.measures.bing:Bing",
    "ssd": "halfsight.measures.detector:SsdDetector",
    "averaged": "halfsight.measures.average:Averaged",
    "precomputed": "halfsight.measures.precomputed:PrecomputedMaps",
}

DEFAULTS = {"saliency": "boolean-map", "objectness": "selective-search"}
"""Properties that several measures stand for, and the one taken when only the property is named."""


def names() -> list[str]:
    """Names that :func:`load` takes: the properties, the built-in measures, the added ones."""
    return [*DEFAULTS, *BUILT_IN, *sorted(_added())]


def info(name: str) -> MeasureInfo:
    """The card of a measure.

    Raises:
        MeasureError: if there is no such measure or its package cannot be imported.
    """
    actual = DEFAULTS.get(name, name)
    card = getattr(_factory(actual), "info", None)
    if isinstance(card, MeasureInfo):
        return card
    return MeasureInfo(actual, actual, definition="not described", source="", licence="not stated")


def load(name: str, **options: Any) -> Measure:
    """A measure by name.

    Args:
        name: one of :func:`names`.
        **options: the measure's own options.

    Returns:
        the measure; its ``name`` says which one a property such as ``saliency`` stands for.

    Raises:
        MeasureError: if there is no such measure, it has no such option, or something it needs is
            missing.
    """
    factory = _factory(DEFAULTS.get(name, name))
    try:
        measure = factory(**options)
    except TypeError as error:
        raise MeasureError(f"got options {options} for measure {name!r}: {error}") from error
    if not isinstance(measure, Measure):
        raise MeasureError(
            f"got {type(measure).__name__} for measure {name!r}, expected something with a name "
            "that maps an image to values"
        )
    return measure


def cards() -> list[dict[str, Any]]:
    """The card of every measure, ready for JSON.

    Returns:
        a dict a measure: the fields of :class:`~halfsight.measures.base.MeasureInfo`; ``default``
        (the property it is the default for, or None); ``available`` (whether it loads here without
        options) and ``missing`` (why not, or None).
    """
    default_for = {measure: kind for kind, measure in DEFAULTS.items()}
    rows = []
    for name in [*BUILT_IN, *sorted(_added())]:
        card = MeasureInfo(name, name, definition="not described", source="", licence="not stated")
        missing = None
        try:
            card = info(name)
            load(name)
        except MeasureError as error:
            missing = str(error)
        rows.append(
            {
                **asdict(card),
                "default": default_for.get(name),
                "available": missing is None,
                "missing": missing,
            }
        )
    return rows


def _factory(name: str) -> Callable[..., Any]:
    """What makes the measure called ``name``."""
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        found: Callable[..., Any] = getattr(import_module(module), attribute)
        return found
    added = _added()
    if name not in added:
        raise MeasureError(f"got measure {name!r}, expected one of {', '.join(names())}")
    try:
        return added[name].load()  # type: ignore[no-any-return]
    except Exception as error:  # another package's import may fail in any way
        raise MeasureError(
            f"got measure {name!r} from {added[name].value}, which cannot be imported: {error}"
        ) from error


def _added() -> dict[str, EntryPoint]:
    """Measures of other packages; a name of ours stays ours."""
    return {
        point.name: point
        for point in entry_points(group=GROUP)
        if point.name not in BUILT_IN and point.name not in DEFAULTS
    }
