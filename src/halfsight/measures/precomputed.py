"""Maps computed elsewhere, read from a folder by the image's name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

import cv2
import numpy as np

from halfsight.measures.base import (
    MapArray,
    MeasureError,
    MeasureInfo,
    Pixels,
    check_pixels,
    fit_map,
)

SUFFIXES = (".npy", ".png", ".jpg", ".jpeg", ".tif", ".tiff")


@dataclass(frozen=True)
class PrecomputedMaps:
    """One map a file, named as its image: ``a/b.jpg`` is looked up as ``a/b.npy``, ``a/b.png``...

    A map may have any size; it is stretched to the image. Colour maps are read as grey.

    Attributes:
        folder: where the maps are.
        image: the image asked about; set by :meth:`for_image`.
    """

    info: ClassVar[MeasureInfo] = MeasureInfo(
        name="precomputed",
        title="Maps from a folder",
        definition="Maps computed elsewhere (any saliency, objectness or human fixation map), "
        "looked up by the image's name.",
        source="the user",
        licence="the user's",
        needs="a folder of .npy or grey image files named as the images (option folder)",
        kind="other",
    )
    folder: Path | str = ""
    image: str | None = None

    def __post_init__(self) -> None:
        if not str(self.folder) or not Path(self.folder).is_dir():
            raise MeasureError(
                f"got folder {str(self.folder)!r}, expected a folder of maps; give folder=..."
            )

    @property
    def name(self) -> str:
        """Which measure this is."""
        return self.info.name

    def for_image(self, image: str) -> PrecomputedMaps:
        """The measure of one image, named relative to its data set."""
        return PrecomputedMaps(self.folder, image)

    def __call__(self, pixels: Pixels) -> MapArray:
        """Map of shape (height, width).

        Raises:
            MeasureError: if no image was named, its map is missing or unreadable, or the map lies
                on its side (one of the two is portrait, the other landscape).
        """
        height, width = check_pixels(pixels)
        found = read_map(self.find())
        if (found.shape[0] - found.shape[1]) * (height - width) < 0:
            raise MeasureError(
                f"got a map of {found.shape[0]}x{found.shape[1]} for image {self.image!r} of "
                f"{height}x{width}, expected the same orientation; turn the map as the image is"
            )
        return fit_map(found, height, width)

    def find(self) -> Path:
        """The file of the named image's map.

        Raises:
            MeasureError: if no image was named, its name leaves the folder, or no file is there.
        """
        if self.image is None:
            raise MeasureError(
                "got precomputed maps without an image name, expected one; "
                "call for_image(name) first"
            )
        name = PurePosixPath(self.image.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts:
            raise MeasureError(f"got image name {self.image!r}, expected one inside its data set")
        for suffix in SUFFIXES:
            for relative in (name.with_suffix(suffix), PurePosixPath(f"{name}{suffix}")):
                path = Path(self.folder) / relative
                if path.is_file():
                    return path
        raise MeasureError(
            f"got no map for image {self.image!r} in {str(self.folder)!r}, expected "
            f"{name.with_suffix('.npy')} or the same as {', '.join(SUFFIXES[1:])}"
        )


def read_map(path: Path) -> MapArray:
    """Read one map.

    Args:
        path: ``.npy`` of shape (height, width), or an image file.

    Returns:
        float32 array of shape (height, width), finite.

    Raises:
        MeasureError: if the file cannot be read as a finite map.
    """
    try:
        if path.suffix == ".npy":
            values = np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
        else:
            read = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
            values = np.asarray(read, dtype=np.float32)
    except (ValueError, TypeError, OSError, cv2.error) as error:
        raise MeasureError(f"got {path}, expected a map that can be read: {error}") from error
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise MeasureError(
            f"got {path} of shape {values.shape}, expected finite values of shape (height, width)"
        )
    return values
