"""halfsight: which parts of a photograph decide its quality score.

Example:
    >>> import halfsight as hs
    >>> model = hs.load("triq")
    >>> result = hs.explain(model, "examples/coffee.jpg")
    >>> result.masks, len(result.important)
    (4094, 6)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halfsight.engines.build import build_table
    from halfsight.explanation import Explanation, explain
    from halfsight.grid import RegionGrid
    from halfsight.images import ImageError
    from halfsight.scorer import Prediction, Scorer, load
    from halfsight.table import CoalitionTable
    from halfsight.wrapping import wrap, wrap_onnx

__version__ = "0.1.0"

_LAZY = {
    "CoalitionTable": "halfsight.table",
    "Explanation": "halfsight.explanation",
    "explain": "halfsight.explanation",
    "RegionGrid": "halfsight.grid",
    "build_table": "halfsight.engines.build",
    "ImageError": "halfsight.images",
    "Prediction": "halfsight.scorer",
    "Scorer": "halfsight.scorer",
    "load": "halfsight.scorer",
    "wrap": "halfsight.wrapping",
    "wrap_onnx": "halfsight.wrapping",
}

__all__ = [
    "CoalitionTable",
    "Explanation",
    "ImageError",
    "Prediction",
    "RegionGrid",
    "Scorer",
    "__version__",
    "build_table",
    "explain",
    "load",
    "wrap",
    "wrap_onnx",
]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import; the command line's --help should not
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'halfsight' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
