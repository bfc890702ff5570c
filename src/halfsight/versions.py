"""Versions of what a result depends on, for manifests and cards."""

from __future__ import annotations

import platform
from importlib import metadata

SCORING = ("halfsight", "torch", "timm", "numpy", "pillow")
"""The packages that a score depends on."""


def versions(*also: str) -> dict[str, str]:
    """Versions of Python, of the packages a score depends on, and of others that are named.

    Args:
        also: further distributions.

    Raises:
        importlib.metadata.PackageNotFoundError: if one of them is not installed.
    """
    found = {"python": platform.python_version()}
    return found | {name: metadata.version(name) for name in (*SCORING, *also)}
